"""Saves programs as files without API keys, whatever LMs they use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dspy

from mogradjudge.files import write_text
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.programs.structure import clone
from mogradjudge.secrets import without_secrets


def save_program(program: dspy.Module, path: Path) -> None:
    """Write a program's state as DSPy's ``save`` does, without its LMs' keys, headers and logins.

    An LM whose state cannot be saved, one with a user's own engine for example, is left out: set it
    again after loading.

    Args:
        program: It is not changed.
        path: A file that ends in ``.json``.

    >>> program = dspy.Predict("question -> answer")
    >>> program.set_lm(dspy.LM("openai/gpt-4o-mini", api_key="secret"))
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save_program(program, path := Path(folder) / "program.json")
    ...     "secret" in path.read_text()
    False
    """
    _with_lm_states(program, keep=True).save(path)


def save_judge(judge: MultiCriteriaJudge, folder: Path) -> None:
    """Write a judge and its rubric into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "rubric.toml", judge.rubric.to_toml())
    save_program(judge, folder / "judge.json")


def state_without_lms(program: dspy.Module) -> dict[str, Any]:
    """Return a program's state without its LMs: some LMs cannot be saved."""
    state: dict[str, Any] = _with_lm_states(program, keep=False).dump_state()
    return state


class _LMState:
    """Replaces an LM in a copy that is only saved."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state, self.kwargs, self.model = state, state, state.get("model")

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
