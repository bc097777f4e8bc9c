"""An optimizer whose runs MLflow is told of."""

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
    """Give an optimizer like this one that tells MLflow of its runs.

    A run goes into the active MLflow run, or into a new one below it if another run has gone into
    it; without an active one, into a new one. Logged are its settings and models
    as parameters; by step (0 is the seed) ``agreement/NAME`` and ``proposed/NAME`` for each
    criterion and ``mean``, ``accepted`` (0 or 1), ``calls``, ``tokens`` and ``cost`` (of the run so
    far, US dollars), ``unscored/NAME`` (texts) and ``skipped`` (questions) as metrics; the section
    texts as ``step_01/fluency.txt``; and at the end ``result.json``, the saved judge, and why the
    run stopped as the tag ``mogradjudge.stop_reason``. An undefined agreement is no metric but a
    tag. A run with a ``run_dir`` that is taken up goes on in its MLflow run, and tells what earlier
    starts could not; no step is told twice.

    If MLflow fails, one warning says so and the run goes on. MLflow itself tries for minutes
    before it gives up on a server; ``MLFLOW_HTTP_REQUEST_MAX_RETRIES`` shortens that.

    Args:
        optimizer: The optimizer; it is not changed.
        experiment: The name of the experiment for a new MLflow run, made if there is none of that
            name; None for MLflow's current one.
        run_name: The name of a new MLflow run; None lets MLflow choose.

    Raises:
        SetupError: If mlflow is not installed.
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
        """Give the optimizer with what has been set on this one since."""
        optimizer, own = copy.copy(self._optimizer), ("_optimizer", "_names")
        optimizer.__dict__.update({key: it for key, it in vars(self).items() if key not in own})
        return optimizer


def _params(optimizer: MOGrad, student: dspy.Module) -> Iterator[tuple[str, object]]:
    """Name a run's settings and models; what is None has no value to tell."""
    for name, value in optimizer.config.as_dict().items():
        parts = value if isinstance(value, Mapping) else {"": value}
        yield from (
            (f"{name}.{key}".rstrip("."), it) for key, it in parts.items() if it is not None
        )
    judges = {path: lm for path, lm in judge_lms(student).items() if lm is not None}
    own: Any = [lm for path, lm in judges.items() if path != "judge"] or judges.values()
    yield "judge_model", ", ".join(sorted({lm.model for lm in own}))
    for role, lm in optimizer.role_lms.items():
        speaking = lm or optimizer.prompt_lm or dspy.settings.lm
        yield f"{role}_model", speaking.model


def _sections(student: dspy.Module) -> Iterator[tuple[SectionKey, str]]:
    for path, instructions in Candidate.of(student).instructions.items():
        yield (path, None), instructions.preamble
        for name, text in instructions.sections:
            yield (path, name), text
