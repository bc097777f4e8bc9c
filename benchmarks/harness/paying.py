"""Before and after a benchmark pays: what it would cost, a word of consent, and what is there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from benchmarks.harness.grid import unfinished_in
from benchmarks.harness.rehearsal import Estimate, rehearsing
from benchmarks.harness.setting import Setting, in_setting
from mogradjudge import SetupError
from mogradjudge.display.terminal import say

Measure = Callable[..., None]


def estimated(
    name: str, measure: Measure, setting: Setting, estimate: Estimate, **options: Any
) -> None:
    """Count what a benchmark has still to measure; nothing is sent."""
    with in_setting(setting), rehearsing(name, setting.grid, estimate) as grid:
        # Scores are invented, so their probabilities are not asked for; the prompts are the same.
        rehearsed = replace(setting, grid=grid, score_rule="integer", num_threads=1)
        measure(rehearsed, **options)


def agreed(estimate: Estimate, *, yes: bool) -> bool:
    """Print an estimate and ask whether to go on; off a terminal nobody is asked."""
    estimate.print()
    return yes or not _is_asked() or click.confirm("Go on?")


def _is_asked() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def measured(
    measure: Measure, show: Callable[[Setting], None], setting: Setting, **options: Any
) -> None:
    """Measure and show; what is there is shown also where something ends it before its time."""
    with in_setting(setting):
        try:
            measure(setting, **options)
        except BaseException as error:
            # What could not even begin has no parts.
            if setting.cells or not isinstance(error, SetupError):
                _show_partly(show, setting)
            raise
        show(setting)


def _show_partly(show: Callable[[Setting], None], setting: Setting) -> None:
    for what in unfinished_in(setting.grid.folder).values():
        say(f"Partial. {what}")
    if not setting.cells:
        return
    try:
        show(setting)
    except Exception:  # noqa: BLE001 - what ended it is to be told, not what its lack leads to
        say("There is too little to be summed up.")
