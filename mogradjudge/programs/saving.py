"""Programs as files that hold no key, whatever LMs they speak with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dspy

from mogradjudge.programs.structure import clone
from mogradjudge.secrets import without_secrets


def save_program(program: dspy.Module, path: Path) -> None:
    """Write a program's state as DSPy's ``save`` does, its LMs without keys, headers and logins.

    An LM that has no state of its own, one with an engine of the user's say, is left out: set it
    again after loading.

    Args:
        program: It is not changed.
        path: A file that ends in ``.json``.
    """
    _with_lm_states(program, keep=True).save(path)


def state_without_lms(program: dspy.Module) -> dict[str, Any]:
    """Give a program's state, its LMs left out; they need not be such as can be saved."""
    state: dict[str, Any] = _with_lm_states(program, keep=False).dump_state()
    return state


class _LMState:
    """Stands for an LM in a copy that is only written down."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def dump_state(self) -> dict[str, Any]:
        return self.state


def _with_lm_states(program: dspy.Module, *, keep: bool) -> dspy.Module:
    # DSPy's own dump leaves out `api_key` alone, and fails on an engine that cannot be saved.
    copied = clone(program)
    for _, module in copied.named_sub_modules():
        lm = vars(module).get("lm")
        if isinstance(lm, dspy.BaseLM):
            module.lm = _lm_state(lm) if keep else None
    return copied


def _lm_state(lm: dspy.BaseLM) -> _LMState | None:
    try:
        state = without_secrets(lm.dump_state())
        json.dumps(state)
    except (TypeError, ValueError):
        return None
    return _LMState(state)
