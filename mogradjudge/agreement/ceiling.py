"""How well people agree with each other: what a judge is compared with, not its upper bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, count
from statistics import fmean

from mogradjudge.agreement.coefficients import Undefined
from mogradjudge.agreement.correlation import agreement_by
from mogradjudge.agreement.options import Level, TestOptions

_RARE = 0.5  # a rater of fewer texts has too few for a correlation of their own


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
    chosen = [place for place, scores in enumerate(ratings) if len(scores) > 1]
    texts = _by_rater([ratings[place] for place in chosen])
    of_texts = None if groups is None else [groups[place] for place in chosen]
    how = options or TestOptions(level=level)
    raters = dict.fromkeys(chain.from_iterable(texts))
    values = [_with_the_others(texts, rater, of_texts, how) for rater in raters]
    defined = [value for value in values if not isinstance(value, Undefined)]
    if defined:
        return fmean(defined)
    return values[0] if values else Undefined("no text has two ratings")


def _by_rater(texts: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """Return the texts' ratings by rater, or by place where a rater rated too few."""
    counts = Counter(chain.from_iterable(texts))
    if any(times < _RARE * len(texts) for times in counts.values()):
        return [dict(zip(map(str, count()), scores.values(), strict=False)) for scores in texts]
    return list(texts)


def _with_the_others(
    texts: Sequence[Mapping[str, float]],
    rater: str,
    groups: Sequence[str] | None,
    options: TestOptions,
) -> float | Undefined:
    rated = [place for place, scores in enumerate(texts) if rater in scores]
    own = [texts[place][rater] for place in rated]
    others = [
        fmean(score for name, score in texts[place].items() if name != rater) for place in rated
    ]
    of_rated = None if groups is None else [groups[place] for place in rated]
    return agreement_by(options, others, own, of_rated)
