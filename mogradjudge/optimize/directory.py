"""A run's directory: what was asked, every event, call and paid reply, and where the run stands."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dspy

from mogradjudge.errors import ResourceError, SetupError
from mogradjudge.files import (
    PARTIAL,
    LineLog,
    check_folder,
    locked,
    read_json,
    replaced,
    to_json,
    write_text,
    written,
)
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.budget import Purse
from mogradjudge.lm.ledger import ROLES, Ledger
from mogradjudge.lm.reply_cache import ReplyStore, replies_kept_in
from mogradjudge.optimize.events import Event, as_json
from mogradjudge.optimize.state import State
from mogradjudge.programs.identity import differences
from mogradjudge.programs.saving import save_program
from mogradjudge.settings import WRITERS

JUDGE, PROGRAM, RESULT, RUBRIC = "judge.json", "program.json", "result.json", "rubric.toml"
ASKED, STATE, EVENTS, CALLS = "asked.json", "state.json", "events.jsonl", "calls.jsonl"
CACHE, LOCK, STOP, TRACKING = "cache", "lock", "stop", "mlflow.json"
REPLAY = f"Delete it and {STATE} to replay the run from its paid replies."
"""What helps where `asked.json` is damaged."""
_OURS = {JUDGE, PROGRAM, RESULT, RUBRIC, ASKED, STATE, EVENTS, CALLS, CACHE, LOCK, STOP, TRACKING}

_ROLES = ROLES[1:]  # those who write


class InUse(SetupError):
    """Another process is at work in the folder."""


@dataclass(frozen=True)
class Pool:
    """What several runs have in common: what they spend, and the replies that were paid for.

    Without ``replies`` each run keeps its own.
    """

    purse: Purse
    replies: ReplyStore | None = None


class RunDirectory:
    """A folder that one run owns.

    A run that was cut short at any instant goes on where it was when it is started again into the
    same folder: the steps that were over stand in `state.json`, and the replies that were paid for
    in the step after them are answered from the folder's cache.

    Args:
        path: The folder; it is made if it is not there.
        replies: Where the replies are kept, if not in the folder.

    Raises:
        SetupError: If it is no folder and none can be made there.
    """

    def __init__(self, path: str | Path, replies: ReplyStore | None = None) -> None:
        self.path = Path(path)
        self._replies = replies or self.path / CACHE
        self._events = LineLog(self.path / EVENTS)
        self._asked: Mapping[str, Any] = {}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"A run's folder must be one that can be made, got {path}: {error.strerror}."
            ) from error

    @property
    def stop_file(self) -> Path:
        """The file whose appearance stops the run."""
        return self.path / STOP

    @contextmanager
    def at_work(self, asked: Mapping[str, Any], ledger: Ledger) -> Iterator[State | None]:
        """Own the folder while the block runs; gives where an earlier start got to.

        Calls are entered into the folder's journal, and into the ledger those of earlier starts;
        replies are kept in the folder's cache.

        Args:
            asked: What decides the run's result, as plain JSON values.
            ledger: The run's ledger, still empty.

        Raises:
            InUse: If another process is at work here.
            SetupError: If the folder belongs to a run that
                asked for something else, or is no run's and not empty, or holds a link.
        """
        with ExitStack() as stack:
            self._lock(stack)
            self._claim(json.loads(json.dumps(asked)))
            with written(self.stop_file):
                self.stop_file.unlink(missing_ok=True)  # it has stopped the start before
            known = State.read(self.path / STATE)
            stack.enter_context(ledger.kept_in(LineLog(self.path / CALLS)))
            stack.enter_context(replies_kept_in(self._replies))
            stack.callback(self._events.close)
            yield known

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out while the block runs.

        Raises:
            InUse: If one is at work here.
        """
        with ExitStack() as stack:
            self._lock(stack)
            yield

    def write(self, event: Event) -> None:
        """Append an event."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        self._events.add({**line, **as_json(event)})

    def save(self, state: State, best: dspy.Module) -> None:
        """Keep where the run stands, and the best program so far.

        Raises:
            SetupError: If that cannot be written, or the folder had gone and is there anew.
        """
        with self._folder_restored():
            self._save_program(best)
            write_text(self.path / STATE, to_json(state.as_dict()) + "\n")

    def finish(self, program: dspy.Module, result: Mapping[str, Any]) -> None:
        """Write the program and the result, each as a whole or not at all.

        Raises:
            SetupError: As `save` does.
        """
        with self._folder_restored():
            self._save_program(program)
            write_text(self.path / RESULT, to_json(result) + "\n")

    @contextmanager
    def _folder_restored(self) -> Iterator[None]:
        """Let the block write into the folder; where it has gone, what is written was paid for."""
        gone = not self.path.exists()
        if gone:
            with written(self.path):
                self.path.mkdir(parents=True)
            write_text(self.path / ASKED, to_json(self._asked) + "\n")
        yield
        if gone:
            raise ResourceError(
                f"{self.path} was removed or renamed while a run was at work in it. What the run "
                "knew is in it again, and the same call goes on from there; the replies and the "
                "journal that were in it are not."
            )

    def _save_program(self, program: dspy.Module) -> None:
        judge = isinstance(program, MultiCriteriaJudge)
        with replaced(self.path / (JUDGE if judge else PROGRAM)) as partial:
            save_program(program, partial)
        if judge:
            write_text(self.path / RUBRIC, program.rubric.to_toml())

    def _lock(self, stack: ExitStack) -> None:
        check_folder(self.path)
        taken = f"Another process is at work in {self.path}. Wait for it, or give another folder."
        stack.enter_context(locked(self.path / LOCK, InUse(taken)))

    def _edited(self) -> bool:
        """Say whether a rewrite was scored: until then the roles' settings decided nothing."""
        state = State.read(self.path / STATE)
        return state is not None and any(step.proposed is not None for step in state.steps)

    def _claim(self, asked: dict[str, Any]) -> None:
        self._asked, path = asked, self.path / ASKED
        kept = {entry.name for entry in self.path.iterdir() if PARTIAL not in entry.name}
        answered = any(entry.get("answered") for entry in LineLog(self.path / CALLS).entries())
        # Where nothing is paid for, nothing is lost; and replies alone serve whoever asks for them.
        if STATE not in kept and not (answered and ASKED in kept):
            if kept - _OURS:
                raise SetupError(
                    f"A run needs a new or empty folder, or a run to take up; {self.path} has "
                    "files that are no run's. Give another one."
                )
            write_text(path, to_json(asked) + "\n")
            return
        before = read_json(path, REPLAY) if path.exists() else {}
        if not self._edited() and _without_roles(before) == _without_roles(asked):
            write_text(path, to_json(asked) + "\n")
            return
        if different := differences(before, asked):
            raise SetupError(
                f"{self.path} holds a run that asked for something else: {'; '.join(different)}. "
                "Give another folder, or the same settings to take it up."
            )


def _without_roles(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what critic, coach and editor are asked with."""
    models = {name: lm for name, lm in asked.get("models", {}).items() if name not in _ROLES}
    return {**{name: asked[name] for name in asked.keys() - WRITERS}, "models": models}
