"""Where paid replies are kept: DSPy's cache in a folder of its own, read without running code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dspy


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
    dspy.configure_cache(
        enable_disk_cache=folder is not None,
        enable_memory_cache=True,
        memory_max_entries=memory_max_entries,
        disk_cache_dir=None if folder is None else str(folder),
        restrict_pickle=True,
    )
    ours = dspy.cache
    try:
        yield
    finally:
        if folder is not None:
            ours.disk_cache.close()
        dspy.cache = before
