"""An optimizer that logs its runs to MLflow."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dspy

from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.optimize.result import OptimizationResult
from mogradjudge.optimize.teleprompter import MOGrad
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.identity import judge_lms
from mogradjudge.tracking.destination import import_mlflow
from mogradjudge.tracking.logger import RunLogger, SectionKey


def log_to_mlflow(
    optimizer: MOGrad, experiment: str | None = None, run_name: str | None = None
) -> MOGrad:
    """Return a copy of an optimizer that logs its runs to MLflow.

    A run is logged to the active MLflow run, or to a new one nested in it if it already has a run;
    without an active one, to a new one. Logged are its settings and models as parameters; by step
    (0 is the initial instructions) ``agreement/NAME`` and ``proposed/NAME`` for each criterion and
    ``mean`` (by the parameters ``measure.NAME``), ``bias/NAME`` and ``mean_error/NAME`` (points),
    ``accepted`` (0 or 1), ``calls``, ``tokens`` and ``cost`` (of the run so far, US dollars),
    ``unscored/NAME`` (texts) and ``skipped`` (questions) as metrics; the section texts as
    ``step_01/fluency.txt``; and at the end ``result.json``, the saved judge, and why the run
    stopped as the tag ``mogradjudge.stop_reason``. An undefined agreement is no metric but a tag. A
    resumed run with a ``run_dir`` continues in its MLflow run, and sends what earlier starts could
    not; no step is logged twice.

    If MLflow fails, one warning says so and the run continues. MLflow itself tries for minutes
    before it gives up on a server; ``MLFLOW_HTTP_REQUEST_MAX_RETRIES`` shortens that.

    >>> from mogradjudge.tracking import log_to_mlflow
    >>> optimizer = log_to_mlflow(MOGrad(steps=3), experiment="fluency")  # doctest: +SKIP

    Args:
        optimizer: The optimizer; it is not changed.
        experiment: The name of the experiment for a new MLflow run, created if it is missing;
            None for MLflow's current one.
        run_name: The name of a new MLflow run; None lets MLflow choose.

    Raises:
        SetupError: If mlflow is not installed. A compile raises it where the experiment is deleted
            or not open to the user, before any call.
    """
    import_mlflow()
    return _Tracked(optimizer, experiment, run_name)


class _Tracked(MOGrad):
    def __init__(self, optimizer: MOGrad, experiment: str | None, run_name: str | None) -> None:
        self.__dict__.update(vars(optimizer))  # read by DSPy and others
        self._optimizer, self._names = optimizer, (experiment, run_name)

    def optimize(
        self,
        student: dspy.Module,
        *,
        trainset: Iterable[dspy.Example],
        valset: Iterable[dspy.Example] | None = None,
        testset: Iterable[dspy.Example] = (),
        num_threads: int | None = None,
    ) -> OptimizationResult:
        optimizer, folder = self._untracked(), self.run_dir

        def describe() -> tuple[Mapping[str, object], Mapping[SectionKey, str]]:
            return dict(_params(optimizer, student)), dict(_sections(student))

        run_logger = RunLogger(
            *self._names,
            None if folder is None else Path(folder),
            describe,
            is_judge=isinstance(student, MultiCriteriaJudge),
        )
        run_logger.destination.check()
        optimizer.observers = (*optimizer.observers, run_logger.tell)
        status = "FAILED"
        try:
            result = optimizer.optimize(
                student,
                trainset=trainset,
                valset=valset,
                testset=testset,
                num_threads=num_threads,
            )
            run_logger.finish(result)
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            run_logger.close(status)
        return result

    def _untracked(self) -> MOGrad:
        """Return the original optimizer with the attributes set on this one since."""
        optimizer, own = copy.copy(self._optimizer), ("_optimizer", "_names")
        optimizer.__dict__.update({key: it for key, it in vars(self).items() if key not in own})
        return optimizer


def _params(optimizer: MOGrad, student: dspy.Module) -> Iterator[tuple[str, object]]:
    """Yield a run's settings and models by name, except settings that are None."""
    for name, setting in optimizer.config.as_dict().items():
        fields = setting if isinstance(setting, Mapping) else {"": setting}
        for field, value in fields.items():
            if value is not None:
                yield f"{name}.{field}".rstrip("."), value
    yield "judge_model", _judge_models(student)
    for role, lm in optimizer.role_lms.items():
        role_lm = lm or optimizer.prompt_lm or dspy.settings.lm
        yield f"{role}_model", role_lm.model


def _judge_models(student: dspy.Module) -> str:
    """Name the models of the student's predictors, or the judge's if none has its own."""
    judges = {path: lm for path, lm in judge_lms(student).items() if lm is not None}
    own: Any = [lm for path, lm in judges.items() if path != "judge"] or judges.values()
    return ", ".join(sorted({lm.model for lm in own}))


def _sections(student: dspy.Module) -> Iterator[tuple[SectionKey, str]]:
    for path, instructions in Candidate.of(student).instructions.items():
        yield (path, None), instructions.preamble
        for name, text in instructions.sections:
            yield (path, name), text
