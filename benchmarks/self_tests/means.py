"""How often intervals of mean human scores hold the true mean, on simulated judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.self_tests.few_documents import RHO, monte_carlo_error
from benchmarks.worlds.simulated import Array, World, world
from mogradjudge.agreement import Interval, MeanEstimate, prediction_powered_mean
from mogradjudge.display.terminal import print_table

LABELLED = (8, 20, 60)
UNLABELLED = 80
METHODS = ("rated documents alone", "prediction-powered", "the same, texts as if independent")


@dataclass(frozen=True)
class Coverage:
    """How often intervals held the true mean and how wide they were on average, by method."""

    documents: int
    held: tuple[float, ...]
    widths: tuple[float, ...]

    def cell(self, method: int, simulations: int) -> str:
        """Write a method's coverage, and how much narrower than the first's its intervals are."""
        share, gain = self.held[method], 1 - self.widths[method] / self.widths[0]
        error = monte_carlo_error(share * simulations, simulations)
        return f"{share:.3f} ± {error:.3f}" + f", {100 * gain:z.0f} % narrower" * (method > 0)


def means_coverage(
    human: Array, simulations: int, labelled: Sequence[int] = LABELLED
) -> list[Coverage]:
    """Estimate means of drawn documents, some of them rated and 80 not, by judges of rho .5.

    Args:
        human: The human scores to draw documents from, (documents, texts).
        simulations: How many tables to draw for each row.
        labelled: The numbers of rated documents.
    """
    judged = world(human, (RHO, RHO))
    return [_coverage(judged, documents, simulations) for documents in labelled]


def _coverage(judged: World, documents: int, simulations: int) -> Coverage:
    rng, truth = np.random.default_rng(3), judged.human.mean()
    held, widths = np.zeros((2, simulations, len(METHODS)))
    for number in range(simulations):
        human, judge, _ = judged.draw(documents + UNLABELLED, rng)
        for method, interval in enumerate(_intervals(human, judge, documents)):
            held[number, method] = interval.low <= truth <= interval.high
            widths[number, method] = interval.high - interval.low
    return Coverage(documents, tuple(held.mean(axis=0)), tuple(widths.mean(axis=0)))


def _intervals(human: Array, judge: Array, documents: int) -> list[Interval]:
    by_document = _estimate(human, judge, documents, together=human.shape[1])
    by_text = _estimate(human, judge, documents, together=1)
    intervals = by_document.labelled_interval, by_document.interval, by_text.interval
    return [interval for interval in intervals if isinstance(interval, Interval)]


def _estimate(human: Array, judge: Array, documents: int, together: int) -> MeanEstimate:
    cut = documents * human.shape[1]
    names = [str(place // together) for place in range(human.size)]
    rated, other = judge.ravel()[:cut], judge.ravel()[cut:]
    return prediction_powered_mean(human.ravel()[:cut], rated, names[:cut], other, names[cut:])


def print_means(rows: Sequence[Coverage], texts: int, simulations: int) -> None:
    """Print how often the intervals hold, a method a column."""
    print_table(
        ("documents", *METHODS),
        [
            [
                f"{row.documents} + {UNLABELLED}",
                *(row.cell(method, simulations) for method in range(len(METHODS))),
            ]
            for row in rows
        ],
        f"Mean human score: how often the 95 % interval holds it, with a judge of rho {RHO}; "
        f"{simulations} simulations x {texts} texts per document",
    )
