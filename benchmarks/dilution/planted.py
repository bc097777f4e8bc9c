"""Texts of known focus, made of the bank's held-out sentences: the test that a rater has to pass.

A text of eight sentences holds 0, 2, 4, 6 or 8 that are about its target; the others are about
other criteria, or about none. What is tested is the whole way from a text to its share.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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

    A sentence about two criteria is half about each; ``level`` is the share of those that are about
    the target at all.
    """

    target: str
    level: float
    sentences: tuple[Sentence, ...]

    @property
    def text(self) -> str:
        """The sentences as one text."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def share(self) -> float:
        """The share of its units that is about the target."""
        return self._on_target(self.sentences) / len(self.sentences)

    @property
    def actionable(self) -> float:
        """Its yield: the mass on the target of units that can be acted on."""
        return self._on_target([it for it in self.sentences if it.actionable])

    @property
    def actionable_units(self) -> int:
        """The sentences on whatever label that can be acted on."""
        return sum(sentence.actionable for sentence in self.sentences)

    def _on_target(self, sentences: Sequence[Sentence]) -> float:
        return math.fsum(
            1 / len(sentence.labels) for sentence in sentences if self.target in sentence.labels
        )


def as_json(texts: Sequence[PlantedText]) -> dict[str, Any]:
    """Give texts as plain JSON, in which each of their sentences stands once."""
    sentences = list(dict.fromkeys(sentence for text in texts for sentence in text.sentences))
    numbers = {sentence: number for number, sentence in enumerate(sentences)}
    return {
        "sentences": [[it.text, list(it.labels), it.actionable] for it in sentences],
        "texts": [[it.target, it.level, [numbers[s] for s in it.sentences]] for it in texts],
    }


def texts_in(cell: Mapping[str, Any]) -> tuple[PlantedText, ...]:
    """Read what `as_json` gave."""
    all_of_them = [Sentence(text, tuple(of), can_act) for text, of, can_act in cell["sentences"]]
    return tuple(
        PlantedText(target, level, tuple(all_of_them[number] for number in numbers))
        for target, level, numbers in cell["texts"]
    )


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
    known, rng = _known(targets), random.Random(seed)
    return tuple(
        _text(target, level, known, rng) for target in targets for level in LEVELS for _ in range(n)
    )


def _known(targets: Group) -> tuple[Sentence, ...]:
    """Give the sentences that are about targets, or none, the labels by their names there."""
    names = {label_of(name): name for name in targets} | {label: label for label in REST}
    return tuple(
        replace(sentence, labels=tuple(names[label] for label in sentence.labels))
        for sentence in sentences("held_out")
        if set(sentence.labels) <= set(names)
    )


def _text(target: str, level: float, known: Sequence[Sentence], rng: random.Random) -> PlantedText:
    pools: dict[str, list[Sentence]] = {}
    for sentence in known:
        for label in sentence.labels:
            pools.setdefault(label, []).append(sentence)
    chosen = rng.sample(pools.pop(target), round(level * UNITS))
    others = [name for name in pools if name not in REST]
    while len(chosen) < UNITS:
        from_others = others and rng.random() < _OTHER_CRITERIA
        drawn = rng.choice(pools[rng.choice(others if from_others else REST)])
        if drawn not in chosen and target not in drawn.labels:
            chosen.append(drawn)
    rng.shuffle(chosen)
    return PlantedText(target, level, tuple(chosen))
