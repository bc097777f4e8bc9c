"""One page over all runs, searches, judges and benchmark results under a folder, live."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from mogradjudge.composition.front import COMPOSE
from mogradjudge.display.terminal import number
from mogradjudge.errors import MogradError, SetupError
from mogradjudge.files import LineLog, read_json
from mogradjudge.optimize.directory import ASKED, EVENTS, JUDGE, REPLAY, RESULT
from mogradjudge.optimize.event_log import read_events
from mogradjudge.optimize.events import (
    Event,
    ResultConfirmed,
    RunEnded,
    RunResumed,
    RunStarted,
    SeedScored,
    StepEnded,
)
from mogradjudge.report.write import REPORT, render, write_report

_SEARCH, _STUDY, _BENCHMARK = "search.json", "study.sqlite3", "report.md"
_SHOWN = {EVENTS, _SEARCH, _STUDY, JUDGE, _BENCHMARK}
_READ = (RunStarted, RunResumed, SeedScored, StepEnded, ResultConfirmed, RunEnded)
_COMPOSE_AGAIN = "Compose again."
_OF_DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_REMEMBERED = 10_000  # files
_DEEPEST = 6  # folders below the one that is shown
_AT_WORK = 600  # seconds since the last change


@dataclass(frozen=True)
class Entry:
    """A row of the page; ``file`` grows while the work goes on, and ``changed`` is its time."""

    kind: str
    name: str
    file: Path
    ended: bool
    changed: float = 0.0
    progress: str = ""
    agreement: str = ""
    note: str = ""
    damaged: bool = False

    @property
    def address(self) -> str:
        """The name as a part of an address; it may be any bytes."""
        return quote(os.fsencode(self.name))

    @property
    def state(self) -> str:
        """What the work is doing."""
        if self.damaged:
            return "damaged"
        if self.ended:
            return "ended"
        return "running" if time.time() - self.changed < _AT_WORK else "not ended"


class Overview:
    """Answers with the page, its rows, and the report of each."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SetupError(f"{folder} is no folder. Give one that holds runs.")
        self.folder = folder.resolve()

    @property
    def routes(self) -> list[Route]:
        """The page's addresses."""
        return [
            Route("/", self.page),
            Route("/rows", self.rows),
            Route("/report", self.report),
        ]

    def entries(self) -> list[Entry]:
        """Return all that there is, last changed first."""
        entries = [_unless_gone(self.folder, path) for path in _folders(self.folder)]
        return sorted(filter(None, entries), key=lambda entry: -entry.changed)

    async def page(self, request: Request) -> HTMLResponse:
        """Answer with the page."""
        return HTMLResponse(await run_in_threadpool(self._html, "view.html.j2"))

    async def rows(self, request: Request) -> HTMLResponse:
        """Answer with the table's rows alone."""
        return HTMLResponse(await run_in_threadpool(self._html, "view_rows.html.j2"))

    async def report(self, request: Request) -> HTMLResponse:
        """Answer with the report of a folder that is listed."""
        name = os.fsdecode(unquote_to_bytes(request.scope["query_string"]))
        known = {_name(self.folder, path): path for path in _folders(self.folder)}
        if name not in known:
            raise HTTPException(404, f"There is no run, search or benchmark {name!r}.")
        return await run_in_threadpool(_report, known[name])

    def _html(self, template: str) -> str:
        return render(
            template,
            scripts=("view.js",),
            allowed="; connect-src 'self'",
            title=f"Runs in {self.folder.name}",
            subtitle=str(self.folder),
            contents=(),
            entries=self.entries(),
            now=time.time(),
        )


def _folders(folder: Path, depth: int = _DEEPEST) -> Iterator[Path]:
    """Yield the folders that hold something to show; links are not followed."""
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError:  # it may be gone, or not ours to read
        return
    if any(entry.name in _SHOWN and entry.is_file() for entry in inside):
        yield folder
    for entry in inside if depth else ():
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _folders(folder / entry.name, depth - 1)


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _unless_gone(folder: Path, path: Path) -> Entry | None:
    try:
        return _read(folder, path)
    except FileNotFoundError:  # it was there when it was listed
        return None


def _read(folder: Path, path: Path) -> Entry:
    name = _name(folder, path)
    if (path / EVENTS).is_file():
        file = path / EVENTS
        entry = Entry("run", name, file, (path / RESULT).exists())
        read = _run
    elif (path / _SEARCH).is_file() or (path / _STUDY).is_file():
        ended = (path / _SEARCH).is_file()
        entry = Entry("search", name, path / (_SEARCH if ended else _STUDY), ended)
        read = _search
    elif (path / JUDGE).is_file():
        is_composed = (path / COMPOSE).is_file()
        kind, written = ("composition", COMPOSE) if is_composed else ("judge", JUDGE)
        entry = Entry(kind, name, path / written, ended=True)
        read = _judge
    else:
        file = path / _BENCHMARK
        return Entry("benchmark", name, file, ended=True, changed=file.stat().st_mtime)
    status = entry.file.stat()
    entry = replace(entry, changed=status.st_mtime)
    try:
        entry = replace(entry, **read(entry.file, status.st_mtime_ns, status.st_size))
        figure = _of_new_texts(path / RESULT) if entry.ended else ""
        return replace(entry, agreement=figure or entry.agreement)
    except MogradError as error:
        return replace(entry, note=str(error), damaged=True)
    except _OF_DAMAGE:  # a value of another kind, or beyond all numbers
        return replace(entry, note=f"{entry.file} is damaged.", damaged=True)


@lru_cache(_REMEMBERED)
def _run(events: Path, changed: int, size: int) -> dict[str, Any]:
    """Read a run's figures; those of a file that has not changed are remembered."""
    last = _last_of_each_kind(events)
    seed, step, end = last.get(SeedScored), last.get(StepEnded), last.get(RunEnded)
    confirmed = last.get(ResultConfirmed)
    steps = _steps(events.with_name(ASKED), last.get(RunStarted))
    figures: dict[str, Any] = {"progress": f"0 of {steps} steps"}
    if end is None:  # a run that goes on has the result of its earlier end
        figures["ended"] = False
    if isinstance(seed, SeedScored):
        figures["agreement"] = number(seed.agreement.get("mean"))
    if isinstance(step, StepEnded):
        calls = end.calls if isinstance(end, RunEnded) else step.calls
        figures["progress"] = f"{step.step} of {steps} steps, {calls} calls"
        figures["agreement"] += f" → {number(step.agreement.get('mean'))}"
    if "agreement" in figures:
        figures["agreement"] += " (validation)"
    if isinstance(confirmed, ResultConfirmed):
        figures["note"] = confirmed.sentence
    return figures


def _of_new_texts(result: Path) -> str:
    """Write the agreement on texts that chose nothing; empty where a run has none, or not yet."""
    if not result.exists():
        return ""
    status = result.stat()
    return _result(result, status.st_mtime_ns, status.st_size)


@lru_cache(_REMEMBERED)
def _result(file: Path, changed: int, size: int) -> str:
    match read_json(file, REPLAY):
        case {"test": {"seed": {"mean": seed}, "final": {"mean": best}}}:
            return f"{number(seed)} → {number(best)} (held-out)"
        case {"confirmation": {"seed": {"mean": seed}, "best": {"mean": best}}}:
            return f"{number(seed)} → {number(best)} (confirmation)"
    return ""


def _last_of_each_kind(events: Path) -> dict[type[Event], Event]:
    """Return a run's last events, without those that a later start or step has outdated."""
    last: dict[type[Event], Event] = {}
    for line in read_events(LineLog(events), _READ):
        if isinstance(line.event, RunStarted | RunResumed):
            last.pop(RunEnded, None)
        if isinstance(line.event, StepEnded):
            last.pop(ResultConfirmed, None)
        last[type(line.event)] = line.event
    return last


def _steps(asked: Path, started: Event | None) -> int:
    """Return how many steps the latest start asks for; it may have raised them."""
    request = read_json(asked, REPLAY) if asked.exists() else {}
    at_first = started.steps if isinstance(started, RunStarted) else 0
    steps: int = request.get("steps", at_first)
    return steps


@lru_cache(_REMEMBERED)
def _search(file: Path, changed: int, size: int) -> dict[str, Any]:
    if file.name != _SEARCH:
        return {}
    result = read_json(file, "Run the search again to write it anew.")
    figures = {}
    match result:
        case {"trials": list(trials)}:
            figures["progress"] = f"{len(trials)} trials"
    match result:
        case {"best": {"agreement": {"mean": float() | int() as mean}}}:
            figures["agreement"] = number(mean)
    return figures


@lru_cache(_REMEMBERED)
def _judge(file: Path, changed: int, size: int) -> dict[str, Any]:
    """Read what a composition measured; of a judge that was calibrated, or saved, nothing."""
    if file.name != COMPOSE:
        return {}
    match read_json(file, _COMPOSE_AGAIN):
        case {
            "calls": int() as calls,
            "chosen": {"mean": float() | int() | None as mean},
            "confirmation": {"sentence": str() as said},
        }:
            return {"progress": f"{calls} calls", "agreement": number(mean), "note": said}
    raise SetupError(f"{file} is damaged. {_COMPOSE_AGAIN}")


def _report(path: Path) -> HTMLResponse:
    """Answer with a report as it is now; a benchmark's is the one that was written."""
    if not any((path / name).exists() for name in (EVENTS, _SEARCH, JUDGE)):
        if not (path / REPORT).exists():
            raise HTTPException(404, f"{path.name} has no report yet.")
        # It may hold anything, so it is no page of this server, which could read the others.
        alone = {"content-security-policy": "sandbox allow-scripts"}
        return HTMLResponse((path / REPORT).read_bytes(), headers=alone)
    with TemporaryDirectory() as folder:
        try:
            written = write_report(path, Path(folder) / REPORT)
        except MogradError:
            raise
        except _OF_DAMAGE as error:
            raise SetupError(f"A file in {path} is damaged, so it has no report.") from error
        return HTMLResponse(written.read_bytes())
