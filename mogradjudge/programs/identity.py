"""Describes what decides a run's result, as plain JSON: a run resumes only if it is unchanged."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from types import CodeType, FunctionType, MethodType
from typing import Any

import dspy

from mogradjudge.hashing import digest
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.quoting import DEEPEST
from mogradjudge.objectives import Objective
from mogradjudge.programs.dspy_internals import EXTRACTION_MODEL, LEFT_BY_CALLS
from mogradjudge.programs.saving import state_without_lms
from mogradjudge.programs.structure import lms_of, without_results
from mogradjudge.secrets import without_secrets
from mogradjudge.settings import FREE

# An LM's address and number of tries do not decide what it says; nor does DSPy's cache tell
# addresses apart.
_FREE_SETTINGS = {"timeout", "num_retries", "cache", "api_base", "base_url"}
_DIGITS = 16
_SCALARS = (str, int, float, bool, type(None))
_PLAIN = (*_SCALARS, list, dict)
_LIBRARIES = {"dspy", "mogradjudge", "builtins", "abc", "typing"}  # known by their versions


def fingerprint(
    config: Mapping[str, Any],
    student: dspy.Module,
    objectives: Sequence[Objective],
    lms: Mapping[str, dspy.BaseLM | None],
    data: Mapping[str, Sequence[dspy.Example]],
) -> dict[str, Any]:
    """Describe everything that decides a run's result.

    An objective is described by its name and description, not by the code of its functions. A
    program is described by its state, and one that is no judge also by its modules' classes, the
    code of their methods and their plain attributes, but not by other code that it calls. So is an
    adapter that is not DSPy's own.

    Args:
        config: The run's settings, as `MOGradConfig.as_dict` gives them; the `FREE` ones are left
            out.
        student: The program that the run starts from.
        objectives: What is maximized.
        lms: The LM of each role.
        data: The examples, by what they are for.

    >>> program = dspy.Predict("question -> answer")
    >>> fingerprint({"mode": "SSS", "num_threads": 8}, program, [], {}, {})["mode"]
    'SSS'
    """
    weights = {it.name: it.weight for it in objectives if it.weight != 1}
    values = {
        **({"weights": weights} if weights else {}),
        **{key: value for key, value in config.items() if key not in FREE},
        "objectives": {objective.name: objective.description for objective in objectives},
        "program": digest_of_program(student),
        "adapter": _adapter_name(dspy.settings.adapter or dspy.ChatAdapter()),
        "models": {role: describe_lm(lm) for role, lm in lms.items() if lm is not None},
        "versions": {name: version(name) for name in ("dspy", "mogradjudge")},
        **{f"{name} data": digest_of(examples) for name, examples in data.items()},
    }
    if isinstance(student, MultiCriteriaJudge):
        values |= {"rubric": student.rubric.to_toml(), "judge": asdict(student.settings)}
    return values


def judge_lms(student: dspy.Module) -> dict[str, dspy.BaseLM | None]:
    """Name every LM that a program may call: the default one, its own, the adapter's."""
    predictors = student.named_predictors()
    own = {
        f"judge {path}": predictor.lm for path, predictor in predictors if predictor.lm is not None
    }
    for path, lm in lms_of(student).items():
        if not any(lm is known for known in own.values()):
            own[f"judge {path}"] = lm
    return {"judge": dspy.settings.lm, **own, **_adapter_lms(dspy.settings.adapter)}


def _adapter_lms(adapter: dspy.Adapter | None) -> dict[str, dspy.BaseLM]:
    held = {} if adapter is None else vars(adapter)
    lms = {name: lm for name, lm in held.items() if isinstance(lm, dspy.BaseLM)}
    return {
        "adapter" if name == EXTRACTION_MODEL else f"adapter {name}": lm for name, lm in lms.items()
    }


def _adapter_name(adapter: dspy.Adapter) -> str:
    """Name an adapter; one that is not DSPy's own also by a hash of its code."""
    kind = type(adapter)
    if kind.__module__.partition(".")[0] in _LIBRARIES:
        return kind.__name__
    return f"{kind.__name__} {digest(_describe(adapter))[:_DIGITS]}"


def describe_lm(lm: dspy.BaseLM) -> dict[str, Any]:
    """Name a model and its sampling settings, without addresses and keys.

    >>> describe_lm(dspy.LM("openai/gpt-4o-mini", max_tokens=99, api_key="secret"))
    {'model': 'openai/gpt-4o-mini', 'temperature': None, 'max_tokens': 99}
    """
    settings = {
        name: value
        for name, value in lm.kwargs.items()
        if name not in _FREE_SETTINGS and isinstance(value, _PLAIN)
    }
    return {"model": lm.model, **without_secrets(settings)}


def digest_of(examples: Sequence[dspy.Example]) -> str:
    """Hash the rows of a data set, in order, without what DSPy notes on them."""
    return digest([_row(example) for example in examples])[:_DIGITS]


def _row(example: dspy.Example) -> dict[str, Any]:
    fields = dict(example.items())  # without those that begin with ``dspy_``
    try:
        return {name: value for name, value in example.toDict().items() if name in fields}
    except RecursionError:  # a field that holds itself, for example
        return fields


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Say in what two fingerprints differ.

    >>> differences({"mode": "SSS", "program": "a1"}, {"mode": "CCC", "program": "b2"})
    ["mode was 'SSS' and is 'CCC'", 'the program differs']
    """
    return [
        f"the {key} differs"
        if key.endswith("data") or key == "program"
        else f"{key} was {before.get(key)!r} and is {after.get(key)!r}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def digest_of_program(program: dspy.Module) -> str:
    """Hash a program's state without its LMs, which have names of their own.

    If it is no judge, the hash is also over its modules' own code and plain attributes.
    """
    state = state_without_lms(program)
    known = {id(predictor) for predictor in program.predictors()}
    for path, predictor in without_results(program).named_sub_modules(dspy.Predict):
        if path != "self" and id(predictor) not in known:  # frozen, so DSPy leaves it out
            state[f"frozen {path}"] = state_without_lms(predictor)
    if not isinstance(program, MultiCriteriaJudge):
        modules = without_results(program).named_sub_modules()
        state["modules"] = {path: _describe(module) for path, module in modules}
    return digest(_without_lms(state))[:_DIGITS]


def _without_lms(state: Any) -> Any:
    """Leave out the LMs in a program's state: they may hold an API key."""
    if isinstance(state, Mapping):
        return {str(key): _without_lms(value) for key, value in state.items() if key != "lm"}
    if isinstance(state, (list, tuple)):
        return [_without_lms(value) for value in state]
    return state


def _describe(module: Any) -> dict[str, object]:
    """Return a module's class, the code of its methods and its plain attributes."""
    kind = type(module)
    own = [base for base in kind.__mro__ if base.__module__.partition(".")[0] not in _LIBRARIES]
    members = [
        {name: _plain(value) for name, value in vars(base).items() if not name.startswith("__")}
        for base in own
    ]
    values = {
        name: _plain(value) for name, value in vars(module).items() if name not in LEFT_BY_CALLS
    }
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "members": members, "values": values}


def _plain(value: object, around: tuple[int, ...] = ()) -> object:
    """Return a plain value as it is, a function's code, and the type of anything else.

    ``around`` holds the ids of the values that contain this one: it may be one of them, or very
    deep.
    """
    if id(value) in around or len(around) == DEEPEST:
        return type(value).__qualname__
    match value:
        case dict():
            return {str(key): _plain(item, (*around, id(value))) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, (*around, id(value))) for item in value]
    function = _function_of(value)
    if function is not value:
        return _plain(function)
    if isinstance(value, FunctionType):
        return _code(value)
    return value if isinstance(value, _SCALARS) else type(value).__qualname__


def _function_of(value: object) -> object:
    """Unwrap the function of a tool, a method or a property; anything else stays as it is."""
    match value:
        case dspy.Tool():
            return value.func
        case staticmethod() | classmethod() | MethodType():
            return value.__func__
        case property():
            return value.fget
    return value


def _code(function: FunctionType) -> object:
    code = inspect.unwrap(function).__code__
    if code.co_name == "<lambda>":  # its source is a whole line, which may hold several
        return _compiled(code)
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt, or created by exec
        return _compiled(code)


def _compiled(code: CodeType) -> list[object]:
    """Return a function's compiled code without its place in the source."""
    constants = [
        _compiled(constant)
        if isinstance(constant, CodeType)
        else sorted(map(repr, constant))  # a set's order is another in each process
        if isinstance(constant, frozenset)
        else repr(constant)
        for constant in code.co_consts
    ]
    return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), constants]
