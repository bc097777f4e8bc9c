"""What the arms' scores say: the interaction of layout and instructions, and its parts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from benchmarks.harness.cells import Cell, Values, known_format
from benchmarks.harness.scored import MEAN, Judged, level_of
from benchmarks.harness.tables import mean_of_known
from benchmarks.interference.arms import NAMES, ONE
from benchmarks.interference.choose import BENCHMARK
from benchmarks.interference.scorings import SEED, Scorings, place_of, scorings, whole
from benchmarks.interference.verdicts import adjusted, judged, of_effect, of_other_runs
from mogradjudge.agreement import (
    Level,
    Undefined,
    cluster_test,
    hierarchical,
)
from mogradjudge.agreement.claims import Claim

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
        "competition": ("rules of another task for idle prose: C - P", {"C": 1, "P": -1}),
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


@dataclass(frozen=True)
class Interference:
    """The decomposition in one setting.

    ``effects`` holds a claim for ``"mean"`` and each criterion, by the names of `EFFECTS`. The mean
    interference decides; its p-value is as it is. Those of the other means are adjusted together
    (Holm), and so are those of the criteria within an effect. ``matrix[j][k]`` says what adding the
    optimized section of j to the joint seed prompt does to the agreement on k; its K x K claims are
    one family, and its "mean" ones are another. All claims are about the instructions of these
    runs. ``over_runs`` is the 95 % interval of the mean interference over runs of the optimizer as
    well as documents, if there are several runs; the note of the claim says whether it agrees.
    """

    setting: Values
    level: Level
    criteria: tuple[str, ...]
    documents: int
    texts: int
    repeats: int
    runs: tuple[str, ...]
    arms: tuple[ArmRow, ...]
    effects: Mapping[str, Mapping[str, Claim]]
    matrix: Mapping[str, Mapping[str, Claim]]
    over_runs: tuple[float, float] | None
    unedited: tuple[str, ...]


def summarize(cells: Sequence[Cell]) -> Interference:
    """Sum up the interference cells of one setting; repeats that are not whole are left out.

    Raises:
        ValueError: If no repeat is whole, or a run has instructions of several kinds.
        SetupError: If a cell has the format of another version.
    """
    ours = [cell for cell in cells if cell.benchmark == BENCHMARK]
    with known_format(ours):
        return _summarized(cells, ours)


def _summarized(cells: Sequence[Cell], ours: Sequence[Cell]) -> Interference:
    chosen = [cell for cell in ours if cell.key["part"] == "choose"]
    scored = scorings(cells)
    by_arm = whole(scored)
    first = next(iter(by_arm["J0"].values()))
    criteria, runs = tuple(first.scores), tuple(dict.fromkeys(run for run, _ in by_arm["J1"]))
    over_runs = _over_runs(by_arm, runs, criteria)
    effects = _explained(
        {
            name: of_effect(by_arm, name, weights)
            for name, (_, weights) in EFFECTS.items()
            if weights.keys() <= by_arm.keys()
        }
    )
    deciding = effects["interference"]
    deciding[MEAN] = of_other_runs(deciding[MEAN], len(runs), over_runs)
    return Interference(
        setting=ours[0].setting,
        level=level_of(first),
        criteria=criteria,
        documents=len(set(first.groups)),
        texts=len(first.groups),
        repeats=len({repeat for _, repeat in by_arm["J0"]}),
        runs=runs,
        arms=tuple(_row(name, by_arm[name], scored) for name in NAMES if name in by_arm),
        effects=effects,
        matrix=_matrix(by_arm, criteria),
        over_runs=over_runs,
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
    return of_effect(whole(scorings(cells)), name, EFFECTS[name][1])


def _explained(effects: Mapping[str, dict[str, Claim]]) -> dict[str, dict[str, Claim]]:
    """Adjust the means of all effects but the first, which decides, for their number."""
    _, *others = effects
    means = adjusted({name: effects[name][MEAN] for name in others})
    return {
        name: {**claims, MEAN: means.get(name, claims[MEAN])} for name, claims in effects.items()
    }


def _matrix(by_arm: Mapping[str, Scorings], criteria: Sequence[str]) -> dict[str, dict[str, Claim]]:
    """Judge what each section does to each criterion, and adjust for the number of all."""
    rows = {j: judged(by_arm, f"section {j}", {f"{ONE}{j}": 1, "J0": -1}) for j in criteria}
    cells = adjusted({(j, k): rows[j][k] for j in criteria for k in criteria})
    means = adjusted({j: rows[j][MEAN] for j in criteria})
    return {j: {MEAN: means[j], **{k: cells[j, k] for k in criteria}} for j in criteria}


def _row(name: str, by_place: Scorings, cells: Sequence[Cell]) -> ArmRow:
    judged = list(by_place.values())
    names = list(judged[0].scores)
    agreement = {name: mean_of_known(j.agreement(name) for j in judged) for name in names}
    repeats = [mean_of_known(j.agreement(name) for name in names) for j in judged]
    known = [value for value in repeats if value is not None]
    return ArmRow(
        arm=name,
        meaning=NAMES[name],
        agreement={**agreement, MEAN: mean_of_known(agreement.values())},
        interval=_interval(judged),
        run_sd=statistics.stdev(known) if len(known) > 1 else None,
        coverage=min(j.coverage(name) for j in judged for name in names),
        calls=next(cell.calls for cell in cells if place_of(cell)[0] == name),
    )


def _interval(judged: Sequence[Judged]) -> tuple[float, float] | None:
    """Bound the mean agreement over documents, each with the mean of all its values."""
    values: dict[str, list[float]] = {}
    for run in judged:
        for name in run.scores:
            for document, value in run.values(name).items():
                values.setdefault(document, []).append(value)
    test = cluster_test([statistics.fmean(of_document) for of_document in values.values()], flips=1)
    return None if isinstance(test, Undefined) else (test.low, test.high)


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
    bounds = hierarchical([[row.get(document, math.nan) for document in documents] for row in rows])
    return None if isinstance(bounds, Undefined) else (bounds.low, bounds.high)


def _document_means(by_place: Scorings, run: str, criterion: str) -> dict[str, float]:
    values = [j.values(criterion) for (of_run, _), j in by_place.items() if of_run == run]
    return {
        name: statistics.fmean(by_document[name] for by_document in values) for name in values[0]
    }
