"""What the report of a run shows, as one record that the templates read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mogradjudge.criteria import Group
from mogradjudge.display.plotting import INSTALL, can_draw
from mogradjudge.report import about as facts
from mogradjudge.report import alt
from mogradjudge.report.confusion import Confusion, confusions
from mogradjudge.report.costs import Costs, costs
from mogradjudge.report.edits import Chain, Limits, Outcome, chain, outcome_of
from mogradjudge.report.estimates import MEAN, Ends, Scoring
from mogradjudge.report.interference import Told
from mogradjudge.report.losses import Losses, losses
from mogradjudge.report.pictures import Picture, picture
from mogradjudge.report.run_data import TEST, VALIDATION, Run
from mogradjudge.report.scores import ends, how_taken, scorings
from mogradjudge.report.verdict import HOW, Verdict, verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class StepRow:
    """One row of the table of steps; step 0 is the seed, and its outcome says nothing."""

    number: int
    outcome: Outcome
    scoring: Scoring | None
    calls: int | None
    tokens: int | None


@dataclass(frozen=True)
class RunPage:
    """All that the report of a run shows, but for the chain, whose texts may have to be cut."""

    run: Run
    verdict: Verdict
    notes: tuple[str, ...]
    how: str
    agreement: str
    ends: tuple[Ends, ...]
    end_pictures: Mapping[str, Picture]
    ceiling: str
    steps: tuple[StepRow, ...]
    step_pictures: tuple[tuple[str, Picture], ...]
    spread: tuple[tuple[Confusion, Picture | None], ...]
    spread_split: str
    losses: Losses
    costs: Costs
    cost_picture: Picture | None
    interference: Told | None
    facts: tuple[tuple[str, str], ...]

    @property
    def criteria(self) -> Group:
        """The criteria, in the run's order."""
        return self.run.criteria

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All figures."""
        found = [*self.end_pictures.values(), *(each for _, each in self.step_pictures)]
        found += [each for _, each in self.spread if each is not None]
        return (*found, *([self.cost_picture] if self.cost_picture is not None else []))

    def chain(self, limits: Limits) -> Chain:
        """Follow the run's edits, with texts that are not longer than the limits."""
        return chain(self.run, limits)


def run_page(run: Run, interference: Told | None = None) -> RunPage:
    """Compute and draw what the report of a run shows."""
    found = [each for split in (TEST, VALIDATION) if (each := ends(run, split)) is not None]
    by_split = {each.split: each for each in found}
    measured = scorings(run)
    split = TEST if TEST in by_split else VALIDATION
    spread = confusions(run, run.texts(run.best, split) or run.texts(0, split))
    spent = costs(run.ledger)
    drawn = _Drawn(draws=can_draw())
    return RunPage(
        run=run,
        verdict=verdict(run, by_split.get(TEST), by_split.get(VALIDATION)),
        notes=_notes(run, measured, draws=drawn.draws),
        how=HOW,
        agreement=how_taken(run),
        ends=tuple(found),
        end_pictures=drawn.ends(run, found),
        ceiling=facts.CEILING if run.rubric is not None else "",
        steps=_rows(run, measured),
        step_pictures=drawn.steps(run, measured),
        spread=tuple((each, drawn.spread(each)) for each in spread),
        spread_split=split,
        losses=losses(run),
        costs=spent,
        cost_picture=drawn.costs(spent),
        interference=interference,
        facts=facts.facts(run),
    )


@dataclass(frozen=True)
class _Drawn:
    """Draws the figures, if there is something to draw with."""

    draws: bool

    def _picture(
        self, name: str, caption: str, words: str, draw: Callable[[], Figure]
    ) -> Picture | None:
        return picture(name, caption, words, draw) if self.draws else None

    def ends(self, run: Run, found: Sequence[Ends]) -> dict[str, Picture]:
        from mogradjudge.report.figures import ends_figure

        pictures = {
            each.split: self._picture(
                f"ends-{each.split}",
                f"{_what(run)} on the {each.split} texts"
                f"{', with 95 % intervals over documents' if each.has_intervals else ''}.",
                alt.of_ends(each),
                partial(ends_figure, each),
            )
            for each in found
        }
        return {split: each for split, each in pictures.items() if each is not None}

    def steps(self, run: Run, measured: Sequence[Scoring]) -> tuple[tuple[str, Picture], ...]:
        from mogradjudge.report.figures import steps_figure

        if not measured:
            return ()
        outcomes = {step.number: outcome_of(step.decided) for step in run.steps}
        found = []
        for name in (MEAN, *run.criteria):
            in_force = _in_force(run, name)
            drawn = any(each.by_criterion[name].interval is not None for each in measured)
            bars = " Bars are 95 % intervals over documents." if drawn else ""
            each = self._picture(
                f"steps-{name}",
                f"{_what(run)} over steps: {name}.{bars}",
                alt.of_steps(name, measured, outcomes),
                partial(steps_figure, name, measured, outcomes, in_force),
            )
            found += [] if each is None else [(name, each)]
        return tuple(found)

    def spread(self, each: Confusion) -> Picture | None:
        from mogradjudge.report.figures import histogram

        return self._picture(
            f"scores-{each.criterion}",
            f"How often human and judge gave each score on {each.criterion}.",
            alt.of_spread(each),
            partial(histogram, each),
        )

    def costs(self, spent: Costs) -> Picture | None:
        from mogradjudge.report.figures import spending

        if not spent.rows:
            return None
        return self._picture(
            *("costs", "Calls and tokens by role.", alt.of_costs(spent)), partial(spending, spent)
        )


def _what(run: Run) -> str:
    return "Agreement" if run.rubric is not None else "Value"


def _rows(run: Run, measured: Sequence[Scoring]) -> tuple[StepRow, ...]:
    by_step = {each.step: each for each in measured}
    rows = []
    if run.seeded is not None:
        rows.append(StepRow(0, "accepted", by_step.get(0), run.seeded.get("calls"), None))
    for step in run.steps:
        ended = step.ended or {}
        rows.append(
            StepRow(
                *(step.number, outcome_of(step.decided), by_step.get(step.number)),
                *(ended.get("calls"), ended.get("tokens")),
            )
        )
    return tuple(rows)


def _in_force(run: Run, name: str) -> dict[int, float | None]:
    """Give the agreement of the instructions in force after each step."""
    seed = {} if run.seeded is None else {0: run.seeded["agreement"].get(name)}
    ended = [step.ended for step in run.steps if step.ended is not None]
    return {**seed, **{each["step"]: each["agreement"].get(name) for each in ended}}


def _notes(run: Run, measured: Sequence[Scoring], *, draws: bool) -> tuple[str, ...]:
    notes = []
    if run.resumed:
        notes.append(
            f"The run was taken up again {run.resumed} times; what was recorded twice counts once."
        )
    if run.seeded is not None and not measured:
        notes.append("The events are of an earlier version: they hold no scores of single texts.")
    if not draws:
        notes.append(f"There are no figures, for matplotlib is missing. {INSTALL}")
    return tuple(notes)
