"""From measured cells to findings: a function of what the cells hold, and of nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.dilution.arms import ROUTED, TEXTS, WRITTEN
from benchmarks.dilution.causal import causal_contrasts, gain_by, skipped_note
from benchmarks.dilution.contrasts import contrasts_of, masking_contrast, text_contrasts
from benchmarks.dilution.findings import Contrast, Dilution, Figures
from benchmarks.dilution.lm_rater import warning_about
from benchmarks.dilution.observed import (
    Entry,
    Observed,
    Source,
    adherence,
    entries_of,
    field_of,
    focus_of,
    holistic,
    observe,
    yield_of,
)
from benchmarks.dilution.raters import BENCHMARK, MASKED, STEP
from benchmarks.dilution.trust import Trust, trust_in
from benchmarks.dilution.whole_texts import trust_in_ratings
from benchmarks.harness.cells import Cell
from benchmarks.harness.tables import mean_of_known
from mogradjudge import SetupError
from mogradjudge.criteria import Group

CAUSAL = "causal"
_SIZES = ("batch_size", "words", "seeds", "steps")  # other numbers deal the documents otherwise


def summarize(cells: Sequence[Cell]) -> Dilution:
    """Sum up the dilution cells of one setting.

    Raises:
        SetupError: If there is no measured step, or the steps are of different sizes.
    """
    own = [cell for cell in cells if cell.benchmark == BENCHMARK]
    steps = [cell for cell in own if cell.key["part"] == STEP]
    sizes = {tuple(cell.key[name] for name in _SIZES) for cell in steps}
    if len(sizes) != 1:
        what = "no measured steps" if not steps else "steps of several sizes"
        raise SetupError(f"The folder holds {what}. Measure one size per folder, with --out.")
    return _Summary(own, observe(own)).dilution(steps)


class _Summary:
    """What all parts of the summary read."""

    def __init__(self, cells: Sequence[Cell], seen: Observed) -> None:
        self.cells, self.steps, self.knows = cells, seen.steps, seen.knows
        self.criteria: Group = seen.steps[0]["criteria"]
        self.plain = seen.plain
        self.ratings_test = seen.whole_texts
        self.calibrations = seen.calibrations

    def dilution(self, cells: Sequence[Cell]) -> Dilution:
        causal = [(c.key, c.result) for c in self.cells if c.key["part"] == CAUSAL]
        return Dilution(
            setting=cells[0].setting,
            criteria=self.criteria,
            seeds=tuple(sorted({cell.key["seed"] for cell in cells})),
            steps=len(cells),
            batch_size=cells[0].key["batch_size"],
            words=cells[0].key["words"],
            raters=self.plain,
            calibrations=self.calibrations,
            figures=tuple(self._figures()),
            holistic={arm: self._by_criterion(holistic, arm) for arm in TEXTS},
            adherence={arm: self._by_criterion(adherence, arm) for arm in WRITTEN},
            leakage={rater: self._leakage(rater) for rater in self.plain},
            contrasts=tuple(self._contrasts()),
            causal=tuple(self._causal(causal)),
            unrated={rater: self._unrated(rater) for rater in (*self.plain, *self._hidden())},
            notes=tuple(self._notes(causal)),
        )

    def _trust(self, rater: str, *, yields: bool = False) -> Trust:
        return trust_in([self.calibrations.get(rater)], self.knows[rater], yields=yields)

    def _hidden(self) -> Iterable[str]:
        return [name for name in self.knows if name not in self.plain]

    def _figures(self) -> Iterable[Figures]:
        for rater in (*self.plain, *self._hidden()):
            for arm in (*TEXTS, ROUTED):
                figures = [self._figure(arm, rater, name) for name in self.knows[rater]]
                known = [mean for mean in figures if mean is not None]
                yield from known
                if len(known) > 1:
                    yield _mean_of(known)

    def _figure(self, arm: str, rater: str, criterion: str) -> Figures | None:
        texts = [e for step in self.steps for e in entries_of(step, arm, rater, criterion)]
        if not texts:
            return None
        calibration = self.calibrations.get(rater)
        focus = self._values(focus_of(rater, calibration, len(self.criteria)), arm, criterion)
        return Figures(
            arm=arm,
            rater=rater,
            criterion=criterion,
            calibrated=criterion in self._trust(rater).passed,
            texts=len(texts),
            words=statistics.fmean(text["words"] for text in texts),
            share=mean_of_known(self._values(field_of(rater, "share_by_words"), arm, criterion)),
            focus=mean_of_known(focus),
            actionable=statistics.fmean(
                text["by_criterion"][criterion]["actionable"] for text in texts
            ),
            corrected_yield=statistics.fmean(
                self._values(yield_of(rater, calibration), arm, criterion)
            ),
            density=mean_of_known(
                self._values(field_of(rater, "actionable_per_100_tokens"), arm, criterion)
            ),
            coverage=statistics.fmean(text["coverage"] for text in texts),
            entropy=mean_of_known(text["entropy"] for text in texts),
        )

    def _values(self, source: Source, arm: str, criterion: str) -> list[float]:
        return [value for step in self.steps for value in source(step, arm, criterion).values()]

    def _by_criterion(self, source: Source, arm: str) -> dict[str, float]:
        by_name = {name: self._values(source, arm, name) for name in self.criteria}
        return {name: statistics.fmean(values) for name, values in by_name.items() if values}

    def _leakage(self, rater: str) -> dict[str, dict[str, dict[str, float]]]:
        return {
            arm: {
                target: _mean_mass(masses)
                for target in self.criteria
                if (
                    masses := [
                        text["mass_by_words"]
                        for step in self.steps
                        for text in entries_of(step, arm, rater, target)
                        if text["mass_by_words"]
                    ]
                )
            }
            for arm in (*TEXTS, ROUTED)
        }

    def _contrasts(self) -> Iterable[Contrast]:
        for rater in self.plain:
            known, calibration = self.knows[rater], self.calibrations.get(rater)
            yield from contrasts_of(self.steps, rater, calibration, known, len(self.criteria))
            both = (rater, f"{rater}{MASKED}")
            if contrast := masking_contrast(self.steps, both, self.calibrations, known):
                yield contrast
        trust = trust_in_ratings(self.ratings_test, self.criteria)
        yield from text_contrasts(self.steps, "LM rater", self.criteria, trust)

    def _causal(self, causal: Sequence[tuple[Mapping[str, Any], Entry]]) -> Iterable[Contrast]:
        if not causal:
            return ()
        return causal_contrasts(causal, self._trust(causal[0][0]["rater"]).passed)

    def _unrated(self, rater: str) -> float:
        texts = [e for step in self.steps for e in step["texts"] if e["rater"] == rater]
        lost = sum(text["unrated"] for text in texts)
        return float(lost / max(1, lost + sum(text["units"] for text in texts)))

    def _notes(self, causal: Sequence[tuple[Mapping[str, Any], Entry]]) -> Iterable[str]:
        models = self.cells[0].setting.get("models", {})
        rater, coach = (models.get(role, {}).get("model", role) for role in ("rater", "coach"))
        if warning := warning_about(rater, coach):
            yield warning
        for rater in self.plain:
            if unknown := [name for name in self.criteria if name not in self.knows[rater]]:
                yield f"The {rater} does not know {', '.join(unknown)}: no figures by it."
        yield from self._notes_on_tests()
        if note := skipped_note(causal):
            yield note
        for field, word in (("actionable", "yield"), ("share", "share")):
            if (rho := gain_by(field, causal)) is not None:
                n = len(causal)
                yield f"A gradient's {word} and the gain of its edit: rho {rho:+.2f}, n {n}."

    def _notes_on_tests(self) -> Iterable[str]:
        for rater in (*self.plain, *self._hidden()):
            for yields in (False, True):
                if note := self._trust(rater, yields=yields).note:
                    yield f"{rater}, means of {'yields' if yields else 'shares'}: {note}."
        if self.ratings_test is not None:
            rho, rises = self.ratings_test["rho"], self.ratings_test["monotone"]
            yield (
                "Ratings of whole planted texts and their shares: rho "
                f"{'undefined' if rho is None else format(rho, '.2f')}, "
                f"{'' if rises else 'not '}monotone."
            )


def _mean_of(every: Sequence[Figures]) -> Figures:
    """Average over the criteria that the rater passed on; over all if there is none."""
    counted = [figures for figures in every if figures.calibrated] or every
    first = counted[0]
    return Figures(
        arm=first.arm,
        rater=first.rater,
        criterion=None,
        calibrated=first.calibrated,
        texts=sum(figures.texts for figures in counted),
        words=statistics.fmean(figures.words for figures in counted),
        share=mean_of_known(figures.share for figures in counted),
        focus=mean_of_known(figures.focus for figures in counted),
        actionable=statistics.fmean(figures.actionable for figures in counted),
        corrected_yield=statistics.fmean(figures.corrected_yield for figures in counted),
        density=mean_of_known(figures.density for figures in counted),
        coverage=statistics.fmean(figures.coverage for figures in counted),
        entropy=mean_of_known(figures.entropy for figures in counted),
    )


def _mean_mass(masses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {label: statistics.fmean(mass[label] for mass in masses) for label in masses[0]}
