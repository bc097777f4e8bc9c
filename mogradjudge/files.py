"""Files that are whole after a crash at any instant: replaced at once, or grown line by line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from mogradjudge.errors import SetupError

_BLOCK = 4096  # bytes read at a time, from the end


class LineLog:
    """A JSON-lines file that only grows; each line is on its way to the disk when `add` returns.

    A line that a crash cut short is taken off when the file is opened again.

    Args:
        path: The file; it is made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append one entry as a line of JSON."""
        if self._file is None:
            _cut_after_last_line(self.path)
            self._file = self.path.open("ab", buffering=0)
        self._file.write(to_json(entry, indent=None).encode() + b"\n")

    def entries(self) -> Iterator[dict[str, Any]]:
        """Read the whole lines.

        Raises:
            SetupError: If a line is no JSON.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield _parsed(self.path, line)

    def close(self) -> None:
        """Close the file; a further line opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


def to_json(value: object, indent: int | None = 2) -> str:
    """Write JSON with sorted keys; NaN and infinity are refused, for they are not JSON."""
    return json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False)


def write_text(path: Path, text: str) -> None:
    """Replace a file's text as a whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        SetupError: If the file cannot be read or holds something else.
    """
    try:
        return _parsed(path, path.read_bytes())
    except OSError as error:
        raise SetupError(f"Cannot read {path}: {error.strerror}.") from error


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"{path} is damaged: {error}. Give another folder.") from error
    if not isinstance(value, dict):
        raise SetupError(f"{path} is damaged: it must hold JSON objects. Give another folder.")
    return value


def _cut_after_last_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = keep = file.seek(0, os.SEEK_END)
        while keep:
            start = max(0, keep - _BLOCK)
            file.seek(start)
            if (newline := file.read(keep - start).rfind(b"\n")) >= 0:
                keep = start + newline + 1
                break
            keep = start
        if keep < end:
            file.truncate(keep)
