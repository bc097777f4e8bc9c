from .agreement import Undefined, correlate
from .composition.compose import ComposeOptions, compose
from .composition.front import Composition
from .criteria import Criterion, Rubric, Scale
from .criteria.decomposition import MODES, DecompositionMode
from .criteria.partition import Scope
from .data import ReadOptions, draft_rubric, load_examples, split_by_group
from .errors import BudgetExhausted, MogradError, ReplyError, SetupError
from .judge.calibration import ScoreMap
from .judge.instructions import Instructions
from .judge.judge import MultiCriteriaJudge
from .judge.scores import NotApplicable, Reading, Unscored
from .lm.budget import Budget
from .objectives import (
    Objective,
    Scored,
    as_metric,
    objectives_from_metric,
    rubric_objectives,
)
from .optimize.config import MOGradConfig
from .optimize.result import OptimizationResult
from .optimize.teleprompter import MOGrad
from .programs.evaluation import Agreement, agreement_of, judge_examples
from .scoring.calibration import calibrate
from .scoring.interference import Interference, suggest_partition
from .stages.gate import AlwaysAccept, Gate, NoCriterionRegression, NoMeanRegression

__all__ = [
    "MODES",
    "Agreement",
    "AlwaysAccept",
    "Budget",
    "BudgetExhausted",
    "ComposeOptions",
    "Composition",
    "Criterion",
    "DecompositionMode",
    "Gate",
    "Instructions",
    "Interference",
    "MOGrad",
    "MOGradConfig",
    "MogradError",
    "MultiCriteriaJudge",
    "NoCriterionRegression",
    "NoMeanRegression",
    "NotApplicable",
    "Objective",
    "OptimizationResult",
    "ReadOptions",
    "Reading",
    "ReplyError",
    "Rubric",
    "Scale",
    "Scope",
    "ScoreMap",
    "Scored",
    "SetupError",
    "Undefined",
    "Unscored",
    "agreement_of",
    "as_metric",
    "calibrate",
    "compose",
    "correlate",
    "draft_rubric",
    "judge_examples",
    "load_examples",
    "objectives_from_metric",
    "rubric_objectives",
    "split_by_group",
    "suggest_partition",
]

__version__: str
