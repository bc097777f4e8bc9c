"""How a judge scores, and what it says about one criterion: a score, or that there is none."""

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
    """How a judge asks and reads; `MultiCriteriaJudge` says what each field means.

    Raises:
        SetupError: If a field has a value that it cannot have.
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
            raise SetupError(
                "`fallback` has a meaning with score_rule='expected' only, "
                f"got {self.score_rule!r}."
            )


def judge_values(settings: JudgeSettings) -> dict[str, Value]:
    """Give a judge's parameters as plain values."""
    return {name: getattr(settings, name) for name in JUDGE_PARAMETERS}


def settings_with(values: Mapping[str, Any], base: JudgeSettings) -> JudgeSettings:
    """Give the judge's settings that differ from ``base`` in the values named.

    Raises:
        SetupError: If there are no such settings.
    """
    return replace(base, **values)


@dataclass(frozen=True)
class Unscored:
    """The judge gave no usable score. Kept apart from a low score on purpose."""

    reason: str


Score: TypeAlias = float | Unscored


@dataclass(frozen=True)
class Reading:
    """How one score came about.

    ``source`` is the score rule that made it, or ``"fallback"`` where the expected score could not
    be had and the integer stands in. ``distribution`` gives the probability of each score on the
    scale and sums to 1; ``support`` is the share of the reply's own probability that lay on the
    scale. Both are empty unless the score is an expected one.
    """

    score: Score
    source: ScoreRule | Literal["fallback"]
    distribution: tuple[tuple[int, float], ...] = ()
    support: float | None = None
    rationale: str | None = None
