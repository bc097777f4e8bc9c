"""Accepts or refuses each section by itself, where a criterion's score depends on no other one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import dspy

from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import Unscored
from mogradjudge.programs.candidate import Candidate, Slot
from mogradjudge.programs.evaluation import Judgement


def is_split(program: dspy.Module) -> bool:
    """Say whether each criterion has calls of its own: a judge in the separate layout."""
    return (
        isinstance(program, MultiCriteriaJudge)
        and program.settings.layout == "separate"
        and len(program.rubric.names) > 1
    )


def with_sections(
    current: Candidate, proposed: Candidate, slots: Sequence[Slot], criteria: Collection[str]
) -> Candidate:
    """Return the current instructions with the proposal's sections of some criteria."""
    return current.replace(
        {slot: proposed.text(slot) for slot in slots if slot.criterion in criteria}
    )


def with_scores_of(current: Judgement, proposed: Judgement, criteria: Collection[str]) -> Judgement:
    """Return a judgement with the proposal's scores on some criteria; no call is needed for it."""
    if isinstance(current.prediction, Unscored) or isinstance(proposed.prediction, Unscored):
        prediction = proposed.prediction  # neither has fields of a criterion
    else:
        prediction = _prediction(current.prediction, proposed.prediction, criteria)
    chosen = {name: proposed if name in criteria else current for name in current.scores}
    return replace(
        current,
        prediction=prediction,
        scores={name: judgement.scores[name] for name, judgement in chosen.items()},
        copies={name: judgement.read_by(name) for name, judgement in chosen.items()},
    )


def _prediction(
    current: dspy.Prediction, proposed: dspy.Prediction, criteria: Collection[str]
) -> dspy.Prediction:
    scores = {name: proposed[name] for name in criteria}
    readings = {name: proposed["readings"][name] for name in criteria}
    fields = dict(current.items()) | scores
    return dspy.Prediction(**fields | {"readings": {**current["readings"], **readings}})
