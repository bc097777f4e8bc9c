"""What a measurement of dilution found, as plain frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.dilution.calibration import Calibration
from benchmarks.harness.cells import Values
from mogradjudge.agreement.claims import Claim
from mogradjudge.criteria import Group


@dataclass(frozen=True)
class Figures:
    """Means over the texts of one arm, by one rater, for one criterion.

    ``criterion`` is None for the mean over the criteria. A text counts for the criteria that it was
    asked about. ``share`` is the mean share of words, as the rater sees it; ``display`` is ten
    times that. ``focus`` is chance-corrected, from shares of units that the rater's calibration
    line has corrected: 0 for equal attention, 1 for a pure text; noise may lead beyond.
    ``actionable`` is the yield as the rater counts it, and ``density`` that per 100 tokens (words
    times 1.3); wrong labels add to it in proportion to a text's length. ``corrected_yield`` is what
    the rater expects, its line of yields inverted. ``coverage`` and ``entropy`` are those of whole
    texts.
    """

    arm: str
    rater: str
    criterion: str | None
    calibrated: bool
    texts: int
    words: float
    share: float | None
    focus: float | None
    actionable: float
    corrected_yield: float
    density: float | None
    coverage: float
    entropy: float | None

    @property
    def display(self) -> float | None:
        """The share on a scale from 0 to 10."""
        return None if self.share is None else 10 * self.share


@dataclass(frozen=True)
class Contrast:
    """A difference between two arms: the first less the second.

    Args:
        name: What is compared, in words.
        measure: One of `contrasts.BOUNDS`.
        arms: The first and the second arm.
        rater: Whose ratings these are.
        calibrated: Whether the rater passed its test on any criterion; if not, every claim's name
            says so.
        mean: The claim on the mean over the criteria that the rater passed on, over all if there is
            none: the one to decide by.
        relative: The share of the first arm's mean that the second lacks; for yields alone.
        by_criterion: A claim for each criterion, p-values adjusted by Holm's method.
        values: The means by cluster, (seed, step) or gradient, that ``mean`` is judged by.
        marks: By criterion, the warning before its claim: the rater did not pass on it.
    """

    name: str
    measure: str
    arms: tuple[str, str]
    rater: str
    calibrated: bool
    mean: Claim
    relative: Claim | None
    by_criterion: Mapping[str, Claim]
    values: tuple[float, ...]
    marks: Mapping[str, str] = field(default_factory=dict)

    def verdict_on(self, criterion: str) -> str:
        """Give the verdict on one criterion, with the warning where there is one."""
        mark = f" ({self.marks[criterion]})" if criterion in self.marks else ""
        return f"{self.by_criterion[criterion].verdict}{mark}"


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
        raters: The raters that see the criteria's names.
        calibrations: By rater, those with masked names too.
        figures: By arm, rater and criterion.
        holistic: The LM rater's mean rating from 1 to 10, by arm and criterion, of texts that were
            asked about the criterion.
        adherence: The mean rating from 1 to 10 by arm and criterion.
        leakage: The mean mass by rater, arm, criterion asked about, and label.
        contrasts: What differs between arms.
        causal: What the units on and off the criterion do to held-out agreement; empty without.
        unrated: The share of units without a readable rating, by rater.
        notes: What else a reader has to know.
    """

    setting: Values
    criteria: Group
    seeds: tuple[int, ...]
    steps: int
    batch_size: int
    words: int
    raters: tuple[str, ...]
    calibrations: Mapping[str, Calibration]
    figures: tuple[Figures, ...]
    holistic: Mapping[str, Mapping[str, float]]
    adherence: Mapping[str, Mapping[str, float]]
    leakage: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]
    contrasts: tuple[Contrast, ...]
    causal: tuple[Contrast, ...]
    unrated: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def shown(self) -> tuple[Figures, ...]:
        """The figures that stand in tables: means over the criteria."""
        return tuple(
            figures
            for figures in self.figures
            if figures.criterion is None or len(self.criteria) == 1
        )
