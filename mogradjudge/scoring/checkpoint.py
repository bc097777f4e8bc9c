"""The folder beside a scored table while it is being made: finished parts, and paid replies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mogradjudge.criteria import Group
from mogradjudge.data import write_parquet
from mogradjudge.errors import ResourceError, SetupError
from mogradjudge.files import (
    check_folder,
    locked,
    read_json,
    resource_error,
    to_json,
    write_text,
    written,
)
from mogradjudge.lm.reply_store import FILE, remove_replies
from mogradjudge.programs.identity import differences

if TYPE_CHECKING:
    import pyarrow as pa

_ASKED, _CACHE, _CALLS, _LOCK = "asked.json", "cache", "calls.jsonl", "lock"
_REPLAY = "Delete it and the parts beside it to make them again from the paid replies."
_PART = re.compile(r"part-([0-9]{5}|[1-9][0-9]{5,})\.parquet")
# What may be there before it is noted what was asked for; the last ones are files half written.
_EARLY = re.compile(
    r"lock|source-[0-9a-f]{16}\.parquet"
    r"|(asked|source-[0-9a-f]{16}|part-[0-9]{5,})\.[0-9]+-[0-9]+\.partial\.(json|parquet)"
)
_LATER = re.compile(rf"asked\.json|cache|calls\.jsonl|{_PART.pattern}")


class Checkpoint:
    """The parts of one table; `claim` them before writing any.

    A folder that was left behind is taken up: each part is there as a whole or not at all, and the
    replies that were paid for the next one are in `cache`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._request: Mapping[str, Any] = {}

    @property
    def cache(self) -> Path:
        """Where replies are kept."""
        return self.folder / _CACHE

    @property
    def calls(self) -> Path:
        """Where each call is written down, so that caps hold for all starts together."""
        return self.folder / _CALLS

    @property
    def finished(self) -> frozenset[int]:
        """The numbers of the parts that are there; they may be finished in any order."""
        names = (_PART.fullmatch(path.name) for path in self.folder.glob("part-*"))
        return frozenset(int(name[1]) for name in names if name)

    @property
    def paid(self) -> bool:
        """Whether there is anything that was paid for."""
        return self.cache.exists() or bool(self.finished)

    def copy_of(self, name: str) -> Path:
        """Give the place for a copy of a source that is not a file."""
        return self.folder / f"source-{name}.parquet"

    def claim(self, request: Mapping[str, Any]) -> None:
        """Note what was asked for.

        Raises:
            SetupError: If the folder has parts that were made when something else was asked for.
        """
        self._request, path = request, self.folder / _ASKED
        if not self.finished:  # a reply is known by its request, whatever else is asked for now
            write_text(path, to_json(request) + "\n")
        elif different := differences(read_json(path, _REPLAY), json.loads(json.dumps(request))):
            raise SetupError(
                f"{self.folder} holds parts that were asked for otherwise: "
                f"{'; '.join(different)}. Give the same settings to take it up, or another "
                "`--out`, or remove the folder."
            )

    def write(self, number: int, table: pa.Table) -> None:
        """Write a part; they are numbered from 0.

        Raises:
            SetupError: If it cannot be written, or the folder had gone and is there anew.
        """
        gone = not self.folder.exists()
        if gone:
            with written(self.folder):
                self.folder.mkdir()
            write_text(self.folder / _ASKED, to_json(self._request) + "\n")
        write_parquet(self._path(number), table.schema, [table])
        if gone:
            raise ResourceError(
                f"{self.folder} was removed or renamed while parts were written to it. What was at "
                "hand is in it again, and the same call goes on from there; the parts and replies "
                "that were in it are not."
            )

    def remove(self) -> None:
        """Remove our files from the folder: they are in a better place, or were never paid for."""
        remove_replies(self.cache)
        # What was asked for goes last: without it nothing else could be taken up.
        for entry in sorted(self.folder.iterdir(), key=lambda entry: entry.name == _ASKED):
            if entry.name != _LOCK and _is_ours(entry.name) and entry.is_file():
                entry.unlink()

    def remove_folder(self) -> None:
        """Remove the folder, unless it holds what is not ours; the lock goes with it."""
        with suppress(OSError):
            self.remove()
            if {entry.name for entry in self.folder.iterdir()} == {_LOCK}:
                (self.folder / _LOCK).unlink()
            self.folder.rmdir()

    def check_ours(self) -> None:
        """Check that all there is was written by us.

        Raises:
            SetupError: If a name is not one of ours, or others of ours should stand beside it.
        """
        names = sorted(entry.name for entry in self.folder.iterdir())
        begun = _ASKED in names or (self.cache / FILE).exists()
        for name in names:
            if not (_is_ours(name) if begun else _EARLY.fullmatch(name)):
                raise SetupError(
                    f"{self.folder} must be free for parts of a table, and holds {name!r}, which "
                    "is of someone else. Give another `--out`."
                )

    def read(self, columns: Group, rows: Callable[[int], int]) -> Iterator[pa.Table]:
        """Give the parts' contents, in the order of their numbers.

        Args:
            columns: What each has.
            rows: Gives how many rows a part has.

        Raises:
            SetupError: If a part is damaged.
        """
        for number in sorted(self.finished):
            table = _table(self._path(number))
            if table is None or (tuple(table.column_names), len(table)) != (columns, rows(number)):
                raise SetupError(
                    f"{self._path(number)} is damaged: it is no part of this table. Delete it, and "
                    "the same call makes it again from the paid replies."
                )
            yield table

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:05}.parquet"


def _is_ours(name: str) -> bool:
    return bool(_EARLY.fullmatch(name) or _LATER.fullmatch(name))


def _table(path: Path) -> pa.Table | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        if lack := resource_error(error):
            raise lack from error
        return None


@contextmanager
def open_checkpoint(out: Path) -> Iterator[Checkpoint]:
    """Open the folder beside a file for this process alone; one with nothing paid is taken away.

    Raises:
        SetupError: If another process has it open, or it holds links or files of someone else's.
    """
    checkpoint = Checkpoint(out.with_name(out.name + ".parts"))
    check_folder(checkpoint.folder)
    with written(checkpoint.folder):
        checkpoint.folder.mkdir(exist_ok=True)
    checkpoint.check_ours()
    taken = f"Another process writes {out}. Wait for it, or give another `--out`."
    with locked(checkpoint.folder / _LOCK, SetupError(taken)):
        try:
            yield checkpoint
        finally:
            if not checkpoint.paid:
                checkpoint.remove_folder()
