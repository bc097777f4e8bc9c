"""What the editors of a run were told and what they wrote, and how well they followed it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.dilution.lm_rater import RATER, AdherenceQuestion, LMRater
from benchmarks.harness.cells import Cell, Values
from benchmarks.harness.setting import Setting
from benchmarks.harness.tasks import Task
from mogradjudge import Unscored
from mogradjudge.lm.ledger import Ledger
from mogradjudge.stages.role import Role

ADHERENCE = "adherence"
"""The benchmark whose cells hold the ratings, under the keys of the runs."""


@dataclass(frozen=True)
class Adherence:
    """How well a mode's editors followed their gradients, from 1 to 10.

    ``mean`` is over ``n`` rewritten sections, ``run_sd`` the standard deviation of the runs' means.
    """

    mode: str
    mean: float | None
    run_sd: float | None
    n: int
    unrated: int


def edits_of(events: Iterable[Mapping[str, Any]], seed: Mapping[str, str]) -> list[dict[str, Any]]:
    """Read a run's edits from its events, step by step.

    Args:
        events: The lines of `events.jsonl`.
        seed: The sections that the run started from.
    """
    steps: dict[int, dict[str, Any]] = {}
    for event in events:
        if event["event"] == "RunResumed":  # what came after these steps is told once more
            steps = {step: edit for step, edit in steps.items() if step <= event["steps"]}
        if "step" in event:
            new = {"step": event["step"], "gradients": [], "after": {}, "accepted": False}
            _enter(event, steps.setdefault(event["step"], new))
    current, edits = dict(seed), []
    for _, edit in sorted(steps.items()):
        sections = edit.pop("sections", None) or edit["after"]
        edits.append({**edit, "before": {name: current[name] for name in edit["after"]}})
        if edit["accepted"]:
            current |= {name: text for name, text in edit["after"].items() if name in sections}
    return edits


def _enter(event: Mapping[str, Any], edit: dict[str, Any]) -> None:
    match event["event"]:
        case "GradientWritten":
            gradient = {"criteria": event["criteria"], "text": event["text"]}
            edit["gradients"].append(gradient)
        case "SectionRewritten":
            edit["after"][event["criterion"]] = event["text"]
        case "GateDecided":
            edit["accepted"], edit["sections"] = event["accepted"], event.get("sections")


def rate_edits(setting: Setting, cells: Sequence[Cell]) -> None:
    """Let the rater LM rate the edits of runs that it has not rated yet, a cell for each run."""
    setting.grid.measure([_rating(setting, cell) for cell in cells])


def _rating(setting: Setting, cell: Cell) -> Task:
    questions = list(_questions(cell))

    def rate(ledger: Ledger) -> Values:
        rater, threads = setting.lms["rater"], setting.num_threads
        role = Role(RATER, rater, None, num_threads=threads, ledger=ledger)
        ratings = LMRater(setting.rubric, role).rate_adherence(questions)
        return {"ratings": [None if isinstance(r, Unscored) else r for r in ratings]}

    return setting.grid.task(ADHERENCE, cell.key, rate)


def _questions(cell: Cell) -> Iterator[AdherenceQuestion]:
    """Ask about each rewritten section, with the gradients that speak of its criterion."""
    for part in cell.result["runs"]:
        for edit in part["edits"]:
            for name, new in edit["after"].items():
                advice = [
                    gradient["text"]
                    for gradient in edit["gradients"]
                    if name in gradient["criteria"]
                ]
                yield AdherenceQuestion(name, "\n\n".join(advice), edit["before"][name], new)


def adherence_of(mode: str, cells: Sequence[Cell]) -> Adherence:
    """Sum up the ratings of a mode's runs."""
    runs = [cell.result["ratings"] for cell in cells]
    known = [[rating for rating in ratings if rating is not None] for ratings in runs]
    means = [statistics.fmean(ratings) for ratings in known if ratings]
    return Adherence(
        mode=mode,
        mean=statistics.fmean(rating for ratings in known for rating in ratings) if means else None,
        run_sd=statistics.stdev(means) if len(means) > 1 else None,
        n=sum(map(len, known)),
        unrated=sum(rating is None for ratings in runs for rating in ratings),
    )
