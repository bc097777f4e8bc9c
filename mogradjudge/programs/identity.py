"""What decides a run's result, as plain JSON: a run is taken up only where it is unchanged."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import CodeType, FunctionType, MethodType
from typing import Any

import dspy

from mogradjudge.hashing import digest
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.quoting import DEEPEST
from mogradjudge.programs.dspy_internals import EXTRACTION_MODEL, LEFT_BY_CALLS
from mogradjudge.programs.saving import state_without_lms
from mogradjudge.programs.structure import lms_of, without_results
from mogradjudge.secrets import without_secrets

# Where an LM is reached and how often it is tried does not decide what it says; and DSPy's
# reply store does not tell addresses apart either.
_FREE_SETTINGS = {"timeout", "num_retries", "cache", "api_base", "base_url"}


_DIGITS = 16


_SCALARS = (str, int, float, bool, type(None))


_PLAIN = (*_SCALARS, list, dict)


_LIBRARIES = {"dspy", "mogradjudge", "builtins", "abc", "typing"}  # known by their versions


def judge_lms(student: dspy.Module) -> dict[str, dspy.BaseLM | None]:
    """Name every LM that a program may speak with: the default one, its own, the adapter's."""
    predictors = student.named_predictors()
    own = {f"judge {path}": each.lm for path, each in predictors if each.lm is not None}
    for path, lm in lms_of(student).items():
        if not any(lm is each for each in own.values()):
            own[f"judge {path}"] = lm
    return {"judge": dspy.settings.lm, **own, **_adapter_lms(dspy.settings.adapter)}


def _adapter_lms(adapter: dspy.Adapter | None) -> dict[str, dspy.BaseLM]:
    held = {} if adapter is None else vars(adapter)
    lms = {name: lm for name, lm in held.items() if isinstance(lm, dspy.BaseLM)}
    return {
        "adapter" if name == EXTRACTION_MODEL else f"adapter {name}": lm for name, lm in lms.items()
    }


def _named(adapter: dspy.Adapter) -> str:
    """Name an adapter, and one that is none of DSPy's by a hash of its code as well."""
    kind = type(adapter)
    if kind.__module__.partition(".")[0] in _LIBRARIES:
        return kind.__name__
    return f"{kind.__name__} {digest(_described(adapter))[:_DIGITS]}"


def describe_lm(lm: dspy.BaseLM) -> dict[str, Any]:
    """Name a model and its sampling settings, without addresses and keys."""
    settings = {
        name: value
        for name, value in lm.kwargs.items()
        if name not in _FREE_SETTINGS and isinstance(value, _PLAIN)
    }
    return {"model": lm.model, **without_secrets(settings)}


def digest_of(examples: Sequence[dspy.Example]) -> str:
    """Name a data set by a hash of its rows, in order, without what DSPy notes on them."""
    return digest([_row(example) for example in examples])[:_DIGITS]


def _row(example: dspy.Example) -> dict[str, Any]:
    fields = dict(example.items())  # without those that begin with ``dspy_``
    try:
        return {name: value for name, value in example.toDict().items() if name in fields}
    except RecursionError:  # a field that holds itself, say
        return fields


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
    """Name a program by a hash of its state; its LMs are named apart.

    One that is no judge is known by its modules' own code and plain attributes as well.
    """
    state = state_without_lms(program)
    known = {id(predictor) for predictor in program.predictors()}
    for path, predictor in without_results(program).named_sub_modules(dspy.Predict):
        if path != "self" and id(predictor) not in known:  # a frozen one, which DSPy leaves out
            state[f"frozen {path}"] = state_without_lms(predictor)
    if not isinstance(program, MultiCriteriaJudge):
        modules = without_results(program).named_sub_modules()
        state["modules"] = {path: _described(module) for path, module in modules}
    return digest(_without_lms(state))[:_DIGITS]


def _without_lms(state: Any) -> Any:
    """Leave out the LMs in a program's state: they may hold a key."""
    if isinstance(state, Mapping):
        return {str(key): _without_lms(value) for key, value in state.items() if key != "lm"}
    if isinstance(state, (list, tuple)):
        return [_without_lms(value) for value in state]
    return state


def _described(module: Any) -> dict[str, object]:
    """Give a module's class, the code of its methods and its plain attributes."""
    kind = type(module)
    own = [each for each in kind.__mro__ if each.__module__.partition(".")[0] not in _LIBRARIES]
    members = [
        {name: _told(value) for name, value in vars(each).items() if not name.startswith("__")}
        for each in own
    ]
    values = {name: _told(each) for name, each in vars(module).items() if name not in LEFT_BY_CALLS}
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "members": members, "values": values}


def _told(value: object, around: tuple[int, ...] = ()) -> object:
    """Give a plain value as it is, a function's code, and of all else the type.

    ``around`` names the values that hold this one: it may be one of them, or very deep.
    """
    if id(value) in around or len(around) == DEEPEST:
        return type(value).__qualname__
    match value:
        case dict():
            return {str(key): _told(each, (*around, id(value))) for key, each in value.items()}
        case list() | tuple():
            return [_told(each, (*around, id(value))) for each in value]
        case dspy.Tool():
            return _told(value.func)
        case staticmethod() | classmethod() | MethodType():
            return _told(value.__func__)
        case property():
            return _told(value.fget)
        case FunctionType():
            return _code(value)
    return value if isinstance(value, _SCALARS) else type(value).__qualname__


def _code(function: FunctionType) -> object:
    code = inspect.unwrap(function).__code__
    if code.co_name == "<lambda>":  # its source is a whole line, which may hold several
        return _compiled(code)
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # it was typed at a prompt, or made by exec
        return _compiled(code)


def _compiled(code: CodeType) -> list[object]:
    """Give what Python made of a function, without the places that it came from."""
    constants = [
        _compiled(each)
        if isinstance(each, CodeType)
        else sorted(map(repr, each))  # a set's order is another in each process
        if isinstance(each, frozenset)
        else repr(each)
        for each in code.co_consts
    ]
    return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), constants]
