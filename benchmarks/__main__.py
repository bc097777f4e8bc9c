"""``python -m benchmarks NAME``: run one benchmark."""

from __future__ import annotations

import click

from benchmarks import attacks, cost, faults, resume, scale


@click.group()
def main() -> None:
    """Benchmarks of mogradjudge; each says what it measures with --help."""


for command in (attacks.command, cost.command, faults.command, resume.command, scale.command):
    main.add_command(command)

if __name__ == "__main__":
    main()
