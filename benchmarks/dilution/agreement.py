"""How a rater agrees with both labellings of real units."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.worlds.bank.real_units import RealUnit
from benchmarks.worlds.ratings import Rating
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored

KAPPA_NEEDED = 0.4  # "moderate" (Landis and Koch 1977, Biometrics 33)
ACTIONABLE = "can be acted on"


@dataclass(frozen=True)
class Kappas:
    """Cohen's kappas of yes and no on one label; None where it is undefined.

    ``with_each`` are the rater's with either labelling, ``between`` is that of the two. ``bias`` is
    the rater's share of yes minus theirs.
    """

    with_each: tuple[float | None, float | None]
    between: float | None
    bias: float

    @property
    def mean(self) -> float | None:
        """The rater's mean kappa over both."""
        known = [kappa for kappa in self.with_each if kappa is not None]
        return statistics.fmean(known) if known else None


@dataclass(frozen=True)
class Agreement:
    """A rater's agreement with two labellings of ``n`` real units, label by label."""

    n: int
    by_label: Mapping[str, Kappas]

    def passes(self, label: str) -> bool:
        """Say whether its kappa suffices; a label always or never given by both cannot veto."""
        kappas = self.by_label.get(label)
        if kappas is None or kappas.between is None or kappas.mean is None:
            return True
        return kappas.mean >= KAPPA_NEEDED


def agreement_of(
    units: Sequence[RealUnit], ratings: Mapping[str, Rating | Unscored], criteria: Group
) -> Agreement:
    """Compare a rater with the readers, on the units that it rated."""
    rated = [(unit, rating) for unit in units if isinstance(rating := ratings[unit.unit], Rating)]
    by_label = {
        name: _kappas(
            [rating.is_on(name) for _, rating in rated],
            *([name in unit.labels[reader] for unit, _ in rated] for reader in (0, 1)),
        )
        for name in criteria
    }
    by_label[ACTIONABLE] = _kappas(
        [rating.actionable for _, rating in rated],
        *([unit.actionable[reader] for unit, _ in rated] for reader in (0, 1)),
    )
    return Agreement(len(rated), by_label)


def _kappas(rater: Sequence[bool], first: Sequence[bool], second: Sequence[bool]) -> Kappas:
    readers = sum(first) + sum(second)
    return Kappas(
        (kappa(rater, first), kappa(rater, second)),
        kappa(first, second),
        (sum(rater) - readers / 2) / max(1, len(rater)),
    )


def kappa(one: Sequence[bool], other: Sequence[bool]) -> float | None:
    """Give Cohen's kappa of two raters' yes and no; None where one answer is all there is.

    >>> kappa([True, True, False, False], [True, True, False, True])
    0.5
    """
    if len({*one, *other}) < 2:
        return None
    agreed = statistics.fmean(a == b for a, b in zip(one, other, strict=True))
    yes = statistics.fmean(one), statistics.fmean(other)
    chance = yes[0] * yes[1] + (1 - yes[0]) * (1 - yes[1])
    return (agreed - chance) / (1 - chance)
