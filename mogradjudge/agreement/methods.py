"""The measures of agreement: what they are called, where they end, what they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Method: TypeAlias = Literal["spearman", "kendall", "pearson", "qwk", "mae", "accuracy"]


@dataclass(frozen=True)
class Kind:
    """What is known of a measure; each is 1 at best.

    ``lowest`` is -1 for a coefficient, which is 0 where scores agree as by chance, and 0 for a
    share, which says nothing of chance. ``constant`` says which scores of people leave it without a
    value; empty if it only needs a text.

    >>> METHODS["qwk"].short, METHODS["mae"].lowest
    ('QWK', 0.0)
    """

    title: str
    short: str
    lowest: float = -1.0
    constant: str = "human scores"


METHODS: Mapping[Method, Kind] = {
    "spearman": Kind("Spearman's rho", "Spearman"),
    "kendall": Kind("Kendall's tau-b", "Kendall"),
    "pearson": Kind("Pearson's r", "Pearson"),
    "qwk": Kind("quadratic weighted kappa", "QWK", constant="rounded human scores"),
    "mae": Kind("1 - mean absolute error / scale width", "1 - MAE/width", 0.0, ""),
    "accuracy": Kind("accuracy of rounded scores", "accuracy", 0.0, ""),
}
