"""How much a command says: the result on stdout, and all else on stderr."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import click

from mogradjudge.cli.options import json_option, together
from mogradjudge.display.terminal import one_line, tell
from mogradjudge.secrets import redact

_PACKAGE = "mogradjudge"
_MEANT = f"{__name__}.loudness"  # the key in a context's meta


class Loudness(IntEnum):
    """What is told beside the result."""

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
    """Give how loud the current command was asked to be."""
    ctx = click.get_current_context(silent=True)
    found: Loudness = Loudness.USUAL if ctx is None else ctx.meta.get(_MEANT, Loudness.USUAL)
    return found


def display() -> bool | None:
    """Give what a display of progress is told: False if quiet, None to see for itself."""
    return False if loudness() is Loudness.QUIET else None


def note(text: str) -> None:
    """Say something on stderr that is neither a result nor a warning."""
    if loudness() > Loudness.QUIET:
        tell(text)


def _be_quiet(ctx: click.Context, _: click.Parameter, given: bool) -> None:  # noqa: FBT001 - click's
    if given:
        _mean(ctx, Loudness.QUIET)


def _be_verbose(ctx: click.Context, _: click.Parameter, times: int) -> None:
    if times:
        _mean(ctx, Loudness(min(Loudness.USUAL + times, Loudness.DEBUG)))


def _mean(ctx: click.Context, meant: Loudness) -> None:
    if _MEANT in ctx.meta:
        raise click.UsageError("Give --quiet or --verbose, not both.", ctx)
    ctx.meta[_MEANT] = meant


def _be_plain(ctx: click.Context, _: click.Parameter, given: bool) -> None:  # noqa: FBT001 - click's
    if given:
        ctx.color = False


output_options = together(
    json_option,
    click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_be_quiet,
        help="Say nothing beside the result but warnings and errors.",
    ),
    click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=_be_verbose,
        help="Tell each event and the log; -vv with details.",
    ),
    click.option(
        "--no-color",
        is_flag=True,
        expose_value=False,
        callback=_be_plain,
        help="Print no colours, as with NO_COLOR.",
    ),
)
"""What every command has; its function is given ``as_json``."""


@dataclass(frozen=True)
class Secrets:
    """What stands on the command line and is not to be repeated."""

    known: frozenset[str] = frozenset()


class Work(click.Command):
    """A command that does work: the log goes to stderr while it does."""

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
    before = [(each.level, each.handlers[:]) for each in loggers]
    handler = _Lines(secrets or Secrets())
    for each in loggers:
        each.handlers[:] = [handler]
        each.setLevel(level)
    try:
        yield
    finally:
        for each, (old, handlers) in zip(loggers, before, strict=True):
            each.handlers[:] = handlers
            each.setLevel(old)
