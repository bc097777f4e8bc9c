"""Claims about a mean over runs of an optimizer and documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.harness.scored import BOUND
from benchmarks.harness.two_way import Table, two_way
from mogradjudge.agreement import Undefined, cluster_test, holm
from mogradjudge.agreement.claims import ALPHA, Claim, Verdict, untestable
from mogradjudge.agreement.coefficients import FEWEST
from mogradjudge.report.numbers import counted


@dataclass(frozen=True)
class Tested:
    """A table's mean with its p-value, its 95 % and 90 % intervals, and whether values differ.

    ``runs`` is 0 where no run takes part, so that the mean is about documents alone.
    """

    mean: float
    p_value: float
    outer: tuple[float, float]
    inner: tuple[float, float]
    has_spread: bool
    runs: int
    documents: int


def tested(table: Table) -> Tested | str:
    """Test the mean of a table's documents that have a value in every run.

    With 2 runs or more, interval and p-value are of one t (`two_way`), and hold for new runs on new
    documents. One run's interval is Student's over documents, its p-value that of the sign-flip
    test: they hold for that run's instructions alone.

    Args:
        table: Shape (runs, documents), nan where there is no value.

    Returns:
        The test, or why there is none.
    """
    table = table[:, np.isfinite(table).all(axis=0)]
    runs, documents = table.shape
    if runs > 1 and documents > 1:
        means_test = two_way(table)
        (low, high), (inner_low, inner_high) = means_test.bounds(0.95), means_test.bounds(0.9)
        return Tested(
            *(float(means_test.mean), float(means_test.p_value)),
            outer=(float(low), float(high)),
            inner=(float(inner_low), float(inner_high)),
            has_spread=bool(means_test.error > 0),
            runs=runs,
            documents=documents,
        )
    means = table.mean(axis=0) if documents else np.array([])
    outer, inner = cluster_test(means), cluster_test(means, flips=1, confidence=0.9)
    if isinstance(outer, Undefined) or isinstance(inner, Undefined):
        return f"{counted(documents, 'document')} with a value, and a test needs {FEWEST}"
    return Tested(
        *(outer.difference, outer.p_value),
        outer=(outer.low, outer.high),
        inner=(inner.low, inner.high),
        has_spread=outer.standard_error > 0,
        runs=runs,
        documents=documents,
    )


def family(tests: Mapping[str, Tested | str], enough: int) -> dict[str, Claim]:
    """Make claims of tests, their p-values adjusted for their number (Holm).

    Below ``enough`` runs nothing is established, nor equivalent.

    >>> few = tested(np.array([[0.1, 0.2, 0.1, 0.3], [0.2, 0.2, 0.1, 0.2]]))
    >>> family({"A minus B": few}, enough=5)["A minus B"].note
    '2 runs; 5 are needed'

    Args:
        tests: The tests by the claims' names, or why there is none.
        enough: The fewest runs that speak of others.
    """
    known = {name: test for name, test in tests.items() if isinstance(test, Tested)}
    p_values = holm({name: test.p_value for name, test in known.items()})
    return {
        name: untestable(name, test)
        if isinstance(test, str)
        else _claim(name, test, p_values[name], enough)
        for name, test in tests.items()
    }


def _claim(name: str, test: Tested, p_value: float, enough: int) -> Claim:
    low, high = test.outer
    verdict: Verdict = "not established"
    note = f"{test.runs} runs" if test.runs > 1 else ""
    if 0 < test.runs < enough:
        note = f"{note or 'one run: holds for this run alone'}; {enough} are needed"
    elif low * high > 0 and p_value < ALPHA:
        verdict = "established"
    elif test.has_spread and test.inner[0] > -BOUND and test.inner[1] < BOUND:
        verdict = "equivalent"
    return Claim(
        *(name, test.mean, low, high, p_value, test.documents, verdict, BOUND, note),
        student=test.runs < 2,
    )
