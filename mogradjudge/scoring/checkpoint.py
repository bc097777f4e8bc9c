"""The folder beside a scored table until it is done: finished parts and paid replies."""

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
_REPLAY = "Delete it and the parts beside it to rebuild them from the paid replies."
_PART = re.compile(r"part-([0-9]{5}|[1-9][0-9]{5,})\.parquet")
# Files that may exist before asked.json is written; the last are partly written files.
_EARLY = re.compile(
    r"lock|source-[0-9a-f]{16}\.parquet"
    r"|(asked|source-[0-9a-f]{16}|part-[0-9]{5,})\.[0-9]+-[0-9]+\.partial\.(json|parquet)"
)
_LATER = re.compile(rf"asked\.json|cache|calls\.jsonl|{_PART.pattern}")


class Checkpoint:
    """The finished parts of one table; call `claim` before writing any.

    An interrupted run is resumed from its folder: each part exists completely or not at all, and
    `cache` has the paid replies of the next one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._request: Mapping[str, Any] = {}

    @property
    def cache(self) -> Path:
        """The folder of the paid replies."""
        return self.folder / _CACHE

    @property
    def calls(self) -> Path:
        """The log of calls, so that caps count all starts together."""
        return self.folder / _CALLS

    @property
    def finished(self) -> frozenset[int]:
        """The numbers of the finished parts, which may be finished in any order."""
        names = (_PART.fullmatch(path.name) for path in self.folder.glob("part-*"))
        return frozenset(int(name[1]) for name in names if name)

    @property
    def paid(self) -> bool:
        """Whether the folder has paid work."""
        return self.cache.exists() or bool(self.finished)

    def copy_of(self, name: str) -> Path:
        """Return the path for a copy of a source that is not a file."""
        return self.folder / f"source-{name}.parquet"

    def claim(self, request: Mapping[str, Any]) -> None:
        """Record the request: judge, data, model and settings.

        Raises:
            SetupError: If the folder has parts of another request.
        """
        self._request, path = request, self.folder / _ASKED
        if not self.finished:  # replies are found by their own request, so they stay valid
            write_text(path, to_json(request) + "\n")
        elif different := differences(read_json(path, _REPLAY), json.loads(json.dumps(request))):
            raise SetupError(
                f"{self.folder} has parts with other settings: {'; '.join(different)}. Use the "
                "same settings to resume, or another `--out`, or remove the folder."
            )

    def write(self, number: int, table: pa.Table) -> None:
        """Write a part; they are numbered from 0.

        Raises:
            SetupError: If it cannot be written.
            ResourceError: If the folder was removed meanwhile; the part is in a new one.
        """
        gone = not self.folder.exists()
        if gone:
            with written(self.folder):
                self.folder.mkdir()
            write_text(self.folder / _ASKED, to_json(self._request) + "\n")
        write_parquet(self._path(number), table.schema, [table])
        if gone:
            raise ResourceError(
                f"{self.folder} was removed or renamed while parts were written to it. The current "
                "part was saved in a new folder, but earlier parts and replies are missing. Run "
                "the same command again to resume."
            )

    def remove(self) -> None:
        """Remove our files from the folder; they are no longer needed."""
        remove_replies(self.cache)
        # The request goes last: without it the rest could not be resumed.
        for entry in sorted(self.folder.iterdir(), key=lambda entry: entry.name == _ASKED):
            if entry.name != _LOCK and _is_ours(entry.name) and entry.is_file():
                entry.unlink()

    def remove_folder(self) -> None:
        """Remove the folder with its lock, unless it holds other files."""
        with suppress(OSError):
            self.remove()
            if {entry.name for entry in self.folder.iterdir()} == {_LOCK}:
                (self.folder / _LOCK).unlink()
            self.folder.rmdir()

    def check_ours(self) -> None:
        """Check that the folder holds only our files.

        Raises:
            SetupError: If a name is not one of ours, or others of ours should stand beside it.
        """
        names = sorted(entry.name for entry in self.folder.iterdir())
        begun = _ASKED in names or (self.cache / FILE).exists()
        for name in names:
            if not (_is_ours(name) if begun else _EARLY.fullmatch(name)):
                raise SetupError(
                    f"{self.folder} must hold only parts of a table, but holds {name!r}, a file of "
                    "someone else. Give another `--out`."
                )

    def read(self, columns: Group, rows: Callable[[int], int]) -> Iterator[pa.Table]:
        """Yield the parts in the order of their numbers.

        Args:
            columns: The expected columns.
            rows: Returns the expected number of rows of a part.

        Raises:
            SetupError: If a part is damaged.
        """
        for number in sorted(self.finished):
            table = _table(self._path(number))
            if table is None or (tuple(table.column_names), len(table)) != (columns, rows(number)):
                raise SetupError(
                    f"{self._path(number)} is damaged: it is not a part of this table. Delete it "
                    "and run the same command again; it is rebuilt from the paid replies."
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
    """Open the folder beside a file exclusively; at the end it is removed if nothing was paid.

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
