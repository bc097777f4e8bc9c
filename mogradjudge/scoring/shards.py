"""Shards of a table: consecutive rows, and their scores from this machine or a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import dspy

from mogradjudge.concurrency import in_order
from mogradjudge.criteria import Group
from mogradjudge.data import Batch, ReadOptions, inputs_of, judgeable, key_of
from mogradjudge.files import LineLog
from mogradjudge.judge.cells import Cells, cells_of
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.budget import Budget
from mogradjudge.lm.ledger import Ledger, LedgerRow
from mogradjudge.lm.metering import booked, layer_held
from mogradjudge.lm.stop import StopSignal
from mogradjudge.programs.execution import run_program
from mogradjudge.programs.first_texts import FirstTexts, refusal_of, refusal_of_all

OnRows: TypeAlias = Callable[[int], None]
"""Called by the scoring thread with the number of newly finished rows."""


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of a part; ``first`` is the index of the first row within the part."""

    part: int
    first: int
    inputs: Sequence[Mapping[str, object]]

    def cut(self, rows: int) -> Iterator[Shard]:
        """Yield shards of at most ``rows`` rows."""
        for start in range(0, len(self.inputs), rows):
            yield Shard(self.part, self.first + start, self.inputs[start : start + rows])


@dataclass(frozen=True)
class ScoredShard:
    """The scores of a shard, row by row; ``refusal`` is the first of ``refused`` refusals."""

    part: int
    first: int
    cells: Sequence[Cells]
    refused: int
    refusal: dspy.LMError | None


@dataclass(frozen=True)
class Source:
    """The source of the missing parts of a table; it can be sent to another process.

    ``columns`` holds the column of each of the ``inputs``; ``images`` those of images.
    """

    path: Path
    inputs: Group
    columns: Group
    images: Group
    limit: int | None
    part_rows: int
    missing: Set[int]
    reading: ReadOptions

    def batches(self) -> Iterator[tuple[int, Batch]]:
        """Yield the number and rows of each missing part, in the order of the table."""
        read = judgeable(
            *(self.path, self.columns, self.limit, self.part_rows, self.reading, self.images)
        )
        for number, batch in enumerate(read):
            if number in self.missing:
                yield number, batch

    def shard(self, number: int, batch: Batch) -> Shard:
        """Return the rows of a part as one shard."""
        pairs = list(zip(self.inputs, self.columns, strict=True))
        rows = inputs_of(self.path, batch, self.columns, self.images)
        return Shard(number, 0, [{name: row[column] for name, column in pairs} for row in rows])


class SourceReader:
    """Reads a source once, for judging and for writing; columns are kept until they are written."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._batches = source.batches()
        self._waiting: dict[int, Batch] = {}

    def shards(self) -> Iterator[Shard]:
        """Yield each part as a shard, and keep its columns for `take`."""
        for number, batch in self._batches:
            self._waiting[number] = batch
            yield self.source.shard(number, batch)

    def take(self, number: int) -> Batch:
        """Return the columns of a part; only once."""
        while number not in self._waiting:
            earlier, batch = next(self._batches)
            self._waiting[earlier] = batch
        return self._waiting.pop(number)


class Machines(Protocol):
    """What judges a table: this machine, or a cluster."""

    stop_signal: StopSignal

    @property
    def rows(self) -> tuple[LedgerRow, ...]:
        """The calls and costs so far."""
        ...

    def kept_in(self, journal: LineLog) -> AbstractContextManager[None]:
        """Return a context in which each call is logged, if calls are made by this process."""
        ...

    def score(self, reader: SourceReader, on_rows: OnRows) -> Generator[ScoredShard, None, None]:
        """Judge the missing parts; yield shards as they finish, in any order.

        Raises:
            dspy.LMError: If the provider fails.
            RunStopped: If the run is to stop, once the calls in flight have ended.
        """
        ...


class ThisMachine:
    """Judges with threads of this process; the LM is that of the context (see `judging`).

    Args:
        judge: It is not changed.
        num_threads: The most calls in flight.
        max_rpm: The most calls to send in any 60 seconds; None for no limit.
        budget: Caps on the calls; None for no caps.
        first: Checks the first texts; None for no check.
    """

    def __init__(
        self,
        judge: MultiCriteriaJudge,
        num_threads: int,
        max_rpm: int | None,
        budget: Budget | None = None,
        first: FirstTexts | None = None,
    ) -> None:
        self._ledger = Ledger(budget, num_threads, max_rpm)
        self._first = first
        self.stop_signal = self._ledger.stop_signal
        self._num_threads = num_threads
        self._criteria = judge.rubric.names
        self._judge = judge

    @property
    def rows(self) -> tuple[LedgerRow, ...]:
        return self._ledger.rows

    def kept_in(self, journal: LineLog) -> AbstractContextManager[None]:
        return self._ledger.kept_in(journal)

    def score(self, reader: SourceReader, on_rows: OnRows) -> Generator[ScoredShard, None, None]:
        return self.score_shards(reader.shards(), on_rows)

    def score_shards(
        self, shards: Iterable[Shard], on_rows: OnRows
    ) -> Generator[ScoredShard, None, None]:
        """Judge a stream of shards; threads go on with the next shard before one is finished."""
        waiting: deque[Shard] = deque()
        predictions: list[dspy.Prediction | Unscored] = []
        rows = _inputs(shards, waiting)
        judging = in_order(self._judged, rows, self._num_threads, key_of)
        with layer_held(self._ledger), closing(judging) as judged:
            try:
                for _, row in judged:
                    predictions.append(row)
                    on_rows(1)
                    if len(predictions) == len(waiting[0].inputs):
                        yield _scored(waiting.popleft(), predictions, self._criteria)
                        predictions = []
            except KeyboardInterrupt as stop:
                judged.throw(stop)  # then it does not wait for the calls in flight

    def _judged(self, inputs: Mapping[str, object]) -> dspy.Prediction | Unscored:
        # Not around the generator: it runs in its caller's context.
        with booked(self._ledger, "judge", self._criteria):
            prediction = run_program(self._judge, inputs)
        if self._first is not None:
            scores = (
                [prediction]
                if isinstance(prediction, Unscored)
                else [prediction[name] for name in self._criteria]
            )
            self._first.see(prediction, scores)
        return prediction


@contextmanager
def giving_up_on_interrupt(
    scored: Generator[ScoredShard, None, None],
) -> Iterator[Generator[ScoredShard, None, None]]:
    """Pass a KeyboardInterrupt from outside on to the generator of a `Machines`."""
    with closing(scored):
        try:
            yield scored
        except KeyboardInterrupt as stop:
            scored.throw(stop)
            raise


def _inputs(shards: Iterable[Shard], waiting: deque[Shard]) -> Iterator[Mapping[str, object]]:
    """Yield the inputs row by row; shards wait in ``waiting`` until their rows are judged."""
    for shard in shards:
        waiting.append(shard)
        yield from shard.inputs


def _scored(
    shard: Shard, predictions: Sequence[dspy.Prediction | Unscored], criteria: Group
) -> ScoredShard:
    refusals = [error for text in predictions if (error := refusal_of(text)) is not None]
    cells = [cells_of(prediction, criteria) for prediction in predictions]
    first = refusals[0] if refusals else None
    return ScoredShard(shard.part, shard.first, cells, len(refusals), first)


def check_taken(shards: Sequence[ScoredShard], rows: int) -> None:
    """Raise if the provider refused all texts of a part: then the texts are not the cause."""
    if sum(shard.refused for shard in shards) == rows:
        refusal = shards[0].refusal
        assert refusal is not None  # some were refused
        raise refusal_of_all(refusal)
