"""Markdown that renders on GitHub, whatever texts and names hold."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.harness.tables import Table

# Each could mean something to Markdown, to HTML or to GitHub (mentions, formulas, emoji).
_MEANING = re.compile(r"[\\`*_\[\]<>#|!~&@$]|:(?=//|\w+:)")
_AT_THE_START = re.compile(r"[-+=]|\d(?=\d*[.)])")
_CODE = re.compile(r"&#96;([\w -]+)&#96;")
_CONTROLS = re.compile(
    r"[^\S\n]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def escape(text: object) -> str:
    """Write a foreign text so that it shows as it is, in one line.

    >>> escape("*a*")
    '&#42;a&#42;'
    """
    line = _in_line(text)
    return _as_entity(line[0]) + line[1:] if _AT_THE_START.match(line) else line


def sentence(text: str) -> str:
    """Write a sentence of ours, which may quote foreign texts; what is in backticks is code.

    >>> sentence("If `modes` shows *a*.")
    'If `modes` shows &#42;a&#42;.'
    """
    return _CODE.sub(r"`\1`", escape(text))


def _in_line(text: object) -> str:
    line = " ".join(_CONTROLS.sub(" ", str(text)).split())
    return _MEANING.sub(lambda match: _as_entity(match.group()), line)


def _as_entity(character: str) -> str:
    return f"&#{ord(character)};"


def fenced(text: str) -> str:
    """Put a foreign text of many lines in a code block that it cannot end."""
    runs = re.findall(r"`+", text)
    fence = "`" * max(3, 1 + max(map(len, runs), default=0))
    return f"{fence}text\n{_CONTROLS.sub(' ', text.strip())}\n{fence}"


def shown(plain: Table) -> str:
    """Write a table of foreign texts so that each shows as it is."""
    columns, *rows = ([_in_line(cell) for cell in row] for row in (plain.columns, *plain.rows))
    return table(columns, rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table whose cells are Markdown; columns of numbers are right-aligned."""
    marks = ["--:" if place and _numbers(rows, place) else ":--" for place in range(len(columns))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, marks, *rows))


def _numbers(rows: Sequence[Sequence[str]], place: int) -> bool:
    cells = [row[place] for row in rows]
    return all(re.match(r"[-+±\d]", cell) and ", " not in cell for cell in cells)


def image(file: str, what: str) -> str:
    """Show a picture that lies beside the report, with a line that says what it shows."""
    return f"![{escape(what)}]({file})\n\n*{escape(what)}.*"


def folded(summary: str, body: str) -> str:
    """Hide a body behind a line that opens it."""
    return f"<details>\n<summary>{escape(summary)}</summary>\n\n{body}\n\n</details>"
