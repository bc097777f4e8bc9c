"""How much luck a run returns: the full gate, and race and confirmation, on simulated judges.

A step's rewrite changes how closely the judge follows the human scores, by a draw from the world's
distribution of effects: in the world "null" none helps, in "poor" one rewrite in five, in "rich"
two in five. The full gate scores each rewrite on all validation texts and returns the best one;
"race and confirm" is what `compile` does. All judges err alike in part, as prompts of one model do.
The race and the confirmation are the optimizer's own; only the judge's calls are simulated.

Shares of the runs: rewrites returned; returned, but no better; called confirmed, but no better;
intervals that hold the true gain. "read" is the share of the validation texts that a rewrite was
scored on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Literal, TypeAlias, get_args

import click
import dspy
import numpy as np
from scipy.stats import norm, spearmanr

from benchmarks.harness.setting import errors_in_one_line
from benchmarks.worlds.simulated import Array, Errors, human_scores
from mogradjudge import Criterion, NoMeanRegression, Rubric
from mogradjudge.data import split_by_group
from mogradjudge.display.terminal import print_table
from mogradjudge.objectives import rubric_objectives
from mogradjudge.optimize.confirmation import confirmed
from mogradjudge.optimize.datasets import SHARES_OF_VALIDATION
from mogradjudge.optimize.race import race_over
from mogradjudge.programs.evaluation import Judgement, agreement_of

RUBRIC = Rubric(
    ["text"], [Criterion(name, "Simulated.") for name in ("first", "second", "third", "fourth")]
)
OBJECTIVES = rubric_objectives(RUBRIC)
START = 0.55
"""How steeply the initial judge follows the human scores; a pooled rho of about .45."""
WRITING = 28
"""Calls of a step before its rewrite is scored: a batch of 3 judged, and SSC's 25."""
STEPS = 24
WORLDS: Mapping[str, tuple[float, ...]] = {
    "null": (0.0,),
    "poor": (-0.2, -0.1, -0.1, -0.05, 0.1),
    "rich": (-0.2, -0.1, 0.0, 0.1, 0.2),
}
"""By how much a rewrite changes the slope, all changes equally likely: none helps, one in five, two
in five."""
_CUTS = norm.ppf(np.cumsum((0.05, 0.15, 0.25, 0.35)))  # between a judge's scores 1 to 5
_TRUTH_DOCUMENTS = 4000

Procedure: TypeAlias = Literal["full gate", "race and confirm"]


@dataclass(frozen=True)
class Texts:
    """Texts with human scores, and the part of their errors that all judges share.

    Args:
        examples: The texts.
        latent: Their human scores on a normal scale, shape (texts, criteria).
        shared: Shape (texts, criteria).
    """

    examples: Sequence[dspy.Example]
    latent: Array
    shared: Array

    def part(self, examples: Sequence[dspy.Example]) -> Texts:
        """Return some of the texts."""
        places = [int(example.text) for example in examples]
        return Texts(examples, self.latent[places], self.shared[places])

    def split(self, seed: int) -> tuple[Texts, Texts]:
        """Split them as a run splits its validation set, to confirm on the second part."""
        first, second = split_by_group(self.examples, tuple(SHARES_OF_VALIDATION.values()), seed)
        return self.part(first), self.part(second)

    def judged(self, slope: float, rng: np.random.Generator) -> tuple[Judgement, ...]:
        """Judge all texts with a judge of a slope; another one each time."""
        own, between = rng.normal(size=self.latent.shape), Errors().between
        error = np.sqrt(between) * self.shared + np.sqrt(1 - between) * own
        scores = 1 + np.digitize((slope * self.latent + error) / np.hypot(1, slope), _CUTS)
        return tuple(map(_judgement, self.examples, scores.tolist()))


def _judgement(example: dspy.Example, scores: Sequence[int]) -> Judgement:
    prediction = dspy.Prediction(**dict(zip(RUBRIC.names, scores, strict=True)))
    by_name = {it.name: it.scored(example, prediction) for it in OBJECTIVES}
    return Judgement(example.text, example.group, example, prediction, by_name)


def draw_texts(documents: int, texts: int, rng: np.random.Generator) -> Texts:
    """Draw documents with so many texts each."""
    seeds = rng.integers(2**31, size=len(RUBRIC.names))
    human = np.stack([human_scores(documents, int(s))[:, :texts].ravel() for s in seeds], axis=1)
    examples = [
        dspy.Example(
            text=str(place),
            group=str(place // texts),
            **{it.human: score for it, score in zip(RUBRIC.criteria, scores, strict=True)},
        ).with_inputs("text")
        for place, scores in enumerate(human.tolist())
    ]
    latent = (human - human.mean(axis=0)) / human.std(axis=0)
    return Texts(examples, latent, rng.normal(size=latent.shape))


@cache
def truth(slope: float) -> float:
    """Return the agreement of a judge of a slope over very many texts."""
    rng = np.random.default_rng(0)
    texts = draw_texts(_TRUTH_DOCUMENTS, 1, rng)
    judged = texts.judged(slope, rng)
    columns = (
        (
            [judgement.example[it.human] for judgement in judged],
            [judgement.prediction[it.name] for judgement in judged],
        )
        for it in RUBRIC.criteria
    )
    return float(np.mean([spearmanr(*pair).statistic for pair in columns]))


@dataclass(frozen=True)
class Outcome:
    """What a simulated run returns and prints.

    ``printed`` is the gain that is printed, with its interval where it has one; ``best`` is the
    slope of the best instructions on the validation texts, ``slope`` that of those returned.
    ``read`` is the share of the validation texts that a rewrite was scored on.
    """

    best: float
    slope: float
    is_rewrite: bool
    printed: float
    read: float
    steps: int
    interval: tuple[float, float] | None = None
    is_confirmed: bool = False


def simulate(
    effects: Sequence[float],
    procedure: Procedure,
    texts: Texts,
    calls: int,
    rng: np.random.Generator,
) -> Outcome:
    """Simulate a run that spends so many calls on these validation texts."""
    race_them = procedure != "full gate"
    parts = (texts, texts.part(())) if not race_them else texts.split(int(rng.integers(2**31)))
    calls -= 2 * len(parts[1].examples)
    outcome = _raced(effects, parts[0], calls, rng, in_blocks=race_them)
    return _confirmed(outcome, parts[1], rng) if race_them and outcome.is_rewrite else outcome


def _raced(
    effects: Sequence[float],
    texts: Texts,
    calls: int,
    rng: np.random.Generator,
    *,
    in_blocks: bool,
) -> Outcome:
    seed, gate = int(rng.integers(2**31)), NoMeanRegression()
    race = race_over(
        texts.examples, OBJECTIVES, gate, seed=seed, by_group=True, in_blocks=in_blocks
    )
    slope, held = START, texts.judged(START, rng)
    agreement = agreement_of(held, OBJECTIVES)
    first = agreement.mean or 0.0
    best, shares = (first, START, 0), []
    calls -= len(held)
    while calls >= WRITING + len(held):
        proposed = slope + float(rng.choice(effects))
        judged = {it.example_id: it for it in texts.judged(proposed, rng)}
        raced = race.run(agreement, partial(tuple, held), partial(_looked_up, judged))
        calls -= WRITING + len(raced.judgements)
        shares.append(len(raced.judgements) / len(held))
        if raced.chance is None and gate(agreement, raced.agreement):
            slope, held, agreement = proposed, raced.judgements, raced.agreement
            best = max(best, (agreement.mean or 0.0, slope, len(shares)), key=lambda it: it[0])
    mean_share = float(np.mean(shares))
    return Outcome(best[1], best[1], best[2] > 0, best[0] - first, mean_share, len(shares))


def _looked_up(
    judged: Mapping[str, Judgement], examples: Sequence[dspy.Example]
) -> tuple[Judgement, ...]:
    return tuple(judged[example.text] for example in examples)


def _confirmed(outcome: Outcome, texts: Texts, rng: np.random.Generator) -> Outcome:
    before, after = (texts.judged(slope, rng) for slope in (START, outcome.best))
    confirmation = confirmed(before, after, OBJECTIVES)
    kept = confirmation.takes_back
    return replace(
        outcome,
        slope=START if kept else outcome.best,
        is_rewrite=not kept,
        printed=confirmation.difference or 0.0,
        interval=confirmation.interval,
        is_confirmed=confirmation.verdict == "confirmed",
    )


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the row of a world and a procedure: shares of the runs, and means over them."""
    start = truth(START)
    gains = [truth(outcome.slope) - start for outcome in outcomes]
    # What is printed is about the best rewrite, whether it is returned or not.
    biases = [it.printed - (truth(it.best) - start) for it in outcomes]
    held = [
        it.interval[0] <= truth(it.best) - start <= it.interval[1]
        for it in outcomes
        if it.interval is not None
    ]
    shares = (np.mean([getattr(it, name) for it in outcomes]) for name in ("is_rewrite", "read"))
    returned, read = shares
    wrong = np.mean([it.is_rewrite and gain <= 0 for it, gain in zip(outcomes, gains, strict=True)])
    wrongly = np.mean(
        [it.is_confirmed and gain <= 0 for it, gain in zip(outcomes, gains, strict=True)]
    )
    return [
        f"{np.mean([it.steps for it in outcomes]):.0f}",
        f"{read:.2f}",
        f"{returned:.2f}",
        f"{wrong:.2f}",
        f"{wrongly:.2f}" if held else "-",
        f"{np.mean(gains):+.3f}",
        f"{np.mean(biases):+.3f}",
        f"{np.mean(held):.2f}" if held else "-",
    ]


COLUMNS = (
    *("world", "procedure", "steps", "read", "returned", "wrongly", "confirmed wrongly"),
    *("true gain", "printed - true", "interval holds"),
)


def rows(runs: int, documents: int, texts: int, calls: int) -> Iterator[list[str]]:
    """Simulate both procedures in each world, on the same texts."""
    for world, effects in WORLDS.items():
        for procedure in get_args(Procedure):
            outcomes = []
            for number in range(runs):
                rng = np.random.default_rng(number)
                drawn = draw_texts(documents, texts, rng)
                outcomes.append(simulate(effects, procedure, drawn, calls, rng))
            yield [world, procedure, *summary(outcomes)]


@click.command("luck", help=__doc__)
@click.option("--runs", type=click.IntRange(1), default=200, show_default=True)
@click.option("--documents", type=click.IntRange(40), default=100, show_default=True)
@click.option("--texts", type=click.IntRange(1, 16), default=1, show_default=True)
@click.option("--calls", type=click.IntRange(300), default=3172, show_default=True)
@errors_in_one_line()
def command(runs: int, documents: int, texts: int, calls: int) -> None:
    """Simulate both procedures, and print a table."""
    title = (
        f"{runs} runs of {calls} calls each, on {documents} validation documents of {texts} text"
    )
    print_table(COLUMNS, list(rows(runs, documents, texts, calls)), title, keys=2)
