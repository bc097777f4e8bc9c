"""The mean over criteria by their weights; every mean over criteria is formed here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Weights: TypeAlias = Mapping[str, float]
"""By criterion; one that is not named has the weight 1, and one with 0 is in no mean."""

Array: TypeAlias = npt.NDArray[np.float64]
EQUAL: Weights = MappingProxyType({})


def mean_label(weights: Weights, undefined: Collection[str] = ()) -> str:
    """Name the mean of criteria that all have a weight here.

    Args:
        weights: Their weights.
        undefined: Those without a value; if one of them counts, the others are named.

    >>> mean_label({"tone": 2.0, "style": 2.0}), mean_label({"tone": 2.0, "style": 1.0})
    ('mean', 'mean (weighted)')
    >>> mean_label({"tone": 1.0, "style": 1.0}, {"tone"})
    'mean over style alone'
    """
    label = "mean (weighted)" if len(set(weights.values())) > 1 else "mean"
    counted = shares_of(weights, weights)
    rest = [name for name in counted if name not in undefined]
    return f"{label} over {', '.join(rest)} alone" if 0 < len(rest) < len(counted) else label


def mean_of(values: Mapping[str, object], weights: Weights = EQUAL) -> float | None:
    """Return the mean over the criteria that have a value; None if none that counts has one.

    Args:
        values: By criterion; what is no number is no value.
        weights: Their weights; only their ratios count.

    >>> mean_of({"tone": 0.75, "style": 0.0, "facts": None}, {"tone": 2.0})
    0.5
    """
    shares = shares_of(values, weights)
    known = {name: it for name in shares if isinstance(it := values[name], int | float)}
    total = sum(shares[name] for name in known)
    return sum(shares[name] * value for name, value in known.items()) / total if known else None


def means_of(
    columns: Mapping[str, Array], weights: Weights = EQUAL, *, complete: bool = False
) -> Array:
    """Return the mean in each place, as `mean_of` does; nan where it has no value.

    Args:
        columns: Values by criterion, each of shape (places,); nan where there is none.
        weights: As for `mean_of`.
        complete: Whether a place needs the values of all criteria that count.

    >>> means_of({"tone": np.array([1.0, np.nan]), "style": np.array([0.0, 0.5])}).tolist()
    [0.5, 0.5]
    """
    shares = shares_of(columns, weights)
    if not shares:
        return np.full(len(next(iter(columns.values()))), np.nan)
    table, share = np.array([columns[name] for name in shares]), np.array([[*shares.values()]]).T
    defined = np.isfinite(table)
    known = defined.all(axis=0) if complete else defined.any(axis=0)
    sums, totals = (
        (np.where(defined, table, 0.0) * share).sum(axis=0),
        (defined * share).sum(axis=0),
    )
    return np.where(known, sums / np.where(known, totals, 1.0), np.nan)


def shares_of(names: Iterable[str], weights: Weights) -> dict[str, float]:
    """Return the weights above 0 in units of the largest, so that equal ones are exactly 1.

    >>> shares_of(("tone", "style", "facts"), {"tone": 2.0, "facts": 0.0})
    {'tone': 1.0, 'style': 0.5}
    """
    used = {name: weights.get(name, 1.0) for name in names}
    largest = max(used.values(), default=0.0)
    return {name: share for name, it in used.items() if it and (share := it / largest) > 0}
