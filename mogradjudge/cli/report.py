"""``mogradjudge report``."""

from __future__ import annotations

from pathlib import Path

import click

from mogradjudge.cli.output import Work, output_options, tell_report


@click.command("report", cls=Work, short_help="Write a run or a search as one HTML file.")
@click.argument("folder", metavar="RUN_DIR", type=click.Path(path_type=Path))
@click.option("--out", metavar="FILE", help="The file to write  [default: RUN_DIR/report.html]")
@click.option(
    "--interference",
    metavar="RESULTS",
    help="Also show the interference in these benchmark results.",
)
@output_options
def report_command(
    folder: Path,
    out: str | None,
    interference: str | None,
    as_json: bool,  # noqa: FBT001 - click's
) -> None:
    """Write the results of the run or the search in RUN_DIR, with figures, as one HTML file.

    RUN_DIR may also be the folder of a composed or calibrated judge.

    The run may have ended, be running, or have been interrupted. The file needs no network.
    Figures need the extra "figures"; without it the report has only tables.

    \b
    mogradjudge report run
    """
    from mogradjudge.files import to_json
    from mogradjudge.report import write_report

    path = write_report(folder, out, interference)
    if as_json:
        click.echo(to_json({"report": str(path)}))
    tell_report(path, as_json=as_json)
