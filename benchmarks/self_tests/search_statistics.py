"""Whether the statistics of a search tell the truth, in simulated searches of known truth.

Of the winner: how much too good it looks before and after it is corrected for selection, and how
often the interval holds its true agreement. Of the modes: how often the interval of a planted
effect holds it, where trials are drawn at random and where the sampler follows chance.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import optuna
from scipy.stats import norm

from benchmarks.worlds.simulated import SYSTEMS, Array, human_scores
from mogradjudge.agreement import Interval, Level, TestOptions, Undefined, correlate
from mogradjudge.agreement.bootstrap import draw
from mogradjudge.agreement.selection_bias import corrected, resampled_means
from mogradjudge.display.terminal import print_table
from mogradjudge.search.analysis.effects import mode_effects
from mogradjudge.search.analysis.linear_model import Setting

RESAMPLES = 300
MODE_EFFECTS = {"SSS": 0.03, "SSC": 0.01, "SCC": -0.01, "CCC": -0.03}
TRIALS = 24
DOCUMENTS = (20, 50, 100)
TEXTS = 6  # per document
_BETWEEN = 0.55  # how two judges' errors correlate
_CUTS = norm.ppf((0.05, 0.20, 0.45, 0.80))  # where a judge's scores change
_CALIBRATION = 20_000  # documents; their luck is all that the truths are off by, some .002
_SLOPES = np.linspace(0.1, 0.9, 9)
WORLDS: dict[str, Callable[[np.random.Generator], Array]] = {
    "all equal": lambda _: np.zeros(TRIALS),
    "true sd .02": lambda rng: 0.02 * rng.normal(size=TRIALS),
    "true sd .05": lambda rng: 0.05 * rng.normal(size=TRIALS),
    "half worse by .15": lambda _: np.where(np.arange(TRIALS) % 2, 0.0, -0.15),
    "one better by .05": lambda _: np.where(np.arange(TRIALS), 0.0, 0.05),
    "one better by .1": lambda _: np.where(np.arange(TRIALS), 0.0, 0.1),
}
SIZES = (12, 24, 48)
_REPEATED: dict[str, Any] = {"most_steps": 4, "documents": 200}  # 24 configurations in all
_RUNS: dict[str, dict[str, Any]] = {
    "equal": {},
    "CCC scatters x 2.5": {"spread": 2.5},
    "repeated": _REPEATED,
    "repeated, each counted": {**_REPEATED, "collapsed": False},
}


@dataclass(frozen=True)
class Choice:
    """The winner's value less its truth, and how often its interval held the truth."""

    naive: float
    corrected: float
    naive_held: float
    held: float


@dataclass(frozen=True)
class Judges:
    """Documents to draw from, and the true agreement of a judge by how it follows human scores."""

    human: Array
    level: Level
    truths: Array

    def slope(self, agreement: Array) -> Array:
        """Give the slopes of judges with this true agreement."""
        return np.interp(agreement, self.truths, _SLOPES)

    def draw(self, slopes: Array, documents: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Draw human scores (documents, texts) and the judges' (judges, documents, texts)."""
        human = self.human[rng.integers(len(self.human), size=documents)]
        shared, own = rng.normal(size=human.shape), rng.normal(size=(len(slopes), *human.shape))
        errors = np.sqrt(_BETWEEN) * shared + np.sqrt(1 - _BETWEEN) * own
        steep = slopes[:, None, None]
        latent = steep * (human - self.human.mean()) / self.human.std() + errors
        return human, 1.0 + np.digitize(latent / np.sqrt(1 + steep**2), _CUTS)


def judges(level: Level) -> Judges:
    """Make human scores, and find how agreement grows with the slope."""
    human = human_scores(400)[:, :: SYSTEMS // TEXTS + 1]
    trial = Judges(human, level, _SLOPES)
    drawn, scores = trial.draw(_SLOPES, _CALIBRATION, np.random.default_rng(0))
    groups = _groups(_CALIBRATION)
    truths = [
        correlate(drawn.ravel(), scored.ravel(), groups, level=level).value for scored in scores
    ]
    return Judges(human, level, np.array(truths, dtype=np.float64))


def simulate_choice(world: Judges, spread: str, documents: int, simulations: int) -> Choice:
    """Choose the best of many trials on the same documents, again and again."""
    rng, rows = np.random.default_rng(0), []
    for seed in range(simulations):
        truth = 0.35 + WORLDS[spread](rng)
        human, scores = world.draw(world.slope(truth), documents, rng)
        groups, level = _groups(documents), world.level
        values = [correlate(human.ravel(), s.ravel(), groups, level=level).value for s in scores]
        resampled = resampled_means(
            {"c": human.ravel()},
            [{"c": judge_scores.ravel()} for judge_scores in scores],
            groups,
            TestOptions(level=level, resamples=RESAMPLES, seed=seed),
        )
        agreement = np.array(values, dtype=np.float64)
        best = int(agreement.argmax())
        bias = corrected(agreement, resampled, best, documents=documents)
        if isinstance(bias, Undefined):
            continue
        low, high = np.quantile(resampled[:, best], (0.025, 0.975))
        true = truth[best]
        rows.append(
            (
                bias.value - true,
                bias.corrected - true,
                low <= true <= high,
                bias.low <= true <= bias.high,
            )
        )
    return Choice(*(float(mean) for mean in np.mean(rows, axis=0)))


def _groups(documents: int) -> list[str]:
    return [f"{document:05}" for document in range(documents) for _ in range(TEXTS)]


@dataclass(frozen=True)
class Search:
    """The trials of one simulated search: parameters, values, and values on resamples."""

    params: list[dict[str, Setting]]
    values: Array
    resampled: Array

    def distinct(self) -> Search:
        """Give the first trial of each configuration."""
        first: dict[tuple[Setting, ...], int] = {}
        for place, parameters in enumerate(self.params):
            first.setdefault(tuple(parameters.values()), place)
        places = list(first.values())
        params = [self.params[place] for place in places]
        return Search(params, self.values[places], self.resampled[:, places])


def simulate_search(
    trials: int,
    documents: int,
    *,
    adaptive: bool,
    rng: np.random.Generator,
    spread: float = 1.0,
    most_steps: int = 16,
) -> Search:
    """Run a study over simulated documents; a mode, like a trial, has luck with single documents.

    A configuration that was run before has the same value again, document by document, as one that
    is answered from kept replies has.

    Args:
        trials: How many to run.
        documents: How many documents all of them are measured on.
        adaptive: Whether Optuna's TPE sampler draws the parameters, or chance.
        rng: All that is random.
        spread: How many times as far as the others' the runs of CCC scatter.
        most_steps: The most steps, from 4 on; with few, many configurations repeat.
    """
    common = 0.2 * rng.normal(size=documents)
    taste = {mode: 0.06 * rng.normal(size=documents) for mode in MODE_EFFECTS}
    params: list[dict[str, Setting]] = []
    columns: list[Array] = []
    known: dict[tuple[Setting, ...], Array] = {}

    def value(trial: optuna.Trial) -> float:
        mode = trial.suggest_categorical("mode", list(MODE_EFFECTS))
        batch = trial.suggest_categorical("batch_size", [1, 3, 8])
        steps = trial.suggest_int("steps", 4, most_steps)
        momentum = trial.suggest_categorical("momentum", [True, False])
        run = 0.02 * (spread if mode == "CCC" else 1.0) * rng.normal()
        level = (
            0.3 + MODE_EFFECTS[mode] + 0.004 * steps + 0.01 * (batch == 3) + 0.005 * momentum + run
        )
        column = level + common + taste[mode] + 0.15 * rng.normal(size=documents)
        column = known.setdefault(tuple(trial.params.values()), column)
        params.append(dict(trial.params))
        columns.append(column)
        return float(column.mean())

    sampler = _sampler(int(rng.integers(2**31)), trials, adaptive=adaptive)
    optuna.create_study(direction="maximize", sampler=sampler).optimize(value, n_trials=trials)
    table = np.array(columns).T
    weights = draw(rng, documents, RESAMPLES)
    return Search(params, table.mean(axis=0), weights @ table / documents)


def _sampler(seed: int, trials: int, *, adaptive: bool) -> optuna.samplers.BaseSampler:
    if adaptive:
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, trials // 2))
    return optuna.samplers.RandomSampler(seed=seed)


@dataclass(frozen=True)
class Planted:
    """How often intervals held the planted effects, their width, and the effects' largest bias."""

    held: float
    held_without_documents: float
    lowest: float
    width: float
    bias: float


def simulate_effects(
    trials: int,
    simulations: int,
    *,
    documents: int = 40,
    collapsed: bool = True,
    **how: Any,
) -> Planted:
    """Estimate planted effects of the modes from simulated searches that tried all of them.

    ``collapsed`` says whether a repeated configuration counts once, as it should; ``how`` are
    further arguments of `simulate_search`.
    """
    rng = np.random.default_rng(0)
    rows: dict[str, list[tuple[float, ...]]] = {mode: [] for mode in MODE_EFFECTS}
    for _ in range(simulations):
        simulated = simulate_search(trials, documents, rng=rng, **how)
        simulated = simulated.distinct() if collapsed else simulated
        for mode, row in _beside_planted(simulated, documents):
            rows[mode].append(row)
    means = np.array([np.mean(of_mode, axis=0) for of_mode in rows.values()])
    held, without, width, bias = means.T
    return Planted(
        float(held.mean()),
        float(without.mean()),
        float(held.min()),
        float(width.mean()),
        float(bias[np.abs(bias).argmax()]),
    )


def _beside_planted(
    simulated: Search, documents: int
) -> Iterator[tuple[str, tuple[float, float, float, float]]]:
    """Say of each mode whether the intervals hold its planted effect, their width and the bias."""
    full = mode_effects(
        simulated.params, simulated.values, simulated.resampled, documents=documents
    )
    runs = mode_effects(simulated.params, simulated.values)
    if isinstance(full, Undefined) or isinstance(runs, Undefined) or len(full.levels) < 4:
        return
    for level, alone in zip(full.levels, runs.levels, strict=True):
        one, other, mode = level.effect.interval, alone.effect.interval, str(level.level)
        if isinstance(one, Interval) and isinstance(other, Interval):
            true = MODE_EFFECTS[mode]
            held, held_alone = (i.low <= true <= i.high for i in (one, other))
            yield mode, (held, held_alone, one.high - one.low, level.effect.value - true)


@click.command("search-statistics")
@click.option("--simulations", type=click.IntRange(2), default=400, show_default=True)
@click.option("--smoke", is_flag=True, help="A few simulations, to see that it runs.")
def command(simulations: int, smoke: bool) -> None:  # noqa: FBT001
    """Bias and coverage of the statistics of a search."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    simulations = 5 if smoke else simulations
    started = time.perf_counter()
    for level in ("pooled", "group"):
        world = judges(level)
        rows = [
            (spread, documents, simulate_choice(world, spread, documents, simulations))
            for spread in (list(WORLDS)[:2] if smoke else WORLDS)
            for documents in (DOCUMENTS[:1] if smoke else DOCUMENTS)
        ]
        print_table(
            ("true agreement", "documents", "naive bias", "corrected", "naive holds", "holds"),
            [
                [
                    spread,
                    str(documents),
                    f"{choice.naive:+z.3f}",
                    f"{choice.corrected:+z.3f}",
                    f"{choice.naive_held:.2f}",
                    f"{choice.held:.2f}",
                ]
                for spread, documents, choice in rows
            ],
            f"Best of {TRIALS} trials by {level} rho; {simulations} simulations, 95 % intervals",
        )
    _print_effects(simulations, SIZES[:1] if smoke else SIZES)
    print(f"The whole took {time.perf_counter() - started:.0f} s.")


def _print_effects(simulations: int, sizes: tuple[int, ...]) -> None:
    worlds = [
        (name, how, {"adaptive": name == "TPE", **changes})
        for name in ("random", "TPE")
        for how, changes in _RUNS.items()
    ]
    rows = []
    for name, how, options in worlds:
        for size in sizes:
            effects = simulate_effects(size, simulations, **options)
            numbers = (effects.held, effects.lowest, effects.held_without_documents)
            shares = [f"{number:.2f}" for number in numbers]
            rows.append(
                [name, how, str(size), *shares, f"{effects.width:.3f}", f"{effects.bias:+z.3f}"]
            )
    print_table(
        (
            *("sampler", "runs", "trials", "holds", "lowest mode", "by runs only"),
            *("width", "largest bias"),
        ),
        rows,
        f"Planted effects of modes, .03 to -.03; {simulations} simulations, 95 % intervals",
    )
