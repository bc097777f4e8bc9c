"""What the arms' scores say: the interaction of layout and instructions, and its parts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from benchmarks.cells import Cell, Values
from benchmarks.claims import Claim, claim, refused
from benchmarks.interference.arms import MEANINGS, SEED_ARMS
from benchmarks.interference.choose import BENCHMARK
from benchmarks.interference.measure import MATRIX
from benchmarks.judged import Judged, level_of, unequal_coverage
from benchmarks.noise import BENCHMARK as NOISE
from mogradjudge.agreement import (
    Level,
    Undefined,
    cluster_test,
    contrast_criteria,
    hierarchical,
    holm,
)

SEED = frozenset(SEED_ARMS.values())
BOUND = 0.03
"""A difference of agreement that would not matter (two rank correlations)."""

EFFECTS: Mapping[str, tuple[str, Mapping[str, int]]] = MappingProxyType(
    {
        "interference": (
            "what optimizing gains in one joint call, less what it gains in separate calls: "
            "(J1 - J0) - (S1 - S0)",
            {"J1": 1, "J0": -1, "S1": -1, "S0": 1},
        ),
        "separate gain": ("S1 - S0", {"S1": 1, "S0": -1}),
        "joint gain": ("J1 - J0", {"J1": 1, "J0": -1}),
        "joint-call cost": ("the seed prompt in one call for all: J0 - S0", {"J0": 1, "S0": -1}),
        "length": ("the seed prompt padded to J1's length: P - J0", {"P": 1, "J0": -1}),
        "beyond length": ("J1 - P", {"J1": 1, "P": -1}),
        "order": ("the sections in another order: O - J1", {"O": 1, "J1": -1}),
        "run together": ("without headings: N - J1", {"N": 1, "J1": -1}),
    }
)


@dataclass(frozen=True)
class ArmRow:
    """One arm: agreement over its repeats and runs, by criterion and as ``"mean"``.

    ``interval`` is Student's 95 % interval of the mean over documents, ``run_sd`` the standard
    deviation of the mean from one scoring to the next, ``calls`` those of one scoring.
    """

    arm: str
    meaning: str
    agreement: Mapping[str, float | None]
    interval: tuple[float, float] | None
    run_sd: float | None
    coverage: float
    calls: int


Scorings: TypeAlias = Mapping[tuple[str, int], Judged]
"""Scorings of one arm, by run and repeat."""


@dataclass(frozen=True)
class Interference:
    """The decomposition in one setting.

    ``effects`` holds a claim for ``"mean"`` and each criterion, by the names of `EFFECTS`. The mean
    interference decides; its p-value is as it is. Those of the other means are adjusted together
    (Holm), and so are those of the criteria within an effect. ``matrix[j][k]`` says what adding the
    optimized section of j to the joint seed prompt does to the agreement on k. ``over_runs`` is the
    95 % interval of the mean interference over runs of the optimizer as well as documents, if there
    are several runs.
    """

    setting: Values
    level: Level
    criteria: tuple[str, ...]
    documents: int
    texts: int
    repeats: int
    runs: tuple[str, ...]
    calls: int
    arms: tuple[ArmRow, ...]
    effects: Mapping[str, Mapping[str, Claim]]
    matrix: Mapping[str, Mapping[str, Claim]]
    over_runs: tuple[float, float] | None
    unedited: tuple[str, ...]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims in order: the mean interference decides, all others explain it."""
        return tuple(
            each for by_criterion in self.effects.values() for each in by_criterion.values()
        )

    def as_dict(self) -> dict[str, Any]:
        """Give the figures as plain JSON."""
        return asdict(self)


def summarize(cells: Sequence[Cell]) -> Interference:
    """Sum up the interference cells of one setting; repeats that are not whole are left out.

    Raises:
        ValueError: If no repeat is whole.
    """
    ours = [cell for cell in cells if cell.benchmark == BENCHMARK]
    chosen = [cell for cell in ours if cell.key["part"] == "choose"]
    scored = _scorings(cells)
    by_arm = _whole(scored)
    first = next(iter(by_arm["J0"].values()))
    criteria, runs = tuple(first.scores), tuple(dict.fromkeys(run for run, _ in by_arm["J1"]))
    effects = _explained(
        {name: _family(by_arm, name, weights) for name, (_, weights) in EFFECTS.items()}
    )
    matrix = {j: _family(by_arm, f"section {j}", {f"{MATRIX}{j}": 1, "J0": -1}) for j in criteria}
    return Interference(
        setting=ours[0].setting,
        level=level_of(first),
        criteria=criteria,
        documents=len(set(first.groups)),
        texts=len(first.groups),
        repeats=len({repeat for _, repeat in by_arm["J0"]}),
        runs=runs,
        calls=sum(cell.calls for cell in ours),
        arms=tuple(_row(name, by_arm[name], scored) for name in MEANINGS),
        effects=effects,
        matrix=matrix,
        over_runs=_over_runs(by_arm, runs, criteria),
        unedited=tuple(
            f"{cell.key['criterion']} (run {cell.key['seed']})"
            for cell in chosen
            if not cell.result["edited"]
        ),
    )


def effect(cells: Sequence[Cell], name: str) -> dict[str, Claim]:
    """Judge one of `EFFECTS` alone, for ``"mean"`` and each criterion.

    Raises:
        ValueError: If no repeat is whole.
    """
    return _family(_whole(_scorings(cells)), name, EFFECTS[name][1])


def _scorings(cells: Sequence[Cell]) -> list[Cell]:
    """Find the cells that scored an arm; those of the seed belong to the noise benchmark."""
    return [
        cell
        for cell in cells
        if cell.benchmark == NOISE or (cell.benchmark == BENCHMARK and cell.key["part"] == "score")
    ]


def _whole(cells: Sequence[Cell]) -> dict[str, dict[tuple[str, int], Judged]]:
    """Sort the scorings, of those repeats in which every arm was scored."""
    found: dict[str, dict[tuple[str, int], Judged]] = {}
    for cell in cells:
        arm, run, repeat = _place(cell)
        found.setdefault(arm, {})[run, repeat] = Judged.of(cell)
    runs = {run for scorings in found.values() for run, _ in scorings} - {""}
    whole = {
        repeat
        for _, repeat in found.get("J0", {})
        if all(
            (run, repeat) in scorings
            for arm, scorings in found.items()
            for run in ([""] if arm in SEED else runs)
        )
    }
    if not whole or not set(MEANINGS) <= set(found):
        raise ValueError("no repeat is whole yet")
    return {
        arm: {place: judged for place, judged in scorings.items() if place[1] in whole}
        for arm, scorings in found.items()
    }


def _place(cell: Cell) -> tuple[str, str, int]:
    """Say which arm, run and repeat a cell scored; the seed's arms belong to no run."""
    if cell.benchmark == NOISE:
        return SEED_ARMS[cell.key["layout"]], "", cell.key["repeat"]
    return cell.key["arm"], cell.key["run"], cell.key["repeat"]


def _explained(effects: Mapping[str, dict[str, Claim]]) -> dict[str, dict[str, Claim]]:
    """Adjust the means of all effects but the first, which decides, for their number."""
    _, *others = effects
    known = {name: p for name in others if (p := effects[name]["mean"].p_value) is not None}
    adjusted = holm(known) if known else {}
    return {
        name: {**claims, "mean": claims["mean"].adjusted(adjusted[name])}
        if name in adjusted
        else claims
        for name, claims in effects.items()
    }


def _family(
    by_arm: Mapping[str, Scorings], name: str, weights: Mapping[str, int]
) -> dict[str, Claim]:
    """Test a weighted sum of arms, each averaged over its runs and repeats."""
    judged = {(arm, *run): each for arm in weights for run, each in by_arm[arm].items()}
    first = next(iter(judged.values()))
    names = list(first.scores)
    if lost := [why for each in names if (why := unequal_coverage([*judged.values()], each))]:
        return {
            each: refused(f"{name}, {each}", f"the arms score other texts: {'; '.join(lost)}")
            for each in ("mean", *names)
        }
    family = contrast_criteria(
        first.human,
        {str(key): {each: j.filled(each) for each in names} for key, j in judged.items()},
        {str(key): weights[key[0]] / len(by_arm[key[0]]) for key in judged},
        first.groups,
        level=level_of(first),
    )
    claims = {"mean": claim(f"{name}, mean", family.mean, bound=BOUND)}
    for each, found in family.by_criterion.items():
        p_value = family.holm.get(each)
        claims[each] = claim(f"{name}, {each}", found, p_value=p_value, bound=BOUND)
    return claims


def _row(name: str, scorings: Scorings, cells: Sequence[Cell]) -> ArmRow:
    judged = list(scorings.values())
    names = list(judged[0].scores)
    agreement = {each: _mean([j.agreement(each) for j in judged]) for each in names}
    repeats = [_mean([j.agreement(each) for each in names]) for j in judged]
    known = [value for value in repeats if value is not None]
    return ArmRow(
        arm=name,
        meaning=MEANINGS[name],
        agreement={**agreement, "mean": _mean(list(agreement.values()))},
        interval=_interval(judged),
        run_sd=statistics.stdev(known) if len(known) > 1 else None,
        coverage=min(j.coverage(each) for j in judged for each in names),
        calls=next(cell.calls for cell in cells if _place(cell)[0] == name),
    )


def _interval(judged: Sequence[Judged]) -> tuple[float, float] | None:
    """Bound the mean agreement over documents, each with the mean of all its values."""
    values: dict[str, list[float]] = {}
    for each in judged:
        for name in each.scores:
            for document, value in each.values(name).items():
                values.setdefault(document, []).append(value)
    found = cluster_test([statistics.fmean(each) for each in values.values()], flips=1)
    return None if isinstance(found, Undefined) else (found.low, found.high)


def _over_runs(
    by_arm: Mapping[str, Scorings],
    runs: Sequence[str],
    criteria: Sequence[str],
) -> tuple[float, float] | None:
    """Bound the mean interference over new runs and new documents."""
    _, weights = EFFECTS["interference"]
    rows = []
    for run in runs:
        total: dict[str, list[float]] = {}
        for criterion in criteria:
            parts = [
                (sign, _document_means(by_arm[arm], "" if arm in SEED else run, criterion))
                for arm, sign in weights.items()
            ]
            for document in set.intersection(*(set(values) for _, values in parts)):
                value = sum(sign * values[document] for sign, values in parts)
                total.setdefault(document, []).append(value)
        rows.append({document: statistics.fmean(values) for document, values in total.items()})
    if len(rows) < 2:
        return None
    documents = sorted({document for row in rows for document in row})
    found = hierarchical([[row.get(document, math.nan) for document in documents] for row in rows])
    return None if isinstance(found, Undefined) else (found.low, found.high)


def _document_means(scorings: Scorings, run: str, criterion: str) -> dict[str, float]:
    values = [j.values(criterion) for (each, _), j in scorings.items() if each == run]
    return {name: statistics.fmean(each[name] for each in values) for name in values[0]}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
