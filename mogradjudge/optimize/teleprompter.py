"""MOGrad: the DSPy optimizer that rewrites a program's instructions by textual gradients."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
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
from mogradjudge.objectives import Objective, metric_lms, rubric_objectives
from mogradjudge.optimize.arguments import (
    Arguments,
    listed,
    listed_objectives,
    naming_the_right_argument,
    taking_arguments,
)
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.context import make_context
from mogradjudge.optimize.datasets import examples_of
from mogradjudge.optimize.directory import STATE, RunDirectory
from mogradjudge.optimize.loop import Run
from mogradjudge.optimize.progress import shown_progress
from mogradjudge.optimize.result import OptimizationResult
from mogradjudge.optimize.state import in_order_of_worth
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import asks_groups
from mogradjudge.programs.identity import fingerprint, judge_lms

logger = logging.getLogger(__name__)


class MOGrad(Teleprompter):  # type: ignore[misc]  # dspy is untyped
    """Optimizes instructions for several objectives by textual gradients.

    Each step lets the program work on a batch; a critic says where it missed (and sees what each of
    several predictors did), a coach turns that into advice, an editor rewrites the sections, and a
    gate keeps the rewrite or not. The mode says which of the three speak about all at once.

    Args:
        mode: ``"SSS"``, ``"SSC"``, ``"SCC"`` or ``"CCC"``: for critic, coach and editor, one call
            per criterion (S) or one for all (C).
        objectives: What to maximize. A `MultiCriteriaJudge` brings its own, so it may be left out.
        auto: ``"light"`` (6 steps, the default), ``"medium"`` (12) or ``"heavy"`` (24).
        steps: An explicit number of steps instead.
        gate: Decides about candidates; `NoMeanRegression` if it is not given.
        critic_lm: Speaks as the critic; ``prompt_lm`` if it is not given. So for the coach and the
            editor.
        prompt_lm: Speaks for the roles without an LM of their own; ``dspy.settings.lm`` at compile
            time if it is not given.
        run_dir: A folder that keeps everything the run pays for and finds. A run that was cut
            short, at any instant, is taken up by running it again with the same folder.
        pool: What this run has in common with others: each call is taken from its purse, and looked
            for among its replies. `mogradjudge.search` gives it.
        callbacks: DSPy callbacks of this optimizer.
        observers: Functions that are told every event (`mogradjudge.optimize.events`).
        display_progress: Whether a progress bar is shown on stderr; None shows it on a terminal.

    The other arguments are the settings of a run: the fields of `MOGradConfig`.

    Raises:
        SetupError: If an argument has a value that it cannot have.
    """

    @naming_the_right_argument
    @taking_arguments(Arguments)
    def __init__(self, arguments: Arguments) -> None:
        super().__init__()
        self.config = arguments.config()
        arguments.check()
        objectives = arguments.objectives
        self.run_dir = arguments.run_dir
        self.pool = arguments.pool
        self.objectives = None if objectives is None else listed_objectives(objectives)
        self.role_lms = arguments.role_lms
        self.prompt_lm = arguments.prompt_lm
        callbacks = arguments.callbacks or ()
        self.callbacks = listed(callbacks, "callbacks", "DSPy callbacks", _is_callback)
        self.observers = tuple(listed(arguments.observers, "observers", "functions", callable))
        self.display_progress = arguments.display_progress

    @classmethod
    def from_config(cls, config: MOGradConfig, **others: Any) -> Self:
        """Make an optimizer with the settings of a config; ``others`` are the other arguments."""
        return cls(
            **{field.name: getattr(config, field.name) for field in fields(config)}, **others
        )

    def get_params(self) -> dict[str, Any]:
        """Give the optimizer's attributes, as a copy: MLflow's autolog adds the data to it."""
        return dict(vars(self))

    @naming_the_right_argument
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
        (the best first) and ``trial_logs`` (by step), unless it has an attribute of that name of
        its own. ``teacher`` is taken for DSPy's sake and not used.
        """
        result = self.optimize(student, trainset=trainset, valset=valset, num_threads=num_threads)
        program = result.program
        candidates = [
            {
                "score": each.agreement.mean,
                "program": each.candidate.written_into(student),
                "step": each.step,
            }
            for each in in_order_of_worth(result.measured)
        ]
        logs = {step.step: step.as_dict() for step in result.steps}
        left = {"candidate_programs": candidates, "trial_logs": logs, "detailed_results": result}
        for name, value in left.items():
            if not hasattr(program, name):
                setattr(program, name, value)
        return program

    @naming_the_right_argument
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

        The first Ctrl-C or SIGTERM lets the calls in flight end and returns the best so far; the
        second one raises KeyboardInterrupt.

        Args:
            student: The program; it is not changed.
            trainset: The examples that critiques are written on.
            valset: The examples that decide about candidates. Without it, two fifths of the
                training set are set aside for that: by whole groups if the program is a judge or
                the objectives are a rubric's, and never parted where inputs are equal.
            testset: The examples that the seed and the final instructions are scored on at the end
                of a whole run; nothing is decided by them.
            num_threads: The most LM calls in flight; the optimizer's own setting if not given.

        Raises:
            SetupError: If the program, the examples, the LMs or the folder cannot be worked with.
            dspy.LMError: If a provider stays down, or refuses what no other try can help.
        """
        config = self._config_for(student, num_threads)
        objectives = self._objectives(student)
        rubric = student.rubric if self.objectives is None else None
        by_group = asks_groups(student, objectives)
        data = examples_of(config, rubric, trainset, valset, testset, by_group=by_group)
        pool = self.pool
        replies = None if pool is None else pool.replies
        folder = None if self.run_dir is None else RunDirectory(self.run_dir, replies)
        ledger = Ledger(
            config.budget,
            config.num_threads,
            config.max_rpm,
            None if folder is None else folder.stop_file,
            None if pool is None else pool.purse,
        )
        lms = {role: self._role_lm(role) for role in self.role_lms}
        context = make_context(student, objectives, config, ledger, lms)
        with ExitStack() as stack:
            enter, state = stack.enter_context, None
            enter(cut_replies_counted())
            if folder is not None:
                speaking = {**judge_lms(student), **metric_lms(objectives), **lms}
                _check_kept(speaking)
                asked = fingerprint(config.as_dict(), student, objectives, speaking, data)
                state = enter(folder.at_work(asked, ledger))
                if state is not None:
                    seed, steps = Candidate.of(student), config.steps
                    state.check_is_of(folder.path / STATE, seed, context.criteria, steps)
            enter(interruptible(ledger.stop_signal))
            enter(usage_shared())
            enter(layer_held(ledger))
            progress = enter(shown_progress(config, display=self.display_progress))
            kept = () if folder is None else (folder.write,)
            run = Run(context, data, (*kept, *self.observers, progress), folder, state)
            return run.to_the_end()

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
            return rubric_objectives(student.rubric, self.config.level)
        if not self.objectives:
            raise SetupError(
                f"`objectives` must be given for a {type(student).__name__}; only a "
                "MultiCriteriaJudge brings its own."
            )
        names = [objective.name for objective in self.objectives]
        if len(set(names)) < len(names):
            raise SetupError(f"Each objective needs a name of its own, got {names}.")
        return self.objectives


def _is_callback(value: object) -> bool:
    return isinstance(value, BaseCallback)


def _check_kept(lms: Mapping[str, dspy.BaseLM | None]) -> None:
    for role, lm in lms.items():
        if lm is not None and not asks_cache(lm):
            raise SetupError(
                f"`run_dir` needs LMs whose replies DSPy keeps, and that of the {role}, "
                f"{lm.model!r}, has cache=False or a forward of its own. Set cache=True."
            )
