"""Stage 4: does a candidate replace the current instructions?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

from mogradjudge.agreement import Undefined
from mogradjudge.errors import SetupError
from mogradjudge.evaluation import Agreement


class Gate(Protocol):
    """Says whether ``proposed`` may replace ``current``, both measured on the validation set."""

    def __call__(self, current: Agreement, proposed: Agreement) -> bool: ...


@final
@dataclass(frozen=True)
class AlwaysAccept:
    """Accepts every candidate (the paper's runs without a gate)."""

    def __call__(self, current: Agreement, proposed: Agreement) -> bool:
        return True


@final
@dataclass(frozen=True)
class NoMeanRegression:
    """Accepts while the mean agreement does not fall (the paper's gate)."""

    def __call__(self, current: Agreement, proposed: Agreement) -> bool:
        if measures_less(current, proposed) or proposed.mean is None:
            return False
        return proposed.mean_over(current) >= current.mean_over(current)


@final
@dataclass(frozen=True)
class NoCriterionRegression:
    """Accepts while no single criterion falls by more than ``tolerance``.

    Args:
        tolerance: In units of the agreement, at least 0. Spearman's rho over 100 texts has a
            standard error near 0.1, so a small tolerance rejects much that is noise.

    Raises:
        SetupError: If ``tolerance`` is negative.
    """

    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.tolerance < 0:
            raise SetupError(f"`tolerance >= 0` must hold, got {self.tolerance}.")

    def __call__(self, current: Agreement, proposed: Agreement) -> bool:
        return not measures_less(current, proposed) and all(
            _holds(before, proposed.by_criterion[name], self.tolerance)
            for name, before in current.by_criterion.items()
        )


def _holds(before: float | Undefined, after: float | Undefined, tolerance: float) -> bool:
    if isinstance(before, Undefined):
        return True
    return not isinstance(after, Undefined) and after >= before - tolerance


def measures_less(current: Agreement, proposed: Agreement) -> bool:
    """Say whether a candidate leaves more texts unscored, or a criterion without a value.

    It must not win by its agreement on the rest.
    """
    return any(
        proposed.unscored[name] > current.unscored[name]
        or (isinstance(proposed.by_criterion[name], Undefined) and not isinstance(value, Undefined))
        for name, value in current.by_criterion.items()
    )
