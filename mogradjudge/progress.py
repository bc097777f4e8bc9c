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
    RunEnded,
    SeedScored,
    StepEnded,
    Values,
    describe,
    show,
)


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
        # Scoring the seed is a part of the work, or the time left would ignore it.
        task = bar.add_task("scoring the seed instructions", total=config.steps)

        def update(event: Event) -> None:
            match event:
                case SeedScored():
                    bar.update(task, description=_state(event.agreement, event.calls))
                case GateDecided() | RunEnded():
                    bar.console.print(describe(event), style="dim", highlight=False)
                case StepEnded():
                    bar.update(task, advance=1, description=_state(event.agreement, event.calls))
                case _:
                    pass

        yield update


def _state(agreement: Values, calls: int) -> str:
    return f"{show(agreement)}, {calls} calls"


def _ignore(event: Event) -> None:
    """Show nothing."""
