"""A table of any length through a finished judge, into a file: a stream that can be taken up."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import dspy

from mogradjudge.added import cells_of, check_added, count_sources, with_added, with_scores
from mogradjudge.candidate import clone
from mogradjudge.concurrency import in_order
from mogradjudge.criteria import Group
from mogradjudge.data import (
    HUB,
    Batch,
    Survey,
    Table,
    check_columns,
    inputs_of,
    kept_table,
    key_of,
    stream_table,
    survey,
    write_parquet,
)
from mogradjudge.errors import SetupError
from mogradjudge.evaluation import Refused, judging, run_program
from mogradjudge.fingerprint import describe_lm, digest_of_program
from mogradjudge.interruption import interruptible
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.ledger import Ledger, LedgerRow
from mogradjudge.metering import meter_program
from mogradjudge.outputs import check_output, write_output
from mogradjudge.parts import Parts, opened_parts
from mogradjudge.replies import replies_kept_in
from mogradjudge.scores import Unscored
from mogradjudge.scoring import check_lm

if TYPE_CHECKING:
    import pyarrow as pa

PART_ROWS = 1000
"""Rows of a part: what is in memory at one time, but for the window of calls in flight."""
_REPLIES_IN_MEMORY = 1000

Watch: TypeAlias = Callable[[int, int], None]
"""Is told, from the thread that scores, how many rows are done and how many there are."""


@dataclass(frozen=True)
class ScoredTable:
    """What became of a table: where its scores are, and what went wrong on which criterion."""

    out: Path
    texts: int
    unscored: Mapping[str, int]
    fallbacks: Mapping[str, int]
    ledger: tuple[LedgerRow, ...]


def score_table(
    judge: MultiCriteriaJudge,
    source: str | Path,
    out: str | Path,
    num_threads: int = 8,
    limit: int | None = None,
    *,
    overwrite: bool = False,
    max_rpm: int | None = None,
    part_rows: int = PART_ROWS,
    watch: Watch | None = None,
) -> ScoredTable:
    """Score every text of a table, with the LM of the context, and write it with its scores.

    The table is never in memory as a whole. All its columns are kept, in their order and with the
    rows in theirs: those of Parquet and of the hub with their types, others as text. Added are, for
    each criterion, ``<criterion>`` (a float, null where there is no score), ``<criterion>_source``
    (how it came about, see `Reading`) and ``<criterion>_unscored`` (why there is none).

    Texts that are equal are paid for once. Until it is done the work lies in the folder
    ``<out>.parts``, and the same call takes it up where it was cut short, by whatever.

    Args:
        judge: A judge; it is not changed.
        source: A file or a data set of the hub, as in `load_examples`. It needs no human scores.
        out: A file to write, ``.parquet``, ``.csv`` or ``.jsonl``.
        num_threads: The most calls in flight.
        limit: Score only that many rows from the top.
        max_rpm: The most calls to send in any 60 seconds; None for no limit.
        overwrite: Whether ``out`` may be there already; it is replaced at the end.
        part_rows: Rows per part.
        watch: Is told the progress.

    Raises:
        SetupError: Before any call is paid, if the table cannot be scored, or not into ``out``.
        dspy.LMError: If the provider fails; what is finished is kept.
        RunStopped: After Ctrl-C or SIGTERM, once the calls in flight have ended; so it is.
    """
    check_lm()
    for name, value in (("num_threads", num_threads), ("limit", limit), ("part_rows", part_rows)):
        _check_count(name, 1 if value is None else value)
    out = Path(out)
    check_output(out, overwrite=overwrite)
    if Path(source).exists() and out.exists() and out.samefile(source):
        raise SetupError(f"`--out` must be another file than the table that is read, got {out}.")
    with opened_parts(out) as parts:
        task = _task(judge, str(source), limit, part_rows, parts)
        parts.claim(task.asked)
        ledger = Ledger(max_in_flight=num_threads, max_rpm=max_rpm)
        with _unless_nothing_is_paid(parts, ledger), judging(), interruptible(ledger.brake):
            program = meter_program(clone(judge), ledger, judge.rubric.names)
            _write_parts(task, program, parts, num_threads, watch or _ignore)
        unscored, fallbacks = _join(task, parts, out)
        parts.remove()
    return ScoredTable(out, task.seen.rows, unscored, fallbacks, ledger.rows)


@contextmanager
def _unless_nothing_is_paid(parts: Parts, ledger: Ledger) -> Iterator[None]:
    """Keep replies while the block runs; without any, settings can still be mended after it."""
    fresh = not parts.paid
    try:
        with replies_kept_in(parts.cache, _REPLIES_IN_MEMORY):
            yield
    except BaseException:
        if fresh and not parts.finished and not any(row.calls for row in ledger.rows):
            parts.remove()
        raise


@dataclass(frozen=True)
class _Task:
    path: Path
    seen: Survey
    inputs: Group
    criteria: Group
    asked: Mapping[str, Any]

    def batches(self) -> Iterator[Batch]:
        rows, limit = self.asked["part_rows"], self.asked["limit"]
        return stream_table(str(self.path), self.inputs, limit, rows, whole=True)


def _task(
    judge: MultiCriteriaJudge, source: str, limit: int | None, part_rows: int, parts: Parts
) -> _Task:
    """Check a table before any call is paid."""
    inputs, criteria = judge.rubric.inputs, judge.rubric.names
    path = Path(source)
    if source.startswith(HUB):
        # What the hub has may change, and each reading of it is a download.
        name = hashlib.sha256(f"{source} {limit}".encode()).hexdigest()[:16]
        path = parts.copy_of(name)
        if not path.exists():
            _copy(stream_table(source, inputs, limit, whole=True), source, inputs, path)
    seen = survey(path, inputs, limit)
    check_added(tuple(seen.schema.names), criteria)
    return _Task(path, seen, inputs, criteria, _asked(judge, seen, limit, part_rows))


def _copy(batches: Iterator[Batch], source: str, inputs: Group, path: Path) -> None:
    first = next(batches, Batch((), ()))
    check_columns(Table(source, first.columns, first.rows), inputs)
    assert first.typed is not None  # the hub's columns have types
    write_parquet(path, first.typed.schema, (each.typed for each in chain([first], batches)))


def _write_parts(
    task: _Task, program: dspy.Module, parts: Parts, num_threads: int, watch: Watch
) -> None:
    finished = len(parts.finished)
    done = min(finished * task.asked["part_rows"], task.seen.rows)
    watch(done, task.seen.rows)
    waiting: deque[Batch] = deque()
    left = _inputs(task, islice(task.batches(), finished, None), waiting)
    judge = partial(run_program, program)
    made: list[dspy.Prediction | Unscored] = []
    with closing(in_order(judge, left, num_threads, key_of)) as judged:
        try:
            for number, (_, row) in enumerate(judged, done + 1):
                made.append(row)
                watch(number, task.seen.rows)
                if len(made) == len(waiting[0].rows):
                    _check_not_all_refused(made)
                    cells = [cells_of(each, task.criteria) for each in made]
                    kept = kept_table(task.path, waiting.popleft(), task.seen.schema.names)
                    parts.write(finished, with_scores(kept, cells, task.criteria))
                    finished, made = finished + 1, []
        except KeyboardInterrupt as stop:
            judged.throw(stop)  # it waits for no call then, as it does for one inside it


def _inputs(
    task: _Task, batches: Iterable[Batch], waiting: deque[Batch]
) -> Iterator[dict[str, str]]:
    """Give the inputs row by row, and put the batches aside until their rows are judged."""
    for batch in batches:
        waiting.append(batch)
        yield from inputs_of(task.path, batch, task.inputs)


def _check_not_all_refused(made: Sequence[dspy.Prediction | Unscored]) -> None:
    refused = [each for each in made if isinstance(each, Refused)]
    if len(refused) == len(made):  # it is not the texts' fault, then
        raise refused[0].error


def _join(task: _Task, parts: Parts, out: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Put the parts together; count what is unscored and what fell back on the way."""
    unscored, fallbacks = Counter[str](), Counter[str]()

    def counted() -> Iterator[pa.Table]:
        for table in parts.read():
            unscored.update(count_sources(table, task.criteria, None))
            fallbacks.update(count_sources(table, task.criteria, "fallback"))
            yield table

    write_output(out, with_added(task.seen.schema, task.criteria), counted())
    return dict(unscored), dict(fallbacks)


def _asked(
    judge: MultiCriteriaJudge, seen: Survey, limit: int | None, part_rows: int
) -> dict[str, Any]:
    """Tell what decides the scores, as plain JSON values; a key is never among them."""
    lm = dspy.settings.lm
    versions = {name: version(name) for name in ("dspy", "mogradjudge")}
    return {
        "judge": digest_of_program(judge),
        "data": seen.digest,
        "model": describe_lm(lm),
        "adapter": type(dspy.settings.adapter or dspy.ChatAdapter()).__name__,
        "limit": limit,
        "part_rows": part_rows,
        **versions,
    }


def _check_count(name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise SetupError(f"`{name}` must be a whole number, at least 1, got {value!r}.")


def _ignore(done: int, total: int) -> None:
    """Tell nobody."""
