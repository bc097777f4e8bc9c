"""Where paid replies are kept: DSPy's cache in a folder of its own, read without running code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dspy

# litellm notes on a reply which address it came from and with which headers; both may hold keys.
_NOTES = ("_hidden_params", "_response_headers")


@contextmanager
def replies_kept_in(folder: Path | None) -> Iterator[None]:
    """Keep DSPy's replies in a folder, or without one in memory alone, while the block runs.

    A folder's files are read without running anything: only plain data and DSPy's own records are
    unpickled.
    """
    before = dspy.cache
    dspy.configure_cache(
        enable_disk_cache=folder is not None,
        enable_memory_cache=True,
        disk_cache_dir=None if folder is None else str(folder),
        restrict_pickle=True,
    )
    ours = dspy.cache
    ours.put = partial(_put, ours)
    try:
        yield
    finally:
        if folder is not None:
            ours.disk_cache.close()
        dspy.cache = before


def _put(
    cache: Any,
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
    type(cache).put(cache, request, value, ignored_args_for_cache_key, enable_memory_cache)
