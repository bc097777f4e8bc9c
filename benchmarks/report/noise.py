"""The noise benchmark's part of the report."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import MEAN
from benchmarks.harness.setting import CALLS
from benchmarks.noise import BENCHMARK, Noise, finding, noise_table, summarize
from benchmarks.report.markdown import shown
from benchmarks.report.pictures import panels, styled
from benchmarks.report.section import Section, pictured
from benchmarks.report.settings import Settings
from mogradjudge.display.plotting import COLOURS, MARKERS

_SAME, _UNRELATED = "same prompt", "unrelated errors"


def sections(cells: Sequence[Cell], settings: Settings) -> list[Section]:
    """Write about the noise, setting by setting."""
    return [
        _section(summarize(ours), settings)
        for ours in settings.split(cells)
        if any(cell.benchmark == BENCHMARK for cell in ours)
    ]


def _section(summary: Noise, settings: Settings) -> Section:
    name, figures = settings.name(summary.setting), dict[str, Figure]()
    lead = f"noise-{settings.number(summary.setting)}.svg"
    documents = max(row.documents for row in summary.rows)
    parts = [
        f"The seed prompt scored {summary.texts} test texts up to {summary.repeats} times, and "
        f"nothing was changed in between; Spearman's rho, {summary.level} level. The last columns "
        "are the smallest differences that a paired test on these documents finds with a power of "
        "80 %: between two judges that differ by no more than two scorings of one prompt do, and "
        "between two whose errors have nothing in common. Two real prompts lie between these. A "
        "judge that repeats itself exactly has no noise between scorings, and a dash for the "
        "first.",
        shown(noise_table(summary)),
        pictured(
            lead,
            _picture(summary),
            f"Smallest difference that {documents} documents let one detect, by criterion",
            figures,
        ),
    ]
    return Section(
        f"Noise, {name}",
        (),
        parts,
        figures,
        summary.setting,
        finding=finding(summary),
        lead=lead,
    )


def _picture(summary: Noise) -> Figure:
    layouts = list(dict.fromkeys(row.layout for row in summary.rows))
    names = list(dict.fromkeys(row.criterion for row in summary.rows))
    with styled():
        figure, axes = panels(len(layouts), 6.8, 1.1 + 0.3 * len(names))
        for layout, panel in zip(layouts, axes, strict=True):
            for row in (row for row in summary.rows if row.layout == layout):
                place = names.index(row.criterion)
                both = (row.least_paired, row.least_unpaired)
                for at, (value, label) in enumerate(zip(both, (_SAME, _UNRELATED), strict=True)):
                    if value is not None:
                        labelled = panel.get_legend_handles_labels()[1]
                        panel.plot(
                            *([value], [place + 0.2 * at - 0.1], MARKERS[at]),
                            color=COLOURS[at],
                            label=None if label in labelled else label,
                        )
            panel.axhline(names.index(MEAN) - 0.5, color="#DDDDDD", linewidth=0.8)
            panel.set_title(CALLS[layout])
        axes[0].set_xlim(left=0)  # the panels share it
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set_ylim(len(names) - 0.5, -0.5)
        figure.supxlabel("smallest detectable difference (Spearman's rho)", fontsize=9)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
        return figure
