"""The report of a folder of cells: one Markdown file and its pictures, written from cells alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from benchmarks.harness.cells import Cell, known_format, read_cells
from benchmarks.harness.grid import unfinished_in
from benchmarks.harness.scored import MEAN
from benchmarks.interference.choose import BENCHMARK
from benchmarks.interference.contrasts import CROWDING, EFFECTS
from benchmarks.interference.summary import summarize
from benchmarks.modes.edits import ADHERENCE
from benchmarks.report import dilution, interference, modes, noise, peers
from benchmarks.report.markdown import escape, table
from benchmarks.report.meaning import meaning
from benchmarks.report.page import html
from benchmarks.report.pictures import svg
from benchmarks.report.section import Section, figures_of
from benchmarks.report.settings import Settings, models_of
from mogradjudge import SetupError
from mogradjudge.files import replaced, to_json, write_text
from mogradjudge.report.interference import INTERFERENCE

REPORT, PAGE = "report.md", "report.html"

Renderer: TypeAlias = Callable[[Sequence[Cell], Settings], Sequence[Section]]

RENDERERS: Mapping[str, Renderer] = MappingProxyType(
    {
        "noise": noise.sections,
        "dilution": dilution.sections,
        "interference": interference.sections,
        "modes": modes.sections,
        "methods": partial(peers.sections, "methods"),
        "peers": partial(peers.sections, "peers"),
    }
)
"""Who writes about a benchmark that has cells, in the order of the report; given all cells."""


def write_report(folder: Path) -> Path:
    """Write report.md, report.html and their pictures beside the cells.

    Equal cells give equal files.

    Raises:
        SetupError: If the folder holds no cells, or what is none.
    """
    cells = read_cells(folder)
    settings = Settings(cells)
    sections = [
        section
        for benchmark in RENDERERS
        if any(cell.benchmark == benchmark for cell in cells)
        for section in _sections(benchmark, cells, settings)
    ]
    pictures = {
        name: svg(figure) for section in sections for name, figure in section.figures.items()
    }
    for name, picture in pictures.items():
        with replaced(folder / name) as partial:
            partial.write_bytes(picture)
    markdown = _markdown(sections, settings, [*_unfinished(folder), *_unknown(cells)])
    write_text(folder / REPORT, markdown)
    write_text(folder / PAGE, html(markdown, pictures))
    _keep_interference(folder, cells)
    return folder / REPORT


def _sections(benchmark: str, cells: Sequence[Cell], settings: Settings) -> Sequence[Section]:
    """Write about a benchmark; one whose cells cannot be read says so, and stops no other."""
    try:
        with known_format([cell for cell in cells if cell.benchmark == benchmark]):
            return RENDERERS[benchmark](cells, settings)
    except SetupError as error:
        return [Section(benchmark.capitalize(), (), [escape(str(error))])]


def _keep_interference(folder: Path, cells: Sequence[Cell]) -> None:
    """Write the claims on interference for `mogradjudge report`, if they are of one setting."""
    ours = [cell for cell in cells if cell.benchmark == BENCHMARK]
    if not ours or len({to_json(cell.setting) for cell in ours}) > 1:
        return
    try:
        summary = summarize(cells)
    except ValueError:  # it was cut short before there was anything to compare
        return
    what = (
        f"Measured on {summary.texts} held-out texts of {summary.documents} documents; repeats: "
        f"{summary.repeats}, runs of the optimizer: {len(summary.runs)}."
    )
    claims = [
        {"effect": name, "meaning": EFFECTS[name][0], "criterion": criterion, **claim.as_dict()}
        for name, by_criterion in summary.effects.items()
        for criterion, claim in by_criterion.items()
        if criterion == MEAN or name == CROWDING
    ]
    write_text(folder / INTERFERENCE, to_json({"what": what, "claims": claims}) + "\n")


def _models(sections: Sequence[Section], settings: Settings) -> list[str]:
    """Set the same effect with other models and data side by side, if there are any."""
    by_effect: dict[str, list[list[str]]] = {}
    for section in sections:
        for claim in section.primary:
            where = (*models_of(section.setting), settings.name(section.setting))
            row = [escape(claim.name), *where, figures_of(claim), claim.verdict]
            by_effect.setdefault(claim.name, []).append(row)
    rows = [row for _, group in sorted(by_effect.items()) if len(group) > 1 for row in group]
    if not rows:
        return []
    columns = ("effect", "judge", "gradients", "rater", "setting", "difference", "verdict")
    said = "Is an effect that of one model? The same effects in every setting:"
    return ["## Models", said, table(columns, rows)]


def _unfinished(folder: Path) -> list[str]:
    """Say what was cut short, by benchmark."""
    return [f"**Partial:** {escape(what)}" for what in unfinished_in(folder).values()]


def _unknown(cells: Sequence[Cell]) -> list[str]:
    """Name the benchmarks that this version knows nothing of."""
    names = dict.fromkeys(cell.benchmark for cell in cells)
    return [
        f"**Unknown:** this version says nothing about the cells of {escape(name)}."
        for name in names
        if name not in (*RENDERERS, ADHERENCE)
    ]


def _markdown(sections: Sequence[Section], settings: Settings, unfinished: Sequence[str]) -> str:
    parts = [
        "# Benchmarks of mogradjudge: does it pay to optimize LLM judges, and how?",
        "mogradjudge rewrites the instructions of LLM judges, which score texts on several "
        "criteria, so that the scores agree better with those of people.",
        *unfinished,
        *meaning(sections, settings),
        *(section.markdown() for section in sections),
        *_models(sections, settings),
        "## Settings",
        settings.table(),
        f"Measured with {settings.versions()}. The digest names the data set by its rows.",
        "## Calls",
        settings.spent(),
        "Every figure is computed from the scores in `cells.jsonl` beside this file.",
    ]
    return "\n\n".join(parts) + "\n"
