"""A judge with other settings and the same instructions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mogradjudge.errors import SetupError
from mogradjudge.judge.instructions import Instructions
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import JudgeSettings
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.structure import clone


def judge_with(judge: MultiCriteriaJudge, settings: JudgeSettings) -> MultiCriteriaJudge:
    """Return a judge with these settings, and with the sections and the pinned LM of another one.

    Args:
        judge: The judge to start from; it is not changed.
        settings: The settings of the new judge.

    Raises:
        SetupError: If predictors change, and one of them has demos, an LM or a preamble that the
            others do not have.

    >>> from mogradjudge import Criterion, Rubric
    >>> rubric = Rubric(("text",), (Criterion("a", "Is it a?"), Criterion("b", "Is it b?")))
    >>> judge = MultiCriteriaJudge(rubric)
    >>> len(judge_with(judge, JudgeSettings(layout="separate")).predictors())
    2
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
    if before != Candidate.of(usual):
        _copy_instructions(judge, before, variant)
    return variant


def _copy_instructions(
    judge: MultiCriteriaJudge, before: Candidate, variant: MultiCriteriaJudge
) -> None:
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


def _shared(judge: MultiCriteriaJudge, values: list[Any], what: str) -> Any:
    if any(value != values[0] for value in values):
        raise SetupError(
            f"The judge's settings cannot be searched while only some of its "
            f"{len(judge.predictors())} predictors have {what}. Give all of them the same."
        )
    return values[0]
