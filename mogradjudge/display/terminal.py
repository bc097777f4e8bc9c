"""Prints to the terminal: what a stream can show, and texts that are safe to print."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE = 10_000
"""Columns off a terminal: a log or a pipe gets each row as one line."""
LINE = 160
"""Columns that a text is cut to off a terminal."""

_GAP = 3  # columns between two cells of a table
_CANNOT_MOVE = ("dumb", "unknown")  # terminals without a cursor that goes up


def console(*, stderr: bool = False) -> Console:
    """Make a console on stdout or stderr; it reads no markup and changes no text.

    Colours and styles are as `is_coloured` says; off a terminal it is `WIDE`.
    """
    from rich.console import Console as RichConsole

    stream = sys.stderr if stderr else sys.stdout
    coloured = is_coloured(stream)
    out = RichConsole(
        stderr=stderr,
        force_terminal=stream.isatty() or coloured,
        color_system="auto" if coloured else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    if not (stream.isatty() or out.is_jupyter):
        out.width = WIDE
    return out


def is_coloured(stream: TextIO) -> bool:
    """Return whether a stream gets escape sequences for colours and styles.

    The first of these that is set decides: ``--no-color``; the variables ``NO_COLOR`` and
    ``FORCE_COLOR``, if not empty (no-color.org, force-color.org); whether it is a terminal that can
    show them.
    """
    ctx = click.get_current_context(silent=True)
    if ctx is not None and ctx.color is not None:
        return ctx.color
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and not _is_dumb())


def is_live() -> bool:
    """Return whether stderr can show a progress bar or a table that changes."""
    return sys.stderr.isatty() and not _is_dumb()


def printable(text: str) -> str:
    """Replace each control character and line end by a blank.

    >>> printable("two" + chr(10) + "lines ")
    'two lines '
    """
    return "".join(c if c.isprintable() else " " for c in text)


def one_line(text: str) -> str:
    """Put a text on one line, without control characters.

    >>> one_line("two" + chr(10) + "lines")
    'two lines'
    """
    return " ".join(printable(text).split())


def cut(text: str) -> str:
    """Put a text on one line of stderr and cut it to the width, which is `LINE` off a terminal.

    >>> cut("two" + chr(10) + "lines")
    'two lines'
    """
    from rich.text import Text

    line = Text(one_line(text))
    line.truncate(console(stderr=True).width if sys.stderr.isatty() else LINE, overflow="ellipsis")
    return line.plain


def say(text: str) -> None:
    """Write a line to stdout; on a terminal it is wrapped between words."""
    from rich.text import Text

    console().print(Text(one_line(text)))


def tell(text: str) -> None:
    """Write a line to stderr, above a progress bar if there is one."""
    # rich replaces sys.stderr, but click.echo writes to the one before.
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _is_dumb() -> bool:
    return os.environ.get("TERM", "").lower() in _CANNOT_MOVE


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", keys: int = 1
) -> None:
    """Print rows of text; the first column is left-aligned, all others right-aligned.

    If a terminal is too narrow for all columns, the table is split into several, and long texts are
    folded. In a file or a pipe each row is one line.

    Args:
        columns: The columns' names.
        rows: A text for each column; control characters are not printed.
        title: The table's title.
        keys: How many of the first columns identify a row; each part of a split table repeats them.

    >>> print_table(["criterion", "agreement"], [["tone", "0.812"]])
    <BLANKLINE>
      criterion   agreement
     ───────────────────────
      tone            0.812
    <BLANKLINE>
    """
    from rich.text import Text

    out = console()
    if title:
        out.print(Text(title, style="bold"))
    cells = [[one_line(cell) for cell in column] for column in zip(columns, *rows, strict=True)]
    # So each column has room beside the keys; rich folds those that need more.
    half = None if out.width == WIDE else out.width // 2
    free = half and max(half, out.width - _width(out, _table(cells[:keys], [half] * keys)) - _GAP)
    widest = [half] * keys + [free] * len(cells[keys:])
    first, part = cells[:keys], cells[:keys]
    for column in cells[keys:]:
        wider = _table([*part, column], widest)
        if len(part) > keys and _width(out, wider) > out.width:
            _print(out, _table(part, widest))
            part = first
        part = [*part, column]
    _print(out, _table(part, widest))


def _table(columns: Sequence[Sequence[str]], widest: Sequence[int | None]) -> Table:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=box.SIMPLE_HEAD)
    for place, (name, *_) in enumerate(columns):
        table.add_column(
            Text(name),  # brackets are no markup
            justify="right" if place else "left",
            overflow="fold",
            max_width=widest[place],
        )
    for row in zip(*(texts for _, *texts in columns), strict=True):
        table.add_row(*map(Text, row))
    return table


def _width(out: Console, table: Table) -> int:
    """Measure how many characters wide a table is if it has room."""
    return out.measure(table, options=out.options.update_width(WIDE)).maximum


def _print(out: Console, table: Table) -> None:
    if out.width != WIDE:
        out.print(table)
        return
    with out.capture() as printed:
        out.print(table)
    for line in printed.get().splitlines():
        out.file.write(f"{line.rstrip()}\n")  # without the blanks that fill each line


def number(value: float | None, digits: int = 3) -> str:
    """Format a number; None becomes a dash, and what rounds to 0 has no sign.

    >>> number(0.12345), number(-0.0001), number(None)
    ('0.123', '0.000', '-')
    """
    return "-" if value is None else f"{value:z.{digits}f}"
