"""Tables of what was found about interference."""

from __future__ import annotations

from benchmarks.harness.scored import MEAN
from benchmarks.harness.tables import Table, percent, starred
from benchmarks.interference.summary import EFFECTS, Interference
from mogradjudge.display.terminal import number


def arms_table(summary: Interference) -> Table:
    """Give the agreement of each arm."""
    names = (*summary.criteria, MEAN)
    rows = [
        [
            f"{row.arm}: {row.meaning}",
            *(number(row.agreement[name]) for name in names),
            "-" if row.interval is None else f"{row.interval[0]:.3f} to {row.interval[1]:.3f}",
            *(number(row.run_sd, 4), percent(row.coverage), str(row.calls)),
        ]
        for row in summary.arms
    ]
    return Table(
        ("arm", *names, "95 % of mean", "SD of runs", "scored", "calls"),
        rows,
        f"Agreement on {summary.texts} held-out texts of {summary.documents} documents, "
        f"{summary.repeats} repeats, {len(summary.runs)} runs; Spearman, {summary.level} level",
    )


def effects_table(summary: Interference) -> Table:
    """Give all effects, on the mean and on each criterion."""
    names = (MEAN, *summary.criteria)
    rows = [
        [f"{name} ({EFFECTS[name][0]})", *(starred(claims[criterion]) for criterion in names)]
        for name, claims in summary.effects.items()
    ]
    return Table(("effect (* established)", *names), rows)


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


def over_runs(summary: Interference) -> str:
    """Say what is known of other runs of the optimizer."""
    if summary.over_runs is None:
        return "With one run of the optimizer nothing can be said about other runs."
    low, high = summary.over_runs
    return (
        f"Over new runs of the optimizer as well as new documents, the 95 % interval of the mean "
        f"interference is {low:+.3f} to {high:+.3f}."
    )


def unedited(summary: Interference) -> str:
    """Name the criteria whose instructions no run edited; ``""`` if there are none."""
    if not summary.unedited:
        return ""
    return f"Never edited, so equal to the seed prompt: {', '.join(summary.unedited)}."
