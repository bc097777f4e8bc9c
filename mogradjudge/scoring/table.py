"""Scores a table of any length into a file, as a stream that can be resumed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import dspy

from mogradjudge.criteria import Group
from mogradjudge.criteria.applicability import NOT_APPLICABLE
from mogradjudge.data import (
    HUB,
    Batch,
    ReadOptions,
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
from mogradjudge.judge.cells import SOURCE, UNSCORED, Added, prefix_of
from mogradjudge.judge.finish_reason import cut_replies_counted
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.ledger import LedgerRow
from mogradjudge.lm.reply_cache import replies_kept_in
from mogradjudge.lm.stop import interruptible
from mogradjudge.programs.execution import judging
from mogradjudge.programs.first_texts import FIRST_TEXTS, FirstTexts, nothing_scored
from mogradjudge.programs.identity import describe_lm, digest_of_program
from mogradjudge.scoring.checkpoint import Checkpoint, open_checkpoint
from mogradjudge.scoring.evaluate import check_ready
from mogradjudge.scoring.means import CriterionMean, RatedTexts, TableMeans
from mogradjudge.scoring.options import ScoringOptions
from mogradjudge.scoring.output import (
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
    check_taken,
    giving_up_on_interrupt,
)

if TYPE_CHECKING:
    import pyarrow as pa

_REPLIES_IN_MEMORY = 1000

Watch: TypeAlias = Callable[[int, int], None]
"""Called by the scoring thread with the number of finished rows and of all rows."""


@dataclass(frozen=True)
class ScoredTable:
    """The result of scoring a table: its file, and unscored texts and fallbacks by criterion.

    ``not_applicable`` counts the texts to which a criterion does not apply, as the judge says.
    ``means`` are the criteria's estimated means, if they were asked for.
    """

    out: Path
    texts: int
    unscored: Mapping[str, int]
    fallbacks: Mapping[str, int]
    ledger: tuple[LedgerRow, ...] = field(repr=False)
    means: Mapping[str, CriterionMean] | None = None
    not_applicable: Mapping[str, int] = field(default_factory=dict)


_DEFAULTS = ScoringOptions()


def score_table(
    judge: MultiCriteriaJudge,
    source: str | Path,
    out: str | Path,
    options: ScoringOptions = _DEFAULTS,
    *,
    watch: Watch | None = None,
) -> ScoredTable:
    r"""Score every text of a table with the LM of the context, and write the table with its scores.

    The table is read as a stream. All its columns and rows are kept, in their order; columns of
    Parquet files and of the hub keep their types, others are text. Each criterion adds the columns
    ``<criterion>`` (a float, null without a score), ``<criterion>_source`` (where the score came
    from, see `judge.scores.Reading`) and ``<criterion>_unscored`` (why there is no score), with
    the options' prefix; a calibrated judge's scores are mapped, and ``<criterion>_raw`` has the raw
    ones.

    Equal texts are paid for once. Until the table is done, finished parts and replies lie in the
    folder ``<out>.parts``; the same call resumes an interrupted one.

    A Ray cluster has one worker for each CPU. Each worker has ``num_threads`` calls in flight and
    uses the keys of its own environment. Equal texts that two workers judge at the same moment are
    paid for twice.

    >>> import tempfile
    >>> from dspy.utils import DummyLM
    >>> from mogradjudge import Criterion, Rubric
    >>> judge = MultiCriteriaJudge(Rubric(["text"], [Criterion("fluency", "Is it fluent?")]))
    >>> table = Path(tempfile.mkdtemp()) / "texts.csv"
    >>> _ = table.write_text("text\nA cat sleeps.\n")
    >>> with dspy.context(lm=DummyLM([{"fluency": "4"}])):
    ...     scored = score_table(judge, table, table.with_name("scores.csv"))
    >>> print(scored.out.read_text().strip())
    "text","fluency","fluency_source","fluency_unscored"
    "A cat sleeps.",4,"integer",

    Args:
        judge: A judge; it is not changed.
        source: A file or a data set of the hub, as in `load_examples`. It needs no human scores.
        out: The file to write: ``.parquet``, ``.csv`` or ``.jsonl``.
        options: How the table is scored.
        watch: Called with the progress.

    Raises:
        BudgetExhausted: If a cap is reached; what is finished is kept.
        ReplyError: If none of the first texts has a score; their replies are kept.
        SetupError: Before any call is paid, if the table cannot be scored or ``out`` not written.
        dspy.LMError: If the provider fails; what is finished is kept.
        ClusterFailed: If Ray fails; what is finished is kept.
        RunStopped: After Ctrl-C or SIGTERM, once the calls in flight have ended.
    """
    check_ready(judge)
    out = Path(out)
    _check_files(source, out, options)
    with open_checkpoint(out) as checkpoint:
        task = _task(judge, str(source), options, checkpoint)
        rated = _rated(judge, options, task)
        checkpoint.claim(task.request)
        progress = _Progress(watch or _ignore, task.seen.rows + len(rated or ()))
        with nullcontext() if options.ray is None else joined(options.ray):
            machines = _machines(judge, options, progress.rows, checkpoint)
            with _unless_nothing_is_paid(checkpoint, machines), interruptible(machines.stop_signal):
                means = _means(rated, machines, progress, task)
                _write_parts(task, machines, checkpoint, progress, keep_going=options.keep_going)
        unscored, fallbacks, not_applicable = _join(task, checkpoint, out, means)
        estimates = None if means is None else means.estimates()
        checkpoint.remove()
    return ScoredTable(
        *(out, task.seen.rows, unscored, fallbacks, machines.rows, estimates, not_applicable)
    )


def _check_files(source: str | Path, out: Path, options: ScoringOptions) -> None:
    if options.ray is not None:
        check_ray(options.ray)
    check_output(out, overwrite=options.overwrite)
    for table in (Path(source), Path(options.estimate or source)):
        if table.exists() and out.exists() and out.samefile(table):
            raise SetupError(f"`--out` must not be the table that is read, got {out}.")


def _rated(judge: MultiCriteriaJudge, options: ScoringOptions, task: _Task) -> RatedTexts | None:
    if options.estimate is None:
        return None
    columns = tuple(task.seen.schema.names)
    return RatedTexts.read(options.estimate, judge.rubric, options.reading, columns)


def _means(
    rated: RatedTexts | None, machines: Machines, progress: _Progress, task: _Task
) -> TableMeans | None:
    return None if rated is None else rated.judged(machines, progress.add, task.prefix, task.path)


@dataclass
class _Progress:
    watch: Watch
    rows: int
    done: int = 0

    def add(self, rows: int) -> None:
        """Report newly finished rows."""
        self.done += rows
        self.watch(self.done, self.rows)


def _machines(
    judge: MultiCriteriaJudge, options: ScoringOptions, rows: int, checkpoint: Checkpoint
) -> Machines:
    # Made for a cluster as well: its workers would refuse the same, with a less clear error.
    first = None if options.keep_going else FirstTexts(min(FIRST_TEXTS, rows))
    here = ThisMachine(judge, options.num_threads, options.max_rpm, options.budget, first)
    if options.ray is None:
        return here
    return Cluster(
        judge,
        options.num_threads,
        options.max_rpm,
        checkpoint.cache,
        keep_going=options.keep_going,
    )


@contextmanager
def _unless_nothing_is_paid(checkpoint: Checkpoint, machines: Machines) -> Iterator[None]:
    """Keep replies while the block runs; remove the checkpoint if nothing was paid."""
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
    columns: Group
    images: Group
    added: Added
    prefix: str
    reading: ReadOptions
    request: Mapping[str, Any]

    def source(self, finished: frozenset[int]) -> Source:
        """Return the source of the unfinished parts."""
        rows, limit = self.request["part_rows"], self.request["limit"]
        missing = frozenset(range(-(-self.seen.rows // rows))) - finished
        columns = (self.inputs, self.columns, self.images)
        return Source(self.path, *columns, limit, rows, missing, self.reading)

    def rows_of(self, part: int) -> int:
        """Count the rows of a part."""
        rows = int(self.request["part_rows"])
        return min(rows, self.seen.rows - part * rows)


def _task(
    judge: MultiCriteriaJudge, source: str, options: ScoringOptions, checkpoint: Checkpoint
) -> _Task:
    """Check a table before any call is paid."""
    columns, added = judge.rubric.columns, Added.by(judge)
    limit, reading = options.limit, options.reading
    path = Path(source)
    if source.startswith(HUB):
        # A data set of the hub may change, and each reading is a download.
        name = hashlib.sha256(f"{source} {limit}".encode()).hexdigest()[:16]
        path = checkpoint.copy_of(name)
        if not path.exists():
            _copy(stream_table(source, columns, limit, whole=True), source, columns, path)
    images = judge.rubric.image_columns
    seen = survey(path, columns, limit, reading, images)
    prefix = prefix_of(tuple(seen.schema.names), added, options.prefix, "--prefix")
    request = _request(judge, seen, options) | {"prefix": prefix}
    inputs = judge.rubric.inputs
    return _Task(path, seen, inputs, columns, images, added, prefix, reading, request)


def _copy(batches: Iterator[Batch], source: str, inputs: Group, path: Path) -> None:
    first = next(batches, Batch((), ()))
    check_columns(Table(source, first.columns, first.rows), inputs)
    assert first.typed is not None  # the hub's columns have types
    write_parquet(path, first.typed.schema, (batch.typed for batch in chain([first], batches)))


def _write_parts(
    task: _Task,
    machines: Machines,
    checkpoint: Checkpoint,
    progress: _Progress,
    *,
    keep_going: bool,
) -> None:
    finished = checkpoint.finished
    reader = SourceReader(task.source(finished))
    some_read = keep_going or bool(finished)
    waiting: dict[int, list[ScoredShard]] = {}
    progress.add(sum(map(task.rows_of, finished)))
    if not reader.source.missing:
        return
    with giving_up_on_interrupt(machines.score(reader, progress.add)) as scored:
        for shard in scored:
            shards = waiting.setdefault(shard.part, [])
            shards.append(shard)
            if sum(len(other.cells) for other in shards) == task.rows_of(shard.part):
                batch, whole = reader.take(shard.part), waiting.pop(shard.part)
                if not keep_going:
                    check_taken(whole, len(batch.rows))
                if not some_read:
                    some_read = _check_read(task, whole)
                checkpoint.write(shard.part, _part(task, batch, whole))


def _check_read(task: _Task, shards: Sequence[ScoredShard]) -> bool:
    """Return whether a score of the first part could be read; raise if a full part has none.

    Equal texts are judged once, so the check of the first texts may not have seen enough of them.
    """
    cells = [row for shard in sorted(shards, key=lambda shard: shard.first) for row in shard.cells]
    if any(row[name + SOURCE] is not None for row in cells for name in task.added.criteria):
        return True
    if len(cells) < min(FIRST_TEXTS, task.seen.rows):
        return False
    unread = Unscored(str(cells[0][task.added.criteria[0] + UNSCORED]))
    raise nothing_scored([unread], unread, str(len(cells)))


def _part(task: _Task, batch: Batch, shards: Sequence[ScoredShard]) -> pa.Table:
    """Join a part's columns and its scores."""
    shards = sorted(shards, key=lambda shard: shard.first)
    table = kept_table(task.path, batch, task.seen.schema.names)
    cells = [row for shard in shards for row in shard.cells]
    return with_scores(table, cells, task.added, task.prefix)


def _join(
    task: _Task, checkpoint: Checkpoint, out: Path, means: TableMeans | None
) -> list[dict[str, int]]:
    """Write the parts as one file, and collect for means.

    Returns the numbers of unscored texts, fallbacks and texts that a criterion does not apply to.
    """
    counts = {source: Counter[str]() for source in (None, "fallback", NOT_APPLICABLE)}
    schema = with_added(task.seen.schema, task.added, task.prefix)

    def counted() -> Iterator[pa.Table]:
        for table in checkpoint.read(tuple(schema.names), task.rows_of):
            for source, count in counts.items():
                count.update(count_sources(table, task.added.criteria, task.prefix, source))
            if means is not None:
                means.add(table)
            yield table

    write_output(out, schema, counted())
    return [dict(count) for count in counts.values()]


def _request(judge: MultiCriteriaJudge, seen: Survey, options: ScoringOptions) -> dict[str, Any]:
    """Return what the scores depend on, as plain JSON values without keys."""
    lm = dspy.settings.lm
    versions = {name: version(name) for name in ("dspy", "mogradjudge")}
    return {
        "judge": digest_of_program(judge),
        "data": seen.digest,
        "model": describe_lm(lm),
        "adapter": type(dspy.settings.adapter or dspy.ChatAdapter()).__name__,
        "limit": options.limit,
        "part_rows": options.part_rows,
        **asdict(options.reading),
        **versions,
    }


def _ignore(done: int, total: int) -> None:
    """Ignore the progress."""
