"""How much of a text is about a criterion, and how much of that can be acted on.

Shares are of words or of units, headings and unrated units left out; boilerplate counts as about
nothing. A share is compared with what equal attention gives: at ``1 / K`` of the text per criterion
the chance-corrected focus is 0, at all of it 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.worlds.ratings import REST, RatedUnit, Rating
from mogradjudge.criteria import Group

TOKENS_PER_WORD = 1.3  # of English, for the usual tokenizers


@dataclass(frozen=True)
class CriterionFocus:
    """What a text does for one criterion.

    ``on_topic`` counts the units whose largest mass is on the criterion, ``actionable`` those among
    them that can be acted on: the yield. ``expected_yield`` sums the mass on the criterion over all
    units that can be acted on, which is the same where a rater gives each unit one label and tells
    more of one that gives probabilities. A share is None for a text without a rated unit.
    """

    share_by_words: float | None
    share_by_units: float | None
    on_topic: int
    actionable: int
    actionable_per_100_tokens: float | None
    expected_yield: float


@dataclass(frozen=True)
class TextFocus:
    """The measures of one text.

    ``actionable_units`` counts the units that can be acted on, whatever they are about.
    ``coverage`` is the share of criteria with a yield of at least 1, ``entropy`` that of the words'
    mass on the criteria, as a share of ``log K`` (None if there is no such mass, or one criterion).
    """

    by_criterion: Mapping[str, CriterionFocus]
    mass_by_words: Mapping[str, float]
    units: int
    actionable_units: int
    unrated: int
    words: int
    coverage: float
    entropy: float | None


def measure(rated: Sequence[RatedUnit], criteria: Group) -> TextFocus:
    """Measure one text, given its units' ratings.

    Args:
        rated: The units in any order; all measures are sums over them.
        criteria: The criteria of the rubric.
    """
    words = sum(unit.unit.words for unit in rated)
    asked_about = [unit for unit in rated if unit.unit.kind != "heading"]
    counted = [
        (unit.unit.words, unit.rating) for unit in asked_about if isinstance(unit.rating, Rating)
    ]
    by_words = _mass(counted, criteria)
    by_units = _mass([(1, rating) for _, rating in counted], criteria)
    by_criterion = {
        name: _focus(name, [r for _, r in counted], by_words, by_units, words * TOKENS_PER_WORD)
        for name in criteria
    }
    covered = [focus.actionable >= 1 for focus in by_criterion.values()]
    return TextFocus(
        by_criterion=by_criterion,
        mass_by_words=by_words,
        units=len(counted),
        actionable_units=sum(rating.actionable for _, rating in counted),
        unrated=len(asked_about) - len(counted),
        words=words,
        coverage=sum(covered) / len(covered),
        entropy=_entropy([by_words.get(name, 0.0) for name in criteria]),
    )


def chance_corrected(share: float, criteria: int) -> float | None:
    """Give 0 for equal attention to all criteria and 1 for a pure text; None for one criterion."""
    return None if criteria == 1 else (share - 1 / criteria) / (1 - 1 / criteria)


def _mass(counted: Sequence[tuple[int, Rating]], criteria: Group) -> dict[str, float]:
    total = sum(weight for weight, _ in counted)
    if not total:
        return {}
    return {
        label: math.fsum(weight * rating.mass.get(label, 0.0) for weight, rating in counted) / total
        for label in (*criteria, *REST)
    }


def _focus(
    name: str,
    ratings: Sequence[Rating],
    by_words: Mapping[str, float],
    by_units: Mapping[str, float],
    tokens: float,
) -> CriterionFocus:
    on_topic = [rating for rating in ratings if rating.is_on(name)]
    actionable = sum(rating.actionable for rating in on_topic)
    return CriterionFocus(
        share_by_words=by_words.get(name),
        share_by_units=by_units.get(name),
        on_topic=len(on_topic),
        actionable=actionable,
        actionable_per_100_tokens=100 * actionable / tokens if tokens else None,
        expected_yield=math.fsum(
            rating.mass.get(name, 0.0) for rating in ratings if rating.actionable
        ),
    )


def _entropy(mass: Sequence[float]) -> float | None:
    total = math.fsum(mass)
    if total <= 0 or len(mass) == 1:
        return None
    parts = [part / total for part in mass if part > 0]
    return -math.fsum(part * math.log(part) for part in parts) / math.log(len(mass))
