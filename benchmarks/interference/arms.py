"""The judges that are compared: the same texts and criteria, instructions and layout varied."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from benchmarks.harness.setting import Setting
from mogradjudge import MultiCriteriaJudge
from mogradjudge.judge.instructions import Instructions
from mogradjudge.programs.candidate import Candidate

Sections: TypeAlias = Mapping[str, str]
"""The scoring instructions by criterion."""

# Says nothing about texts or ratings, and is as long as one likes.
_PADDING = (
    "The reading room opens at nine and closes at six. Coats are left at the desk by the door. "
    "Water may be taken in, coffee may not. The lift stops at each floor but the second. Maps are "
    "kept in the long drawers beside the window. A bell rings a quarter of an hour before the end "
    "of the day. The lamps on the tables are switched on by the cord. Bicycles stand in the yard. "
)


def seed_sections(setting: Setting) -> dict[str, str]:
    """Give the sections that a judge starts with."""
    return dict(_instructions(setting.judge()).sections)


def with_sections(judge: MultiCriteriaJudge, sections: Sections) -> MultiCriteriaJudge:
    """Give a copy of a judge with other sections; what it has no section for is left out."""
    candidate = Candidate.of(judge)
    changed = {
        path: old.replace({name: sections[name] for name, _ in old.sections if name in sections})
        for path, old in candidate.instructions.items()
    }
    copied = Candidate(changed).written_into(judge)
    assert isinstance(copied, MultiCriteriaJudge)
    return copied


def _separate(setting: Setting, sections: Sections, seed: int) -> MultiCriteriaJudge:
    return with_sections(setting.judge("separate"), sections)


def _joint(setting: Setting, sections: Sections, seed: int) -> MultiCriteriaJudge:
    return with_sections(setting.judge(), sections)


def _run_together(setting: Setting, sections: Sections, seed: int) -> MultiCriteriaJudge:
    """Put the texts one after another below the preamble, without headings."""
    judge = setting.judge()
    preamble = "\n\n".join([_instructions(judge).preamble, *sections.values()])
    return _with_instructions(judge, Instructions(preamble))


def _padded(setting: Setting, sections: Sections, seed: int) -> MultiCriteriaJudge:
    """Lengthen the seed's sections to the words of the optimized ones."""
    return _joint(
        setting,
        {
            name: f"{text} {_words(len(sections[name].split()) - len(text.split()))}".strip()
            for name, text in seed_sections(setting).items()
        },
        seed,
    )


def _shuffled(setting: Setting, sections: Sections, seed: int) -> MultiCriteriaJudge:
    """Put the same sections in another order; the reply's fields keep theirs."""
    judge = setting.judge()
    names, order = list(sections), list(sections)
    rng = random.Random(f"order {seed}")
    while order == names and len(names) > 1:
        rng.shuffle(order)
    preamble = _instructions(judge).preamble
    return _with_instructions(judge, Instructions(preamble, {n: sections[n] for n in order}))


SEED_ARMS = MappingProxyType({"separate": "S0", "combined": "J0"})
"""The seed judge's arm in each layout."""

OPTIMIZED: Mapping[str, Callable[[Setting, Sections, int], MultiCriteriaJudge]] = MappingProxyType(
    {"S1": _separate, "J1": _joint, "N": _run_together, "P": _padded, "O": _shuffled}
)
"""How the arms with optimized instructions are made; the number seeds an order."""

MEANINGS = MappingProxyType(
    {
        "S0": "one call per criterion, seed instructions",
        "S1": "one call per criterion, optimized instructions",
        "J0": "one call for all, seed instructions",
        "J1": "one call for all, optimized instructions in sections",
        "N": "one call for all, optimized instructions run together",
        "P": "one call for all, seed instructions padded to J1's length",
        "O": "one call for all, J1's sections in another order",
    }
)


def one_optimized(setting: Setting, sections: Sections, name: str) -> MultiCriteriaJudge:
    """Make the joint judge in which one criterion alone has its optimized section."""
    return _joint(setting, {**seed_sections(setting), name: sections[name]}, 0)


def _instructions(judge: MultiCriteriaJudge) -> Instructions:
    (instructions,) = Candidate.of(judge).instructions.values()
    return instructions


def _with_instructions(judge: MultiCriteriaJudge, instructions: Instructions) -> MultiCriteriaJudge:
    (path,) = Candidate.of(judge).instructions
    copied = Candidate({path: instructions}).written_into(judge)
    assert isinstance(copied, MultiCriteriaJudge)
    return copied


def _words(count: int) -> str:
    words = _PADDING.split()
    repeated = words * (1 + max(0, count) // len(words))
    return " ".join(repeated[: max(0, count)])
