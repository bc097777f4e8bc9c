"""A run's directory: its settings, every event, call and paid reply, and its state."""

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
from mogradjudge.optimize.event_log import as_json
from mogradjudge.optimize.events import Event
from mogradjudge.optimize.parts import PARTS, Parts
from mogradjudge.optimize.state import State
from mogradjudge.programs.identity import differences
from mogradjudge.programs.saving import save_program
from mogradjudge.settings import WRITERS

JUDGE, PROGRAM, RESULT, RUBRIC = "judge.json", "program.json", "result.json", "rubric.toml"
ASKED, STATE, EVENTS, CALLS = "asked.json", "state.json", "events.jsonl", "calls.jsonl"
CACHE, LOCK, STOP, TRACKING = "cache", "lock", "stop", "mlflow.json"
REPLAY = f"Delete it and {STATE} to replay the run from its paid replies."
"""What to do if `asked.json` is damaged."""
_OURS = {
    *(JUDGE, PROGRAM, RESULT, RUBRIC, ASKED, PARTS, STATE, EVENTS, CALLS, CACHE, LOCK, STOP),
    TRACKING,
}

_ROLES = ROLES[1:]  # those that write


class InUse(SetupError):
    """Another process is using the folder."""


@dataclass(frozen=True)
class Pool:
    """What several runs share: the budget, and the replies that were paid for.

    Without ``replies`` each run stores its own.
    """

    purse: Purse
    replies: ReplyStore | None = None


class RunDirectory:
    """A folder that one run owns.

    A run that was interrupted at any moment resumes when it is started again with the same folder:
    `state.json` holds the complete steps, and the folder's cache the paid replies of the next one.

    Args:
        path: The folder; it is created if it does not exist.
        replies: Where the replies are stored, if not in the folder.

    Raises:
        SetupError: If the folder cannot be created.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as parent:
    ...     folder = RunDirectory(Path(parent) / "run")
    ...     with folder.at_work({"mode": "SSS"}, Ledger()) as state:
    ...         print(state, folder.stop_file.name)
    None stop
    """

    def __init__(self, path: str | Path, replies: ReplyStore | None = None) -> None:
        self.path = Path(path)
        self._replies = replies or self.path / CACHE
        self._events = LineLog(self.path / EVENTS)
        self._fingerprint: Mapping[str, Any] = {}
        self._parts: Parts | None = None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"Cannot create the run's folder {path}: {error.strerror}. Give another folder."
            ) from error

    @property
    def stop_file(self) -> Path:
        """The file whose appearance stops the run."""
        return self.path / STOP

    @contextmanager
    def at_work(self, fingerprint: Mapping[str, Any], ledger: Ledger) -> Iterator[State | None]:
        """Lock the folder while the block runs; yields the state of an earlier start, if any.

        Calls are written to the folder's journal, and those of earlier starts are booked in the
        ledger; replies are stored in the folder's cache.

        Args:
            fingerprint: What decides the run's result, as plain JSON values.
            ledger: The run's ledger, still empty.

        Raises:
            InUse: If another process is using the folder.
            SetupError: If the folder holds a run with other settings, files of something else, or a
                link.
        """
        with ExitStack() as stack:
            self._lock(stack)
            self._claim(json.loads(json.dumps(fingerprint)))
            with written(self.stop_file):
                self.stop_file.unlink(missing_ok=True)  # it stopped the run before
            state = State.read(self.path / STATE)
            stack.enter_context(ledger.kept_in(LineLog(self.path / CALLS)))
            stack.enter_context(replies_kept_in(self._replies))
            stack.callback(self._events.close)
            yield state

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against other processes while the block runs.

        Raises:
            InUse: If another process is using it.
        """
        with ExitStack() as stack:
            self._lock(stack)
            yield

    def keep(self, parts: Parts) -> None:
        """Write which texts belong to which part of the run.

        Raises:
            SetupError: If they cannot be written.
        """
        self._parts = parts
        parts.write_to(self.path)

    def write(self, event: Event) -> None:
        """Append an event."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        self._events.add({**line, **as_json(event)})

    def save(self, state: State, best: dspy.Module) -> None:
        """Save the run's state and the best program so far.

        Raises:
            SetupError: If they cannot be written, or if the folder was removed.
        """
        with self._folder_restored():
            self._save_program(best)
            write_text(self.path / STATE, to_json(state.as_dict()) + "\n")

    def finish(self, program: dspy.Module, result: Mapping[str, Any]) -> None:
        """Write the program and the result, each completely or not at all.

        Raises:
            SetupError: As `save` does.
        """
        with self._folder_restored():
            self._save_program(program)
            write_text(self.path / RESULT, to_json(result) + "\n")

    @contextmanager
    def _folder_restored(self) -> Iterator[None]:
        """Create the folder again if it was removed: what the block writes was paid for."""
        removed = not self.path.exists()
        if removed:
            with written(self.path):
                self.path.mkdir(parents=True)
            write_text(self.path / ASKED, to_json(self._fingerprint) + "\n")
            if self._parts is not None:
                self._parts.write_to(self.path)
        yield
        if removed:
            raise ResourceError(
                f"{self.path} was removed or renamed during the run. Its state is saved there "
                "again: run the same command again to resume. Its replies and journal are lost."
            )

    def _save_program(self, program: dspy.Module) -> None:
        judge = isinstance(program, MultiCriteriaJudge)
        with replaced(self.path / (JUDGE if judge else PROGRAM)) as partial:
            save_program(program, partial)
        if judge:
            write_text(self.path / RUBRIC, program.rubric.to_toml())

    def _lock(self, stack: ExitStack) -> None:
        check_folder(self.path)
        message = f"Another process is using {self.path}. Wait for it, or give another folder."
        stack.enter_context(locked(self.path / LOCK, InUse(message)))

    def _edited(self) -> bool:
        """Return whether a rewrite was scored: until then the roles' settings do not matter."""
        state = State.read(self.path / STATE)
        return state is not None and any(step.proposed is not None for step in state.steps)

    def _claim(self, fingerprint: dict[str, Any]) -> None:
        self._fingerprint, path = fingerprint, self.path / ASKED
        if not self._holds_run():
            write_text(path, to_json(fingerprint) + "\n")
            return
        earlier = read_json(path, REPLAY) if path.exists() else {}
        before = _with_more_steps(earlier, fingerprint)
        if not self._edited() and _without_roles(before) == _without_roles(fingerprint):
            write_text(path, to_json(fingerprint) + "\n")
            return
        if different := differences(before, fingerprint):
            raise SetupError(
                f"{self.path} holds a run with other settings: {'; '.join(different)}. Give "
                "another folder, or the same settings to resume; only --steps may be raised."
            )
        if before != earlier:
            write_text(path, to_json(fingerprint) + "\n")

    def _holds_run(self) -> bool:
        """Return whether there is a run to resume: one that has paid for something.

        Raises:
            SetupError: If there are files of something else.
        """
        names = {entry.name for entry in self.path.iterdir() if PARTIAL not in entry.name}
        answered = any(entry.get("answered") for entry in LineLog(self.path / CALLS).entries())
        # Replies without `asked.json` serve any run that asks for them.
        if STATE in names or (answered and ASKED in names):
            return True
        if names - _OURS:
            raise SetupError(
                "A run needs a new or empty folder, or one with a run to resume; "
                f"{self.path} has other files. Give another folder."
            )
        return False


def _with_more_steps(before: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the earlier settings, with the new number of steps if it is larger.

    No step depends on how many are to come, so a run can be taken further.
    """
    steps, wanted = before.get("steps"), fingerprint.get("steps")
    is_more = isinstance(steps, int) and isinstance(wanted, int) and steps < wanted
    return {**before, "steps": wanted} if is_more else dict(before)


def _without_roles(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the LMs and the settings of critic, coach and editor."""
    models = {name: lm for name, lm in fingerprint.get("models", {}).items() if name not in _ROLES}
    values = {name: fingerprint[name] for name in fingerprint.keys() - WRITERS}
    return {**values, "models": models}
