"""What a run's folder has kept of the events that MLflow is told of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from mogradjudge.files import LineLog
from mogradjudge.optimize.directory import EVENTS
from mogradjudge.optimize.events import (
    Event,
    GateDecided,
    QuestionSkipped,
    RunStarted,
    SectionRewritten,
    SeedScored,
    StepEnded,
    StepStarted,
)

_KINDS = {
    kind.__name__: kind
    for kind in (
        *(RunStarted, SeedScored, StepStarted, SectionRewritten),
        *(QuestionSkipped, GateDecided, StepEnded),
    )
}


def events_before(folder: Path, steps: int) -> Iterator[Event]:
    """Give the events of earlier starts, but for those after the first ``steps`` steps.

    Tuples are lists. A step that was taken anew comes as often as it was begun.
    """
    for line in LineLog(folder / EVENTS).entries():
        kind = _KINDS.get(line["event"])
        if kind is not None and line.get("step", 0) <= steps:
            yield kind(**{each.name: line[each.name] for each in fields(kind)})
