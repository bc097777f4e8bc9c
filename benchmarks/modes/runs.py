"""Reading what a run's cell keeps: its way over the steps, its volume, its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.harness.cells import Cell, Values
from benchmarks.harness.tables import mean_of_known
from benchmarks.modes.measure import TEST


@dataclass(frozen=True)
class Step:
    """Validation agreement after a step, the mean over the criteria; step 0 is the seed."""

    step: int
    agreement: float | None
    accepted: bool


@dataclass(frozen=True)
class Cost:
    """What one run takes, on average, without the scoring of test texts.

    ``calls`` are by role; ``dollars`` is None where a price is unknown.
    """

    calls: Mapping[str, float]
    prompt_tokens: float
    completion_tokens: float
    dollars: float | None

    @property
    def total(self) -> float:
        """Calls of all roles."""
        return sum(self.calls.values())


def trajectory(parts: Sequence[Values]) -> tuple[Step, ...]:
    """Give a run's way; where each criterion had a run of its own, the mean of these ways."""
    rows = zip(*(part["trajectory"] for part in parts), strict=False)
    return tuple(
        Step(
            step=together[0]["step"],
            agreement=mean_of_known(part["agreement"]["mean"] for part in together),
            accepted=any(part["accepted"] for part in together),
        )
        for together in rows
    )


def validation_volume(parts: Sequence[Values], criteria: Sequence[str]) -> float:
    """Give the hypervolume of all programs that a run measured, the refused ones too.

    Programs of single criteria can be put together as one likes, so there the best of each make
    one point.
    """
    measured = [
        [step["proposed"] for step in part["trajectory"] if step["proposed"] is not None]
        for part in parts
    ]
    if len(parts) == 1:
        return hypervolume([[program.get(name) for name in criteria] for program in measured[0]])
    best = [
        max((program[part["criterion"]] or 0.0 for program in programs), default=0.0)
        for part, programs in zip(parts, measured, strict=True)
    ]
    return hypervolume([best])


def hypervolume(points: Sequence[Sequence[float | None]]) -> float:
    """Give the volume that points dominate above 0 agreement on each criterion, in [0, 1].

    A negative agreement counts as 0, and so does an undefined one. With K criteria the volume is of
    the order of an agreement to the power of K: compare it with that of the same criteria only.

    Source: Zitzler and Thiele 1998, "Multiobjective optimization using evolutionary algorithms";
    computed exactly by moocore.

    Args:
        points: One agreement per criterion, for each program; at least one program.
    """
    import moocore  # slow to import

    floored = [[max(0.0, value or 0.0) for value in point] for point in points]
    return float(moocore.hypervolume(floored, ref=[0.0] * len(floored[0]), maximise=True))


def cost_of(cells: Sequence[Cell]) -> Cost:
    """Average what runs took."""
    runs, rows = len(cells), [row for cell in cells for row in cell.ledger]
    optimizing = any("runs" in cell.result for cell in cells)
    paid = [row for row in rows if optimizing and row["role"] != TEST]
    prices = [row["cost"] for row in paid]
    calls: dict[str, float] = {}
    for row in paid:
        calls[row["role"]] = calls.get(row["role"], 0.0) + (row["calls"] + row["failed"]) / runs
    return Cost(
        calls=calls,
        prompt_tokens=sum(row["prompt_tokens"] for row in paid) / runs,
        completion_tokens=sum(row["completion_tokens"] for row in paid) / runs,
        dollars=None if None in prices else sum(prices) / runs,
    )
