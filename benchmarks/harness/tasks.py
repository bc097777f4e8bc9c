"""What is asked of a grid: a cell, and the work that measures it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from benchmarks.harness.cells import Values
from mogradjudge.lm.budget import Budget, Purse
from mogradjudge.optimize.directory import Pool


@dataclass(frozen=True)
class Means:
    """What a cell is measured with: a folder of its own, and what may be spent.

    ``purse`` is that of all workers, where there are several; calls are taken from it too.
    """

    folder: Path
    budget: Budget
    purse: Purse | None = None

    @property
    def pool(self) -> Pool | None:
        """Give what a run has in common with others: the purse, and no replies."""
        if self.purse is None:
            return None
        return Pool(self.purse)


Work: TypeAlias = Callable[[Means], tuple[Values, Sequence[Values]]]
"""Measures one cell; gives its result, and rows of what it paid."""


@dataclass(frozen=True)
class Task:
    """A cell to be measured, if it is not there yet: what it asks, and how it is measured."""

    benchmark: str
    key: Values
    work: Work


class Unmeasurable(Exception):
    """Raised by a task's work where there is nothing to measure; the message says why."""
