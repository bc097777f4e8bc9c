"""``python -m benchmarks interference``."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.harness.options import with_setting
from benchmarks.harness.setting import Setting
from benchmarks.interference.choose import Effort, chosen_sections, given_sections
from benchmarks.interference.measure import measure
from benchmarks.interference.summary import EFFECTS, Interference, summarize
from benchmarks.interference.tables import arms_table, matrix_table, over_runs, unedited
from mogradjudge import SetupError


def show(setting: Setting) -> None:
    """Print what the cells of a setting say."""
    print_interference(summarize(setting.cells))
    setting.say_where()


@click.command("interference")
@with_setting(show)
@click.option("--steps", type=click.IntRange(1), help="Of each criterion's run  [default: 6]")
@click.option("--batch-size", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--instructions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="JUDGE.json",
    help="Take the sections of this saved judge instead of optimizing any.",
)
def command(
    setting: Setting, steps: int | None, batch_size: int, instructions: Path | None
) -> None:
    """What instructions that were optimized one by one do to each other in one prompt.

    It has no rater: --rater-lm only names the setting. With --instructions nothing is optimized,
    and --seeds is not used.
    """
    if len(setting.rubric.names) < 2:
        raise SetupError("Interference needs two criteria or more; the rubric has one.")
    if instructions is not None:
        measure(setting, {"given": given_sections(setting, instructions)})
    else:
        effort = Effort(steps or (4 if setting.smoke else 6), batch_size)
        measure(setting, chosen_sections(setting, effort))


def print_interference(summary: Interference) -> None:
    """Print the arms, the effects in words, and the matrix."""
    arms_table(summary).print()
    for name, claims in summary.effects.items():
        print(f"{name}: {EFFECTS[name][0]}")
        for claim in claims.values():
            print(f"  {claim}")
    for line in filter(None, (over_runs(summary), unedited(summary))):
        print(line)
    matrix_table(summary).print()
