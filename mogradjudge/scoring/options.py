"""How a table is scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mogradjudge.data import READ_DEFAULTS, ReadOptions
from mogradjudge.errors import SetupError
from mogradjudge.lm.budget import Budget

PART_ROWS = 1000
"""Rows of a part, which is in memory at one time."""


def _check_count(name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise SetupError(f"`{name}` must be a whole number, at least 1, got {value!r}.")


def _check_no_caps(budget: Budget | None) -> None:
    if budget is not None and budget != Budget():
        raise SetupError(
            "Caps (--max-calls, --max-total-tokens, --max-cost, --max-seconds) do not work on a "
            "Ray cluster. Remove them, or `--ray`."
        )


@dataclass(frozen=True)
class ScoringOptions:
    """How a table is scored.

    >>> ScoringOptions(num_threads=4, limit=100).part_rows
    1000

    Args:
        num_threads: The most calls in flight; on a cluster, of each worker.
        limit: Score only the first ``limit`` rows; None scores all.
        overwrite: Whether an existing output file is replaced at the end.
        max_rpm: The most calls in any 60 seconds; None for no limit.
        part_rows: Rows per part, at least 1.
        ray: Where to judge: ``local`` starts a Ray on this machine for the run, ``auto`` or
            ``HOST:PORT`` joins a running one; None is this process. It needs the extra ``ray``.
        budget: Caps on the calls, earlier starts included; not with ``ray``.
        keep_going: Whether to continue if none of the first texts has a score.
        reading: How the table is read where its file leaves a choice.
        prefix: What the names of the added columns begin with; None is ``judge_`` if they would
            meet columns of the table, else nothing.
        estimate: A table of rated texts, by which each criterion's mean over the texts is estimated
            (`prediction_powered_mean`). They are judged first, and paid for; a text that is in both
            tables counts as rated.

    Raises:
        SetupError: If a count is not a whole number of at least 1, or caps are given with ``ray``.
    """

    num_threads: int = 8
    limit: int | None = None
    overwrite: bool = False
    max_rpm: int | None = None
    part_rows: int = PART_ROWS
    ray: str | None = None
    budget: Budget | None = None
    keep_going: bool = False
    reading: ReadOptions = READ_DEFAULTS
    prefix: str | None = None
    estimate: str | Path | None = None

    def __post_init__(self) -> None:
        """Check the counts, and the caps."""
        _check_count("num_threads", self.num_threads)
        _check_count("part_rows", self.part_rows)
        for name in ("limit", "max_rpm"):
            if (value := getattr(self, name)) is not None:
                _check_count(name, value)
        if self.ray is not None:
            _check_no_caps(self.budget)
