"""What decides a run's result, as plain JSON: a run is taken up only where it is unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import dspy

from mogradjudge.config import FREE, MOGradConfig
from mogradjudge.digests import digest
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.objectives import Objective
from mogradjudge.programs import lms_of, without_results
from mogradjudge.secrets import without_secrets

# Where an LM is reached and how often it is tried does not decide what it says; and DSPy's
# reply store does not tell addresses apart either.
_FREE_SETTINGS = {"timeout", "num_retries", "cache", "api_base", "base_url"}
_DIGITS = 16
_PLAIN = (str, int, float, bool, type(None), list, dict)


def fingerprint(
    config: MOGradConfig,
    student: dspy.Module,
    objectives: Sequence[Objective],
    lms: Mapping[str, dspy.BaseLM | None],
    data: Mapping[str, Sequence[dspy.Example]],
) -> dict[str, Any]:
    """Name everything that decides a run's result.

    An objective is known by its name and description: what its functions compute is not looked at.

    Args:
        config: The run's settings; the `FREE` ones are left out.
        student: The program that the run starts from.
        objectives: What is maximized.
        lms: The LM of each role.
        data: The examples, by what they are for.
    """
    settings = {key: value for key, value in config.as_dict().items() if key not in FREE}
    asked = {
        **settings,
        "objectives": {each.name: each.description for each in objectives},
        "program": digest_of_program(student),
        "adapter": type(dspy.settings.adapter or dspy.ChatAdapter()).__name__,
        "models": {role: describe_lm(lm) for role, lm in lms.items() if lm is not None},
        "versions": {name: version(name) for name in ("dspy", "mogradjudge")},
        **{f"{name} data": digest_of(examples) for name, examples in data.items()},
    }
    if isinstance(student, MultiCriteriaJudge):
        asked |= {"rubric": student.rubric.to_toml(), "judge": asdict(student.settings)}
    return asked


def judge_lms(student: dspy.Module) -> dict[str, dspy.BaseLM | None]:
    """Name every LM that a program may speak with: the default one, its own, the adapter's."""
    predictors = student.named_predictors()
    own = {f"judge {path}": each.lm for path, each in predictors if each.lm is not None}
    for path, lm in lms_of(student).items():
        if not any(lm is each for each in own.values()):
            own[f"judge {path}"] = lm
    adapter = dspy.settings.adapter
    if isinstance(adapter, dspy.TwoStepAdapter):
        own["adapter"] = adapter.extraction_model
    return {"judge": dspy.settings.lm, **own}


def describe_lm(lm: dspy.BaseLM) -> dict[str, Any]:
    """Name a model and its sampling settings, without addresses and keys."""
    settings = {
        name: value
        for name, value in lm.kwargs.items()
        if name not in _FREE_SETTINGS and isinstance(value, _PLAIN)
    }
    return {"model": lm.model, **without_secrets(settings)}


def digest_of(examples: Sequence[dspy.Example]) -> str:
    """Name a data set by a hash of its rows, in order."""
    return digest([example.toDict() for example in examples])[:_DIGITS]


def differences(before: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Say in what two fingerprints differ."""
    return [
        f"the {key} differs"
        if key.endswith("data") or key == "program"
        else f"{key} was {before.get(key)!r} and is {asked.get(key)!r}"
        for key in sorted({*before, *asked})
        if before.get(key) != asked.get(key)
    ]


def digest_of_program(program: dspy.Module) -> str:
    """Name a program by a hash of its state; its LMs are named apart."""
    state = program.dump_state()
    known = {id(predictor) for predictor in program.predictors()}
    for path, predictor in without_results(program).named_sub_modules(dspy.Predict):
        if path != "self" and id(predictor) not in known:  # a frozen one, which DSPy leaves out
            state[f"frozen {path}"] = predictor.dump_state()
    return digest(_without_lms(state))[:_DIGITS]


def _without_lms(state: Any) -> Any:
    """Leave out the LMs in a program's state: they may hold a key."""
    if isinstance(state, Mapping):
        return {str(key): _without_lms(value) for key, value in state.items() if key != "lm"}
    if isinstance(state, (list, tuple)):
        return [_without_lms(value) for value in state]
    return state
