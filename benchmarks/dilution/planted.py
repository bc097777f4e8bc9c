"""Texts of known focus, made of the bank's held-out sentences: the test that a rater has to pass.

A text of eight sentences holds 0, 2, 4, 6 or 8 that are about its target; the others are about
other criteria, or about none. What is tested is the whole way from a text to its share.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.worlds.bank import Sentence, label_of, sentences
from benchmarks.worlds.ratings import REST
from mogradjudge import SetupError
from mogradjudge.criteria import Group

UNITS = 8
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
_OTHER_CRITERIA = 0.75  # of the distractors; the rest come from the generic pools


@dataclass(frozen=True)
class PlantedText:
    """A text whose share of units about ``target`` is known.

    ``actionable`` is its yield, ``actionable_units`` counts the sentences on whatever label that
    can be acted on.
    """

    target: str
    share: float
    sentences: tuple[str, ...]
    actionable: int
    actionable_units: int

    @property
    def text(self) -> str:
        """The sentences as one text."""
        return " ".join(self.sentences)


def plantable(criteria: Group) -> Group:
    """Give the criteria that the bank has sentences for."""
    return tuple(name for name in criteria if label_of(name) is not None)


def plant(criteria: Group, *, n: int = 15, seed: int = 0) -> tuple[PlantedText, ...]:
    """Make ``n`` texts per target and level, the sentences of each in random order.

    Criteria that the bank does not know are neither targets nor distractors.

    Raises:
        SetupError: If it knows none of the criteria.
    """
    targets = plantable(criteria)
    if not targets:
        raise SetupError(f"The bank has no sentences about any of {', '.join(criteria)}.")
    pools = _pools(targets)
    rng = random.Random(seed)
    return tuple(
        _text(target, level, pools, rng) for target in targets for level in LEVELS for _ in range(n)
    )


def _pools(targets: Group) -> dict[str, list[Sentence]]:
    names = {label_of(name): name for name in targets} | {label: label for label in REST}
    pools: dict[str, list[Sentence]] = {name: [] for name in (*targets, *REST)}
    for sentence in sentences("held_out"):
        if sentence.label in names:
            pools[names[sentence.label]].append(sentence)
    return pools


def _text(
    target: str, share: float, pools: Mapping[str, Sequence[Sentence]], rng: random.Random
) -> PlantedText:
    about = round(share * UNITS)
    chosen = rng.sample(pools[target], about)
    on_target = sum(sentence.actionable for sentence in chosen)
    others = [name for name in pools if name not in (target, *REST)]
    while len(chosen) < UNITS:
        from_others = others and rng.random() < _OTHER_CRITERIA
        drawn = rng.choice(pools[rng.choice(others if from_others else REST)])
        if drawn not in chosen:
            chosen.append(drawn)
    rng.shuffle(chosen)
    every = sum(sentence.actionable for sentence in chosen)
    return PlantedText(target, share, tuple(sentence.text for sentence in chosen), on_target, every)
