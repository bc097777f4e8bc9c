"""What share of the agreement that human raters permit a judge reaches, by criterion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import dspy

from mogradjudge.agreement import copied_raters, judge_ceiling
from mogradjudge.criteria.criterion import SINGLE_RATINGS
from mogradjudge.display.terminal import number
from mogradjudge.judge.scores import Unscored
from mogradjudge.objectives import Objective
from mogradjudge.objectives.human_agreement import HumanAgreement, score_of
from mogradjudge.programs.evaluation import Judgement

Ceilings: TypeAlias = Mapping[str, Mapping[str, Any]]
"""By criterion, `Ceiling.as_dict` and ``copies``: pairs of raters whose scores are the same."""


def ceilings_of(judgements: Sequence[Judgement], objectives: Sequence[Objective]) -> Ceilings:
    """Measure the ceilings of a rubric's criteria; empty if no text has several ratings.

    Args:
        judgements: Judged texts; those with several ratings have them as ``single_ratings``.
        objectives: What they were judged by.

    >>> from mogradjudge import Criterion, Rubric, rubric_objectives
    >>> ceilings_of([], rubric_objectives(Rubric(["text"], [Criterion("tone", "Is it kind?")])))
    {}
    """
    if not has_ratings([judgement.example for judgement in judgements]):
        return {}
    agreements = (objective.aggregate for objective in objectives)
    return {
        agreement.criterion.name: _ceiling(judgements, agreement)
        for agreement in agreements
        if isinstance(agreement, HumanAgreement)
    }


def has_ratings(examples: Iterable[dspy.Example]) -> bool:
    """Say whether the single ratings of some examples are known.

    >>> has_ratings([dspy.Example(single_ratings=(("ann", "tone", 4.0), ("bob", "tone", 2.0)))])
    True
    """
    return any(example.get(SINGLE_RATINGS) for example in examples)


def _ceiling(judgements: Sequence[Judgement], agreement: HumanAgreement) -> dict[str, Any]:
    name = agreement.criterion.name
    ratings = [
        {
            rater: score
            for rater, criterion, score in judgement.example.get(SINGLE_RATINGS) or ()
            if criterion == name
        }
        for judgement in judgements
    ]
    ceiling = judge_ceiling(
        ratings,
        [agreement.criterion.score_in(judgement.example) for judgement in judgements],
        [judge_score(judgement, name, raw=agreement.reads_raw) for judgement in judgements],
        [judgement.group for judgement in judgements],
        agreement.options.of(name),
    )
    return {**ceiling.as_dict(), "copies": [list(pair) for pair in copied_raters(ratings)]}


def judge_score(judgement: Judgement, name: str, *, raw: bool = False) -> float | None:
    """Return the judge's score on a criterion; None if it or the human one is missing."""
    prediction = judgement.read_by(name)
    if not isinstance(judgement.scores[name], float) or isinstance(prediction[name], Unscored):
        return None
    return score_of(prediction, name, raw=raw)


def describe(ceilings: Ceilings) -> list[str]:
    """Say what a judge could reach, how well raters agree, and who may copy whom, in lines.

    >>> figures = {"perfect_judge": 0.9, "one_rater": 0.7, "undefined": None, "copies": []}
    >>> describe({"tone": figures})
    ['ceiling (a perfect judge with the mean of the raters): 0.900 on tone', \
'raters among themselves (one with the mean of the others): 0.700 on tone']
    """
    figures = {
        "ceiling (a perfect judge with the mean of the raters)": "perfect_judge",
        "raters among themselves (one with the mean of the others)": "one_rater",
    }
    lines = [
        f"{what}: {', '.join(f'{number(it[key])} on {name}' for name, it in ceilings.items())}"
        for what, key in figures.items()
        if any(it[key] is not None for it in ceilings.values())
    ]
    left_out = {name: it.get("undefined_raters") for name, it in ceilings.items()}
    if counts := ", ".join(f"{count} on {name}" for name, count in left_out.items() if count):
        lines.append(
            f"raters left out of it, whose agreement with the others is undefined: {counts}"
        )
    reasons: dict[str, list[str]] = {}
    for name, ceiling in ceilings.items():
        if ceiling["undefined"]:
            reasons.setdefault(ceiling["undefined"], []).append(name)
    lines += [f"no share of the ceiling on {', '.join(on)}: {why}" for why, on in reasons.items()]
    if any((it.get("share_interval") or (0, 0))[1] > 1 for it in ceilings.values()):
        lines.append("a share of the ceiling may pass 1: agreement and ceiling are both estimates")
    return lines + [line for name, it in ceilings.items() for line in _copies(name, it)]


def _copies(name: str, ceiling: Mapping[str, Any]) -> list[str]:
    consequence = "" if ceiling["perfect_judge"] is None else ", and the ceiling too high"
    return [
        f"raters {one} and {other} gave the same scores on {name}: one may be a copy of the "
        f"other{consequence}"
        for one, other in ceiling["copies"]
    ]
