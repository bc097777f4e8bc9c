"""Agreement of judge with human scores: measures, intervals, tests between judges, claims.

Every test and interval works on whole documents, because texts about one source are related.
"""

from mogradjudge.agreement.bootstrap import (
    FEWEST_DOCUMENTS,
    Interval,
    bootstrap_criteria,
    hierarchical,
    plain,
    reported_intervals,
)
from mogradjudge.agreement.ceiling import (
    Ceiling,
    alpha_of_raters,
    copied_raters,
    human_ceiling,
    judge_ceiling,
)
from mogradjudge.agreement.coefficients import Undefined
from mogradjudge.agreement.contrasts import compare
from mogradjudge.agreement.correlation import Correlation, agreement_by, correlate
from mogradjudge.agreement.distances import (
    Deviation,
    bias,
    deviation,
    krippendorff_alpha,
    mean_absolute_error,
    quadratic_kappa,
)
from mogradjudge.agreement.document_values import document_values
from mogradjudge.agreement.measures import Measures, measures
from mogradjudge.agreement.methods import METHODS, Method
from mogradjudge.agreement.multiple_testing import Family, compare_criteria, contrast_criteria, holm
from mogradjudge.agreement.options import Constant, Level, Population, TestOptions
from mogradjudge.agreement.pair_accuracy import (
    calibrate_epsilon,
    pair_accuracy,
    pair_accuracy_constant,
)
from mogradjudge.agreement.permutation import Comparison, cluster_test
from mogradjudge.agreement.power import (
    Equivalence,
    detectable_difference,
    equivalence,
    minimum_detectable_difference,
    sample_size,
)
from mogradjudge.agreement.prediction_powered import MeanEstimate, prediction_powered_mean

__all__ = [
    "FEWEST_DOCUMENTS",
    "METHODS",
    "Ceiling",
    "Comparison",
    "Constant",
    "Correlation",
    "Deviation",
    "Equivalence",
    "Family",
    "Interval",
    "Level",
    "MeanEstimate",
    "Measures",
    "Method",
    "Population",
    "TestOptions",
    "Undefined",
    "agreement_by",
    "alpha_of_raters",
    "bias",
    "bootstrap_criteria",
    "calibrate_epsilon",
    "cluster_test",
    "compare",
    "compare_criteria",
    "contrast_criteria",
    "copied_raters",
    "correlate",
    "detectable_difference",
    "deviation",
    "document_values",
    "equivalence",
    "hierarchical",
    "holm",
    "human_ceiling",
    "judge_ceiling",
    "krippendorff_alpha",
    "mean_absolute_error",
    "measures",
    "minimum_detectable_difference",
    "pair_accuracy",
    "pair_accuracy_constant",
    "plain",
    "prediction_powered_mean",
    "quadratic_kappa",
    "reported_intervals",
    "sample_size",
]
