"""Scores a trial's judge on the selection texts: in a race against the best trial so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import dspy

from mogradjudge.data import example_key
from mogradjudge.judge.scores import Unscored
from mogradjudge.optimize.race import Judgements, Judging, Raced
from mogradjudge.programs.evaluation import MEAN, Agreement, Judgement, agreement_of
from mogradjudge.search.job import Job


@dataclass(frozen=True)
class Rival:
    """A trial that others must beat, with its judge's scores of all selection texts."""

    task: str
    number: int
    scores: Mapping[str, Sequence[float | None]]


RivalFor: TypeAlias = Callable[[Mapping[str, float]], Rival | None]
"""Returns the rival of a trial whose judge costs so much per text; None if there is none."""


@dataclass(frozen=True)
class Selected:
    """What a trial's judge scored on the selection texts.

    ``agreement`` is that on all of them, by criterion and as ``"mean"``. If the race was ended
    early, at ``chance``, it is estimated: the rival's, plus the difference on the texts that were
    read. `measured` holds what these texts say by themselves.
    """

    judgements: Judgements
    measured: Agreement
    agreement: Mapping[str, float | None]
    rival: Rival | None = None
    chance: float | None = None


def select(job: Job, rival: Rival | None, judge: Judging) -> Selected:
    """Score a trial's judge on the selection texts until it is unlikely to beat its rival.

    Args:
        job: What the search works on.
        rival: The best trial so far; None reads all texts.
        judge: Judges texts with the trial's judge.
    """
    if rival is None:
        judgements = judge(job.selection)
        agreement = agreement_of(judgements, job.objectives)
        return Selected(judgements, agreement, agreement.as_dict())
    held = _judgements_of(job, rival.scores)
    current = agreement_of(held, job.objectives)
    raced = job.race.run(current, lambda: held, judge)
    if raced.chance is None:
        return Selected(raced.judgements, raced.agreement, raced.agreement.as_dict())
    values = _estimated(current, raced)
    return Selected(raced.judgements, raced.agreement, values, rival, raced.chance)


def _estimated(rival: Agreement, raced: Raced) -> dict[str, float | None]:
    """Return the agreement on all texts, were the difference there that on those read."""
    whole, before, after = (it.as_dict() for it in (rival, raced.current, raced.agreement))
    before[MEAN] = raced.current.mean_over(raced.agreement)
    after[MEAN] = raced.agreement.mean_over(raced.current)
    return {name: _sum(value, before[name], after[name]) for name, value in whole.items()}


def _sum(whole: float | None, before: float | None, after: float | None) -> float | None:
    return None if whole is None or before is None or after is None else whole + after - before


def _judgements_of(job: Job, scores: Mapping[str, Sequence[float | None]]) -> tuple[Judgement, ...]:
    """Return a judge's scores of the selection texts as judgements."""
    judgements = []
    for place, (example, group) in enumerate(zip(job.selection, job.groups, strict=True)):
        own = {name: column[place] for name, column in scores.items()}
        prediction = dspy.Prediction(
            **{name: Unscored("no score") if it is None else it for name, it in own.items()}
        )
        by_name = {it.name: it.scored(example, prediction) for it in job.objectives}
        judgements.append(Judgement(example_key(example), group, example, prediction, by_name))
    return tuple(judgements)
