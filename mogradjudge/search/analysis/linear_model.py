"""The trials of a search as the columns of a linear model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt

from mogradjudge.agreement.coefficients import Array

Setting: TypeAlias = str | int | float | bool | None
Trials: TypeAlias = Sequence[Mapping[str, Setting]]

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Model:
    """Columns of shape (trials, terms): a constant, one for each level, then the parameters'.

    Columns may repeat one another; the solution of least squares is then the shortest one, and what
    `tells_levels_apart` promises is the same in all.
    """

    columns: Array
    levels: int

    @cached_property
    def rank(self) -> int:
        return int(np.linalg.matrix_rank(self.columns))

    @property
    def freedom(self) -> int:
        """The degrees of freedom that are left."""
        return len(self.columns) - self.rank

    @cached_property
    def inverse(self) -> Array:
        """The weight of each trial in each term, shape (terms, trials)."""
        return np.linalg.pinv(self.columns).astype(np.float64, copy=False)

    def level_weights(self) -> Array:
        """Give the weights of the trials in each level's value, up to a part all levels share."""
        return self.inverse[1 : 1 + self.levels]

    def tells_levels_apart(self) -> bool:
        """Return whether differences of levels are the same in every least-squares solution."""
        picks = np.eye(self.levels, self.columns.shape[1], k=1)
        differences = picks - picks.mean(axis=0)
        seen = differences @ self.inverse @ self.columns
        return bool(np.abs(seen - differences).max() < _ROUNDING)

    def with_columns(self, more: Array) -> Model:
        """Add columns, shape (trials, terms)."""
        return Model(np.hstack([self.columns, more]), self.levels)

    def residuals(self, values: Array) -> Array:
        """Return the residuals of values, shape (trials,)."""
        return values - self.columns @ (self.inverse @ values)


def of_levels(trials: Trials, factor: str, levels: Sequence[Setting]) -> Model:
    """Build the model of the factor alone."""
    member = [[1.0, *(float(trial[factor] == level) for level in levels)] for trial in trials]
    return Model(np.array(member), len(levels))


def adjusted(
    alone: Model, trials: Trials, factor: str
) -> tuple[Model, tuple[str, ...], dict[str, str]]:
    """Add the other parameters, by name, as far as the levels can still be told apart.

    Returns:
        The model, the parameters in it, and the reason for each that was dropped.
    """
    model, taken, dropped = alone, [], {}
    for name in sorted({name for trial in trials for name in trial} - {factor}):
        column = [trial.get(name) for trial in trials]
        present = np.array([name in trial for trial in trials])
        reason = "does not vary"
        for columns in _columns(column, present):
            wider = model.with_columns(columns)
            if wider.rank > model.rank and wider.tells_levels_apart():
                model, reason = wider, ""
                break
            reason = f"confounded with {_rival(alone.with_columns(columns), alone, factor)}"
        if reason:
            dropped[name] = reason
        else:
            taken.append(name)
    return model, tuple(taken), dropped


def _rival(both: Model, alone: Model, factor: str) -> str:
    """Name what a parameter cannot be told from: the factor, or other parameters."""
    is_free = both.rank > alone.rank and both.tells_levels_apart()
    return "other parameters" if is_free else repr(factor)


def _columns(column: Sequence[Setting], present: npt.NDArray[np.bool_]) -> Iterator[Array]:
    """Give the columns of a parameter: first with one for the trials without it, then without.

    A parameter that only some levels have cannot be told from them by its being there, but its
    values can still be adjusted for.
    """
    within = [value for value, there in zip(column, present, strict=True) if there]
    coded = np.zeros((len(column), 0))
    if len({_key(value) for value in within}) > 1:
        scores = _scores(within)
        coded = np.zeros((len(column), scores.shape[1]))
        coded[present] = scores
    if not present.all():
        yield np.column_stack([coded, ~present])
    if coded.shape[1]:
        yield coded


def _scores(values: Sequence[Setting]) -> Array:
    """Give a number's standard scores, or for categories how often each is, less its share."""
    numbers = [value for value in values if _is_number(value)]
    if len(numbers) == len(values):
        raw = np.array([[float(value)] for value in numbers])
    else:
        keys = [_key(value) for value in values]
        raw = np.array([[float(key == other) for other in sorted(set(keys))] for key in keys])
    centered: Array = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    return centered


def _is_number(value: Setting) -> TypeGuard[int | float]:
    return isinstance(value, (int, float))


def _key(value: Setting) -> str:
    # 1 and 1.0 are one number, and None is not the text "None".
    return str(float(value)) if _is_number(value) else repr(value)
