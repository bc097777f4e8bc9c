"""Shows progress on stderr: a run's steps and agreement, the rows or texts done, the time left."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dspy.utils.callback import BaseCallback

from mogradjudge.display.notebook import changing_line, is_notebook
from mogradjudge.display.terminal import console, cut, is_live, one_line, tell
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.events import (
    CritiqueWritten,
    Event,
    GradientWritten,
    Observer,
    RaceEnded,
    RunResumed,
    SectionRewritten,
    SeedScored,
    StepEnded,
    StepStarted,
)
from mogradjudge.optimize.figures import show

if TYPE_CHECKING:
    from rich.progress import Progress

_LINE_EVERY = 30.0  # seconds
_ROOM = 84  # columns of a bar with all its figures
_WIDE = 140  # columns that hold the agreement by criterion, too
_FULL, _SHORT = 20, 8  # columns of the bar itself


def event_lines(*, headlines: bool, others: bool) -> Observer:
    """Return an observer that writes a line to stderr for each event.

    Args:
        headlines: Whether to write events that are headlines; on a terminal, the bar does that.
        others: Whether to write all other events; critiques, gradients and new sections are cut to
            one line.

    >>> import contextlib, sys
    >>> observe = event_lines(headlines=True, others=False)
    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     observe(RunResumed(steps=2, calls=31))
    Resumed after step 2; 31 calls were sent before.
    """

    def observe(event: Event) -> None:
        if headlines if event.headline else others:
            line = cut if event.quotes else one_line
            tell(line(event.describe()))

    return observe


@contextmanager
def progress_bar(config: MOGradConfig, *, display: bool | None) -> Iterator[Observer]:
    """Show a progress bar while the block runs; yields the observer that updates it.

    Args:
        config: The run's settings.
        display: None shows the bar if stderr is a terminal, or in a notebook.
    """
    if display is not False and is_notebook():
        yield _watching(changing_line(f"{config.mode} steps", config.steps), wide=True)
        return
    if not (is_live() if display is None else display):
        yield _ignore
        return
    with _bar(f"{config.mode} steps", elapsed=True) as bar:
        task = bar.add_task("initial scoring", total=config.steps)
        observe = _watching(
            lambda done, text: bar.update(task, completed=done, description=text),
            wide=bar.console.width >= _WIDE,
        )

        def update(event: Event) -> None:
            observe(event)
            if event.headline:
                _print_above(bar, event.describe())

        yield update


@contextmanager
def row_progress(
    *, display: bool | None = None, what: str = "rows", state: Callable[[], str] | None = None
) -> Iterator[Callable[[int, int], None]]:
    """Show how many rows are done; yields a function to call with the rows done and their total.

    Args:
        display: None shows a bar if stderr is a terminal. Without a bar, a line is written every
            30 seconds.
        what: The name of the rows.
        state: Says what stands beside the bar; None shows the speed.
    """
    if not (is_live() if display is None else display):
        yield _Lines(time.monotonic(), what, state).tell
        return
    with _bar(what) as bar:
        task = bar.add_task("", total=None)

        def update(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            rate = "" if speed is None else f"{speed:.1f} {what}/s"
            shown = rate if state is None else state()
            bar.update(task, completed=done, total=total, description=shown)

        yield update


@contextmanager
def spinner(what: str, *, display: bool | None = None) -> Iterator[None]:
    """Show a spinner during work of unknown length; it disappears at the end.

    Args:
        what: The work, in a few words.
        display: None shows it if stderr is a terminal.
    """
    if not (is_live() if display is None else display):
        yield
        return
    from rich.text import Text

    with console(stderr=True).status(Text(what)):
        yield


class JudgedTexts(BaseCallback):  # type: ignore[misc]  # dspy is untyped
    """A DSPy callback that counts the texts that judges have scored; safe for several threads.

    Args:
        total: The number of texts.
        watch: Is called with the number of texts done and ``total``.
    """

    def __init__(self, total: int, watch: Callable[[int, int], None]) -> None:
        self.total = total
        self.watch = watch
        self._judging: set[str] = set()
        self._done = 0
        self._lock = threading.Lock()

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if isinstance(instance, MultiCriteriaJudge):
            with self._lock:
                self._judging.add(call_id)

    def on_module_end(
        self, call_id: str, outputs: Any | None, exception: BaseException | None = None
    ) -> None:
        with self._lock:
            if call_id in self._judging:
                self._judging.remove(call_id)
                self._done += 1
                self.watch(self._done, self.total)


class _Step:
    """Describes what a step is doing; the bar itself moves at the end of the step."""

    def __init__(self) -> None:
        self.number = 0
        self.written = Counter[str]()

    def after(self, event: Event) -> str | None:
        match event:
            case StepStarted():
                self.number = event.step
                self.written.clear()
                return f"step {event.step}: judging"
            case CritiqueWritten():
                return self._one_more("critiques")
            case GradientWritten():
                return self._one_more("gradients")
            case SectionRewritten():
                return f"step {self.number}: scoring the rewrite"
            case RaceEnded():
                return f"step {self.number}: race ended after {event.texts} of {event.of} texts"
            case _:
                return None

    def _one_more(self, what: str) -> str:
        self.written[what] += 1
        return f"step {self.number}: {self.written[what]} {what}"


class _Lines:
    """Writes a line every 30 seconds, for a log."""

    def __init__(self, start: float, what: str, state: Callable[[], str] | None = None) -> None:
        self.what, self.state = what, state
        self.start = self.last_line = start
        self.first: int | None = None

    def tell(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self.first is None:  # rows of an earlier run say nothing about this one's speed
            self.first, self.start = done, now
        if now - self.last_line < _LINE_EVERY or done == self.first:
            return
        self.last_line = now
        rate = (done - self.first) / max(now - self.start, 1e-9)
        minutes = (total - done) / rate / 60
        speed = f"{rate:.1f} {self.what}/s" if self.state is None else self.state()
        tell(f"{done} of {total} {self.what}, {speed}, about {minutes:.0f} min left")


def _bar(what: str, *, elapsed: bool = False) -> Progress:
    """Make a bar with the figures that fit the terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    out = console(stderr=True)
    roomy = out.width >= _ROOM
    columns: list[ProgressColumn] = [
        TextColumn(what, markup=False),
        BarColumn(bar_width=_FULL if roomy else _SHORT),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
    ]
    if elapsed and roomy:
        columns.append(TimeElapsedColumn())
    columns += [TextColumn("left", markup=False), TimeRemainingColumn()]
    return Progress(*columns, console=out)


def _print_above(bar: Progress, text: str) -> None:
    from rich.text import Text

    bar.console.print(Text(one_line(text), style="dim"))


def _watching(update: Callable[[int, str], None], *, wide: bool) -> Observer:
    """Return an observer that calls ``update`` with the steps done and what is going on."""
    step, done = _Step(), 0

    def observe(event: Event) -> None:
        nonlocal done
        match event:
            case RunResumed():
                done = event.steps
                update(done, f"{event.calls} calls")
            case SeedScored() | StepEnded():
                done += isinstance(event, StepEnded)
                update(done, _state(event, wide=wide))
            case _:
                if (activity := step.after(event)) is not None:
                    update(done, activity)

    return observe


def _state(event: SeedScored | StepEnded, *, wide: bool) -> str:
    """Return what fits beside the bar: agreement, by criterion if there is room, and the price."""
    agreement = event.agreement
    mean = agreement["mean"]
    shown = show(agreement) if wide else f"mean {'undefined' if mean is None else f'{mean:z.3f}'}"
    cost = event.cost if isinstance(event, StepEnded) else None
    return f"{shown}, {event.calls} calls{'' if cost is None else f', US$ {cost:.4f}'}"


def _ignore(event: Event) -> None:
    """Show nothing: there is no bar."""
