"""Checks of a caller's scores and groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mogradjudge.agreement.coefficients import (
    Array,
    Codes,
    Numbers,
    Scores,
)
from mogradjudge.errors import SetupError


@dataclass(frozen=True)
class Groups:
    """The groups of some texts: sorted names, and for each text the index of its group."""

    names: tuple[str, ...]
    codes: Codes

    def __len__(self) -> int:
        return len(self.names)


def finite(name: str, values: Numbers) -> Array:
    """Return scores as an array of shape (texts,); none may be missing.

    Raises:
        SetupError: If they are not one list of finite numbers.
    """
    scores = _floats(name, values)
    if not np.isfinite(scores).all():
        raise SetupError(f"`{name}` must be finite numbers; leave out texts without one.")
    return scores


def gappy(name: str, values: Scores) -> Array:
    """Return scores as an array of shape (texts,); None becomes nan.

    Raises:
        SetupError: If they are not one list of finite numbers and None.
    """
    scores = _floats(name, values)
    missing = np.fromiter((value is None for value in values), dtype=bool, count=len(scores))
    if not (np.isfinite(scores) | missing).all():
        raise SetupError(f"`{name}` must be finite numbers, or None where there is no score.")
    return scores


def group_codes(groups: Sequence[str]) -> Groups:
    """Number the groups by the order of their names, independent of the order of texts."""
    names = sorted(set(groups), key=str)
    place = {name: number for number, name in enumerate(names)}
    codes = np.fromiter((place[name] for name in groups), dtype=np.intp, count=len(groups))
    return Groups(tuple(names), codes)


def check_lengths(columns: Mapping[str, Sequence[Any] | Array | Codes]) -> None:
    """Check that the columns of a table have the same length.

    Raises:
        SetupError: If they do not.
    """
    sizes = {len(column) for column in columns.values()}
    if len(sizes) > 1:
        *first, last = columns
        raise SetupError(
            f"{', '.join(first)} and {last} must have one length, got {sorted(sizes)}."
        )


def check_names(what: str, actual: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Check that two mappings have the same keys.

    Raises:
        SetupError: If they do not.
    """
    if set(actual) != set(expected):
        raise SetupError(f"{what} must be given for {sorted(expected)}, got {sorted(actual)}.")


def _floats(name: str, values: Scores) -> Array:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SetupError(f"`{name}` must hold one number per text: {error}.") from error
    if array.ndim != 1:
        raise SetupError(f"`{name}` must be one list of numbers, got {array.ndim} dimensions.")
    return array
