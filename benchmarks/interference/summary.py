"""What the arms' scores say: the interaction of layout and instructions, and its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.harness.cells import Cell, Values, known_format
from benchmarks.harness.over_runs import Tested, family
from benchmarks.harness.scored import MEAN, level_of
from benchmarks.interference.arms import NAMES, ONE
from benchmarks.interference.choose import BENCHMARK
from benchmarks.interference.contrasts import CROWDING, EFFECTS, Contrasts
from benchmarks.interference.decomposition import Decomposition, decompositions
from benchmarks.interference.scorings import Scorings, chosen_in, whole
from mogradjudge.agreement import Level
from mogradjudge.agreement.claims import Claim

ENOUGH = 5  # sets of instructions; with fewer nothing is said of others


@dataclass(frozen=True)
class ArmRow:
    """One arm: agreement over its repeats and runs, by criterion and as ``"mean"``.

    ``interval`` is that of the mean over runs and documents, of one run over documents alone.
    """

    arm: str
    agreement: Mapping[str, float | None]
    interval: tuple[float, float] | None
    coverage: float


@dataclass(frozen=True)
class Interference:
    """What was found in one setting.

    ``effects`` holds a claim for ``"mean"`` and each criterion, by the names of `EFFECTS`; those
    whose arms were not scored are missing. Mean crowding decides; its p-value is as it is. Those of
    the other means are adjusted together (Holm), and so are those of the criteria within an effect.
    ``matrix[j][k]`` says what adding the optimized section of j to the joint seed prompt does to
    the agreement on k; its K x K claims are one family. Claims speak of new runs on new documents
    if there are `ENOUGH` runs. ``unedited`` names sections that no step changed.
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
    decompositions: tuple[Decomposition, ...]
    unedited: tuple[str, ...]

    @property
    def crowding(self) -> Claim:
        """The primary claim."""
        return self.effects[CROWDING][MEAN]


def summarize(cells: Sequence[Cell]) -> Interference:
    """Sum up the interference cells of one setting; repeats that are not whole are left out.

    Raises:
        ValueError: If no repeat is whole.
        SetupError: If a cell has the format of another version, or a run has instructions of
            several kinds.
    """
    ours = [cell for cell in cells if cell.benchmark == BENCHMARK]
    with known_format(ours):
        return _summarized(cells, ours)


def _summarized(cells: Sequence[Cell], ours: Sequence[Cell]) -> Interference:
    scorings = whole(cells)
    contrasts, first = Contrasts(scorings), scorings.first
    effects = _effects(scorings, contrasts)
    comparable = effects[CROWDING][MEAN].verdict != "cannot be tested"
    return Interference(
        setting=ours[0].setting,
        level=level_of(first),
        criteria=scorings.criteria,
        documents=len(set(first.groups)),
        texts=len(first.groups),
        repeats=scorings.repeats,
        runs=scorings.runs,
        arms=tuple(
            _arm(arm, scorings.criteria, contrasts)
            for arm in NAMES
            if arm in {ONE, *scorings.by_arm}
        ),
        effects=effects,
        matrix=_matrix(scorings.criteria, contrasts),
        decompositions=decompositions(ours, scorings, contrasts) if comparable else (),
        unedited=tuple(
            f"{cell.key['criterion']} (run {run})"
            for run, chosen in chosen_in(ours, scorings.runs).items()
            for cell in chosen
            if not cell.result["edited"]
        ),
    )


def _arm(arm: str, criteria: Sequence[str], contrasts: Contrasts) -> ArmRow:
    test = contrasts.test({arm: 1}, MEAN)
    return ArmRow(
        arm=arm,
        agreement={name: contrasts.agreement({arm: 1}, name) for name in (*criteria, MEAN)},
        interval=test.outer if isinstance(test, Tested) else None,
        coverage=contrasts.coverage(arm),
    )


def _effects(scorings: Scorings, contrasts: Contrasts) -> dict[str, dict[str, Claim]]:
    """Judge mean crowding alone, the other means together, and an effect's criteria together."""
    arms, names = {ONE, *scorings.by_arm}, scorings.criteria
    there = {name: weights for name, (_, weights) in EFFECTS.items() if weights.keys() <= arms}
    means = [(effect, MEAN) for effect in there]
    families = [means[:1], means[1:], *([(effect, name) for name in names] for effect in there)]
    claims: dict[str, Claim] = {}
    for pairs in families:
        tests = {f"{effect}, {name}": contrasts.test(there[effect], name) for effect, name in pairs}
        claims |= family(tests, ENOUGH)
    return {e: {name: claims[f"{e}, {name}"] for name in (MEAN, *names)} for e in there}


def _matrix(criteria: Sequence[str], contrasts: Contrasts) -> dict[str, dict[str, Claim]]:
    """Judge what each section does to each criterion, and adjust for the number of all."""
    pairs = {(j, k): f"section of {j} on {k}" for j in criteria for k in criteria}
    tests = {n: contrasts.test({f"{ONE}{j}": 1, "J0": -1}, k) for (j, k), n in pairs.items()}
    claims = family(tests, ENOUGH)
    return {j: {k: claims[pairs[j, k]] for k in criteria} for j in criteria}
