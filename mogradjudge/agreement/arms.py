"""The compared judges, and the contrast between them by document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mogradjudge.agreement.checks import check_lengths, check_names, gappy
from mogradjudge.agreement.coefficients import Array, Codes, Scores, rank_deviations
from mogradjudge.agreement.document_values import agreement_over_all, values_of
from mogradjudge.agreement.methods import METHODS
from mogradjudge.agreement.moments import whole
from mogradjudge.agreement.options import TestOptions
from mogradjudge.errors import SetupError


@dataclass(frozen=True)
class Arms:
    """The texts that humans and all judges scored: scores by arm, and documents.

    ``chosen`` says which of the caller's texts they are.
    """

    human: Array
    judges: Mapping[str, Array]
    codes: Codes
    documents: int
    chosen: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of the arms' agreements, over all texts and by document.

    ``values`` has the shape (documents,); nan if an arm has no value. ``null_values`` are those to
    flip the signs of: the same within documents; of pooled correlations what they are if the arms
    agree equally well, with ``difference`` as their mean.
    """

    difference: float
    values: Array
    null_values: Array


def arms_of(human: Scores, arms: Mapping[str, Scores], codes: Codes, documents: int) -> Arms:
    """Keep the texts that all arms scored.

    Raises:
        SetupError: If the lengths differ, or a score is neither finite nor None.
    """
    judged = {f"arm {name!r}": scores for name, scores in arms.items()}
    check_lengths({"human": human, **judged, "groups": codes})
    columns = {name: gappy(name, scores) for name, scores in arms.items()}
    people = gappy("human", human)
    scored = np.isfinite(people)
    for scores in columns.values():
        scored &= np.isfinite(scores)
    judges = {name: scores[scored] for name, scores in columns.items()}
    return Arms(people[scored], judges, codes[scored], documents, scored)


def contrast_of(arms: Arms, weights: Mapping[str, float], options: TestOptions) -> Contrast:
    """Compute the weighted sum of the arms' agreements."""
    tables = {name: (arms.human, arms.judges[name], arms.codes, arms.documents) for name in weights}
    values = _weighted(weights, {name: values_of(*of, options) for name, of in tables.items()})
    if options.level == "group":
        # A document counts only if every arm has a value in it.
        defined = values[np.isfinite(values)]
        return Contrast(float(defined.mean()) if len(defined) else np.nan, values, values)
    agreements = {name: agreement_over_all(*of, options) for name, of in tables.items()}
    difference = float(_weighted(weights, agreements))
    if not np.isfinite(difference):
        return Contrast(np.nan, values, values)
    # A pseudo-value takes off the arm's agreement times the document's share of its variance. With
    # few texts off its commonest score the former is large where the latter is: each arm then
    # looks surer than it is, and the test rejects too often. In a test all arms have one agreement.
    middle = float(np.mean(list(agreements.values())))
    surplus = {
        name: (agreements[name] - middle) * _surplus(arms, name, options) for name in weights
    }
    mean = np.nanmean(values) if np.isfinite(values).any() else np.nan
    null_values = values - mean + difference + _weighted(weights, surplus)
    return Contrast(difference, values, null_values)


def _weighted(weights: Mapping[str, float], of_arms: Mapping[str, Any]) -> Any:
    return sum(weight * of_arms[name] for name, weight in weights.items())


def _surplus(arms: Arms, name: str, options: TestOptions) -> Array:
    """Return how much more of what an agreement is divided by is in each document than in most."""
    if options.method == "qwk":
        x, y = whole(arms.human), whole(arms.judges[name])
        squares = (x - y.mean()) ** 2 + (y - x.mean()) ** 2 - (x.mean() - y.mean()) ** 2
        part = 1.0
    else:
        squares = rank_deviations(arms.judges[name], np.zeros_like(arms.codes), 1) ** 2
        part = 0.5  # the other half of a correlation's is the people's, the same for all arms
    if METHODS[options.method].lowest == 0 or not squares.any():  # a share is a plain mean
        return np.zeros(arms.documents)
    shares = np.bincount(arms.codes, squares, minlength=arms.documents) / squares.sum()
    return np.asarray(part * (shares * len(np.unique(arms.codes)) - 1))


def check_weights(weights: Mapping[str, float], arms: Mapping[str, object]) -> None:
    """Check that each arm has a weight.

    Raises:
        SetupError: If the names differ, or no weight, or one that is not finite, is given.
    """
    check_names("`weights`", weights, arms)
    if not any(weights.values()) or not np.isfinite(list(weights.values())).all():
        raise SetupError(f"`weights` must be finite and not all 0, got {dict(weights)}.")
