"""From measured cells to findings: a function of what the cells hold, and of nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.dilution.arms import CRITIQUED_LONG, ROUTED, TEXTS, WRITTEN
from benchmarks.dilution.calibration import Calibration, Curve
from benchmarks.dilution.causal import causal_claims, skipped_note
from benchmarks.dilution.contrasts import (
    ONE_TEXT,
    PATH,
    WHOLE_STEP,
    Decomposition,
    Loss,
    decompositions_of,
    losses_of,
    masking_of,
)
from benchmarks.dilution.observed import (
    Observed,
    Source,
    means_of,
    observe,
    rated_edit,
    rated_step,
    rated_text,
    share_of,
    size_of,
    yield_of,
)
from benchmarks.dilution.raters import BENCHMARK, STEP
from benchmarks.harness.cells import Cell, Values
from mogradjudge import SetupError
from mogradjudge.agreement.claims import Claim
from mogradjudge.criteria import Group

CAUSAL = "causal"
_SIZES = (
    "batch_size",
    "pool",
    "words",
    "seeds",
    "steps",
)  # other numbers deal the documents otherwise
_UNSIZED = (None,) * len(_SIZES)


@dataclass(frozen=True)
class Figures:
    """Means over one arm's texts by one rater, over the criteria that it passed on.

    Over all that it knows if it passed on none, which ``passed`` tells. ``share`` is ten times the
    corrected share of units, ``counted`` the yield as the rater counts it and ``corrected`` what
    remains after its line of yields. Examples count that the arms of `PATH` have a value on, too.
    """

    arm: str
    rater: str
    passed: bool
    words: float
    share: float | None
    counted: float
    corrected: float


@dataclass(frozen=True)
class Dilution:
    """What was found about dilution in one setting.

    Args:
        setting: What it was measured on.
        criteria: The rubric's criteria.
        seeds: The seeds of the steps.
        steps: How many (seed, step) clusters there are.
        batch_size: Examples per step.
        words: What the coach was told for a gradient of S or C, in words.
        raters: The raters that see the criteria's names, each with the criteria that it knows.
        passed: The criteria on which each may be believed about yields.
        calibrations: By rater, those with masked names too.
        whole_texts: The test of the LM's ratings of whole texts; None without.
        figures: By arm and rater.
        ratings: The LM's mean ratings from 1 to 10, by what is rated, and arm, over the criteria
            that it passed on with whole texts; over all if there is none.
        losses: What joint gradients lack of what separate ones yield.
        decompositions: What the difference is made of.
        masking: How the loss changes with the criteria's names hidden; empty without.
        causal: What the units on and off the criterion do to held-out agreement; empty without.
        silence: The share of examples and criteria on which the coach gave no advice, by arm.
        unrated: The share of units without a readable rating, by rater.
        note: What the causal part left out.
    """

    setting: Values
    criteria: Group
    seeds: tuple[int, ...]
    steps: int
    batch_size: int
    words: int
    raters: Mapping[str, Group]
    passed: Mapping[str, Group]
    calibrations: Mapping[str, Calibration]
    whole_texts: Curve | None
    figures: tuple[Figures, ...]
    ratings: Mapping[str, Mapping[str, float]]
    losses: tuple[Loss, ...]
    decompositions: tuple[Decomposition, ...]
    masking: tuple[Claim, ...]
    causal: tuple[Claim, ...]
    silence: Mapping[str, float]
    unrated: Mapping[str, float]
    note: str

    def loss(self, rater: str, arms: tuple[str, str]) -> Loss | None:
        """Find a loss by its rater and its arms."""
        of = [loss for loss in self.losses if (loss.rater, loss.arms) == (rater, arms)]
        return of[0] if of else None

    @property
    def trusted(self) -> tuple[Decomposition, ...]:
        """The decompositions of measures that passed their test, by raters that did on yields."""
        return tuple(of for of in self.decompositions if of.passed and self.passed.get(of.rater))


def by_size(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Set a setting's dilution cells apart by the size of their steps; raters' tests belong to all.

    Cells without any step stay together.
    """
    own = [cell for cell in cells if cell.benchmark == BENCHMARK]
    sizes = dict.fromkeys(_size(cell) for cell in own if cell.key["part"] == STEP)
    return [[cell for cell in own if _size(cell) in (size, _UNSIZED)] for size in sizes] or [own]


def _size(cell: Cell) -> tuple[object, ...]:
    return tuple(cell.key.get(name) for name in _SIZES)


def summarize(cells: Sequence[Cell]) -> Dilution:
    """Sum up the dilution cells of one setting and one size, as `by_size` gives them.

    Raises:
        SetupError: If there is no measured step, or the steps are of different sizes, or no rater
            has rated them yet.
    """
    own = [cell for cell in cells if cell.benchmark == BENCHMARK]
    steps = [cell for cell in own if cell.key["part"] == STEP]
    sizes = {tuple(cell.key[name] for name in _SIZES) for cell in steps}
    if len(sizes) != 1:
        what = "no measured steps" if not steps else "steps of several sizes"
        raise SetupError(f"The folder holds {what}.")
    seen = observe(own)
    if not seen.knows:
        raise SetupError("No rater has rated the gradients yet. The same command goes on.")
    causal = [(cell.key, cell.result) for cell in own if cell.key["part"] == CAUSAL]
    about, plain = steps[0], seen.plain
    return Dilution(
        setting=about.setting,
        criteria=tuple(about.result["criteria"]),
        seeds=tuple(sorted({cell.key["seed"] for cell in steps})),
        steps=len(steps),
        batch_size=about.key["batch_size"],
        words=about.key["words"],
        raters={rater: seen.knows[rater] for rater in plain},
        passed={rater: seen.passed(rater, yields=True) for rater in plain},
        calibrations=seen.calibrations,
        whole_texts=seen.whole_texts,
        figures=tuple(_figures(seen)),
        ratings=_ratings(seen, tuple(about.result["criteria"])),
        losses=tuple(loss for rater in plain for loss in losses_of(seen, rater)),
        decompositions=tuple(decompositions_of(seen)),
        masking=tuple(claim for rater in plain if (claim := masking_of(seen, rater))),
        causal=tuple(causal_claims(causal, seen.passed(causal[0][0]["rater"])) if causal else ()),
        silence={
            arm: statistics.fmean(step.silence[arm] for step in seen.steps if arm in step.silence)
            for arm in dict.fromkeys(arm for step in seen.steps for arm in step.silence)
        },
        unrated={rater: _unrated(seen, rater) for rater in seen.knows},
        note=skipped_note([result for _, result in causal]),
    )


def _figures(seen: Observed) -> Iterable[Figures]:
    for rater in seen.plain:
        passed, calibration = seen.passed(rater, yields=True), seen.line(rater, yields=True)
        sources = (
            *(size_of(rater, "words"), share_of(rater, calibration)),
            *(yield_of(rater), yield_of(rater, calibration)),
        )
        means = [_means(seen, source, passed or seen.knows[rater]) for source in sources]
        for arm in (*TEXTS, ROUTED):
            words, share, counted, corrected = (by_arm.get(arm) for by_arm in means)
            if words is not None and counted is not None and corrected is not None:
                yield Figures(arm, rater, bool(passed), words, share, counted, corrected)


def _means(seen: Observed, source: Source, criteria: Group) -> dict[str, float]:
    """Average each arm over the examples on which it and all of `PATH` have a value."""
    means = _averages(seen, source, PATH, criteria)
    for arm in (CRITIQUED_LONG, ROUTED):
        beside = _averages(seen, source, (*PATH, arm), criteria)
        means |= {arm: beside[arm]} if beside else {}
    return means


def _averages(
    seen: Observed, source: Source, arms: Sequence[str], criteria: Group
) -> dict[str, float]:
    means = means_of(seen.steps, source, arms, criteria)
    return {arm: statistics.fmean(of[arm] for of in means) for arm in arms if means}


def _ratings(seen: Observed, criteria: Group) -> dict[str, dict[str, float]]:
    tested = seen.passed_whole(criteria) or criteria
    means = {
        WHOLE_STEP: _means(seen, rated_step, tested),
        ONE_TEXT: _means(seen, rated_text, tested),
        "how editors follow": _averages(seen, rated_edit, WRITTEN, criteria),
    }
    return {what: by_arm for what, by_arm in means.items() if by_arm}


def _unrated(seen: Observed, rater: str) -> float:
    texts = [text.focus for step in seen.steps for text in step.texts if text.rater == rater]
    lost = sum(text.unrated for text in texts)
    return lost / max(1, lost + sum(text.units for text in texts))
