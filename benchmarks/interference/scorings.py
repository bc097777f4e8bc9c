"""The scorings of each arm, read from the cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import Judged
from benchmarks.interference.arms import EXPLAINING, ONE, OPTIMIZED, SEED_ARMS
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
    """Sort the scorings: of those runs and repeats in which every core arm was scored.

    The runs are those of the first such repeat. Arms that explain are left out in repeats in which
    a run lacks them.

    Raises:
        ValueError: If no repeat is whole, or a run has instructions of several kinds.
    """
    _check_instructions(cells)
    by_arm: dict[str, dict[tuple[str, int], Judged]] = {}
    for cell in cells:
        arm, run, repeat = place_of(cell)
        by_arm.setdefault(arm, {})[run, repeat] = Judged.of(cell)
    core = {arm: scored for arm, scored in by_arm.items() if arm not in EXPLAINING}
    names = {run for run, _ in core.get("J1", {})}
    there = {
        repeat: {run for run in names if _has(core, {run}, repeat)}
        for repeat in sorted({repeat for _, repeat in core.get("J0", {})})
    }
    runs = next(filter(None, there.values()), set[str]())
    repeats = [repeat for repeat, of_repeat in there.items() if runs and runs <= of_repeat]
    if not repeats or not set(core_arms(first_of(core))) <= core.keys():
        raise ValueError("no repeat is whole yet")
    sorted_out = {
        arm: {
            (run, repeat): judged
            for (run, repeat), judged in scored.items()
            if run in {"", *runs} and repeat in repeats and _has({arm: scored}, runs, repeat)
        }
        for arm, scored in by_arm.items()
    }
    return {arm: scored for arm, scored in sorted_out.items() if scored}


def first_of(by_arm: Mapping[str, Scorings]) -> Judged:
    """Give the first scoring of the seed prompt in one call."""
    return next(iter(by_arm["J0"].values()))


def core_arms(judged: Judged) -> list[str]:
    """Name the arms without which nothing can be said."""
    return [*SEED, *OPTIMIZED, *(f"{ONE}{name}" for name in judged.scores)]


def _has(by_arm: Mapping[str, Scorings], runs: Collection[str], repeat: int) -> bool:
    """Say whether all arms were scored with the instructions of all runs."""
    return all(
        (run, repeat) in scored
        for arm, scored in by_arm.items()
        for run in ([""] if arm in SEED else runs)
    )


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
