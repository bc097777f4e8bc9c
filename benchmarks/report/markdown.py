"""Markdown that renders on GitHub, whatever texts and names hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

# Each could mean something to Markdown, to HTML or to GitHub (mentions, formulas, emoji).
_MEANING = re.compile(r"[\\`*_\[\]<>#|!~&@$]|:(?=//|\w+:)|^[-+=]|^\d(?=\d*[.)])")
_CONTROLS = re.compile(
    r"[^\S\n]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def escape(text: object) -> str:
    """Write a foreign text so that it shows as it is, in one line."""
    line = " ".join(_CONTROLS.sub(" ", str(text)).split())
    return _MEANING.sub(lambda found: f"&#{ord(found.group())};", line)


def fenced(text: str) -> str:
    """Put a foreign text of many lines in a code block that it cannot end."""
    runs = re.findall(r"`+", text)
    fence = "`" * max(3, 1 + max(map(len, runs), default=0))
    return f"{fence}text\n{_CONTROLS.sub(' ', text.strip())}\n{fence}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table whose cells are Markdown; the first column is left-aligned."""
    lines = [columns, [":--", *["--:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def image(file: str, what: str) -> str:
    """Show a picture that lies beside the report, with a line that says what it shows."""
    return f"![{escape(what)}]({file})\n\n*{escape(what)}.*"


def folded(summary: str, body: str) -> str:
    """Hide a body behind a line that opens it."""
    return f"<details>\n<summary>{escape(summary)}</summary>\n\n{body}\n\n</details>"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """Write a difference, or a dash where there is none."""
    return "-" if value is None else f"{value:+.{digits}f}"


def percent(share: float | None) -> str:
    """Write a share, or a dash where there is none."""
    return "-" if share is None else f"{share:.0%}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """Write a value with its interval."""
    return _with_bounds(number, value, low, high)


def difference(value: float | None, low: float | None, high: float | None) -> str:
    """Write a difference with its interval."""
    return _with_bounds(signed, value, low, high)


def _with_bounds(
    write: Callable[..., str], value: float | None, low: float | None, high: float | None
) -> str:
    if low is None or high is None:
        return write(value)
    return f"{write(value)} ({write(low, 2)} to {write(high, 2)})"
