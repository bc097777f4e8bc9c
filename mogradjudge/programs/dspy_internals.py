"""What programs/ and all above it use of DSPy behind its public doors, and why.

No other module of theirs names it, so a new DSPy is met here; tests/unit/test_dspy_contact.py lists
the names. Everything is as in DSPy 3.4.1.
"""

from __future__ import annotations

import dspy

# Each value of a question is quoted as DSPy would write it; only its adapters do so.
from dspy.adapters.utils import serialize_for_json as serialize_for_json

# A scoring is an evaluation to the user's callbacks; only `dspy.Evaluate` itself tells them.
from dspy.utils.callback import with_callbacks as with_callbacks

RESULTS = ("candidate_programs", "mb_candidate_programs", "detailed_results", "trial_logs")
"""What DSPy's optimizers, and ours, leave on a program: other programs, which it does not need."""
TRIAL_LOGS = "trial_logs"

LEFT_BY_CALLS = {"stage", "history", "callbacks", "traces"}
"""Attributes of modules that calls and chance write: two programs may differ in them alone."""

EXTRACTION_MODEL = "extraction_model"
"""The attribute in which `dspy.TwoStepAdapter` keeps an LM of its own."""


def stage_of(predictor: dspy.Predict) -> str:
    """Give the random name of a predictor, which its copies keep: they are known by it."""
    return str(predictor.stage)


def put_stage(predictor: dspy.Predict, stage: str) -> None:
    """Give a predictor another name; copies made before keep the old one."""
    predictor.stage = stage


def put_callbacks_of(module: dspy.Module, other: dspy.Module) -> None:
    """Let a module have another one's callbacks, which DSPy leaves out of a copy."""
    other.callbacks = list(module.callbacks)
