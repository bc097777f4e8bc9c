"""``mogradjudge demo``."""

from __future__ import annotations

import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mogradjudge.cli.compile import compile_command, run, verdict
from mogradjudge.cli.options import FOLDER, MODEL
from mogradjudge.cli.output import Work, note, output_options
from mogradjudge.cli.tables import print_run
from mogradjudge.display.terminal import say
from mogradjudge.files import to_json

if TYPE_CHECKING:
    from mogradjudge.cli.job import Options

_SMALL = "local/smollm2"
# Options of `compile`. A small model does not know when to stop, and works on one call at a time.
_SETTINGS = (
    *("--max-tokens", "100", "--num-threads", "1"),
    *("--score-rule", "expected", "--fallback", "integer"),
    *("--mode", "SSC", "--steps", "1", "--batch-size", "1", "--sampling", "uniform"),
    *("--reply-retries", "0"),  # a reply of a small model that is cut off would be so again
)


@click.command(
    "demo", cls=Work, short_help="Optimize a judge in a few minutes; no key, no network."
)
@click.option(
    "--lm",
    type=MODEL,
    default=_SMALL,
    show_default=True,
    metavar="MODEL",
    help="The model of all roles.",
)
@click.option(
    "--out",
    type=FOLDER,
    metavar="RUN_DIR",
    help="Keep the run in this folder  [default: a folder that is deleted at the end]",
)
@output_options
def demo_command(lm: str, out: str | None, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Optimize a judge of customer-support replies with a model inside this process.

    The 36 replies and their ratings come with the package. Each reply was written to show planned
    levels of three criteria.

    \b
    mogradjudge demo
    mogradjudge demo --out run --verbose
    """
    from mogradjudge.cli.job import prepare

    started = time.monotonic()
    with as_file(files("mogradjudge.demo")) as folder, tempfile.TemporaryDirectory() as scratch:
        options = _options(folder, lm)
        job = prepare(options)
        note(
            f"Optimizing a judge of {len(job.examples)} customer-support "
            f"replies on {', '.join(job.rubric.names)} with {lm}."
        )
        result = run(options, job, out or scratch)
    if as_json:
        click.echo(to_json(result))
    else:
        print_run(result)
        say(f"{verdict(result)} It took {time.monotonic() - started:.0f} s.")
        if lm == _SMALL:
            say(
                "A model of 135 million parameters only shows how a run works: its "
                "ratings are close to noise, so the numbers above mean nothing."
            )
    if result["stop_reason"] == "interrupted":
        raise click.Abort


def _options(folder: Path, lm: str) -> Options:
    """Parse the demo's settings as options of `compile`."""
    from mogradjudge.cli.job import Options

    data, rubric = folder / "replies.jsonl", folder / "rubric.toml"
    required = [str(data), "--rubric", str(rubric), "--lm", lm, "--out", "."]
    return Options.of(compile_command.make_context("compile", [*required, *_SETTINGS]).params)
