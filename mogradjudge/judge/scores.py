"""How a judge scores, and what it says about one criterion: a score, or that there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mogradjudge.criteria.decomposition import Scope
from mogradjudge.errors import SetupError

Layout: TypeAlias = Literal["combined", "separate"]
LAYOUTS: Mapping[str, Scope] = {"combined": Scope.COMBINED, "separate": Scope.SEPARATE}

ScoreRule: TypeAlias = Literal["integer", "expected", "mean_of_n"]
SCORE_RULES: tuple[ScoreRule, ...] = ("integer", "expected", "mean_of_n")


_MOST_SAMPLES = 100  # each is a call for each text


@dataclass(frozen=True)
class JudgeSettings:
    """How a judge asks and reads; `MultiCriteriaJudge` says what each field means.

    Raises:
        SetupError: If a field has a value that it cannot have.
    """

    layout: Layout = "combined"
    score_rule: ScoreRule = "integer"
    n: int = 1
    rationale: bool = False
    fallback: Literal["integer"] | None = None

    def __post_init__(self) -> None:
        if self.layout not in tuple(LAYOUTS):
            raise SetupError(f"`layout` must be one of {', '.join(LAYOUTS)}, got {self.layout!r}.")
        if self.score_rule not in SCORE_RULES:
            raise SetupError(
                f"`score_rule` must be one of {', '.join(SCORE_RULES)}, got {self.score_rule!r}."
            )
        if type(self.n) is not int or not 1 <= self.n <= _MOST_SAMPLES:
            raise SetupError(
                f"`n` must be a whole number from 1 to {_MOST_SAMPLES}, got {self.n!r}."
            )
        if (self.n > 1) != (self.score_rule == "mean_of_n"):
            raise SetupError(
                "`n` must be at least 2 with score_rule='mean_of_n' and 1 otherwise, "
                f"got n={self.n} with {self.score_rule!r}."
            )
        if not isinstance(self.rationale, bool):
            raise SetupError(f"`rationale` must be True or False, got {self.rationale!r}.")
        if self.fallback not in (None, "integer"):
            raise SetupError(f"`fallback` must be 'integer' or None, got {self.fallback!r}.")
        if self.fallback and self.score_rule != "expected":
            raise SetupError(
                "`fallback` has a meaning with score_rule='expected' only, "
                f"got {self.score_rule!r}."
            )


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
