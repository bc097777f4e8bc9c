"""Compares judges on several criteria: their mean, and each with adjusted p-values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mogradjudge.agreement.arms import Contrast, arms_of, check_weights, contrast_of
from mogradjudge.agreement.checks import check_names, group_codes
from mogradjudge.agreement.coefficients import (
    FEWEST,
    Array,
    Scores,
    Undefined,
    too_few,
)
from mogradjudge.agreement.options import DEFAULTS, TestOptions
from mogradjudge.agreement.permutation import (
    Comparison,
    flipped_sums,
    mean_comparison,
    p_value,
    sign_patterns,
)
from mogradjudge.agreement.weighted_mean import mean_of, means_of
from mogradjudge.errors import SetupError


@dataclass(frozen=True)
class Family:
    """A comparison on the mean of several criteria, and on each.

    ``mean`` is the one to decide by; its p-value is not adjusted. ``holm`` and ``max_t`` adjust
    those of the criteria that have one. ``max_t`` uses the correlation of the criteria and has
    more power.

    >>> documents = [name for name in "abcdef" for _ in range(3)]
    >>> human, worse = {"fluency": [1, 2, 3] * 6}, {"fluency": [2, 1, 3] * 6}
    >>> compare_criteria(human, human, worse, documents).by_criterion["fluency"].p_value
    0.03125
    """

    mean: Comparison | Undefined
    by_criterion: Mapping[str, Comparison | Undefined]
    holm: Mapping[str, float]
    max_t: Mapping[str, float]


def contrast_criteria(
    human: Mapping[str, Scores],
    arms: Mapping[str, Mapping[str, Scores]],
    weights: Mapping[str, float],
    groups: Sequence[str],
    options: TestOptions = DEFAULTS,
) -> Family:
    """Test a weighted sum of several judges' agreements on each criterion, and on their mean.

    Weights that sum to 0 make a contrast: ``{"J1": 1, "J0": -1, "S1": -1, "S0": 1}`` is the
    interaction of two changes. Test and interval are those of `cluster_test` on the documents'
    values (`document_values`), with the same signs for all criteria. With ``level="group"`` their
    mean is the difference. With ``level="pooled"`` the difference is that of the pooled
    correlations, and its pseudo-values stand for it: in the interval as they are, in the test as
    they would be if all arms agreed equally well, without which a test of judges that give nearly
    all texts one score rejects too often. A document that has no
    value on a criterion drops out there for all arms; its value for the mean is the mean over the
    criteria on which it has one.

    Source: max-T is the step-down procedure of Westfall and Young 1993, "Resampling-Based Multiple
    Testing", algorithm 4.1, on the documents' sums over the roots of their sums of squares.

    >>> documents = [name for name in "abcdef" for _ in range(3)]
    >>> human = {"fluency": [1, 2, 3] * 6}
    >>> arms = {"first": human, "second": {"fluency": [2, 1, 3] * 6}}
    >>> family = contrast_criteria(human, arms, {"first": 1, "second": -1}, documents)
    >>> family.mean.difference
    0.5

    Args:
        human: Human scores by criterion, each of length n; None where there is none.
        arms: Judge scores by arm and criterion, each of length n. A text that lacks a score in one
            arm is left out of all, on that criterion.
        weights: The weight of each arm; they usually sum to 0.
        groups: The document of each text, length n.
        options: How agreement is measured and tested; the confidence is that of each interval by
            itself.

    Raises:
        SetupError: If lengths or names differ, there is no criterion, a score is not finite, or an
            option is out of its range.
    """
    check_weights(weights, arms)
    if not human:
        raise SetupError("`human` must hold the scores of at least one criterion, got none.")
    for arm, by_criterion in arms.items():
        check_names(f"The scores of arm {arm!r}", by_criterion, human)
    documents = group_codes(groups)
    contrasts = {}
    for name, scores in human.items():
        of_arms = {arm: judged[name] for arm, judged in arms.items()}
        table = arms_of(scores, of_arms, documents.codes, len(documents))
        contrasts[name] = contrast_of(table, weights, options.of(name))
    return _family(contrasts, options)


def compare_criteria(
    human: Mapping[str, Scores],
    judge_a: Mapping[str, Scores],
    judge_b: Mapping[str, Scores],
    groups: Sequence[str],
    options: TestOptions = DEFAULTS,
) -> Family:
    """Compare two judges on several criteria: agreement of ``a`` minus agreement of ``b``.

    It is `contrast_criteria` with two arms; conclusions hold for new documents by the same systems.

    >>> documents = [name for name in "abcdef" for _ in range(3)]
    >>> human = {"fluency": [1, 2, 3] * 6, "coherence": [3, 1, 2] * 6}
    >>> worse = {"fluency": [2, 1, 3] * 6, "coherence": [3, 1, 2] * 6}
    >>> family = compare_criteria(human, human, worse, documents)
    >>> family.mean.difference, family.holm
    (0.25, {'fluency': 0.0625, 'coherence': 1.0})

    Args:
        human: Human scores by criterion, each of length n; None where there is none.
        judge_a: The first judge's scores by criterion, each of length n.
        judge_b: The second judge's scores by criterion, each of length n.
        groups: The document of each text, length n.
        options: How agreement is measured and tested; the confidence is that of each interval by
            itself.

    Raises:
        SetupError: As for `contrast_criteria`.
    """
    return contrast_criteria(
        human,
        {"judge_a": judge_a, "judge_b": judge_b},
        {"judge_a": 1.0, "judge_b": -1.0},
        groups,
        options,
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust p-values for their number by Holm's method.

    The smallest is multiplied by their number, the next by one less, and so on; none is smaller
    than one before it or larger than 1. Rejecting what is at most alpha keeps the chance of any
    false rejection at most alpha, however the tests depend on one another.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    >>> holm({"fluency": 0.01, "coherence": 0.04, "relevance": 0.03})
    {'fluency': 0.03, 'coherence': 0.06, 'relevance': 0.06}

    Args:
        p_values: Each in [0, 1], by name.

    Raises:
        SetupError: If a p-value is not in [0, 1].
    """
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise SetupError(f"A p-value must lie in [0, 1], got {p!r} for {name!r}.")
    adjusted, largest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def _family(contrasts: Mapping[str, Contrast], options: TestOptions) -> Family:
    """Test the criteria's contrasts, and the means of the documents' values."""
    weights = options.weights
    values = np.stack([contrast.values for contrast in contrasts.values()], axis=1)
    flipped = np.stack([contrast.null_values for contrast in contrasts.values()], axis=1)
    some = np.isfinite(values).any(axis=1)
    values, flipped = values[some], flipped[some]
    if len(values) < FEWEST:
        few = too_few(len(values))
        return Family(few, dict.fromkeys(contrasts, few), {}, {})
    defined = np.isfinite(values)
    means, null_means = (
        means_of(dict(zip(contrasts, table.T, strict=True)), weights) for table in (values, flipped)
    )
    has_mean = np.isfinite(means)
    patterns = sign_patterns(len(values), options.flips, options.seed)
    # A document without a value adds nothing to a sum, whatever its sign.
    columns = np.where(defined, flipped, 0.0)
    sums = flipped_sums(np.column_stack([columns, np.where(has_mean, null_means, 0.0)]), patterns)
    by_criterion: dict[str, Comparison | Undefined] = {}
    for place, (name, contrast) in enumerate(contrasts.items()):
        column = values[defined[:, place], place]
        p = p_value(sums[:, place])
        by_criterion[name] = (
            mean_comparison(column, contrast.difference, p, options.confidence)
            if len(column) >= FEWEST and np.isfinite(contrast.difference)
            else too_few(len(column))
        )
    places = {
        name: place
        for place, name in enumerate(contrasts)
        if isinstance(by_criterion[name], Comparison)
    }
    tested = list(places.values())
    lengths = np.sqrt((columns[:, tested] ** 2).sum(axis=0))
    # Pooled correlations have no mean over documents; their pseudo-values only stand for it.
    differences = {
        name: it.difference for name, it in contrasts.items() if np.isfinite(it.difference)
    }
    means = means[has_mean]
    mean = means.mean() if options.level == "group" else mean_of(differences, weights)
    return Family(
        too_few(len(means))
        if len(means) < FEWEST or mean is None
        else mean_comparison(means, float(mean), p_value(sums[:, -1]), options.confidence),
        by_criterion,
        holm({name: p_value(sums[:, place]) for name, place in places.items()}),
        dict(zip(places, _max_t(sums[:, tested], lengths), strict=True)),
    )


def _max_t(sums: Array, lengths: Array) -> list[float]:
    """Adjust each statistic by the largest of those not above it (Westfall and Young)."""
    sizes = np.abs(sums) / np.where(lengths > 0, lengths, 1.0)
    order = np.argsort(-sizes[0], kind="stable")
    largest = np.maximum.accumulate(sizes[:, order[::-1]], axis=1)[:, ::-1]
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate([p_value(column) for column in largest.T])
    return [float(p) for p in adjusted]
