"""Size and power of the tests between two judges, on simulated judges, and the bootstrap's speed.

Size is how often a test at level .05 rejects where the judges agree with humans equally well, power
how often where they do not. The human scores are those of a table, or made ones.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import click
import dspy
import numpy as np
from scipy import stats

from benchmarks.harness.setting import errors_in_one_line
from benchmarks.self_tests.few_documents import (
    DIFFERENCES,
    SIZES,
    monte_carlo_error,
    print_promises,
    promises,
)
from benchmarks.self_tests.means import LABELLED, means_coverage, print_means
from benchmarks.self_tests.over_runs import RUNS, SPREADS, over_runs, print_over_runs
from benchmarks.worlds.simulated import SYSTEMS, Array, Errors, World, human_scores, world
from mogradjudge import Rubric, SetupError, load_examples
from mogradjudge.agreement import Comparison, TestOptions, Undefined, bootstrap_criteria, compare
from mogradjudge.agreement.bootstrap import draw, percentiles
from mogradjudge.agreement.weighted_correlation import weighted_values
from mogradjudge.data import group_of
from mogradjudge.display.terminal import print_table

DOCUMENTS = (10, 20, 50, 100)
ALPHA = 0.05
FLIPS = 499  # enough at level .05
CRITERIA = 4
RESAMPLES = 10_000
SCIPY_RESAMPLES = 200  # its time grows with their number, and so it is scaled
TASTE = Errors(document=0.14, system=0.18)
SCENARIOS = {
    "power: rho .305 and .220": ((0.305, 0.22), Errors()),
    "size: rho .305 and .305": ((0.305, 0.305), Errors()),
    "size: the same, each with a taste for systems": ((0.305, 0.305), TASTE),
}
TESTS = (
    "sign flips by document",
    "exchanged judges, pooled",
    "documents resampled, pooled",
    "documents and systems",
)


@dataclass(frozen=True)
class Row:
    """How often a test rejected at one number of documents, with its Monte Carlo error."""

    test: str
    documents: int
    rejected: float
    error: float
    standard_error: float

    def __str__(self) -> str:
        return f"{self.rejected:.2f} ± {self.error:.2f}"


def simulate(world: World, documents: int, simulations: int, seed: int = 0) -> list[Row]:
    """Draw tables, and count how often each test rejects on the same ones."""
    rng, rejected = np.random.default_rng(seed), Counter[str]()
    size = world.human.shape[1]
    errors: dict[str, list[float]] = {test: [] for test in TESTS}
    for number in range(simulations):
        human, first, second = (scores.ravel() for scores in world.draw(documents, rng))
        for test, comparison in _tests(human, first, second, size, number).items():
            if isinstance(comparison, Comparison):
                rejected[test] += comparison.p_value <= ALPHA
                errors[test].append(comparison.standard_error)
    return [
        Row(
            test,
            documents,
            rejected[test] / simulations,
            monte_carlo_error(rejected[test], simulations),
            float(np.mean(errors[test])) if errors[test] else float("nan"),
        )
        for test in TESTS
    ]


def _tests(
    human: Array, first: Array, second: Array, size: int, seed: int
) -> dict[str, Comparison | Undefined]:
    names = [f"{place // size:05}" for place in range(len(human))]
    systems = [f"{place % size:05}" for place in range(len(human))]
    by_document, pooled, resampled, both = TESTS
    how = TestOptions(flips=FLIPS, seed=seed)
    over_all = replace(how, level="pooled")
    return {
        by_document: compare(human, first, second, names, how),
        pooled: compare(human, first, second, names, over_all),
        resampled: _bootstrap(human, first, second, size, seed),
        both: compare(
            human,
            first,
            second,
            names,
            over_all,
            generalize_to="documents+systems",
            systems=systems,
        ),
    }


def _bootstrap(
    human: Array, first: Array, second: Array, size: int, seed: int
) -> Comparison | Undefined:
    """Reject where the percentile interval of the difference does not hold 0.

    It is here to show why `compare` does not do it: with few documents it rejects too often.
    """
    codes, documents = np.arange(len(human)) // size, len(human) // size
    weights = draw(np.random.default_rng(seed), documents, FLIPS + 1)
    one, other = (
        weighted_values(human, judge, codes, weights, TestOptions()) for judge in (first, second)
    )
    interval = percentiles(one - other, 1 - ALPHA)
    if isinstance(interval, Undefined):
        return interval
    outside = not interval.low <= 0 <= interval.high
    spread = float((one - other).std(ddof=1))
    middle = float((one - other).mean())
    return Comparison(
        middle,
        interval.low,
        interval.high,
        0.0 if outside else 1.0,
        documents,
        standard_error=spread,
    )


def human_table(examples: Sequence[dspy.Example], rubric: Rubric) -> Array:
    """Take the first criterion's scores as (documents, systems), from documents of one size.

    Raises:
        SetupError: If fewer than 10 documents have the commonest number of rated texts, or that is
            less than 3.
    """
    criterion = rubric.criteria[0]
    documents: dict[str, list[float]] = {}
    for place, example in enumerate(examples):
        if (score := example[criterion.human]) is not None:
            documents.setdefault(group_of(example, place), []).append(float(score))
    (size, count), *_ = Counter(map(len, documents.values())).most_common(1) or [(0, 0)]
    if size < 3 or count < 10:
        raise SetupError(
            f"`--data` must hold at least 10 documents of one number of rated texts, 3 or more, "
            f"got {count} with {size}."
        )
    return np.array([scores for scores in documents.values() if len(scores) == size])


@dataclass(frozen=True)
class Speed:
    """Seconds for the resamples of all criteria, by this package and (scaled) by scipy."""

    ours: float
    scipys: float

    @property
    def ratio(self) -> float:
        """How many times as long scipy takes."""
        return self.scipys / self.ours


def measure_speed(resamples: int, scipy_resamples: int) -> Speed:
    """Time the bootstrap of pooled rho over 100 documents by 16, four criteria, against scipy."""
    drawn = world(human_scores(100), (0.305, 0.22))
    human, judge, _ = drawn.draw(100, np.random.default_rng(0))
    groups = [f"{document:03}" for document in range(100) for _ in range(SYSTEMS)]
    names = [f"criterion {number}" for number in range(CRITERIA)]
    people, judges = (dict.fromkeys(names, side.ravel()) for side in (human, judge))

    def rho(documents: Array) -> float:
        return float(stats.spearmanr(human[documents].ravel(), judge[documents].ravel()).statistic)

    options = TestOptions(level="pooled", resamples=resamples)
    ours = _quickest(lambda: bootstrap_criteria(people, judges, groups, options))
    some = _quickest(
        lambda: stats.bootstrap(
            (np.arange(100),),
            rho,
            n_resamples=scipy_resamples,
            vectorized=False,
            method="percentile",
        )
    )
    return Speed(ours, some / scipy_resamples * resamples * CRITERIA)


def _quickest(job: Callable[[], object]) -> float:
    """Give the shortest of three times, in seconds; a shared machine has pauses."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        job()
        times.append(time.perf_counter() - started)
    return min(times)


@click.command("statistics")
@click.option("--simulations", type=click.IntRange(2), default=300, show_default=True)
@click.option("--data", metavar="FILE", help="A table of human scores  [default: made ones]")
@click.option("--rubric", metavar="TOML", help="Its rubric; the first criterion is taken.")
@click.option("--smoke", is_flag=True, help="A few simulations, to see that it runs.")
def command(simulations: int, data: str | None, rubric: str | None, smoke: bool) -> None:  # noqa: FBT001
    """Coverage of the intervals, size and power of the tests, and the bootstrap's speed."""
    if (data is None) != (rubric is None):
        raise click.UsageError("--data and --rubric go together.")
    simulations, sizes = (5, DOCUMENTS[:2]) if smoke else (simulations, DOCUMENTS)
    with errors_in_one_line():
        human = human_scores(200) if data is None else _load(data, str(rubric))
    started = time.perf_counter()
    for title, (rhos, errors) in SCENARIOS.items():
        drawn = world(human, rhos, errors)
        by_size = [simulate(drawn, size, simulations) for size in sizes]
        print_table(
            ("test", *(f"{size} documents" for size in sizes), f"SE at {sizes[-1]}"),
            [
                [test, *map(str, row), f"{row[-1].standard_error:.3f}"]
                for test, *row in zip(TESTS, *by_size, strict=True)
            ],
            f"{title}; {simulations} simulations x {human.shape[1]} texts per document, "
            f"share rejected at {ALPHA}",
        )
    few, differences = (SIZES[:1], DIFFERENCES[::6]) if smoke else (SIZES, DIFFERENCES)
    rated = LABELLED[:1] if smoke else LABELLED
    rows = promises(human, simulations, few, differences)
    print_promises(rows, human.shape[1], simulations)
    print_means(means_coverage(human, simulations, rated), human.shape[1], simulations)
    tables = over_runs(human, simulations, *((RUNS, sizes[:1], SPREADS[1:2]) if smoke else ()))
    print_over_runs(tables, human.shape[1], simulations)
    speed = measure_speed(*((1000, 50) if smoke else (RESAMPLES, SCIPY_RESAMPLES)))
    print(
        f"Intervals of {CRITERIA} criteria, 100 documents x {SYSTEMS} texts: {speed.ours:.2f} s; "
        f"scipy.stats.bootstrap over spearmanr takes {speed.scipys:.1f} s (scaled from fewer "
        f"resamples), {speed.ratio:.0f} times as long.\n"
        f"The whole took {time.perf_counter() - started:.0f} s."
    )


def _load(data: str, rubric: str) -> Array:
    chosen = Rubric.from_toml(rubric)
    return human_table(load_examples(data, chosen), chosen)
