"""``python -m benchmarks NAME``: run one benchmark."""

from __future__ import annotations

import click

from benchmarks import attacks, cost, resume


@click.group()
def main() -> None:
    """Benchmarks of mogradjudge; each says what it measures with --help."""


for command in (attacks.command, cost.command, resume.command):
    main.add_command(command)

if __name__ == "__main__":
    main()
