"""Processes that tests start: the slow imports are behind them, and what they say is in files."""

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from uuid import uuid4

PATIENCE = 300.0  # seconds that one may take

# One by one they would import this for seconds each.
PRELOADED = [
    *("mogradjudge.cli", "mogradjudge.search", "benchmarks.noise", "litellm", "datasets"),
    *("diskcache", "rich.console", "scipy.stats", "sklearn.ensemble", "optuna.importance"),
]


@dataclass(frozen=True)
class Worker:
    """A process, and the files that its standard output and its standard error go to."""

    process: BaseProcess
    out: Path
    err: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def says(self, text: str) -> None:
        """Wait until it has said something on its standard output."""
        end = time.monotonic() + PATIENCE
        while not self.out.exists() or text not in self.out.read_text():
            assert self.process.is_alive() and time.monotonic() < end, self.err.read_text()
            time.sleep(0.02)

    def ended(self, status: int = 0) -> tuple[str, str]:
        """Wait for its end; gives what it said on both."""
        self.process.join(PATIENCE)
        said = self.out.read_text(), self.err.read_text()
        assert self.process.exitcode == status, said[1]
        return said


def prepare() -> None:
    """Let a server fork from now on whatever is started; the first to ask says what it imports."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()


def start(folder: Path, function: Callable[..., None], *arguments: Any) -> Worker:
    """Call a module's function in a process of its own."""
    prepare()
    out, err = (folder / f"{uuid4().hex}.{kind}" for kind in ("out", "err"))
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_call, args=(out, err, function, arguments), daemon=True)
    process.start()
    return Worker(process, out, err)


def _call(out: Path, err: Path, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    for number, path in enumerate((out, err), start=1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    function(*arguments)
