"""Computes a search's result from the study's storage."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from mogradjudge.agreement import TestOptions, Undefined, compare_criteria, document_values
from mogradjudge.agreement.coefficients import Array
from mogradjudge.agreement.selection_bias import (
    TOO_FEW,
    Corrected,
    corrected,
    resampled_means,
)
from mogradjudge.optimize.confirmation import Confirmation
from mogradjudge.search.analysis.effects import Effects, mode_effects
from mogradjudge.search.analysis.load import record_from, result_of
from mogradjudge.search.analysis.pareto import Point, dominated, pareto_front
from mogradjudge.search.analysis.records import EARLY, best_of, compared, eligible_of, records_of
from mogradjudge.search.analysis.result import Fresh, SearchResult, TrialRecord, distinct
from mogradjudge.search.job import AGREEMENT, COSTS, direction
from mogradjudge.search.workers.budget import spent_of
from mogradjudge.search.workers.queue import Queue
from mogradjudge.search.workers.shared import CONFIRMED, FRESH, SCORES, SIZE, SUMMARY, TEXTS, Shared

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
    confirmation = _confirmation(shared, result.best)
    return replace(result, fresh=fresh, confirmation=confirmation, spent=spent_of(shared))


def summarize(queue: Queue, shared: Shared) -> SearchResult:
    """Compute a study's result so far."""
    study = queue.study
    records = records_of(queue)
    complete, default = compared(records)
    measured = [it for it in records if it.state in ("complete", EARLY) and it.mean is not None]
    apart = distinct(measured)
    best = best_of(complete, default)
    texts = _texts(shared)
    means = resampled_trials(measured, shared.noted_below(SCORES), texts)
    names = tuple(study.metric_names or (AGREEMENT,))
    eligible = eligible_of(complete, default)
    front = _front(distinct(eligible), names)
    return SearchResult(
        study=study.study_name,
        value_names=names,
        trials=records,
        best=best,
        default=default,
        selected=_selected(measured, best, default, means, texts),
        fresh=_fresh(shared, best, default, texts),
        front=tuple(record.number for record in front),
        hypervolume=_volume(eligible, default, names),
        importances=_importances(apart, queue.trials()),
        effects=_effects(measured, apart, default, means, texts),
        spent=spent_of(shared),
        unfinished=queue.unfinished(),
        configurations=shared.noted(SIZE),
        texts=len(texts["groups"]),
        documents=len(set(texts["groups"])),
        confirmation=_confirmation(shared, best),
    )


def _texts(shared: Shared) -> dict[str, Any]:
    return shared.noted(TEXTS) or {"human": {}, "groups": [], "level": "pooled"}


def resampled_trials(
    measured: Sequence[TrialRecord],
    scores: Mapping[str, Mapping[str, Sequence[float | None]]],
    texts: Mapping[str, Any],
) -> Array | None:
    """Return the trials' mean agreement on resampled documents; None if it is unknown.

    That of a trial that a race ended early is estimated in each resample as its agreement is: its
    rival's, plus the difference on the texts that both have read.

    Args:
        measured: The trials that have an agreement.
        scores: Their judges' scores on the selection texts, by task and criterion.
        texts: The selection texts, as workers share them.
    """
    if not measured or _documents(texts) < _FEWEST:
        return None
    if any(record.task not in scores for record in measured):
        return None  # a storage whose workers share no tables
    columns = {record.task: place for place, record in enumerate(measured)}
    raced = [record for record in measured if record.rival in columns]
    judged = [scores[record.task] for record in measured]
    judged += [_first_texts(scores[str(it.rival)], texts["order"][: it.texts]) for it in raced]
    means = resampled_means(texts["human"], judged, texts["groups"], _options(texts))
    whole, partly = means[:, : len(measured)], means[:, len(measured) :]
    for record, of_rival in zip(raced, partly.T, strict=True):
        whole[:, columns[record.task]] += whole[:, columns[str(record.rival)]] - of_rival
    return whole


def _first_texts(
    scores: Mapping[str, Sequence[float | None]], read: Container[int]
) -> dict[str, list[float | None]]:
    """Return scores without those of the texts that were not read."""
    return {
        name: [score if place in read else None for place, score in enumerate(column)]
        for name, column in scores.items()
    }


def _options(texts: Mapping[str, Any]) -> TestOptions:
    return TestOptions(
        level=texts["level"],
        by_criterion=texts.get("measures", {}),
        weights=texts.get("weights", {}),
    )


def _documents(texts: Mapping[str, Any]) -> int:
    """Count the documents that have a value on a criterion: those on which humans themselves do."""
    groups, options = texts["groups"], _options(texts)
    values = (
        document_values(scores, scores, groups, options=options.of(name))
        for name, scores in texts["human"].items()
    )
    return len(set().union(*values))


def _selected(
    measured: Sequence[TrialRecord],
    best: TrialRecord | None,
    default: TrialRecord | None,
    means: Array | None,
    texts: Mapping[str, Any],
) -> Corrected | Undefined:
    if best is None:
        return Undefined("no trial has a value")
    if means is None:
        return TOO_FEW
    rivals = eligible_of(measured, default)
    columns = [measured.index(rival) for rival in rivals]
    return corrected(
        [rival.mean for rival in rivals],
        means[:, columns],
        rivals.index(best),
        documents=_documents(texts),
    )


def _confirmation(shared: Shared, best: TrialRecord | None) -> Confirmation:
    """Return how the best trial did on texts that chose nothing, or why that is unknown."""
    noted = None if best is None else shared.noted(f"{CONFIRMED}/{best.task}")
    noted = noted or shared.noted(CONFIRMED)
    return Confirmation("off") if noted is None else record_from(Confirmation, noted)


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
    measured: Sequence[TrialRecord],
    apart: Sequence[TrialRecord],
    default: TrialRecord | None,
    means: Array | None,
    texts: Mapping[str, Any],
) -> Effects | Undefined:
    tried = [record for record in apart if "mode" in record.params]
    if not tried:
        return Undefined("the mode was not searched" if apart else "no trial has a value")
    columns = [measured.index(record) for record in tried]
    return mode_effects(
        [record.params for record in tried],
        [record.mean for record in tried],
        None if means is None else means[:, columns],
        reference=None if default is None else default.mode,
        documents=None if means is None else _documents(texts),
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
