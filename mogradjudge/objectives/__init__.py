"""What the optimizer maximizes per criterion: an example's score, a data set's aggregate."""

from mogradjudge.objectives.as_metric import ObjectivesMetric, as_metric, feedback_on
from mogradjudge.objectives.hooks import (
    AggregateHook,
    Label,
    LabelsHook,
    MetricFailed,
    Scored,
    ScoreHook,
    ShowHook,
    mean_score,
    show_all,
)
from mogradjudge.objectives.human_agreement import HumanAgreement, measures_of
from mogradjudge.objectives.listed import Metric, Objectives, listed_objectives
from mogradjudge.objectives.over_labels import Measure
from mogradjudge.objectives.record import (
    AggregateFailed,
    Objective,
    has_own_aggregate,
    metric_lms,
    metric_of,
    objectives_from_metric,
)
from mogradjudge.objectives.rubric import is_of_rubric, rubric_objectives

__all__ = [
    "AggregateFailed",
    "AggregateHook",
    "HumanAgreement",
    "Label",
    "LabelsHook",
    "Measure",
    "Metric",
    "MetricFailed",
    "Objective",
    "Objectives",
    "ObjectivesMetric",
    "ScoreHook",
    "Scored",
    "ShowHook",
    "as_metric",
    "feedback_on",
    "has_own_aggregate",
    "is_of_rubric",
    "listed_objectives",
    "mean_score",
    "measures_of",
    "metric_lms",
    "metric_of",
    "objectives_from_metric",
    "rubric_objectives",
    "show_all",
]
