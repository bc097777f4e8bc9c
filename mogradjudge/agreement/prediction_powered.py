"""A mean human score from few human scores and a judge's scores of many more texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from math import sqrt
from typing import TypeAlias

import numpy as np

from mogradjudge.agreement.bootstrap import Interval
from mogradjudge.agreement.checks import check_lengths, gappy, group_codes
from mogradjudge.agreement.coefficients import Array, Scores, Undefined
from mogradjudge.agreement.options import check_options
from mogradjudge.errors import SetupError

_Names: TypeAlias = tuple[str, ...]

_FEWEST = 2  # documents, without which a spread is unknown


@dataclass(frozen=True)
class MeanEstimate:
    """A mean human score over documents, with the judge's help and without it.

    ``value`` and ``interval`` use the judge's scores with the ``weight`` lambda, in [0, 1];
    ``labelled`` and ``labelled_interval`` use the human scores alone. ``documents`` counts the
    documents with both scores, ``labelled_documents`` those with a human score and
    ``unlabelled_documents`` those of the other texts.

    >>> interval, alone = Interval(3.0, 4.0), Interval(2.9, 4.1)
    >>> estimate = MeanEstimate(3.5, interval, 0.6, 3.5, alone, 20, 20, 80)
    >>> round(estimate.gain, 3)
    0.167
    """

    value: float | Undefined
    interval: Interval | Undefined
    weight: float
    labelled: float | Undefined
    labelled_interval: Interval | Undefined
    documents: int
    labelled_documents: int
    unlabelled_documents: int

    @property
    def gain(self) -> float | None:
        """By which share the judge narrows the interval; below 0 it widens it."""
        ours, alone = self.interval, self.labelled_interval
        if isinstance(ours, Undefined) or isinstance(alone, Undefined) or alone.low == alone.high:
            return None
        return 1 - (ours.high - ours.low) / (alone.high - alone.low)


def prediction_powered_mean(
    human: Scores,
    judge: Scores,
    groups: Sequence[str],
    unlabelled: Scores,
    unlabelled_groups: Sequence[str],
    *,
    weight: float | None = None,
    confidence: float = 0.95,
) -> MeanEstimate:
    """Estimate the mean human score over documents, by human and by judge scores.

    The estimate is lambda mean(judge on unlabelled) + mean(human - lambda judge on labelled): what
    the judge says of many documents, corrected by its error on the labelled ones. It holds for any
    judge, if the labelled documents are drawn by chance from the same ones as the unlabelled; a
    poor judge only gains nothing. Of a document counts the mean of its texts, so what is estimated
    is the mean over documents, each of which counts the same. It is the mean over texts if all
    have the same number of them.

    The weight lambda is cov(human, judge) / ((1 + n/N) var(judge)) over the n labelled documents,
    cut off at 0 and 1; N is the number of unlabelled ones. The interval is Student's with n - 1
    degrees of freedom. A document with texts on both sides is one document in its standard error.

    In 1,000 simulations each, of judges with rho .5 on real ratings (``python -m benchmarks
    statistics --data``), it held the true mean in .93 to .95 of the cases with 20 labelled and 80
    other documents, and was 6 to 11 % narrower than the labelled documents' own; with 8 labelled
    documents on made ratings in .93.

    Source: Angelopoulos, Duchi and Zrnic 2023, "PPI++: Efficient Prediction-Powered Inference",
    arXiv 2311.01453, with documents in place of texts.

    >>> human, judge = [2, 3, 4, 5], [2, 4, 4, 5]
    >>> estimate = prediction_powered_mean(human, judge, "abcd", [3, 4, 2, 3, 3, 4], "efghij")
    >>> round(estimate.value, 2), round(estimate.weight, 2), estimate.labelled
    (3.17, 0.57, 3.5)

    Args:
        human: Human scores of the labelled texts; None where there is none.
        judge: The judge's scores of the same texts, in the same order; None where there is none.
        groups: The documents of the labelled texts.
        unlabelled: The judge's scores of the other texts; None where there is none.
        unlabelled_groups: The documents of the other texts.
        weight: Lambda, in [0, 1], if it is not to be found from the scores: 0 leaves the judge
            out, 1 is prediction-powered inference without tuning.
        confidence: Of the intervals, between 0 and 1.

    Returns:
        The estimates. Without two labelled documents there is no interval.

    Raises:
        SetupError: If lengths differ, a score is not finite, or an option is out of its range.
    """
    check_options(confidence=confidence)
    if weight is not None and not 0 <= weight <= 1:
        raise SetupError(f"`weight` must lie in [0, 1], got {weight!r}.")
    check_lengths({"human": human, "judge": judge, "groups": groups})
    check_lengths({"unlabelled": unlabelled, "unlabelled_groups": unlabelled_groups})
    rated = gappy("human", human)
    alone, alone_scores = _by_document(groups, rated)
    both, (scores, judged) = _by_document(groups, rated, gappy("judge", judge))
    others, other_scores = _by_document(unlabelled_groups, gappy("unlabelled", unlabelled))
    if weight is None:
        weight = _tuned(scores, judged, len(others))
    parts = [(both, scores - weight * judged), (others, weight * other_scores[0])]
    return MeanEstimate(
        *_summed(parts if weight else parts[:1], confidence),
        weight,
        *_summed([(alone, alone_scores[0])], confidence),
        len(both),
        len(alone),
        len(others),
    )


def _by_document(groups: Sequence[str], *columns: Array) -> tuple[_Names, Array]:
    """Average the texts that have all columns; shape (columns, documents)."""
    complete = np.isfinite(np.sum(columns, axis=0))
    documents = group_codes(list(compress(groups, complete)))
    sums = [np.bincount(documents.codes, column[complete], len(documents)) for column in columns]
    return documents.names, np.array(sums) / np.bincount(documents.codes, minlength=len(documents))


def _tuned(human: Array, judge: Array, unlabelled: int) -> float:
    """Return the weight with which the estimate varies least."""
    if len(judge) < _FEWEST or unlabelled < _FEWEST:
        return 0.0
    covariances = np.cov(human, judge)
    if covariances[1, 1] == 0:
        return 0.0
    best = covariances[0, 1] / ((1 + len(judge) / unlabelled) * covariances[1, 1])
    return float(np.clip(best, 0.0, 1.0))


def _summed(
    parts: Sequence[tuple[_Names, Array]], confidence: float
) -> tuple[float | Undefined, Interval | Undefined]:
    """Sum the parts' means over documents; the first part's documents give the freedom."""
    from scipy.special import stdtrit  # slow to import

    sizes = [len(names) for names, _ in parts]
    if min(sizes) == 0:
        none = Undefined("there are no scores to average")
        return none, none
    value = float(sum(means.mean() for _, means in parts))
    if min(sizes) < _FEWEST:
        return value, Undefined(f"no interval: 1 document, and it needs {_FEWEST}")
    reach = float(stdtrit(sizes[0] - 1, (1 + confidence) / 2)) * _standard_error(parts)
    return value, Interval(value - reach, value + reach, confidence)


def _standard_error(parts: Sequence[tuple[_Names, Array]]) -> float:
    """Return the standard error of a sum of means, which may share documents."""
    shares: defaultdict[str, float] = defaultdict(float)
    for names, means in parts:
        size = len(means)
        for name, deviation in zip(names, means - means.mean(), strict=True):
            shares[name] += float(deviation) / sqrt(size * (size - 1))
    return sqrt(sum(share**2 for share in shares.values()))
