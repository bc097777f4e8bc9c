"""The mean of a table of runs x documents, both of which are a sample: its error and its t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Table: TypeAlias = npt.NDArray[np.float64]
"""Values of shape (runs, documents)."""

_ROUNDING = 1e-12  # a smaller standard error is that of equal values


@dataclass(frozen=True)
class TwoWay:
    """Means of tables, with their standard errors and degrees of freedom.

    The model has an effect of the run, one of the document, and a rest. With S runs, D documents
    and mean squares R of runs, C of documents and E of the rest, the mean's variance is estimated
    as (R + C - E) / (S D), and never as less than R / (S D) or C / (S D); the degrees of freedom
    are Satterthwaite's (1946, "An approximate distribution of estimates of variance components"),
    and at least those of the smaller sample.
    Where all values are equal there is no spread to judge by: the error is 0 and p is 1.
    """

    mean: Table
    error: Table
    freedom: Table

    @property
    def p_value(self) -> Table:
        """Two-sided, against a mean of 0."""
        from scipy.stats import t  # slow to import

        spread = self.error > 0
        ratio = np.divide(abs(self.mean), self.error, out=np.zeros_like(self.mean), where=spread)
        return np.asarray(2 * t.sf(ratio, self.freedom))

    def bounds(self, confidence: float) -> tuple[Table, Table]:
        """Give Student's interval."""
        from scipy.stats import t  # slow to import

        half = t.ppf((1 + confidence) / 2, self.freedom) * self.error
        return self.mean - half, self.mean + half


def two_way(tables: Table) -> TwoWay:
    """Judge one table or many.

    Args:
        tables: Shape (..., runs, documents), at least 2 of each, none of the values nan.
    """
    runs, documents = tables.shape[-2:]
    mean = tables.mean(axis=(-2, -1))
    rows = tables.mean(axis=-1, keepdims=True)
    columns = tables.mean(axis=-2, keepdims=True)
    rest = tables - rows - columns + mean[..., None, None]
    free = runs - 1, documents - 1, (runs - 1) * (documents - 1)
    squares = (
        documents * rows.var(axis=(-2, -1), ddof=1),
        runs * columns.var(axis=(-2, -1), ddof=1),
        (rest**2).sum(axis=(-2, -1)) / free[2],
    )
    total = np.maximum(squares[0] + squares[1] - squares[2], np.maximum(squares[0], squares[1]))
    error = np.sqrt(total / (runs * documents))
    error = np.where(error > _ROUNDING, error, 0.0)
    parts = sum(square**2 / degrees for square, degrees in zip(squares, free, strict=True))
    most = np.full_like(total, float(free[2]))
    freedom = np.divide(total**2, parts, out=most, where=error > 0)
    # Where the rest outweighs its share the formula falls below what either sample alone leaves.
    return TwoWay(mean, error, np.maximum(freedom, float(min(free[:2]))))
