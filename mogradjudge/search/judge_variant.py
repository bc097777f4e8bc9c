"""A judge with other settings that starts from the same instructions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mogradjudge.errors import SetupError
from mogradjudge.judge.instructions import Instructions
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import JudgeSettings
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.structure import clone


def relaid(judge: MultiCriteriaJudge, settings: JudgeSettings) -> MultiCriteriaJudge:
    """Give a judge with these settings, and with the sections and the pinned LM of another one.

    Args:
        judge: The judge to start from; it is not changed.
        settings: The settings of the new one.

    Raises:
        SetupError: If predictors change and carry what belongs to one of them: demos, an LM or a
            preamble that the others have not.
    """
    if settings == judge.settings:
        copied: MultiCriteriaJudge = clone(judge)
        return copied
    variant = MultiCriteriaJudge(judge.rubric, **asdict(settings))
    usual = MultiCriteriaJudge(judge.rubric, **asdict(judge.settings))
    lm = _shared(judge, [predictor.lm for predictor in judge.predictors()], "an LM")
    _shared(judge, [predictor.demos for predictor in judge.predictors()] + [[]], "demos")
    for predictor in variant.predictors():
        predictor.lm = lm
    before = Candidate.of(judge)
    if before == Candidate.of(usual):
        return variant
    preambles = [instructions.preamble for instructions in before.instructions.values()]
    preamble = _shared(judge, preambles, "a preamble")
    texts = {
        name: text
        for instructions in before.instructions.values()
        for name, text in instructions.sections
    }
    for predictor in variant.predictors():
        own = [(name, texts[name]) for name in predictor.criteria if name in texts]
        rendered = Instructions(preamble, own).render()
        predictor.signature = predictor.signature.with_instructions(rendered)
    return variant


def _shared(judge: MultiCriteriaJudge, values: list[Any], what: str) -> Any:
    if any(value != values[0] for value in values):
        raise SetupError(
            f"The judge's settings cannot be searched while {what} belongs to some of its "
            f"{len(judge.predictors())} predictors alone. Give all of them the same."
        )
    return values[0]
