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
    value; empty if it only needs a text. ``relative`` says that it asks for no judge on the human
    scale, so a calibration is not for it.

    >>> METHODS["qwk"].short, METHODS["mae"].lowest
    ('QWK', 0.0)
    """

    title: str
    short: str
    lowest: float = -1.0
    constant: str = "human scores"
    relative: bool = False


METHODS: Mapping[Method, Kind] = {
    "spearman": Kind("Spearman's rho", "Spearman", relative=True),
    "kendall": Kind("Kendall's tau-b", "Kendall", relative=True),
    "pearson": Kind("Pearson's r", "Pearson", relative=True),
    "qwk": Kind("quadratic weighted kappa", "QWK", constant="rounded human scores"),
    "mae": Kind("1 - mean absolute error / scale width", "1 - MAE/width", 0.0, ""),
    "accuracy": Kind("accuracy of rounded scores", "accuracy", 0.0, ""),
}


def named(measures: Mapping[str, Method], *, short: bool = False) -> str:
    """Name the measures of some criteria, each with its criteria if there are several.

    >>> named({"tone": "qwk", "clarity": "qwk"}), named({"tone": "qwk", "clarity": "kendall"})
    ('quadratic weighted kappa', "quadratic weighted kappa (tone), Kendall's tau-b (clarity)")
    """
    criteria: dict[str, list[str]] = {}
    for name, method in measures.items():
        kind = METHODS[method]
        criteria.setdefault(kind.short if short else kind.title, []).append(name)
    if len(criteria) == 1:
        return next(iter(criteria))
    return ", ".join(f"{title} ({', '.join(names)})" for title, names in criteria.items())
