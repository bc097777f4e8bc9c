"""Formats numbers for the report."""

from __future__ import annotations

from collections.abc import Sequence

from mogradjudge.agreement import Interval
from mogradjudge.agreement.claims import Claim

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
_MOST_DIGITS = 9  # less is a rounding error


def number(value: float | None, digits: int = 3) -> str:
    """Write a number, or a dash if there is none.

    >>> number(0.51234)
    '0.512'
    """
    return NONE if value is None else f"{value:z.{digits}f}".replace("-", MINUS)


def whole(value: int | None) -> str:
    """Write a count, or a dash if it is unknown."""
    return NONE if value is None else f"{value:,}"


def signed(value: float | None, digits: int = 3) -> str:
    """Write a difference with its sign.

    >>> signed(0.25, 2), signed(-0.001, 2)
    ('+0.25', '+0.00')
    """
    return NONE if value is None else f"{value:+z.{digits}f}".replace("-", MINUS)


def signed_ends(low: float, high: float, digits: int = 2) -> str:
    """Write the ends of a difference's interval; one that is not 0 does not look like it.

    >>> signed_ends(0.0021, 0.4), signed_ends(-0.1, 0)
    ('+0.002 to +0.40', '\N{MINUS SIGN}0.10 to +0.00')
    """
    return " to ".join(signed(end, _digits(end, digits)) for end in (low, high))


def _digits(value: float, digits: int) -> int:
    enough = (more for more in range(digits, _MOST_DIGITS) if round(value, more) != 0)
    return next(enough, digits)


def bounds(interval: Interval | None, digits: int = 2) -> str:
    """Write the ends of an interval.

    >>> bounds(Interval(0.2, 0.61))
    '0.20 to 0.61'
    """
    if interval is None:
        return NONE
    return f"{number(interval.low, digits)} to {number(interval.high, digits)}"


def bounds_of(ends: Sequence[float] | None, digits: int = 2) -> str:
    """Write the ends of an interval given as a pair."""
    return bounds(None if ends is None else Interval(*ends), digits)


def counted(count: int, what: str) -> str:
    """Write a count with its noun, as in ``1 text`` and ``2 texts``.

    >>> counted(1, "text"), counted(1200, "text")
    ('1 text', '1,200 texts')
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def p_value(value: float | None) -> str:
    """Write a p-value.

    >>> p_value(0.0004), p_value(0.25)
    ('p < 0.001', 'p = 0.250')
    """
    if value is None:
        return NONE
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def plain(claim: Claim) -> str:
    """Write a claim's difference, interval, p-value and number of documents."""
    if claim.estimate is None:
        return claim.note
    parts = []
    if claim.low is not None and claim.high is not None:
        parts.append(f"95 % interval {signed_ends(claim.low, claim.high)}")
    parts += [p_value(claim.p_value)] if claim.p_value is not None else []
    if not claim.too_few("documents"):
        parts += [counted(claim.n, "document")]
    if missed := claim.missed("documents"):
        parts.append(missed)
    return f"{signed(claim.estimate)} ({', '.join(parts)})"
