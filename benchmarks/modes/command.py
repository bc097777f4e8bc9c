"""``python -m benchmarks modes``."""

from __future__ import annotations

from typing import Any

import click

from benchmarks.harness.setting import Setting, with_setting
from benchmarks.modes.edits import rate_edits
from benchmarks.modes.measure import MODES, Plan, measure, runs_of
from benchmarks.modes.summary import InSetting, summarize
from benchmarks.modes.tables import (
    adherence_table,
    agreement_table,
    costs_table,
    volumes_table,
)
from mogradjudge import SetupError
from mogradjudge.cli.options import layout_option, step_options

_SMOKE_STEPS = 2


@click.command("modes")
@with_setting
@click.option(
    "--modes", default=",".join(MODES), show_default=True, help="Those to run, by commas."
)
@click.option("--adherence", is_flag=True, help="Let --rater-lm rate how editors follow gradients.")
@layout_option
@step_options
def command(
    setting: Setting, modes: str, steps: int | None, *, adherence: bool, **plan: Any
) -> None:
    """The decomposition modes and the single-criterion baseline on unseen texts.

    Each run is scored on the test texts beside the seed prompt. ST optimizes each criterion in a
    run of its own, and scores each in a call of its own. --repeats is not used: the seed prompt is
    scored once beside each of the --seeds.
    """
    names = modes.upper().replace(" ", "").split(",")
    if unknown := set(names) - set(MODES):
        raise SetupError(f"--modes takes {', '.join(MODES)}, got {', '.join(sorted(unknown))}.")
    if setting.smoke and steps is None:
        steps = _SMOKE_STEPS
    chosen = Plan(steps, **plan)
    measure(setting, chosen, names)
    if adherence:
        rate_edits(setting, runs_of(setting, chosen, names))
    for summary in summarize(setting.grid.cells):
        if summary.setting == setting.grid.setting:
            print_setting(summary)
    setting.say_where("; python -m benchmarks report makes tables and figures.")


def print_setting(summary: InSetting) -> None:
    """Print what was found in one setting."""
    for table in (agreement_table(summary), costs_table(summary), volumes_table(summary)):
        table.print()
    if summary.adherence:
        adherence_table(summary).print()
    for claim in (*summary.against_seed, *summary.pairs):
        print(claim)
