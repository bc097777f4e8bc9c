"""A worker of a cluster: it judges one shard after another, as a single machine does."""

from __future__ import annotations

import copy
import pickle
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import dspy

from mogradjudge.errors import MogradError, RunStopped, SetupError
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.dspy_internals import put_cache
from mogradjudge.lm.ledger import LedgerRow
from mogradjudge.lm.stop import StopSignal
from mogradjudge.programs.execution import judging
from mogradjudge.programs.first_texts import FirstTexts
from mogradjudge.scoring.ray.store import ActorReplies
from mogradjudge.scoring.shards import ScoredShard, Shard, ThisMachine

SHARD, OUTCOME = "shard", "outcome"
"""The columns of the data sets that Ray maps: one row each, pickled."""


_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class WorkerJob:
    """What each worker needs. It is never written to disk, because the LM may hold a key."""

    judge: MultiCriteriaJudge = field(repr=False)
    lm: dspy.BaseLM = field(repr=False)
    adapter: dspy.Adapter | None
    num_threads: int
    max_rpm: int | None
    keep_going: bool
    versions: Mapping[str, str]


@dataclass(frozen=True)
class ShardOutcome:
    """The result of a shard, and all costs of its worker so far.

    A shard without scores and without an error was stopped.
    """

    worker: str
    ledger: tuple[LedgerRow, ...]
    scored: ScoredShard | None
    error: Exception | None


def versions() -> dict[str, str]:
    """Return the versions that must be the same on all machines."""
    return {name: version(name) for name in ("dspy", "mogradjudge")}


class ShardWorker:
    """Judges shards in a Ray process of its own.

    Args:
        actor: The handle of the `ReplyActor`.
    """

    def __init__(self, actor: Any) -> None:
        import ray

        job: WorkerJob = pickle.loads(ray.get(actor.job.remote()))
        self._id = uuid.uuid4().hex
        self._mismatch = _mismatch(job.versions)
        self._settings = {"lm": job.lm, "adapter": job.adapter}
        put_cache(ActorReplies(actor))
        with dspy.context(**self._settings):
            first = None if job.keep_going else FirstTexts()
            self._machine = ThisMachine(job.judge, job.num_threads, job.max_rpm, first=first)
        threading.Thread(
            target=_listen, args=(actor, self._machine.stop_signal), daemon=True
        ).start()

    def __call__(self, batch: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
        """Judge shards; an error becomes an outcome, because Ray would wrap it."""
        return {
            OUTCOME: [pickle.dumps(self._outcome(pickle.loads(shard))) for shard in batch[SHARD]]
        }

    def _outcome(self, shard: Shard) -> ShardOutcome:
        scored, error = None, self._mismatch
        if error is None:
            try:
                scored = self._score(shard)
            except RunStopped:
                pass
            except Exception as raised:  # noqa: BLE001 - the driver raises it
                error = _portable(raised)
        return ShardOutcome(self._id, self._machine.rows, scored, error)

    def _score(self, shard: Shard) -> ScoredShard:
        self._machine.stop_signal.check()
        with dspy.context(**self._settings), judging():
            (scored,) = self._machine.score_shards([shard], _ignore)
        if scored.refusal is None:
            return scored
        return replace(scored, refusal=_portable(scored.refusal))


def _listen(actor: Any, stop_signal: StopSignal) -> None:
    import ray

    with suppress(ray.exceptions.RayError):  # a reply actor is gone if its driver is
        ray.get(actor.stopped.remote())
    stop_signal.set("interrupted")


def _mismatch(theirs: Mapping[str, str]) -> Exception | None:
    ours = versions()
    for name, number in theirs.items():
        if ours[name] != number:
            return SetupError(
                f"A machine of the cluster has {name} {ours[name]}, but this one has {number}. "
                "Install the same version on all."
            )
    return None


def _portable(error: Exception) -> Any:
    """Return an error that can be sent to another process, with plain attributes only."""
    try:
        twin = copy.copy(error)
        for name, value in vars(error).items():
            if not isinstance(value, _PLAIN):
                delattr(twin, name)
        return pickle.loads(pickle.dumps(twin))
    except Exception:  # noqa: BLE001 - anyone's class, made in any way
        return MogradError(f"{type(error).__name__}: {error}")


def _ignore(rows: int) -> None:
    """Ignore the progress."""
