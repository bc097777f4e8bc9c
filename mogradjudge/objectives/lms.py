"""The LMs that the DSPy modules bring which score for objectives."""

from __future__ import annotations

from collections.abc import Sequence

import dspy

from mogradjudge.objectives.from_metric import AskedOnce, MetricPart
from mogradjudge.objectives.record import Objective


def metric_lms(objectives: Sequence[Objective]) -> dict[str, dspy.BaseLM]:
    """Name the LMs that the modules bring which score for objectives."""
    return {
        f"metric {each.name} {path.removeprefix('self.')}": lm
        for each in objectives
        if (module := _module(each)) is not None
        for path, lm in module.named_sub_modules(dspy.BaseLM)
    }


def metric_of(objective: Objective) -> object:
    """Give the function that reads an objective's predictions; several may share a metric."""
    return objective.score.metric if isinstance(objective.score, MetricPart) else objective.score


def _module(objective: Objective) -> dspy.Module | None:
    asked = metric_of(objective)
    scoring = asked.metric if isinstance(asked, AskedOnce) else asked
    return scoring if isinstance(scoring, dspy.Module) else None
