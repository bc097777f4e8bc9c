"""What a composition found: the front of calls per text against agreement, and its judge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mogradjudge.agreement.weighted_mean import Weights, mean_of
from mogradjudge.criteria import Group
from mogradjudge.files import to_json, write_text
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.ledger import LedgerRow
from mogradjudge.optimize.confirmation import Confirmation, Wording
from mogradjudge.optimize.parts import Parts
from mogradjudge.programs.saving import save_judge
from mogradjudge.scoring.interference import Interference

COMPOSE = "compose.json"
WORDING = Wording(
    best="the composition",
    initial="the initial sections in the same calls",
    kept="The initial sections are kept.",
    returned="The composition is returned.",
    chosen="composition",
    equal="No section did better than the initial one",
)


@dataclass(frozen=True)
class Point:
    """One partition of the criteria into calls.

    Args:
        groups: The criteria of each call.
        layout: The same as a judge's layout.
        agreement: The agreement on each criterion, on the texts that chose the composition, and so
            optimistic; None where it is undefined.
        weights: The criteria's weights in the mean.
        lost: Rated texts without a score of the judge, by criterion: unscored, or called n/a.

    >>> Point((("tone", "style"),), "combined", {"tone": 0.5, "style": None}).mean
    0.5
    """

    groups: tuple[Group, ...]
    layout: str
    agreement: Mapping[str, float | None]
    weights: Weights = field(default_factory=dict, repr=False)
    lost: Mapping[str, int] = field(default_factory=dict, repr=False)

    @property
    def calls(self) -> int:
        """Calls per text, for one sample."""
        return len(self.groups)

    @property
    def mean(self) -> float:
        """The mean agreement over the criteria that have one; -1 if none has."""
        mean = mean_of(self.agreement, self.weights)
        return -1.0 if mean is None else mean

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "calls": self.calls,
            "layout": self.layout,
            "agreement": dict(self.agreement),
            "mean": self.mean,
            "without_score": dict(self.lost),
        }


def taken(front: Sequence[Point]) -> Point:
    """Return the best partition, of those that leave no more texts without a score than the first.

    Of equals the one with fewer calls, which comes later.

    >>> one = Point((("tone",), ("style",)), "separate", {"tone": 0.5}, lost={"tone": 0})
    >>> two = Point((("tone", "style"),), "combined", {"tone": 0.9}, lost={"tone": 3})
    >>> taken([one, two]).layout
    'separate'

    Args:
        front: Partitions, from most to fewest calls; at least one.
    """
    scored = [
        it for it in front if all(it.lost[name] <= count for name, count in front[0].lost.items())
    ]
    return max(reversed(scored), key=lambda it: it.mean)


@dataclass(frozen=True)
class Composition:
    """A judge that was put together, and what was measured for it.

    Args:
        judge: The result.
        front: A point for each number of calls per text, from most to fewest.
        chosen: The point of the result.
        sections: Whether each criterion's section is ``"initial"`` or ``"optimized"``.
        interference: What each criterion's section does to each other one, in a prompt of two.
        confirmation: The result beside the initial sections in the same calls, on texts that chose
            nothing.
        ledger: The calls.
        parts: The texts that it and the sources' runs have read.

    >>> composed = compose(["tone-run", "style-run"], valset)  # doctest: +SKIP
    >>> [(point.calls, point.mean) for point in composed.front]  # doctest: +SKIP
    [(2, 0.61), (1, 0.52)]
    """

    judge: MultiCriteriaJudge
    front: tuple[Point, ...]
    chosen: Point
    sections: Mapping[str, str]
    interference: Interference
    confirmation: Confirmation
    ledger: tuple[LedgerRow, ...] = field(repr=False)
    parts: Parts = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return what `compose.json` holds."""
        return {
            "front": [point.as_dict() for point in self.front],
            "chosen": self.chosen.as_dict(),
            "sections": dict(self.sections),
            "weights": self.judge.rubric.weights,
            "interference": {
                "criteria": list(self.interference.criteria),
                "effects": _plain(self.interference.effects),
                "errors": _plain(self.interference.errors),
            },
            "confirmation": {
                **self.confirmation.as_dict(),
                "sentence": self.confirmation.describe(WORDING),
            },
            "calls": sum(row.calls for row in self.ledger),
            "ledger": [row.as_dict() for row in self.ledger],
        }

    def save(self, folder: str | Path) -> None:
        """Write ``judge.json``, ``rubric.toml``, ``compose.json`` and ``parts.json``."""
        folder = Path(folder)
        save_judge(self.judge, folder)
        self.parts.write_to(folder)
        write_text(folder / COMPOSE, to_json(self.as_dict()) + "\n")


def _plain(rows: Sequence[Sequence[float]]) -> list[list[float | None]]:
    """Return a matrix with None for what is unknown."""
    return [[None if math.isnan(value) else value for value in row] for row in rows]
