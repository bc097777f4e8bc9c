"""Stores paid replies on disk as JSON, so that reading a stranger's file runs no code."""

from __future__ import annotations

import copy
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydantic
from filelock import FileLock

from mogradjudge.errors import ResourceError, SetupError
from mogradjudge.files import check_database, check_folder, database_files, written
from mogradjudge.lm.dspy_internals import (
    CACHE_FORMAT,
    FORMAT,
    NOTES_OF_LITELLM,
    PRICE_NOTE,
    AttributeDict,
    CallResult,
    attributes,
    lm_call_of,
    outputs_of_completion,
    plain,
    responses_outputs,
)

logger = logging.getLogger(__name__)

FILE = "replies.sqlite3"
_TABLE = "CREATE TABLE replies (request TEXT PRIMARY KEY NOT NULL, reply BLOB NOT NULL)"
_SCHEMA = [("index", None), ("table", _TABLE)]  # SQLite adds the index of the key
_WAIT = 10.0  # seconds for another process that writes
_PAGE = 4096  # bytes
_MOST_PAGES = 30 * 10**9 // _PAGE  # as much as DSPy keeps
_EARLIER = "000"  # a folder of the store of earlier versions, which held pickles
_SDKS = ("litellm", "openai")
_ATOMS = (str, int, float, bool, type(None))
_DEEPEST = 100  # lists and objects within each other
_NOT_READ = "Replies cannot be read from %s (%s). The run goes on and pays for them again."
_NOT_KEPT = (
    "Replies cannot be stored in %s (%s). The run goes on, but a later one pays for them again."
)


class Unreadable(ValueError):
    """A stored value is not a reply to its request."""


def packed(reply: Any) -> bytes:
    """Write a reply as JSON; one of litellm's or openai's classes by its fields.

    Raises:
        TypeError: If it could not be read back unchanged.

    >>> unpacked(packed({"text": "Yes"}))
    {'text': 'Yes'}
    """
    entry = _entry(reply)
    if reply is None or not _is_plain(entry):
        raise TypeError(f"A {type(reply).__name__} cannot be written as JSON as it is.")
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogatepass")


def unpacked(reply: Any) -> Any:
    """Read what `packed` wrote; a provider's reply has its fields as attributes and items.

    Raises:
        Unreadable: If it is anything else.
    """
    try:
        entry = json.loads(reply.decode("utf-8", "surrogatepass"))
    except (AttributeError, ValueError, RecursionError) as error:
        raise Unreadable(f"no JSON: {error}") from error
    match entry:
        case {"value": value} if value is not None and _is_plain(value):
            return value
        case {"sdk": dict(fields), "cost": cost} if _is_price(cost) and _is_plain(fields):
            response = attributes(fields)
            vars(response)[NOTES_OF_LITELLM[0]] = {PRICE_NOTE: cost}
            return response
    raise Unreadable("not in the format of a stored reply")


def check_reply(request: Mapping[str, Any], reply: Any) -> None:
    """Check that DSPy can copy a reply and, if the request was to an LM, read it.

    Raises:
        Unreadable: If it cannot.
    """
    try:
        copy.deepcopy(reply)
        if call := lm_call_of(request):
            _Outputs(outputs=_outputs(call, reply))
    except Exception as error:  # a stranger's value may fail in any way
        raise Unreadable(f"no reply of an LM: {type(error).__name__}") from error


def _outputs(call: str, reply: Any) -> Any:
    """Read a reply as DSPy does."""
    if isinstance(reply, AttributeDict):
        dict(getattr(reply, "usage", None) or {})
        if call.endswith("responses_completion"):
            return responses_outputs(reply)
        for choice in reply["choices"]:  # DSPy takes anything else for an empty output
            dict(choice.get("message") or {"text": choice["text"]})
        return outputs_of_completion(reply)
    if reply[FORMAT] != CACHE_FORMAT:
        raise Unreadable("another format")
    result = CallResult.load(reply)
    if not _is_price(result.cost) or len(result.responses) != len(result.outputs):
        raise Unreadable("no price, or no response for each output")
    return result.outputs


class _Lenient(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


class _Token(_Lenient):
    token: str
    logprob: pydantic.StrictFloat | pydantic.StrictInt
    top_logprobs: list[_Token] | None = None


class _Logprobs(_Lenient):
    content: list[_Token] | None = None


class _Output(_Lenient):
    """The fields of an output that DSPy's adapters read; they only pass on the others."""

    text: str | None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    citations: list[dict[str, Any]] | None = None
    logprobs: _Logprobs | None = None


class _Outputs(pydantic.BaseModel):
    outputs: list[str | _Output | None] = pydantic.Field(min_length=1)


def _entry(reply: Any) -> dict[str, Any]:
    is_sdks = (
        isinstance(reply, pydantic.BaseModel) and type(reply).__module__.split(".")[0] in _SDKS
    )
    if is_sdks or isinstance(reply, AttributeDict):
        notes = getattr(reply, NOTES_OF_LITELLM[0], {})
        return {"sdk": plain(reply), "cost": notes.get(PRICE_NOTE)}
    is_dspys = isinstance(reply, dict) and reply.get(FORMAT) == CACHE_FORMAT
    return {"value": plain(reply) if is_dspys else reply}


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Return whether a value is unchanged by JSON and can be copied."""
    if depth > _DEEPEST:
        return False
    if type(value) is dict:
        return all(_is_name(key) and _is_plain(item, depth + 1) for key, item in value.items())
    if type(value) is list:
        return all(_is_plain(item, depth + 1) for item in value)
    return type(value) in _ATOMS


def _is_name(key: Any) -> bool:
    # Python asks an object's attributes for names such as `__deepcopy__`.
    return type(key) is str and not (key.startswith("__") and key.endswith("__"))


def _is_price(cost: Any) -> bool:
    return cost is None or (isinstance(cost, int | float) and not isinstance(cost, bool))


class FolderReplies:
    """Replies in one SQLite file of a folder, which threads and processes may share.

    When `set` returns, the end of the process cannot lose the reply. If the file cannot be written
    or is gone, one warning says so; the run goes on and keeps its replies in memory.

    Args:
        folder: The folder; it is created if it does not exist.

    Raises:
        SetupError: If its files are not those of such a store.

    >>> from contextlib import closing
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, closing(FolderReplies(Path(folder))) as replies:
    ...     replies.set("key", {"text": "Yes"})
    ...     replies.get("key")
    {'text': 'Yes'}
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._warned = set[str]()
        self._owner = 0
        self._connection: sqlite3.Connection | None = None
        try:
            self._make()
        except SetupError:
            self.close()
            raise

    def get(self, key: str) -> Any:
        """Return a reply, or None.

        Raises:
            Unreadable: If the stored value is not a reply.
        """
        rows = self._run("SELECT reply FROM replies WHERE request = ?", key)
        return unpacked(rows[0][0]) if rows else None

    def set(self, key: str, value: Any) -> None:
        """Store a reply.

        Raises:
            TypeError: If it cannot be written.
        """
        self._run("INSERT OR REPLACE INTO replies VALUES (?, ?)", key, packed(value))
        if not (self.folder / FILE).exists():
            self._warn(_NOT_KEPT, "the file is gone")

    def delete(self, key: str) -> None:
        """Delete a reply that cannot be read."""
        self._run("DELETE FROM replies WHERE request = ?", key)

    def __contains__(self, key: str) -> bool:
        return bool(self._run("SELECT 1 FROM replies WHERE request = ?", key))

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._lock:
            if self._connection is not None and self._owner == os.getpid():
                self._connection.close()
            self._connection = None

    def _make(self) -> None:
        file = self.folder / FILE
        check_folder(self.folder)
        check_database(file)
        try:
            with written(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                self._open(file)
        except sqlite3.OperationalError as error:  # the file itself may be whole
            raise ResourceError(
                f"Cannot open {file}: {error}. Make it readable and writable, or wait until no "
                "other program has it open; its replies are kept."
            ) from error
        except sqlite3.Error as error:
            raise SetupError(
                f"The replies in {self.folder} cannot be read ({error}). Remove that folder to pay "
                "for them again."
            ) from error

    def _open(self, file: Path) -> None:
        if (self.folder / _EARLIER).exists():
            raise sqlite3.DatabaseError("an earlier version wrote them")
        with FileLock(f"{file}.lock"):  # a new file is not in WAL mode at first
            self._run_or_raise(_TABLE.replace("TABLE", "TABLE IF NOT EXISTS", 1))
        if self._run_or_raise("SELECT type, sql FROM sqlite_master ORDER BY type") != _SCHEMA:
            raise sqlite3.DatabaseError("it has other tables")

    def _run(self, statement: str, *values: Any) -> list[Any]:
        try:
            return self._run_or_raise(statement, *values)
        except sqlite3.Error as error:
            self._warn(_NOT_READ if statement.startswith("SELECT") else _NOT_KEPT, str(error))
            return []

    def _run_or_raise(self, statement: str, *values: Any) -> list[Any]:
        if self._owner != os.getpid():  # a forked process must not use the inherited connection
            self._inherited, self._connection = self._connection, None
            self._lock, self._owner = threading.Lock(), os.getpid()
        with self._lock:
            if self._connection is None:
                self._connection = _connected(self.folder / FILE)
            return self._connection.execute(statement, values).fetchall()

    def _warn(self, message: str, reason: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning(message, self.folder, reason)


def remove_replies(folder: Path) -> None:
    """Remove the files of a store, and its folder if it is empty then."""
    for file in database_files(folder / FILE):
        if file.is_file():
            file.unlink()
    with suppress(OSError):
        folder.rmdir()


def _connected(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=_WAIT, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing
    connection.execute(f"PRAGMA max_page_count={_MOST_PAGES}")
    return connection
