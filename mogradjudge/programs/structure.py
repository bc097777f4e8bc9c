"""What optimizers leave on a program, told from what it has of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import dspy

_RESULTS = ("candidate_programs", "mb_candidate_programs", "detailed_results", "trial_logs")


def without_results(program: dspy.Module) -> dspy.Module:
    """Give the program itself, but for what optimizers leave on one: other programs, for example.

    It is the same object's parts in another shell; do not change them. What a program has of its
    own under an optimizer's names stays.
    """
    bare = copy.copy(program)
    bare.callbacks = program.callbacks
    left = {name for name in _RESULTS if _holds_programs(vars(program).get(name))}
    if left and _is_log(vars(program).get("trial_logs")):  # ours has figures alone
        left.add("trial_logs")
    for name in left:
        del vars(bare)[name]
    return bare


def _holds_programs(value: object) -> bool:
    """Say whether a value holds programs as optimizers leave them: by candidate, by trial."""
    if isinstance(value, dspy.Module):
        return False
    if isinstance(value, list):
        return any(map(_is_candidate, value))
    if isinstance(value, Mapping):
        return _is_log(value) and any(map(_is_candidate, value.values()))
    held = getattr(value, "__dict__", {}).values()
    return any(
        isinstance(part, dspy.Module)
        for each in held
        for part in (each if isinstance(each, (list, tuple)) else [each])
    )


def _is_candidate(value: object) -> bool:
    parts = value.values() if isinstance(value, Mapping) else ()
    return any(isinstance(part, dspy.Module) for part in parts)


def _is_log(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, int) and isinstance(each, Mapping) for key, each in value.items()
    )
