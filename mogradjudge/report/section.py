"""The sections of a run's report, and the findings they are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mogradjudge.display.plotting import can_draw
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.report.estimates import Ends, Scoring
from mogradjudge.report.pictures import Picture, picture
from mogradjudge.report.run_data import CONFIRMATION, TEST, VALIDATION, RunData
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

    A module makes one from `Findings`; `SECTIONS` in `report/write.py` lists these modules.

    Args:
        anchor: The id of its heading.
        title: Its name in the table of contents.
        template: A file of ``templates``, which ends in ``.j2``, or a template's text. It also has
            ``run``, and the macros of ``macros.html.j2`` as ``m``.
        values: The template's variables.
        pictures: The figures in it, which become files beside the report.
        heading: Its heading; the title if it is empty.
        within: Returns further variables, which depend on how much may be shown.
    """

    anchor: str
    title: str
    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()
    heading: str = ""
    within: Callable[[Limits], Mapping[str, Any]] = _nothing


class Findings:
    """The results that the sections share, computed once.

    Args:
        run: The run.
        interference: A folder with the interference benchmark's results, if there is one.
    """

    def __init__(self, run: RunData, interference: Path | None = None) -> None:
        self.run, self.interference = run, interference
        self.draws = can_draw()

    @cached_property
    def ends(self) -> Mapping[str, Ends]:
        """Initial against best by split, test texts first; only splits that both have."""
        by_split = {split: ends(self.run, split) for split in (TEST, CONFIRMATION, VALIDATION)}
        return {split: compared for split, compared in by_split.items() if compared is not None}

    @property
    def split(self) -> str:
        """The texts that the report is about: those that chose nothing, if there are any."""
        return next((split for split in (TEST, CONFIRMATION) if split in self.ends), VALIDATION)

    @property
    def texts(self) -> Sequence[JudgedText]:
        """The texts of `split`, scored by the result's instructions."""
        step = 0 if self.run.seed_kept else self.run.best
        return self.run.texts(step, self.split) or self.run.texts(0, self.split)

    @cached_property
    def scorings(self) -> tuple[Scoring, ...]:
        """The agreement of initial instructions and proposals on the validation texts."""
        return tuple(scorings(self.run))

    @property
    def what(self) -> str:
        """The name of the measure."""
        return "Agreement" if self.run.rubric is not None else "Value"

    def picture(
        self, name: str, caption: str, alt: str, draw: Callable[[], Figure]
    ) -> Picture | None:
        """Draw a figure; None if matplotlib is missing."""
        return picture(name, caption, alt, draw) if self.draws else None
