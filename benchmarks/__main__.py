"""``python -m benchmarks NAME``: run one benchmark."""

from __future__ import annotations

import click

from benchmarks import attacks, cost, faults, peers, resume, scale


@click.group()
def main() -> None:
    """Benchmarks of mogradjudge; each says what it measures with --help."""


for benchmark in (attacks, cost, faults, peers, resume, scale):
    main.add_command(benchmark.command)

if __name__ == "__main__":
    main()
