"""The scorings of each arm, read from the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import Judged
from benchmarks.interference.arms import EXPLAINING, ONE, OPTIMIZED, SEED_ARMS
from benchmarks.interference.choose import BENCHMARK
from benchmarks.interference.measure import identity
from benchmarks.noise import BENCHMARK as NOISE
from mogradjudge import SetupError

SEED = frozenset(SEED_ARMS.values())

Places: TypeAlias = Mapping[tuple[str, int], Judged]
"""Scorings of one arm, by run and repeat; the seed's arms belong to the run ``""``."""


@dataclass(frozen=True)
class Scorings:
    """Scorings by arm and run, a list of repeats each; ``runs`` are those of the optimizer."""

    by_arm: Mapping[str, Mapping[str, Sequence[Judged]]]
    runs: tuple[str, ...]
    repeats: int

    @property
    def first(self) -> Judged:
        """The first scoring of the seed prompt in one call."""
        return self.by_arm["J0"][""][0]

    @property
    def criteria(self) -> tuple[str, ...]:
        """The criteria's names."""
        return tuple(self.first.scores)


def chosen_in(cells: Sequence[Cell], runs: Sequence[str]) -> dict[str, list[Cell]]:
    """Find the cells that chose the instructions which were scored, by run.

    A run whose instructions were given, or were chosen elsewhere, has none.
    """
    used = {(c.key["run"], c.key.get("instructions")) for c in cells if c.key["part"] == "score"}
    efforts: dict[tuple[str, int, int], list[Cell]] = {}
    for cell in cells:
        if cell.key["part"] == "choose" and str(cell.key["seed"]) in runs:
            effort = str(cell.key["seed"]), cell.key["steps"], cell.key["batch_size"]
            efforts.setdefault(effort, []).append(cell)
    sections = {
        effort: {cell.key["criterion"]: cell.result["section"] for cell in ours}
        for effort, ours in efforts.items()
    }
    return {
        effort[0]: ours
        for effort, ours in efforts.items()
        if (effort[0], identity(sections[effort])["instructions"]) in used
    }


def whole(cells: Sequence[Cell]) -> Scorings:
    """Sort the scorings: of those runs and repeats in which every core arm was scored.

    The runs are those of the first such repeat. Of an arm that explains, repeats in which a run
    lacks it are left out, and the arm if none is left.

    Raises:
        ValueError: If no repeat is whole, or a run has instructions of several kinds.
    """
    ours = [c for c in cells if c.benchmark == BENCHMARK and c.key["part"] == "score"]
    _check_instructions(ours)
    by_arm: dict[str, dict[tuple[str, int], Judged]] = {}
    for cell in (*ours, *(cell for cell in cells if cell.benchmark == NOISE)):
        arm, run, repeat = _place_of(cell)
        by_arm.setdefault(arm, {})[run, repeat] = Judged.of(cell)
    runs, repeats = _whole_places({a: p for a, p in by_arm.items() if a not in EXPLAINING})
    whole_ones = {
        arm: {
            run: [places[run, repeat] for repeat in repeats if _has(arm, places, runs, repeat)]
            for run in _runs_of(arm, runs)
        }
        for arm, places in by_arm.items()
    }
    there = {arm: by_run for arm, by_run in whole_ones.items() if all(by_run.values())}
    return Scorings(there, tuple(runs), len(repeats))


def _whole_places(core: Mapping[str, Places]) -> tuple[list[str], list[int]]:
    """Give the runs and repeats in which no core arm is missing."""
    names = list(dict.fromkeys(run for run, _ in core.get("J1", {})))
    runs: list[str] = []
    repeats = []
    for repeat in sorted({repeat for _, repeat in core.get("J0", {})}):
        there = [n for n in names if all(_has(arm, p, [n], repeat) for arm, p in core.items())]
        runs = runs or there
        if runs and set(runs) <= set(there):
            repeats.append(repeat)
    if not repeats or not _core_of(core["J0"]) <= core.keys():
        raise ValueError("no repeat is whole yet")
    return runs, repeats


def _core_of(places: Places) -> set[str]:
    (judged, *_) = places.values()
    return {*SEED, *OPTIMIZED, *(f"{ONE}{name}" for name in judged.scores)}


def _runs_of(arm: str, runs: Sequence[str]) -> Sequence[str]:
    return ("",) if arm in SEED else runs


def _has(arm: str, places: Places, runs: Sequence[str], repeat: int) -> bool:
    return all((run, repeat) in places for run in _runs_of(arm, runs))


def _place_of(cell: Cell) -> tuple[str, str, int]:
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
        known.setdefault(cell.key["run"], set()).add(cell.key.get("instructions", ""))
    if several := [run for run, instructions in known.items() if len(instructions) > 1]:
        raise SetupError(
            f"The folder holds instructions of several kinds for run {several[0]}. Measure one "
            "--steps, --batch-size and --instructions per folder, with --out."
        )
