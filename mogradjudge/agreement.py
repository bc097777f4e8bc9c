"""How well judge and human scores agree; higher is better."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mogradjudge.errors import SetupError

Level: TypeAlias = Literal["pooled", "group"]
Constant: TypeAlias = Literal["zero", "drop"]

_FEWEST = 3  # two points always correlate at -1 or 1


@dataclass(frozen=True)
class Undefined:
    """There is no such number, for this reason."""

    reason: str


@dataclass(frozen=True)
class Correlation:
    """A correlation of judge with human scores.

    ``n`` counts the scored pairs, ``groups`` those that ``value`` averages over (1 when pooled) and
    ``constant_judge`` the groups among them in which the judge gave one score only.
    """

    value: float | Undefined
    n: int
    groups: int
    constant_judge: int


def correlate(
    human: Sequence[float],
    judge: Sequence[float],
    groups: Sequence[str] | None = None,
    *,
    level: Level = "pooled",
    constant: Constant = "zero",
) -> Correlation:
    """Correlate by Spearman's rho, with mid-ranks for ties.

    A set in which all human scores are equal says nothing about a judge: its rho is undefined, and
    a group of that kind is left out. A judge that gives one score to texts that humans tell apart
    has no agreement: its rho is 0. (``constant="drop"`` leaves such groups out instead; it rewards
    a judge for abstaining and is there to compare with papers that do so, as G-Eval.)

    Args:
        human: Human scores, length n.
        judge: Judge scores of the same texts, length n, in the same order.
        groups: The group of each text, length n; needed for ``level="group"``.
        level: ``"pooled"`` takes one rho over all texts, ``"group"`` the mean of the groups' rhos.
        constant: What a constant judge is worth.

    Raises:
        SetupError: If the lengths differ, groups are missing where they are needed, or a score is
            not finite.
    """
    if level == "group" and groups is None:
        raise SetupError("`groups` must be given with level='group', got None.")
    sizes = {len(human), len(judge), len(human if groups is None else groups)}
    if len(sizes) > 1:
        raise SetupError(f"human, judge and groups must have one length, got {sorted(sizes)}.")
    if not all(map(math.isfinite, (*human, *judge))):
        raise SetupError("Scores must be finite numbers; leave out the texts that have none.")
    if level == "pooled":
        rho = _rho(human, judge, constant)
        return Correlation(rho, len(human), 1, int(len(set(judge)) == 1))
    return _by_group(human, judge, list(groups or ()), constant)


def _by_group(
    human: Sequence[float], judge: Sequence[float], groups: Sequence[str], constant: Constant
) -> Correlation:
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    rhos, constant_judge = [], 0
    for members in places.values():
        scores = [judge[place] for place in members]
        rho = _rho([human[place] for place in members], scores, constant)
        if not isinstance(rho, Undefined):
            rhos.append(rho)
            constant_judge += len(set(scores)) == 1
    value = sum(rhos) / len(rhos) if rhos else Undefined("no group tells its texts apart")
    return Correlation(value, len(human), len(rhos), constant_judge)


def _rho(human: Sequence[float], judge: Sequence[float], constant: Constant) -> float | Undefined:
    if len(human) < _FEWEST:
        return Undefined(f"{len(human)} scored texts, and a correlation needs {_FEWEST}")
    if len(set(human)) == 1:
        return Undefined("all human scores are equal")
    # Constancy is tested here: scipy answers nan with a warning, and other versions answered 1.
    if len(set(judge)) == 1:
        return 0.0 if constant == "zero" else Undefined("all judge scores are equal")
    from scipy.stats import spearmanr  # slow to import

    return float(spearmanr(human, judge).statistic)


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


def bootstrap(
    human: Sequence[float],
    judge: Sequence[float],
    groups: Sequence[str],
    *,
    level: Level = "pooled",
    resamples: int = 1000,
    seed: int = 0,
) -> Interval | Undefined:
    """Give a percentile interval for `correlate`, by resampling whole groups.

    With fewer than about 30 groups the interval is too narrow, as percentile intervals are.

    Args:
        human: Human scores, length n.
        judge: Judge scores of the same texts, length n.
        groups: The group of each text, length n.
        level: As for `correlate`.
        resamples: How many resamples to draw.
        seed: Seeds the draws.
    """
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    if len(places) < _FEWEST:
        return Undefined(f"{len(places)} groups, and an interval needs {_FEWEST}")
    rng, members = random.Random(seed), list(places.values())
    values = []
    for _ in range(resamples):
        drawn = rng.choices(members, k=len(members))
        rows = [place for group in drawn for place in group]
        # A group drawn twice counts as two groups.
        names = [str(number) for number, group in enumerate(drawn) for _ in group]
        human_drawn, judge_drawn = [human[row] for row in rows], [judge[row] for row in rows]
        value = correlate(human_drawn, judge_drawn, names, level=level).value
        if not isinstance(value, Undefined):
            values.append(value)
    if len(values) < resamples / 2:
        return Undefined("most resamples have no correlation")
    cuts = statistics.quantiles(values, n=40, method="inclusive")
    return Interval(cuts[0], cuts[-1])
