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
    focus_by_words: float | None
    focus_by_units: float | None
    on_topic: int
    actionable: int
    actionable_per_100_tokens: float | None
    expected_yield: float

    @property
    def display(self) -> float | None:
        """The share of words on a scale from 0 to 10: 2.5 for equal attention to four criteria."""
        return None if self.share_by_words is None else 10 * self.share_by_words


@dataclass(frozen=True)
class TextFocus:
    """The measures of one text.

    ``tokens`` are those that were given, or ``words`` times `TOKENS_PER_WORD` where
    ``tokens_estimated``. ``actionable_units`` counts the units that can be acted on, whatever they
    are about. ``coverage`` is the share of criteria with a yield of at least 1, ``entropy`` that of
    the words' mass on the criteria, as a share of ``log K`` (None if there is no such mass, or one
    criterion).
    """

    by_criterion: Mapping[str, CriterionFocus]
    mass_by_words: Mapping[str, float]
    mass_by_units: Mapping[str, float]
    units: int
    actionable_units: int
    unrated: int
    headings: int
    words: int
    tokens: float
    tokens_estimated: bool
    coverage: float
    entropy: float | None


def measure(rated: Sequence[RatedUnit], criteria: Group, tokens: float | None = None) -> TextFocus:
    """Measure one text, given its units' ratings.

    Args:
        rated: The units in any order; all measures are sums over them.
        criteria: The criteria of the rubric.
        tokens: The text's length if it is known; else it is estimated from the words.
    """
    words = sum(each.unit.words for each in rated)
    length = words * TOKENS_PER_WORD if tokens is None else tokens
    counted = [
        (each.unit.words, each.rating)
        for each in rated
        if each.unit.kind != "heading" and isinstance(each.rating, Rating)
    ]
    by_words = _mass(counted, criteria)
    by_units = _mass([(1, rating) for _, rating in counted], criteria)
    by_criterion = {
        name: _focus(name, [r for _, r in counted], by_words, by_units, len(criteria), length)
        for name in criteria
    }
    headings = sum(each.unit.kind == "heading" for each in rated)
    covered = [each.actionable >= 1 for each in by_criterion.values()]
    return TextFocus(
        by_criterion=by_criterion,
        mass_by_words=by_words,
        mass_by_units=by_units,
        units=len(counted),
        actionable_units=sum(rating.actionable for _, rating in counted),
        unrated=len(rated) - headings - len(counted),
        headings=headings,
        words=words,
        tokens=length,
        tokens_estimated=tokens is None,
        coverage=sum(covered) / len(covered),
        entropy=_entropy([by_words.get(name, 0.0) for name in criteria]),
    )


def chance_corrected(share: float, criteria: int) -> float | None:
    """Give 0 for equal attention to all criteria and 1 for a pure text; None for one criterion."""
    return None if criteria == 1 else (share - 1 / criteria) / (1 - 1 / criteria)


def leakage(texts: Sequence[tuple[str, TextFocus]]) -> dict[str, dict[str, float]]:
    """Give the mean mass per label, by the criterion that a text was asked about.

    A joint text belongs to every criterion's row. Texts without a rated unit are left out.
    """
    rows: dict[str, list[Mapping[str, float]]] = {}
    for target, focus in texts:
        if focus.mass_by_words:
            rows.setdefault(target, []).append(focus.mass_by_words)
    return {
        target: {
            label: math.fsum(each[label] for each in masses) / len(masses) for label in masses[0]
        }
        for target, masses in rows.items()
    }


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
    criteria: int,
    tokens: float,
) -> CriterionFocus:
    on_topic = [rating for rating in ratings if rating.is_on(name)]
    actionable = sum(rating.actionable for rating in on_topic)
    words, units = by_words.get(name), by_units.get(name)
    return CriterionFocus(
        share_by_words=words,
        share_by_units=units,
        focus_by_words=None if words is None else chance_corrected(words, criteria),
        focus_by_units=None if units is None else chance_corrected(units, criteria),
        on_topic=len(on_topic),
        actionable=actionable,
        actionable_per_100_tokens=100 * actionable / tokens if tokens else None,
        expected_yield=math.fsum(each.mass.get(name, 0.0) for each in ratings if each.actionable),
    )


def _entropy(mass: Sequence[float]) -> float | None:
    total = math.fsum(mass)
    if total <= 0 or len(mass) == 1:
        return None
    parts = [part / total for part in mass if part > 0]
    return -math.fsum(part * math.log(part) for part in parts) / math.log(len(mass))
