"""Checks a search before any call is paid, and that all its workers have the same settings."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import combinations, product
from typing import Any

import dspy
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from mogradjudge.criteria.decomposition import DecompositionMode
from mogradjudge.data import check_disjoint
from mogradjudge.errors import SetupError
from mogradjudge.judge.inputs import check_inputs
from mogradjudge.judge.scores import settings_with
from mogradjudge.objectives.rubric import check_measurable, check_ratings
from mogradjudge.programs.identity import (
    describe_lm,
    differences,
    digest_of,
    digest_of_program,
    judge_lms,
)
from mogradjudge.search.job import Job
from mogradjudge.search.judge_variant import judge_with
from mogradjudge.search.samplers import Factory, grid_of, pruner_of, sampler_for
from mogradjudge.search.workers.queue import Task
from mogradjudge.search.workers.shared import ASKED, Shared
from mogradjudge.settings import FREE

logger = logging.getLogger(__name__)

_LONGEST_NAME = 200  # tables hold 255, with a part's name after it


@dataclass(frozen=True)
class Plan:
    """How trials are chosen."""

    study: str
    trials: int
    sampler: str | BaseSampler | Factory | None
    pruner: str | BasePruner | None
    seed: int
    heartbeat: int


def check(job: Job, plan: Plan) -> None:
    """Check all that can be checked before any call is paid.

    Raises:
        SetupError: If the search cannot give a result.
    """
    _check_plan(plan)
    if dspy.settings.lm is None and job.judge.predictors()[0].lm is None:
        raise SetupError("No LM is set. Call dspy.configure(lm=dspy.LM(...)) first.")
    parts = {name: part for name, part in job.parts.items() if part or name != "confirmation"}
    for name, examples in parts.items():
        if not examples:
            raise SetupError(f"The {name} set must have at least one example, got none.")
        check_inputs(examples, job.judge.rubric, name)
        check_ratings(examples, job.judge.rubric, f"the {name} set")
        if name != "training":
            check_measurable(examples, job.judge.rubric, job.options, name)
    for one, other in combinations(parts, 2):
        check_disjoint(parts[one], parts[other], (one, other))
    modes, routings = job.space.mode or (job.base.mode.name,), job.space.routing
    for mode, routing in product(modes, routings or (job.base.routing,)):
        DecompositionMode.parse(mode, routing=routing).check(job.judge.rubric.names)
    for layout in job.space.layout or ():
        judge_with(job.judge, settings_with({"layout": layout}, job.judge.settings))
    sampler_for(plan.sampler, plan.seed, plan.trials, len(job.value_names))
    pruner_of(plan.pruner, len(job.value_names))


def _check_plan(plan: Plan) -> None:
    for name in ("trials", "heartbeat"):
        if type(value := getattr(plan, name)) is not int or value < 1:
            raise SetupError(f"`{name}` must be a whole number >= 1, got {value!r}.")
    if type(plan.seed) is not int or plan.seed < 0:
        raise SetupError(f"`seed` must be a whole number >= 0, got {plan.seed!r}.")
    name = plan.study
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise SetupError(
            f"`study` must be a name of 1 to {_LONGEST_NAME} printable characters, got {name!r}."
        )


def study_settings(job: Job, plan: Plan) -> dict[str, Any]:
    """Return the settings that comparable trials must share."""
    settings = {name: value for name, value in job.base.as_dict().items() if name not in FREE}
    lms = {**judge_lms(job.judge), **job.lms}
    common = {
        **settings,
        "space": job.space.to_toml(),
        "values": list(job.value_names),
        "program": digest_of_program(job.judge),
        "rubric": job.judge.rubric.to_toml(),
        "judge": asdict(job.judge.settings),
        "models": {role: describe_lm(lm) for role, lm in lms.items() if lm is not None},
        "adapter": type(dspy.settings.adapter or dspy.ChatAdapter()).__name__,
        "versions": {name: version(name) for name in ("dspy", "mogradjudge")},
        "budget of a trial": job.base.budget.as_dict(),
        **{name: getattr(job.base, name) for name in ("target", "patience")},
        "sampler": _name(plan.sampler),
        "pruner": _name(plan.pruner),
        "heartbeat": plan.heartbeat,
        "search seed": plan.seed,
        **{f"{name} data": digest_of(examples) for name, examples in job.parts.items()},
    }
    plain: dict[str, Any] = json.loads(json.dumps(common))
    return plain


def _name(choice: object) -> str | None:
    if isinstance(choice, str | None):
        return choice
    return str(getattr(choice, "__qualname__", type(choice).__qualname__))


def claim(shared: Shared, settings: Mapping[str, Any]) -> None:
    """Note a study's settings, or compare them with those noted before.

    Raises:
        SetupError: If the study has other settings.
    """
    shared.note(ASKED, settings, first=True)
    before = shared.noted(ASKED)
    if different := differences(before, settings):
        advice = "Give another `study` and another `out`, or the same settings."
        if before.get("versions") != settings["versions"] or before.keys() != settings.keys():
            advice = (
                "Another version made it, which may part the same data otherwise: continue it by "
                "that version, or give another `study` and another `out`."
            )
        raise SetupError(
            f"The study {shared.study!r} has other settings: {'; '.join(different)}. {advice}"
        )


def tasks(job: Job, plan: Plan) -> list[Task]:
    """Return the trials: the default first, then sampled ones or the grid's."""
    first = job.space.params_of(job.base, job.judge.settings)
    if plan.sampler != "grid":
        drawn: list[dict[str, Any]] = [{} for _ in range(plan.trials - 1)]
    else:
        grid = grid_of(job.space, job.base, job.judge.settings, plan.seed)
        others = [params for params in grid if params != first]
        drawn = others[: plan.trials - 1]
        if len(drawn) < len(others):
            logger.warning(
                "%d of the grid's %d configurations will be tried; raise `trials`.",
                plan.trials,
                len(others) + 1,
            )
    return [Task(f"{number:04d}", params) for number, params in enumerate([first, *drawn])]
