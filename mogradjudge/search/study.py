"""Searches for the configuration of the best judge."""

from __future__ import annotations

import functools
import inspect
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, fields, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import dspy
import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from mogradjudge.errors import BudgetExhausted, RunStopped, SetupError
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.budget import Budget
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.events import Observer
from mogradjudge.programs.structure import uncalibrated
from mogradjudge.search.analysis.records import rival_for
from mogradjudge.search.analysis.result import SearchResult, plain
from mogradjudge.search.analysis.summary import quiet_optuna, summary_of
from mogradjudge.search.analysis.verdict import exhaustion
from mogradjudge.search.draws import Draws
from mogradjudge.search.finish import confirm, judge_of, score_again, write_files
from mogradjudge.search.job import Job, direction
from mogradjudge.search.parts import parted
from mogradjudge.search.plan import Plan, check, claim, study_settings, tasks
from mogradjudge.search.samplers import Factory, pruner_of, sampler_for
from mogradjudge.search.space import SearchSpace
from mogradjudge.search.workers.existing import check_study
from mogradjudge.search.workers.queue import Queue
from mogradjudge.search.workers.shared import CONFIRMED, SIZE, TEXTS, Shared
from mogradjudge.search.workers.storage import opened, said_plainly
from mogradjudge.search.workers.worker import SearchStop, Worker

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

HEARTBEAT = 10  # seconds
NAME = "search"


@dataclass(frozen=True)
class Arguments:
    """The arguments of `search`, which says what each one is for."""

    judge: MultiCriteriaJudge
    trainset: Iterable[dspy.Example]
    valset: Iterable[dspy.Example] | None = None
    selectionset: Iterable[dspy.Example] | None = None
    space: SearchSpace | None = None
    _: KW_ONLY
    trials: int = 20
    storage: str | BaseStorage | None = None
    budget: Budget | None = None
    sampler: str | BaseSampler | Factory | None = None
    pruner: str | BasePruner | None = None
    seed: int = 0
    base: MOGradConfig | None = None
    values: Sequence[str] = ("agreement",)
    out: str | Path = NAME
    study: str = NAME
    critic_lm: dspy.BaseLM | None = None
    coach_lm: dspy.BaseLM | None = None
    editor_lm: dspy.BaseLM | None = None
    prompt_lm: dspy.BaseLM | None = None
    heartbeat: int = HEARTBEAT
    observers: Sequence[Observer] = ()
    watch: Callable[[Queue, Shared], Any] | None = None

    def job(self) -> Job:
        """Return what all trials work on."""
        base = self.base or MOGradConfig()
        space = (self.space or SearchSpace()).including(base, self.judge.settings)
        roles = ("critic_lm", "coach_lm", "editor_lm", "prompt_lm")
        data = parted(base, self.judge.rubric, self.trainset, self.valset, self.selectionset)
        sets: dict[str, Any] = {**data.parts}
        return Job(
            judge=uncalibrated(self.judge),  # its instructions change
            **sets,
            needed=data.needed,
            space=space,
            base=base,
            budget=self.budget or Budget(),
            values=self.values if isinstance(self.values, str) else tuple(self.values),
            lms={role: getattr(self, role) for role in roles},
            folder=_folder(self.out),
            observers=tuple(self.observers),
        )

    def plan(self) -> Plan:
        """Return how trials are chosen."""
        return Plan(**{own.name: getattr(self, own.name) for own in fields(Plan)})


def _taking_fields(
    arguments: Callable[P, Arguments],
) -> Callable[[Callable[[Arguments], R]], Callable[P, R]]:
    """Let a function of `Arguments` be called with their fields, which editors and mypy check."""
    signature = inspect.signature(arguments)

    def decorate(function: Callable[[Arguments], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            signature.bind(*args, **kwargs)
            return function(arguments(*args, **kwargs))

        called.__signature__ = signature.replace(return_annotation="SearchResult")  # type: ignore[attr-defined]
        return called

    return decorate


@_taking_fields(Arguments)
def search(arguments: Arguments) -> SearchResult:  # noqa: D417 - it describes the fields
    """Search for the configuration that makes the best judge.

    Each trial is a run of `MOGrad` with one configuration. Critiques are written on the training
    set, gates decide by the validation set, and trials are compared on the selection set, in a
    race: a trial ends early once it is unlikely to beat the best one so far. At the end the best
    trial's judge and the initial judge are scored on texts that chose nothing. Trial 0 is ``base``,
    so the best trial is never worse on the selection texts than the default. Trials share replies:
    a request with the same text, LM and settings is paid for once.

    It can be called any number of times with the same ``storage`` and ``study``, at the same time
    and on other machines: each call works on the remaining trials, and ``budget`` holds for all of
    them together. The next call resumes one that was interrupted. No configuration is drawn twice,
    and a search ends early once it has tried all of a finite space. A trial that was queued with
    ``study.enqueue_trial`` runs too, after the search's own, a repeat as well; its missing
    parameters are drawn, and one that the space does not have fails by itself. Trials that other
    code has run in the study count nowhere. While a database server is away, the search waits,
    up to an hour.

    >>> search("judge", [], [], [], SearchSpace(), trails=3)
    Traceback (most recent call last):
    TypeError: got an unexpected keyword argument 'trails'

    Args:
        judge: The judge to start from; it is not changed.
        trainset: The examples that critiques are written on; all examples if the next two are not
            given: by whole groups, 30, 20, 25 and 25 % then go to training, validation, selection
            and confirmation.
        valset: The examples that gates decide by.
        selectionset: The examples that trials are compared on. Two fifths of them, by whole groups,
            are set aside to confirm the result. Where fewer than 16 documents would be left to
            confirm on, none are set aside.
        space: The values to try; the default `SearchSpace` if not given.
        trials: The trials of the study by all workers, at least 1; raise it to continue.
        storage: A database's URL, or any Optuna storage; an SQLite file in ``out`` if not
            given. Workers on other machines need a server, as ``postgresql://user@host/name``.
        budget: Caps on all trials together; ``max_seconds`` counts from this call. If a cap on
            calls is large enough, a part is reserved to confirm the best trial at the end.
        sampler: ``"tpe"`` (the default), ``"nsga2"`` (the default for several values),
            ``"random"``, ``"grid"`` (of a space without endless ranges), one of Optuna's, which is
            seeded at random for each trial, or a function that makes one for a trial's number.
        pruner: ``"none"`` (the default: a pruned trial says nothing about its mode),
            ``"median"``, or one of Optuna's; only with one value.
        seed: Seeds the sampler.
        base: The settings that are not searched, and the first trial; the default if not given.
            Its budget holds for each trial by itself. ``race`` and ``confirm`` hold for the
            selection and the result of the search, too.
        values: What to optimize: ``"agreement"`` (the mean over criteria) or ``"criteria"`` (each
            of them) is maximized, ``"calls_per_text"`` and ``"tokens_per_text"`` are minimized.
        out: The search's folder: a folder for each trial, ``best.toml`` for `compile --config`,
            the best ``judge.json``, and ``search.json``.
        study: The study's name in the storage.
        critic_lm: The critic's LM; ``prompt_lm`` if not given.
        coach_lm: The coach's LM; ``prompt_lm`` if not given.
        editor_lm: The editor's LM; ``prompt_lm`` if not given.
        prompt_lm: The LM of roles without their own; ``dspy.settings.lm`` if not given.
        heartbeat: Seconds between signs of life. A worker without one for three times as long is
            dead, and another one takes its trial.
        observers: Called with the events of every run.
        watch: Called with the queue and the shared tables; returns a context that is open while
            the search runs.

    Raises:
        SetupError: If an argument has an invalid value, the study has other settings or trials of
            other code, or its database cannot be used.
        MogradError: If the database fails later on.
        dspy.LMError: If the provider stays down, or always refuses a call.
    """
    job, plan = arguments.job(), arguments.plan()
    check(job, plan)
    seconds = job.budget.max_seconds
    deadline = None if seconds is None else time.monotonic() + seconds
    with (
        _opened_study(arguments.storage, job, plan) as (queue, shared),
        _watched(arguments.watch, queue, shared),
    ):
        _note_added(arguments.space, job.space, shared.noted(SIZE))
        prunes = not isinstance(queue.study.pruner, optuna.pruners.NopPruner)
        rival = functools.partial(rival_for, job, queue, shared)
        stop = Worker(job, queue, shared, deadline, prunes=prunes, rival_for=rival).work()
        return _finish(job, queue, shared, stop, deadline)


def _note_added(written: SearchSpace | None, whole: SearchSpace, size: int | None) -> None:
    """Say which choices a space has that its user has not written."""
    added = [
        f"{name} {value}"
        for name in whole.searched
        if written is not None and isinstance(old := getattr(written, name), tuple)
        for value in getattr(whole, name)
        if value not in old
    ]
    if added:
        count = "" if size is None else f": {size} configurations"
        logger.warning("The base's %s is added to the space%s.", ", ".join(added), count)


@contextmanager
def _opened_study(
    storage: str | BaseStorage | None, job: Job, plan: Plan
) -> Iterator[tuple[Queue, Shared]]:
    """Open a study with its trials queued while the block runs; create it if it does not exist.

    Raises:
        SetupError: If the storage cannot be opened, or the study is of another search.
    """
    queued = tasks(job, plan)
    with quiet_optuna(), opened(storage, job.folder) as (backend, engine):
        with said_plainly(engine.url):
            shared = Shared(engine, plan.study, patience=3.0 * plan.heartbeat)
            study = _study(backend, shared, job, plan)
            claim(shared, study_settings(job, plan))
            texts = {"human": job.human, "groups": job.groups, "order": job.order}
            how = job.options
            measures = {"measures": how.by_criterion, "weights": dict(how.weights)}
            shared.note(TEXTS, {**texts, "level": how.level, **measures})
            shared.note(CONFIRMED, plain(job.untested))
            sampler = sampler_for(plan.sampler, plan.seed, plan.trials, len(job.value_names))
            draws = Draws(job.space, job.base, job.judge.settings, sampler)
            shared.note(SIZE, draws.size)
            queue = Queue(study, backend, shared, draws)
            queue.fill(queued)
        with said_plainly(engine.url, begun=True):
            yield queue, shared


def _study(backend: BaseStorage, shared: Shared, job: Job, plan: Plan) -> optuna.Study:
    """Create a study, or check the one that is there.

    Raises:
        SetupError: If it is of another search.
    """
    names = job.value_names
    directions = [direction(name) for name in names]
    with shared.alone(), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            study_name=plan.study,
            storage=backend,
            directions=directions,
            pruner=pruner_of(plan.pruner, len(names)),
            load_if_exists=True,
        )
        check_study(study, names, directions)
        if study.metric_names is None:
            study.set_metric_names(list(names))
    return study


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
    """Confirm the best trial, or score it again, and write the results."""
    result = _written(job, queue, shared, stop)
    if result.best is not None and result.default is None:
        logger.warning(
            "Trial 0, the default configuration, has no value, so there is nothing to compare with."
        )
    if stop == "interrupted" or result.best is None or _is_final(job, result):
        return result
    if job.confirmation and queue.running():
        logger.warning("Other workers are at work: the last one to end confirms the best trial.")
        return result
    try:
        if job.confirmation:
            confirm(job, shared, result.best, deadline)
        else:
            score_again(job, shared, [it for it in (result.best, result.default) if it], deadline)
    except BudgetExhausted as error:
        what = "confirmed" if job.confirmation else "scored again"
        logger.warning("The best trial is not %s, which the next start will do: %s", what, error)
        return result
    except RunStopped:
        stop = "interrupted"
    return _written(job, queue, shared, stop)


def _is_final(job: Job, result: SearchResult) -> bool:
    if job.confirmation:
        return result.confirmation.verdict != "not reached"
    return result.fresh is not None


def _written(job: Job, queue: Queue, shared: Shared, stop: SearchStop) -> SearchResult:
    result = summary_of(queue, shared)
    best, takes_back = result.best, result.confirmation.takes_back
    program = None if best is None else job.judge if takes_back else judge_of(job, best)
    if stop == "trials" and exhaustion(result):
        stop = "space"
    result = replace(result, stop_reason=stop, program=program)
    write_files(job, result)
    return result
