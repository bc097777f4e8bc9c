"""Files that are whole after a crash at any instant: replaced at once, or grown line by line."""

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
"""Stands in the name of a file that is not whole yet."""
DELETE_LINE = "Delete that line to go on without it."
"""What helps where a line of a `LineLog` is damaged."""
_BLOCK = 4096  # bytes read at a time, from the end
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")  # the end of a journal that names another file
_REMOVE_FOLDER = "Remove the folder of that name."
_MENDING = {
    errno.ENOSPC: "Make room and start the same again; what is in the folder is kept.",
    errno.EDQUOT: "Make room and start the same again; what is in the folder is kept.",
    errno.ENOENT: "Its folder was removed or renamed meanwhile.",
    errno.EISDIR: _REMOVE_FOLDER,
    errno.EEXIST: "Remove or rename the file of that name.",
}
_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE)
# They tell no errno where they could not open a file.
_VAGUE = (sqlite3.OperationalError, socket.gaierror)


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
        """Append one entry as a line of JSON.

        Raises:
            SetupError: If the disk takes it not.
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
            SetupError: If the file cannot be read, or a line is no JSON.
        """
        if not self.path.exists():
            return
        with _read(self.path), self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(b"\n"):
                    yield _parsed(line, f"Line {number} of {self.path}", DELETE_LINE)

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
    """Give a path to write to; it takes the place of the file at once, and is on the disk then.

    Raises:
        SetupError: If the disk takes it not.
    """
    # DSPy goes by how a file's name ends.
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
    """Say in one line why a file or a folder cannot be written.

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
        mending = _MENDING.get(cause.errno or 0, "Give a place that can be written to.")
        raise ResourceError(f"Cannot write {path}: {cause.strerror or cause}. {mending}") from error


@contextmanager
def locked(path: Path, taken: SetupError) -> Iterator[None]:
    """Keep other processes out while the block runs.

    Args:
        path: The lock's file.
        taken: What is raised where another process has it.

    Raises:
        SetupError: Also if there can be no lock.
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
        mending: What helps where it is damaged.

    Raises:
        SetupError: If the file cannot be read or holds something else.
    """
    with _read(path, mending):
        return _parsed(path.read_bytes(), str(path), mending)


def read_record(kind: type[T], path: Path, mending: str = "Give another folder.") -> T:
    """Read a JSON file that holds a dataclass; other keys than its fields are left alone.

    Args:
        kind: The dataclass; what it consists of decides what the file may hold (`decoded`).
        path: The file.
        mending: What helps where it is damaged.

    Raises:
        SetupError: If the file cannot be read or holds something else.
    """
    plain = read_json(path, mending)
    try:
        return decoded(kind, plain)
    except ValueError as error:
        raise SetupError(f"{path} is damaged ({error}). {mending}") from error


def decoded(kind: type[T], plain: Mapping[str, Any]) -> T:
    """Give what `dataclasses.asdict` made of a dataclass, and JSON of that, as a dataclass again.

    Types are taken strictly: a text is no number, true is none either, and no number is infinite.
    An integer stands for a float. Keys that are no field are left alone.

    Args:
        kind: The dataclass; its fields may hold dataclasses too.
        plain: What `json.loads` gave.

    Raises:
        ValueError: If it is something else; the text says where and what.

    Example:
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
        # Half of a surrogate pair is no UTF-8; only this look at the record does without it.
        adapter.validate_json(text.encode("utf-8", "replace"), strict=True)
        (record,) = adapter.validate_python([plain])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"][1:]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from error
    return cast("T", record)


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    """Make what checks and builds a tuple of one record: a dataclass alone takes no settings."""
    from pydantic import ConfigDict, TypeAdapter

    settings = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)
    return TypeAdapter(cast("Any", GenericAlias(tuple, (kind,))), config=settings)


def resource_error(error: BaseException) -> ResourceError | None:
    """Give the error to raise where another one came from what the machine lacks, an open file say.

    It may lie under others: to a client a connection that cannot be opened is the server's failure.
    """
    for cause in _causes(error):
        if isinstance(cause, ResourceError):
            return cause
        no_file = isinstance(cause, OSError) and cause.errno in _NO_MORE_FILES
        if no_file or (isinstance(cause, _VAGUE) and _no_file_is_left()):
            return ResourceError(
                "Too many open files: this process may have no more of them and of connections. "
                "Lower `num_threads` (--num-threads), or raise the limit first (`ulimit -n 4096`). "
                "It is no failure of the provider; what was paid for is kept."
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
    while error is not None and id(error) not in seen:  # one may be its own cause's context
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def _read(path: Path, instead_of_folder: str = _REMOVE_FOLDER) -> Iterator[None]:
    _check_kind(path)  # whoever opens a pipe waits for a writer
    try:
        yield
    except OSError as error:
        if lack := resource_error(error):
            raise lack from error
        is_folder = error.errno == errno.EISDIR
        mending = instead_of_folder if is_folder else "Let it be read, or give another place."
        raise SetupError(f"Cannot read {path}: {error.strerror}. {mending}") from error


def check_folder(folder: Path) -> None:
    """Check that a folder, which may come from anybody, leads to no file outside itself.

    Raises:
        SetupError: If it is a symbolic link, or holds one, or a pipe or the like.
    """
    _check_kind(folder)
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            _check_kind(Path(place, name))


def _check_kind(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError:  # whoever opens it says why
        return
    if stat.S_ISLNK(mode):
        raise SetupError(
            f"{path} is a symbolic link, which may lead anywhere. Remove it, or give another place."
        )
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise SetupError(f"{path} is neither a file nor a folder. Remove it.")


def database_files(file: Path) -> tuple[Path, ...]:
    """Name an SQLite file and those that stand beside it while it is in use."""
    ends = ("", "-journal", "-wal", "-shm", ".lock")
    return tuple(file.with_name(f"{file.name}{end}") for end in ends)


def check_database(file: Path) -> None:
    """Check that SQLite will touch no other file when it opens this one, or makes it.

    Raises:
        SetupError: If a link or a journal leads it to another one, or one is no file.
    """
    for path in database_files(file):
        _check_kind(path)
        if path.is_dir():
            raise SetupError(f"Cannot open {path}: Is a directory. {_REMOVE_FOLDER}")
    journal = file.with_name(f"{file.name}-journal")
    # SQLite deletes the file that such a journal names.
    if journal.is_file() and journal.read_bytes().endswith(_NAMES_ANOTHER):
        raise SetupError(f"{journal} names a further file, and is none of ours. Remove it.")


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
