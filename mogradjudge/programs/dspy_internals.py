"""What programs/ and the rooms above it use of DSPy beyond its public API, and why.

No other module there names it, so a new DSPy is adapted to here; tests/unit/test_dspy_contact.py
lists the names. Everything is as in DSPy 3.4.1.
"""

from __future__ import annotations

import dspy

# Each value in a prompt is quoted as DSPy would write it; only its adapters do so.
from dspy.adapters.utils import serialize_for_json as serialize_for_json

# The user's callbacks see each scoring as an evaluation; only `dspy.Evaluate` itself calls them.
from dspy.utils.callback import with_callbacks as with_callbacks

RESULTS = ("candidate_programs", "mb_candidate_programs", "detailed_results", "trial_logs")
"""Attributes that DSPy's optimizers, and ours, set on a program: other programs, for example."""
TRIAL_LOGS = "trial_logs"

LEFT_BY_CALLS = {"stage", "history", "callbacks", "traces"}
"""Attributes of modules that calls or chance set: they do not make two programs different."""

EXTRACTION_MODEL = "extraction_model"
"""The attribute in which `dspy.TwoStepAdapter` keeps an LM of its own."""


def stage_of(predictor: dspy.Predict) -> str:
    """Return the random name of a predictor, which its copies share."""
    return str(predictor.stage)


def put_stage(predictor: dspy.Predict, stage: str) -> None:
    """Rename a predictor; earlier copies keep the old name."""
    predictor.stage = stage


def put_callbacks_of(module: dspy.Module, other: dspy.Module) -> None:
    """Copy a module's callbacks to another one: DSPy leaves them out of a copy."""
    other.callbacks = list(module.callbacks)
