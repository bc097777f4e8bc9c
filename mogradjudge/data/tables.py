"""What a file or the hub holds, as rows of a table: text is never taken for anything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mogradjudge.criteria import Group
from mogradjudge.data.batches import BATCH_ROWS, Batch, Row, up_to
from mogradjudge.data.hub import HUB, read_hub
from mogradjudge.data.json_lines import read_json_lines
from mogradjudge.data.parquet import read_parquet
from mogradjudge.data.readers import read_delimited
from mogradjudge.errors import SetupError
from mogradjudge.secrets import redact

KINDS = (".csv", ".tsv", ".jsonl", ".parquet")
"""The kinds of table files, by how their names end."""


@dataclass(frozen=True)
class Table:
    """What was read: all the names of the columns, and the rows with the wanted ones.

    ``first`` is the number of the first row in the source.
    """

    source: str
    columns: Group
    rows: Sequence[Row]
    first: int = 1

    def column(self, name: str) -> list[object]:
        return [row.get(name) for row in self.rows]


def read_table(source: str, wanted: Group, limit: int | None) -> Table:
    """Read the wanted columns, as far as they are there, of the first rows of a source.

    Raises:
        SetupError: If the source cannot be read.
    """
    batches = list(stream_table(source, wanted, limit))
    columns = tuple(dict.fromkeys(chain.from_iterable(batch.columns for batch in batches)))
    return Table(source, columns, [row for batch in batches for row in batch.rows])


def stream_table(
    source: str,
    wanted: Group,
    limit: int | None = None,
    size: int = BATCH_ROWS,
    *,
    whole: bool = False,
) -> Iterator[Batch]:
    """Read the first rows of a source batch by batch, each with the wanted columns.

    Args:
        source: A file or a data set of the hub.
        wanted: The columns that the rows must have, as far as they are there.
        limit: The most rows to read.
        size: The rows of a batch; the last one may have fewer.
        whole: Whether the batches keep the other columns, too.

    Raises:
        SetupError: If the source cannot be read.
    """
    try:
        yield from up_to(_reader(source, wanted, size, whole=whole), limit)
    except SetupError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(redact(str(error)).split()) or type(error).__name__
        raise SetupError(f"Cannot read {source}: {reason[:300].rstrip('.')}.") from error


def _reader(source: str, wanted: Group, size: int, *, whole: bool) -> Iterator[Batch]:
    if source.startswith(HUB):
        return read_hub(source, wanted, size)
    path = Path(source)
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise SetupError(
            f"`source` must be a {', '.join(KINDS)} file or hf:OWNER/NAME, got {source!r}."
        )
    if not path.is_file():
        raise SetupError(f"Cannot read {path}: there is no such file.")
    match kind:
        case ".parquet":
            return read_parquet(path, wanted, size, whole=whole)
        case ".jsonl":
            return read_json_lines(path, size)
        case _:
            return read_delimited(path, "," if kind == ".csv" else "\t", size)
