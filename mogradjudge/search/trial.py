"""One trial: a run with what it is asked to try, and its judge's scores on the selection texts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import dspy
from optuna.trial import FrozenTrial, Trial

from mogradjudge.agreement import Undefined, reported_intervals
from mogradjudge.errors import MogradError, SetupError
from mogradjudge.files import LineLog
from mogradjudge.judge.scores import judge_values
from mogradjudge.lm.budget import Budget, Purse, Spent
from mogradjudge.lm.ledger import Ledger, LedgerRow
from mogradjudge.lm.stop import interruptible
from mogradjudge.optimize.config import config_values
from mogradjudge.optimize.directory import CALLS, InUse, Pool, RunDirectory
from mogradjudge.optimize.estimate import tokens_per_text
from mogradjudge.optimize.race import Judging
from mogradjudge.optimize.result import OptimizationResult
from mogradjudge.optimize.teleprompter import MOGrad
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.checks import check_scored
from mogradjudge.programs.identity import digest_of, digest_of_program
from mogradjudge.scoring.evaluate import judge_table
from mogradjudge.search.job import Job, values_of, within
from mogradjudge.search.judge_variant import judge_with
from mogradjudge.search.pruning import Rungs, calls_per_step, last_rung
from mogradjudge.search.selection import Rival, RivalFor, Selected, select
from mogradjudge.search.workers.existing import WHY

RUN, SELECTION = "run", "selection"
"""The folders of a trial: its run, and the scoring of the selection texts."""
RUN_DIR, BEFORE, DETAILS = "run_dir", "spent_before", "details"
"""User attributes: the run's folder, what earlier attempts in it paid, and what is no number."""


class TakenAway(MogradError):
    """The trial was given to another worker, since this one gave no signs of life."""


class Unfinished(MogradError):
    """The run stopped too early; it can be resumed.

    Args:
        reason: ``"budget"`` or ``"interrupted"``.
    """

    def __init__(self, reason: Literal["budget", "interrupted"]) -> None:
        super().__init__(f"The trial's run was cut short ({reason}).")
        self.reason: Literal["budget", "interrupted"] = reason


@dataclass(frozen=True)
class Outcome:
    """A trial's values, its attributes, and its judge's scores on each text."""

    values: list[float] | None
    attributes: Mapping[str, Any]
    scores: Mapping[str, Sequence[float | None]]


@dataclass
class TrialPurse:
    """The shared budget as one trial uses it.

    ``refused`` is set when a call did not fit in it, ``lost`` when another worker has the trial.
    """

    purse: Purse
    lost: threading.Event
    refused: bool = False

    def take(self, weight: Spent) -> bool:
        """Take a call from the purse.

        Raises:
            TakenAway: If the trial is not this worker's any more.
        """
        if self.lost.is_set():
            raise TakenAway("The trial was given to another worker.")
        taken = self.purse.take(weight)
        self.refused |= not taken
        return taken

    def settle(self, taken: Spent, spent: Spent) -> None:
        """Replace what was taken for a call by what it cost."""
        self.purse.settle(taken, spent)


def run_trial(
    job: Job,
    trial: Trial,
    task: str,
    pool: Pool,
    deadline: float | None,
    *,
    prunes: bool,
    rival_for: RivalFor,
) -> Outcome:
    """Run a trial, or resume an earlier attempt at it.

    Args:
        job: What the search works on.
        trial: Optuna's trial.
        task: Its name.
        pool: The shared replies and budget; its purse is a `TrialPurse`.
        deadline: When the search ends, on the monotonic clock.
        prunes: Whether to use the study's pruner.
        rival_for: Gives the trial that it races against on the selection texts.

    Raises:
        Unfinished: If the budget of all trials is spent, or the user stopped the search.
        TakenAway: If another worker took the trial.
        optuna.TrialPruned: If the pruner stops it.
        dspy.LMError: If the provider fails.
        ReplyError: If no text has a score.
    """
    config = job.space.suggest(trial, job.base)
    settings = job.space.suggest_settings(trial, job.judge.settings)
    student, place = judge_with(job.judge, settings), free_place(job.place(task))
    # The selection texts, which no run reads, are what the trials are compared on.
    config = replace(config, budget=within(job.base.budget, job.budget, deadline), confirm="off")
    tried = {**config_values(config), **judge_values(settings)}
    attributes = {"mode": config.mode.name, RUN_DIR: str(place / RUN), DETAILS: {"config": tried}}
    attributes |= {BEFORE: before} if (before := spent_in(place)) else {}
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    observers = list(job.observers)
    if prunes:
        texts = len(job.validation)
        own = calls_per_step(config, student, texts)
        rung = calls_per_step(job.base, job.judge, texts)
        last = last_rung(job.space, job.base, job.judge, texts)
        observers.append(Rungs(trial, own, rung, last))
    optimizer = MOGrad.from_config(
        config,
        **job.lms,
        run_dir=place / RUN,
        shared=pool,
        observers=observers,
        display_progress=False,
    )
    result = optimizer.optimize(student, trainset=job.training, valset=job.validation)
    assert isinstance(pool.purse, TrialPurse)
    if result.stop_reason in ("interrupted", "stop_file"):
        raise Unfinished("interrupted")
    late = deadline is not None and time.monotonic() >= deadline
    if result.stop_reason == "budget" and (pool.purse.refused or late):
        raise Unfinished("budget")
    costs = {
        "calls_per_text": float(result.program.calls_per_text),
        "tokens_per_text": tokens_per_text(result.program, job.selection, job.model),
    }
    budget = within(Budget(), job.budget, deadline)
    with judging(job, result.program, place / SELECTION, pool, budget) as (judge, ledger):
        selected = select(job, rival_for(costs), judge)
    check_scored(selected.judgements, "selection")
    spent = _less(_spending((*result.ledger, *ledger.rows)), before)
    return _outcome(job, result, selected, tried, {**spent, **costs})


@contextmanager
def judging(
    job: Job, program: dspy.Module, place: Path, pool: Pool, budget: Budget
) -> Iterator[tuple[Judging, Ledger]]:
    """Give what judges texts with a program, in a folder that keeps its calls.

    Raises:
        InUse: If another process is using the folder.
        BudgetExhausted: If a cap is reached.
        RunStopped: If the user stopped the search.
        dspy.LMError: If the provider fails.
    """
    config = job.base
    ledger = Ledger(budget, config.num_threads, config.max_rpm, None, pool.purse)
    fingerprint = {"program": digest_of_program(program), "texts": digest_of(job.selection)}
    with ExitStack() as stack:
        stack.enter_context(RunDirectory(place, pool.replies).at_work(fingerprint, ledger))
        stack.enter_context(interruptible(ledger.stop_signal))
        yield lambda texts: judge_table(program, texts, ledger, config.num_threads), ledger


def spent_by(trial: FrozenTrial | Trial) -> dict[str, Any]:
    """Give what an attempt that did not end has paid itself, by the journals of its folder."""
    if RUN_DIR not in trial.user_attrs:
        return {}
    spent = spent_in(Path(trial.user_attrs[RUN_DIR]).parent)
    return _less(spent, trial.user_attrs.get(BEFORE, {}))


def spent_in(place: Path) -> dict[str, Any]:
    """Give what all attempts in a trial's folder have paid; ``{}`` if there was none."""
    rows: list[LedgerRow] = []
    for part in (RUN, SELECTION):
        ledger = Ledger()
        with ledger.kept_in(LineLog(place / part / CALLS)):
            rows += ledger.rows
    return _spending(rows) if rows else {}


def _less(spent: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if value is None else value - (before.get(name) or 0)
        for name, value in spent.items()
    }


def free_place(place: Path) -> Path:
    """Give a trial's folder, or another one while a dead worker still uses it."""
    for attempt in range(1, 100):
        free = place if attempt == 1 else place.with_name(f"{place.name}-{attempt}")
        try:
            with RunDirectory(free / RUN).locked():
                return free
        except InUse:
            continue
    raise SetupError(f"{place} and 98 folders beside it are in use. Stop the workers there.")


def _outcome(
    job: Job,
    result: OptimizationResult,
    selected: Selected,
    tried: Mapping[str, Any],
    spent: Mapping[str, Any],
) -> Outcome:
    measured, means = selected.measured, selected.agreement
    scores = job.scores_of(selected.judgements)
    intervals = _intervals(job, scores) if selected.rival is None else {}
    low, high = intervals.get("mean") or (None, None)
    attributes = {
        **spent,
        # Numbers one by one, for tables that sort by them; the rest in one piece.
        "agreement": means["mean"],
        "agreement_low": low,
        "agreement_high": high,
        **{f"agreement.{name}": value for name, value in means.items() if name != "mean"},
        "stop_reason": result.stop_reason,
        "seed_kept": result.seed_kept,
        "steps_taken": len(result.steps),
        DETAILS: {
            "config": tried,
            "agreement": means,
            "intervals": intervals,
            "unscored": measured.lost,
            "undefined": measured.undefined(),
            "validation_agreement": result.final_agreement.as_dict(),
            "instructions": {
                path: text.render()
                for path, text in Candidate.of(result.program).instructions.items()
            },
        },
    }
    if selected.rival is not None:
        attributes |= _ended_early(job, selected, selected.rival, attributes[DETAILS])
    return Outcome(values_of(job.value_names, means, spent), attributes, scores)


def _ended_early(
    job: Job, selected: Selected, rival: Rival, details: Mapping[str, Any]
) -> dict[str, Any]:
    """Say that a race ended a trial, whose agreement is estimated."""
    read = len(selected.judgements)
    why = (
        f"its chance to beat trial {rival.number} was {selected.chance:.2f} after {read} of "
        f"{len(job.selection)} selection texts"
    )
    race = {"texts": read, "rival": rival.task, "chance": selected.chance}
    return {WHY: why, DETAILS: {**details, "race": race}}


def _spending(ledger: Sequence[LedgerRow]) -> dict[str, Any]:
    costs = [row.cost for row in ledger]
    known = [cost for cost in costs if cost is not None]
    return {
        "calls": sum(row.calls + row.failed for row in ledger),
        "cached": sum(row.cached for row in ledger),
        "tokens": sum(row.prompt_tokens + row.completion_tokens for row in ledger),
        "cost": sum(known) if len(known) == len(costs) else None,
    }


def _intervals(
    job: Job, scores: Mapping[str, Sequence[float | None]]
) -> dict[str, list[float] | None]:
    intervals = reported_intervals(job.human, scores, job.groups, options=job.options)
    return {
        name: None if isinstance(ends, Undefined) else [ends.low, ends.high]
        for name, ends in intervals.items()
    }
