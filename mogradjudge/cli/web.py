"""``mogradjudge serve``, ``view`` and ``label``: what answers over HTTP."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mogradjudge.cli.options import (
    Decorator,
    data_argument,
    fallback_option,
    rubric_option,
    saved_lm_options,
    together,
)
from mogradjudge.cli.output import Work, note, output_options
from mogradjudge.cli.saved_judge import judge_argument, model_of, raw_option, saved_judge
from mogradjudge.display.terminal import tell
from mogradjudge.errors import SetupError
from mogradjudge.files import locked, to_json

if TYPE_CHECKING:
    from starlette.routing import Route

_TOKEN = "MOGRADJUDGE_TOKEN"  # the name of a variable
_LOCAL = "127.0.0.1"


def address_options(port: int) -> Decorator:
    """Make the options of a server's address; ``port`` is the default one."""
    return together(
        click.option("--host", default=_LOCAL, show_default=True, help="The address to listen on."),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=port,
            show_default=True,
            help="The port; 0 takes a free one.",
        ),
    )


@click.command("serve", cls=Work, short_help="Rate texts over HTTP with a saved judge.")
@judge_argument
@saved_lm_options
@fallback_option
@raw_option
@address_options(8000)
@click.option("--allowed-host", "names", metavar="NAME", multiple=True,
              help="A name that a proxy passes on in the header Host; with one, only such names "
              "and local ones are answered.")  # fmt: skip
@click.option("--max-items", type=click.IntRange(1), default=100, show_default=True,
              help="Most texts of a request.")  # fmt: skip
@click.option("--max-chars", type=click.IntRange(1), default=100_000, show_default=True,
              help="Most characters of an input.")  # fmt: skip
@click.option("--max-waiting", type=click.IntRange(1), default=1000, show_default=True,
              help="Most texts, and requests to read, at a time; more are refused.")  # fmt: skip
@click.option("--image-urls", is_flag=True,
              help="Take images at http(s) addresses, too. The provider's library may fetch them "
              "from this machine, which may reach more than a stranger should.")  # fmt: skip
@output_options
def serve_command(judge: str, host: str, port: int, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Rate texts over HTTP with the saved judge JUDGE: POST /rate.

    JUDGE is a judge.json, or the folder of a run. The body is an object with the judge's inputs, or
    a list of such objects; --num-threads of them are judged at a time. /health names the model and
    a digest of the judge, /openapi.json what the service takes. If MOGRADJUDGE_TOKEN is set, a
    request must bring it as `Authorization: Bearer TOKEN`. Web pages of other addresses are
    refused. No text is logged or kept. It needs the extra "web".

    \b
    mogradjudge serve run --port 8000
    curl localhost:8000/rate -d '{"source": "The cat sat.", "output": "A cat sat."}'
    """
    check_web()
    from mogradjudge.web.service import Limits, Service

    saved = saved_judge(judge, options["fallback"], raw=options["raw"])
    token = os.environ.get(_TOKEN) or None
    if host != _LOCAL and token is None:
        tell(f"Everybody who reaches {host}:{port} can send texts: {_TOKEN} is not set.")
    counts = (options["max_items"], options["max_chars"], options["num_threads"])
    with model_of(options, saved):
        limits = Limits(*counts, *(options[name] for name in ("max_waiting", "max_rpm")))
        routes = Service(saved, replace(limits, image_urls=options["image_urls"])).routes
        names = options["names"]
        _answer(routes, host, port, token, pages=False, as_json=as_json, names=names)


@click.command("view", cls=Work, short_help="Show all runs under a folder in the browser.")
@click.argument("folder", type=click.Path(path_type=Path), default=".", metavar="[DIR]")
@address_options(8001)
@output_options
def view_command(folder: Path, host: str, port: int, as_json: bool) -> None:  # noqa: FBT001
    """Show all runs, searches, judges and benchmark results under DIR on one local page.

    The page follows them while they run, and links to the report of each. Its address holds a
    token. It needs the extra "web".

    \b
    mogradjudge view runs
    """
    check_web()
    from mogradjudge.web.overview import Overview

    token = secrets.token_urlsafe()
    _answer(Overview(folder).routes, host, port, token, pages=True, as_json=as_json)


@click.command("label", cls=Work, short_help="Rate texts by hand in the browser.")
@data_argument
@rubric_option
@click.option("--rater", metavar="NAME", help="The only rater  [default: each gives a name]")
@click.option("--out", metavar="FILE", help="The CSV of the ratings  [default: DATA.labels.csv]")
@address_options(8002)
@output_options
def label_command(
    data: str,
    rubric: str,
    rater: str | None,
    out: str | None,
    host: str,
    port: int,
    as_json: bool,  # noqa: FBT001 - click's
) -> None:
    """Rate the texts of DATA by hand in the browser, on the criteria of a rubric.

    Each rater gives a name (Anna and ANNA are one), sees no rating of others, and has an order of
    texts of their own. A criterion with a `comment` column has a field for it. FILE has a row for
    each text and rater, and is written after each rating; the same command goes on with it. At the
    end the page says how the raters agree. It needs the extra "web".

    \b
    mogradjudge label texts.csv --rubric rubric.toml
    """
    check_web()
    from mogradjudge.criteria import Rubric
    from mogradjudge.web.labelling import Labelling
    from mogradjudge.web.labels import Labels

    read = Rubric.from_toml(rubric)
    beside = Path(data).with_suffix(".labels.csv")  # where paths of images begin
    file = Path(out or (beside if read.images else beside.name))
    with _locked(file):
        labels = Labels.of(data, read, file)
        note(f"{len(labels.texts)} texts; the ratings are in {file}.")
        routes, token = Labelling(labels, rater).routes, secrets.token_urlsafe()
        _answer(routes, host, port, token, pages=True, as_json=as_json)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Keep other processes from writing a file; no lock is left behind."""
    lock = file.with_name(f"{file.name}.lock")
    taken = SetupError(f"Another process writes {file}. Use its page, or give another --out.")
    with locked(lock, taken):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _answer(
    routes: Sequence[Route],
    host: str,
    port: int,
    token: str | None,
    *,
    pages: bool,
    as_json: bool,
    names: Sequence[str] = (),
) -> None:
    """Answer until the end; the address goes to stdout, that of pages with the token."""
    from mogradjudge.web.server import application, run

    def announce(url: str) -> None:
        address = f"{url}/?token={token}" if pages else url
        click.echo(to_json({"url": address}, indent=None) if as_json else address)
        sys.stdout.flush()
        note(f"{'Open it in a browser' if pages else 'It answers POST /rate'}. Ctrl-C ends it.")

    run(application(routes, host, token, pages=pages, names=names), host, port, announce)


def check_web() -> None:
    """Check that the extra is installed.

    Raises:
        SetupError: If it is not.
    """
    if not (find_spec("starlette") and find_spec("uvicorn")):
        raise SetupError("This command needs starlette and uvicorn: install the extra 'web'.")
