"""How much the three stages share across criteria: the four decomposition modes, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Self

from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError


class Scope(Enum):
    """How many criteria a stage puts in one call: one, or all."""

    SEPARATE = "S"
    COMBINED = "C"

    def groups(self, criteria: Group) -> tuple[Group, ...]:
        """Split the criteria into the groups that share a call."""
        if self is Scope.COMBINED:
            return (criteria,)
        return tuple((name,) for name in criteria)


def inside(inner: Group, outer: Group) -> bool:
    """Say whether a record about ``inner`` is read by the call for ``outer``."""
    return set(inner) <= set(outer)


@dataclass(frozen=True)
class StageCalls:
    """Calls of one step to the critic, the coach and the editor, when nothing is left out."""

    loss: int
    gradient: int
    optimizer: int

    @property
    def total(self) -> int:
        """Calls of all three stages; the judge's and the gate's come on top."""
        return self.loss + self.gradient + self.optimizer


@dataclass(frozen=True)
class DecompositionMode:
    """The scope of each stage, in the order in which the stages run.

    Raises:
        SetupError: If a separate stage follows a combined one.
    """

    loss: Scope
    gradient: Scope
    optimizer: Scope

    def __post_init__(self) -> None:
        # Text written for all criteria cannot be cut back into one text per criterion.
        if "CS" in self.name:
            raise SetupError(
                f"A combined stage cannot feed a separate one, got mode {self.name!r}. "
                f"Valid modes: {', '.join(_NAMES)}."
            )

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a mode from its three letters, for the loss, the gradient and the optimizer.

        Raises:
            SetupError: If ``name`` is not one of the four modes.
        """
        if name not in _NAMES:
            raise SetupError(f"`mode` must be one of {', '.join(_NAMES)}, got {name!r}.")
        return cls(*(Scope(letter) for letter in name))

    @property
    def name(self) -> str:
        """The three letters, as in ``"SSC"``."""
        return self.loss.value + self.gradient.value + self.optimizer.value

    def calls(self, batch_size: int, criteria: Group) -> StageCalls:
        """Count the calls of one step: per (example, group), per (example, group), per group."""
        return StageCalls(
            loss=batch_size * len(self.loss.groups(criteria)),
            gradient=batch_size * len(self.gradient.groups(criteria)),
            optimizer=len(self.optimizer.groups(criteria)),
        )

    def __str__(self) -> str:
        return self.name


_NAMES = ("SSS", "SSC", "SCC", "CCC")

MODES = MappingProxyType({name: DecompositionMode.parse(name) for name in _NAMES})
