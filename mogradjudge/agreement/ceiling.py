"""How well people agree with each other, and what that leaves a judge to reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, compress, count
from statistics import fmean
from typing import Any

import numpy as np

from mogradjudge.agreement.bootstrap import (
    FEWEST_DOCUMENTS,
    Interval,
    plain,
    resampled_criteria,
    student_interval,
)
from mogradjudge.agreement.checks import check_lengths, gappy, group_codes
from mogradjudge.agreement.coefficients import Array, Scores, Undefined, rank_deviations
from mogradjudge.agreement.correlation import agreement_by
from mogradjudge.agreement.options import Level, TestOptions

_RARE = 0.5  # a rater of fewer texts has too few for a correlation of their own
_LINEAR = ("spearman", "pearson")  # for which reliability is a correlation
_MOST_UNDEFINED = 0.025  # of resamples in which raters do not agree
_COPIED, _FEWEST_SHARED = 0.95, 20  # kappa of two raters, and the texts it needs


@dataclass(frozen=True)
class Ceiling:
    """How well people agree with each other, and the share of what is possible that a judge has.

    ``raters`` is the mean number of ratings of the texts with several. ``one_rater`` is the
    agreement of one of them with the mean of the others (`human_ceiling`); ``perfect_judge`` that
    of a judge without error with the mean of all, and ``share`` the judge's agreement divided by
    it. The intervals are of the last two. ``undefined_raters`` counts those left out of
    ``one_rater``: their agreement is undefined, say as the others gave one score to all texts.

    >>> few = Undefined("no interval: 4 documents, and it needs 8")
    >>> Ceiling(3.0, 0.7, 0.9, few, 0.5, few).as_dict()["share"]
    0.5
    """

    raters: float
    one_rater: float | Undefined
    perfect_judge: float | Undefined
    interval: Interval | Undefined
    share: float | Undefined
    share_interval: Interval | Undefined
    undefined_raters: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, None where one is undefined, and why there is no share."""
        figures = {name: plain(value) for name, value in vars(self).items()}
        return {**figures, "undefined": getattr(self.share, "reason", None)}


def judge_ceiling(
    ratings: Sequence[Mapping[str, float]],
    human: Scores,
    judge: Scores,
    groups: Sequence[str],
    options: TestOptions | None = None,
) -> Ceiling:
    """Measure what share of the agreement that human scores permit a judge reaches.

    Human scores are means of k raters, who err. A rater agrees with the mean of the k - 1 others
    with r = sqrt(R1 R(k-1)), where R1 is the reliability of one rater and Rm = m R1 / (1 + (m - 1)
    R1) that of the mean of m. A judge without error agrees with the mean of all k with sqrt(Rk),
    which is more than r. A share above 1 is chance, or the judge errs like the raters.

    The intervals resample whole documents, as those of `bootstrap_criteria`; the share's resamples
    both of its sides.

    Source: Spearman 1910, "Correlation calculated from faulty data", and Brown 1910, "Some
    experimental results in the correlation of mental abilities", for Rm; Spearman 1904, "The proof
    and measurement of association between two things", for the share (correction for attenuation).
    They hold for Pearson's r and raters whose errors are independent, and about for Spearman's rho;
    for other measures there is no share.

    >>> ratings = [{"ann": 1, "bob": 2}, {"ann": 3, "bob": 1}, {"ann": 4, "bob": 5}] * 3
    >>> human, judge = [1.5, 2, 4.5] * 3, [1, 3, 2] * 3
    >>> ceiling = judge_ceiling(ratings, human, judge, "abcdefghi")
    >>> round(ceiling.one_rater, 3), round(ceiling.perfect_judge, 3), round(ceiling.share, 3)
    (0.5, 0.816, 0.612)

    Args:
        ratings: The score that each rater gave, for each text.
        human: The human score of each text; None where there is none.
        judge: The judge's score of each text; None where there is none.
        groups: The document of each text.
        options: How agreement is measured; by default pooled Spearman's rho.

    Returns:
        The ceiling. Values are undefined where raters do not agree, intervals with fewer than 8
        documents.

    Raises:
        SetupError: If lengths differ, or a score is not finite.
    """
    how = options or TestOptions(level="pooled")
    check_lengths({"ratings": ratings, "human": human, "judge": judge, "groups": groups})
    values = _rater_values(ratings, groups, how)
    one, unknown = _over_raters(values), sum(isinstance(value, Undefined) for value in values)
    raters = fmean([len(scores) for scores in ratings if len(scores) > 1] or [0])
    if lack := _why_none(one, how):
        return Ceiling(raters, one, lack, lack, lack, lack, unknown)
    columns = {"": (gappy("human", human), gappy("judge", judge))}
    texts = _by_rater([scores if len(scores) > 1 else {} for scores in ratings])
    columns |= {
        rater: _columns(texts, rater) for rater in dict.fromkeys(chain.from_iterable(texts))
    }
    judged, *people = resampled_criteria(columns, group_codes(groups), how).values()
    perfect = float(_perfect(np.array(one), raters))
    possible = _perfect(_mean([person.resampled for person in people]), raters)
    documents = int(np.any([person.has_value for person in people], axis=0).sum())
    unsure = _why_no_interval(possible, documents)
    share = judged.value / perfect
    shares = judged.resampled / possible
    known = documents, how.confidence
    return Ceiling(
        raters,
        one,
        perfect,
        unsure or student_interval(perfect, possible, *known, lowest=0.0),
        share if np.isfinite(share) else Undefined("the judge's agreement has no value"),
        unsure or student_interval(share, shares, *known, lowest=None),
        unknown,
    )


def _why_none(one: float | Undefined, options: TestOptions) -> Undefined | None:
    if isinstance(one, Undefined):
        return one
    if options.method not in _LINEAR:
        return Undefined(f"a ceiling is known of {' and '.join(_LINEAR)} only")
    return Undefined("raters do not agree with each other") if one <= 0 else None


def _perfect(one: Array, raters: float) -> Array:
    """Return the agreement of a perfect judge with all raters; nan where raters do not agree."""
    others, square = raters - 1, np.square(one)
    half = square * (others - 1)
    single = (half + np.sqrt(half**2 + 4 * others * square)) / (2 * others)
    reliability = raters * single / (1 + (raters - 1) * single)
    return np.where(one > 0, np.sqrt(reliability), np.nan)


def _mean(values: Sequence[Array]) -> Array:
    """Average over raters, without those who have no value."""
    table = np.array(values)
    counts = np.isfinite(table).sum(axis=0)
    return np.where(counts > 0, np.nansum(table, axis=0) / np.maximum(counts, 1), np.nan)


def _why_no_interval(possible: Array, documents: int) -> Undefined | None:
    if documents < FEWEST_DOCUMENTS:
        return Undefined(f"no interval: {documents} documents, and it needs {FEWEST_DOCUMENTS}")
    if np.isnan(possible).mean() > _MOST_UNDEFINED:
        return Undefined("no interval: raters agree so little that it may be by chance")
    return None


def copied_raters(ratings: Sequence[Mapping[str, float]]) -> list[tuple[str, str]]:
    """Return the pairs of raters whose scores are so equal that one may be a copy of the other.

    Their kappa is .95 or more on 20 or more texts: of scores that hardly vary, equal ones say
    nothing. Raters of few texts are compared by their places, as in `human_ceiling`.

    Source: Cohen 1960, "A coefficient of agreement for nominal scales".

    >>> texts = [{"ann": n % 5, "bob": n % 5, "cy": n % 3} for n in range(30)]
    >>> copied_raters(texts)
    [('ann', 'bob')]

    Args:
        ratings: The score that each rater gave, for each text.
    """
    texts = _by_rater([scores for scores in ratings if len(scores) > 1])
    raters = dict.fromkeys(chain.from_iterable(texts))
    return [pair for pair in combinations(raters, 2) if _is_copied(texts, *pair)]


def _is_copied(texts: Sequence[Mapping[str, float]], one: str, other: str) -> bool:
    pairs = [(scores[one], scores[other]) for scores in texts if {one, other} <= scores.keys()]
    equal = sum(mine == theirs for mine, theirs in pairs)
    mine, theirs = (Counter(side) for side in zip(*pairs, strict=True)) if pairs else ({}, {})
    by_chance = sum(mine[score] * theirs[score] for score in mine) / max(1, len(pairs))
    spread = len(pairs) - by_chance
    return len(pairs) >= _FEWEST_SHARED and spread > 0 and equal - by_chance >= _COPIED * spread


def human_ceiling(
    ratings: Sequence[Mapping[str, float]],
    groups: Sequence[str] | None = None,
    *,
    level: Level = "pooled",
    options: TestOptions | None = None,
) -> float | Undefined:
    """Measure each rater against the mean of the others, and average over raters; in [-1, 1].

    Only texts with two ratings or more count. Where some rater rated less than half of them, the
    first rating of each text takes the place of a rater, then the second one, and so on.

    The mean of all raters is less noisy than that of all but one. So a judge may agree with it more
    than this, although it agrees no better with people than they do with each other.

    Args:
        ratings: The score that each rater gave, for each text.
        groups: The group of each text; needed for ``level="group"``.
        level: As in `correlate`.
        options: How agreement is measured, in place of the level.

    Example:
        >>> texts = [{"ann": 1, "bob": 2}, {"ann": 3, "bob": 3}, {"ann": 5, "bob": 4}, {"ann": 2}]
        >>> human_ceiling(texts)
        1.0
    """
    return _over_raters(_rater_values(ratings, groups, options or TestOptions(level=level)))


def alpha_of_raters(ratings: Sequence[Mapping[str, float]]) -> float | Undefined:
    """Return Krippendorff's alpha of ordinal ratings, at most 1; 0 is agreement by chance.

    It is `krippendorff_alpha` for any number of raters, each of whom may have left out texts: one
    less the mean variance of a text's mid-ranks, by its ratings, over that of all.

    Args:
        ratings: The score that each rater gave, for each text.

    Example:
        >>> texts = [{"ann": 1, "bob": 2}, {"ann": 3, "bob": 3}, {"ann": 5, "bob": 4}, {"ann": 2}]
        >>> round(alpha_of_raters(texts), 3)
        0.902
    """
    shared = [list(scores.values()) for scores in ratings if len(scores) > 1]
    if not shared:
        return Undefined("no text has two ratings")
    scores = np.concatenate(shared)
    ranks = rank_deviations(scores, np.zeros(len(scores), dtype=np.intp), 1)
    if (expected := ranks.var(ddof=1)) == 0:
        return Undefined("all scores are equal")
    texts = np.split(ranks, np.cumsum([len(several) for several in shared])[:-1])
    observed = sum(len(text) * text.var(ddof=1) for text in texts) / len(ranks)
    return float(1 - observed / expected)


def _rater_values(
    ratings: Sequence[Mapping[str, float]], groups: Sequence[str] | None, options: TestOptions
) -> list[float | Undefined]:
    """Measure each rater, or each place, against the mean of the others."""
    texts = _by_rater([scores if len(scores) > 1 else {} for scores in ratings])
    raters = dict.fromkeys(chain.from_iterable(texts))
    return [_with_the_others(texts, rater, groups, options) for rater in raters]


def _over_raters(values: Sequence[float | Undefined]) -> float | Undefined:
    defined = [value for value in values if not isinstance(value, Undefined)]
    if defined:
        return fmean(defined)
    return values[0] if values else Undefined("no text has two ratings")


def _by_rater(texts: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """Return the texts' ratings by rater, or by place where a rater rated too few."""
    counts = Counter(chain.from_iterable(texts))
    if any(times < _RARE * sum(map(bool, texts)) for times in counts.values()):
        return [dict(zip(map(str, count(1)), scores.values(), strict=False)) for scores in texts]
    return list(texts)


def _columns(texts: Sequence[Mapping[str, float]], rater: str) -> tuple[Array, Array]:
    """Return the mean of the others and the rater's score; nan where the rater has none."""
    columns = np.full((2, len(texts)), np.nan)
    for place, scores in enumerate(texts):
        if rater in scores:
            others = fmean(score for name, score in scores.items() if name != rater)
            columns[:, place] = others, scores[rater]
    return columns[0], columns[1]


def _with_the_others(
    texts: Sequence[Mapping[str, float]],
    rater: str,
    groups: Sequence[str] | None,
    options: TestOptions,
) -> float | Undefined:
    others, own = _columns(texts, rater)
    rated = np.isfinite(own)
    of_rated = None if groups is None else list(compress(groups, rated))
    return agreement_by(options, others[rated], own[rated], of_rated)
