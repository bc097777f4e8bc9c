"""From the best of many evaluations to one scoring of the stitched prompt, part by part."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import Judged
from benchmarks.harness.tables import mean_of_known
from benchmarks.interference.arms import NAMES, ONE
from benchmarks.interference.contrasts import CROWDING, EFFECTS, FORMAT, TRANSFER, Contrasts
from benchmarks.interference.paper import EVALUATE, STITCHED, best_of
from benchmarks.interference.scorings import SEED, Scorings, chosen_in
from mogradjudge.report.numbers import counted

LUCK = "luck of the best"
FIRST = "separate calls, optimized sections"
"""What stands before the parts; a column says which evaluations these are."""


@dataclass(frozen=True)
class Decomposition:
    """Mean agreement of the best evaluations, what is lost on the way, and what is left.

    ``best`` and ``parts`` add up to ``joint``, the agreement of the optimized sections in one call:
    *luck of the best* is what a fresh scoring of the same instructions in separate calls loses,
    *one call for all* what the initial instructions lose in one call, *transfer* and *crowding* are
    those of `EFFECTS`. ``start`` says what ``best`` is; without evaluations it is a fresh scoring,
    and there is no luck.
    """

    start: str
    best: float
    parts: Mapping[str, float]
    joint: float


def decompositions(
    cells: Sequence[Cell], scorings: Scorings, contrasts: Contrasts
) -> tuple[Decomposition, ...]:
    """Take apart what runs lose from their validation, and the paper's protocol if measured."""
    by_run = chosen_in(cells, scorings.runs)
    chosen = [cell for ours in by_run.values() for cell in ours]
    count = max((len(cell.result["measured"]) for cell in chosen), default=0)
    start = f"best of {count} on the validation texts"
    best = mean_of_known(cell.result["validation"] for cell in chosen)
    known = best if len(by_run) == len(scorings.runs) else None
    both = _decomposition(start, known, contrasts), _papers(cells, scorings)
    return tuple(of_one for of_one in both if of_one is not None)


def _papers(cells: Sequence[Cell], scorings: Scorings) -> Decomposition | None:
    """Take the paper's protocol apart, if its stitched prompt was scored."""
    evaluated = [cell for cell in cells if cell.key["part"] == EVALUATE]
    best = best_of(evaluated)
    picked = {name: instructions for name, (_, instructions) in best.items()}
    arms = {
        cell.key["arm"]: {"paper": [Judged.of(cell)]}
        for cell in cells
        if cell.key["part"] == STITCHED and cell.key["picked"] == picked
    }
    if not picked or not {"S1", "J1", *(f"{ONE}{name}" for name in picked)} <= arms.keys():
        return None
    seed = {arm: scorings.by_arm[arm] for arm in SEED}
    contrasts = Contrasts(Scorings({**seed, **arms}, ("paper",), 1))
    count = max(Counter(cell.key["criterion"] for cell in evaluated).values())
    start = f"as the paper: best of {count} on the test texts"
    runs = {cell.key["run"] for cell in evaluated}
    if not runs >= {*scorings.runs}:
        start += f", of {len(runs)} of {counted(len(scorings.runs), 'run')}"
    return _decomposition(start, statistics.fmean(value for value, _ in best.values()), contrasts)


def _decomposition(start: str, best: float | None, contrasts: Contrasts) -> Decomposition | None:
    separate, joint = (contrasts.agreement({arm: 1}) for arm in ("S1", "J1"))
    parts = {name: contrasts.agreement(EFFECTS[name][1]) for name in (FORMAT, TRANSFER, CROWDING)}
    known = {name: part for name, part in parts.items() if part is not None}
    if separate is None or joint is None or len(known) < len(parts):
        return None
    if best is None:
        return Decomposition(NAMES["S1"], separate, known, joint)
    return Decomposition(start, best, {LUCK: separate - best, **known}, joint)
