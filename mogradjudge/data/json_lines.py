"""JSON lines: each line is one row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from mogradjudge.data.batches import Batch
from mogradjudge.data.readers import check_utf8
from mogradjudge.errors import SetupError


def read_json_lines(path: Path, size: int) -> Iterator[Batch]:
    """Read a file of JSON objects; a batch's columns are all that its rows name.

    Raises:
        SetupError: If the file is not UTF-8, or a line is no JSON object.
    """
    check_utf8(path)
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        lines = ((number, line.strip()) for number, line in enumerate(file, 1))
        rows = (_row(path, number, line) for number, line in lines if line)
        while chunk := list(islice(rows, size)):
            yield Batch(tuple(dict.fromkeys(key for row in chunk for key in row)), chunk)


def _row(path: Path, number: int, line: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise SetupError(
            f"{path}: line {number} is not valid JSON: {error.msg} at column {error.colno}."
        ) from error
    if not isinstance(row, dict):
        raise SetupError(f"{path}: line {number} must be a JSON object, got {line[:40]!r}.")
    return row
