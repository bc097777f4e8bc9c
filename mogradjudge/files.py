"""Files that survive a crash: they are replaced at once, or grow line by line."""

from __future__ import annotations

import errno
import json
import os
import socket
import sqlite3
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from io import FileIO
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Any, TypeVar, cast

from filelock import FileLock, Timeout

from mogradjudge.errors import ResourceError, SetupError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

PARTIAL = ".partial"
"""Part of the name of a file that is not whole yet."""
DELETE_LINE = "Delete that line to go on without it."
"""The advice where a line of a `LineLog` is damaged."""
_BLOCK = 4096  # bytes read at a time, from the end
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")  # the end of a journal that names another file
_REMOVE_FOLDER = "Remove the folder of that name."
_MAKE_ROOM = "Free some space and run the same command again; what is in the folder is kept."
_MENDING = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.ENOENT: "Its folder was removed or renamed meanwhile. Run the command again.",
    errno.EISDIR: _REMOVE_FOLDER,
    errno.EEXIST: "Remove or rename the file of that name.",
}
_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)
# These have no errno where they could not open a file.
_VAGUE = (sqlite3.OperationalError, socket.gaierror)


class LineLog:
    """A JSON-lines file that only grows; each line is passed to the system when `add` returns.

    A line that a crash cut short is removed when the file is opened again.

    Args:
        path: The file; it is created with the first line.

    >>> from contextlib import closing
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, closing(LineLog(Path(folder, "log.jsonl"))) as log:
    ...     log.add({"step": 1})
    ...     list(log.entries())
    [{'step': 1}]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append one entry as a line of JSON.

        Raises:
            SetupError: If the file cannot be written.
        """
        line = to_json(entry, indent=None).encode() + b"\n"
        with written(self.path):
            if self._file is None:
                _cut_after_last_line(self.path)
                self._file = self.path.open("ab", buffering=0)
            _write_whole(self._file, line)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Read the whole lines.

        Raises:
            SetupError: If the file cannot be read, or a line is not a JSON object.
        """
        if not self.path.exists():
            return
        with _read(self.path), self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    yield _parsed(line, f"Line {number} of {self.path}", DELETE_LINE)

    def close(self) -> None:
        """Close the file; the next `add` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


def to_json(value: object, indent: int | None = 2) -> str:
    """Write JSON with sorted keys; NaN and infinity are refused, as JSON has no such numbers.

    >>> to_json({"b": 1, "a": 2}, indent=None)
    '{"a": 2, "b": 1}'
    """
    text = json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False)
    # UTF-8 has no lone surrogate, which a model's reply may hold; JSON has an escape for it.
    return text.encode("utf-8", "backslashreplace").decode()


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a path to write to; after the block it is on the disk and replaces the file at once.

    Raises:
        SetupError: If the file cannot be written.
    """
    # DSPy chooses a format by the suffix.
    own = f"{os.getpid()}-{threading.get_ident()}"  # two processes may write one file
    partial = path.with_name(f"{path.stem}.{own}{PARTIAL}{path.suffix}")
    with written(path):
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)


def write_text(path: Path, text: str) -> None:
    """Replace a file's text as a whole or not at all."""
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Turn errors of the block into one line that says why a file or folder cannot be written.

    Raises:
        ResourceError: If the block ends in an OSError, or in an error that came from one.
    """
    try:
        yield
    except SetupError:
        raise
    except Exception as error:
        if lack := resource_error(error):
            raise lack from error
        cause = next((cause for cause in _causes(error) if isinstance(cause, OSError)), None)
        if cause is None:
            raise
        mending = _MENDING.get(cause.errno or 0, "Give a path that can be written to.")
        raise ResourceError(f"Cannot write {path}: {cause.strerror or cause}. {mending}") from error


@contextmanager
def locked(path: Path, taken: SetupError) -> Iterator[None]:
    """Keep other processes out while the block runs.

    Args:
        path: The lock's file.
        taken: The error to raise where another process holds the lock.

    Raises:
        SetupError: Also if the lock's file cannot be written.
    """
    lock = FileLock(path)
    with written(path):
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise taken from error
    try:
        yield
    finally:
        lock.release()


def read_json(path: Path, mending: str = "Give another folder.") -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        mending: The advice where it is damaged.

    Raises:
        SetupError: If the file cannot be read or holds something else.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_text(Path(folder, "a.json"), '{"a": 1}')
    ...     read_json(Path(folder, "a.json"))
    {'a': 1}
    """
    with _read(path, mending):
        return _parsed(path.read_bytes(), str(path), mending)


def read_record(kind: type[T], path: Path, mending: str = "Give another folder.") -> T:
    """Read a JSON file that holds a dataclass; keys that are no field are ignored.

    Args:
        kind: The dataclass; the types of its fields decide what the file may hold (`decoded`).
        path: The file.
        mending: The advice where it is damaged.

    Raises:
        SetupError: If the file cannot be read or holds something else.
    """
    plain = read_json(path, mending)
    try:
        return decoded(kind, plain)
    except ValueError as error:
        raise SetupError(f"{path} is damaged ({error}). {mending}") from error


def decoded(kind: type[T], plain: Mapping[str, Any]) -> T:
    """Build a dataclass again from its `dataclasses.asdict`, read from JSON.

    Types are strict: neither a text nor true is a number, and numbers are finite. An integer may
    stand for a float. Keys that are no field are ignored.

    Args:
        kind: The dataclass; its fields may hold dataclasses too.
        plain: The result of `json.loads`.

    Raises:
        ValueError: If it does not fit; the text says where and why.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Point:
    ...     name: str
    ...     place: tuple[float, ...]
    >>> decoded(Point, {"name": "a", "place": [1, 2.5]})
    Point(name='a', place=(1.0, 2.5))
    >>> decoded(Point, {"name": "a", "place": [True]})
    Traceback (most recent call last):
    ValueError: place.0: Input should be a valid number
    """
    from pydantic import ValidationError

    try:
        text = json.dumps([plain], ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError("it holds a number that is not finite") from error
    adapter = _adapter(cast("Any", kind))
    try:
        # UTF-8 has no lone surrogate; only this check of the record goes without it.
        adapter.validate_json(text.encode("utf-8", "replace"), strict=True)
        (record,) = adapter.validate_python([plain])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"][1:]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from error
    return cast("T", record)


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    """Make the adapter of a tuple of one record: a dataclass alone takes no pydantic settings."""
    from pydantic import ConfigDict, TypeAdapter

    settings = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)
    return TypeAdapter(cast("Any", GenericAlias(tuple, (kind,))), config=settings)


def resource_error(error: BaseException) -> ResourceError | None:
    """Return the error to raise if another one was caused by a lack of open files, else None.

    The cause may lie deep: an HTTP client reports a connection that it cannot open as the server's
    failure.
    """
    for cause in _causes(error):
        if isinstance(cause, ResourceError):
            return cause
        no_file = isinstance(cause, OSError) and cause.errno in _NO_MORE_FILES
        if no_file or (isinstance(cause, _VAGUE) and _no_file_is_left()):
            return ResourceError(
                "Too many open files: this process may open no more files or connections. Lower "
                "`num_threads` (--num-threads), or raise the limit first (`ulimit -n 4096`). The "
                "provider did not fail; replies that were paid for are kept."
            )
    return None


def _no_file_is_left() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in _NO_MORE_FILES
    return False


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = set[int]()
    while error is not None and id(error) not in seen:  # an error may be its cause's context
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _read(path: Path, instead_of_folder: str = _REMOVE_FOLDER) -> Iterator[None]:
    _check_kind(path)  # to open a pipe would block until somebody writes
    try:
        yield
    except OSError as error:
        if lack := resource_error(error):
            raise lack from error
        is_folder = error.errno == errno.EISDIR
        mending = instead_of_folder if is_folder else "Make it readable, or give another path."
        raise SetupError(f"Cannot read {path}: {error.strerror}. {mending}") from error


def check_folder(folder: Path) -> None:
    """Check that nothing in an untrusted folder leads to a file outside of it.

    Raises:
        SetupError: If it is or contains a symbolic link, a pipe, a socket or a device.
    """
    _check_kind(folder)
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            _check_kind(Path(place, name))


def _check_kind(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:  # opening it will say why
        return
    if stat.S_ISLNK(mode):
        raise SetupError(
            f"{path} is a symbolic link, which may lead anywhere. Remove it, or give another path."
        )
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise SetupError(f"{path} is neither a file nor a folder. Remove it.")


def database_files(file: Path) -> tuple[Path, ...]:
    """Return the paths of an SQLite file and of those beside it while it is in use."""
    ends = ("", "-journal", "-wal", "-shm", ".lock")
    return tuple(file.with_name(f"{file.name}{end}") for end in ends)


def check_database(file: Path) -> None:
    """Check that SQLite will touch no other file when it opens or creates this one.

    Raises:
        SetupError: If a link or a journal leads to another file, or one is not a file.
    """
    for path in database_files(file):
        _check_kind(path)
        if path.is_dir():
            raise SetupError(f"Cannot open {path}: Is a directory. {_REMOVE_FOLDER}")
    journal = file.with_name(f"{file.name}-journal")
    # SQLite deletes the file that such a journal names.
    if journal.is_file() and journal.read_bytes().endswith(_NAMES_ANOTHER):
        raise SetupError(f"{journal} names another file and was not written here. Remove it.")


def _parsed(text: bytes, place: str, mending: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SetupError(f"{place} is damaged: {error}. {mending}") from error
    if not isinstance(value, dict):
        raise SetupError(f"{place} is damaged: it must hold JSON objects. {mending}")
    return value


def _write_whole(file: FileIO, line: bytes) -> None:
    start, done = file.seek(0, os.SEEK_END), 0
    try:
        while done < len(line):
            done += file.write(line[done:])
    except OSError:  # on a full disk, say: half a line would damage the next one
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
