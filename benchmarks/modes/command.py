"""``python -m benchmarks modes``."""

from __future__ import annotations

from typing import Any

import click

from benchmarks.harness.scored import MEAN
from benchmarks.harness.setting import Setting, with_setting
from benchmarks.modes.edits import rate_edits
from benchmarks.modes.estimates import Estimate
from benchmarks.modes.measure import MODES, SEED, Plan, measure, runs_of
from benchmarks.modes.summary import InSetting, summarize
from mogradjudge import SetupError
from mogradjudge.cli.options import layout_option, step_options
from mogradjudge.display.terminal import number, print_table

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


def print_setting(found: InSetting) -> None:
    """Print what was found in one setting."""
    columns = ("mode", *found.criteria, MEAN, "SD of runs", "volume", "seed kept", "calls", "US$")
    print_table(
        columns,
        [
            [
                f"{mode.name} ({mode.layout})",
                *(_interval(mode.test[name]) for name in (*found.criteria, MEAN)),
                *(number(mode.run_sd), number(mode.volume, 4)),
                "-" if mode.name == SEED else f"{mode.seeds_kept} of {len(mode.seeds)}",
                *(f"{mode.cost.total:.0f}", number(mode.cost.dollars, 4)),
            ]
            for mode in found.modes
        ],
        f"Agreement (Spearman, {found.level} level) on {found.texts} test texts of "
        f"{found.documents} documents; calls of one run",
    )
    for rated in found.adherence:
        print(f"{rated.mode}: adherence {number(rated.mean, 1)} of 10 over {rated.n} sections")
    for claim in (*found.against_seed, *found.pairs):
        print(claim)


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return number(estimate.value)
    return f"{number(estimate.value)} [{estimate.low:.2f}, {estimate.high:.2f}]"
