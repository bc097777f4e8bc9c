"""Draws each step's batch: by what the judge gets wrong, or by chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import count, cycle, islice
from random import Random
from typing import Any

import dspy

from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored
from mogradjudge.objectives import MetricFailed, Objective
from mogradjudge.objectives.rubric import noise_of
from mogradjudge.optimize.config import MOGradConfig, batches
from mogradjudge.optimize.context import RunContext
from mogradjudge.optimize.progress import scoring_shown
from mogradjudge.optimize.step import judge
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import Judgement

POOL_TEXTS = 48
"""The texts that are scored to draw batches from; twice a batch, if that is more."""
SMALLEST_KEEPING = 3
"""The smallest batch that holds a text on which judge and people agree: it says what to keep."""
_REST = 4
"""After so many steps a text is half as likely again as one that was never drawn."""


class Batches:
    """The batches of a run, one per step; equal seeds draw equal batches.

    With ``sampling="disagreement"`` the initial instructions score a pool of texts once, and each
    batch is drawn from it: large errors in both directions, on each criterion in turn, rare levels
    as likely as frequent ones, no two texts of a group, and of texts drawn lately fewer.
    """

    def __init__(self, context: RunContext, examples: Sequence[dspy.Example]) -> None:
        self.context = context
        self.examples = examples

    @cached_property
    def pool(self) -> tuple[Judgement, ...]:
        """The judged pool; empty if batches are drawn by chance, or one holds all texts."""
        texts = pool_of(self.context.config, self.examples)
        if not texts:
            return ()
        seed = Candidate.of(self.context.program)
        with scoring_shown("training", len(texts)):
            return judge(self.context, seed, texts, is_evaluation=False)

    def steps(self, done: int, last: int) -> Iterator[tuple[int, tuple[dspy.Example, ...]]]:
        """Yield the number and the batch of each step that is left; no pool is scored for none."""
        return islice(enumerate(self, 1), done, last) if done < last else iter(())

    def __iter__(self) -> Iterator[tuple[dspy.Example, ...]]:
        config = self.context.config
        if not self.pool:
            return batches(self.examples, config.batch_size, Random(config.seed))
        drawn = by_disagreement(self.pool, self.context.objectives, config.batch_size, config.seed)
        return (tuple(judged.example for judged in batch) for batch in drawn)


def pool_of(config: MOGradConfig, examples: Sequence[dspy.Example]) -> list[dspy.Example]:
    """Return the texts that are scored to draw batches from; none if batches need no scores.

    >>> len(pool_of(MOGradConfig(), [dspy.Example()] * 100))
    48
    """
    if config.sampling == "uniform" or len(examples) <= config.batch_size:
        return []
    size = min(max(POOL_TEXTS, 2 * config.batch_size), len(examples))
    return Random(config.seed).sample(list(examples), size)


def by_disagreement(
    pool: Sequence[Judgement], objectives: Sequence[Objective], size: int, seed: int
) -> Iterator[tuple[Judgement, ...]]:
    """Yield batches without end, of texts that the judge got wrong.

    >>> exact = Objective("exact", "The answer is right.", dspy.evaluate.answer_exact_match)
    >>> pool = [
    ...     Judgement(str(n), str(n), dspy.Example(), dspy.Prediction(), {"exact": float(n > 1)})
    ...     for n in range(9)
    ... ]
    >>> [text.example_id for text in next(by_disagreement(pool, [exact], 2, seed=0))]
    ['1', '0']
    """
    draw = _Draw(pool, objectives)
    aims = cycle(draw.aims(Random(seed)))
    for step in count(1):
        yield draw.batch(step, min(size, len(pool)), aims, Random(f"{seed}/{step}"))


_Aim = tuple[str, int]
"""A criterion and a direction: 1 if the judge is too high, -1 if too low."""


class _Draw:
    def __init__(self, pool: Sequence[Judgement], objectives: Sequence[Objective]) -> None:
        self.pool = pool
        self.errors = [{o.name: _error(text, o) for o in objectives} for text in pool]
        self.criteria: Group = tuple(objective.name for objective in objectives)
        self.last_step: dict[int, int] = {}
        levels = [{o.name: _level(text, o) for o in objectives} for text in pool]
        counts = {name: Counter(level[name] for level in levels) for name in self.criteria}
        self.rarity = [
            {name: 1 / math.sqrt(counts[name][level[name]]) for name in self.criteria}
            for level in levels
        ]

    def aims(self, rng: Random) -> list[_Aim]:
        """Return each criterion in each direction, in the order of a run."""
        aims = [(name, sign) for name in self.criteria for sign in (1, -1)]
        return rng.sample(aims, len(aims))

    def batch(
        self, step: int, size: int, aims: Iterator[_Aim], rng: Random
    ) -> tuple[Judgement, ...]:
        chosen: list[int] = []
        wanted = size - (size >= SMALLEST_KEEPING)
        while len(chosen) < size:
            if len(chosen) < wanted:
                weigh = self._first_met(islice(aims, 2 * len(self.criteria)), chosen)
            else:
                weigh = self._agreement
            chosen.append(self._one(weigh, chosen, step, rng))
        self.last_step |= dict.fromkeys(chosen, step)
        return tuple(self.pool[place] for place in chosen)

    def _first_met(self, aims: Iterator[_Aim], chosen: Sequence[int]) -> Callable[[int], float]:
        """Return the weights of the next aim that some text serves."""
        for name, sign in aims:

            def weigh(place: int, name: str = name, sign: int = sign) -> float:
                return max(0.0, sign * self.errors[place][name]) * self.rarity[place][name]

            if any(weigh(place) for place in self._free(chosen)):
                return weigh
        return lambda place: 0.0

    def _agreement(self, place: int) -> float:
        return float(not any(self.errors[place].values()))

    def _one(
        self, weigh: Callable[[int], float], chosen: Sequence[int], step: int, rng: Random
    ) -> int:
        free = self._free(chosen)
        weights = [weigh(place) * self._rested(place, step) for place in free]
        if not any(weights):
            weights = [self._rested(place, step) for place in free]
        return rng.choices(free, weights)[0]

    def _free(self, chosen: Sequence[int]) -> list[int]:
        """Return the texts that are left, of other groups than the chosen ones if there are any."""
        left = [place for place in range(len(self.pool)) if place not in chosen]
        groups = {self.pool[place].group for place in chosen}
        return [place for place in left if self.pool[place].group not in groups] or left

    def _rested(self, place: int, step: int) -> float:
        if place not in self.last_step:
            return 1.0
        age = step - self.last_step[place]
        return age / (age + _REST)


def _error(judged: Judgement, objective: Objective) -> float:
    """Return the error as a share of the scale, positive if too high; 0 if it is but noise."""
    score = judged.scores[objective.name]
    if isinstance(score, Unscored) and not isinstance(score, MetricFailed):
        return 1.0  # the worst there is, and worth a critique
    if not isinstance(score, float) or 1.0 - score <= noise_of(objective, judged.example):
        return 0.0
    expected, produced = _labels(judged, objective)
    is_low = _is_number(expected) and _is_number(produced) and produced < expected
    return (score - 1.0) if is_low else (1.0 - score)


def _level(judged: Judgement, objective: Objective) -> object:
    expected, _ = _labels(judged, objective)
    return round(expected) if _is_number(expected) else str(expected)


def _labels(judged: Judgement, objective: Objective) -> tuple[Any, Any]:
    if isinstance(judged.prediction, Unscored) or judged.scores[objective.name] is None:
        return None, None
    pair = objective.compared(judged.example, judged.read_by(objective.name))
    return (None, None) if pair is None else pair


def _is_number(label: object) -> bool:
    return isinstance(label, int | float)
