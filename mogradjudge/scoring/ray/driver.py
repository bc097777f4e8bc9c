"""The driver of a cluster: it distributes a table's shards and collects their scores."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy

from mogradjudge.errors import RunStopped
from mogradjudge.files import LineLog
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.ledger import LedgerRow
from mogradjudge.lm.stop import POLL, StopSignal
from mogradjudge.scoring.ray.session import ClusterFailed
from mogradjudge.scoring.ray.store import ReplyActor
from mogradjudge.scoring.ray.worker import WorkerJob, versions
from mogradjudge.scoring.shards import OnRows, ScoredShard, SourceReader

_ROUNDS = 16  # of calls per shard; in the last round some threads wait, so there should be many
_ADVICE = "Each machine of the cluster needs mogradjudge[ray], the same version on all."


class Cluster:
    """Workers on the Ray cluster that this process has joined, one for each CPU.

    Args:
        judge: It is not changed; its LM is that of the context.
        num_threads: The most calls in flight, of each worker.
        max_rpm: The most calls that all workers send in any 60 seconds; None for no limit.
        replies: The folder for paid replies, on this machine.
        keep_going: Whether to continue if none of a worker's first texts has a score.
    """

    def __init__(
        self,
        judge: MultiCriteriaJudge,
        num_threads: int,
        max_rpm: int | None,
        replies: Path,
        *,
        keep_going: bool = False,
    ) -> None:
        settings = dspy.settings
        self.stop_signal = StopSignal()
        self._job = WorkerJob(
            *(judge, settings.lm, settings.adapter, num_threads, max_rpm, keep_going, versions())
        )
        self._replies = replies
        self._paid: dict[str, tuple[LedgerRow, ...]] = {}

    @property
    def rows(self) -> tuple[LedgerRow, ...]:
        return summed([row for rows in self._paid.values() for row in rows])

    def kept_in(self, journal: LineLog) -> AbstractContextManager[None]:
        return nullcontext()  # a cluster has no caps, so it needs no log

    def score(self, reader: SourceReader, on_rows: OnRows) -> Generator[ScoredShard, None, None]:
        import ray

        try:
            yield from self._score(reader, on_rows)
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            lines = str(cause).strip().splitlines() or [""]
            reason = lines[-1].strip().rstrip(".")
            failed = f"Ray failed ({type(error).__name__}): {reason}."
            raise ClusterFailed(f"{failed} {_ADVICE}") from error

    def _score(self, reader: SourceReader, on_rows: OnRows) -> Generator[ScoredShard, None, None]:
        from mogradjudge.scoring.ray.dataset import outcomes

        source, rows = reader.source, _ROUNDS * self._job.num_threads
        shards = len(source.missing) * -(-source.part_rows // rows)  # at most
        workers = min(shards, self._workers())
        failed: Exception | None = None
        stopped = False
        with (
            self._actor(workers) as actor,
            self._stop_passed_on(actor),
            closing(outcomes(source, rows, workers, actor)) as done,
        ):
            for outcome in done:
                self._paid[outcome.worker] = outcome.ledger
                if outcome.scored is not None:
                    on_rows(len(outcome.scored.cells))
                    yield outcome.scored
                else:
                    stopped, failed = True, failed or outcome.error
                    actor.stop.remote()
        if failed is not None:
            raise failed
        if stopped or self.stop_signal.reason is not None:  # the reader ended before the table did
            raise RunStopped(self.stop_signal.reason or "interrupted")

    def _workers(self) -> int:
        import ray

        cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
        return cpus if self._job.max_rpm is None else min(cpus, self._job.max_rpm)

    @contextmanager
    def _actor(self, workers: int) -> Iterator[Any]:
        """Start a reply actor on this machine, and give it the workers' job."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = ray.get_runtime_context().get_node_id()
        share = None if self._job.max_rpm is None else self._job.max_rpm // workers
        asking = workers * (self._job.num_threads + 2)
        options = ray.remote(ReplyActor).options(
            num_cpus=0,
            max_concurrency=max(1000, asking),
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
        )
        actor = options.remote(str(self._replies.resolve()))
        try:
            job = ray.cloudpickle.dumps(replace(self._job, max_rpm=share))
            ray.get(actor.set_job.remote(job))
            yield actor
        finally:
            ray.kill(actor)

    @contextmanager
    def _stop_passed_on(self, actor: Any) -> Iterator[None]:
        """Tell the actor when the run is to stop; a signal handler cannot."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(POLL):
                if self.stop_signal.reason is not None:
                    actor.stop.remote()
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def summed(rows: list[LedgerRow]) -> tuple[LedgerRow, ...]:
    """Add up ledger rows of the same role and criteria."""
    sums: dict[tuple[str, tuple[str, ...]], LedgerRow] = {}
    for row in rows:
        key = (row.role, row.criteria)
        sums[key] = row if key not in sums else _sum(sums[key], row)
    return tuple(sums[key] for key in sorted(sums))


def _sum(one: LedgerRow, other: LedgerRow) -> LedgerRow:
    unknown = one.cost is None or other.cost is None
    return LedgerRow(
        role=one.role,
        criteria=one.criteria,
        calls=one.calls + other.calls,
        cached=one.cached + other.cached,
        failed=one.failed + other.failed,
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        cost=None if unknown else (one.cost or 0.0) + (other.cost or 0.0),
    )
