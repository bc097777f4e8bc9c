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
        effects=_effects(scorings, contrasts),
        matrix=_matrix(scorings.criteria, contrasts),
        decompositions=decompositions(ours, scorings, contrasts),
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
    there = {
        name: weights
        for name, (_, weights) in EFFECTS.items()
        if weights.keys() <= {ONE, *scorings.by_arm}
    }
    (first, *others), names = there, scorings.criteria
    means = _judged(contrasts, {first: (there[first], MEAN)}, MEAN, adjust=False)
    means |= _judged(contrasts, {name: (there[name], MEAN) for name in others}, MEAN)
    return {
        effect: {
            MEAN: means[effect],
            **_judged(contrasts, {name: (weights, name) for name in names}, effect),
        }
        for effect, weights in there.items()
    }


def _matrix(criteria: Sequence[str], contrasts: Contrasts) -> dict[str, dict[str, Claim]]:
    """Judge what each section does to each criterion, and adjust for the number of all."""
    wanted = {f"{j} on {k}": ({f"{ONE}{j}": 1, "J0": -1}, k) for j in criteria for k in criteria}
    claims = _judged(contrasts, wanted, "section")
    return {j: {k: claims[f"{j} on {k}"] for k in criteria} for j in criteria}


def _judged(
    contrasts: Contrasts,
    wanted: Mapping[str, tuple[Mapping[str, int], str]],
    what: str,
    *,
    adjust: bool = True,
) -> dict[str, Claim]:
    """Judge sums of arms on criteria as one family, by the claims' names."""
    tests = {f"{name}, {what}": contrasts.test(*of) for name, of in wanted.items()}
    return dict(zip(wanted, family(tests, ENOUGH, adjust=adjust).values(), strict=True))
