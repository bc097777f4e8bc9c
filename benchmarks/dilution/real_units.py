"""Real units of gradients that were labelled twice, and how a rater agrees with both labellings."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.worlds.bank import label_of
from benchmarks.worlds.ratings import REST, Rating
from mogradjudge import SetupError
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored

FILE = Path(__file__).parents[1] / "worlds/bank/real_units.jsonl"
SUMMEVAL = ("coherence", "consistency", "fluency", "relevance")
KAPPA_NEEDED = 0.4  # "moderate" (Landis and Koch 1977, Biometrics 33)
ACTIONABLE = "can be acted on"


class RealUnit(BaseModel):
    """A unit that a model wrote, with what two readers say that it is about.

    ``arm`` tells where it comes from; ``actionable`` is theirs, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: str
    arm: str
    labels: tuple[tuple[str, ...], tuple[str, ...]]
    actionable: tuple[bool, bool]


def read_real_units(path: Path) -> tuple[RealUnit, ...]:
    """Read units, one JSON line each; none if there is no such file.

    Raises:
        SetupError: If a line is no unit, or names an unknown label.
    """
    if not path.exists():
        return ()
    return tuple(
        _real_unit(line, f"{path}, line {number}")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
    )


def _real_unit(line: str, where: str) -> RealUnit:
    try:
        unit = RealUnit.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))} ({first['msg']})"
        raise SetupError(f"{where}, is no labelled unit: {what}.") from error
    if unknown := {*unit.labels[0], *unit.labels[1]} - {*SUMMEVAL, *REST}:
        raise SetupError(f"{where}, has an unknown label: {min(unknown)!r}.")
    return unit


def real_units_for(criteria: Group, path: Path = FILE) -> tuple[RealUnit, ...]:
    """Give the real units that raters of these criteria are tested on: those of SummEval alone.

    Their labels are the rubric's names.
    """
    names = {label_of(name): name for name in criteria}
    if set(names) != set(SUMMEVAL):
        return ()
    return tuple(
        unit.model_copy(
            update={"labels": tuple(tuple(names.get(it, it) for it in of) for of in unit.labels)}
        )
        for unit in read_real_units(path)
    )


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

    def passes(self, criterion: str) -> bool:
        """Say whether its kappa suffices; a criterion that no unit is about cannot veto."""
        kappas = self.by_label.get(criterion)
        return kappas is None or kappas.mean is None or kappas.mean >= KAPPA_NEEDED


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
