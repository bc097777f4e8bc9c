"""How far scores move when nothing changes: the least that a claim on these texts can be about."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import click

from benchmarks.harness.cells import Cell, Values
from benchmarks.harness.scored import MEAN, Judged, level_of, scoring
from benchmarks.harness.setting import LAYOUTS, Setting, with_setting
from benchmarks.harness.tables import Table, mean_of_known, percent
from benchmarks.harness.tasks import Task
from mogradjudge.agreement import (
    Level,
    Undefined,
    cluster_test,
    detectable_difference,
)
from mogradjudge.display.terminal import number
from mogradjudge.settings import Layout

BENCHMARK = "noise"


@dataclass(frozen=True)
class Row:
    """The noise of one criterion's agreement, or of the mean, in one layout.

    ``agreement`` is the mean over the repeats and ``run_sd`` its standard deviation from one
    scoring to the next; ``changed`` is the share of scores that a further scoring changed.
    ``half_width`` is that of the 95 % interval over documents, each with the mean of its values in
    all scorings. With 80 % power at a two-sided 0.05, a paired comparison on these documents can
    detect ``least_paired`` between two judges that differ by no more than two scorings of one
    prompt do (None where these do not differ at all), and ``least_unpaired`` between two whose
    errors have nothing in common; real prompts lie between the two.
    """

    layout: str
    criterion: str
    documents: int
    coverage: float
    agreement: float | None
    run_sd: float | None
    changed: float | None
    half_width: float | None
    least_paired: float | None
    least_unpaired: float | None


@dataclass(frozen=True)
class Noise:
    """What was found in one setting, from ``repeats`` scorings of ``texts`` test texts."""

    setting: Values
    level: Level
    texts: int
    repeats: int
    rows: tuple[Row, ...]


def measure(setting: Setting) -> None:
    """Score the test texts with the seed judge, again and again, in both layouts."""
    setting.grid.measure(
        [
            seed_scoring(setting, layout, repeat)
            for repeat in range(setting.repeats)
            for layout in LAYOUTS
        ]
    )


def seed_scoring(setting: Setting, layout: Layout, repeat: int) -> Task:
    """Make the task of scoring the test texts with the seed judge; its cell serves all who ask."""
    key = {"layout": layout, "repeat": repeat}
    return scoring(setting, BENCHMARK, key, setting.judge(layout))


def summarize(cells: Sequence[Cell]) -> Noise:
    """Sum up the noise cells of one setting."""
    ours = [cell for cell in cells if cell.benchmark == BENCHMARK]
    layouts: dict[str, list[Judged]] = {}
    for cell in ours:
        layouts.setdefault(cell.key["layout"], []).append(Judged.of(cell))
    first = Judged.of(ours[0])
    return Noise(
        setting=ours[0].setting,
        level=level_of(first),
        texts=len(first.groups),
        repeats=max(map(len, layouts.values())),
        rows=tuple(row for layout, runs in layouts.items() for row in _rows(layout, runs)),
    )


def _rows(layout: str, runs: Sequence[Judged]) -> list[Row]:
    names = list(runs[0].scores)
    values = [{name: run.values(name) for name in names} for run in runs]
    agreements = [{name: run.agreement(name) for name in names} for run in runs]
    for by_name, agreement in zip(values, agreements, strict=True):
        by_name[MEAN] = _mean_values([by_name[name] for name in names])
        agreement[MEAN] = mean_of_known(agreement.values())
    return [
        Row(
            layout=layout,
            criterion=name,
            coverage=min(run.coverage(n) for run in runs for n in names if name in (n, MEAN)),
            changed=_changed(runs, names if name == MEAN else [name]),
            **_figures(
                [by_name[name] for by_name in values], [by_name[name] for by_name in agreements]
            ),
        )
        for name in [*names, MEAN]
    ]


def _figures(
    values: Sequence[Mapping[str, float]], agreements: Sequence[float | None]
) -> dict[str, Any]:
    known = [value for value in agreements if value is not None]
    figures = {
        "documents": len(values[0]),
        "agreement": mean_of_known(agreements),
        "run_sd": statistics.stdev(known) if len(known) > 1 else None,
        **dict.fromkeys(("half_width", "least_paired", "least_unpaired")),
    }
    test = cluster_test(list(_mean_values(values).values()), flips=1)
    if isinstance(test, Undefined):
        return figures
    spread = math.sqrt(statistics.fmean(statistics.variance(run.values()) for run in values))
    rerun = _rerun_spread(values)
    least = partial(detectable_difference, documents=len(values[0]))
    return figures | {
        "half_width": (test.high - test.low) / 2,
        "least_paired": least(rerun) if rerun else None,
        "least_unpaired": least(spread * math.sqrt(2)),
    }


def _rerun_spread(values: Sequence[Mapping[str, float]]) -> float | None:
    """Give the standard deviation, over documents, of the difference of two scorings."""
    squares = [
        (one[name] - other[name]) ** 2
        for one, other in combinations(values, 2)
        for name in one.keys() & other.keys()
    ]
    return math.sqrt(statistics.fmean(squares)) if squares else None


def _mean_values(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average each document's values: over the criteria, or the scorings, that have one."""
    documents = dict.fromkeys(name for by_document in values for name in by_document)
    return {
        name: statistics.fmean(by_document[name] for by_document in values if name in by_document)
        for name in documents
    }


def _changed(runs: Sequence[Judged], names: Sequence[str]) -> float | None:
    pairs = [
        pair
        for first, run in combinations(runs, 2)
        for name in names
        for pair in zip(first.scores[name], run.scores[name], strict=True)
    ]
    return sum(a != b for a, b in pairs) / len(pairs) if pairs else None


def noise_table(noise: Noise) -> Table:
    """Give the rows as a table."""
    columns = ("layout", "criterion", "documents", "scored", "agreement", "± 95 %", "SD of runs")
    rows = [
        [
            *(row.layout, row.criterion, str(row.documents), percent(row.coverage)),
            *(number(row.agreement), number(row.half_width), number(row.run_sd, 4)),
            *(percent(row.changed), number(row.least_paired), number(row.least_unpaired)),
        ]
        for row in noise.rows
    ]
    return Table(
        (*columns, "changed", "least, same prompt", "least, unrelated"),
        rows,
        f"The seed judge on {noise.texts} test texts, {noise.repeats} times; Spearman, "
        f"{noise.level} level. Least: the difference that a paired test has 80 % power for.",
        keys=2,
    )


@click.command("noise")
@with_setting
def command(setting: Setting) -> None:
    """How far the seed judge's agreement moves from run to run, and what can be detected.

    It runs no optimizer and has no rater: --seeds is not used, and --prompt-lm and --rater-lm only
    name the setting, which is to be that of the other benchmarks.
    """
    measure(setting)
    noise_table(summarize(setting.cells)).print()
    setting.say_where()
