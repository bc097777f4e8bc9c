"""MOGrad: the DSPy optimizer that rewrites a program's instructions by textual gradients."""

from __future__ import annotations

import difflib
import functools
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import dspy
from dspy.teleprompt import Teleprompter
from dspy.utils.callback import BaseCallback

from mogradjudge.agreement import Level
from mogradjudge.criteria.decomposition import DecompositionMode
from mogradjudge.errors import SetupError
from mogradjudge.judge.endings import cut_replies_counted
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.budget import Budget
from mogradjudge.lm.interruption import interruptible
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import asks_cache, layer_held
from mogradjudge.lm.usage import usage_shared
from mogradjudge.objectives import Objective, metric_lms, rubric_objectives
from mogradjudge.optimize.config import Auto, MOGradConfig, Predictors, resolve_steps
from mogradjudge.optimize.context import open_workshop
from mogradjudge.optimize.datasets import examples_of
from mogradjudge.optimize.directory import STATE, Pool, RunDirectory
from mogradjudge.optimize.events import Observer
from mogradjudge.optimize.fingerprint import fingerprint
from mogradjudge.optimize.loop import Run
from mogradjudge.optimize.progress import shown_progress
from mogradjudge.optimize.result import OptimizationResult
from mogradjudge.optimize.state import in_order_of_worth
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import asks_groups
from mogradjudge.programs.identity import judge_lms
from mogradjudge.stages.gate import Gate, NoMeanRegression

logger = logging.getLogger(__name__)

_ALIKE = 0.75
"""How alike an unknown argument and ours must be: `num_rules` is no `num_threads`."""

P = ParamSpec("P")
R = TypeVar("R")

_METRIC = "MOGrad(objectives=[Objective.from_metric(metric, ...)])"
_STEPS, _PROMPT_LM, _BATCH = "MOGrad(steps=...)", "MOGrad(prompt_lm=...)", "MOGrad(batch_size=...)"
_BUDGET, _TARGET = "MOGrad(budget=Budget(max_calls=...))", "MOGrad(target=...)"
_TASK_LM = "program.set_lm(...) or dspy.configure(lm=...)"
_NOTHING = "leave it out, there is no such choice"
_OF_OTHERS = {
    **dict.fromkeys(("metric", "reward_fn", "eval_fn", "loss_fn"), _METRIC),
    **dict.fromkeys(("num_trials", "max_steps", "num_steps", "max_epochs", "depth"), _STEPS),
    **dict.fromkeys(("max_iters", "max_rounds"), _STEPS),
    **dict.fromkeys(
        ("reflection_lm", "prompt_model", "engine", "lm", "teacher_settings"), _PROMPT_LM
    ),
    **dict.fromkeys(("minibatch_size", "reflection_minibatch_size", "bsize", "minibatch"), _BATCH),
    **dict.fromkeys(("max_full_evals", "max_metric_calls", "max_calls"), _BUDGET),
    **dict.fromkeys(("metric_threshold", "stop_at_score", "perfect_score"), _TARGET),
    **dict.fromkeys(("task_model", "student_lm"), _TASK_LM),
    **dict.fromkeys(("init_temperature", "temperature"), "MOGrad(editor_temperature=...)"),
    "temperature_for_candidates": "MOGrad(editor_temperature=...)",
    **dict.fromkeys(("verbose", "display_table"), "MOGrad(display_progress=True)"),
    **dict.fromkeys(("devset", "valset_ratio"), "compile(valset=...)"),
    **dict.fromkeys(("use_mlflow", "use_wandb", "wandb_api_key"), "mogradjudge.tracking"),
    "loss_lm": "MOGrad(critic_lm=...)",
    "gradient_lm": "MOGrad(coach_lm=...)",
    "optimizer_lm": "MOGrad(editor_lm=...)",
    "log_dir": "MOGrad(run_dir=...)",
    "skip_perfect_score": "MOGrad(skip_tolerance=0)",
    "component_selector": "MOGrad(predictors=...)",
    "constraints": "MOGrad(max_section_chars=...) and the objectives' descriptions",
    "instruction_proposer": "MOGrad(editor_lm=...)",
    "testset": "optimize(testset=...)",
    "requires_permission_to_run": "leave it out, no run asks for permission",
    "track_stats": "leave it out, the program always carries detailed_results",
    **dict.fromkeys(("max_errors", "failure_score", "provide_traceback", "eval_kwargs"), _NOTHING),
    **dict.fromkeys(("num_candidates", "breadth", "candidate_selection_strategy"), _NOTHING),
    **dict.fromkeys(("max_bootstrapped_demos", "max_labeled_demos", "max_demos"), _NOTHING),
    **dict.fromkeys(("use_merge", "add_format_failure_as_feedback", "gepa_kwargs"), _NOTHING),
    **dict.fromkeys(("minibatch_full_eval_steps", "restrict", "strategy"), _NOTHING),
    **dict.fromkeys(("max_merge_invocations", "track_best_outputs", "num_rules"), _NOTHING),
    **dict.fromkeys(("num_candidate_programs", "view_data_batch_size"), _NOTHING),
    "temperature_for_sampling": _NOTHING,
    "save_as_csv": "MOGrad(run_dir=...)",
}
"""What to use for an argument of GEPA, MIPROv2, COPRO, SIMBA or TextGrad."""


def _naming_the_right_argument(function: Callable[P, R]) -> Callable[P, R]:
    """Answer an unknown argument with the one that is meant; the signature stays as it is."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in signature.parameters:
                called = function.__qualname__.removesuffix(".__init__")
                raise TypeError(
                    f"{called}() takes no argument {name!r}{_instead(name, signature)}."
                )
        return function(*args, **kwargs)

    # DSPy's callbacks read the arguments by it, and do not look through `functools.wraps`.
    checked.__signature__ = signature  # type: ignore[attr-defined]
    return checked


def _instead(name: str, signature: inspect.Signature) -> str:
    if use := _OF_OTHERS.get(name):
        return f": {use if use.startswith('leave') else f'use {use}'}"
    for method, where in ((MOGrad.__init__, "MOGrad"), (MOGrad.compile, "compile")):
        if name in inspect.signature(method).parameters:
            return f": it is one of {where}(...)"
    near = difflib.get_close_matches(name, signature.parameters, 1, _ALIKE)
    return f": perhaps {near[0]!r} is meant" if near else "; help(MOGrad) names all there are"


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

    The other arguments are those of `MOGradConfig`.

    Raises:
        SetupError: If an argument has a value that it cannot have.
    """

    @_naming_the_right_argument
    def __init__(
        self,
        mode: str | DecompositionMode = "SSC",
        *,
        objectives: Iterable[Objective] | None = None,
        auto: Auto | None = None,
        steps: int | None = None,
        batch_size: int = 3,
        seed: int = 0,
        gate: Gate | None = None,
        skip_tolerance: float | None = None,
        critic_lm: dspy.BaseLM | None = None,
        coach_lm: dspy.BaseLM | None = None,
        editor_lm: dspy.BaseLM | None = None,
        prompt_lm: dspy.BaseLM | None = None,
        critic_temperature: float | None = 0.3,
        coach_temperature: float | None = 0.3,
        editor_temperature: float | None = 0.7,
        edit_preamble: bool = False,
        predictors: Predictors = "all",
        reply_retries: int = 2,
        max_section_chars: int = 2000,
        level: Level = "pooled",
        budget: Budget | None = None,
        target: float | None = None,
        patience: int | None = None,
        num_threads: int = 8,
        max_rpm: int | None = None,
        run_dir: str | Path | None = None,
        pool: Pool | None = None,
        callbacks: Iterable[Any] | None = None,
        observers: Iterable[Observer] = (),
        display_progress: bool | None = None,
    ) -> None:
        super().__init__()
        self.config = MOGradConfig(
            mode=mode if isinstance(mode, DecompositionMode) else DecompositionMode.parse(mode),
            steps=resolve_steps(auto, steps),
            batch_size=batch_size,
            seed=seed,
            gate=NoMeanRegression() if gate is None else gate,
            skip_tolerance=skip_tolerance,
            critic_temperature=critic_temperature,
            coach_temperature=coach_temperature,
            editor_temperature=editor_temperature,
            edit_preamble=edit_preamble,
            predictors=predictors,
            reply_retries=reply_retries,
            max_section_chars=max_section_chars,
            level=level,
            budget=Budget() if budget is None else budget,
            target=target,
            patience=patience,
            num_threads=num_threads,
            max_rpm=max_rpm,
        )
        if run_dir is not None and not isinstance(run_dir, (str, PathLike)):
            raise SetupError(f"`run_dir` must be the path of a folder, got {run_dir!r}.")
        self.run_dir = run_dir
        self.pool = pool
        if pool is not None and run_dir is None:
            raise SetupError("`pool` needs a `run_dir`, got none: the run's own folder.")
        self.objectives = None if objectives is None else _listed(objectives)
        self.role_lms = {"critic": critic_lm, "coach": coach_lm, "editor": editor_lm}
        for name, lm in {**self.role_lms, "prompt": prompt_lm}.items():
            if lm is not None and not isinstance(lm, dspy.BaseLM):
                raise SetupError(f"`{name}_lm` must be a dspy.LM, got {lm!r}.")
        self.prompt_lm = prompt_lm
        self.callbacks = _all(callbacks or (), "callbacks", "DSPy callbacks", _is_callback)
        self.observers = tuple(_all(observers, "observers", "functions", callable))
        if display_progress is not None and not isinstance(display_progress, bool):
            raise SetupError(
                f"`display_progress` must be True, False or None, got {display_progress!r}."
            )
        self.display_progress = display_progress

    @classmethod
    def from_config(cls, config: MOGradConfig, **others: Any) -> Self:
        """Make an optimizer with the settings of a config; ``others`` are the other arguments."""
        return cls(**{each.name: getattr(config, each.name) for each in fields(config)}, **others)

    def get_params(self) -> dict[str, Any]:
        """Give the optimizer's attributes, as a copy: MLflow's autolog adds the data to it."""
        return dict(vars(self))

    @_naming_the_right_argument
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

    @_naming_the_right_argument
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
        shop = open_workshop(student, objectives, config, ledger, lms)
        with ExitStack() as stack:
            enter, state = stack.enter_context, None
            enter(cut_replies_counted())
            if folder is not None:
                speaking = {**judge_lms(student), **metric_lms(objectives), **lms}
                _check_kept(speaking)
                asked = fingerprint(config, student, objectives, speaking, data)
                state = enter(folder.at_work(asked, ledger))
                if state is not None:
                    seed, steps = Candidate.of(student), config.steps
                    state.check_is_of(folder.path / STATE, seed, shop.criteria, steps)
            enter(interruptible(ledger.brake))
            enter(usage_shared())
            enter(layer_held(ledger))
            progress = enter(shown_progress(config, display=self.display_progress))
            kept = () if folder is None else (folder.write,)
            run = Run(shop, data, (*kept, *self.observers, progress), folder, state)
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


def _listed(objectives: Iterable[Objective]) -> tuple[Objective, ...]:
    if isinstance(objectives, Objective):
        raise SetupError("`objectives` must be a list of them, got one: give [objective].")
    listed = tuple(objectives) if isinstance(objectives, Iterable) else (objectives,)
    for objective in listed:
        if not isinstance(objective, Objective):
            raise SetupError(
                f"`objectives` must be a list of Objective, got {objective!r}. "
                "Objective.from_metric(metric, name, description) makes one of a metric."
            )
    return listed


def _all(given: Any, name: str, what: str, fits: Callable[[Any], bool]) -> list[Any]:
    """Give as a list what must all be of one kind."""
    listed = list(given) if isinstance(given, Iterable) else [given]
    if not isinstance(given, Iterable) or not all(map(fits, listed)):
        raise SetupError(f"`{name}` must be a list of {what}, got {given!r}.")
    return listed


def _is_callback(value: object) -> bool:
    return isinstance(value, BaseCallback)


def _check_kept(lms: Mapping[str, dspy.BaseLM | None]) -> None:
    for role, lm in lms.items():
        if lm is not None and not asks_cache(lm):
            raise SetupError(
                f"`run_dir` needs LMs whose replies DSPy keeps, and that of the {role}, "
                f"{lm.model!r}, has cache=False or a forward of its own. Set cache=True."
            )
