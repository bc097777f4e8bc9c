"""Compile, benchmark and drop in LLM judges that rate text on several criteria at once."""

from importlib.metadata import version

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
from mogradjudge.objectives import Objective, Scored, rubric_objectives
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
    "__version__",
    "agreement_of",
    "correlate",
    "judge_examples",
    "load_examples",
    "rubric_objectives",
    "split_by_group",
]

__version__ = version("mogradjudge")
