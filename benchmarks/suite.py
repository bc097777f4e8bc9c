"""``python -m benchmarks all``: the whole suite into one folder, and its report."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks import dilution, interference, modes, noise, peers, report
from benchmarks.setting import setting_options


@click.command("all")
@setting_options
@click.pass_context
def command(context: click.Context, /, out: Path | None, **given: Any) -> None:
    """Noise, dilution, interference, modes and peers, each as by itself, and the report.

    The peers are compared in the planted world whatever the model, since one model cannot serve as
    the same server to all of them.
    """
    smoke = given["smoke"]
    folder = Path(tempfile.mkdtemp(prefix="mogradjudge-smoke-")) if out is None and smoke else out
    for benchmark in (noise, dilution, interference, modes):
        print(f"\n## {benchmark.command.name}\n")
        context.invoke(benchmark.command, out=folder, **given)
    print("\n## peers\n")
    context.invoke(peers.command, out=folder, smoke=smoke)
    context.invoke(report.command, folder=folder)
