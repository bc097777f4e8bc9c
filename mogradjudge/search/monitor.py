"""Shows a study's trials while they run: a live table, or lines in a log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from optuna.trial import TrialState

from mogradjudge.display.terminal import WIDE, is_live, number, one_line, tell
from mogradjudge.display.terminal import console as console_of
from mogradjudge.lm.budget import Budget, Spent
from mogradjudge.search.analysis.records import best_of, compared, ranked_of, records_of
from mogradjudge.search.analysis.result import TrialRecord
from mogradjudge.search.analysis.verdict import interval
from mogradjudge.search.workers.budget import spent_of
from mogradjudge.search.workers.database import reason
from mogradjudge.search.workers.existing import EXTRA
from mogradjudge.search.workers.queue import Queue
from mogradjudge.search.workers.shared import SIZE, Shared

if TYPE_CHECKING:
    from rich.console import Console, Group

logger = logging.getLogger(__name__)

Watch: TypeAlias = Callable[[Queue, Shared], AbstractContextManager[None]]

_EVERY = 1.0  # seconds between two looks
_SHARE = 0.1  # of the time may be spent on looks, where there are many trials
_LONGEST = 10.0  # seconds between two looks
_LAST = 5.0  # seconds that the last look may take
_FRAME = 6  # lines of the display that are no trial
_COLUMNS = ("trial", "state", "mode", "layout", "agreement", "95 %", "calls", "per text", "worker")
_LEFT = ("state", "mode", "layout", "worker")  # columns of words
_LESS = ("worker", "per text", "layout", "calls", "95 %")  # the first to go where room is short
_SPACE = 3  # columns beside each cell


@dataclass(frozen=True)
class Look:
    """A study at one moment: all attempts, the best one, and how many trials have ended."""

    records: tuple[TrialRecord, ...]
    best: TrialRecord | None
    trials: int
    done: int
    spent: Spent


def look_at(queue: Queue, shared: Shared) -> Look:
    """Read a study."""
    records = records_of(queue)
    best, done = best_of(*compared(records)), queue.size() - queue.unfinished()
    trials = _expected(queue, {record.task for record in records}, shared.noted(SIZE))
    return Look(records, best, trials, done, spent_of(shared))


def _expected(queue: Queue, tasks: Iterable[str], configurations: int | None) -> int:
    """Count the trials that there will be: none is drawn once each configuration is taken."""
    size, extra = queue.size(), sum(task.startswith(EXTRA) for task in tasks)
    drawn = size if configurations is None else min(size - extra, configurations) + extra
    return min(size, drawn) + len(queue.trials(TrialState.WAITING))


def watching(budget: Budget, *, console: Console | None = None, every: float = _EVERY) -> Watch:
    """Return a display of a study for `search`.

    On a terminal it is a table of the trials of all workers, otherwise a line when a trial ends. It
    reads the study now and then; an error while reading does not stop the search.

    Args:
        budget: The caps on all trials, to say what is left of them.
        console: Where a table is shown; None takes stderr if that is a terminal.
        every: Seconds between two looks.
    """
    if console is None and is_live():
        console = console_of(stderr=True)

    @contextmanager
    def watch(queue: Queue, shared: Shared) -> Iterator[None]:
        with _shown(budget, console) as show, _looking(queue, shared, show, every):
            yield

    return watch


@contextmanager
def _shown(budget: Budget, console: Console | None) -> Iterator[Callable[[Look], None]]:
    if console is None or not console.is_terminal:
        yield Lines()
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(look: Look) -> None:
            live.update(table_of(look, budget, console.height, console.width), refresh=True)

        yield show


@contextmanager
def _looking(
    queue: Queue, shared: Shared, show: Callable[[Look], None], every: float
) -> Iterator[None]:
    over, complained = threading.Event(), threading.Event()

    def look() -> None:
        try:
            show(look_at(queue, shared))
        except Exception as error:  # noqa: BLE001 - whatever it is, the search goes on
            if not complained.is_set():
                logger.warning("The trials cannot be shown: %s", reason(error))
            complained.set()

    def run() -> None:
        last = False
        while not last:
            started = time.monotonic()
            last = over.is_set()
            look()
            pause = min(_LONGEST, (time.monotonic() - started) / _SHARE)
            over.wait(0 if last else max(every, pause))
        queue.storage.remove_session()  # it is the thread's own

    look()  # what is over by now is no news
    thread = threading.Thread(target=run, name="display of trials", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LAST)


class Lines:
    """Writes a line to stderr when an attempt has ended; earlier ones are skipped."""

    def __init__(self) -> None:
        self._printed: set[int] | None = None

    def __call__(self, look: Look) -> None:
        """Print the attempts that have ended since the last look."""
        ended = [record for record in look.records if record.state not in ("waiting", "running")]
        for record in ended if self._printed is not None else ():
            if record.number not in (self._printed or ()):
                tell(f"{line_of(record)}; {state_of(look)}")
        self._printed = {record.number for record in ended}


def line_of(record: TrialRecord) -> str:
    """Say how an attempt at a trial ended."""
    tried = f"Trial {record.number} ({_tried(record)})"
    if record.state != "complete":
        return f"{tried} {record.state}" + (
            "" if record.why is None else f": {one_line(record.why)}"
        )
    interval = f" {interval_of(record)}" if interval_of(record) else ""
    calls = f"{record.calls} calls, {record.calls_per_text:g} per text"
    return f"{tried}: agreement {number(record.mean)}{interval}, {calls}"


def state_of(look: Look) -> str:
    """Say how many trials have ended, and which is the best so far."""
    best = look.best
    winner = "nothing yet" if best is None else f"trial {best.number}, {number(best.mean)}"
    return f"{look.done} of {look.trials} trials done; best so far: {winner}"


def left_of(spent: Spent, budget: Budget) -> str:
    """Say what was spent, and what is left of each cap.

    >>> left_of(Spent(calls=30), Budget(max_calls=100))
    'calls 30 of 100, 70 left'
    """
    parts = []
    for what, used, cap, digits in (
        ("calls", spent.calls, budget.max_calls, 0),
        ("tokens", spent.tokens, budget.max_tokens, 0),
        ("US$", spent.cost, budget.max_cost, 4),
    ):
        if cap is not None:
            left = max(0, cap - used)
            parts.append(f"{what} {used:.{digits}f} of {cap:.{digits}f}, {left:.{digits}f} left")
        elif used:
            parts.append(f"{what} {used:.{digits}f}")
    return "; ".join(parts) or "nothing spent"


def chosen_of(look: Look, rows: int) -> list[TrialRecord]:
    """Choose the attempts for a table of ``rows`` rows: the best, the running, the last ended.

    Waiting trials are not shown. The result is in the order of numbers.
    """
    started = [record for record in look.records if record.state != "waiting"]
    if len(started) <= rows:
        return started
    running = [record for record in started if record.state == "running"]
    ended = [record for record in started if record.state != "running"]
    ranked = ranked_of(ended, look.best)
    third = max(1, rows // 3)
    order = [*ranked[:third], *running[-third:], *ended[::-1], *running[::-1]]
    by_number = {record.number: record for record in order}  # each once, in this order
    return sorted(list(by_number.values())[:rows], key=lambda record: record.number)


def table_of(look: Look, budget: Budget, height: int, width: int = WIDE) -> Group:
    """Draw a study for a terminal of so many lines and columns."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    chosen = chosen_of(look, max(1, height - _FRAME))
    rows = [dict(zip(_COLUMNS, cells_of(record), strict=True)) for record in chosen]
    table = Table(box=box.SIMPLE_HEAD)
    names = _fitting(rows, width)
    for name in names:
        table.add_column(
            name, justify="left" if name in _LEFT else "right", no_wrap=True, overflow="ellipsis"
        )
    for record, row in zip(chosen, rows, strict=True):
        style = "bold" if look.best is not None and record.number == look.best.number else ""
        table.add_row(*(Text(row[name]) for name in names), style=style)
    lines = (state_of(look), left_of(look.spent, budget))
    return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


def _fitting(rows: Sequence[Mapping[str, str]], width: int) -> list[str]:
    """Name the columns that there is room for."""
    from rich.cells import cell_len

    wide = {
        name: max(map(cell_len, (name, *(row[name] for row in rows)))) + _SPACE for name in _COLUMNS
    }
    for name in _LESS:
        if sum(wide.values()) >= width:
            del wide[name]
    return list(wide)


def cells_of(record: TrialRecord) -> Sequence[str]:
    """Give a trial's row, by the table's columns."""
    calls, per_text = record.calls, record.calls_per_text
    return (
        str(record.number),
        record.state,
        str(record.mode or "-"),
        str(record.config.get("layout", "-")),
        record.mark + number(record.mean),
        interval_of(record),
        "-" if calls is None else str(calls),
        "-" if per_text is None else f"{per_text:g}",
        one_line(record.worker or "-"),
    )


def interval_of(record: TrialRecord) -> str:
    """Write the interval of a trial's mean agreement; nothing where there is none."""
    ends = record.intervals.get("mean")
    return "" if ends is None else interval(ends)


def _tried(record: TrialRecord) -> str:
    return (
        ", ".join(str(record.config[name]) for name in ("mode", "layout") if name in record.config)
        or "not started"
    )
