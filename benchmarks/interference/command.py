"""``python -m benchmarks interference``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from benchmarks.harness.options import with_setting
from benchmarks.harness.setting import Setting
from benchmarks.interference.arms import Sections
from benchmarks.interference.choose import Effort, chosen_sections, given_sections
from benchmarks.interference.finding import finding
from benchmarks.interference.measure import GIVEN, check_kind, identity, measure
from benchmarks.interference.paper import measure_paper
from benchmarks.interference.summary import summarize
from mogradjudge import SetupError


def show(setting: Setting) -> None:
    """Print what the cells of a setting say."""
    finding(summarize(setting.cells)).print()
    setting.say_where("; python -m benchmarks report makes tables and figures.")


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
@click.option(
    "--arms",
    type=click.Choice(["all", "core"]),
    default="all",
    show_default=True,
    help="core: no padding, order or headings, which only explain where interference comes from.",
)
@click.option(
    "--paper",
    is_flag=True,
    help="Also the paper's protocol: score every proposal on the test texts, and put the best of "
    "each criterion together.",
)
def command(
    setting: Setting,
    *,
    steps: int | None,
    batch_size: int,
    instructions: Path | None,
    arms: str,
    paper: bool,
) -> None:
    """What instructions that were optimized one by one do to each other in one prompt.

    It has no rater: --rater-lm only names the setting. With --instructions nothing is optimized,
    and --seeds is not used.
    """
    if paper and instructions is not None:
        raise SetupError("--paper needs runs of the optimizer: leave --instructions out.")
    if len(setting.rubric.names) < 2:
        raise SetupError("Interference needs two criteria or more; the rubric has one.")
    effort = Effort(steps or (4 if setting.smoke else 6), batch_size)
    sections: Mapping[str, Sections]
    if instructions is not None:
        sections = {GIVEN: given_sections(setting, instructions)}
        check_kind(setting, identity(sections[GIVEN]))
    else:
        check_kind(setting, vars(effort))
        sections = chosen_sections(setting, effort)
    measure(setting, sections, explaining=arms == "all")
    if paper:
        measure_paper(setting, effort)
