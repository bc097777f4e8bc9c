"""A rater without examples: a unit is about what it lies nearest to, by an embedding model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.dilution.classifier import can_be_acted_on
from benchmarks.worlds.controls import mask
from benchmarks.worlds.ratings import FORMAT, GENERAL, NONE, Rating, check_names
from mogradjudge import Rubric
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored

MARGIN = 0.02
"""A unit is about a second label too if that is nearer than this to the nearest, in cosine."""
_REST = {
    GENERAL: "how a judge should rate texts in general, whatever the criterion",
    FORMAT: "the layout and format of the judge's reply",
    NONE: "praise, thanks, or a remark that says nothing about judging",
}


@dataclass(frozen=True)
class EmbeddingRater:
    """Rates units by the nearest definition, without having seen any of the suite's sentences.

    ``embed`` gives one vector per text, as `dspy.Embedder` does. Whether a unit can be acted on
    embeddings do not tell: the classifier's second half does, which needs no criterion.
    """

    rubric: Rubric
    embed: Callable[[list[str]], Any]
    masked: bool = False

    def __post_init__(self) -> None:
        check_names(self.criteria)

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"embeddings{', names masked' if self.masked else ''}"

    @property
    def criteria(self) -> Group:
        """The rubric's criteria."""
        return self.rubric.names

    def rate(self, units: Sequence[str]) -> tuple[Rating | Unscored, ...]:
        """Rate units; one that lies as near to two definitions is about both."""
        if not units:
            return ()
        shown = [mask(unit, self.criteria) if self.masked else unit for unit in units]
        labels, definitions = self._definitions
        near = self._vectors(shown) @ definitions.T
        return tuple(
            Rating.of(
                *(label for label, value in zip(labels, row, strict=True) if value > best - MARGIN),
                actionable=can_act,
            )
            for row, best, can_act in zip(
                near, near.max(axis=1), can_be_acted_on(shown), strict=True
            )
        )

    @property
    def _definitions(self) -> tuple[Group, NDArray[np.float64]]:
        texts = {it.name: f"{it.name}: {it.definition}" for it in self.rubric.criteria} | _REST
        return tuple(texts), self._vectors(list(texts.values()))

    def _vectors(self, texts: list[str]) -> NDArray[np.float64]:
        vectors = np.asarray(self.embed(texts), dtype=float)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float64] = vectors / np.where(lengths > 0, lengths, 1.0)
        return unit
