"""What may pass for a run of the optimizer: one that took all its steps."""

from __future__ import annotations

from mogradjudge import BudgetExhausted, OptimizationResult
from mogradjudge.errors import RunStopped


def check_ended(result: OptimizationResult) -> OptimizationResult:
    """Give a run back if it came to its end: one that was cut short is no measurement.

    Raises:
        BudgetExhausted: If its calls were used up.
        RunStopped: If somebody stopped it.
    """
    match result.stop_reason:
        case "budget":
            raise BudgetExhausted(
                "The cap on calls is reached within a run. Raise --max-calls: the run goes on "
                "where it stands."
            )
        case "interrupted" | "stop_file" as reason:
            raise RunStopped(reason)
    return result
