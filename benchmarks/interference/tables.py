"""Tables of what was found about interference."""

from __future__ import annotations

from benchmarks.harness.scored import MEAN
from benchmarks.harness.tables import Table, interval, percent, starred
from benchmarks.interference.arms import NAMES
from benchmarks.interference.contrasts import EFFECTS
from benchmarks.interference.summary import Interference
from mogradjudge.display.terminal import number
from mogradjudge.report.numbers import counted


def arms_table(summary: Interference) -> Table:
    """Give the agreement of each arm."""
    rows = [
        [
            f"{row.arm}: {NAMES[row.arm]}",
            *(number(row.agreement[name]) for name in summary.criteria),
            interval(row.agreement[MEAN], *(row.interval or (None, None))),
            percent(row.coverage),
        ]
        for row in summary.arms
    ]
    return Table(
        ("arm", *summary.criteria, "mean (95 % interval)", "scored"),
        rows,
        f"Agreement on {summary.texts} held-out texts of {summary.documents} documents, "
        f"{counted(summary.repeats, 'repeat')}, "
        f"{counted(len(summary.runs), 'run')}; Spearman, {summary.level} level",
    )


def effects_table(summary: Interference) -> Table:
    """Give all effects, on the mean and on each criterion."""
    names = (MEAN, *summary.criteria)
    rows = [
        [f"{name}: {_meaning(name)}", *(starred(claims[criterion]) for criterion in names)]
        for name, claims in summary.effects.items()
    ]
    return Table(("effect (* established)", *names), rows)


def _meaning(name: str) -> str:
    meaning, weights = EFFECTS[name]
    formula = " ".join(f"{'+' if weight > 0 else '-'} {arm}" for arm, weight in weights.items())
    return f"{meaning} ({formula.removeprefix('+ ')})"


def matrix_table(summary: Interference) -> Table:
    """Say what each optimized section does to the agreement on each criterion."""
    rows = [
        [section, *(starred(summary.matrix[section][criterion]) for criterion in summary.criteria)]
        for section in summary.criteria
    ]
    return Table(
        ("adding the section of", *(f"on {name}" for name in summary.criteria)),
        rows,
        "What one optimized section in the joint prompt does to agreement (* established)",
    )
