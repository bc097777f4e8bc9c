"""``python -m benchmarks interference``."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.harness.scored import MEAN
from benchmarks.harness.setting import Setting, with_setting
from benchmarks.interference.choose import Effort, chosen_sections, given_sections
from benchmarks.interference.measure import measure
from benchmarks.interference.summary import EFFECTS, Interference, summarize
from mogradjudge import SetupError
from mogradjudge.display.terminal import number, print_table


@click.command("interference")
@with_setting
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
        effort = Effort(steps or (2 if setting.smoke else 6), batch_size)
        measure(setting, chosen_sections(setting, effort))
    print_interference(summarize(setting.cells))
    setting.say_where()


def print_interference(found: Interference) -> None:
    """Print the arms, the effects in words, and the matrix."""
    names = [*found.criteria, MEAN]
    print_table(
        ("arm", *names, "95 % of mean", "SD of runs", "scored", "calls", "what"),
        [
            [
                row.arm,
                *(number(row.agreement[name]) for name in names),
                "-" if row.interval is None else f"[{row.interval[0]:.3f}, {row.interval[1]:.3f}]",
                *(number(row.run_sd, 4), f"{row.coverage:.0%}", str(row.calls), row.meaning),
            ]
            for row in found.arms
        ],
        f"Agreement on {found.texts} held-out texts of {found.documents} documents, "
        f"{found.repeats} repeats, {len(found.runs)} runs; Spearman, {found.level} level",
    )
    for name, claims in found.effects.items():
        print(f"{name}: {EFFECTS[name][0]}")
        for each in claims.values():
            print(f"  {each}")
    if found.over_runs is not None:
        low, high = found.over_runs
        print(f"Mean interference over new runs and documents: [{low:+.3f}, {high:+.3f}]")
    if found.unedited:
        print(f"Never edited, so equal to the seed prompt: {', '.join(found.unedited)}")
    print_table(
        ("adding the section of", *(f"on {name}" for name in found.criteria)),
        [
            [
                j,
                *(
                    _cell(found.matrix[j][k].estimate, found.matrix[j][k].verdict)
                    for k in found.criteria
                ),
            ]
            for j in found.criteria
        ],
        "What one optimized section in the joint prompt does to agreement (* established)",
    )


def _cell(estimate: float | None, verdict: str) -> str:
    return "-" if estimate is None else f"{estimate:+.3f}{'*' if verdict == 'established' else ''}"
