"""Separates optimizer metadata from a program's own attributes; copies programs and values."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

import dspy

from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.predictor import ScorePredict
from mogradjudge.programs.dspy_internals import RESULTS, TRIAL_LOGS, put_callbacks_of, put_stage


def without_results(program: dspy.Module) -> dspy.Module:
    """Return a shallow copy of a program without what optimizers set on it (other programs).

    The parts are shared with the program; do not change them. A program's own attributes that bear
    an optimizer's names stay.
    """
    bare = copy.copy(program)
    put_callbacks_of(program, bare)
    left = {name for name in RESULTS if _holds_programs(vars(program).get(name))}
    if left and _is_log(vars(program).get(TRIAL_LOGS)):  # ours holds only figures
        left.add(TRIAL_LOGS)
    for name in left:
        del vars(bare)[name]
    return bare


def _holds_programs(value: object) -> bool:
    """Return whether a value holds programs as optimizers store them: by candidate, by trial."""
    if isinstance(value, dspy.Module):
        return False
    if isinstance(value, list):
        return any(map(_is_candidate, value))
    if isinstance(value, Mapping):
        return _is_log(value) and any(map(_is_candidate, value.values()))
    attributes = getattr(value, "__dict__", {}).values()
    return any(
        isinstance(part, dspy.Module)
        for attribute in attributes
        for part in (attribute if isinstance(attribute, (list, tuple)) else [attribute])
    )


def _is_candidate(value: object) -> bool:
    parts = value.values() if isinstance(value, Mapping) else ()
    return any(isinstance(part, dspy.Module) for part in parts)


def _is_log(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, int) and isinstance(entry, Mapping) for key, entry in value.items()
    )


def clone(program: dspy.Module) -> dspy.Module:
    """Copy a program but share its LMs: a deep copy would copy their history and weights.

    What cannot be copied, a connection for example, is shared as well. The copy has the callbacks
    of the modules, but not what an optimizer has set on the program.

    >>> program = dspy.Predict("question -> answer")
    >>> program.set_lm(dspy.LM("openai/gpt-4o-mini"))
    >>> twin = clone(program)
    >>> twin is program, twin.lm is program.lm
    (False, True)
    """
    bare = without_results(program)
    shared: dict[int, object] = {id(lm): lm for lm in lms_of(bare).values()}
    try:
        twin = copy.deepcopy(bare, dict(shared))
    except Exception:  # noqa: BLE001 - an object may refuse to be copied with any error
        # The innermost modules first: what holds one of them can be copied once it can.
        for _, module in reversed(list(bare.named_sub_modules())):
            for value in vars(module).values():
                _share_uncopyable(value, shared)
        twin = copy.deepcopy(bare, dict(shared))
    pairs = zip(bare.named_sub_modules(), twin.named_sub_modules(), strict=True)
    for (_, module), (_, twin_module) in pairs:
        put_callbacks_of(module, twin_module)
    return twin


def uncalibrated(program: dspy.Module) -> dspy.Module:
    """Return a program whose judges give raw scores; a copy if one was calibrated.

    >>> program = dspy.Predict("question -> answer")
    >>> uncalibrated(program) is program
    True
    """
    if not any(map(_is_calibrated, program.predictors())):
        return program
    raw = clone(program)
    for predictor in filter(_is_calibrated, raw.predictors()):
        predictor.calibration = None
    return raw


def _is_calibrated(predictor: dspy.Predict) -> bool:
    return isinstance(predictor, ScorePredict) and predictor.calibration is not None


def _share_uncopyable(value: object, shared: dict[int, object]) -> None:
    if _is_copyable(value, shared):
        return
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            _share_uncopyable(item, shared)
    elif not isinstance(value, dspy.Module):
        shared[id(value)] = value


def _is_copyable(value: object, shared: Mapping[int, object]) -> bool:
    try:
        copy.deepcopy(value, dict(shared))
    except Exception:  # noqa: BLE001 - an object may refuse to be copied with any error
        return False
    return True


def key_of(path: str) -> str:
    """Return the name of a predictor in prompts; those of its sections begin with it.

    >>> key_of("steps[0].predict")
    'steps_0_predict'
    """
    return re.sub(r"\W+", "_", path).strip("_")


def works_alone(program: dspy.Module) -> bool:
    """Return whether a program's inputs and outputs show all that its predictors do."""
    return isinstance(program, (MultiCriteriaJudge, dspy.Predict, dspy.ChainOfThought))


def lms_of(program: dspy.Module) -> dict[str, dspy.BaseLM]:
    """Return every LM that a program holds, each once, also those of its frozen parts."""
    return dict(without_results(program).named_sub_modules(dspy.BaseLM))


def copy_of(value: Any) -> Any:
    """Copy a value as far as it can be copied; a connection in it, for example, is shared.

    >>> value = {"words": ["a"], "lines": iter("ab")}
    >>> twin = copy_of(value)
    >>> twin["words"] is value["words"]
    False
    """
    shared = {id(part): part for part in _sentinels(value)}
    try:
        return copy.deepcopy(value, dict(shared))
    except Exception:  # noqa: BLE001 - an object may refuse to be copied with any error
        pass
    try:
        return _copied_in_part(value, shared)
    except RecursionError:  # it is nested very deep
        return value


def _sentinels(value: Any) -> Iterator[object]:
    """Find the bare objects in lists and dicts: they are compared by identity."""
    left, seen = [value], set[int]()
    while left:
        part = left.pop()
        if type(part) is object:
            yield part
        elif isinstance(part, (dict, list, tuple)) and id(part) not in seen:
            seen.add(id(part))
            left += part.values() if isinstance(part, dict) else part


def _copied_in_part(value: Any, copies: dict[int, Any]) -> Any:
    """Copy the lists and dicts, and in them what can be copied; ``copies`` are those so far."""
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, dict):
        items = copies[id(value)] = {}
        items.update((name, _copied_in_part(item, copies)) for name, item in value.items())
        return items
    if isinstance(value, list):
        parts = copies[id(value)] = []
        parts += [_copied_in_part(part, copies) for part in value]
        return parts
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - an object may refuse to be copied with any error
        return value


def with_distinct_stages(program: dspy.Module) -> dspy.Module:
    """Give each predictor of a run's own copy a distinct stage: copies of one share theirs."""
    for path, predictor in program.named_predictors():
        put_stage(predictor, f"mogradjudge {path}")
    return program
