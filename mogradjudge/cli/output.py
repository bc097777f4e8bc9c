"""How much a command prints: the result on stdout, everything else on stderr."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import click

from mogradjudge.cli.options import json_option, together
from mogradjudge.display.terminal import one_line, say, tell
from mogradjudge.secrets import redact

RESUME = "Run the same command again to resume."
_CAP_OPTIONS = {"max_tokens": "--max-total-tokens"}
_PACKAGE = "mogradjudge"
_KEY = f"{__name__}.loudness"  # the key in a context's meta


class NothingScored(click.ClickException):
    """A run ended without having scored a proposal; the result is written and printed."""

    exit_code = 3


def option_of(cap: str) -> str:
    """Return the option of a field of `Budget`."""
    return _CAP_OPTIONS.get(cap, f"--{cap.replace('_', '-')}")


def how_to_resume(caps: Collection[str]) -> str:
    """Say how to go on after a stop; ``caps`` are the caps that ended it, or one of which did.

    The time counts from each start, all other caps count earlier starts too.
    """
    raised = " or ".join(option_of(cap) for cap in caps if cap != "max_seconds")
    return f"Raise {raised} and run the same command again to resume." if raised else RESUME


class Loudness(IntEnum):
    """What is printed besides the result."""

    QUIET = 0
    """Warnings and errors."""
    USUAL = 1
    """Progress, and where things are kept."""
    VERBOSE = 2
    """Each event of a run, and the log."""
    DEBUG = 3
    """The log's details too."""


_LEVELS: Final = {
    Loudness.QUIET: logging.WARNING,
    Loudness.USUAL: logging.WARNING,
    Loudness.VERBOSE: logging.INFO,
    Loudness.DEBUG: logging.DEBUG,
}


def loudness() -> Loudness:
    """Return the loudness of the current command."""
    ctx = click.get_current_context(silent=True)
    return Loudness.USUAL if ctx is None else Loudness(ctx.meta.get(_KEY, Loudness.USUAL))


def display() -> bool | None:
    """Return whether to show progress: False if quiet, None to decide by the terminal."""
    return False if loudness() is Loudness.QUIET else None


def note(text: str) -> None:
    """Print a line on stderr that is neither a result nor a warning."""
    if loudness() > Loudness.QUIET:
        tell(text)


def _be_quiet(ctx: click.Context, _: click.Parameter, is_set: bool) -> None:  # noqa: FBT001 - click's
    if is_set:
        _set_loudness(ctx, Loudness.QUIET)


def _be_verbose(ctx: click.Context, _: click.Parameter, times: int) -> None:
    if times:
        _set_loudness(ctx, Loudness(min(Loudness.USUAL + times, Loudness.DEBUG)))


def _set_loudness(ctx: click.Context, loudness: Loudness) -> None:
    if _KEY in ctx.meta:
        raise click.UsageError("Give --quiet or --verbose, not both.", ctx)
    ctx.meta[_KEY] = loudness


def _be_plain(ctx: click.Context, _: click.Parameter, is_set: bool) -> None:  # noqa: FBT001 - click's
    if is_set:
        ctx.color = False


output_options = together(
    json_option,
    click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_be_quiet,
        help="Print only the result, warnings and errors.",
    ),
    click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_be_verbose,
        help="Print each event and the log too; -vv adds details.",
    ),
    click.option(
        "--no-color",
        is_flag=True,
        expose_value=False,
        callback=_be_plain,
        help="Print without colours, like NO_COLOR.",
    ),
)
"""The options of every command; its function takes ``as_json``."""


@dataclass(frozen=True)
class Secrets:
    """Secrets on the command line, which are never printed."""

    known: frozenset[str] = frozenset()


class Work(click.Command):
    """A command whose log goes to stderr while it runs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        import dspy  # noqa: F401 - it sets its own log up when it is imported

        with _logged(_LEVELS[loudness()], ctx.find_object(Secrets)):
            return super().invoke(ctx)


class _Lines(logging.Handler):
    """Writes each record as a line on stderr, without keys."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self.known = secrets.known

    def emit(self, record: logging.LogRecord) -> None:
        text = one_line(redact(record.getMessage(), self.known))
        ours = record.name.startswith(_PACKAGE) and record.levelno >= logging.WARNING
        tell(text if ours else f"{record.levelname.capitalize()} ({record.name}): {text}")


@contextmanager
def _logged(level: int, secrets: Secrets | None) -> Iterator[None]:
    """Write the package's log and DSPy's to stderr while the block runs."""
    loggers = [logging.getLogger(name) for name in (_PACKAGE, "dspy")]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    handler = _Lines(secrets or Secrets())
    for logger in loggers:
        logger.handlers[:] = [handler]
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, (old, handlers) in zip(loggers, before, strict=True):
            logger.handlers[:] = handlers
            logger.setLevel(old)


def tell_report(path: Path, *, as_json: bool) -> None:
    """Say where a report is, and which extra draws the figures that it lacks."""
    from mogradjudge.display.plotting import INSTALL, can_draw

    lack = "" if can_draw() else f" It has no figures, as matplotlib is missing. {INSTALL}"
    (note if as_json else say)(f"The report is in {path}.{lack}")
