"""The compared judges, and the contrast between them by document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mogradjudge.agreement.checks import check_lengths, check_names, gappy
from mogradjudge.agreement.coefficients import Array, Codes, Scores
from mogradjudge.agreement.document_values import agreement_over_all, values_of
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

    ``values`` has the shape (documents,); nan if an arm has no value.
    """

    difference: float
    values: Array


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
    over_all, values = 0.0, np.zeros(arms.documents)
    for name, weight in weights.items():
        table = arms.human, arms.judges[name], arms.codes, arms.documents
        over_all += weight * agreement_over_all(*table, options)
        values = values + weight * values_of(*table, options)
    if options.level == "group":
        # A document counts only if every arm has a value in it.
        defined = values[np.isfinite(values)]
        over_all = float(defined.mean()) if len(defined) else np.nan
    return Contrast(over_all, values)


def check_weights(weights: Mapping[str, float], arms: Mapping[str, object]) -> None:
    """Check that each arm has a weight.

    Raises:
        SetupError: If the names differ, or no weight, or one that is not finite, is given.
    """
    check_names("`weights`", weights, arms)
    if not any(weights.values()) or not np.isfinite(list(weights.values())).all():
        raise SetupError(f"`weights` must be finite and not all 0, got {dict(weights)}.")
