"""``python -m benchmarks NAME``: run one benchmark, or all of them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks import interference, modes, noise, peers, report
from benchmarks.dilution import command as dilution
from benchmarks.harness.setting import passing_folder, setting_options
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

BENCHMARKS = (
    *(noise, dilution, interference, modes, peers, report, calibration, statistics),
    *(search, search_statistics, search_luck, luck, real_run, attacks, cost, faults, resume, scale),
    *(score_maps, composing),
)


@click.group()
def main() -> None:
    """Benchmarks of mogradjudge; each says what it measures with --help."""


@main.command("all")
@setting_options
@click.pass_context
def run_all(context: click.Context, /, out: Path | None, **options: Any) -> None:
    """Noise, dilution, interference, modes, methods and peers, and the report.

    Methods and peers are compared in simulated worlds whatever the model: only there is the true
    agreement known, and one model cannot serve as the same server to all peers.
    """
    smoke = options["smoke"]
    stays = out is not None or not smoke
    with ExitStack() as stack:
        folder = out if stays else stack.enter_context(passing_folder())
        for benchmark in (noise, dilution, interference, modes):
            print(f"\n## {benchmark.command.name}\n")
            context.invoke(benchmark.command, out=folder, stays=stays, **options)
        for comparison in (peers.methods_command, peers.command):
            print(f"\n## {comparison.name}\n")
            given = {name: options[name] for name in ("seeds", "storage")}
            context.invoke(comparison, out=folder, smoke=smoke, **given)
        context.invoke(report.command, folder=folder)
    if not stays:
        print("It was written for a trial, and is removed; --out keeps the report and the cells.")


for command in (*(benchmark.command for benchmark in BENCHMARKS), peers.methods_command):
    main.add_command(command)

if __name__ == "__main__":
    main()
