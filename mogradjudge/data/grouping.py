"""Finds which texts belong together where no group is named."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from mogradjudge.hashing import digest

logger = logging.getLogger(__name__)

_MOST_ROWS = 30  # per value, on average; a label, as "en", is shared by more
_FEWEST_VALUES = 8  # fewer are rather the names of models, languages or topics
_LARGEST_SHARE = 1 / 4  # of the texts, for one value; a placeholder, as "N/A", has more
_LONGEST_NAME = 60


def found_groups(inputs: Mapping[str, Sequence[str]], what: str, off: str) -> list[str] | None:
    """Group texts by an input that many of them share, and say so in a line.

    A candidate is an input with at least eight different values, of which one is repeated in texts
    that differ in another input, at most 30 texts a value on average, and no value in more than a
    quarter of the texts. The one is taken whose value most texts share with another text. A line
    names an input that most texts share although it is not taken.

    Args:
        inputs: The values of each input, one a row.
        what: How the line begins.
        off: What turns it off, for the line.

    Returns:
        The group of each row; None if there is no candidate.

    Example:
        >>> articles, summaries = [str(n // 2) for n in range(16)], [str(n) for n in range(16)]
        >>> columns = {"article": articles, "summary": summaries}
        >>> found_groups(columns, "No group", "group = false")[:4]
        ['0', '0', '1', '1']
    """
    texts = list(dict.fromkeys(zip(*inputs.values(), strict=True)))  # rows may repeat one
    counts = {
        name: count
        for name, values in zip(inputs, zip(*texts, strict=True), strict=False)
        if _repeats(count := Counter(values))
    }
    candidates = [name for name, count in counts.items() if _is_candidate(count)]
    chosen = max(candidates, key=lambda name: _sharing(counts[name]), default=None)
    others = [name for name in counts if name != chosen and 2 * _sharing(counts[name]) > len(texts)]
    apart = " or ".join(map(repr, others))
    if chosen is None:
        if others:
            logger.warning(
                "%s: rows with the same %s are not kept together; to keep them, set group = %r.",
                *(what, apart, others[0]),
            )
        return None
    logger.warning(
        "%s: rows with the same %r are kept together (%d groups, %d rows)%s; %s turns this off.",
        *(what, chosen, len(counts[chosen]), len(inputs[chosen])),
        f", not those with the same {apart}" if others else "",
        off,
    )
    return [group_name(value) for value in inputs[chosen]]


def _repeats(count: Counter[str]) -> bool:
    texts = count.total()
    return 2 <= len(count) < texts <= _MOST_ROWS * len(count)


def _is_candidate(count: Counter[str]) -> bool:
    largest = max(count.values()) / count.total()
    return len(count) >= _FEWEST_VALUES and largest <= _LARGEST_SHARE


def _sharing(count: Counter[str]) -> int:
    """Count the texts whose value another one has, too."""
    return sum(texts for texts in count.values() if texts > 1)


def group_name(value: str) -> str:
    """Return a text, or its digest if it is long.

    Example:
        >>> group_name("a" * 100)
        '9391a07725c98cf8'
    """
    return value if len(value) <= _LONGEST_NAME else digest(value)[:16]
