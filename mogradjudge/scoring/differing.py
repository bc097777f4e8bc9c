"""The texts on which judge and people differ, the farthest apart first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mogradjudge.criteria import Group
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.scoring.output import write_output

_COLUMNS = ("criterion", "difference", "human", "judge", "reason", "unscored", "document")


@dataclass(frozen=True)
class Differing:
    """One rated text on one criterion.

    ``difference`` is judge minus human, in points of the scale; None without a judge's score, and
    ``unscored`` says why there is none. Without a readable reply ``human`` is None, too.
    ``reason`` is the judge's own, where it gave one.
    """

    criterion: str
    document: str
    human: float | None
    judge: float | None
    reason: str | None = None
    unscored: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def difference(self) -> float | None:
        """Judge minus human score."""
        if self.judge is None or self.human is None:
            return None
        return self.judge - self.human


def differing(
    texts: Sequence[JudgedText], criteria: Group, inputs: Mapping[str, Mapping[str, Any]]
) -> tuple[Differing, ...]:
    """Sort rated texts by the distance of judge and human score, unscored ones last.

    >>> text = JudgedText("t1", "doc", {"tone": 0.5}, {}, {"tone": 4.0}, {"tone": 2.0})
    >>> differing([text], ("tone",), {})[0].difference
    -2.0

    Args:
        texts: Judged texts of a rubric.
        criteria: The criteria's names.
        inputs: The inputs of a text, by its ``example_id``.
    """
    rows = [
        Differing(
            *(name, text.group, human, text.produced.get(name)),
            *(text.reasons.get(name), text.unscored.get(name) or text.disputed.get(name)),
            inputs.get(text.example_id, {}),
        )
        for text in texts
        for name in criteria
        if (human := text.expected.get(name)) is not None
        or name in {**text.unscored, **text.disputed}
    ]
    return tuple(sorted(rows, key=_nearness))


def _nearness(row: Differing) -> float:
    return 1.0 if row.difference is None else -abs(row.difference)


def write_differing(path: Path, rows: Sequence[Differing]) -> None:
    """Write a row for each text and criterion; an input whose name is in use is ``input_NAME``."""
    import pyarrow as pa

    inputs = dict.fromkeys(name for row in rows for name in row.inputs)
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in rows] for name in _COLUMNS
    }
    for name in inputs:
        values = [row.inputs.get(name) for row in rows]
        columns[f"input_{name}" if name in _COLUMNS else name] = [
            value if value is None else str(value) for value in values
        ]
    numbers = ("difference", "human", "judge")
    schema = pa.schema(
        [(name, pa.float64() if name in numbers else pa.string()) for name in columns]
    )
    write_output(path, schema, [pa.table(columns, schema)])
