"""Mixes the sections of two candidates; where each is judged by itself, their scores too."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import dspy

from mogradjudge.criteria import Group
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import Unscored
from mogradjudge.programs.candidate import Candidate, Slot
from mogradjudge.programs.evaluation import Judgement


def is_split(program: dspy.Module) -> bool:
    """Say whether each criterion has calls of its own: a judge in the separate layout."""
    return (
        isinstance(program, MultiCriteriaJudge)
        and len(program.judges) == len(program.rubric.names) > 1
    )


def with_sections(
    current: Candidate,
    proposed: Candidate,
    slots: Sequence[Slot],
    preambles: Sequence[Slot],
    criteria: Collection[str],
) -> Candidate:
    """Return the current instructions with the proposal's sections of some criteria.

    A preamble goes with all sections of its predictor, or stays.
    """
    stays = {slot.predictor for slot in slots if slot.criterion not in criteria}
    taken = [slot for slot in slots if slot.criterion in criteria]
    taken += [slot for slot in preambles if slot.predictor not in stays]
    return current.replace({slot: proposed.text(slot) for slot in taken})


def changed(before: Candidate, after: Candidate, slots: Sequence[Slot]) -> Group:
    """Return the criteria whose sections, or the preambles above them, differ."""

    def texts(candidate: Candidate, slot: Slot) -> tuple[str, str]:
        return candidate.text(slot), candidate.instructions[slot.predictor].preamble

    names = (slot.criterion for slot in slots if texts(before, slot) != texts(after, slot))
    return tuple(dict.fromkeys(name for name in names if name is not None))


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
