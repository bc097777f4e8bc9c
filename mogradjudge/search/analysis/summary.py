"""Computes a search's result from the study's storage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from mogradjudge.agreement import TestOptions, Undefined, compare_criteria, document_values
from mogradjudge.agreement.coefficients import Array
from mogradjudge.agreement.selection_bias import (
    TOO_FEW,
    Corrected,
    corrected,
    resampled_means,
)
from mogradjudge.search.analysis.effects import Effects, mode_effects
from mogradjudge.search.analysis.load import result_of
from mogradjudge.search.analysis.pareto import Point, dominated, pareto_front
from mogradjudge.search.analysis.result import Fresh, SearchResult, TrialRecord, distinct
from mogradjudge.search.job import AGREEMENT, COSTS, direction
from mogradjudge.search.trial import DETAILS
from mogradjudge.search.workers.budget import spent_of
from mogradjudge.search.workers.existing import TASK
from mogradjudge.search.workers.queue import WHY, WORKER, Queue
from mogradjudge.search.workers.shared import FRESH, SCORES, SIZE, SUMMARY, TEXTS, Shared

_STATES = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
_FEWEST = 3  # documents to resample
_FEWEST_CONFIGURATIONS = 8  # for importances, which are noise below
_MOST_CONFIGURATIONS = 500  # for importances, whose time grows faster than their number
_LOOK_EVERY = 0.5  # seconds between two looks at whether another worker has summarized


def summary_of(queue: Queue, shared: Shared) -> SearchResult:
    """Return a study's result so far.

    One worker computes and stores it, and the others wait for it.
    """
    stage, turns = queue.stage(), shared.replies(SUMMARY)
    while (result := kept_summary(shared, stage)) is None:
        if not turns.claim(stage):
            time.sleep(_LOOK_EVERY)
            continue
        try:
            result = summarize(queue, shared)
            shared.note(SUMMARY, {"stage": stage, "result": result.as_dict()})
            return result
        finally:
            turns.release(stage)
    return result


def kept_summary(shared: Shared, stage: str) -> SearchResult | None:
    """Return the stored result of a study; None if it is out of date.

    Args:
        shared: The study's tables.
        stage: The stage of the study's queue.
    """
    summary = shared.noted(SUMMARY)
    if summary is None or summary["stage"] != stage:
        return None
    result = result_of(summary["result"])
    fresh = _fresh(shared, result.best, result.default, _texts(shared))
    return replace(result, fresh=fresh, spent=spent_of(shared))


def summarize(queue: Queue, shared: Shared) -> SearchResult:
    """Compute a study's result so far."""
    study = queue.study
    records = records_of(queue)
    complete = [
        record for record in records if record.state == "complete" and record.mean is not None
    ]
    default = next((record for record in complete if _first(record)), None)
    apart = distinct(complete)
    best = best_of(complete, default)
    texts = _texts(shared)
    means = _resampled(shared, complete, texts)
    names = tuple(study.metric_names or (AGREEMENT,))
    eligible = eligible_of(complete, default)
    front = _front(distinct(eligible), names)
    return SearchResult(
        study=study.study_name,
        value_names=names,
        trials=records,
        best=best,
        default=default,
        selected=_selected(complete, best, default, means, texts),
        fresh=_fresh(shared, best, default, texts),
        front=tuple(record.number for record in front),
        hypervolume=_volume(eligible, default, names),
        importances=_importances(apart, queue.trials()),
        effects=_effects(complete, apart, default, means, texts),
        spent=spent_of(shared),
        unfinished=queue.unfinished(),
        configurations=shared.noted(SIZE),
        texts=len(texts["groups"]),
        documents=len(set(texts["groups"])),
    )


def _texts(shared: Shared) -> dict[str, Any]:
    return shared.noted(TEXTS) or {"human": {}, "groups": [], "level": "pooled"}


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
    seconds = None if trial.duration is None else trial.duration.total_seconds()
    return TrialRecord(
        number=trial.number,
        task=str(attributes.get(TASK, trial.number)),
        state=_STATES[trial.state],
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
    )


def _first(record: TrialRecord) -> bool:
    return record.task.isdigit() and int(record.task) == 0


def _resampled(
    shared: Shared, complete: Sequence[TrialRecord], texts: Mapping[str, Any]
) -> Array | None:
    """Return the trials' mean agreement on resampled documents; None if it is unknown."""
    if not complete or _documents(texts) < _FEWEST:
        return None
    scores = shared.noted_below(SCORES)
    if any(record.task not in scores for record in complete):
        return None  # a storage whose workers share no tables
    judged = [scores[record.task] for record in complete]
    return resampled_means(texts["human"], judged, texts["groups"], _options(texts))


def _options(texts: Mapping[str, Any]) -> TestOptions:
    return TestOptions(level=texts["level"], by_criterion=texts.get("measures", {}))


def _documents(texts: Mapping[str, Any]) -> int:
    """Count the documents that have a value on a criterion: those on which humans themselves do."""
    groups, options = texts["groups"], _options(texts)
    values = (
        document_values(scores, scores, groups, options=options.of(name))
        for name, scores in texts["human"].items()
    )
    return len(set().union(*values))


def _selected(
    complete: Sequence[TrialRecord],
    best: TrialRecord | None,
    default: TrialRecord | None,
    means: Array | None,
    texts: Mapping[str, Any],
) -> Corrected | Undefined:
    if best is None:
        return Undefined("no trial has a value")
    if means is None:
        return TOO_FEW
    rivals = eligible_of(complete, default)
    columns = [complete.index(rival) for rival in rivals]
    return corrected(
        [rival.mean for rival in rivals],
        means[:, columns],
        rivals.index(best),
        documents=_documents(texts),
    )


def _fresh(
    shared: Shared,
    best: TrialRecord | None,
    default: TrialRecord | None,
    texts: Mapping[str, Any],
) -> Fresh | None:
    if best is None:
        return None
    tasks = [best.task, *([] if default is None else [default.task])]
    scores = [shared.noted(f"{FRESH}/{task}") for task in tasks]
    if None in scores:
        return None
    means = [shared.noted(f"{FRESH}/{task}/mean") for task in tasks]
    if default is None:
        return Fresh(means[0], None, Undefined("the default has no agreement"))
    if default.task == best.task:
        return Fresh(means[0], means[0], Undefined("the default is the best trial"))
    human, groups = texts["human"], texts["groups"]
    family = compare_criteria(human, scores[0], scores[1], groups, _options(texts))
    return Fresh(means[0], means[1], family.mean)


def _effects(
    complete: Sequence[TrialRecord],
    apart: Sequence[TrialRecord],
    default: TrialRecord | None,
    means: Array | None,
    texts: Mapping[str, Any],
) -> Effects | Undefined:
    tried = [record for record in apart if "mode" in record.params]
    if not tried:
        return Undefined("the mode was not searched")
    columns = [complete.index(record) for record in tried]
    return mode_effects(
        [record.params for record in tried],
        [record.mean for record in tried],
        None if means is None else means[:, columns],
        reference=None if default is None else default.mode,
        documents=None if means is None else _documents(texts),
    )


def ranked_of(records: Sequence[TrialRecord], best: TrialRecord | None) -> list[TrialRecord]:
    """Return the complete trials with an agreement, best first."""
    complete = [record for record in records if record.state == "complete"]
    return sorted(
        (record for record in complete if record.mean is not None),
        key=lambda record: (record != best, -(record.mean or 0), record.number),
    )


def _front(complete: Sequence[TrialRecord], names: Sequence[str]) -> list[TrialRecord]:
    if len(names) > 1:
        return _unbeaten(complete, names)
    by_number = {record.number: record for record in complete}
    points = points_of(complete)
    unbeaten = {(point.x, point.y) for point in pareto_front(points)}
    front = [point for point in points if (point.x, point.y) in unbeaten]
    front.sort(key=lambda point: (point.x, point.trial))
    return [by_number[point.trial] for point in front]


def _unbeaten(complete: Sequence[TrialRecord], names: Sequence[str]) -> list[TrialRecord]:
    """Return the trials that no other one beats in all values."""
    losses = [_losses(record, names) for record in complete]
    return [
        record
        for record, own in zip(complete, losses, strict=True)
        if not any(_beats(other, own) for other in losses)
    ]


def points_of(complete: Sequence[TrialRecord], price: str = "calls_per_text") -> list[Point]:
    """Return the trials as points of cost per text and mean agreement."""
    points = []
    for record in complete:
        low, high = record.intervals.get("mean") or (None, None)
        if record.mean is not None:
            cost = float(getattr(record, price) or 0)
            points.append(Point(record.number, cost, record.mean, record.mode or "?", low, high))
    return points


def _volume(
    eligible: Sequence[TrialRecord], default: TrialRecord | None, names: Sequence[str]
) -> float | None:
    if len(names) < 2 or default is None or default.values is None:
        return None
    values = [record.values for record in eligible if record.values is not None]
    return dominated(values, [name in COSTS for name in names], default.values)


def _losses(record: TrialRecord, names: Sequence[str]) -> tuple[float, ...]:
    assert record.values is not None
    return tuple(
        value if direction(name) == "minimize" else -value
        for name, value in zip(names, record.values, strict=True)
    )


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return tuple(one) != tuple(other) and all(a <= b for a, b in zip(one, other, strict=True))


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Log only Optuna's warnings while the block runs, as our own table shows each trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _importances(apart: Sequence[TrialRecord], attempts: Sequence[FrozenTrial]) -> dict[str, float]:
    """Return each parameter's share of the variance of mean agreement, by Optuna's fANOVA.

    Only parameters that every trial has. ``{}`` for fewer than 8 configurations, or if nothing
    varies. Of more than 500 configurations it takes 500, evenly over the search.

    Source: Hutter, Hoos and Leyton-Brown 2014, "An efficient approach for assessing hyperparameter
    importance", ICML.
    """
    if len(apart) < _FEWEST_CONFIGURATIONS:
        return {}
    from optuna.importance import FanovaImportanceEvaluator  # imports scikit-learn and pandas

    with quiet_optuna():
        study = optuna.create_study(direction="maximize")
    by_number = {attempt.number: attempt for attempt in attempts}
    count = min(len(apart), _MOST_CONFIGURATIONS)
    for record in (apart[place * len(apart) // count] for place in range(count)):
        trial = by_number[record.number]
        study.add_trial(
            optuna.create_trial(
                params=trial.params, distributions=trial.distributions, value=record.mean
            )
        )
    try:
        variances = FanovaImportanceEvaluator(seed=0).evaluate(study)
    except RuntimeError:  # all values are equal
        return {}
    total = sum(variances.values())
    return {name: float(share / total) for name, share in variances.items()} if total > 0 else {}
