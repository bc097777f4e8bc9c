"""Shows progress on stderr: a run's steps and agreement, the rows or texts done, the time left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from mogradjudge.display.notebook import changing_line, is_notebook
from mogradjudge.display.terminal import console, cut, is_live, one_line, tell
from mogradjudge.lm.ledger import Ledger, totals
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
from mogradjudge.programs.counting import texts_counted

if TYPE_CHECKING:
    from rich.progress import Progress

_LINE_EVERY = 30.0  # seconds
_COUNT_EVERY = 0.1  # seconds
_ROOM = 84  # columns of a bar with all its figures
_CLOCKS = " 0:00:00 left -:--:--"
_PAGE = 200  # characters beside a notebook's bar
_FULL, _SHORT = 20, 8  # columns of the bar itself


_bar_now: ContextVar[_Live | None] = ContextVar("_bar_now", default=None)


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
def progress_bar(
    config: MOGradConfig, *, display: bool | None, ledger: Ledger | None = None
) -> Iterator[Observer]:
    """Show a progress bar while the block runs; yields the observer that updates it.

    Args:
        config: The run's settings.
        display: None shows the bar if stderr is a terminal, or in a notebook.
        ledger: Counts the calls and dollars that are shown.
    """
    if display is not False and is_notebook():
        live = _Live(changing_line(f"{config.mode} steps", config.steps), _PAGE, ledger)
        with _shown(live):
            yield live.observe
        return
    if not (is_live() if display is None else display):
        yield _ignore
        return
    with _bar(f"{config.mode} steps", elapsed=True) as bar:
        task = bar.add_task("initial scoring", total=config.steps)
        live = _Live(
            lambda done, text: bar.update(task, completed=done, description=text),
            _room(bar.console.width, f"{config.mode} steps {config.steps}/{config.steps} "),
            ledger,
        )

        def update(event: Event) -> None:
            live.observe(event)
            if event.headline:
                _print_above(bar, event.describe())

        with _shown(live):
            yield update


@contextmanager
def _shown(live: _Live) -> Iterator[None]:
    token = _bar_now.set(live)
    try:
        yield
    finally:
        _bar_now.reset(token)


@contextmanager
def scoring_shown(what: str, texts: int) -> Iterator[None]:
    """Count the texts that are judged while the block runs beside the bar, if one is shown.

    Args:
        what: What is going on, in a few words.
        texts: How many texts are judged at most.
    """
    live = _bar_now.get()
    if live is None:
        yield
        return
    with texts_counted(texts, lambda done, total: live.count(what, done, total)):
        yield


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


def _room(columns: int, figures: str) -> int:
    """Return how many characters fit beside a bar with these figures and the clocks."""
    roomy = columns >= _ROOM
    clocks = _CLOCKS if roomy else _CLOCKS[8:]
    return columns - len(figures) - (_FULL if roomy else _SHORT) - 1 - len(clocks)


def _print_above(bar: Progress, text: str) -> None:
    from rich.text import Text

    bar.console.print(Text(one_line(text), style="dim"))


class _Live:
    """What a bar says: the steps done, what is going on, the latest agreement, and the price.

    Args:
        update: Is called with the steps done and the text beside the bar.
        room: How many characters of text fit; what does not is left out.
        ledger: Counts the calls and dollars of now; without one, they are those of the events.
    """

    def __init__(
        self, update: Callable[[int, str], None], room: int, ledger: Ledger | None
    ) -> None:
        self.update, self.room, self.ledger = update, room, ledger
        self.step, self.done = _Step(), 0
        self.activity, self.calls = "", 0
        self.agreements: tuple[str, ...] = ()  # the longest one first
        self.counted = -_COUNT_EVERY  # when texts were last shown
        self.cost: float | None = None

    def observe(self, event: Event) -> None:
        """Show what an event says."""
        match event:
            case RunResumed():
                self.done, self.calls = event.steps, event.calls
            case SeedScored() | StepEnded():
                self._take(event)
            case _:
                activity = self.step.after(event)
                if activity is None:
                    return
                self.activity = activity
        self.show()

    def count(self, what: str, done: int, total: int) -> None:
        """Show how many texts of a scoring are judged; a notebook bears few messages a second."""
        self.activity, now = f"{what}: {done} of {total} texts", time.monotonic()
        if done == total or now - self.counted >= _COUNT_EVERY:
            self.counted = now
            self.show()

    def show(self) -> None:
        """Bring the bar up to date."""
        if self.ledger is not None:
            self.calls, (_, self.cost) = self.ledger.calls, totals(self.ledger.rows)
        price = f"{self.calls} calls" + (f", US$ {self.cost:.4f}" if self.cost else "")
        lines = [_joined(self.activity, it, price) for it in (*self.agreements, "")]
        fitting = (line for line in lines if len(line) <= self.room)
        self.update(self.done, next(fitting, self.activity or lines[-1]))

    def _take(self, event: SeedScored | StepEnded) -> None:
        self.calls, self.activity = event.calls, ""
        mean = event.agreement["mean"]
        short = f"mean {'undefined' if mean is None else f'{mean:z.3f}'}"
        self.agreements = f"validation {show(event.agreement)}", f"validation {short}", short
        if isinstance(event, StepEnded):
            self.done += 1
            self.cost = event.cost


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _ignore(event: Event) -> None:
    """Show nothing: there is no bar."""
