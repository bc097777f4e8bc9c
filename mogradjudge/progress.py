"""Progress on stderr: a run's steps and agreement, a table's rows; and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from mogradjudge.config import MOGradConfig
from mogradjudge.events import (
    Event,
    GateDecided,
    Observer,
    QuestionSkipped,
    RunEnded,
    RunResumed,
    SeedScored,
    StepEnded,
    Values,
    describe,
)

HEADLINES = (RunResumed, SeedScored, GateDecided, QuestionSkipped, RunEnded)
"""The events that a reader of a log wants a line for."""
_LINE_EVERY = 30.0  # seconds


@contextmanager
def shown_progress(config: MOGradConfig, *, display: bool | None) -> Iterator[Observer]:
    """Show a progress bar while the block runs; gives the observer that feeds it.

    Args:
        config: The run's settings.
        display: None shows the bar if stderr is a terminal.
    """
    if not (sys.stderr.isatty() if display is None else display):
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    columns = (
        TextColumn(f"{config.mode} steps"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("scoring the seed instructions", total=config.steps)

        def update(event: Event) -> None:
            match event:
                case RunResumed():
                    bar.update(task, completed=event.steps, description=f"{event.calls} calls")
                case SeedScored():
                    bar.update(task, description=_state(event.agreement, event.calls))
                case StepEnded():
                    bar.update(task, advance=1, description=_state(event.agreement, event.calls))
                case _:
                    pass
            if isinstance(event, HEADLINES):
                bar.console.print(Text(describe(event), style="dim"), soft_wrap=True)

        yield update


@contextmanager
def shown_rows(*, display: bool | None = None) -> Iterator[Callable[[int, int], None]]:
    """Show how many rows are done; gives what is told the rows done and the rows there are.

    Args:
        display: None shows a bar if stderr is a terminal. Without a bar there is a line now and
            then.
    """
    if not (sys.stderr.isatty() if display is None else display):
        yield _Lines(time.monotonic()).tell
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("rows"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("looking at the table", total=None)

        def update(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            rate = "" if speed is None else f"{speed:.1f} rows/s"
            bar.update(task, completed=done, total=total, description=rate)

        yield update


class _Lines:
    """A line every so often, for a log."""

    def __init__(self, start: float) -> None:
        self.start = self.told = start
        self.first: int | None = None

    def tell(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.first is None:  # rows of an earlier run say nothing about this one's speed
            self.first, self.start = done, now
        if now - self.told < _LINE_EVERY or done == self.first:
            return
        self.told = now
        rate = (done - self.first) / max(now - self.start, 1e-9)
        left = (total - done) / rate / 60
        line = f"{done} of {total} rows, {rate:.1f} rows/s, about {left:.0f} min left"
        click.echo(line, err=True)


def _state(agreement: Values, calls: int) -> str:
    """Keep to what fits beside the bar; the lines above it have the criteria."""
    mean = agreement["mean"]
    return f"mean {'undefined' if mean is None else f'{mean:.3f}'}, {calls} calls"


def _ignore(event: Event) -> None:
    """Show nothing."""
