"""Run one method, gate what it found, and ask the world how good it is."""

from __future__ import annotations

import contextlib
import io
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import dspy

from benchmarks.harness.tasks import Unmeasurable
from benchmarks.peers.budget import CapReached, Meter
from benchmarks.peers.gating import is_better
from benchmarks.peers.method import Found, Method, Task
from benchmarks.worlds.cues import CUES
from benchmarks.worlds.planted import PlantedEngine, PlantedWorld
from benchmarks.worlds.world import inputs_of, labels_of, parts_of
from mogradjudge import Agreement
from mogradjudge.errors import RunStopped
from mogradjudge.lm.reply_cache import replies_kept_in
from mogradjudge.settings import Layout

_LOGGERS = ("dspy", "gepa", "httpx", "LiteLLM", "optuna", "textgrad", "tenacity")
_NO_CAP, _THREADS = 10**9, 16  # before and after a method runs
_SHOWN = 120  # characters of an error


class Server(Protocol):
    """A server that counts its calls."""

    @property
    def url(self) -> str: ...

    def counts(self) -> dict[str, Any]: ...

    def reset(self) -> None: ...


class Nearby(PlantedEngine):
    """A model in this process that counts its calls as a server does: it saves much time."""

    url = ""

    def __init__(self, world: PlantedWorld, latency: float) -> None:
        super().__init__(world)
        self._latency, self._tokens = latency, 0

    def answer(self, system: str, user: str) -> str:
        time.sleep(self._latency)
        text = super().answer(system, user)
        with self._lock:
            self._tokens += len(system + user) // 4 + len(text) // 4
        return text

    def counts(self) -> dict[str, Any]:
        """Give calls by role, and the tokens."""
        return {"calls": dict(self.calls), "tokens": self._tokens}

    def reset(self) -> None:
        """Forget the counts, not what was sent before."""
        self.prompts.clear()
        self._tokens = 0


class CannotRun(Unmeasurable):
    """A method is not installed, or has failed; the message says how."""


def measure(
    method: Method, task: Task, server: Server, world: PlantedWorld, *, gated: bool = True
) -> dict[str, Any]:
    """Give a cell's result.

    Agreements are the true ones, unless they are said to be on the validation texts. There the seed
    prompt and what the method found are measured by one rule, which is paid apart from the cap.

    Args:
        method: What is run.
        task: What it is given.
        server: Counts its calls.
        world: Knows the truth.
        gated: Whether the seed prompt is kept unless the other does better on the validation texts.

    Raises:
        CannotRun: If the method cannot be imported, or raises anything.
        RunStopped: If somebody stopped it.
    """
    with quiet(), replies_kept_in(None):
        _prepare(method)
        around = replace(task, meter=Meter(_NO_CAP), num_threads=_THREADS)
        with dspy.context(lm=around.lm):
            before = around.measure(task.seed_prompt)
        server.reset()
        started = time.perf_counter()
        outcome = _run(method, task)
        seconds = time.perf_counter() - started
        counts, reached = server.counts(), _reached(server, outcome.steps)
        around = replace(around, layout=outcome.layout or task.layout)
        with dspy.context(lm=around.lm):
            instructions, after = _gated(around, outcome, before, gated=gated)
    return {
        "notes": _notes(outcome, task),
        "calls": counts["calls"],
        "tokens": counts["tokens"],
        "reached": reached,
        "steps": outcome.steps,
        "seconds": seconds,
        "seed_validation": before.mean,
        "validation": after.mean,
        "seed_kept": instructions == task.seed_prompt,
        "instructions": instructions,
        **_truths(task, world, instructions, outcome),
    }


def _truths(
    task: Task, world: PlantedWorld, instructions: str, outcome: Found
) -> Mapping[str, float | bool | None]:
    def true(text: str, layout: Layout) -> float:
        return world.agreement(text, task.rubric.names, layout)

    layout = outcome.layout or task.layout
    seed, printed = true(task.seed_prompt, task.layout), outcome.printed
    return {
        "seed_agreement": seed,
        "agreement": true(instructions, layout),
        "printed": None if printed is None else printed.gain,
        "printed_truth": None if printed is None else true(printed.instructions, layout) - seed,
        "confirmed": printed is not None and printed.is_confirmed,
    }


def _reached(server: Server, steps: int | None) -> float | None:
    """Count the cues in a step's advice to the editor, each on the criterion that it helps."""
    if not steps or not isinstance(server, Nearby):
        return None
    cues = [
        (name, cue)
        for role, system, user in server.prompts
        if role == "editor" and "[[ ## refused ## ]]" not in system
        for name, advice in parts_of(inputs_of(user)["advice"]).items()
        if name in labels_of(system)
        for cue in CUES[name]
        if cue in advice
    ]
    return len(cues) / steps


def _notes(outcome: Found, task: Task) -> str:
    failed = f"{task.meter.failed} calls failed" if task.meter.failed else ""
    return ", ".join(filter(None, [outcome.notes, failed]))


def _prepare(method: Method) -> None:
    try:
        method.prepare()
    except ImportError as error:
        raise CannotRun(f"not installed: {error}") from error


def _run(method: Method, task: Task) -> Found:
    try:
        return method.run(task)
    except RunStopped:
        raise
    except (Exception, CapReached) as error:  # others' code may fail in any way
        said = " ".join(str(error).split())
        raise CannotRun(f"{type(error).__name__}: {said[:_SHOWN]}") from error


def _gated(task: Task, outcome: Found, seed: Agreement, *, gated: bool) -> tuple[str, Agreement]:
    if outcome.instructions in (task.seed_prompt, ""):
        return task.seed_prompt, seed
    agreement = task.measure(outcome.instructions)
    if is_better(seed, agreement) or not gated:
        return outcome.instructions, agreement
    return task.seed_prompt, seed


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the progress bars and logs of peers from the results."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
