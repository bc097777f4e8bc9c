"""How people and models write that a criterion does not apply to a text."""

from __future__ import annotations

from typing import Final

NOT_APPLICABLE: Final = "n/a"
_WORDS = frozenset(
    {
        *(NOT_APPLICABLE, "n / a", "n.a.", "n.a", "not applicable", "inapplicable"),
        *("does not apply", "doesn't apply", "doesn\u2019t apply"),
    }
)
_SHORT = frozenset({"na", "-", "\u2013", "\u2014"})


def says_not_applicable(cell: object, *, plainly: bool = False) -> bool:
    """Say whether a cell or a reply's field says so.

    Args:
        cell: Any value; only a text can say so.
        plainly: Whether it must be in words that mean nothing else: not as "NA" or a dash, which
            many write for what is missing.

    >>> [says_not_applicable(cell) for cell in (" N/A ", "-", "4")]
    [True, True, False]
    >>> says_not_applicable("-", plainly=True)
    False
    """
    word = " ".join(cell.split()).casefold() if isinstance(cell, str) else ""
    return word in _WORDS or (word in _SHORT and not plainly)
