"""The section "Where they differ": the texts that judge and people score farthest apart."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mogradjudge.report.edits import Shown, cut
from mogradjudge.report.run_data import RunData
from mogradjudge.report.section import Findings, Limits, Section
from mogradjudge.scoring.differing import Differing, differing

_MOST = 60  # of each criterion


@dataclass(frozen=True)
class Row:
    """One text on one criterion, with its inputs cut to the limit."""

    of: Differing
    level: str
    document: str
    reason: Shown
    inputs: tuple[tuple[str, Shown], ...]


def section(findings: Findings) -> Section | None:
    """List the texts on which the result's scores are not people's; None without any scores."""
    run = findings.run
    scored = differing(findings.texts, run.criteria, run.inputs)
    rows = [row for row in scored if row.difference]
    if run.rubric is None or not run.scored:
        return None
    return Section(
        anchor="differing",
        title="Where they differ",
        heading="The texts on which judge and people differ",
        template="run_differing.html.j2",
        values={
            "split": findings.split,
            "levels": sorted({_level(row) for row in rows}, key=float),
            "documents": sorted({run.document_name(row.document) for row in rows}, key=_natural),
            "differ": len(rows),
        },
        within=lambda limits: {"rows": _shown(run, rows, limits)},
    )


def _natural(name: str) -> list[str | int]:
    """Return a key that sorts "row 9" before "row 10"."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def _level(row: Differing) -> str:
    # `round` sends halves to the even neighbour, and the matrix does not.
    return "-" if row.human is None else f"{math.floor(row.human + 0.5)}"


def _shown(run: RunData, rows: Sequence[Differing], limits: Limits) -> list[Row]:
    most = _MOST if limits.examples is None else limits.examples
    first = {id(row) for name in run.criteria for row in _on(rows, name)[:most]}
    return [
        Row(
            row,
            _level(row),
            run.document_name(row.document),
            cut(row.reason or "", limits),
            tuple((name, cut(value, limits)) for name, value in run.in_order(row.inputs).items()),
        )
        for row in rows
        if id(row) in first
    ]


def _on(rows: Sequence[Differing], name: str) -> list[Differing]:
    return [row for row in rows if row.criterion == name]
