"""How much of a text is about a criterion, and how much of that can be acted on.

Shares are of units, headings and unrated units left out; boilerplate counts as about nothing. A
unit about two criteria counts for each by its share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.worlds.ratings import RatedUnit, Rating
from mogradjudge.criteria import Group


@dataclass(frozen=True)
class CriterionFocus:
    """What a text does for one criterion.

    ``share`` is the share of its units on the criterion, from 0 to 1, None for a text without a
    rated unit. ``actionable`` is its yield: the mass on the criterion of what can be acted on.
    """

    share: float | None
    actionable: float


@dataclass(frozen=True)
class TextFocus:
    """The measures of one text.

    ``actionable_units`` counts the units that can be acted on, whatever they are about.
    """

    by_criterion: Mapping[str, CriterionFocus]
    units: int
    actionable_units: int
    unrated: int
    words: int


def measure(rated: Sequence[RatedUnit], criteria: Group) -> TextFocus:
    """Measure one text, given its units' ratings.

    Args:
        rated: The units in any order; all measures are sums over them.
        criteria: The criteria of the rubric.

    >>> from benchmarks.worlds.ratings import rated
    >>> ratings = {"Count typos.": Rating.of("fluency", actionable=True)}
    >>> measure(rated("Count typos.", ratings), ("fluency",)).by_criterion["fluency"]
    CriterionFocus(share=1.0, actionable=1.0)
    """
    units = [unit for unit in rated if unit.unit.kind != "heading"]
    ratings = [unit.rating for unit in units if isinstance(unit.rating, Rating)]
    return TextFocus(
        by_criterion={name: _focus(name, ratings) for name in criteria},
        units=len(ratings),
        actionable_units=sum(rating.actionable for rating in ratings),
        unrated=len(units) - len(ratings),
        words=sum(unit.unit.words for unit in rated),
    )


def _focus(name: str, ratings: Sequence[Rating]) -> CriterionFocus:
    mass = [(rating.mass.get(name, 0.0), rating.actionable) for rating in ratings]
    return CriterionFocus(
        share=math.fsum(share for share, _ in mass) / len(mass) if mass else None,
        actionable=math.fsum(share for share, can_act in mass if can_act),
    )
