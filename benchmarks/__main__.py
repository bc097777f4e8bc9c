"""``python -m benchmarks NAME``: run one benchmark."""

from __future__ import annotations

import click

from benchmarks import interference, modes, noise, peers, report, suite
from benchmarks.dilution import command as dilution
from benchmarks.self_tests import (
    attacks,
    calibration,
    cost,
    faults,
    resume,
    scale,
    search,
    search_statistics,
    statistics,
)

BENCHMARKS = (
    *(suite, noise, dilution, interference, modes, peers, report, calibration, statistics),
    *(search, search_statistics, attacks, cost, faults, resume, scale),
)


@click.group()
def main() -> None:
    """Benchmarks of mogradjudge; each says what it measures with --help."""


for benchmark in BENCHMARKS:
    main.add_command(benchmark.command)

if __name__ == "__main__":
    main()
