"""Files that are whole after a crash at any instant: replaced at once, or grown line by line."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from mogradjudge.errors import SetupError

PARTIAL = ".partial"
"""Stands in the name of a file that is not whole yet."""
_BLOCK = 4096  # bytes read at a time, from the end
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")  # the end of a journal that names another file


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
        _write_whole(self._file, to_json(entry, indent=None).encode() + b"\n")

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
    text = json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False)
    # Half of a surrogate pair, which a model's reply may hold, is no UTF-8; JSON has an escape.
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a path to write to; it takes the place of the file at once, and is on the disk then."""
    # DSPy goes by how a file's name ends.
    own = f"{os.getpid()}-{threading.get_ident()}"  # two processes may write one file
    partial = path.with_name(f"{path.stem}.{own}{PARTIAL}{path.suffix}")
    yield partial
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_text(path: Path, text: str) -> None:
    """Replace a file's text as a whole or not at all."""
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        SetupError: If the file cannot be read or holds something else.
    """
    try:
        return _parsed(path, path.read_bytes())
    except OSError as error:
        raise SetupError(f"Cannot read {path}: {error.strerror}.") from error


def check_no_links(folder: Path) -> None:
    """Check that a folder, which may come from anybody, leads to no file outside itself.

    Raises:
        SetupError: If it holds a symbolic link.
    """
    for place, folders, names in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *names)):
            if path.is_symlink():
                raise SetupError(
                    f"{path} is a symbolic link, which may lead anywhere. Remove it, or give "
                    "another folder."
                )


def check_database(file: Path) -> None:
    """Check that SQLite will touch no other file when it opens this one, or makes it.

    Raises:
        SetupError: If a link or a journal leads it to another one.
    """
    journal = file.with_name(f"{file.name}-journal")
    for path in (file, journal, *(file.with_name(f"{file.name}-{end}") for end in ("wal", "shm"))):
        if path.is_symlink():
            raise SetupError(f"{path} is a symbolic link, which may lead anywhere. Remove it.")
    # SQLite deletes the file that such a journal names.
    if journal.is_file() and journal.read_bytes().endswith(_NAMES_ANOTHER):
        raise SetupError(f"{journal} names a further file, and is none of ours. Remove it.")


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"{path} is damaged: {error}. Give another folder.") from error
    if not isinstance(value, dict):
        raise SetupError(f"{path} is damaged: it must hold JSON objects. Give another folder.")
    return value


def _write_whole(file: FileIO, line: bytes) -> None:
    start, done = file.seek(0, os.SEEK_END), 0
    try:
        while done < len(line):
            done += file.write(line[done:])
    except OSError:  # a full disk, say: half a line would damage the next one
        file.truncate(start)
        raise


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
