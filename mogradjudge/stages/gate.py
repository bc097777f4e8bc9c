"""Stage 4: does a candidate replace the current instructions?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from inspect import isroutine
from typing import Any, Protocol, final

from mogradjudge.agreement import Undefined
from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError
from mogradjudge.hashing import digest
from mogradjudge.programs.evaluation import MEAN, Agreement
from mogradjudge.settings import GATES, GateFields, Value

_ROUNDING = 1e-9
"""Agreements that differ by less are equal."""


class Gate(Protocol):
    """Says whether ``proposed`` may replace ``current``, both measured on the validation set.

    Any function of two `Agreement` is a gate. It is not called for a proposal that changes nothing.
    A gate with a method ``may_fall(criteria)``, which returns by how much the mean (``"mean"``) or
    a criterion may fall, may be raced: it is then called only for a candidate that was scored on
    all texts.

    >>> worse = Agreement({"fluency": 0.1}, {"fluency": 9}, {"fluency": 0}, {}, {})
    >>> better = Agreement({"fluency": 0.6}, {"fluency": 9}, {"fluency": 0}, {}, {})
    >>> gate: Gate = lambda current, proposed: proposed.mean > current.mean + 0.1
    >>> gate(worse, better)
    True
    """

    def __call__(self, current: Agreement, proposed: Agreement) -> bool: ...


@final
@dataclass(frozen=True)
class AlwaysAccept:
    """Accepts every candidate (the paper's runs without a gate).

    >>> worse = Agreement({"fluency": 0.1}, {"fluency": 9}, {"fluency": 0}, {}, {})
    >>> better = Agreement({"fluency": 0.6}, {"fluency": 9}, {"fluency": 0}, {}, {})
    >>> AlwaysAccept()(better, worse)
    True
    """

    def __call__(self, current: Agreement, proposed: Agreement) -> bool:
        return True


@final
@dataclass(frozen=True)
class NoMeanRegression:
    """Accepts if the mean agreement does not get worse (the paper's gate).

    The mean is over the criteria that have a value in both. A candidate that leaves more texts
    unscored on any criterion, or loses the value of a criterion, is rejected; so is one with an
    equal mean whose bias on a criterion grows by more than its standard error.

    >>> worse = Agreement({"fluency": 0.1}, {"fluency": 9}, {"fluency": 0}, {}, {})
    >>> better = Agreement({"fluency": 0.6}, {"fluency": 9}, {"fluency": 0}, {}, {})
    >>> NoMeanRegression()(better, worse)
    False
    """

    def __call__(self, current: Agreement, proposed: Agreement) -> bool:
        if measures_less(current, proposed) or proposed.mean is None:
            return False
        gain = proposed.mean_over(current) - current.mean_over(current)
        is_biased = any(_is_more_biased(current, proposed, it) for it in current.by_criterion)
        return gain > _ROUNDING or (gain >= 0 and not is_biased)

    def may_fall(self, criteria: Group) -> Mapping[str, float]:
        """Return the limits for a race: the mean must not fall."""
        return {MEAN: 0.0}


@final
@dataclass(frozen=True)
class NoCriterionRegression:
    """Accepts if no single criterion gets worse by more than ``tolerance``.

    A candidate that leaves more texts unscored, or loses the value of a criterion, is rejected; so
    is one that is equal on a criterion while its bias there grows by more than its standard error.

    Args:
        tolerance: In units of the agreement, at least 0. A rank correlation over 100 texts has a
            standard error near 0.1, so a small tolerance rejects much that is noise.

    Raises:
        SetupError: If ``tolerance`` is negative.

    >>> worse = Agreement({"fluency": 0.58}, {"fluency": 9}, {"fluency": 0}, {}, {})
    >>> better = Agreement({"fluency": 0.6}, {"fluency": 9}, {"fluency": 0}, {}, {})
    >>> NoCriterionRegression(tolerance=0.05)(better, worse)
    True
    """

    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.tolerance < 0:
            raise SetupError(f"`tolerance` must be >= 0, got {self.tolerance}.")

    def __call__(self, current: Agreement, proposed: Agreement) -> bool:
        criteria = set(current.by_criterion)
        return set(that_hold(current, proposed, self.tolerance)) == criteria

    def may_fall(self, criteria: Group) -> Mapping[str, float]:
        """Return the limits for a race: how much each criterion may fall."""
        return dict.fromkeys(criteria, self.tolerance)


_CLASSES: Mapping[str, type[Any]] = {
    "mean": NoMeanRegression,
    "criterion": NoCriterionRegression,
    "none": AlwaysAccept,
}
"""The gates by their names in `mogradjudge.settings.GATES`."""


def make_gate(name: str, **settings: Any) -> Gate:
    """Make a gate from its name.

    Args:
        name: One of `mogradjudge.settings.GATES`.
        settings: Settings of `mogradjudge.settings.GateFields`; those that the gate has no field
            for must have their defaults.

    Raises:
        SetupError: If the name is unknown, or a setting is invalid or has no meaning for the gate.

    >>> make_gate("criterion", tolerance=0.05)
    NoCriterionRegression(tolerance=0.05)
    """
    if name not in GATES:
        raise SetupError(f"`gate` must be one of {', '.join(GATES)}, got {name!r}.")
    kind = _CLASSES[name]
    for key in settings.keys() - _names_of(kind):
        if settings[key] != getattr(GateFields, key):
            owners = [other for other in GATES if key in _names_of(_CLASSES[other])]
            named = " or ".join(f"{other!r} (`--gate {other}`)" for other in owners)
            raise SetupError(f"`{key}` goes with the gate {named}, got {name!r}.")
    gate: Gate = kind(**{key: value for key, value in settings.items() if key in _names_of(kind)})
    return gate


def _names_of(kind: type[Any]) -> set[str]:
    return {field.name for field in fields(kind)}


def gate_name(gate: Gate) -> str | None:
    """Return the name from which `make_gate` makes a gate; None for a user's own gate."""
    return next((name for name, known in _CLASSES.items() if type(gate) is known), None)


def gate_values(gate: Gate) -> dict[str, Value]:
    """Return a gate's name and settings as plain values, the default for those that it lacks."""
    name = gate_name(gate)
    settings = {field.name: field.default for field in fields(GateFields)}
    own = {} if name is None else vars(gate)
    return {"gate": name} | {key: own.get(key, default) for key, default in settings.items()}


def gate_as_dict(gate: Gate) -> dict[str, Any]:
    """Return the name of a gate's class or function, and its settings, as in `result.json`."""
    # A user's gate need not be a dataclass: an object has attributes, a function only a name.
    settings = {} if isroutine(gate) else vars(gate)
    name = getattr(gate, "__qualname__", type(gate).__qualname__)
    plain = (str, int, float, bool, type(None))
    return {"name": name} | {
        key: value if isinstance(value, plain) else digest(value) for key, value in settings.items()
    }


def limits_of(gate: Gate, criteria: Group) -> Mapping[str, float] | None:
    """Return by how much the mean or each criterion may fall; None for a gate without limits.

    >>> limits_of(NoCriterionRegression(0.1), ("tone",))
    {'tone': 0.1}
    """
    may_fall = getattr(gate, "may_fall", None)
    limits: Mapping[str, float] | None = None if may_fall is None else may_fall(criteria)
    return limits


def that_hold(current: Agreement, proposed: Agreement, tolerance: float = 0.0) -> Group:
    """Return the criteria that fall by no more than ``tolerance``, nor leave more texts unscored.

    One that stays equal while its bias grows by more than its standard error is not among them.

    >>> texts = {"tone": 9, "length": 9}, {"tone": 0, "length": 0}, {}, {}
    >>> before = Agreement({"tone": 0.5, "length": 0.5}, *texts)
    >>> that_hold(before, Agreement({"tone": 0.6, "length": 0.4}, *texts))
    ('tone',)
    """
    return tuple(
        name
        for name, before in current.by_criterion.items()
        if proposed.lost[name] <= current.lost[name]
        and _holds(before, proposed.by_criterion[name], tolerance)
        and not (
            _is_tie(before, proposed.by_criterion[name])
            and _is_more_biased(current, proposed, name)
        )
    )


def _holds(before: float | Undefined, after: float | Undefined, tolerance: float) -> bool:
    if isinstance(before, Undefined):
        return True
    return not isinstance(after, Undefined) and after >= before - tolerance


def _is_tie(before: float | Undefined, after: float | Undefined) -> bool:
    if isinstance(before, Undefined) or isinstance(after, Undefined):
        return False
    return abs(after - before) <= _ROUNDING


def _is_more_biased(current: Agreement, proposed: Agreement, name: str) -> bool:
    """Say whether the bias on a criterion grows by more than its standard error."""
    before, after = current.deviations.get(name), proposed.deviations.get(name)
    if before is None or after is None or after.standard_error is None:
        return False
    return abs(after.bias) - abs(before.bias) > after.standard_error + _ROUNDING


def measures_less(current: Agreement, proposed: Agreement) -> bool:
    """Return whether a candidate leaves more texts unscored, or loses the value of a criterion.

    It must not win by its agreement on the rest. A rated text counts as unscored if the judge says
    that the criterion does not apply.
    """
    return any(
        proposed.lost[name] > current.lost[name]
        or (isinstance(proposed.by_criterion[name], Undefined) and not isinstance(value, Undefined))
        for name, value in current.by_criterion.items()
    )
