"""How a judge is shown in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mogradjudge.display.notebook import html_table
from mogradjudge.judge.instructions import Instructions

if TYPE_CHECKING:
    from mogradjudge.criteria import Rubric
    from mogradjudge.judge.predictor import ScorePredict


class Shown:
    """A judge's criteria, scales and instructions as a table."""

    rubric: Rubric
    judges: dict[str, ScorePredict]

    def _repr_html_(self) -> str:
        parts = [Instructions.parse(it.signature.instructions) for it in self.judges.values()]
        sections = {name: text for part in parts for name, text in part.sections}
        rows = [
            [it.name, f"{it.scale.low} to {it.scale.high}", it.definition, sections[it.name]]
            for it in self.rubric.criteria
        ]
        title = f"{type(self).__name__} of {', '.join(self.rubric.inputs)}"
        return html_table(("criterion", "scale", "definition", "instructions"), rows, title)
