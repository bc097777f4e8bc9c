"""A run's directory: what was asked, every event, every paid reply, and the result."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dspy

from mogradjudge.criteria import Rubric
from mogradjudge.errors import SetupError
from mogradjudge.events import Event, Observer, as_json
from mogradjudge.replies import replies_kept_in

JUDGE, RESULT, EVENTS, ASKED, RUBRIC = (
    "judge.json",
    "result.json",
    "events.jsonl",
    "asked.json",
    "rubric.toml",
)


class RunDirectory:
    """A folder that one run owns.

    A run that was cut short is taken up by running it again into the same folder: it is
    deterministic, and the replies that it paid for are answered from the folder's cache.

    Args:
        path: The folder; it is made if it is not there.
        asked: What decides the run's result, as plain JSON values.

    Raises:
        SetupError: If the folder belongs to a run that asked for something else, or is no folder of
            a run and not empty.
    """

    def __init__(self, path: str | Path, asked: Mapping[str, Any]) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"`--out` must be a folder, got {path}: {error.strerror}.") from error
        self._claim(json.loads(json.dumps(asked)))

    def result(self) -> dict[str, Any] | None:
        """Give the result of a run that took all its steps, else None."""
        path = self.path / RESULT
        if not path.exists():
            return None
        result = _read(path)
        return result if result.get("stop_reason") == "steps" else None

    @contextmanager
    def recording(self) -> Iterator[Observer]:
        """Keep events and replies while the block runs; gives the observer that writes events."""
        # A run that is taken up goes through the same events again, so the file starts anew.
        with (
            (self.path / EVENTS).open("w", encoding="utf-8") as file,
            replies_kept_in(self.path / "cache"),
        ):

            def write(event: Event) -> None:
                line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
                file.write(to_json({**line, **as_json(event)}, indent=None) + "\n")
                file.flush()

            yield write

    def finish(self, judge: dspy.Module, rubric: Rubric, result: Mapping[str, Any]) -> None:
        """Write the judge, its rubric and the result, each as a whole or not at all."""
        partial = self.path / "partial.json"
        judge.save(partial)
        os.replace(partial, self.path / JUDGE)
        write_text(self.path / RUBRIC, rubric.to_toml())
        write_text(self.path / RESULT, to_json(result) + "\n")

    def _claim(self, asked: dict[str, Any]) -> None:
        path = self.path / ASKED
        kept = {entry.name for entry in self.path.iterdir() if entry.suffix != ".partial"}
        if not kept & {"cache", RESULT}:  # nothing is paid for yet, so nothing is lost
            if kept - {ASKED, EVENTS}:
                raise SetupError(
                    f"`--out` must be a new or empty folder, or a run to take up; {self.path} has "
                    "files that are no run's."
                )
            write_text(path, to_json(asked) + "\n")
            return
        before = _read(path) if path.exists() else {}
        if different := differences(before, asked):
            raise SetupError(
                f"{self.path} holds a run that asked for something else: {'; '.join(different)}. "
                "Give another `--out`, or the same settings to take it up."
            )


def digest_of(examples: Sequence[dspy.Example]) -> str:
    """Name a data set by a hash of its rows, in order."""
    rows = [example.toDict() for example in examples]
    return hashlib.sha256(to_json(rows, indent=None).encode()).hexdigest()[:16]


def to_json(value: object, indent: int | None = 2) -> str:
    """Write JSON with sorted keys; NaN and infinity are refused, for they are not JSON."""
    return json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False)


def write_text(path: Path, text: str) -> None:
    """Replace a file's text as a whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SetupError(f"{path} is damaged: {error}. Give another `--out`.") from error
    return value


def differences(before: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Say in what two runs asked for something else."""
    return [
        f"the {key} differ"
        if key.endswith("data")
        else f"{key} was {before.get(key)!r} and is {asked.get(key)!r}"
        for key in sorted({*before, *asked})
        if before.get(key) != asked.get(key)
    ]
