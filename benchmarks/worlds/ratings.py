"""What a unit is about and whether it can be acted on, and who says so."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from benchmarks.worlds.units import Unit, split_units
from mogradjudge import SetupError
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored

GENERAL, FORMAT, NONE = "general", "format", "none"
REST: Group = (GENERAL, FORMAT, NONE)
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Rating:
    """What one unit is about: a mass of 1, spread over criteria and `REST`.

    ``general`` is the judge's behaviour whatever the criterion, ``format`` the layout of its reply,
    ``none`` all that says nothing about judging. A unit is actionable if it holds an edit to the
    instructions or a condition on the score.

    Raises:
        SetupError: If the mass is not a distribution.
    """

    mass: Mapping[str, float]
    actionable: bool

    def __post_init__(self) -> None:
        off = abs(math.fsum(self.mass.values()) - 1)
        if not off < _TOLERANCE or min(self.mass.values()) < -_TOLERANCE:
            raise SetupError(f"A rating's mass must be a distribution, got {dict(self.mass)!r}.")

    @classmethod
    def of(cls, *labels: str, actionable: bool) -> Self:
        """Split the mass evenly over these labels."""
        return cls({label: 1 / len(labels) for label in labels}, actionable)

    def is_on(self, label: str) -> bool:
        """Say whether no other label has more of the mass."""
        return self.mass.get(label, 0.0) >= max(self.mass.values()) - _TOLERANCE

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain JSON, which `Rating` reads; labels without mass are left out."""
        mass = {label: share for label, share in self.mass.items() if share}
        return {"mass": mass, "actionable": self.actionable}


_NOTHING = Rating.of(NONE, actionable=False)


@dataclass(frozen=True)
class RatedUnit:
    """A unit and its rating; `Unscored` if the rater gave none that can be read."""

    unit: Unit
    rating: Rating | Unscored


class Rater(Protocol):
    """Rates units one by one, each without the text that it stands in."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def criteria(self) -> Group:
        """The criteria that it tells apart."""
        ...

    def rate(self, units: Sequence[str]) -> tuple[Rating | Unscored, ...]:
        """Rate units, which are all different."""
        ...


def rate_texts(texts: Sequence[str], rater: Rater) -> tuple[tuple[RatedUnit, ...], ...]:
    """Split texts into units and have all of them rated in one stream.

    The stream is blind: each wording comes once, in an order that its hash gives, so that the rater
    cannot tell which text, mode or step a unit is from, nor what stands beside it.
    """
    ratings = ratings_in(texts, rater)
    return tuple(rated(text, ratings) for text in texts)


def ratings_in(texts: Iterable[str], rater: Rater) -> dict[str, Rating | Unscored]:
    """Give the ratings of all units of some texts, by wording."""
    wordings = {unit.text for text in texts for unit in split_units(text) if not unit.generic}
    stream = sorted(wordings, key=lambda text: hashlib.sha256(text.encode()).digest())
    return dict(zip(stream, rater.rate(stream), strict=True)) if stream else {}


def rated(text: str, ratings: Mapping[str, Rating | Unscored]) -> tuple[RatedUnit, ...]:
    """Put a text's units and their ratings together; a heading or praise is about nothing."""
    return tuple(
        RatedUnit(unit, _NOTHING if unit.generic else ratings[unit.text])
        for unit in split_units(text)
    )


def check_names(criteria: Group) -> None:
    """Check that no criterion has the name of another label.

    Raises:
        SetupError: If one has.
    """
    if clash := [name for name in criteria if name in REST]:
        raise SetupError(
            f"A criterion cannot be called {clash[0]!r} here: the raters use that word for what is "
            "about no criterion. Rename it in the rubric."
        )
