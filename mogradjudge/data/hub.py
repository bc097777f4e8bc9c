"""Data sets of the Hugging Face hub, streamed."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from mogradjudge.criteria import Group
from mogradjudge.data.batches import Batch, of_tables
from mogradjudge.errors import SetupError

HUB = "hf:"


def read_hub(source: str, wanted: Group, size: int) -> Iterator[Batch]:
    """Read a split of a data set; columns keep their types.

    Raises:
        SetupError: If the source names no split.
    """
    name = r"\w[\w.-]*"
    parts = re.fullmatch(rf"hf:({name}/{name})(?:/({name}))?(?::([\w.-]+))?", source)
    if not parts:
        raise SetupError(
            "`source` must read hf:OWNER/NAME, hf:OWNER/NAME:SPLIT or, for a data set with several "
            f"configurations, hf:OWNER/NAME/CONFIGURATION:SPLIT, got {source!r}."
        )
    with _quiet() as folder:
        from datasets import load_dataset

        splits = load_dataset(parts[1], parts[2], streaming=True, cache_dir=folder)
        data = splits[_choose_split(source, parts[3], list(splits))]
        # It may call a column an image or a document: to decode it would open what it points at.
        data = data.decode(enable=False)
        tables = (
            table.replace_schema_metadata()
            for table in data.with_format("arrow").iter(batch_size=size)
        )
        if (first := next(tables, None)) is not None:
            yield from of_tables(first.schema, chain([first], tables), wanted, size)


def _choose_split(source: str, split: str | None, known: list[str]) -> str:
    if split is None and len(known) == 1:
        return known[0]
    if split not in known:
        raise SetupError(
            f"`source` must name one of the splits {', '.join(known)}, got {source!r}. "
            f"Write {':'.join(source.split(':')[:2])}:{known[0]}, say."
        )
    return split


@contextmanager
def _quiet() -> Iterator[str]:
    """Give `datasets` a cache to throw away, and keep what it logs off stderr.

    Its own cache may be stale, and an error is one line, which is ours.
    """
    import datasets

    bars = datasets.are_progress_bars_disabled()
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            yield folder
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()
