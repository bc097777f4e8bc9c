"""A judge's settings, and its result for one criterion: a score, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, NoReturn, Self, TypeAlias, TypeGuard

import dspy

from mogradjudge.criteria.partition import Scope, scope_named
from mogradjudge.errors import SetupError
from mogradjudge.settings import (
    JUDGE_PARAMETERS,
    JUDGE_SETTINGS,
    JudgeFields,
    Layout,
    ScoreRule,
    Value,
    with_arguments,
)

LAYOUTS: Final[Mapping[str, Scope]] = {
    scope.layout: scope for scope in (Scope.COMBINED, Scope.SEPARATE)
}


def scope_of(layout: Layout) -> Scope:
    """Return which criteria share a call in a layout.

    Raises:
        SetupError: If it is neither a layout's name nor a partition.

    Example:
        >>> scope_of("style | fluency+tone").groups(("fluency", "style", "tone"))
        (('fluency', 'tone'), ('style',))
    """
    return scope_named(layout, "layout", LAYOUTS)


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
        object.__setattr__(self, "layout", scope_of(self.layout).layout)  # it is frozen
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

    It is false where a truth value is asked for, and no number: arithmetic and comparisons raise a
    TypeError. `dspy.Prediction.toDict` writes None for it.

    Example:
        >>> Unscored("no readable clarity in the reply '?'").reason
        "no readable clarity in the reply '?'"
        >>> sum([4, Unscored("no reply")])
        Traceback (most recent call last):
        TypeError: There is no score (no reply). Leave it out: isinstance(score, Unscored).
    """

    reason: str

    def __bool__(self) -> bool:
        return False

    def _refuse(self, _: object) -> NoReturn:
        raise TypeError(
            f"There is no score ({self.reason}). Leave it out: isinstance(score, Unscored)."
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse

    def toDict(self) -> None:  # DSPy's name
        """Return None, as `dspy.Prediction.toDict` writes it."""


@dataclass(frozen=True)
class Refused(Unscored):
    """The provider refuses the text, and another try cannot help.

    Once pickled, it is a plain `Unscored`: the error may hold what cannot be pickled.

    Example:
        >>> Refused("refused: 'flagged'", dspy.LMInvalidRequestError("flagged")).error.message
        'flagged'
    """

    error: dspy.LMError = field(compare=False, repr=False)

    def __reduce__(self) -> tuple[type[Unscored], tuple[str]]:
        return Unscored, (self.reason,)

    def __deepcopy__(self, memo: object) -> Self:
        return self


@dataclass(frozen=True)
class NotApplicable(Unscored):
    """The judge says that a criterion does not apply to a text; also as a text's score.

    There it means that judge and people disagree about that: the judge says so of a text that
    people rated, or people say so (``reason`` is `BY_PEOPLE`) and the judge gave a score.

    Example:
        >>> NotApplicable().reason, bool(NotApplicable())
        ('does not apply', False)
    """

    reason: str = "does not apply"


BY_PEOPLE: Final = "people say that it does not apply"

Score: TypeAlias = float | Unscored


def is_unread(score: object) -> TypeGuard[Unscored]:
    """Say whether there is no score because the reply had nothing readable.

    >>> is_unread(Unscored("no reply")), is_unread(NotApplicable())
    (True, False)
    """
    return isinstance(score, Unscored) and not isinstance(score, NotApplicable)


@dataclass(frozen=True)
class Reading:
    """A score, and where it came from.

    ``source`` is the score rule, or ``"fallback"`` if the written integer replaces an expected
    score that could not be computed. ``distribution`` holds the probability of each score on the
    scale and sums to 1; ``support`` is the probability that lay on the scale before. Both are empty
    unless the score is an expected one. ``raw`` is the score before a calibration's map; None if
    there is none.

    Example:
        >>> Reading(4, "integer").source
        'integer'
    """

    score: Score
    source: ScoreRule | Literal["fallback"]
    distribution: tuple[tuple[int, float], ...] = ()
    support: float | None = None
    rationale: str | None = None
    raw: float | None = None

    def toDict(self) -> dict[str, Any]:  # DSPy's name
        """Return plain values for `dspy.Prediction.toDict`; ``unscored`` is the reason or None."""
        values = {own.name: getattr(self, own.name) for own in fields(self)}
        if isinstance(self.score, Unscored):
            return {**values, "score": None, "unscored": self.score.reason}
        return {**values, "unscored": None}


def raw_score(prediction: Any, name: str) -> Any:
    """Return a criterion's score before a calibration's map; the score itself where none is.

    A map may tie scores, so what looks at their order alone reads the raw ones.

    >>> mapped = dspy.Prediction(tone=3.4, readings={"tone": Reading(3.4, "integer", raw=4)})
    >>> raw_score(mapped, "tone"), raw_score(dspy.Prediction(tone=3), "tone")
    (4, 3)
    """
    readings = prediction.get("readings")  # of any kind in another program
    reading = readings.get(name) if isinstance(readings, Mapping) else None
    raw = reading.raw if isinstance(reading, Reading) else None
    return prediction[name] if raw is None else raw
