"""What `mogradjudge` exports; it is imported as a whole when the first of it is asked for."""

from mogradjudge.agreement import Undefined, correlate
from mogradjudge.budget import Budget
from mogradjudge.config import MOGradConfig
from mogradjudge.criteria import Criterion, Rubric, Scale
from mogradjudge.data import load_examples, split_by_group
from mogradjudge.decomposition import MODES, DecompositionMode, Scope
from mogradjudge.errors import BudgetExhausted, MogradError, ReplyError, SetupError
from mogradjudge.evaluation import Agreement, agreement_of, judge_examples
from mogradjudge.gate import AlwaysAccept, Gate, NoCriterionRegression, NoMeanRegression
from mogradjudge.instructions import Instructions
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.objectives import (
    Objective,
    Scored,
    as_metric,
    objectives_from_metric,
    rubric_objectives,
)
from mogradjudge.result import OptimizationResult
from mogradjudge.scores import Reading, Unscored
from mogradjudge.teleprompter import MOGrad

__all__ = [
    "MODES",
    "Agreement",
    "AlwaysAccept",
    "Budget",
    "BudgetExhausted",
    "Criterion",
    "DecompositionMode",
    "Gate",
    "Instructions",
    "MOGrad",
    "MOGradConfig",
    "MogradError",
    "MultiCriteriaJudge",
    "NoCriterionRegression",
    "NoMeanRegression",
    "Objective",
    "OptimizationResult",
    "Reading",
    "ReplyError",
    "Rubric",
    "Scale",
    "Scope",
    "Scored",
    "SetupError",
    "Undefined",
    "Unscored",
    "agreement_of",
    "as_metric",
    "correlate",
    "judge_examples",
    "load_examples",
    "objectives_from_metric",
    "rubric_objectives",
    "split_by_group",
]
