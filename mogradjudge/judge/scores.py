"""A judge's settings, and its result for one criterion: a score, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from mogradjudge.criteria.decomposition import Scope
from mogradjudge.errors import SetupError
from mogradjudge.settings import (
    JUDGE_PARAMETERS,
    JUDGE_SETTINGS,
    JudgeFields,
    ScoreRule,
    Value,
    with_arguments,
)

LAYOUTS: Mapping[str, Scope] = {"combined": Scope.COMBINED, "separate": Scope.SEPARATE}


@with_arguments(JUDGE_SETTINGS)
@dataclass(frozen=True)
class JudgeSettings(JudgeFields):
    """How a judge asks for scores and reads them; fields as in `MultiCriteriaJudge`.

    Raises:
        SetupError: If a field has an invalid value.

    Example:
        >>> JudgeSettings(score_rule="mean_of_n", n=5).n
        5
    """

    def __post_init__(self) -> None:
        for name, setting in JUDGE_SETTINGS.items():
            setting.check(getattr(self, name))
        if (self.n > 1) != (self.score_rule == "mean_of_n"):
            raise SetupError(
                "`n` must be at least 2 with score_rule='mean_of_n' and 1 otherwise, "
                f"got n={self.n} with {self.score_rule!r}."
            )
        if self.fallback and self.score_rule != "expected":
            raise SetupError(f"`fallback` needs score_rule='expected', got {self.score_rule!r}.")


def judge_values(settings: JudgeSettings) -> dict[str, Value]:
    """Return a judge's parameters as plain values.

    Example:
        >>> judge_values(JudgeSettings())["layout"]
        'combined'
    """
    return {name: getattr(settings, name) for name in JUDGE_PARAMETERS}


def settings_with(values: Mapping[str, Any], base: JudgeSettings) -> JudgeSettings:
    """Return a copy of ``base`` with these values.

    Raises:
        SetupError: If the values do not fit together.

    Example:
        >>> settings_with({"rationale": True}, JudgeSettings()).rationale
        True
    """
    return replace(base, **values)


@dataclass(frozen=True)
class Unscored:
    """Why there is no usable score; never mixed with a low score.

    Example:
        >>> Unscored("no readable clarity in the reply '?'").reason
        "no readable clarity in the reply '?'"
    """

    reason: str


Score: TypeAlias = float | Unscored


@dataclass(frozen=True)
class Reading:
    """A score, and where it came from.

    ``source`` is the score rule, or ``"fallback"`` if the written integer replaces an expected
    score that could not be computed. ``distribution`` holds the probability of each score on the
    scale and sums to 1; ``support`` is the probability that lay on the scale before. Both are empty
    unless the score is an expected one.

    Example:
        >>> Reading(4, "integer").source
        'integer'
    """

    score: Score
    source: ScoreRule | Literal["fallback"]
    distribution: tuple[tuple[int, float], ...] = ()
    support: float | None = None
    rationale: str | None = None
