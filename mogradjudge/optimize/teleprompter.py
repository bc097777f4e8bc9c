"""MOGrad: the DSPy optimizer that rewrites a program's instructions by textual gradients."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, Self

import dspy
from dspy.teleprompt import Teleprompter
from dspy.utils.callback import BaseCallback

from mogradjudge.errors import SetupError
from mogradjudge.judge.finish_reason import cut_replies_counted
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.dspy_internals import asks_cache
from mogradjudge.lm.dspy_records import usage_shared
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import layer_held
from mogradjudge.lm.stop import interruptible
from mogradjudge.objectives import Objective, listed_objectives, metric_lms, rubric_objectives
from mogradjudge.optimize.arguments import (
    Arguments,
    listed,
    taking_arguments,
    with_argument_hints,
)
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.context import RunContext, make_context
from mogradjudge.optimize.datasets import examples_of
from mogradjudge.optimize.directory import STATE, RunDirectory
from mogradjudge.optimize.loop import Run
from mogradjudge.optimize.parts import Parts
from mogradjudge.optimize.progress import progress_bar
from mogradjudge.optimize.result import OptimizationResult
from mogradjudge.optimize.state import State, best_first
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import asks_groups
from mogradjudge.programs.identity import fingerprint, judge_lms
from mogradjudge.programs.structure import uncalibrated
from mogradjudge.settings import RunFields

logger = logging.getLogger(__name__)


class MOGrad(Teleprompter):  # type: ignore[misc]  # dspy is untyped
    """Optimizes instructions for several objectives by textual gradients.

    In each step the program judges a batch; a critic explains its errors (and sees what each of
    several predictors did), a coach turns that into advice, an editor rewrites the sections, and a
    gate accepts or rejects the rewrite. The mode says which of the three handle all criteria in one
    call.

    Args:
        mode: ``"SSS"``, ``"SSC"``, ``"SCC"`` or ``"CCC"``: for critic, coach and editor, one call
            per criterion (S) or one for all (C).
        objectives: What to maximize: a list of `Objective` or of metrics, or a dict of metrics by
            name. A metric's docstring is its description, its score lies in [0, 1]. A
            `MultiCriteriaJudge` has objectives of its own, so it may be left out.
        protocol: ``"paper"`` for the paper's settings; those that are given otherwise win.
        auto: ``"light"`` (6 steps, the default), ``"medium"`` (12) or ``"heavy"`` (24).
        steps: An explicit number of steps instead.
        gate: Accepts or rejects candidates; `NoMeanRegression` by default.
        critic_lm: The LM of the critic; ``prompt_lm`` by default. The same holds for ``coach_lm``
            and ``editor_lm``.
        prompt_lm: The LM of the roles without their own; ``dspy.settings.lm`` at compile time by
            default.
        run_dir: A folder for the run's state, replies and results. An interrupted run resumes when
            it is started again with the same folder.
        shared: The budget and the replies that this run shares with others; `mogradjudge.search`
            sets them.
        callbacks: DSPy callbacks of this optimizer.
        observers: Functions that are called with every event (`mogradjudge.optimize.events`).
        display_progress: Whether a progress bar is shown on stderr; None shows it on a terminal.

    The other arguments are the settings of a run: the fields of `MOGradConfig`.

    Raises:
        SetupError: If an argument has an invalid value.

    >>> optimizer = MOGrad(mode="SSC", steps=2, batch_size=3)
    >>> optimizer.config.mode.name, optimizer.config.steps
    ('SSC', 2)
    """

    @with_argument_hints
    @taking_arguments(Arguments)
    def __init__(self, arguments: Arguments) -> None:
        super().__init__()
        self.config = arguments.config()
        arguments.check()
        objectives = arguments.objectives
        self.run_dir = arguments.run_dir
        self.shared = arguments.shared
        self.objectives = None if objectives is None else listed_objectives(objectives)
        self.role_lms = arguments.role_lms
        self.prompt_lm = arguments.prompt_lm
        callbacks = arguments.callbacks or ()
        self.callbacks = listed(callbacks, "callbacks", "DSPy callbacks", _is_callback)
        self.observers = tuple(listed(arguments.observers, "observers", "functions", callable))
        self.display_progress = arguments.display_progress

    @classmethod
    def from_config(cls, config: MOGradConfig, **others: Any) -> Self:
        """Make an optimizer with the settings of a config; ``others`` are the other arguments.

        >>> MOGrad.from_config(MOGradConfig(steps=2)).config.steps
        2
        """
        return cls(
            **{field.name: getattr(config, field.name) for field in fields(config)}, **others
        )

    def get_params(self) -> dict[str, Any]:
        """Return a copy of the optimizer's attributes: MLflow's autolog adds the data to it."""
        return dict(vars(self))

    @with_argument_hints
    def compile(
        self,
        student: dspy.Module,
        *,
        trainset: Iterable[dspy.Example],
        teacher: object = None,
        valset: Iterable[dspy.Example] | None = None,
        num_threads: int | None = None,
    ) -> dspy.Module:
        """Optimize and return the program, as DSPy's optimizers do; see `optimize`.

        The program carries ``detailed_results`` (the `OptimizationResult`), ``candidate_programs``
        (the best first) and ``trial_logs`` (by step), unless it has its own attribute of that name.
        ``teacher`` is only there for compatibility with DSPy.
        """
        result = self.optimize(student, trainset=trainset, valset=valset, num_threads=num_threads)
        program, student = result.program, uncalibrated(student)
        candidates = [
            {
                "score": measured.agreement.mean,
                "program": measured.candidate.written_into(student),
                "step": measured.step,
            }
            for measured in best_first(result.measured)
        ]
        logs = {step.step: step.as_dict() for step in result.steps}
        attributes = {
            "candidate_programs": candidates,
            "trial_logs": logs,
            "detailed_results": result,
        }
        for name, value in attributes.items():
            if not hasattr(program, name):
                setattr(program, name, value)
        return program

    @with_argument_hints
    def optimize(
        self,
        student: dspy.Module,
        *,
        trainset: Iterable[dspy.Example],
        valset: Iterable[dspy.Example] | None = None,
        testset: Iterable[dspy.Example] = (),
        num_threads: int | None = None,
    ) -> OptimizationResult:
        """Optimize the instructions of a program.

        After the first Ctrl-C or SIGTERM, the calls in flight finish and the best result so far is
        returned; the second one raises KeyboardInterrupt.

        Args:
            student: The program; it is not changed.
            trainset: The examples that critiques are written on.
            valset: The examples that candidates are compared on. Without it, two fifths of the
                training set are split off: by whole groups if the program is a judge or the
                objectives are a rubric's; examples with equal inputs stay together.
            testset: Held-out examples; the initial and the final instructions are scored on them
                at the end of a complete run.
            num_threads: The most LM calls in flight; the optimizer's own setting by default.

        Raises:
            SetupError: If the program, the examples, the LMs or the folder cannot be used.
            dspy.LMError: If a provider stays down, or always refuses a request.
        """
        config = self._config_for(student, num_threads)
        if (raw := uncalibrated(student)) is not student:
            logger.warning(
                "The judge is optimized on its raw scores, and its calibration is dropped. "
                "Calibrate the result."
            )
            student = raw
        objectives = self._objectives(student)
        rubric = student.rubric if self.objectives is None else None
        by_group = asks_groups(student, objectives)
        judged = student.rubric if isinstance(student, MultiCriteriaJudge) else None
        sets = (trainset, valset, testset)
        data = examples_of(config, rubric, *sets, by_group=by_group, judged=judged)
        folder = self._folder()
        ledger = self._ledger(config, folder)
        lms = {role: self._role_lm(role) for role in self.role_lms}
        context = make_context(student, objectives, config, ledger, lms)
        with (
            cut_replies_counted(),
            _resumed(folder, context, objectives, lms, data.parts) as state,
            interruptible(ledger.stop_signal),
            usage_shared(),
            layer_held(ledger),
            progress_bar(config, display=self.display_progress, ledger=ledger) as progress,
        ):
            writers = () if folder is None else (folder.write,)
            observers = (*writers, *self.observers, progress)
            return Run(context, data, observers, folder, state).execute()

    def _folder(self) -> RunDirectory | None:
        if self.run_dir is None:
            return None
        return RunDirectory(self.run_dir, None if self.shared is None else self.shared.replies)

    def _ledger(self, config: MOGradConfig, folder: RunDirectory | None) -> Ledger:
        return Ledger(
            config.budget,
            config.num_threads,
            config.max_rpm,
            None if folder is None else folder.stop_file,
            None if self.shared is None else self.shared.purse,
        )

    def _config_for(self, student: dspy.Module, num_threads: int | None) -> MOGradConfig:
        if not isinstance(student, dspy.Module):
            raise SetupError(f"`student` must be a dspy.Module, got {student!r}.")
        if num_threads is None:
            return self.config
        return replace(self.config, num_threads=num_threads)

    def _role_lm(self, name: str) -> dspy.BaseLM | None:
        return self.role_lms[name] or self.prompt_lm or dspy.settings.lm

    def _objectives(self, student: dspy.Module) -> tuple[Objective, ...]:
        if self.objectives is None and isinstance(student, MultiCriteriaJudge):
            return rubric_objectives(student.rubric, self.config.level, self.config.measure)
        if self.objectives == () and isinstance(student, MultiCriteriaJudge):
            raise SetupError(
                "`objectives` must be given, got none. Leave the argument out: a "
                "MultiCriteriaJudge has its own."
            )
        if not self.objectives:
            raise SetupError(
                f"`objectives` must be given for a {type(student).__name__}; only a "
                "MultiCriteriaJudge has its own."
            )
        if self.config.measure != RunFields.measure:
            raise SetupError(
                "`measure` is for a rubric's criteria; an objective of your own is measured by its "
                "`aggregate`."
            )
        names = [objective.name for objective in self.objectives]
        if len(set(names)) < len(names):
            raise SetupError(f"Each objective needs its own name, got {names}.")
        return self.objectives


def _is_callback(value: object) -> bool:
    return isinstance(value, BaseCallback)


@contextmanager
def _resumed(
    folder: RunDirectory | None,
    context: RunContext,
    objectives: Sequence[Objective],
    lms: Mapping[str, dspy.BaseLM | None],
    data: Mapping[str, Sequence[dspy.Example]],
) -> Iterator[State | None]:
    """Lock the run's folder while the block runs; yields the state to resume from, if any."""
    if folder is None:
        yield None
        return
    student, config = context.program, context.config
    all_lms = {**judge_lms(student), **metric_lms(objectives), **lms}
    _check_caching(all_lms)
    values = fingerprint(config.as_dict(), student, objectives, all_lms, data)
    with folder.at_work(values, context.ledger) as state:
        if state is not None:
            seed = Candidate.of(student)
            state.check_matches(folder.path / STATE, seed, context.criteria, config.steps)
        folder.keep(Parts.of(data))
        yield state


def _check_caching(lms: Mapping[str, dspy.BaseLM | None]) -> None:
    for role, lm in lms.items():
        if lm is not None and not asks_cache(lm):
            raise SetupError(
                f"`run_dir` needs LMs with DSPy's cache, but the {role}'s, {lm.model!r}, has "
                "cache=False or its own forward. Set cache=True."
            )
