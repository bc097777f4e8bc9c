"""``python -m benchmarks NAME``: run one benchmark, or all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from benchmarks import interference, modes, noise, peers, report
from benchmarks.dilution import command as dilution
from benchmarks.harness.cells import CELLS
from benchmarks.harness.options import JustEstimate, is_estimate, setting_options
from benchmarks.harness.paying import agreed
from benchmarks.harness.rehearsal import Estimate
from benchmarks.harness.setting import errors_in_one_line, passing_folder
from benchmarks.self_tests import (
    attacks,
    calibration,
    composing,
    cost,
    faults,
    luck,
    real_run,
    resume,
    scale,
    score_maps,
    search,
    search_luck,
    search_statistics,
    statistics,
)
from mogradjudge import Rubric

PAYING = (noise, dilution, interference, modes)
"""Those that call the user's models."""
BENCHMARKS = (
    *(*PAYING, peers, report, calibration, statistics),
    *(search, search_statistics, search_luck, luck, real_run, attacks, cost, faults, resume, scale),
    *(score_maps, composing),
)


@click.group()
def main() -> None:
    """Benchmarks of mogradjudge; each says what it measures with --help."""


@main.group("estimate")
@click.pass_context
def estimate(context: click.Context) -> None:
    """Calls, tokens and dollars of a benchmark, with its own options; no call is sent."""
    context.obj = JustEstimate()


@click.command("all")
@setting_options
@click.pass_context
def run_all(context: click.Context, /, out: Path | None, **options: Any) -> None:
    """Noise, dilution, interference, modes, methods and peers, and the report.

    Methods and peers are compared in simulated worlds whatever the model: only there is the true
    agreement known, and one model cannot serve as the same server to all peers.
    """
    paying = _paying(options)
    if not options["smoke"] or is_estimate():
        counted = Estimate()
        for benchmark in paying:
            context.invoke(benchmark.command, out=out, estimate=counted, **options)
        if is_estimate():
            counted.print()
            return
        if not agreed(counted, yes=options["yes"]):
            return
    with ExitStack() as stack:
        stays = out is not None or not options["smoke"]
        folder = out if stays else stack.enter_context(passing_folder())
        try:
            _measure_all(context, folder, options, paying, stays=stays)
        finally:
            if folder is not None and (folder / CELLS).exists():
                context.invoke(report.command, folder=folder)
    if not stays:
        print("It was written for a trial, and is removed; --out keeps the report and the cells.")


def _paying(options: Mapping[str, Any]) -> Sequence[ModuleType]:
    """Give the benchmarks to be paid: of one criterion, those that do not need two."""
    with errors_in_one_line():
        if options["smoke"] or not options["rubric"]:
            return PAYING
        if len(Rubric.from_toml(options["rubric"]).names) > 1:
            return PAYING
    print("The rubric has one criterion: dilution and interference need two, and are left out.")
    return noise, modes


def _measure_all(
    context: click.Context,
    folder: Path | None,
    options: dict[str, Any],
    paying: Sequence[ModuleType],
    *,
    stays: bool,
) -> None:
    for benchmark in paying:
        print(f"\n## {benchmark.command.name}\n")
        context.invoke(benchmark.command, out=folder, stays=stays, is_agreed=True, **options)
    for comparison in (peers.methods_command, peers.command):
        print(f"\n## {comparison.name}\n")
        sizes = {name: options[name] for name in ("seeds", "storage", "smoke")}
        if options["smoke"] and comparison is peers.methods_command:
            sizes["worlds"] = ("planted",)
        context.invoke(comparison, out=folder, **sizes)


for command in (*(benchmark.command for benchmark in BENCHMARKS), peers.methods_command):
    main.add_command(command)
main.add_command(run_all)
for command in (*(benchmark.command for benchmark in PAYING), run_all):
    estimate.add_command(command)

if __name__ == "__main__":
    main()
