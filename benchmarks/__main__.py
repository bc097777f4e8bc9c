"""``python -m benchmarks NAME``: run one benchmark."""

from __future__ import annotations

import click

from benchmarks import (
    attacks,
    calibration,
    cost,
    faults,
    interference,
    modes,
    noise,
    report,
    resume,
    scale,
)


@click.group()
def main() -> None:
    """Benchmarks of mogradjudge; each says what it measures with --help."""


for module in (
    attacks,
    calibration,
    cost,
    faults,
    interference,
    modes,
    noise,
    report,
    resume,
    scale,
):
    main.add_command(module.command)

if __name__ == "__main__":
    main()
