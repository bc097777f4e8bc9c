"""The table's shards as a Ray data set: read on the driver's machine, judged on any machine."""

from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Generator, Iterator
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource, ReadTask, read_datasource
from ray.data.block import BlockMetadata

from mogradjudge.scoring.ray.worker import OUTCOME, SHARD, ShardOutcome, ShardWorker
from mogradjudge.scoring.shards import Source

# One shard is in work and one waits at each worker, so that no worker waits for the reader.
_SHARDS_PER_WORKER = 2


class _Shards(Datasource):  # type: ignore[misc]  # ray is skipped by mypy
    """One task that reads the whole table, shard by shard, as fast as shards are judged."""

    supports_distributed_reads = False  # only the driver's machine has the file

    def __init__(self, source: Source, shard_rows: int, actor: Any) -> None:
        super().__init__()
        self._source, self._shard_rows, self._actor = source, shard_rows, actor

    def estimate_inmemory_data_size(self) -> None:
        """Return None: the size is unknown."""

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        source, shard_rows, actor = self._source, self._shard_rows, self._actor
        return [ReadTask(lambda: _blocks(source, shard_rows, actor), unknown)]


def _blocks(source: Source, shard_rows: int, actor: Any) -> Iterator[pa.Table]:
    for number, batch in source.batches():
        for shard in source.shard(number, batch).cut(shard_rows):
            if ray.get(actor.is_stopped.remote()):
                return
            yield pa.table({SHARD: pa.array([pickle.dumps(shard)], pa.large_binary())})


def outcomes(
    source: Source, shard_rows: int, workers: int, actor: Any
) -> Generator[ShardOutcome, None, None]:
    """Judge a source's shards; yield outcomes as they finish.

    Args:
        source: The parts to judge.
        shard_rows: The most rows of a shard.
        workers: How many judge at one time, each with one CPU.
        actor: The handle of the `ReplyActor`.

    Raises:
        ray.exceptions.RayError: If Ray fails.
    """
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Ray warns if a run is stopped before each worker had a shard.
    warnings.filterwarnings("ignore", "The minimum number of concurrent actors", UserWarning)
    context = DataContext.get_current().copy()
    context.target_max_block_size = 1  # else Ray would join many shards
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = -1  # calls have timeouts of their own
    with DataContext.current(context):
        shards = read_datasource(
            _Shards(source, shard_rows, actor), override_num_blocks=1, num_cpus=0
        )
        judged = shards.map_batches(
            ShardWorker,
            fn_constructor_args=(actor,),
            batch_size=1,
            num_cpus=1,
            compute=ActorPoolStrategy(
                size=workers, max_tasks_in_flight_per_actor=_SHARDS_PER_WORKER
            ),
        )
        rows = judged.iter_rows()
    for row in rows:
        yield pickle.loads(row[OUTCOME])
