"""``python -m benchmarks all``: the whole suite into one folder, and its report."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks import interference, modes, noise, peers, report
from benchmarks.dilution import command as dilution
from benchmarks.harness.setting import passing_folder, setting_options


@click.command("all")
@setting_options
@click.pass_context
def command(context: click.Context, /, out: Path | None, **given: Any) -> None:
    """Noise, dilution, interference, modes and peers, each as by itself, and the report.

    The peers are compared in the planted world whatever the model, since one model cannot serve as
    the same server to all of them.
    """
    smoke = given["smoke"]
    stays = out is not None or not smoke
    with ExitStack() as stack:
        folder = out if stays else stack.enter_context(passing_folder())
        for benchmark in (noise, dilution, interference, modes):
            print(f"\n## {benchmark.command.name}\n")
            context.invoke(benchmark.command, out=folder, stays=stays, **given)
        print("\n## peers\n")
        context.invoke(peers.command, out=folder, smoke=smoke, storage=given["storage"])
        context.invoke(report.command, folder=folder)
    if not stays:
        print("It was written for a trial, and is removed; --out keeps the report and the cells.")
