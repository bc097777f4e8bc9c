"""Checks the first scores of a program, before more of them are paid for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import is_unread
from mogradjudge.objectives import AggregateFailed, MetricFailed, Objective, is_of_rubric
from mogradjudge.programs.evaluation import Agreement, Judgement
from mogradjudge.programs.first_texts import nothing_scored

MOST_FAILURES = 0.5
"""The highest share of a first round's texts on which an objective's own function may fail."""


def check_scored(judgements: Sequence[Judgement], what: str) -> None:
    """Check that a program's replies can be scored, before more of them are paid for.

    Raises:
        SetupError: If an objective's own function failed on more than half of the texts.
        dspy.LMError: If the provider refused every text.
        ReplyError: If no text has a score on anything.
    """
    _check_metrics(judgements, what)
    scores = [score for judgement in judgements for score in judgement.scores.values()]
    if not scores or not all(is_unread(score) for score in scores):
        return
    raise nothing_scored(
        [judgement.prediction for judgement in judgements],
        next(score for score in scores if is_unread(score)),
        f"{len(judgements)} {what}",
    )


def check_summed(agreement: Agreement, objectives: Iterable[Objective], what: str) -> None:
    """Check that the objectives' own functions aggregate a data set.

    Raises:
        SetupError: If one failed, or none has a value; a rubric's ratings are checked before.
    """
    for value in agreement.by_criterion.values():
        if isinstance(value, AggregateFailed):
            raise SetupError(f"{value.reason[0].upper()}{value.reason[1:]}. Correct the function.")
    if agreement.mean is None and not any(map(is_of_rubric, objectives)):
        reasons = "; ".join(_undefined_reason(agreement, name) for name in agreement.by_criterion)
        raise SetupError(
            f"No objective has a value on the {what} texts, so no step can improve on them: "
            f"{reasons}. Correct the functions, or give other {what} examples."
        )


def _undefined_reason(agreement: Agreement, name: str) -> str:
    """Say why an objective has no value, and on how many texts its function returned None."""
    reason, missing = agreement.undefined()[name], agreement.missing[name]
    note = f" (its score is None on {missing} texts: does it return?)" if missing else ""
    return f"{name!r}: {reason}{note}"


def _check_metrics(judgements: Sequence[Judgement], what: str) -> None:
    for name in judgements[0].scores if judgements else ():
        scores = [judgement.scores[name] for judgement in judgements]
        failures = [score for score in scores if isinstance(score, MetricFailed)]
        if len(failures) > MOST_FAILURES * len(judgements):
            raise SetupError(
                f"{len(failures)} of {len(judgements)} {what} texts have no score: "
                f"{failures[0].reason}. Correct the function, or rescale its values to [0, 1]."
            )
