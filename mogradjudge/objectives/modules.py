"""The DSPy modules that score for objectives: the LMs that they bring, and copies of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import dspy

from mogradjudge.objectives.from_metric import AskedOnce, MetricPart
from mogradjudge.objectives.record import Objective


def with_modules(
    objectives: Sequence[Objective], change: Callable[[dspy.Module], dspy.Module]
) -> tuple[Objective, ...]:
    """Give objectives with other modules in the place of those that score for them.

    Objectives that share a metric go on sharing one. One that no module scores for stays.
    """
    changed: dict[int, AskedOnce] = {}

    def metric_of(asked: AskedOnce) -> AskedOnce:
        if id(asked) not in changed:
            changed[id(asked)] = AskedOnce(change(asked.metric), asked.pred_name)
        return changed[id(asked)]

    def with_module(objective: Objective) -> Objective:
        score = objective.score
        if isinstance(score, MetricPart) and isinstance(score.metric.metric, dspy.Module):
            part = replace(score, metric=metric_of(score.metric))
            shown = part.show if objective.show == score.show else objective.show
            return replace(objective, score=part, show=shown)
        if isinstance(score, dspy.Module):
            return replace(objective, score=change(score))
        return objective

    return tuple(map(with_module, objectives))


def metric_lms(objectives: Sequence[Objective]) -> dict[str, dspy.BaseLM]:
    """Name the LMs that the modules bring which score for objectives."""
    return {
        f"metric {each.name} {path.removeprefix('self.')}": lm
        for each in objectives
        if (module := _module(each)) is not None
        for path, lm in module.named_sub_modules(dspy.BaseLM)
    }


def _module(objective: Objective) -> dspy.Module | None:
    score = objective.score
    scoring = score.metric.metric if isinstance(score, MetricPart) else score
    return scoring if isinstance(scoring, dspy.Module) else None
