"""What a file or the hub holds, as rows of a table: text is never taken for anything else."""

from __future__ import annotations

import csv
import glob
import json
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError
from mogradjudge.secrets import redact

if TYPE_CHECKING:
    from datasets import IterableDataset  # slow to import, so only where it is used

KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
"""The kinds of table files, by how their names end."""


@dataclass(frozen=True)
class Table:
    """What was read: all the names of the columns, and the rows with the wanted ones."""

    source: str
    columns: Group
    rows: Sequence[Mapping[str, object]]

    def column(self, name: str) -> list[object]:
        return [row.get(name) for row in self.rows]


def read_table(source: str, wanted: Group, limit: int | None) -> Table:
    """Read the wanted columns, as far as they are there, of the first rows of a source.

    Raises:
        SetupError: If the source cannot be read.
    """
    try:
        if source.startswith("hf:"):
            return _read_hub(source, wanted, limit)
        return _read_file(Path(source), wanted, limit)
    except SetupError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(redact(str(error)).split()) or type(error).__name__
        raise SetupError(f"Cannot read {source}: {reason[:300].rstrip('.')}.") from error


def _read_file(path: Path, wanted: Group, limit: int | None) -> Table:
    if path.suffix.lower() not in KINDS:
        raise SetupError(
            f"`source` must be a {', '.join(KINDS)} file or hf:OWNER/NAME, got {str(path)!r}."
        )
    if not path.is_file():
        raise SetupError(f"Cannot read {path}: there is no such file.")
    match path.suffix.lower():
        case ".parquet":
            return _read_parquet(path, wanted, limit)
        case ".jsonl":
            return _read_json_lines(path, limit)
        case kind:
            return _read_csv(path, wanted, limit, "," if kind == ".csv" else "\t")


def _read_hub(source: str, wanted: Group, limit: int | None) -> Table:
    parts = re.fullmatch(r"hf:(\w[\w.-]*/\w[\w.-]*)(?::([\w.-]+))?", source)
    if not parts:
        raise SetupError(
            f"`source` must read hf:OWNER/NAME or hf:OWNER/NAME:SPLIT, got {source!r}."
        )
    with _quiet() as folder:
        from datasets import load_dataset

        splits = load_dataset(parts[1], streaming=True, cache_dir=folder)
        data = splits[_choose_split(source, parts[2], list(splits))]
        return _collect(source, data, wanted, limit)


def _read_parquet(path: Path, wanted: Group, limit: int | None) -> Table:
    with _quiet() as folder:
        from datasets import Dataset

        data = Dataset.from_parquet(
            _literal(path),
            cache_dir=folder,
            streaming=True,
            batch_size=1024,  # by default that of the first row group, which may be empty
        )
        return _collect(str(path), data, wanted, limit)


def _read_csv(path: Path, wanted: Group, limit: int | None, delimiter: str) -> Table:
    _check_utf8(path)
    header = _check_csv(path, delimiter)
    present = [name for name in dict.fromkeys(wanted) if name in header]
    if not present:
        return Table(str(path), header, ())
    with _quiet() as folder:
        from datasets import Dataset, Features, Value

        data = Dataset.from_csv(
            _literal(path),
            cache_dir=folder,
            streaming=True,
            sep=delimiter,
            encoding="utf-8-sig",
            # Each field is the text that the file has: no number, no date, no null.
            features=Features({name: Value("string") for name in present}),
            keep_default_na=False,
            na_filter=False,
            nrows=limit,  # a stream that stops early would leave pandas' file open
        )
        return replace(_collect(str(path), data, wanted, None), columns=header)


def _check_csv(path: Path, delimiter: str) -> Group:
    """Refuse what pandas would repair in silence; return the header."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(filter(None, reader), [])
            for fields in filter(None, reader):
                if len(fields) != len(header):
                    raise SetupError(
                        f"{path}: the row that ends in line {reader.line_num} must have as many "
                        f"fields as the header, {len(header)}, got {len(fields)}. "
                        "Put a text that holds the separator or a line break in quotes."
                    )
    except csv.Error as error:
        raise SetupError(
            f"{path}: line {reader.line_num} is not valid CSV: {error}. Check its quotes."
        ) from error
    finally:
        csv.field_size_limit(before)
    if twice := [name for name in header if header.count(name) > 1]:
        raise SetupError(f"{path}: each column name must be used once, got {twice[0]!r} twice.")
    return tuple(header)


def _read_json_lines(path: Path, limit: int | None) -> Table:
    _check_utf8(path)
    with _quiet() as folder:
        from datasets import Dataset

        # `from_json` turns texts that look like dates into dates, so the lines are read as text.
        data = Dataset.from_text(
            _literal(path), cache_dir=folder, streaming=True, encoding="utf-8-sig"
        )
        lines = [row["text"] for row in data]
    rows = [_json_row(path, n, line) for n, line in enumerate(lines, 1) if line.strip()]
    return Table(str(path), tuple(dict.fromkeys(chain(*rows))), rows[:limit])


def _json_row(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise SetupError(
            f"{path}: line {number} is not valid JSON: {error.msg} at column {error.colno}."
        ) from error
    if not isinstance(row, dict):
        raise SetupError(f"{path}: line {number} must be a JSON object, got {line[:40]!r}.")
    return row


def _check_utf8(path: Path) -> None:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise SetupError(
                    f"{path} is not UTF-8 text: byte {error.start + 1} of line {number} is "
                    "invalid. Save it as UTF-8."
                ) from error


def _literal(path: Path) -> str:
    """Write a file's name so that `datasets`, which takes names for patterns, finds just it."""
    return glob.escape(str(path.resolve()))


def _collect(source: str, data: IterableDataset, wanted: Group, limit: int | None) -> Table:
    # A file may call a column an image or a document: to decode it would open what it points at.
    data = data.decode(enable=False)
    columns = tuple(data.column_names or next(iter(data), {}))
    data = data.select_columns([name for name in columns if name in wanted])
    return Table(source, columns, list(data if limit is None else data.take(limit)))


def _choose_split(source: str, split: str | None, known: list[str]) -> str:
    if split is None and len(known) == 1:
        return known[0]
    if split not in known:
        raise SetupError(
            f"`source` must name one of the splits {', '.join(known)}, got {source!r}. "
            f"Write hf:OWNER/NAME:{known[0]}, say."
        )
    return split


@contextmanager
def _quiet() -> Iterator[str]:
    """Give `datasets` a cache to throw away, and keep what it logs off stderr.

    Its own cache may be stale, and an error is one line, which is ours.
    """
    import datasets

    bars = datasets.are_progress_bars_disabled()
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            yield folder
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()
