"""HTML for notebooks: tables, and a line that changes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

# A notebook's own style moves texts to the right, and joins their lines.
_STYLE = ".mogradjudge :is(th, td) { text-align: left !important; white-space: pre-wrap; }"


def html_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> str:
    """Write a table as HTML; all texts are escaped, and their lines are kept.

    >>> "<td>&lt;b&gt;</td>" in html_table(["name"], [["<b>"]])
    True
    """
    above = f"<p>{escape(title)}</p>" if title else ""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<style>{_STYLE}</style><div class="mogradjudge">{above}{table}</div>'


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
