"""The scorings of each arm, read from the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import Judged
from benchmarks.interference.arms import MEANINGS, SEED_ARMS
from benchmarks.interference.choose import BENCHMARK
from benchmarks.noise import BENCHMARK as NOISE
from mogradjudge import SetupError

SEED = frozenset(SEED_ARMS.values())

Scorings: TypeAlias = Mapping[tuple[str, int], Judged]
"""Scorings of one arm, by run and repeat."""


def scorings(cells: Sequence[Cell]) -> list[Cell]:
    """Find the cells that scored an arm; those of the seed belong to the noise benchmark."""
    return [
        cell
        for cell in cells
        if cell.benchmark == NOISE or (cell.benchmark == BENCHMARK and cell.key["part"] == "score")
    ]


def whole(cells: Sequence[Cell]) -> dict[str, dict[tuple[str, int], Judged]]:
    """Sort the scorings, of those repeats in which every arm was scored.

    Raises:
        ValueError: If no repeat is whole, or a run has instructions of several kinds.
    """
    _check_instructions(cells)
    by_arm: dict[str, dict[tuple[str, int], Judged]] = {}
    for cell in cells:
        arm, run, repeat = place_of(cell)
        by_arm.setdefault(arm, {})[run, repeat] = Judged.of(cell)
    runs = {run for by_place in by_arm.values() for run, _ in by_place} - {""}
    repeats = {
        repeat
        for _, repeat in by_arm.get("J0", {})
        if all(
            (run, repeat) in by_place
            for arm, by_place in by_arm.items()
            for run in ([""] if arm in SEED else runs)
        )
    }
    if not repeats or not set(MEANINGS) <= set(by_arm):
        raise ValueError("no repeat is whole yet")
    return {
        arm: {place: judged for place, judged in by_place.items() if place[1] in repeats}
        for arm, by_place in by_arm.items()
    }


def place_of(cell: Cell) -> tuple[str, str, int]:
    """Say which arm, run and repeat a cell scored; the seed's arms belong to no run."""
    if cell.benchmark == NOISE:
        return SEED_ARMS[cell.key["layout"]], "", cell.key["repeat"]
    return cell.key["arm"], cell.key["run"], cell.key["repeat"]


def _check_instructions(cells: Sequence[Cell]) -> None:
    """Check that the arms of a run hold the same instructions, and are not another effort's.

    Raises:
        SetupError: If they do not.
    """
    known: dict[str, set[str]] = {}
    for cell in cells:
        if cell.benchmark == BENCHMARK:
            known.setdefault(cell.key["run"], set()).add(cell.key.get("instructions", ""))
    if several := [run for run, instructions in known.items() if len(instructions) > 1]:
        raise SetupError(
            f"The folder holds instructions of several kinds for run {several[0]}. Measure one "
            "--steps, --batch-size and --instructions per folder, with --out."
        )
