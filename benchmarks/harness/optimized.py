"""A run of the optimizer within a cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dspy

from benchmarks.harness.setting import Setting
from benchmarks.harness.tasks import Means
from mogradjudge import BudgetExhausted, MOGrad, MultiCriteriaJudge, OptimizationResult
from mogradjudge.errors import RunStopped


def optimized(
    setting: Setting,
    means: Means,
    folder: Path,
    judge: MultiCriteriaJudge,
    texts: tuple[Sequence[dspy.Example], Sequence[dspy.Example]],
    **options: Any,
) -> OptimizationResult:
    """Optimize a judge with the setting's models and what the cell may spend.

    Args:
        setting: What it is measured on.
        means: The cell's.
        folder: The run's own.
        judge: What the run starts from.
        texts: Those to train on, and those to validate by.
        options: Further ones of `MOGrad`.

    Raises:
        BudgetExhausted: If its calls were used up: a run that was cut short is no measurement.
        RunStopped: If somebody stopped it.
    """
    options = {"budget": means.budget, "display_progress": False, **options}
    options |= {f"{role}_lm": setting.lms[role] for role in ("critic", "coach", "editor")}
    optimizer = MOGrad(
        num_threads=setting.num_threads, run_dir=folder, shared=means.pool, **options
    )
    result = optimizer.optimize(judge, trainset=texts[0], valset=setting.grid.few(texts[1]))
    match result.stop_reason:
        case "budget" | "reserve":
            raise BudgetExhausted(
                "The cap on calls is reached within a run. Raise --max-calls: the run goes on "
                "where it stands."
            )
        case "interrupted" | "stop_file" as reason:
            raise RunStopped(reason)
    return result
