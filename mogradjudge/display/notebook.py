"""HTML for notebooks: tables, and a line that changes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from html import escape
from typing import Any


def html_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> str:
    """Write a table as HTML; all texts are escaped.

    >>> html_table(["name"], [["<b>"]])
    '<table><thead><tr><th>name</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def changing_line(what: str, total: int) -> Callable[[int, str], None]:
    """Show a progress bar below a notebook's cell; returns a function of steps done and a text."""
    ipython = sys.modules["IPython"].display

    def shown(done: int, text: str) -> Any:
        bar = f'<progress value="{done}" max="{total}"></progress>'
        return ipython.HTML(f"{bar} {done} of {total} {escape(what)}: {escape(text)}")

    handle = ipython.display(shown(0, "initial scoring"), display_id=True)
    return lambda done, text: handle.update(shown(done, text))
