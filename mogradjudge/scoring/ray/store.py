"""What the workers of a cluster share: the job, paid replies, and the stop signal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from contextvars import copy_context
from pathlib import Path
from typing import Any

import dspy

from mogradjudge.lm.dspy_internals import MemoryCache
from mogradjudge.lm.reply_cache import replies_kept_in

_REPLIES_IN_MEMORY = 1000


class ReplyActor:
    """A Ray actor on the machine that has the table; it stores replies as a single machine does.

    A worker or driver that dies loses only the replies of its calls in flight. The job is passed
    here and not with the tasks, because Ray may write their arguments to its logs.

    Args:
        folder: The folder for replies.
    """

    def __init__(self, folder: str) -> None:
        self._job = b""
        self._stop = asyncio.Event()
        self._open = ExitStack()
        # Each method runs in its own context; the store is set in this one.
        self._context = copy_context()
        store = replies_kept_in(Path(folder), _REPLIES_IN_MEMORY)
        self._context.run(self._open.enter_context, store)

    async def set_job(self, job: bytes) -> None:
        """Store the job."""
        self._job = job

    async def job(self) -> bytes:
        """Return the job."""
        return self._job

    async def reply(self, request: dict[str, Any]) -> Any:
        """Return the stored reply of a request; None if there is none."""
        return self._context.run(_get, request)

    async def keep(self, request: dict[str, Any], reply: Any) -> None:
        """Store a reply; it is on disk when this returns."""
        self._context.run(_put, request, reply)

    async def stop(self) -> None:
        """Send no more calls."""
        self._stop.set()

    async def is_stopped(self) -> bool:
        """Return whether the run is stopped."""
        return self._stop.is_set()

    async def stopped(self) -> None:
        """Return once the run is stopped."""
        await self._stop.wait()


class ActorReplies(MemoryCache):
    """DSPy's cache in a worker; a missing reply is looked up at the actor.

    Args:
        actor: The handle of a `ReplyActor`.
    """

    def __init__(self, actor: Any) -> None:
        super().__init__(_REPLIES_IN_MEMORY)
        self._actor = actor

    def get(
        self, request: dict[str, Any], ignored_args_for_cache_key: Sequence[str] | None = None
    ) -> Any:
        import ray

        reply = super().get(request, ignored_args_for_cache_key)
        if reply is None:
            reply = ray.get(self._actor.reply.remote(_sent(request, ignored_args_for_cache_key)))
        return reply

    def put(
        self,
        request: dict[str, Any],
        value: Any,
        ignored_args_for_cache_key: Sequence[str] | None = None,
        enable_memory_cache: bool = True,  # noqa: FBT001, FBT002 - DSPy's
    ) -> None:
        """Keep a reply here and at the actor."""
        import ray

        super().put(request, value, ignored_args_for_cache_key, enable_memory_cache)
        ray.get(self._actor.keep.remote(_sent(request, ignored_args_for_cache_key), value))


def _get(request: dict[str, Any]) -> Any:
    return dspy.cache.get(request)


def _put(request: dict[str, Any], reply: Any) -> None:
    dspy.cache.put(request, reply)  # looked up when called, because the context replaces it


def _sent(request: dict[str, Any], ignored: Sequence[str] | None) -> dict[str, Any]:
    """Drop keys and other entries that do not identify a request."""
    return {name: value for name, value in request.items() if name not in (ignored or ())}
