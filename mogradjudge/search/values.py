"""What a search makes large or small: agreement, and what a text costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError
from mogradjudge.settings import VALUES

Direction: TypeAlias = Literal["maximize", "minimize"]

AGREEMENT, CRITERIA, *COSTS = VALUES


def expanded(values: Sequence[str], criteria: Group) -> tuple[str, ...]:
    """Name each value of a study; ``criteria`` stands for one per criterion.

    Raises:
        SetupError: If a name is unknown or there twice, or there is no agreement among them.
    """
    if isinstance(values, str) or not values:
        raise SetupError(f"`values` must be a list of some of {', '.join(VALUES)}, got {values!r}.")
    for name in values:
        if name not in VALUES or list(values).count(name) > 1:
            raise SetupError(
                f"`values` must name each of {', '.join(VALUES)} at most once, got {list(values)}."
            )
    if not {AGREEMENT, CRITERIA} & set(values):
        raise SetupError(f"`values` must hold {AGREEMENT} or {CRITERIA}, got {list(values)}.")
    per_criterion = [f"{AGREEMENT}.{name}" for name in criteria]
    return tuple(
        each for name in values for each in (per_criterion if name == CRITERIA else [name])
    )


def direction(value: str) -> Direction:
    """Say whether more of a value is better."""
    return "minimize" if value in COSTS else "maximize"


def values_of(
    names: Sequence[str], agreement: Mapping[str, float | None], costs: Mapping[str, float]
) -> list[float] | None:
    """Give a trial's values; None if an agreement among them is undefined.

    Args:
        names: As by `expanded`.
        agreement: By criterion, and ``mean``.
        costs: By the names of `COSTS`.
    """
    found = []
    for name in names:
        if name in costs:
            found.append(costs[name])
            continue
        value = agreement["mean" if name == AGREEMENT else name.removeprefix(f"{AGREEMENT}.")]
        if value is None:
            return None
        found.append(value)
    return found
