"""The search itself: which configuration makes the best judge, at a known price."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from mogradjudge.data import listed
from mogradjudge.errors import BudgetExhausted, RunStopped, SetupError
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.budget import Budget
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.events import Observer
from mogradjudge.search.analysis.result import SearchResult
from mogradjudge.search.analysis.summary import quiet_optuna, summary_of
from mogradjudge.search.finish import judge_of, score_afresh, write_files
from mogradjudge.search.job import Job, direction
from mogradjudge.search.plan import Plan, check, claim, study_settings, tasks
from mogradjudge.search.samplers import Factory, pruner_of, sampler_for
from mogradjudge.search.space import SearchSpace
from mogradjudge.search.workers.queue import Queue
from mogradjudge.search.workers.shared import TEXTS, Shared
from mogradjudge.search.workers.storage import opened
from mogradjudge.search.workers.worker import SearchStop, Worker

logger = logging.getLogger(__name__)

HEARTBEAT = 10  # seconds
NAME = "search"


def search(
    judge: MultiCriteriaJudge,
    trainset: Iterable[dspy.Example],
    valset: Iterable[dspy.Example],
    selectionset: Iterable[dspy.Example],
    space: SearchSpace | None = None,
    *,
    trials: int = 20,
    storage: str | BaseStorage | None = None,
    budget: Budget | None = None,
    sampler: str | BaseSampler | Factory | None = None,
    pruner: str | BasePruner | None = None,
    seed: int = 0,
    base: MOGradConfig | None = None,
    values: Sequence[str] = ("agreement",),
    out: str | Path = NAME,
    study: str = NAME,
    critic_lm: dspy.BaseLM | None = None,
    coach_lm: dspy.BaseLM | None = None,
    editor_lm: dspy.BaseLM | None = None,
    prompt_lm: dspy.BaseLM | None = None,
    heartbeat: int = HEARTBEAT,
    observers: Sequence[Observer] = (),
    watch: Callable[[Queue, Shared], Any] | None = None,
) -> SearchResult:
    """Search for the configuration that makes the best judge.

    Each trial is a run of `MOGrad` with one configuration. Three decisions are made on three sets
    of texts: critiques are written on the training set, gates decide by the validation set, and
    trials are compared on the selection set. Trial 0 is ``base``, so the best trial is never worse
    there than the default. What one trial paid for is not paid for again by another: a request with
    the same text, LM and settings has the same reply.

    It may be called any number of times with the same ``storage`` and ``study``, at the same time
    and on other machines: each call works on the trials that are left, and all of them together
    keep to ``budget``. A call that was cut short is taken up by the next one.

    Args:
        judge: The judge to start from; it is not changed.
        trainset: The examples that critiques are written on.
        valset: The examples that gates decide by.
        selectionset: The examples that trials are compared on.
        space: What may be tried; the usual `SearchSpace` if it is not given.
        trials: The trials of the study, at least 1, whoever works on them; raise it to go on.
        storage: A database's URL, or any Optuna storage; an SQLite file in ``out`` if it is not
            given. Workers on other machines need a server, as ``postgresql://user@host/name``.
        budget: Caps on all trials together; ``max_seconds`` counts from this call. Of a cap on
            calls that is large enough, a part is kept to score the best trial anew at the end.
        sampler: ``"tpe"`` (the default), ``"nsga2"`` (the default for several values),
            ``"random"``, ``"grid"`` (of a space without ranges), one of Optuna's, which is seeded
            at random for each trial, or a function that makes one for a trial's number.
        pruner: ``"none"`` (the default: a trial that is given up tells nothing of its mode),
            ``"median"``, or one of Optuna's; for one value alone.
        seed: Seeds the sampler.
        base: What is not searched, and the first trial; the default config if it is not given.
            Its budget holds for each trial by itself.
        values: What is made large or small: ``"agreement"`` (the mean over criteria) or
            ``"criteria"`` (each of them), ``"calls_per_text"``, ``"tokens_per_text"``.
        out: The search's folder: a folder for each trial, ``best.toml`` for `compile --config`,
            the best ``judge.json``, and ``search.json``.
        study: The study's name in the storage.
        critic_lm: Speaks as the critic; ``prompt_lm`` if it is not given.
        coach_lm: Speaks as the coach; ``prompt_lm`` if it is not given.
        editor_lm: Speaks as the editor; ``prompt_lm`` if it is not given.
        prompt_lm: Speaks for the roles without an LM of their own; ``dspy.settings.lm`` without it.
        heartbeat: Seconds between two signs of life. A worker that gave none for three times as
            long is dead, and its trial is taken up by another one.
        observers: They are told the events of every run.
        watch: Called with the queue and the shared tables while the search is at work; what it
            gives is a context that is open as long.

    Raises:
        SetupError: If an argument has a value that it cannot have, or the study was asked for
            something else.
        dspy.LMError: If the provider stays down, or refuses what no other try can help.
    """
    base, budget = base or MOGradConfig(), budget or Budget()
    space = (space or SearchSpace()).including(base, judge.settings)
    lms = {"critic_lm": critic_lm, "coach_lm": coach_lm, "editor_lm": editor_lm}
    job = Job(
        judge=judge,
        training=listed(trainset, "trainset"),
        validation=listed(valset, "valset"),
        selection=listed(selectionset, "selectionset"),
        space=space,
        base=base,
        budget=budget,
        values=values if isinstance(values, str) else tuple(values),
        lms={**lms, "prompt_lm": prompt_lm},
        folder=_folder(out),
        observers=tuple(observers),
    )
    plan = Plan(study, trials, sampler, pruner, seed, heartbeat)
    check(job, plan)
    drawn = tasks(job, plan)
    deadline = None if budget.max_seconds is None else time.monotonic() + budget.max_seconds
    with _opened_study(storage, job, plan) as (queue, shared):
        claim(shared, study_settings(job, plan))
        shared.note(TEXTS, {"human": job.human, "groups": job.groups, "level": base.level})
        queue.fill(drawn)
        with _watched(watch, queue, shared):
            prunes = not isinstance(queue.study.pruner, optuna.pruners.NopPruner)
            stop = Worker(job, queue, shared, deadline, prunes=prunes).work()
            return _finish(job, queue, shared, stop, deadline)


@contextmanager
def _opened_study(
    storage: str | BaseStorage | None, job: Job, plan: Plan
) -> Iterator[tuple[Queue, Shared]]:
    """Open a study while the block runs; it is made if it is not there.

    Raises:
        SetupError: If the storage cannot be opened.
    """
    with quiet_optuna(), opened(storage, job.folder) as (backend, engine):
        shared = Shared(engine, plan.study, patience=3.0 * plan.heartbeat)
        names = job.value_names
        with shared.alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(
                study_name=plan.study,
                storage=backend,
                directions=[direction(name) for name in names],
                pruner=pruner_of(plan.pruner, len(names)),
                load_if_exists=True,
            )
            if study.metric_names is None:
                study.set_metric_names(list(names))
        sampler = sampler_for(plan.sampler, plan.seed, plan.trials, len(names))
        yield Queue(study, backend, shared, sampler), shared


def _folder(out: str | Path) -> Path:
    folder = Path(out).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"`out` must be a folder that can be made, got {out}: {error.strerror}."
        ) from error
    return folder


@contextmanager
def _watched(
    watch: Callable[[Queue, Shared], Any] | None, queue: Queue, shared: Shared
) -> Iterator[None]:
    if watch is None:
        yield
        return
    with watch(queue, shared):
        yield


def _finish(
    job: Job, queue: Queue, shared: Shared, stop: SearchStop, deadline: float | None
) -> SearchResult:
    """Score the best trial anew, and write what was found."""
    result = _written(job, queue, shared, stop)
    if result.best is not None and result.default is None:
        logger.warning("Trial 0, the default configuration, has no value: nothing to compare with.")
    if stop == "interrupted" or result.best is None or result.fresh is not None:
        return result
    records = [result.best, *([] if result.default is None else [result.default])]
    try:
        score_afresh(job, shared, records, deadline)
    except BudgetExhausted as error:
        logger.warning("The best trial is not scored anew: %s", error)
        return result
    except RunStopped:
        stop = "interrupted"
    return _written(job, queue, shared, stop)


def _written(job: Job, queue: Queue, shared: Shared, stop: SearchStop) -> SearchResult:
    result = summary_of(queue, shared)
    program = None if result.best is None else judge_of(job, result.best)
    result = replace(result, stop_reason=stop, program=program)
    write_files(job, result)
    return result
