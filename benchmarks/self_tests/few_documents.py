"""What intervals and tests promise over few documents, and whether they keep it, by simulation.

Each promise is checked of what the package does and of the plain method that it replaces:
percentiles of the resamples; sign flips of the documents' own values; the detectable difference of
a t-test whose spread is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.stats import norm

from benchmarks.worlds.simulated import Array, World, world
from mogradjudge.agreement import (
    Comparison,
    Interval,
    Level,
    TestOptions,
    bootstrap_criteria,
    cluster_test,
    compare_criteria,
    correlate,
    document_values,
    minimum_detectable_difference,
)
from mogradjudge.agreement.bootstrap import draw, percentiles, resampled_values
from mogradjudge.agreement.checks import group_codes
from mogradjudge.agreement.claims import claim
from mogradjudge.display.terminal import print_table

SIZES = (8, 12, 20, 60)
LEVELS: tuple[Level, ...] = ("pooled", "group")
RHO = 0.5
DIFFERENCES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
NEARLY_CONSTANT = 0.95  # the share of texts to which such a judge gives one score
_CONSTANT = 4.0
_TRUTH = 10_000  # documents
_FLIPS, _RESAMPLES, _ALPHA = 999, 500, 0.05
_Judged: TypeAlias = tuple[Array, Array, Array]  # human scores and two judges', (texts,)


@dataclass(frozen=True)
class Promises:
    """How often promises are kept, each by the plain method and by the package.

    ``held`` is how often the 95 % interval holds the true agreement; ``size`` how often the test at
    .05 rejects two judges that are equally good, ``size_constant`` two that are nearly constant;
    ``power`` how often it finds a true difference as large as the printed detectable one.
    """

    level: Level
    documents: int
    held: tuple[float, float]
    size: tuple[float, float]
    size_constant: tuple[float, float]
    power: tuple[float, float]


def promises(
    human: Array,
    simulations: int,
    sizes: Sequence[int] = SIZES,
    differences: Sequence[float] = DIFFERENCES,
) -> list[Promises]:
    """Check all promises at both levels and all sizes.

    Args:
        human: The human scores to draw documents from, (documents, texts).
        simulations: How many tables to draw for each row.
        sizes: The numbers of documents.
        differences: The true differences of rho between which power is interpolated; first 0.
    """
    worlds = {apart: world(human, (RHO + apart / 2, RHO - apart / 2)) for apart in differences}
    rows = []
    for level in LEVELS:
        judged = _columns(worlds[0.0].draw(_TRUTH, np.random.default_rng(0)))
        truth = correlate(*judged[:2], _groups(judged, _TRUTH), level=level).value
        assert isinstance(truth, float)
        rows += [_promises(worlds, truth, level, size, simulations) for size in sizes]
    return rows


def _promises(
    worlds: Mapping[float, World], truth: float, level: Level, documents: int, simulations: int
) -> Promises:
    rng = np.random.default_rng(1)
    held, sizes, constants, detectable = np.zeros((4, simulations, 2))
    for number in range(simulations):
        judged = _columns(worlds[0.0].draw(documents, rng))
        groups, options = _groups(judged, documents), _options(level, number)
        held[number] = [
            isinstance(interval, Interval) and interval.low <= truth <= interval.high
            for interval in _intervals(judged, groups, options)
        ]
        plain, ours = _comparisons(judged, groups, options)
        sizes[number] = _rejects(plain), _rejects(ours)
        detectable[number] = _detectable(plain), claim("", ours).detectable
        nearly = judged[0], _nearly_constant(judged[1], rng), _nearly_constant(judged[2], rng)
        constants[number] = [_rejects(test) for test in _comparisons(nearly, groups, options)]
    found, power = _power_curve(worlds, level, documents, max(2, simulations // 4))
    powers = [_interpolated(detectable[:, way], found, power[:, way]) for way in (0, 1)]
    return Promises(
        level,
        documents,
        held=_pair(held.mean(axis=0)),
        size=_pair(sizes.mean(axis=0)),
        size_constant=_pair(constants.mean(axis=0)),
        power=_pair(powers),
    )


def _pair(rates: Sequence[float] | Array) -> tuple[float, float]:
    plain, ours = (float(rate) for rate in rates)
    return plain, ours


def _power_curve(
    worlds: Mapping[float, World], level: Level, documents: int, simulations: int
) -> tuple[Array, Array]:
    """Return true differences, ascending, and how often both tests find each, (worlds, 2)."""
    differences, shares = np.zeros(len(worlds)), np.zeros((len(worlds), 2))
    for place, drawn in enumerate(worlds.values()):
        rng = np.random.default_rng(2)
        for number in range(simulations):
            judged = _columns(drawn.draw(documents, rng))
            options = _options(level, number)
            plain, ours = _comparisons(judged, _groups(judged, documents), options)
            shares[place] += np.array([_rejects(plain), _rejects(ours)]) / simulations
            differences[place] += ours.difference / simulations
    return np.maximum.accumulate(differences), shares


def _interpolated(differences: Array, found: Array, power: Array) -> float:
    """Return the mean power at some differences; on a normal scale it is nearly a line."""
    scale = norm.ppf(np.clip(power, 0.001, 0.999))
    return float(norm.cdf(np.interp(differences, found, scale)).mean())


def _columns(drawn: tuple[Array, Array, Array]) -> _Judged:
    human, first, second = (scores.ravel() for scores in drawn)
    return human, first, second


def _groups(judged: _Judged, documents: int) -> list[str]:
    texts = len(judged[0]) // documents
    return [f"{document:05}" for document in range(documents) for _ in range(texts)]


def _options(level: Level, seed: int) -> TestOptions:
    return TestOptions(level=level, flips=_FLIPS, resamples=_RESAMPLES, seed=seed)


def _nearly_constant(scores: Array, rng: np.random.Generator) -> Array:
    return np.where(rng.random(len(scores)) < NEARLY_CONSTANT, _CONSTANT, scores)


def _intervals(judged: _Judged, groups: Sequence[str], options: TestOptions) -> list[object]:
    human, judge, _ = judged
    documents = group_codes(groups)
    weights = draw(np.random.default_rng(options.seed), len(documents), options.resamples)
    plain = percentiles(resampled_values(human, judge, documents, weights, options), 0.95)
    return [plain, bootstrap_criteria({"": human}, {"": judge}, groups, options)[""]]


def _comparisons(
    judged: _Judged, groups: Sequence[str], options: TestOptions
) -> tuple[Comparison, Comparison]:
    human, *both = judged
    first, second = (document_values(human, judge, groups, level=options.level) for judge in both)
    values = [first[name] - second[name] for name in first]
    plain = cluster_test(values, flips=options.flips, seed=options.seed)
    ours = compare_criteria({"": human}, {"": both[0]}, {"": both[1]}, groups, options).mean
    assert isinstance(plain, Comparison) and isinstance(ours, Comparison)
    return plain, ours


def _rejects(comparison: Comparison) -> bool:
    return comparison.p_value <= _ALPHA


def _detectable(comparison: Comparison) -> float:
    spread = comparison.standard_error * math.sqrt(comparison.groups)
    return minimum_detectable_difference(spread, comparison.groups)


def monte_carlo_error(count: float, simulations: int) -> float:
    """Return the standard error of a share that was counted in simulations."""
    share = (count + 1) / (simulations + 2)  # none of 300 is not certainly none of all
    return float(np.sqrt(share * (1 - share) / simulations))


def print_promises(rows: Sequence[Promises], texts: int, simulations: int) -> None:
    """Print the promises as a table, each as "plain method, package"."""
    print_table(
        ("level", "documents", "interval", "size", "size, near-constant", "power"),
        [
            [
                *(row.level, str(row.documents)),
                *(
                    ", ".join(
                        f"{share:.2f} ± {monte_carlo_error(share * simulations, simulations):.2f}"
                        for share in shares
                    )
                    for shares in (row.held, row.size, row.size_constant, row.power)
                ),
            ]
            for row in rows
        ],
        f"Few documents: how often the 95 % interval holds the truth, the test at {_ALPHA} rejects "
        f"equally good judges, and finds a difference as large as the detectable one (80 %); by "
        f"the plain method and by this package. {simulations} simulations x {texts} texts per "
        "document",
    )
