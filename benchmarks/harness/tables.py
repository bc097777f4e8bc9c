"""Tables as plain texts, which a command prints and the report writes; and the words in them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mogradjudge.agreement.claims import Claim
from mogradjudge.display.terminal import print_table


@dataclass(frozen=True)
class Table:
    """A table; ``keys`` is how many of the first columns it takes to know a row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    keys: int = 1

    def print(self) -> None:
        """Write it to stdout."""
        print_table(self.columns, self.rows, self.title, self.keys)


def signed(value: float | None, digits: int = 3) -> str:
    """Write a difference, or a dash where there is none.

    >>> signed(0.5, 1), signed(None)
    ('+0.5', '-')
    """
    return "-" if value is None else f"{value:+z.{digits}f}"


def percent(share: float | None) -> str:
    """Write a share, or a dash where there is none.

    >>> percent(0.25)
    '25%'
    """
    return "-" if share is None else f"{share:.0%}"


def interval(value: float | None, low: float | None, high: float | None, signs: str = "") -> str:
    """Write a value with its interval; with ``"+"`` for ``signs`` as a difference.

    >>> interval(0.5, 0.25, 0.75)
    '0.500 (0.25 to 0.75)'
    """
    if value is None:
        return "-"
    if low is None or high is None:
        return f"{value:{signs}.3f}"
    return f"{value:{signs}.3f} ({low:{signs}.2f} to {high:{signs}.2f})"


def difference(claim: Claim) -> str:
    """Write a claim's difference with its interval."""
    return interval(claim.estimate, claim.low, claim.high, "+")


def starred(claim: Claim) -> str:
    """Write a claim's difference, with a star if it is established."""
    return difference(claim) + ("*" if claim.verdict == "established" else "")


def noted(claim: Claim, *notes: str) -> Claim:
    """Say more in a claim's note; an empty note says nothing."""
    return replace(claim, note="; ".join(filter(None, (claim.note, *notes))))


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Average the values that are known; None if there are none.

    >>> mean_of_known([1.0, None, 2.0])
    1.5
    """
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
