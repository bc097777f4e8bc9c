"""A table of any length through a finished judge, into a file: a stream that can be taken up."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import dspy

from mogradjudge.criteria import Group
from mogradjudge.data import (
    HUB,
    Batch,
    Survey,
    Table,
    check_columns,
    kept_table,
    stream_table,
    survey,
    write_parquet,
)
from mogradjudge.errors import SetupError
from mogradjudge.files import LineLog
from mogradjudge.judge.finish_reason import cut_replies_counted
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.budget import Budget
from mogradjudge.lm.ledger import LedgerRow
from mogradjudge.lm.reply_cache import replies_kept_in
from mogradjudge.lm.stop import interruptible
from mogradjudge.programs.evaluation import (
    FIRST_TEXTS,
    FirstTexts,
    judging,
    nothing_scored,
    refusal_of_all,
)
from mogradjudge.programs.identity import describe_lm, digest_of_program
from mogradjudge.scoring.checkpoint import Checkpoint, open_checkpoint
from mogradjudge.scoring.evaluate import check_lm
from mogradjudge.scoring.output import (
    UNSCORED,
    check_added,
    check_output,
    count_sources,
    with_added,
    with_scores,
    write_output,
)
from mogradjudge.scoring.ray import Cluster, check_ray, joined
from mogradjudge.scoring.shards import (
    Machines,
    ScoredShard,
    Source,
    SourceReader,
    ThisMachine,
    giving_up_on_interrupt,
)

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
    ray: str | None = None,
    budget: Budget | None = None,
    keep_going: bool = False,
) -> ScoredTable:
    """Score every text of a table, with the LM of the context, and write it with its scores.

    The table is never in memory as a whole. All its columns are kept, in their order and with the
    rows in theirs: those of Parquet and of the hub with their types, others as text. Added are, for
    each criterion, ``<criterion>`` (a float, null where there is no score), ``<criterion>_source``
    (how it came about, see `Reading`) and ``<criterion>_unscored`` (why there is none).

    Texts that are equal are paid for once. Until it is done the work lies in the folder
    ``<out>.parts``, and the same call takes it up where it was cut short, by whatever.

    On a Ray cluster all of this is the same. Each worker, one for each CPU, has the calls in flight
    of one machine, and sends them with the keys of its own environment. Equal texts that two
    workers judge in the same moment are paid for twice.

    Args:
        judge: A judge; it is not changed.
        source: A file or a data set of the hub, as in `load_examples`. It needs no human scores.
        out: A file to write, ``.parquet``, ``.csv`` or ``.jsonl``.
        num_threads: The most calls in flight; of each worker, on a cluster.
        limit: Score only that many rows from the top.
        max_rpm: The most calls to send in any 60 seconds; None for no limit.
        overwrite: Whether ``out`` may be there already; it is replaced at the end.
        part_rows: Rows per part.
        watch: Is told the progress.
        ray: Where to judge: ``local`` starts a Ray on this machine for the while, ``auto`` or
            ``HOST:PORT`` joins one that is there; None is this process. It needs the extra ``ray``.
        budget: Caps on the calls, those of earlier starts included; not with ``ray``.
        keep_going: Whether to go on though the first texts have no score.

    Raises:
        BudgetExhausted: If a cap is reached; what is finished is kept.
        ReplyError: If the first texts have no score; their replies are kept, and read again.
        SetupError: Before any call is paid, if the table cannot be scored, or not into ``out``.
        dspy.LMError: If the provider fails; what is finished is kept.
        ClusterFailed: If Ray does; what is finished is kept.
        RunStopped: After Ctrl-C or SIGTERM, once the calls in flight have ended.
    """
    check_lm()
    for name, value in (("num_threads", num_threads), ("limit", limit), ("part_rows", part_rows)):
        _check_count(name, 1 if value is None else value)
    if ray is not None:
        _check_no_caps(budget)
        check_ray(ray)
    out = Path(out)
    check_output(out, overwrite=overwrite)
    if Path(source).exists() and out.exists() and out.samefile(source):
        raise SetupError(f"`--out` must be another file than the table that is read, got {out}.")
    with open_checkpoint(out) as checkpoint:
        task = _task(judge, str(source), limit, part_rows, checkpoint)
        checkpoint.claim(task.request)
        with nullcontext() if ray is None else joined(ray):
            # A cluster's workers would refuse what this machine refuses, and less clearly.
            first = None if keep_going else FirstTexts(min(FIRST_TEXTS, task.seen.rows))
            machines: Machines = ThisMachine(judge, num_threads, max_rpm, budget, first)
            if ray is not None:
                replies = checkpoint.cache
                machines = Cluster(judge, num_threads, max_rpm, replies, keep_going=keep_going)
            with _unless_nothing_is_paid(checkpoint, machines), interruptible(machines.stop_signal):
                _write_parts(task, machines, checkpoint, watch or _ignore, keep_going=keep_going)
        unscored, fallbacks = _join(task, checkpoint, out)
        checkpoint.remove()
    return ScoredTable(out, task.seen.rows, unscored, fallbacks, machines.rows)


@contextmanager
def _unless_nothing_is_paid(checkpoint: Checkpoint, machines: Machines) -> Iterator[None]:
    """Keep replies while the block runs; without any, settings can still be mended after it."""
    fresh = not checkpoint.paid
    try:
        with (
            cut_replies_counted(),
            replies_kept_in(checkpoint.cache, _REPLIES_IN_MEMORY),
            machines.kept_in(LineLog(checkpoint.calls)),
            judging(),
        ):
            yield
    except BaseException:
        if fresh and not checkpoint.finished and not any(row.calls for row in machines.rows):
            checkpoint.remove()
        raise


@dataclass(frozen=True)
class _Task:
    path: Path
    seen: Survey
    inputs: Group
    criteria: Group
    request: Mapping[str, Any]

    def source(self, finished: frozenset[int]) -> Source:
        """Give where the parts are read from that are not finished."""
        rows, limit = self.request["part_rows"], self.request["limit"]
        missing = frozenset(range(-(-self.seen.rows // rows))) - finished
        return Source(self.path, self.inputs, limit, rows, missing)

    def rows_of(self, part: int) -> int:
        """Count the rows of a part."""
        rows = int(self.request["part_rows"])
        return min(rows, self.seen.rows - part * rows)


def _task(
    judge: MultiCriteriaJudge,
    source: str,
    limit: int | None,
    part_rows: int,
    checkpoint: Checkpoint,
) -> _Task:
    """Check a table before any call is paid."""
    inputs, criteria = judge.rubric.inputs, judge.rubric.names
    path = Path(source)
    if source.startswith(HUB):
        # What the hub has may change, and each reading of it is a download.
        name = hashlib.sha256(f"{source} {limit}".encode()).hexdigest()[:16]
        path = checkpoint.copy_of(name)
        if not path.exists():
            _copy(stream_table(source, inputs, limit, whole=True), source, inputs, path)
    seen = survey(path, inputs, limit)
    check_added(tuple(seen.schema.names), criteria)
    return _Task(path, seen, inputs, criteria, _request(judge, seen, limit, part_rows))


def _copy(batches: Iterator[Batch], source: str, inputs: Group, path: Path) -> None:
    first = next(batches, Batch((), ()))
    check_columns(Table(source, first.columns, first.rows), inputs)
    assert first.typed is not None  # the hub's columns have types
    write_parquet(path, first.typed.schema, (batch.typed for batch in chain([first], batches)))


def _write_parts(
    task: _Task, machines: Machines, checkpoint: Checkpoint, watch: Watch, *, keep_going: bool
) -> None:
    finished = checkpoint.finished
    reader = SourceReader(task.source(finished))
    done = sum(map(task.rows_of, finished))
    some_read = keep_going or bool(finished)
    waiting: dict[int, list[ScoredShard]] = {}

    def on_rows(rows: int) -> None:
        nonlocal done
        done += rows
        watch(done, task.seen.rows)

    on_rows(0)
    if not reader.source.missing:
        return
    with giving_up_on_interrupt(machines.score(reader, on_rows)) as scored:
        for shard in scored:
            shards = waiting.setdefault(shard.part, [])
            shards.append(shard)
            if sum(len(other.cells) for other in shards) == task.rows_of(shard.part):
                batch, whole = reader.take(shard.part), waiting.pop(shard.part)
                if not keep_going:
                    _check_taken(whole, len(batch.rows))
                if not some_read:
                    some_read = _check_read(task, whole)
                checkpoint.write(shard.part, _part(task, batch, whole))


def _check_taken(shards: Sequence[ScoredShard], rows: int) -> None:
    """Refuse a part of which the provider took no text: that is not the texts' fault."""
    if sum(shard.refused for shard in shards) == rows:
        refusal = shards[0].refusal
        assert refusal is not None  # some were refused
        raise refusal_of_all(refusal)


def _check_read(task: _Task, shards: Sequence[ScoredShard]) -> bool:
    """Say whether something of the first part could be read; refuse a whole one without anything.

    Equal texts are judged once, so it may have fewer than are looked at as the first ones.
    """
    cells = [row for shard in sorted(shards, key=lambda shard: shard.first) for row in shard.cells]
    if any(row[name] is not None for row in cells for name in task.criteria):
        return True
    if len(cells) < min(FIRST_TEXTS, task.seen.rows):
        return False
    unread = Unscored(str(cells[0][task.criteria[0] + UNSCORED]))
    raise nothing_scored([unread], unread, str(len(cells)))


def _part(task: _Task, batch: Batch, shards: Sequence[ScoredShard]) -> pa.Table:
    """Put a part's columns and its scores together."""
    shards = sorted(shards, key=lambda shard: shard.first)
    table = kept_table(task.path, batch, task.seen.schema.names)
    return with_scores(table, [row for shard in shards for row in shard.cells], task.criteria)


def _join(task: _Task, checkpoint: Checkpoint, out: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Put the parts together; count what is unscored and what fell back on the way."""
    unscored, fallbacks = Counter[str](), Counter[str]()
    schema = with_added(task.seen.schema, task.criteria)

    def counted() -> Iterator[pa.Table]:
        for table in checkpoint.read(tuple(schema.names), task.rows_of):
            unscored.update(count_sources(table, task.criteria, None))
            fallbacks.update(count_sources(table, task.criteria, "fallback"))
            yield table

    write_output(out, schema, counted())
    return dict(unscored), dict(fallbacks)


def _request(
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


def _check_no_caps(budget: Budget | None) -> None:
    if budget is not None and budget != Budget():
        raise SetupError(
            "Caps (--max-calls, --max-total-tokens, --max-cost, --max-seconds) are not kept on a "
            "Ray cluster: leave them out, or `--ray`."
        )


def _check_count(name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise SetupError(f"`{name}` must be a whole number, at least 1, got {value!r}.")


def _ignore(done: int, total: int) -> None:
    """Tell nobody."""
