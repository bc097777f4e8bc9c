"""Where paid replies are kept: DSPy's cache in a folder of its own, read without running code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dspy
from dspy.clients.cache import Cache

# litellm notes on a reply which address it came from and with which headers; both may hold keys.
_NOTES = ("_hidden_params", "_response_headers")
_SIZE_LIMIT = 30 * 10**9  # bytes, as in DSPy; beyond it the oldest replies would be dropped


class _Replies(Cache):  # type: ignore[misc]  # dspy is untyped
    """DSPy's cache, but a reply is the same reply however long a call would have waited for it."""

    def cache_key(
        self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None
    ) -> str:
        ignored = [*(ignored_args_for_cache_key or ()), "timeout"]
        return str(super().cache_key(request, ignored))

    def put(
        self,
        request: dict[str, Any],
        value: Any,
        ignored_args_for_cache_key: list[str] | None = None,
        enable_memory_cache: bool = True,  # noqa: FBT001, FBT002 - DSPy's
    ) -> None:
        """Keep a reply as DSPy does, without its notes but for the price, which DSPy reads."""
        for name in _NOTES:
            if isinstance(notes := getattr(value, name, None), dict):
                for key in notes.keys() - {"response_cost"}:
                    del notes[key]
        super().put(request, value, ignored_args_for_cache_key, enable_memory_cache)


@contextmanager
def replies_kept_in(folder: Path | None, memory_max_entries: int = 1_000_000) -> Iterator[None]:
    """Keep DSPy's replies in a folder, or without one in memory alone, while the block runs.

    A folder's files are read without running anything: only plain data and DSPy's own records are
    unpickled.

    Args:
        folder: Where to keep them; it is made if it is not there.
        memory_max_entries: The most replies that are kept in memory as well.
    """
    before = dspy.cache
    dspy.cache = ours = _Replies(
        enable_disk_cache=folder is not None,
        enable_memory_cache=True,
        memory_max_entries=memory_max_entries,
        disk_cache_dir=None if folder is None else str(folder),
        disk_size_limit_bytes=_SIZE_LIMIT,
        restrict_pickle=True,
    )
    try:
        yield
    finally:
        if folder is not None:
            ours.disk_cache.close()
        dspy.cache = before
