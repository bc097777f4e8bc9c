"""Arms that are timed in turns: a shared machine is not the same from minute to minute."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from mogradjudge.display.terminal import number, print_table


class Timed(Protocol):
    """What an arm took."""

    @property
    def seconds(self) -> float:
        """Of the clock."""
        ...


T = TypeVar("T")


def in_turns(turns: int, arms: Mapping[str, Callable[[int], T]]) -> list[dict[str, T]]:
    """Run all arms in each turn, and let another one begin.

    Args:
        turns: How many.
        arms: Each is given the number of its turn.

    >>> in_turns(2, {"a": str, "b": str})
    [{'a': '0', 'b': '0'}, {'b': '1', 'a': '1'}]
    """
    names = list(arms)
    orders = [names[turn % len(names) :] + names[: turn % len(names)] for turn in range(turns)]
    return [{name: arms[name](turn) for name in order} for turn, order in enumerate(orders)]


def ratios(turns: Sequence[Mapping[str, Timed]], first: str, second: str) -> list[float]:
    """Divide the first arm's time by the second's, turn by turn."""
    return [turn[first].seconds / turn[second].seconds for turn in turns]


def print_turns(turns: Sequence[Mapping[str, Timed]], first: str, second: str, title: str) -> None:
    """Print what two arms took in each turn, and the median of their ratios."""
    fields = list(vars(turns[0][first]))
    columns = [f"{arm}: {field}" for field in fields for arm in (first, second)]
    by_turn = ratios(turns, first, second)
    rows = [
        [
            *(str(place), f"{ratio:.3f}"),
            *(number(vars(turn[arm])[field], 1) for field in fields for arm in (first, second)),
        ]
        for place, (turn, ratio) in enumerate(zip(turns, by_turn, strict=True))
    ]
    print_table(("turn", "ratio", *columns), rows, title)
    print(f"{first} by {second}, median of {len(turns)}: {statistics.median(by_turn):.3f}")
