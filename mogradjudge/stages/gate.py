"""Stage 4: does a candidate replace the current instructions?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from inspect import isroutine
from typing import Any, Protocol, final

from mogradjudge.agreement import Undefined
from mogradjudge.errors import SetupError
from mogradjudge.hashing import digest
from mogradjudge.programs.evaluation import Agreement
from mogradjudge.settings import GATES, GateFields, Value


class Gate(Protocol):
    """Says whether ``proposed`` may replace ``current``, both measured on the validation set.

    Any function of two `Agreement` is a gate. A proposal that changes nothing is not put to it.
    """

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
    """Accepts while the mean agreement does not fall (the paper's gate).

    The mean is over the criteria that have a value in both. A candidate that leaves more texts
    unscored on any criterion, or a criterion without a value that had one, is refused.
    """

    def __call__(self, current: Agreement, proposed: Agreement) -> bool:
        if measures_less(current, proposed) or proposed.mean is None:
            return False
        return proposed.mean_over(current) >= current.mean_over(current)


@final
@dataclass(frozen=True)
class NoCriterionRegression:
    """Accepts while no single criterion falls by more than ``tolerance``.

    What leaves more texts unscored, or a criterion without a value that had one, is refused.

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


_CLASSES: Mapping[str, Callable[..., Gate]] = {
    "mean": NoMeanRegression,
    "criterion": NoCriterionRegression,
    "none": AlwaysAccept,
}
"""The gates by their names, which are those of `mogradjudge.settings.GATES`."""


def make_gate(name: str, tolerance: float = 0.0) -> Gate:
    """Make a gate by its name.

    Args:
        name: One of `mogradjudge.settings.GATES`.
        tolerance: For ``"criterion"``, as in `NoCriterionRegression`; 0 otherwise.

    Raises:
        SetupError: If the name is unknown, or the tolerance has no meaning or is negative.

    >>> make_gate("criterion", 0.05)
    NoCriterionRegression(tolerance=0.05)
    """
    if name not in GATES:
        raise SetupError(f"`gate` must be one of {', '.join(GATES)}, got {name!r}.")
    if name == "criterion":
        return NoCriterionRegression(tolerance)
    if tolerance:
        raise SetupError(
            f"`tolerance` goes with the gate 'criterion' (`--gate criterion`), got {name!r}."
        )
    return _CLASSES[name]()


def gate_name(gate: Gate) -> str | None:
    """Give the name that `make_gate` knows a gate by; None for a gate of somebody's own."""
    return next((name for name, known in _CLASSES.items() if type(gate) is known), None)


def gate_values(gate: Gate) -> dict[str, Value]:
    """Give a gate's name and settings as plain values; those that it does not have are usual."""
    name = gate_name(gate)
    settings = {field.name: field.default for field in fields(GateFields)}
    own = {} if name is None else vars(gate)
    return {"gate": name} | {key: own.get(key, usual) for key, usual in settings.items()}


def gate_as_dict(gate: Gate) -> dict[str, Any]:
    """Give a gate's class or function by name, and its settings, as `result.json` holds them."""
    # A user's gate may be no dataclass: an object is known by its attributes, a function by name.
    settings = {} if isroutine(gate) else vars(gate)
    name = getattr(gate, "__qualname__", type(gate).__qualname__)
    plain = (str, int, float, bool, type(None))
    return {"name": name} | {
        key: value if isinstance(value, plain) else digest(value) for key, value in settings.items()
    }


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
