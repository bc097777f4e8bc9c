"""Where the output goes: what a stream can show, and texts that do a terminal no harm."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 10_000
"""Columns of what is no terminal: a log or a pipe gets each row as one line."""
LINE = 160
"""Columns that a text is cut to where it goes to no terminal."""

_CANNOT_MOVE = ("dumb", "unknown")  # terminals without a cursor that goes up


def console(*, stderr: bool = False) -> Console:
    """Give a console on stdout or stderr; it takes no markup and changes no text.

    Colours and styles are as `is_coloured` says; off a terminal it is `WIDE`.
    """
    from rich.console import Console as Made

    stream = sys.stderr if stderr else sys.stdout
    coloured = is_coloured(stream)
    made = Made(
        stderr=stderr,
        force_terminal=stream.isatty() or coloured,
        color_system="auto" if coloured else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    if not (stream.isatty() or made.is_jupyter):
        made.width = WIDE
    return made


def is_coloured(stream: TextIO) -> bool:
    """Say whether a stream gets escape sequences for colours and styles.

    What counts is, in this order: ``--no-color``, the environment's ``NO_COLOR`` and
    ``FORCE_COLOR`` (no-color.org and force-color.org; set and not empty), and whether it is a
    terminal that can show them.
    """
    ctx = click.get_current_context(silent=True)
    if ctx is not None and ctx.color is not None:
        return ctx.color
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and not _is_dumb())


def is_live() -> bool:
    """Say whether stderr can show what moves: a bar, a table that changes."""
    return sys.stderr.isatty() and not _is_dumb()


def one_line(text: str) -> str:
    """Put a text on one line, without what a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def cut(text: str) -> str:
    """Put a text on one line of stderr, and cut what does not fit; `LINE` off a terminal."""
    from rich.text import Text

    line = Text(one_line(text))
    line.truncate(console(stderr=True).width if sys.stderr.isatty() else LINE, overflow="ellipsis")
    return line.plain


def say(text: str) -> None:
    """Write a line to stdout; a terminal gets it broken between words."""
    from rich.text import Text

    console().print(Text(one_line(text)))


def tell(text: str) -> None:
    """Write a line to stderr; above a bar, if there is one."""
    # rich puts itself in the place of sys.stderr, and click writes to what was there before.
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _is_dumb() -> bool:
    return os.environ.get("TERM", "").lower() in _CANNOT_MOVE
