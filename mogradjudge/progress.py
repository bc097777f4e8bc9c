"""A run's progress on stderr: steps, agreement per criterion, calls, time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

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


def _state(agreement: Values, calls: int) -> str:
    """Keep to what fits beside the bar; the lines above it have the criteria."""
    mean = agreement["mean"]
    return f"mean {'undefined' if mean is None else f'{mean:.3f}'}, {calls} calls"


def _ignore(event: Event) -> None:
    """Show nothing."""
