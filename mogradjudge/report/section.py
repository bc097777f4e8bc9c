"""What the report of a run consists of: sections, and the findings that they are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mogradjudge.display.plotting import can_draw
from mogradjudge.report.estimates import Ends, Scoring
from mogradjudge.report.pictures import Picture, picture
from mogradjudge.report.run_data import TEST, VALIDATION, RunData
from mogradjudge.report.scores import ends, scorings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Limits:
    """How much is shown: characters of a text, examples of a step, steps (the last ones)."""

    characters: int = 2000
    examples: int | None = None
    steps: int | None = None


def _nothing(limits: Limits) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Section:
    """One section of the report of a run.

    A module makes one from `Findings`, and stands in the list of sections in `report/write.py`.

    Args:
        anchor: The id of its heading.
        title: What the contents call it.
        template: A file of ``templates``, which ends in ``.j2``, or a template's text. It also has
            ``run``, and the macros of ``macros.html.j2`` as ``m``.
        values: What the template reads, by name.
        pictures: The figures in it, which become files beside the report.
        heading: What stands above it; the title if it is empty.
        within: Gives what the template reads and what depends on how much may be shown.
    """

    anchor: str
    title: str
    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    heading: str = ""
    within: Callable[[Limits], Mapping[str, Any]] = _nothing


class Findings:
    """What the sections show, computed once.

    Args:
        run: The run.
        interference: A folder with the interference benchmark's results, if there is one.
    """

    def __init__(self, run: RunData, interference: Path | None = None) -> None:
        self.run, self.interference = run, interference
        self.draws = can_draw()

    @cached_property
    def ends(self) -> Mapping[str, Ends]:
        """Seed against final by split, the test texts first; no split on which one has no score."""
        by_split = {split: ends(self.run, split) for split in (TEST, VALIDATION)}
        return {split: compared for split, compared in by_split.items() if compared is not None}

    @cached_property
    def scorings(self) -> tuple[Scoring, ...]:
        """The seed's and each proposal's agreement on the validation texts."""
        return tuple(scorings(self.run))

    @property
    def what(self) -> str:
        """What is measured."""
        return "Agreement" if self.run.rubric is not None else "Value"

    def picture(
        self, name: str, caption: str, alt: str, draw: Callable[[], Figure]
    ) -> Picture | None:
        """Draw a figure, if there is something to draw with."""
        return picture(name, caption, alt, draw) if self.draws else None
