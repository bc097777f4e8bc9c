"""How far scores move when nothing changes: the least that a claim on these texts can be about."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import click

from benchmarks.harness.cells import Cell, Values
from benchmarks.harness.finding import MOST_ROWS, Finding
from benchmarks.harness.options import with_setting
from benchmarks.harness.scored import MEAN, Judged, level_of, score_texts
from benchmarks.harness.setting import LAYOUTS, Setting
from benchmarks.harness.tables import Table, mean_of_known, percent
from benchmarks.harness.tasks import Task
from mogradjudge.agreement import (
    Ceiling,
    Level,
    TestOptions,
    Undefined,
    cluster_test,
    detectable_difference,
    judge_ceiling,
    sample_size,
)
from mogradjudge.criteria.criterion import SINGLE_RATINGS
from mogradjudge.display.terminal import number
from mogradjudge.lm.ledger import Ledger
from mogradjudge.report.numbers import counted
from mogradjudge.settings import Layout

BENCHMARK = "noise"
MATTERS = 0.05
"""A difference of agreement that one would not want to miss."""
_FEWEST = 6  # documents; a test of fewer can establish nothing
_SHOWN: Layout = "combined"  # the layout that is met first


@dataclass(frozen=True)
class Row:
    """The noise of one criterion's agreement, or of the mean, in one layout.

    ``agreement`` is the mean over the repeats and ``run_sd`` its standard deviation from one
    scoring to the next; ``changed`` is the share of scores that a further scoring changed.
    ``half_width`` is that of the 95 % interval over documents, each with the mean of its values in
    all scorings. With 80 % power at a two-sided 0.05, a paired comparison on these documents can
    detect ``least_paired`` between two judges that differ by no more than two scorings of one
    prompt do (None where these do not differ at all), and ``least_unpaired`` between two whose
    errors have nothing in common (either None where no two judges can differ so much); real
    prompts lie between the two. ``needed_paired`` and
    ``needed_unpaired`` are the documents that it would take to detect `MATTERS`.
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
    needed_paired: int | None
    needed_unpaired: int | None


@dataclass(frozen=True)
class Noise:
    """What was found in one setting, from ``repeats`` scorings of ``texts`` test texts.

    ``ceilings`` says, by criterion, what people's disagreement leaves a judge to reach
    (`judge_ceiling`, for one scoring in joint calls); empty where single ratings are unknown.
    """

    setting: Values
    level: Level
    texts: int
    repeats: int
    rows: tuple[Row, ...]
    ceilings: Mapping[str, Ceiling]


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

    def measure(ledger: Ledger) -> Values:
        judged = score_texts(setting, [setting.judge(layout)], setting.test, ledger)
        ratings = [text.get(SINGLE_RATINGS, ()) for text in setting.test] if not repeat else []
        return {"judged": judged, **({"ratings": ratings} if any(ratings) else {})}

    return setting.grid.task(BENCHMARK, key, measure)


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
        ceilings=_ceilings(ours),
    )


def _ceilings(cells: Sequence[Cell]) -> dict[str, Ceiling]:
    """Measure what share of its ceiling the judge reaches in the scoring that kept ratings."""
    rated = [cell for cell in cells if "ratings" in cell.result and cell.key["layout"] == _SHOWN]
    if not rated:
        return {}
    judged, texts = Judged.of(rated[0]), rated[0].result["ratings"]
    return {
        name: judge_ceiling(
            [{rater: score for rater, about, score in text if about == name} for text in texts],
            *(judged.human[name], judged.filled(name), judged.groups),
            TestOptions(level=level_of(judged)),
        )
        for name in judged.scores
    }


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
        **dict.fromkeys(("needed_paired", "needed_unpaired")),
    }
    test = cluster_test(list(_mean_values(values).values()), flips=1)
    if isinstance(test, Undefined):
        return figures
    spread = math.sqrt(statistics.fmean(statistics.variance(run.values()) for run in values))
    rerun = _rerun_spread(values)
    unrelated, documents = spread * math.sqrt(2), len(values[0])
    return figures | {
        "half_width": (test.high - test.low) / 2,
        "least_paired": _least(rerun, documents, figures["agreement"]) if rerun else None,
        "least_unpaired": _least(unrelated, documents, figures["agreement"]),
        "needed_paired": sample_size(rerun, MATTERS) if rerun else None,
        "needed_unpaired": sample_size(unrelated, MATTERS),
    }


def _least(spread: float, documents: int, agreement: float | None) -> float | None:
    """Give the least difference that is detected; None where no judge can differ so much."""
    least = detectable_difference(spread, documents)
    return None if least is None or least > 1 + abs(agreement or 0.0) else least


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


def finding(noise: Noise) -> Finding:
    """Say which differences these texts can show; it claims nothing."""
    shown = [row for row in noise.rows if row.layout == _SHOWN] or noise.rows
    mean = next(row for row in shown if row.criterion == MEAN)
    rows = shown if len(shown) <= MOST_ROWS else [mean]
    few = mean.documents < _FEWEST
    limits = [f"Which differences these texts show: it takes {_FEWEST} documents or more."] * few
    return Finding(
        BENCHMARK,
        noise.setting,
        _sentence(mean, noise),
        _action(mean),
        None,
        Table(
            ("criterion", "agreement", "least difference shown", f"documents for {MATTERS}")
            + (("share of the human ceiling",) if noise.ceilings else ()),
            [_shown_row(row, noise) for row in rows],
        ),
        limits=(*limits, *_ceiling_limits(noise)),
        answers={"texts": _sentence(mean, noise)},
    )


def _sentence(mean: Row, noise: Noise) -> str:
    if mean.least_unpaired is None:
        count = counted(mean.documents, "document") if mean.documents else "No document"
        said = f"{count} with a value of agreement: too few to show any difference between judges"
        needed = mean.needed_unpaired if mean.documents >= _FEWEST else None
        return f"{said}; to show one of {MATTERS} takes {needed:,}." if needed else f"{said}."
    said = (
        f"{mean.documents} documents ({noise.texts} texts) show a difference of "
        f"{mean.least_unpaired:.2f} or more between the agreements of two judges; to show one of "
        f"{MATTERS} takes {mean.needed_unpaired:,} documents."
    )
    if mean.least_paired is None or mean.needed_paired is None:
        return said
    return (
        f"{said} For judges that err alike, as with two wordings of the same instructions, it may "
        f"be as little as {mean.least_paired:.2f} and {mean.needed_paired:,} documents."
    )


def _action(mean: Row) -> str:
    if mean.documents < _FEWEST or mean.needed_unpaired is None:
        return "Rate more documents before you compare judges."
    said = f"Compare judges on {mean.needed_unpaired:,} rated documents"
    if mean.least_unpaired is None:
        return f"{said}."
    return f"{said}; on these, take a difference below {mean.least_unpaired:.2f} for chance."


def _shown_row(row: Row, noise: Noise) -> list[str]:
    cells = [
        row.criterion,
        number(row.agreement),
        _range(row.least_paired, row.least_unpaired),
        _range(row.needed_paired, row.needed_unpaired),
    ]
    return [*cells, _share(noise.ceilings.get(row.criterion))] if noise.ceilings else cells


def _range(first: float | None, second: float | None) -> str:
    """Write the two values, the smaller first; a dash where there is none."""
    texts = {
        f"{value:,}" if isinstance(value, int) else number(value, 2): value
        for value in sorted(value for value in (first, second) if value is not None)
    }
    return " to ".join(texts) or "-"


def _share(ceiling: Ceiling | None) -> str:
    if ceiling is None or isinstance(ceiling.share, Undefined):
        return "-"
    if isinstance(ceiling.share_interval, Undefined):
        return percent(ceiling.share)
    low, high = ceiling.share_interval.low, ceiling.share_interval.high
    return f"{percent(ceiling.share)} ({percent(low)} to {percent(high)})"


def _ceiling_limits(noise: Noise) -> list[str]:
    if not noise.ceilings:
        return ["The human ceiling: single ratings of several people per text are not in the data."]
    return [
        f"No share of the human ceiling on {name}: {ceiling.share.reason}."
        for name, ceiling in noise.ceilings.items()
        if isinstance(ceiling.share, Undefined)
    ]


def show(setting: Setting) -> None:
    """Print what the cells of a setting say."""
    finding(summarize(setting.cells)).print()
    setting.say_where()


@click.command("noise")
@with_setting(show)
def command(setting: Setting) -> None:
    """How far the seed judge's agreement moves from run to run, and what can be detected.

    It runs no optimizer and has no rater: --seeds is not used, and --prompt-lm and --rater-lm only
    name the setting, which is to be that of the other benchmarks.
    """
    measure(setting)
