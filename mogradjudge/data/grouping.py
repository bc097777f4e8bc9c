"""Finds which texts belong together where no group is named."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from mogradjudge.hashing import digest

logger = logging.getLogger(__name__)

_MOST_ROWS = 30  # per value, on average; a label, as "en", is shared by more
_USUAL_VALUES = 5  # an input with fewer values is taken only if there is no other
_LONGEST_NAME = 60


def found_groups(inputs: Mapping[str, Sequence[str]], what: str, off: str) -> list[str] | None:
    """Group texts by an input that many of them share, and say so in a line.

    A candidate is an input with two values or more, of which one is repeated in texts that differ
    in another input, and at most 30 texts a value on average. Of those with five values or more (of
    all, if there are none) the one is taken whose value most texts share with another text.

    Args:
        inputs: The values of each input, one a row.
        what: How the line begins.
        off: What turns it off, for the line.

    Returns:
        The group of each row; None if there is no candidate.

    Example:
        >>> articles, summaries = ["a", "a", "b", "b"], ["1", "2", "3", "4"]
        >>> found_groups({"article": articles, "summary": summaries}, "No group", "group = false")
        ['a', 'a', 'b', 'b']
    """
    texts = list(dict.fromkeys(zip(*inputs.values(), strict=True)))  # rows may repeat one
    counts = {
        name: count
        for name, values in zip(inputs, zip(*texts, strict=True), strict=False)
        if _is_candidate(count := Counter(values))
    }
    if not counts:
        return None
    usual = [name for name in counts if len(counts[name]) >= _USUAL_VALUES]
    chosen = max(usual or counts, key=lambda name: _sharing(counts[name]))
    others = [name for name in counts if name != chosen and 2 * _sharing(counts[name]) > len(texts)]
    logger.warning(
        "%s: rows with the same %r are kept together (%d groups, %d rows)%s; %s turns this off.",
        *(what, chosen, len(counts[chosen]), len(inputs[chosen])),
        "".join(f", not those with the same {name!r}" for name in others),
        off,
    )
    return [_group_name(value) for value in inputs[chosen]]


def _is_candidate(count: Counter[str]) -> bool:
    rows = count.total()
    return 2 <= len(count) < rows <= _MOST_ROWS * len(count)


def _sharing(count: Counter[str]) -> int:
    """Count the texts whose value another one has, too."""
    return sum(texts for texts in count.values() if texts > 1)


def _group_name(value: str) -> str:
    return value if len(value) <= _LONGEST_NAME else digest(value)[:16]
