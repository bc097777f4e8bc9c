"""Run one method, gate what it found, and score the test texts with it."""

from __future__ import annotations

import contextlib
import io
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Protocol

import dspy

from benchmarks.harness.scored import score_of
from benchmarks.harness.tasks import Unmeasurable
from benchmarks.peers.budget import Meter
from benchmarks.peers.gating import is_better
from benchmarks.peers.method import Found, Method, Task
from mogradjudge import Agreement, Rubric, agreement_of, judge_examples
from mogradjudge.lm.reply_cache import replies_kept_in
from mogradjudge.programs.evaluation import Judgement

_LOGGERS = ("dspy", "gepa", "httpx", "LiteLLM", "optuna", "textgrad", "tenacity")
_NO_CAP, _THREADS = 10**9, 16  # before and after a method runs
_SHOWN = 120  # characters of an error


class Server(Protocol):
    """A server that counts its calls."""

    @property
    def url(self) -> str: ...

    def counts(self) -> dict[str, Any]: ...

    def reset(self) -> None: ...


class CannotRun(Unmeasurable):
    """A method is not installed, or has failed; the message says how."""


def measure(
    method: Method,
    task: Task,
    test: Sequence[dspy.Example],
    server: Server,
    repeats: int,
) -> dict[str, Any]:
    """Give a cell's result.

    The seed prompt and what the method found are measured on the validation texts by one rule, and
    that is paid apart from the cap: the seed prompt wins ties.

    Raises:
        CannotRun: If the method cannot be imported, or raises anything.
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
        counts = server.counts()
        with dspy.context(lm=around.lm):
            instructions, after = _gated(around, outcome, before)
            judged = [_judged(around, instructions, test) for _ in range(repeats)]
    means = [agreement_of(judgements, task.objectives).mean or 0.0 for judgements in judged]
    return {
        "notes": _notes(outcome, task),
        "calls": counts["calls"],
        "tokens": counts["tokens"],
        "seconds": seconds,
        "seed_validation": before.mean,
        "validation": after.mean,
        "seed_kept": instructions == task.seed_prompt,
        "instructions": instructions,
        "agreement": fmean(means),
        "test": scores_of(judged, task.rubric),
    }


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
    except Exception as error:  # others' code may fail in any way
        said = " ".join(str(error).split())
        raise CannotRun(f"{type(error).__name__}: {said[:_SHOWN]}") from error


def _gated(task: Task, outcome: Found, seed: Agreement) -> tuple[str, Agreement]:
    if outcome.instructions in (task.seed_prompt, ""):
        return task.seed_prompt, seed
    agreement = task.measure(outcome.instructions)
    if is_better(seed, agreement):
        return outcome.instructions, agreement
    return task.seed_prompt, seed


def _judged(task: Task, instructions: str, test: Sequence[dspy.Example]) -> tuple[Judgement, ...]:
    return judge_examples(task.judge(instructions), test, task.objectives, task.num_threads)


def scores_of(judged: Sequence[Sequence[Judgement]], rubric: Rubric) -> Mapping[str, Any]:
    """Give the scores of several scorings of the same texts, as a cell keeps them."""
    first = judged[0]
    return {
        "documents": [judgement.group for judgement in first],
        "human": {
            criterion.name: [judgement.example[criterion.human] for judgement in first]
            for criterion in rubric.criteria
        },
        "judge": [
            {name: [score_of(judgement, name) for judgement in scoring] for name in rubric.names}
            for scoring in judged
        ],
    }


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
