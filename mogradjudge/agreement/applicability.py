"""Whether judge and people agree on which texts a criterion applies to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Applicability:
    """How many texts a criterion does not apply to, by people and by the judge.

    ``both`` say so of some texts, only ``people`` or only the ``judge`` of others, and ``neither``
    of the rest, which both have given a score.

    >>> Applicability(both=4, people=1, judge=1, neither=4).kappa
    0.6
    """

    both: int
    people: int
    judge: int
    neither: int

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> Self:
        """Count what people and judge say of each text."""
        counts = Counter(pairs)
        cells = ((True, True), (True, False), (False, True), (False, False))
        return cls(*(counts[cell] for cell in cells))

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa; None if both always say the same."""
        texts = self.both + self.people + self.judge + self.neither
        people, judge = self.both + self.people, self.both + self.judge
        chance = people * judge + (texts - people) * (texts - judge)  # times the texts
        spread = texts**2 - chance
        return ((self.both + self.neither) * texts - chance) / spread if spread else None

    def as_dict(self) -> dict[str, Any]:
        """Return the counts, and kappa."""
        return {**asdict(self), "kappa": self.kappa}
