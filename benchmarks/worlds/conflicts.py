"""Rules for different criteria that undo each other in one prompt, and how a model answers on them.

A model sees from their words which rules of a prompt are rivals, mostly: it misses some, and takes
some for rivals that are none. A rule that is rewritten to be about its own criterion alone undoes
nothing, and helps half as much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks.worlds.cues import CUES, narrowed, owners_in, rules_of
from benchmarks.worlds.world import parts_of

NARROW = 0.5
"""What a narrowed rule helps, by what it helps otherwise."""
_MISSED = 0.1  # of the conflicts
_IMAGINED = 0.05  # of the units are said to conflict with another one


@cache
def rivals_of(share: float, seed: int) -> Mapping[str, str]:
    """Pair a share of all rules, each with one for another criterion, and give each its rival.

    >>> len(rivals_of(0.5, seed=0)), len(rivals_of(0.0, seed=0))
    (12, 0)
    """
    rng = np.random.default_rng(seed)
    owners = [list(CUES)[place] for place in rng.permutation(len(CUES))]
    rules = [rule for owner in owners for rule in CUES[owner]]
    half = len(rules) // 2
    partners = [rules[half + place] for place in rng.permutation(half)]
    count = int(share * half + rng.random())
    drawn = rng.permutation(half)[:count]
    pairs = [(rules[place], partners[place]) for place in drawn]
    return dict(pairs) | {other: one for one, other in pairs}


def effective(name: str, text: str, foreign: set[str], rivals: Mapping[str, str]) -> float:
    """Give how many of a criterion's rules take effect, beside these rules on others."""
    return sum(
        1.0 if cue in rules else NARROW
        for rules in [set(rules_of(name, text))]
        for cue in CUES[name]
        if rules & {cue, narrowed(cue, name)} and rivals.get(cue) not in foreign
    )


def conflicts_in(
    advice: str, rivals: Mapping[str, str], chance: Callable[..., float]
) -> list[dict[str, object]]:
    """Name the pairs of numbered units that seem to undo each other."""
    units = parts_of(advice)
    rules = {number: set(owners_in(unit)) for number, unit in units.items()}
    pairs = {
        (one, other)
        for one, other in combinations(units, 2)
        if any(rivals.get(rule) in rules[other] for rule in rules[one])
        and chance("missed", units[one], units[other], advice) >= _MISSED
    }
    for one, unit in units.items():
        others = [it for it in units if _owner(units[it]) != _owner(unit)]
        if others and chance("imagined", unit, advice) < _IMAGINED:
            pairs.add((one, others[int(chance("with", unit, advice) * len(others))]))
    return [
        {"one": int(one), "other": int(other), "reason": "They pull apart."}
        for one, other in sorted(pairs)
    ]


def projected(advice: str) -> list[dict[str, Any]]:
    """Rewrite numbered units, each to be about its own criterion alone."""
    units = {number: parts_of(part, 4)["advice"] for number, part in parts_of(advice).items()}
    return [{"number": int(number), "rule": _narrow(unit)} for number, unit in units.items()]


def _owner(unit: str) -> str:
    return unit.partition(",")[0]


def _narrow(unit: str) -> str:
    rule = unit.partition(": ")[2]
    for cue, criterion in owners_in(rule).items():
        if cue in CUES[criterion]:
            rule = rule.replace(cue, narrowed(cue, criterion))
    return rule
