"""Tables of what was found about interference."""

from __future__ import annotations

from benchmarks.harness.scored import MEAN
from benchmarks.harness.tables import Table, percent, starred
from benchmarks.interference.summary import EFFECTS, Interference
from mogradjudge.display.terminal import number


def arms_table(found: Interference) -> Table:
    """Give the agreement of each arm."""
    names = (*found.criteria, MEAN)
    rows = [
        [
            f"{row.arm}: {row.meaning}",
            *(number(row.agreement[name]) for name in names),
            "-" if row.interval is None else f"{row.interval[0]:.3f} to {row.interval[1]:.3f}",
            *(number(row.run_sd, 4), percent(row.coverage), str(row.calls)),
        ]
        for row in found.arms
    ]
    return Table(
        ("arm", *names, "95 % of mean", "SD of runs", "scored", "calls"),
        rows,
        f"Agreement on {found.texts} held-out texts of {found.documents} documents, "
        f"{found.repeats} repeats, {len(found.runs)} runs; Spearman, {found.level} level",
    )


def effects_table(found: Interference) -> Table:
    """Give all effects, on the mean and on each criterion."""
    names = (MEAN, *found.criteria)
    rows = [
        [f"{name} ({EFFECTS[name][0]})", *(starred(claims[criterion]) for criterion in names)]
        for name, claims in found.effects.items()
    ]
    return Table(("effect (* established)", *names), rows)


def matrix_table(found: Interference) -> Table:
    """Say what each optimized section does to the agreement on each criterion."""
    rows = [
        [section, *(starred(found.matrix[section][criterion]) for criterion in found.criteria)]
        for section in found.criteria
    ]
    return Table(
        ("adding the section of", *(f"on {name}" for name in found.criteria)),
        rows,
        "What one optimized section in the joint prompt does to agreement (* established)",
    )


def over_runs(found: Interference) -> str:
    """Say what is known of other runs of the optimizer."""
    if found.over_runs is None:
        return "With one run of the optimizer nothing can be said about other runs."
    low, high = found.over_runs
    return (
        f"Over new runs of the optimizer as well as new documents, the 95 % interval of the mean "
        f"interference is {low:+.3f} to {high:+.3f}."
    )


def unedited(found: Interference) -> str:
    """Name the criteria whose instructions no run edited; ``""`` if there are none."""
    if not found.unedited:
        return ""
    return f"Never edited, so equal to the seed prompt: {', '.join(found.unedited)}."
