"""Controls: the same advice joined, routed, or with its criteria's names hidden."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from benchmarks.worlds.bank import label_of, names_of
from benchmarks.worlds.ratings import RatedUnit, Rating
from mogradjudge.criteria import Group

MASK = "CRIT"
_SHORTEST_STEM = 5  # letters; shorter ones begin too many words that mean something else
_ENDINGS = ("ibility", "ability", "ency", "ence", "ancy", "ance", "ness", "ment", "ity", "cy", "y")


def concatenate(texts: Iterable[str]) -> str:
    """Join separate gradients into one text: a joint gradient that no LM has diluted."""
    return "\n\n".join(filter(None, (text.strip() for text in texts)))


def is_on(unit: RatedUnit, criterion: str) -> bool:
    """Say whether a unit is advice on a criterion; one that is on two criteria is on both."""
    rating = unit.rating
    return unit.unit.kind == "advice" and isinstance(rating, Rating) and rating.is_on(criterion)


def on_topic(rated: Sequence[RatedUnit], criterion: str) -> str:
    """Give the units of a gradient that are on a criterion, one per line."""
    return "\n".join(unit.unit.text for unit in rated if is_on(unit, criterion))


def off_topic(rated: Sequence[RatedUnit], criterion: str) -> str:
    """Give all other rated units of a gradient, one per line."""
    return "\n".join(
        unit.unit.text
        for unit in rated
        if unit.unit.kind == "advice"
        and isinstance(unit.rating, Rating)
        and not unit.rating.is_on(criterion)
    )


def mask(text: str, criteria: Group) -> str:
    """Put `MASK` for every form of the criteria's names, also behind ``in-`` or ``un-``."""
    return _names(criteria).sub(MASK, text)


@cache
def _names(criteria: Group) -> re.Pattern[str]:
    forms: set[str] = set()
    for criterion in criteria:
        label = label_of(criterion)
        forms.add(_form(criterion))
        forms.update(_form(name) for name in (names_of(label) if label else ()))
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile(
        rf"(?<!\w)(?:(?:in|un|im|ir|dis|non|over)-?)?(?:{'|'.join(longest_first)})(?!\w)",
        re.IGNORECASE,
    )


def _form(name: str) -> str:
    """Give a pattern for a name: its stem with any ending, or itself where the stem is short."""
    words = [re.escape(word) for word in re.split(r"[\s_-]+", name)]
    stem = next(
        (name.removesuffix(end) for end in _ENDINGS if name.endswith(end)), name.removesuffix("e")
    )
    if len(words) > 1 or len(stem) < _SHORTEST_STEM:
        return r"[\s_-]+".join(words)
    return re.escape(stem) + r"\w*"
