"""Tables of what was found about dilution."""

from __future__ import annotations

from benchmarks.dilution.calibration import Calibration
from benchmarks.dilution.findings import Dilution
from benchmarks.harness.tables import Table, percent
from mogradjudge.display.terminal import number


def raters_table(dilution: Dilution) -> Table:
    """Say how the raters did on texts whose share of units about a criterion is known."""
    columns = ("rater", "rho", "monotone", "slope", "intercept", "error", "yield rho", "unrated")
    rows = [
        [
            *(name, number(rater.overall.rho, 2), "yes" if rater.monotone else "no"),
            *(number(rater.overall.slope, 2), number(rater.overall.intercept, 2)),
            *(number(rater.mean_error, 2), number(rater.yield_rho, 2)),
            *(percent(dilution.unrated.get(name)), _passed(rater)),
        ]
        for name, rater in dilution.calibrations.items()
    ]
    return Table((*columns, "test"), rows, "Raters on texts of known focus")


def _passed(rater: Calibration) -> str:
    if rater.passed_yields:
        return "passed"
    return "passed, but not on yields" if rater.passed else rater.mark


def arms_table(dilution: Dilution) -> Table:
    """Give the means of each arm, as each rater sees them."""
    columns = ("arm", "rater", "texts", "words", "share x 10", "focus", "yield as counted")
    rows = [
        [
            *(arm.arm, arm.rater + ("" if arm.calibrated else " (uncalibrated)")),
            *(str(arm.texts), number(arm.words, 0), number(arm.display, 1)),
            *(number(arm.focus, 2), number(arm.actionable, 2)),
            *(number(arm.corrected_yield, 2), number(arm.density, 2)),
            *(percent(arm.coverage), number(arm.entropy, 2)),
        ]
        for arm in dilution.shown
    ]
    steps = f"{dilution.steps} steps of {dilution.batch_size}"
    title = f"Means over {', '.join(dilution.criteria)}; {steps}"
    more = ("corrected yield", "yield per 100 tokens", "coverage", "entropy")
    return Table((*columns, *more), rows, title, keys=2)


def ratings_table(dilution: Dilution) -> Table:
    """Give the LM's ratings of whole texts and of edits, from 1 to 10."""
    by_row = {f"focus, {arm}": ratings for arm, ratings in dilution.holistic.items()}
    by_row |= {f"adherence of edits, {arm}": of for arm, of in dilution.adherence.items()}
    rows = [
        [name, *(number(ratings.get(criterion), 1) for criterion in dilution.criteria)]
        for name, ratings in by_row.items()
    ]
    return Table(("rated from 1 to 10", *dilution.criteria), rows, "Whole texts, rated by the LM")
