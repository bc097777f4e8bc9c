"""The scores of texts as they are and under attack, compared."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.self_tests.attack_kinds import KINDS
from mogradjudge import Rubric

CLEAN = "clean"  # the text as it is


@dataclass(frozen=True)
class Row:
    """The scores of one text in one form; None where the judge gave none."""

    layout: str
    text: int
    attack: str
    scores: Mapping[str, float | None]


@dataclass(frozen=True)
class Report:
    """What one attack does to the ``n`` scores that the clean texts have.

    ``moved`` is the share of them that moved by more than the tolerance, ``unscored`` the share
    that is lost, ``shift`` the mean change of those that are left, in points of the scale. Some
    are so high that they cannot rise by more than the tolerance: ``up`` is the share that did so
    among the ``room`` others.
    """

    layout: str
    attack: str
    n: int
    moved: float
    room: int
    up: float | None
    shift: float | None
    unscored: float


_Form: TypeAlias = tuple[str, str, int]  # layout, attack, text
_Pair: TypeAlias = tuple[float, float | None, int]  # before, after, the top of the scale


def report(rows: Iterable[Row], rubric: Rubric, tolerance: float) -> list[Report]:
    """Compare each attacked text with itself."""
    forms = {(row.layout, row.attack, row.text): row.scores for row in rows}
    return [
        _report(layout, attack.name, list(_pairs(forms, layout, attack.name, rubric)), tolerance)
        for layout in dict.fromkeys(layout for layout, _, _ in forms)
        for attack in KINDS
    ]


def _report(layout: str, attack: str, pairs: list[_Pair], tolerance: float) -> Report:
    n = len(pairs)
    shifts = [after - before for before, after, _ in pairs if after is not None]
    room = sum(top - before > tolerance for before, _, top in pairs)
    return Report(
        layout=layout,
        attack=attack,
        n=n,
        moved=sum(abs(shift) > tolerance for shift in shifts) / max(1, n),
        room=room,
        up=sum(shift > tolerance for shift in shifts) / room if room else None,
        shift=statistics.fmean(shifts) if shifts else None,
        unscored=(n - len(shifts)) / max(1, n),
    )


def _pairs(
    forms: Mapping[_Form, Mapping[str, float | None]], layout: str, attack: str, rubric: Rubric
) -> Iterator[_Pair]:
    """Give the scores before and after, for all scores that the clean texts have."""
    for (row_layout, row_attack, text), scores in forms.items():
        if (row_layout, row_attack) == (layout, attack):
            clean = forms.get((layout, CLEAN, text), {})
            for name, after in scores.items():
                if (before := clean.get(name)) is not None:
                    yield before, after, rubric[name].scale.high
