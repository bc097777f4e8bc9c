"""``python -m benchmarks modes``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from benchmarks.harness.options import with_setting
from benchmarks.harness.setting import Setting
from benchmarks.modes.edits import rate_edits
from benchmarks.modes.finding import finding
from benchmarks.modes.measure import MODES, Plan, measure, runs_of
from benchmarks.modes.summary import summarize
from mogradjudge import SetupError
from mogradjudge.cli.options import layout_option, step_options

_SMOKE_STEPS, _SMOKE_SEEDS = 2, 3


def show(setting: Setting) -> None:
    """Print what the cells of a setting say, a finding for each way to run the modes."""
    summaries = summarize(setting.cells)
    if not summaries:
        raise SetupError("No run is measured yet.")
    for summary in summaries:
        finding(summary).print()
    setting.say_where("; python -m benchmarks report makes tables and figures.")


@click.command("modes")
@with_setting(show)
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
    run of its own, and scores each in a call of its own. With one criterion all modes are the same,
    and the first of --modes stands for them. --repeats is not used: the seed prompt is scored once
    beside each of the --seeds.
    """
    names = modes.upper().replace(" ", "").split(",")
    if unknown := set(names) - set(MODES):
        raise SetupError(f"--modes takes {', '.join(MODES)}, got {', '.join(sorted(unknown))}.")
    if len(setting.rubric.names) == 1:
        names = names[:1]  # with one criterion all modes are the same
    if setting.smoke:
        steps = steps or _SMOKE_STEPS
        setting = replace(setting, seeds=setting.seeds[:_SMOKE_SEEDS])
    chosen = Plan(steps, **plan)
    measure(setting, chosen, names)
    if adherence:
        rate_edits(setting, runs_of(setting, chosen, names))
