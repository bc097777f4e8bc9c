"""The interference benchmark's part of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import MEAN
from benchmarks.interference import summarize
from benchmarks.interference.choose import BENCHMARK
from benchmarks.interference.summary import Interference
from benchmarks.interference.tables import (
    arms_table,
    effects_table,
    matrix_table,
    over_runs,
    unedited,
)
from benchmarks.report.markdown import escape, shown
from benchmarks.report.pictures import forest, plain, styled
from benchmarks.report.section import Section, pictured
from benchmarks.report.settings import Settings
from mogradjudge.agreement.claims import Claim

_INTERFERENCE = "interference"


def sections(cells: Sequence[Cell], settings: Settings) -> list[Section]:
    """Write about interference, setting by setting."""
    return [
        _of_setting(ours, settings)
        for ours in settings.split(cells)
        if any(cell.benchmark == BENCHMARK for cell in ours)
    ]


def _of_setting(cells: Sequence[Cell], settings: Settings) -> Section:
    try:
        return _section(summarize(cells), settings)
    except ValueError as error:  # it was cut short before there was anything to compare
        title = f"Interference, {settings.name(cells[0].setting)}"
        return Section(title, (), [f"There is nothing to say yet: {escape(error)}."])


def _section(summary: Interference, settings: Settings) -> Section:
    name, number_of = settings.name(summary.setting), settings.number(summary.setting)
    figures: dict[str, Figure] = {}
    of_mean = [claims[MEAN] for claims in summary.effects.values()]
    of_criteria = [summary.effects[_INTERFERENCE][criterion] for criterion in summary.criteria]
    parts = [
        _introduction(summary),
        shown(arms_table(summary)),
        pictured(
            f"interference-{number_of}-effects.svg",
            forest(_named(of_mean, ", mean"), "mean effect on agreement (Spearman's rho)"),
            "What the mean interference is made of, with 95 % intervals over documents; filled "
            "where established, the grey band is the bound of equivalence",
            figures,
        ),
        shown(effects_table(summary)),
        over_runs(summary),
        pictured(
            f"interference-{number_of}-criteria.svg",
            forest(
                _named([summary.effects[_INTERFERENCE][MEAN], *of_criteria], f"{_INTERFERENCE}, "),
                "interference (Spearman's rho)",
            ),
            "Interference by criterion, with 95 % intervals over documents",
            figures,
        ),
        pictured(
            f"interference-{number_of}-matrix.svg",
            _matrix(summary),
            "What adding one optimized section to the joint seed prompt does to the agreement on "
            "each criterion; a star marks what is established",
            figures,
        ),
        shown(matrix_table(summary)),
        escape(unedited(summary)),
        "Calls of one scoring of each arm stand in the first table; verdicts on single criteria "
        "other than those of interference itself are in the second.",
    ]
    claims = (*of_mean, *of_criteria)
    parts = [part for part in parts if part]
    return Section(f"Interference, {name}", claims, parts, figures, summary.setting, of_mean[:1])


def _introduction(summary: Interference) -> str:
    return (
        f"{summary.texts} test texts of {summary.documents} documents, each arm scored "
        f"{summary.repeats} times with the instructions of {len(summary.runs)} runs; Spearman's "
        f"rho, {summary.level} level. The instructions were chosen on other texts. Interference "
        "is what optimizing gains in one joint call minus what it gains in separate calls: "
        "(J1 - J0) - (S1 - S0)."
    )


def _named(claims: Sequence[Claim], left_out: str) -> list[Claim]:
    return [replace(claim, name=claim.name.replace(left_out, "")) for claim in claims]


def _matrix(summary: Interference) -> Figure:
    names = summary.criteria
    values = _values(summary.matrix, names)
    reach = max(0.01, float(np.nanmax(np.abs(values)))) if np.isfinite(values).any() else 0.01
    with styled():
        figure, axes = plain(2.6 + 0.75 * len(names), 1.3 + 0.55 * len(names))
        picture = axes.imshow(values, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto")
        for j, section in enumerate(names):
            for k, criterion in enumerate(names):
                claim = summary.matrix[section][criterion]
                if claim.estimate is None:
                    continue
                star = "*" if claim.verdict == "established" else ""
                dark = abs(claim.estimate) > 0.6 * reach
                colour = "white" if dark else "black"
                axes.text(
                    k, j, f"{claim.estimate:+.2f}{star}", ha="center", va="center", color=colour
                )
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        axes.set_xlabel("agreement on")
        axes.set_ylabel("added section of")
        axes.spines[:].set_visible(False)
        figure.colorbar(picture, ax=axes, label="change of Spearman's rho")
        return figure


def _values(matrix: Mapping[str, Mapping[str, Claim]], names: Sequence[str]) -> np.ndarray:
    rows = [[matrix[j][k].estimate for k in names] for j in names]
    return np.array([[np.nan if value is None else value for value in row] for row in rows])
