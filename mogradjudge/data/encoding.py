"""Opens text files: UTF-8, UTF-16 that says so, or the encoding that the caller names."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mogradjudge.errors import SetupError

_MARK = "\ufeff"
"""The byte order mark."""


@contextmanager
def opened(path: Path, encoding: str | None, newline: str) -> Iterator[TextIO]:
    """Open a text file behind its byte order mark, if it has one.

    Args:
        path: The file.
        encoding: Its encoding; None finds out whether it is UTF-8 or UTF-16.
        newline: What ends a line, as for `open`.

    Raises:
        SetupError: If it is not in that encoding.
    """
    name = encoding or _encoding(path)
    try:
        with path.open(encoding=name, newline=newline) as file:
            if file.read(1) != _MARK:
                file.seek(0)
            yield file
    except UnicodeDecodeError as error:
        advice = f"Give its encoding instead of {encoding!r}, or none if it is UTF-8 (--encoding)."
        advice = advice if encoding else "Give its encoding (--encoding)."
        raise SetupError(f"{path} is not {name} text: {error.reason}. {advice}") from error


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise SetupError(
                    f"{path} is not UTF-8 text: byte {error.start + 1} of line {number} is "
                    "invalid. Save it as UTF-8, or give its encoding (--encoding cp1252)."
                ) from error
    return "utf-8"
