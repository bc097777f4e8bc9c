"""Size and coverage of the claims about new runs and new documents, by simulation.

Two arms of several runs rate the texts of some documents. How well an arm agrees with people
differs from run to run and from document to document, by equal laws in both arms: over new runs
there is no effect, while a single run may well have one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata

from benchmarks.harness.over_runs import Tested, family, tested
from benchmarks.harness.two_way import Table
from benchmarks.interference.summary import ENOUGH
from benchmarks.self_tests.few_documents import monte_carlo_error
from benchmarks.worlds.simulated import Array
from mogradjudge.display.terminal import print_table

RUNS, DOCUMENTS = (1, 3, 5, 10), (12, 24, 60)
SPREADS = (0.0, 0.05, 0.15)
"""Standard deviations of an arm's slope on the human scores, from run to run."""
_SLOPE, _OF_DOCUMENTS = 0.7, 0.3
_SHARED = 0.55  # of the error's variance: two prompts to one LM
_MARGINS = (0.05, 0.15, 0.25, 0.35, 0.20)  # how often a judge says 1, 2, 3, 4, 5
_MANY = 3000  # documents behind a true agreement
_ALPHA = 0.05


@dataclass(frozen=True)
class Row:
    """What is found where runs have no effect in the mean, in shares of the simulations.

    ``spread`` is the standard deviation of a single run's own effect. ``others`` is how often the
    95 % interval holds the effect of new runs, which is 0; ``own`` how often that of these very
    runs; ``rejected`` how often p is below .05, and ``claimed`` how often an effect is called
    established.
    """

    runs: int
    documents: int
    spread: float
    others: float
    own: float
    rejected: float
    claimed: float


def over_runs(
    human: Array,
    simulations: int,
    runs: Sequence[int] = RUNS,
    documents: Sequence[int] = DOCUMENTS,
    spreads: Sequence[float] = SPREADS,
) -> list[Row]:
    """Count what the claims on interference come to.

    Args:
        human: The human scores to draw documents from, (documents, texts).
        simulations: How many tables to draw for each row.
        runs: The numbers of runs.
        documents: The numbers of documents.
        spreads: How much runs differ.
    """
    slopes = np.linspace(-0.8, 2.2, 31)
    rng = np.random.default_rng(0)
    truth = _agreements(human, np.repeat(slopes[:, None], 1, axis=1), _MANY, rng)[:, 0].mean(
        axis=-1
    )
    return [
        _row(human, simulations, size, count, spread, (slopes, truth))
        for spread in spreads
        for count in documents
        for size in runs
    ]


def _row(
    human: Array,
    simulations: int,
    runs: int,
    documents: int,
    spread: float,
    truth: tuple[Array, Array],
) -> Row:
    rng = np.random.default_rng(1)
    counts, effects = np.zeros(4), []
    for _ in range(simulations):
        slopes = _SLOPE + spread * rng.standard_normal((runs, 2))
        effect = np.interp(slopes[:, 0], *truth) - np.interp(slopes[:, 1], *truth)
        effects.append(effect[0])
        both = _agreements(human, slopes, documents, rng)
        counts += _outcome(both[:, 0] - both[:, 1], float(effect.mean()))
    others, own, rejected, claimed = (float(share) for share in counts / simulations)
    return Row(runs, documents, float(np.std(effects)), others, own, rejected, claimed)


def _outcome(table: Table, own: float) -> tuple[bool, bool, bool, bool]:
    test = tested(table)
    assert isinstance(test, Tested)
    low, high = test.outer
    (claim,) = family({"": test}, ENOUGH).values()
    rejected = test.p_value < _ALPHA
    return low <= 0 <= high, low <= own <= high, rejected, claim.verdict == "established"


def _agreements(human: Array, slopes: Array, documents: int, rng: np.random.Generator) -> Array:
    """Draw documents, and give each arm's Spearman correlation in each: (runs, arms, documents)."""
    drawn = human[rng.integers(len(human), size=documents)]
    latent = norm.ppf((rankdata(drawn) - 0.5) / drawn.size).reshape(drawn.shape)
    shape = (*slopes.shape, *drawn.shape)
    error = np.sqrt(_SHARED) * rng.standard_normal(drawn.shape)
    error = error + np.sqrt(1 - _SHARED) * rng.standard_normal(shape)
    of_documents = _OF_DOCUMENTS * rng.standard_normal((slopes.shape[1], documents, 1))
    steep = slopes[..., None, None] + of_documents
    cuts = norm.ppf(np.cumsum(_MARGINS)[:-1])
    judged = np.digitize((steep * latent + error) / np.sqrt(1 + steep**2), cuts)
    x = rankdata(np.broadcast_to(drawn, shape), axis=-1)
    return _correlations(x, rankdata(judged, axis=-1))


def _correlations(x: Array, y: Array) -> Array:
    """Correlate along the last axis; one that is constant has 0, as in `document_values`."""
    x, y = (side - side.mean(axis=-1, keepdims=True) for side in (x, y))
    spread = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    return np.asarray(
        np.divide((x * y).sum(axis=-1), spread, out=np.zeros_like(spread), where=spread > 0)
    )


def print_over_runs(rows: Sequence[Row], texts: int, simulations: int) -> None:
    """Print the rows as a table."""
    print_table(
        (
            *("SD of a run's own effect", "documents", "runs"),
            *("interval holds new runs'", "interval holds these runs'", "p < .05", "established"),
        ),
        [
            [
                *(f"{row.spread:.3f}", str(row.documents), str(row.runs)),
                *(f"{share:.3f}" for share in (row.others, row.own, row.rejected, row.claimed)),
            ]
            for row in rows
        ],
        "Claims about new runs, where runs differ and have no effect in the mean: shares of "
        f"{simulations} simulations x {texts} texts per document (Monte Carlo error at .05: "
        f"{monte_carlo_error(_ALPHA * simulations, simulations):.3f}). From {ENOUGH} runs on an "
        "effect may be called established; below, all is about these runs",
        keys=3,
    )
