"""How the coach of a planted world writes: in units, and no longer than it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.worlds.cues import owners_in
from benchmarks.worlds.units import split_units
from benchmarks.worlds.world import unit_on


def units_of(advice: str, texts: Mapping[str, str]) -> list[dict[str, object]]:
    """Make units of a coach's paragraphs; the texts that show a cue to be missing support it."""
    units: list[dict[str, object]] = []
    for paragraph in advice.split("\n\n"):
        name, _, said = paragraph.partition(": ")
        for sentence in split_units(said):
            rules = owners_in(sentence.text)
            support = [
                n for n, text in texts.items() if not rules or rules.keys() & owners_in(text)
            ]
            units.append(unit_on(name, sentence.text, support))
    return units


def cut(advice: Mapping[str, Sequence[str]], units: int) -> dict[str, list[str]]:
    """Keep so many units, taken from the criteria in turn."""
    turns = max(map(len, advice.values()), default=0)
    order = [(n, name) for n in range(turns) for name in advice if n < len(advice[name])]
    taken = set(order[:units])
    return {
        name: [cue for n, cue in enumerate(cues) if (n, name) in taken]
        for name, cues in advice.items()
    }
