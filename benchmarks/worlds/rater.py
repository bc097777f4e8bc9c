"""How the rater of a simulated world answers: right mostly, and wrong at a known rate."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from benchmarks.worlds.bank import Sentence, label_of, sentences
from benchmarks.worlds.controls import mask
from benchmarks.worlds.ratings import GENERAL, REST
from benchmarks.worlds.units import split_units
from mogradjudge.criteria import Group

WRONG = 0.1  # how often it takes a sentence to be about something else


def rating(
    inputs: Mapping[str, str],
    cues: Mapping[str, Sequence[str]],
    chance: Callable[..., float],
) -> dict[str, Any]:
    """Answer a rater's prompt.

    Args:
        inputs: The prompt's inputs, by field.
        cues: The phrases of the world that help each criterion.
        chance: Draws from (0, 1), always the same for the same texts.
    """
    if "sentence" in inputs:
        names = tuple(json.loads(inputs["criteria"]))
        about, actionable = _labels(inputs["sentence"], names, cues)
        if chance("rater", inputs["sentence"]) < WRONG:
            others = [name for name in (*names, *REST) if name not in about]
            about = (others[int(chance("other", inputs["sentence"]) * len(others))],)
        return {"about": list(about), "can_be_acted_on": "yes" if actionable else "no"}
    wanted = [cue for cue in cues[inputs["criterion"]] if cue in inputs["advice"]]
    if "new_instructions" in inputs:
        followed = sum(cue in inputs["new_instructions"] for cue in wanted)
        return {"adherence": 1 + round(9 * followed / max(1, len(wanted)))}
    units = [unit.text for unit in split_units(inputs["advice"]) if not unit.generic]
    on_it = len(wanted) + sum(_is_about(unit, inputs["criterion"]) for unit in units)
    return {"focus": min(10, 1 + round(9 * on_it / max(1, len(units))))}


def _is_about(sentence: str, name: str) -> bool:
    """Say whether it is a sentence of the bank on this criterion."""
    known = _known((name,)).get(mask(sentence, (name,)))
    return known is not None and label_of(name) in known.labels


def _labels(sentence: str, names: Group, cues: Mapping[str, Sequence[str]]) -> tuple[Group, bool]:
    for name in names:
        if any(mask(cue, names) in mask(sentence, names) for cue in cues[name]):
            return (name,), True
    known = _known(names).get(mask(sentence, names))
    if known is None:
        return (GENERAL,), sentence.startswith("Tell")
    own = {label_of(name): name for name in names} | {label: label for label in REST}
    return tuple(own.get(label, GENERAL) for label in known.labels), known.actionable


@cache
def _known(names: Group) -> dict[str, Sentence]:
    """Find the bank's sentences, also when their names are hidden."""
    return {mask(sentence.text, names): sentence for sentence in sentences("held_out")}
