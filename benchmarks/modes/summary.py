"""What the cells of the modes benchmark say: agreement, differences, volume and cost by setting."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from benchmarks.harness.cells import Cell, Values, known_format
from benchmarks.harness.scored import Judged, level_of
from benchmarks.modes.edits import ADHERENCE, Adherence, adherence_of
from benchmarks.modes.estimates import (
    Estimate,
    Runs,
    agreement,
    agreements,
    differences,
    gains,
    spread,
)
from benchmarks.modes.measure import BENCHMARK, MODES, SEED
from benchmarks.modes.runs import Cost, Step, cost_of, hypervolume, trajectory, validation_volume
from benchmarks.noise import BENCHMARK as NOISE
from mogradjudge.agreement import Level
from mogradjudge.agreement.claims import Claim
from mogradjudge.hashing import digest
from mogradjudge.settings import Layout

PRIMARY = "CCC minus SSS"
"""The claim that was named before anything was measured."""
_OF_A_RUN = ("mode", "seed", "layout")  # the other parts of a key say how all modes were run


@dataclass(frozen=True)
class Mode:
    """One mode's runs, or the seed prompt's scorings under the name "seed".

    ``test`` is their agreement on the test texts and ``gain`` its difference to the seed prompt in
    the same layout (empty where that was not scored), both by criterion and under "mean".
    ``run_sd`` is the standard deviation of the mean from run to run. Both volumes are means over
    the runs: ``volume`` of the hypervolume of a run's final program on the test texts,
    ``validation_volume`` of that of all programs which a run measured on its validation texts; it
    is larger by the luck of the best of many.
    """

    name: str
    layout: Layout
    seeds: tuple[int, ...]
    seeds_kept: int
    test: Mapping[str, Estimate]
    gain: Mapping[str, Estimate]
    run_sd: float | None
    volume: float
    validation_volume: float | None
    trajectories: tuple[tuple[Step, ...], ...]
    cost: Cost
    texts: tuple[Values, ...]


@dataclass(frozen=True)
class InSetting:
    """All modes in one setting, run by one plan.

    ``against_seed`` and ``pairs`` are claims about mean test agreement. The first ones are adjusted
    for their number, and so are the pairs but for `PRIMARY`, the one that was named beforehand.
    ``adherence`` is empty where nobody rated the edits.
    """

    setting: Values
    plan: Values
    level: Level
    criteria: tuple[str, ...]
    documents: int
    texts: int
    modes: tuple[Mode, ...]
    adherence: tuple[Adherence, ...]
    against_seed: tuple[Claim, ...]
    pairs: tuple[Claim, ...]

    @property
    def optimized(self) -> tuple[Mode, ...]:
        """The modes without the seed prompt."""
        return tuple(mode for mode in self.modes if mode.name != SEED)


def summarize(cells: Sequence[Cell]) -> list[InSetting]:
    """Sum up the modes' cells; those of another setting or plan stand apart.

    Raises:
        SetupError: If a cell has the format of another version.
    """
    apart: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.benchmark == BENCHMARK:
            apart.setdefault(digest([cell.setting, _plan(cell)]), []).append(cell)
    settings = []
    for runs in apart.values():
        with known_format(runs):
            beside = [cell for cell in cells if cell.setting == runs[0].setting]
            settings.append(_in_setting(runs, beside))
    return settings


def _in_setting(runs: Sequence[Cell], cells: Sequence[Cell]) -> InSetting:
    layouts = {cell.key["layout"] for cell in runs}
    ran = {_seed(cell) for cell in runs}  # more scorings of the seed prompt are beside no run
    scored = [c for c in cells if c.benchmark == NOISE and c.key["layout"] in layouts]
    seeds = [cell for cell in scored if _seed(cell) in ran]
    rated = [cell for cell in cells if cell.benchmark == ADHERENCE]
    arms: dict[str, list[Cell]] = {}
    for cell in sorted((*seeds, *runs), key=_seed):
        arms.setdefault(_arm(cell), []).append(cell)
    judged = {name: {_seed(c): Judged.of(c) for c in of} for name, of in arms.items()}
    modes = [name for name in MODES if name in arms]
    seed_arms = {name: f"{SEED} {arms[name][0].key['layout']}" for name in modes}
    start = {name: arm for name, arm in seed_arms.items() if arm in arms}
    first = Judged.of(runs[0])
    return InSetting(
        setting=runs[0].setting,
        plan=_plan(runs[0]),
        level=level_of(first),
        criteria=tuple(first.scores),
        documents=len(set(first.groups)),
        texts=len(first.groups),
        modes=tuple(
            _mode(arms[name], judged[name], judged.get(start.get(name, "")))
            for name in (*sorted(set(start.values())), *modes)
        ),
        adherence=tuple(
            adherence_of(name, ratings) for name in modes if (ratings := _rated(arms[name], rated))
        ),
        against_seed=tuple(
            differences(judged, {f"{name} minus seed": (name, arm) for name, arm in start.items()})
        ),
        pairs=_pairs(judged, modes),
    )


def _pairs(judged: Mapping[str, Runs], modes: Sequence[str]) -> tuple[Claim, ...]:
    pairs = {f"{b} minus {a}": (b, a) for a, b in combinations(modes, 2)}
    primary = {PRIMARY: pairs.pop(PRIMARY)} if PRIMARY in pairs else {}
    return (*differences(judged, primary), *differences(judged, pairs))


def _rated(runs: Sequence[Cell], rated: Sequence[Cell]) -> list[Cell]:
    """Give the ratings of these runs."""
    return [cell for cell in rated if cell.key in [run.key for run in runs]]


def _mode(cells: Sequence[Cell], runs: Runs, seed: Runs | None) -> Mode:
    criteria = tuple(next(iter(runs.values())).scores)
    of_runs = [cell.result["runs"] for cell in cells if "runs" in cell.result]
    volumes = [hypervolume([[agreement(run, name) for name in criteria]]) for run in runs.values()]
    validated = [validation_volume(parts, criteria) for parts in of_runs]
    return Mode(
        name=cells[0].key.get("mode", SEED),
        layout=cells[0].key["layout"],
        seeds=tuple(runs),
        seeds_kept=sum(all(part["seed_kept"] for part in parts) for parts in of_runs),
        test=agreements(runs),
        gain={} if seed is None or not runs.keys() & seed.keys() else gains(runs, seed),
        run_sd=spread(runs),
        volume=statistics.fmean(volumes),
        validation_volume=statistics.fmean(validated) if validated else None,
        trajectories=tuple(trajectory(parts) for parts in of_runs),
        cost=cost_of(cells),
        texts=tuple(
            {name: text for part in parts for name, text in part["sections"].items()}
            for parts in of_runs
        ),
    )


def _arm(cell: Cell) -> str:
    mode: str = cell.key.get("mode") or f"{SEED} {cell.key['layout']}"
    return mode


def _seed(cell: Cell) -> int:
    """Give the seed of a run, or the repeat that is paired with it."""
    return int(cell.key["repeat"] if cell.benchmark == NOISE else cell.key["seed"])


def _plan(cell: Cell) -> dict[str, Any]:
    return {name: value for name, value in cell.key.items() if name not in _OF_A_RUN}
