"""Reads a study's trials, and which of them is the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import optuna
from optuna.trial import FrozenTrial, TrialState

from mogradjudge.search.analysis.result import TrialRecord
from mogradjudge.search.job import Job
from mogradjudge.search.selection import Rival
from mogradjudge.search.trial import DETAILS
from mogradjudge.search.workers.existing import TASK, WHY
from mogradjudge.search.workers.queue import WORKER, Queue
from mogradjudge.search.workers.shared import SCORES, Shared

_STATES = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
EARLY = "ended early"
"""The state of a trial that a race ended before all selection texts were read."""


def records_of(queue: Queue) -> tuple[TrialRecord, ...]:
    """Read all attempts at trials by number, then the waiting trials."""
    attempts = [record_of(trial) for trial in queue.trials()]
    nothing = optuna.create_trial(state=TrialState.WAITING)
    next_one = attempts[-1].number + 1 if attempts else 0
    return (
        *attempts,
        *(
            replace(record_of(nothing), number=number, task=task)
            for number, task in enumerate(queue.waiting(), next_one)
        ),
    )


def record_of(trial: FrozenTrial) -> TrialRecord:
    """Read an attempt at a trial."""
    attributes = trial.user_attrs
    details = attributes.get(DETAILS, {})
    race = details.get("race", {})
    seconds = None if trial.duration is None else trial.duration.total_seconds()
    return TrialRecord(
        number=trial.number,
        task=str(attributes.get(TASK, trial.number)),
        state=EARLY if race else _STATES[trial.state],
        why=attributes.get(WHY) or ("the worker died" if trial.state == TrialState.FAIL else None),
        params=dict(trial.params),
        config=details.get("config", {}),
        # Optuna gives a pruned trial the last value that it reported.
        values=tuple(trial.values) if trial.state == TrialState.COMPLETE else None,
        agreement=details.get("agreement", {}),
        intervals={
            name: None if ends is None else (ends[0], ends[1])
            for name, ends in details.get("intervals", {}).items()
        },
        unscored=details.get("unscored", {}),
        **{name: attributes.get(name) for name in ("calls", "cached", "tokens", "cost")},
        **{name: attributes.get(name) for name in ("calls_per_text", "tokens_per_text", "run_dir")},
        worker=attributes.get(WORKER),
        seconds=seconds,
        instructions=details.get("instructions", {}),
        texts=race.get("texts"),
        rival=race.get("rival"),
    )


def _first(record: TrialRecord) -> bool:
    return record.task.isdigit() and int(record.task) == 0


def compared(
    records: Sequence[TrialRecord],
) -> tuple[list[TrialRecord], TrialRecord | None]:
    """Return the trials with an agreement on all selection texts, and the default among them."""
    complete = [it for it in records if it.state == "complete" and it.mean is not None]
    return complete, next((it for it in complete if _first(it)), None)


def rival_for(job: Job, queue: Queue, shared: Shared, costs: Mapping[str, float]) -> Rival | None:
    """Return the best trial so far, of those that cost no more per text than another trial.

    Args:
        job: What the search works on; costs count where they are values of the study.
        queue: The trials.
        shared: The study's tables.
        costs: The other trial's, by the names of `COSTS`.

    Returns:
        None where there is no such trial, or no race.
    """
    if len(job.race.blocks) == 1:
        return None
    complete, default = compared(records_of(queue))
    counted = costs.keys() & job.value_names
    no_dearer = [it for it in complete if all(getattr(it, of) <= costs[of] for of in counted)]
    best = best_of(no_dearer, default)
    scores = None if best is None else shared.noted(f"{SCORES}/{best.task}")
    return None if best is None or scores is None else Rival(best.task, best.number, scores)


def best_of(complete: Sequence[TrialRecord], default: TrialRecord | None) -> TrialRecord | None:
    """Return the best of the complete trials."""
    eligible = eligible_of(complete, default)
    # At equal agreement the one that is cheaper to use, then the earlier one.
    return max(
        eligible,
        key=lambda record: (record.mean, -(record.calls_per_text or 0), -record.number),
        default=None,
    )


def eligible_of(complete: Sequence[TrialRecord], default: TrialRecord | None) -> list[TrialRecord]:
    """Return the trials that can be the best, or on the front.

    A trial with an agreement on fewer texts or criteria than the default is not among them.
    """
    if default is None:
        return list(complete)
    return [record for record in complete if not _measures_less(default, record)]


def _measures_less(default: TrialRecord, record: TrialRecord) -> bool:
    fewer = any(count > default.unscored.get(name, 0) for name, count in record.unscored.items())
    return fewer or any(
        value is not None and record.agreement.get(name) is None
        for name, value in default.agreement.items()
    )


def ranked_of(records: Sequence[TrialRecord], best: TrialRecord | None) -> list[TrialRecord]:
    """Return the complete trials with an agreement, best first."""
    complete = [record for record in records if record.state == "complete"]
    return sorted(
        (record for record in complete if record.mean is not None),
        key=lambda record: (record != best, -(record.mean or 0), record.number),
    )
