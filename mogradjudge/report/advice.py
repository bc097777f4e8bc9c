"""The section "Advice": where its units went, and which of them would undo each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mogradjudge.optimize.events import ConflictsFound, UnitsRouted
from mogradjudge.report.edits import SectionEdit, Shown, compared, cut
from mogradjudge.report.run_data import RunData
from mogradjudge.report.section import Findings, Limits, Section
from mogradjudge.stages.conflicts import Conflict


@dataclass(frozen=True)
class Clash:
    """Two units of advice in conflict, why, and what became of each."""

    sides: tuple[SectionEdit, SectionEdit]
    reason: Shown

    @property
    def criteria(self) -> tuple[str, ...]:
        """The criteria of both."""
        return tuple(name for side in self.sides for name in side.criteria)


@dataclass(frozen=True)
class Clashes:
    """The conflicts of a step; ``matrix`` counts them by both criteria and is symmetric."""

    step: int
    count: int
    matrix: Mapping[str, Sequence[int]]
    shown: tuple[Clash, ...]


def section(findings: Findings) -> Section | None:
    """Show routing and conflicts, if the run had either."""
    run = findings.run
    routes = [event for step in run.steps for event in step.all(UnitsRouted)]
    conflicts = [event for step in run.steps for event in step.all(ConflictsFound)]
    if not routes and not conflicts:
        return None
    return Section(
        anchor="advice",
        title="Advice",
        heading="The advice between coach and editor",
        template="run_advice.html.j2",
        values={"routes": routes, "resolve": conflicts[0].resolve if conflicts else ""},
        within=lambda limits: {"steps": _steps(run, conflicts, limits)},
    )


def _steps(run: RunData, found: Sequence[ConflictsFound], limits: Limits) -> tuple[Clashes, ...]:
    first = 0 if limits.steps is None else -limits.steps
    return tuple(
        Clashes(
            step=event.step,
            count=len(event.conflicts),
            matrix=_matrix(event.conflicts, run.criteria),
            shown=tuple(_clash(it, limits) for it in event.conflicts[: limits.examples]),
        )
        for event in found[first:]
    )


def _matrix(conflicts: Sequence[Conflict], criteria: Sequence[str]) -> dict[str, list[int]]:
    counts = Counter(frozenset((it.one.criterion, it.other.criterion)) for it in conflicts)
    return {row: [counts[frozenset((row, column))] for column in criteria] for row in criteria}


def _clash(conflict: Conflict, limits: Limits) -> Clash:
    one, other = (
        compared(side.criterion, (side.criterion,), side.rule, side.after or "", limits)
        for side in (conflict.one, conflict.other)
    )
    return Clash((one, other), cut(conflict.reason, limits))
