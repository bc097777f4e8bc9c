"""Tables of what the modes bring, and at what price."""

from __future__ import annotations

from benchmarks.harness.scored import MEAN
from benchmarks.harness.setting import CALLS
from benchmarks.harness.tables import Table, interval
from benchmarks.modes.estimates import Estimate
from benchmarks.modes.measure import SEED
from benchmarks.modes.summary import InSetting, Mode
from mogradjudge.display.terminal import number


def agreement_table(summary: InSetting) -> Table:
    """Give the agreement on the test texts."""
    names = (*summary.criteria, MEAN)
    rows = [
        [
            _label(mode),
            *(_interval(mode.test[name]) for name in names),
            *(number(mode.run_sd), str(len(mode.seeds))),
            "-" if mode.name == SEED else str(mode.seeds_kept),
        ]
        for mode in summary.modes
    ]
    return Table(
        ("mode", *names, "SD of runs", "runs", "initial instructions kept"),
        rows,
        f"Agreement (Spearman, {summary.level} level) on {summary.texts} test texts of "
        f"{summary.documents} documents",
    )


def gains_table(summary: InSetting) -> Table:
    """Give the differences to the seed prompt in the same layout."""
    names = (*summary.criteria, MEAN)
    rows = [
        [_label(mode), *(_interval(mode.gain[name], signs="+") for name in names)]
        for mode in summary.optimized
        if mode.gain
    ]
    return Table(
        ("mode", *names), rows, "Differences to the initial instructions in the same layout"
    )


def costs_table(summary: InSetting) -> Table:
    """Give what one run of each mode takes."""
    roles = list(dict.fromkeys(role for mode in summary.optimized for role in mode.cost.calls))
    rows = [
        [
            _label(mode),
            *(number(mode.cost.calls.get(role, 0.0), 1) for role in roles),
            number(mode.cost.total, 1),
            f"{mode.cost.prompt_tokens:,.0f}",
            f"{mode.cost.completion_tokens:,.0f}",
            number(mode.cost.dollars, 4),
        ]
        for mode in summary.optimized
    ]
    return Table(
        ("mode", *roles, "all calls", "tokens in", "tokens out", "US$"), rows, "Calls of one run"
    )


def volumes_table(summary: InSetting) -> Table:
    """Give the hypervolumes."""
    rows = [
        [_label(mode), number(mode.volume, 4), number(mode.validation_volume, 4)]
        for mode in summary.modes
    ]
    return Table(("mode", "test", "validation"), rows, "Hypervolume")


def adherence_table(summary: InSetting) -> Table:
    """Say how well editors followed their gradients."""
    rows = [
        [
            *(rated.mode, number(rated.mean, 2), number(rated.run_sd, 2)),
            *(str(rated.n), str(rated.unrated)),
        ]
        for rated in summary.adherence
    ]
    return Table(
        ("mode", "mean", "SD of runs", "sections", "unrated"),
        rows,
        "How well editors followed their gradients, rated from 1 to 10 by the rater",
    )


def _label(mode: Mode) -> str:
    name = "initial instructions" if mode.name == SEED else mode.name
    return f"{name}, {CALLS[mode.layout]}"


def _interval(estimate: Estimate, signs: str = "") -> str:
    return interval(estimate.value, estimate.low, estimate.high, signs)
