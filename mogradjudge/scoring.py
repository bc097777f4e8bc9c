"""Examples through a finished judge: their agreement with human scores, as a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dspy

from mogradjudge.agreement import Level, Undefined, bootstrap
from mogradjudge.candidate import clone
from mogradjudge.criteria import Criterion
from mogradjudge.errors import SetupError
from mogradjudge.evaluation import (
    Judgement,
    agreement_of,
    check_measurable,
    check_scored,
    judge_examples,
)
from mogradjudge.interruption import interruptible
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.ledger import Ledger
from mogradjudge.metering import meter_program
from mogradjudge.objectives import rubric_objectives
from mogradjudge.scores import Unscored


def judge_table(
    judge: MultiCriteriaJudge, examples: Sequence[dspy.Example], ledger: Ledger, num_threads: int
) -> tuple[Judgement, ...]:
    """Judge all examples with the LM of the context, its calls booked in a ledger."""
    check_lm()
    program = meter_program(clone(judge), ledger, judge.rubric.names)
    return judge_examples(program, examples, rubric_objectives(judge.rubric), num_threads)


def check_lm() -> None:
    """Check that there is an LM to judge with.

    Raises:
        SetupError: If there is none.
    """
    if dspy.settings.lm is None:
        raise SetupError("No LM is set. Call dspy.configure(lm=dspy.LM(...)) first.")


def evaluation_report(
    judge: MultiCriteriaJudge,
    examples: Sequence[dspy.Example],
    num_threads: int,
    level: Level = "pooled",
    max_rpm: int | None = None,
) -> dict[str, Any]:
    """Judge all examples and report agreement per criterion, with 95 % intervals.

    ``n`` counts scored texts, ``unscored`` those without a usable score and ``missing`` those
    without a human one. An undefined value is None, its reason under ``undefined``.
    """
    check_measurable(examples, judge.rubric, level, "rated")
    ledger = Ledger(max_in_flight=num_threads, max_rpm=max_rpm)
    with interruptible(ledger.brake):
        judgements = judge_table(judge, examples, ledger, num_threads)
    check_scored(judgements, "rated")
    agreement = agreement_of(judgements, rubric_objectives(judge.rubric, level))
    values = agreement.as_dict()
    criteria = {
        criterion.name: {
            "spearman": values[criterion.name],
            "interval": _interval(criterion, judgements, level),
            "n": agreement.scored[criterion.name],
            "unscored": agreement.unscored[criterion.name],
            "missing": agreement.missing[criterion.name],
            "fallbacks": agreement.fallbacks[criterion.name],
        }
        for criterion in judge.rubric.criteria
    }
    return {
        "criteria": criteria,
        "mean": agreement.mean,
        "level": level,
        "undefined": agreement.undefined(),
        "calls": ledger.calls,
        "ledger": [row.as_dict() for row in ledger.rows],
    }


def _interval(
    criterion: Criterion, judgements: Sequence[Judgement], level: Level
) -> list[float] | None:
    scored = [each for each in judgements if isinstance(each.scores[criterion.name], float)]
    interval = bootstrap(
        [each.example[criterion.human] for each in scored],
        [_judged(each, criterion.name) for each in scored],
        [each.group for each in scored],
        level=level,
    )
    return None if isinstance(interval, Undefined) else [interval.low, interval.high]


def _judged(judgement: Judgement, name: str) -> float:
    assert not isinstance(judgement.prediction, Unscored)  # only scored ones come here
    return float(judgement.prediction[name])
