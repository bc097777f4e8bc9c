"""Writes events as the lines of `events.jsonl`, and reads them back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from inspect import isabstract
from typing import Any, NamedTuple

from mogradjudge.errors import SetupError
from mogradjudge.files import DELETE_LINE, LineLog, decoded
from mogradjudge.optimize.events import Event


class Line(NamedTuple):
    """A line of `events.jsonl`: an event and its time, None if the line has no time."""

    event: Event
    time: str | None


def as_json(event: Event) -> dict[str, Any]:
    """Return an event as one line of `events.jsonl`.

    >>> from mogradjudge.optimize.events import RunResumed
    >>> as_json(RunResumed(steps=2, calls=31))
    {'event': 'RunResumed', 'steps': 2, 'calls': 31}
    """
    return {"event": type(event).__name__, **asdict(event)}


def read_events(log: LineLog, kinds: Sequence[type[Event]] = ()) -> Iterator[Line]:
    """Read the events of a run's `events.jsonl`, of this version or an earlier one.

    Args:
        log: The file.
        kinds: The kinds to read; all if it is empty.

    Raises:
        SetupError: If the file cannot be read, or a line holds no known event.
    """
    for number, line in enumerate(log.entries(), start=1):
        if kinds and Event.kinds.get(str(line.get("event"))) not in (None, *kinds):
            continue
        try:
            yield _from_json(line)
        except ValueError as error:
            raise SetupError(
                f"Line {number} of {log.path} is damaged ({error}). {DELETE_LINE}"
            ) from error


def _from_json(line: Mapping[str, Any]) -> Line:
    name, time = line.get("event"), line.get("time")
    kind = Event.kinds.get(name) if isinstance(name, str) else None
    if kind is None or isabstract(kind):
        raise ValueError(f"event: {name!r} is no event of this version")
    return Line(decoded(kind, line), time if isinstance(time, str) else None)
