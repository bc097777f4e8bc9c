"""The judges that are compared: the same texts and criteria, instructions and layout varied."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

from benchmarks.harness.setting import Setting
from mogradjudge import MultiCriteriaJudge
from mogradjudge.judge.instructions import Instructions
from mogradjudge.programs.candidate import Candidate

Sections: TypeAlias = Mapping[str, str]
"""The scoring instructions by criterion."""

# Says nothing about texts or ratings.
_IDLE = (
    "The reading room opens at nine and closes at six. Coats are left at the desk by the door. "
    "Water may be taken in, coffee may not. The lift stops at each floor but the second. Maps are "
    "kept in the long drawers beside the window. A bell rings a quarter of an hour before the end "
    "of the day. The lamps on the tables are switched on by the cord. Bicycles stand in the yard. "
)
# Says how to rate something else, as an optimized section says how to rate a text.
_COMPETING = (
    "Rate how well the loaf is baked. Give 5 only if the crust is dark, thin and cracks when it is "
    "pressed, and the crumb springs back at once. Give 4 if one of these falls short but nobody at "
    "the table would mind. Give 3 to a loaf that is done but dull: an even, pale crust, and a "
    "crumb that stays dented. Give 2 if a damp line runs along the bottom, or if the middle sticks "
    "to the knife. Give 1 if flour is still to be seen in the crumb or the bottom is burnt. Take "
    "off one point for each hole that is wider than a coin, but never more than two. Do not let "
    "the shape sway you: a flat loaf may be baked very well, and a tall one badly. Salt, seeds and "
    "the price are no part of this rating. Look at the bottom before you look at the top. If you "
    "waver between two points, cut a second slice from the other end and go by the worse one. A "
    "smell of yeast speaks for the lower point, a smell of nuts for the higher one. Be sparing "
    "with 5 and do not hesitate to give 1. "
)


def seed_sections(setting: Setting) -> dict[str, str]:
    """Give the sections that a judge starts with."""
    (instructions,) = Candidate.of(setting.judge()).instructions.values()
    return dict(instructions.sections)


def with_sections(judge: MultiCriteriaJudge, sections: Sections) -> MultiCriteriaJudge:
    """Give a copy of a judge with other sections; what it has no section for is left out."""
    return _with(
        judge,
        lambda old: old.replace({n: sections[n] for n, _ in old.sections if n in sections}),
    )


def _with(
    judge: MultiCriteriaJudge, change: Callable[[Instructions], Instructions]
) -> MultiCriteriaJudge:
    current = Candidate.of(judge).instructions
    copied = Candidate({path: change(old) for path, old in current.items()}).written_into(judge)
    assert isinstance(copied, MultiCriteriaJudge)
    return copied


def _separate(setting: Setting, sections: Sections, seed: int) -> MultiCriteriaJudge:
    return with_sections(setting.judge("separate"), sections)


def _joint(setting: Setting, sections: Sections, seed: int) -> MultiCriteriaJudge:
    return with_sections(setting.judge(), sections)


def _run_together(setting: Setting, sections: Sections, seed: int) -> MultiCriteriaJudge:
    """Put the texts one after another below the preamble, without headings."""
    texts = sections.values()
    return _with(setting.judge(), lambda old: Instructions("\n\n".join([old.preamble, *texts])))


def _padded(text: str, setting: Setting, sections: Sections, seed: int) -> MultiCriteriaJudge:
    """Lengthen the seed's sections to the words of the optimized ones, where these have more."""
    words = itertools.cycle(text.split())  # each section goes on where the one before it ended
    padded = {}
    for name, own in seed_sections(setting).items():
        missing = max(0, len(sections[name].split()) - len(own.split()))
        padded[name] = " ".join([own, *itertools.islice(words, missing)])
    return _joint(setting, padded, seed)


def _shuffled(setting: Setting, sections: Sections, seed: int) -> MultiCriteriaJudge:
    """Put the same sections in another order; the reply's fields keep theirs."""
    names, order = list(sections), list(sections)
    rng = random.Random(f"order {seed}")
    while order == names and len(names) > 1:
        rng.shuffle(order)
    texts = {name: sections[name] for name in order}
    return _with(setting.judge(), lambda old: Instructions(old.preamble, texts))


SEED_ARMS = MappingProxyType({"separate": "S0", "combined": "J0"})
"""The seed judge's arm in each layout."""

Make: TypeAlias = Callable[[Setting, Sections, int], MultiCriteriaJudge]
"""Makes an arm's judge of optimized sections; the number seeds an order."""

OPTIMIZED: Mapping[str, Make] = MappingProxyType({"S1": _separate, "J1": _joint})

EXPLAINING: Mapping[str, Make] = MappingProxyType(
    {
        "P": partial(_padded, _IDLE),
        "C": partial(_padded, _COMPETING),
        "O": _shuffled,
        "N": _run_together,
    }
)
"""Arms without which interference can be judged; they tell where it comes from."""

ONE = "J+"
"""Begins the name of an arm with one optimized section; the criterion's name follows."""

NAMES = MappingProxyType(
    {
        "S0": "separate calls, initial instructions",
        "S1": "separate calls, optimized instructions",
        "J0": "one call, initial instructions",
        ONE: "one call, the criterion's own section optimized",
        "J1": "one call, optimized sections",
        "P": "one call, initial instructions with idle prose",
        "C": "one call, initial instructions with rules of another task",
        "O": "one call, optimized sections in another order",
        "N": "one call, optimized sections run together",
    }
)


def judges(
    setting: Setting, sections: Sections, repeat: int, *, explaining: bool = True
) -> dict[str, MultiCriteriaJudge]:
    """Make the judges of all arms with optimized sections, the core ones first."""
    seed = seed_sections(setting)
    core = {name: make(setting, sections, repeat) for name, make in OPTIMIZED.items()}
    for name, text in sections.items():
        core[f"{ONE}{name}"] = _joint(setting, {**seed, name: text}, 0)
    others = EXPLAINING if explaining else {}
    return core | {name: make(setting, sections, repeat) for name, make in others.items()}
