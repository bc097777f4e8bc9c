"""Levels that people give as words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mogradjudge.criteria import Group
from mogradjudge.criteria.applicability import says_not_applicable
from mogradjudge.data.scores import NO_SCORE

# Worst to best.
_LEVELS = (
    *(("fail", "pass"), ("no", "yes"), ("bad", "good"), ("wrong", "right")),
    ("incorrect", "correct"),
    *(("no", "partly", "yes"), ("no", "partially", "yes"), ("bad", "ok", "good")),
    *(("unsafe", "safe"), ("low", "medium", "high"), ("worse", "same", "better")),
    *(("poor", "fair", "good", "excellent"), ("poor", "fair", "good", "very good", "excellent")),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("not at all", "slightly", "moderately", "very", "extremely"),
)
# Of these words those that are used are the levels.
_LADDER = (
    *("terrible", "awful", "very bad", "very poor", "bad", "poor", "weak", "fair", "ok", "okay"),
    *("average", "acceptable", "neutral", "decent", "good", "very good", "great", "excellent"),
    *("outstanding", "perfect"),
)


def likely_levels(cells: Iterable[object]) -> Group:
    """Return the known names of levels, worst to best, that most cells hold.

    Example:
        >>> likely_levels(["Pass", "fail", "see the comment"])
        ('fail', 'pass')
    """
    names = Counter(map(level_of, cells))
    known = (*_LEVELS, tuple(word for word in _LADDER if word in names))
    return max(known, key=lambda levels: sum(names[it] for it in levels))


def is_one_of(levels: Group, cell: object) -> bool:
    """Say whether a cell is the name of a level, or says that there is none.

    >>> is_one_of(("fail", "pass"), " Pass")
    True
    """
    name = level_of(cell)
    return says_not_applicable(cell) or name in levels or name in NO_SCORE


def level_of(cell: object) -> str:
    """Return a cell as the name of a level.

    >>> level_of(" Very  good")
    'very good'
    """
    return " ".join(str(cell).split()).casefold()
