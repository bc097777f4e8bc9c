"""``mogradjudge demo``."""

from __future__ import annotations

import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mogradjudge.cli.compile import compile_command, run, verdict
from mogradjudge.cli.options import FOLDER, MODEL
from mogradjudge.cli.output import Work, note, output_options, tell_report
from mogradjudge.cli.tables import print_run
from mogradjudge.display.terminal import say
from mogradjudge.files import to_json

if TYPE_CHECKING:
    from mogradjudge.cli.job import Options

_SMALL = "local/smollm2"
# Options of `compile`. A small model does not know when to stop, and works on one call at a time.
_LIVE = (
    *("--max-tokens", "100", "--num-threads", "1"),
    *("--score-rule", "expected", "--fallback", "integer"),
    *("--mode", "SSC", "--steps", "1", "--batch-size", "1", "--sampling", "uniform"),
    *("--reply-retries", "0"),  # a reply of a small model that is cut off would be so again
)
_RECORDED = ("--mode", "SSC", "--steps", "4", "--seed", "0")
_WHOSE = (
    "The replies are recorded: a large model gave them to these very prompts. All else is computed "
    "now: which texts are read, what is accepted, every number."
)


@click.command("demo", cls=Work, short_help="Watch a judge being optimized; no key, no network.")
@click.option("--live", is_flag=True, help="Ask a model now, by default a small one inside.")
@click.option("--lm", type=MODEL, metavar="MODEL", help=f"The live model  [default: {_SMALL}]")
@click.option(
    "--out",
    type=FOLDER,
    metavar="RUN_DIR",
    help="Keep the run in this folder  [default: a temporary one]",
)
@output_options
def demo_command(
    lm: str | None,
    out: str | None,
    live: bool,  # noqa: FBT001 - click's
    as_json: bool,  # noqa: FBT001 - click's
) -> None:
    """Optimize a judge of a shop's replies to customers, from ratings to a confirmed result.

    The replies of the large model that answered this run are part of the package; all else is
    computed. With --live a model answers now: the small one inside this process (extra local) is
    too weak to judge, and shows only that everything works. The texts come with the package, and
    were written to show planned levels of three criteria.

    \b
    mogradjudge demo
    mogradjudge demo --live --lm openai/gpt-4o-mini --out run
    """
    is_live = live or lm is not None
    out = out or tempfile.mkdtemp(prefix="mogradjudge-demo-")
    result = _optimize(lm or _SMALL if is_live else None, out, as_json=as_json)
    if as_json:
        click.echo(to_json(result))
    if result["stop_reason"] == "interrupted":
        raise click.Abort


def _optimize(lm: str | None, out: str, *, as_json: bool) -> dict[str, Any]:
    """Run the demo with a live model, or with the recorded replies, and say what came of it."""
    from mogradjudge.cli.job import prepare
    from mogradjudge.report import write_report

    started = time.monotonic()
    package = "mogradjudge.demo" if lm else "mogradjudge.demo.recorded"
    with as_file(files(package)) as folder:
        options = _options(folder, lm)
        job = prepare(options)
        names = ", ".join(job.rubric.names)
        note(f"Optimizing a judge of {len(job.examples)} replies to customers on {names}.")
        note(f"{lm} answers." if lm else _WHOSE)
        result = run(options, job, out)
        report = write_report(Path(out))
    if not as_json:
        print_run(result)
        say(verdict(result))
        say(f"It took {time.monotonic() - started:.0f} s.")
        tell_report(report, as_json=False)
        say(_last(lm))
    return result


def _last(lm: str | None) -> str:
    if lm is None:
        return (
            f"{_WHOSE} So the judge of this run rates other texts only with a model: "
            "mogradjudge score RUN_DIR TEXTS --lm PROVIDER/MODEL. With your own ratings: "
            "mogradjudge init --help"
        )
    if lm == _SMALL:
        return (
            "A model of 135 million parameters rates close to chance, so hardly any rewrite helps "
            "it; that nothing is called confirmed then is what the confirmation is for."
        )
    return "With your own texts: mogradjudge compile --help"


def _options(folder: Path, lm: str | None) -> Options:
    """Parse the demo's settings as options of `compile`."""
    from mogradjudge.cli.job import Options

    data = folder / ("replies.jsonl" if lm else "texts.jsonl")
    model = lm or f"recorded/{folder / 'a-large-model.jsonl'}"
    required = [str(data), "--rubric", str(folder / "rubric.toml"), "--lm", model, "--out", "."]
    settings = _LIVE if lm else _RECORDED
    return Options.of(compile_command.make_context("compile", [*required, *settings]).params)
