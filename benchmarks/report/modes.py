"""The modes' part of the report."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import MEAN
from benchmarks.modes import summarize
from benchmarks.modes.estimates import Estimate
from benchmarks.modes.measure import SEED
from benchmarks.modes.summary import InSetting, Mode
from benchmarks.report.markdown import (
    difference,
    escape,
    fenced,
    folded,
    interval,
    number,
    table,
)
from benchmarks.report.modes_pictures import cost_picture, trajectory_picture
from benchmarks.report.pictures import forest
from benchmarks.report.section import Section, pictured
from benchmarks.report.settings import Settings

_VOLUME = (
    "Hypervolume is the share of the space of agreements that lies below at least one program, "
    "with a reference point of 0 on each criterion: a negative rho counts as 0. Both columns are "
    "means over the runs: on the test texts of the volume of a run's final program, on the "
    "validation texts of that of all programs which a run measured, so the luck of the best of "
    "many raises it."
)


def sections(cells: Sequence[Cell], settings: Settings) -> list[Section]:
    """Write about the modes, for each setting and way to run them."""
    return [_section(found, settings, place) for place, found in enumerate(summarize(cells), 1)]


def _section(found: InSetting, settings: Settings, number_of: int) -> Section:
    figures: dict[str, Figure] = {}
    seed_runs = max(len(mode.seeds) for mode in found.modes)
    plan = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found.plan.items())
    parts = [
        f"{found.texts} test texts of {found.documents} documents, which decided nothing; "
        f"agreement is Spearman's rho, {found.level} level. Up to {seed_runs} runs per mode "
        f"({escape(plan)}). In brackets are 95 % intervals over runs and documents. ST is the "
        "single-criterion baseline: an optimizer and a judge for each criterion, so that "
        "the judge's layout sets it apart from a mode as well.",
        "### Agreement on the test texts",
        _agreement(found),
        "Differences to the seed prompt in the same layout:",
        _gains(found),
        pictured(
            f"modes-{number_of}-differences.svg",
            forest(
                (*found.against_seed, *found.pairs), "difference of mean agreement (Spearman's rho)"
            ),
            "Differences of mean test agreement with 95 % intervals; filled where established, "
            "the grey band is the bound of equivalence",
            figures,
        ),
        "### Way and cost",
        pictured(
            f"modes-{number_of}-steps.svg",
            trajectory_picture(found),
            "Validation agreement over the steps, a line for each run; a filled mark is an "
            "accepted proposal, the black line the mean",
            figures,
        ),
        pictured(
            f"modes-{number_of}-cost.svg",
            cost_picture(found),
            "Calls of a run against its test agreement, with 95 % intervals",
            figures,
        ),
        _costs(found),
        *_adherence(found),
        "### Hypervolume",
        _VOLUME,
        _volumes(found),
        *(_texts(mode) for mode in _optimized(found)),
    ]
    title = f"Modes, {settings.name(found.setting)}"
    claims = (*found.against_seed, *found.pairs)
    return Section(title, claims, parts, figures, found.setting, found.headlines)


def label(mode: Mode) -> str:
    """Name a mode in a table."""
    name = "seed prompt" if mode.name == SEED else mode.name
    return f"{name}, {mode.layout} calls"


def _optimized(found: InSetting) -> list[Mode]:
    return [mode for mode in found.modes if mode.name != SEED]


def _agreement(found: InSetting) -> str:
    names = (*found.criteria, MEAN)
    columns = ("", *map(escape, names), "SD from run to run", "runs", "seed prompt kept")
    rows = [
        [
            label(mode),
            *(_interval(mode.test[name]) for name in names),
            *(number(mode.run_sd), str(len(mode.seeds))),
            "-" if mode.name == SEED else str(mode.seeds_kept),
        ]
        for mode in found.modes
    ]
    return table(columns, rows)


def _gains(found: InSetting) -> str:
    names = (*found.criteria, MEAN)
    rows = [
        [label(mode), *(_difference(mode.gain[name]) for name in names)]
        for mode in _optimized(found)
        if mode.gain
    ]
    return table(("", *map(escape, names)), rows)


def _interval(found: Estimate) -> str:
    return interval(found.value, found.low, found.high)


def _difference(found: Estimate) -> str:
    return difference(found.value, found.low, found.high)


def _costs(found: InSetting) -> str:
    modes = _optimized(found)
    roles = list(dict.fromkeys(role for mode in modes for role in mode.cost.calls))
    rows = [
        [
            label(mode),
            *(number(mode.cost.calls.get(role, 0.0), 1) for role in roles),
            number(mode.cost.total, 1),
            f"{mode.cost.prompt_tokens:,.0f}",
            f"{mode.cost.completion_tokens:,.0f}",
            number(mode.cost.dollars, 4),
        ]
        for mode in modes
    ]
    columns = ("calls of one run", *map(escape, roles), "all", "tokens in", "tokens out", "US$")
    return table(columns, rows)


def _adherence(found: InSetting) -> list[str]:
    if not found.adherence:
        return []
    rows = [
        [each.mode, number(each.mean, 2), number(each.run_sd, 2), str(each.n), str(each.unrated)]
        for each in found.adherence
    ]
    columns = ("", "mean", "SD from run to run", "sections", "unrated")
    said = "How well editors followed their gradients, rated from 1 to 10 by the rater:"
    return ["### Adherence", said, table(columns, rows)]


def _volumes(found: InSetting) -> str:
    rows = [
        [label(mode), number(mode.volume, 4), number(mode.validation_volume, 4)]
        for mode in found.modes
    ]
    return table(("", "test", "validation"), rows)


def _texts(mode: Mode) -> str:
    blocks = [f"**{escape(name)}**\n\n{fenced(text)}" for name, text in mode.texts[0].items()]
    summary = f"Final instructions of {mode.name}, run {mode.seeds[0]}"
    return folded(summary, "\n\n".join(blocks))
