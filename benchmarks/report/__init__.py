"""Tables and pictures of what was measured; it reads cells and measures nothing."""

from __future__ import annotations

from pathlib import Path

import click

from mogradjudge import MogradError


@click.command("report")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def command(folder: Path) -> None:
    """Write report.md, report.html and their pictures from the cells that FOLDER holds.

    Nothing is measured; equal cells give equal files.
    """
    from benchmarks.report.write import write_report  # matplotlib is slow to import

    try:
        print(f"{write_report(folder)} is written.")
    except MogradError as error:
        raise click.ClickException(str(error)) from error
