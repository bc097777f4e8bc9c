"""The arguments of MOGrad, and hints for those that it does not have."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import dspy

from mogradjudge.criteria.decomposition import DecompositionMode
from mogradjudge.errors import SetupError
from mogradjudge.lm.budget import Budget
from mogradjudge.objectives import Objectives
from mogradjudge.optimize.config import MOGradConfig, resolve_steps
from mogradjudge.optimize.directory import Pool
from mogradjudge.optimize.events import Observer
from mogradjudge.settings import GATES, PROTOCOLS, Auto, Protocol, RunFields
from mogradjudge.stages.gate import Gate, make_gate

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

_ALIKE = 0.75
"""The least similarity for a hint: `num_rules` does not mean `num_threads`."""

_METRIC = "MOGrad(objectives=[Objective.from_metric(metric, ...)])"
_STEPS, _PROMPT_LM, _BATCH = "MOGrad(steps=...)", "MOGrad(prompt_lm=...)", "MOGrad(batch_size=...)"
_BUDGET, _TARGET = "MOGrad(budget=Budget(max_calls=...))", "MOGrad(target=...)"
_TASK_LM = "program.set_lm(...) or dspy.configure(lm=...)"
_NOTHING = "leave it out, MOGrad has no such setting"
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
"""What to use instead of an argument of GEPA, MIPROv2, COPRO, SIMBA or TextGrad."""


@dataclass(frozen=True)
class Arguments(RunFields):
    """The settings of a run and the other arguments of `MOGrad`, which documents each.

    Raises:
        SetupError: If an argument has an invalid value.
    """

    mode: str | DecompositionMode = RunFields.mode
    steps: int | None = None  # type: ignore[assignment]  # None leaves it to `auto`
    gate: Gate | str | None = None
    budget: Budget | None = None
    protocol: Protocol | None = None
    auto: Auto | None = None
    objectives: Objectives | None = None
    critic_lm: dspy.BaseLM | None = None
    coach_lm: dspy.BaseLM | None = None
    editor_lm: dspy.BaseLM | None = None
    prompt_lm: dspy.BaseLM | None = None
    run_dir: str | Path | None = None
    shared: Pool | None = None
    callbacks: Iterable[Any] | None = None
    observers: Iterable[Observer] = ()
    display_progress: bool | None = None

    def config(self) -> MOGradConfig:
        """Return the settings alone."""
        gate, budget = self.gate, self.budget
        values = {setting.name: getattr(self, setting.name) for setting in fields(RunFields)}
        values |= {"steps": resolve_steps(self.auto, self.steps)}
        values["gate"] = (
            make_gate(gate or RunFields.gate) if gate is None or gate in GATES else gate
        )
        values["budget"] = Budget() if budget is None else budget
        return MOGradConfig(**values)

    def check(self) -> None:
        """Check the arguments that are neither settings nor lists.

        Raises:
            SetupError: If one has an invalid value.
        """
        if self.run_dir is not None and not isinstance(self.run_dir, (str, PathLike)):
            raise SetupError(f"`run_dir` must be the path of a folder, got {self.run_dir!r}.")
        if self.shared is not None and self.run_dir is None:
            raise SetupError("`shared` needs a `run_dir`, the run's own folder, got none.")
        for name, lm in {**self.role_lms, "prompt": self.prompt_lm}.items():
            if lm is not None and not isinstance(lm, dspy.BaseLM):
                raise SetupError(f"`{name}_lm` must be a dspy.LM, got {lm!r}.")
        shown = self.display_progress
        if shown is not None and not isinstance(shown, bool):
            raise SetupError(f"`display_progress` must be True, False or None, got {shown!r}.")

    @property
    def role_lms(self) -> dict[str, dspy.BaseLM | None]:
        """The LM of each role; None if it has none of its own."""
        return {"critic": self.critic_lm, "coach": self.coach_lm, "editor": self.editor_lm}


def taking_arguments(
    arguments: Callable[P, Arguments], positional: str = "mode"
) -> Callable[[Callable[[S, Arguments], None]], Callable[Concatenate[S, P], None]]:
    """Let a method take the fields of a dataclass as keyword arguments.

    Editors and mypy know them from the dataclass; ``positional`` names the only one that need not
    be a keyword.
    """
    own = inspect.signature(arguments).parameters.values()
    named = [
        parameter.replace(kind=parameter.KEYWORD_ONLY)
        for parameter in own
        if parameter.name != positional
    ]
    first = [parameter for parameter in own if parameter.name == positional]
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.Signature([this, *first, *named], return_annotation=None)

    def decorate(method: Callable[[S, Arguments], None]) -> Callable[Concatenate[S, P], None]:
        @functools.wraps(method)
        def called(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
            signature.bind(self, *args, **kwargs)
            preset = _preset(kwargs.get("protocol"))
            method(self, arguments(*args, **{**preset, **kwargs}))

        called.__signature__ = signature  # type: ignore[attr-defined]
        return called

    return decorate


def _preset(protocol: object) -> Mapping[str, Any]:
    """Return the settings of a protocol, which explicit arguments overrule."""
    if protocol is None:
        return {}
    if protocol not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise SetupError(f"`protocol` must be one of {known} or None, got {protocol!r}.")
    return PROTOCOLS[str(protocol)]


def with_argument_hints(function: Callable[P, R]) -> Callable[P, R]:
    """Let a method's error for an unknown argument name the right one; its signature stays."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in signature.parameters:
                called = function.__qualname__.removesuffix(".__init__")
                instead = _instead(name, signature, args[0])
                raise TypeError(f"{called}() takes no argument {name!r}{instead}.")
        return function(*args, **kwargs)

    # DSPy's callbacks use it to read the arguments; they do not unwrap `functools.wraps`.
    checked.__signature__ = signature  # type: ignore[attr-defined]
    return checked


def _instead(name: str, signature: inspect.Signature, optimizer: Any) -> str:
    if use := _OF_OTHERS.get(name):
        return f": {use if use.startswith('leave') else f'use {use}'}"
    for method, where in ((optimizer.__init__, "MOGrad"), (optimizer.compile, "compile")):
        if name in inspect.signature(method).parameters:
            return f": it is one of {where}(...)"
    near = difflib.get_close_matches(name, signature.parameters, 1, _ALIKE)
    return f": perhaps {near[0]!r} is meant" if near else "; help(MOGrad) lists all arguments"


def listed(values: Any, name: str, what: str, fits: Callable[[Any], bool]) -> list[Any]:
    """Return the values as a list, and check each.

    Raises:
        SetupError: If one does not fit.
    """
    values = list(values) if isinstance(values, Iterable) else values
    if not isinstance(values, list) or not all(map(fits, values)):
        raise SetupError(f"`{name}` must be a list of {what}, got {values!r}.")
    return values
