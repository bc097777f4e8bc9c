"""Refuses a rewritten section that would only cost calls: nothing new, copied, or too long."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

COPIED_WORDS = 8
"""So many words in a row are no coincidence."""
SAME = 0.98
"""The share of words, in order, from which two texts are the same to a judge.

An edit of a word in fifty moves the agreement by less than any validation set can tell.
"""


@dataclass(frozen=True)
class Hygiene:
    """What no rewritten section may do.

    Args:
        max_chars: The most characters of a section.
        sources: Texts that nothing may be copied from.
        may_repeat: Whether a text may say the same as an earlier one.

    >>> hygiene = Hygiene(100, ["The cat sat on the mat and looked at the dog."])
    >>> hygiene.fault("Lower it if the cat sat on the mat and looked.", ["Rate from 1 to 5."])
    "it copies a training text: 'the cat sat on the mat and looked'"
    """

    max_chars: int
    sources: Sequence[str] = ()
    may_repeat: bool = False
    _runs: frozenset[tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        runs = frozenset(run for source in self.sources for run in _runs_of(source))
        object.__setattr__(self, "_runs", runs)  # the dataclass is frozen

    def fault(self, text: str, former: Sequence[str], known: Iterable[str] = ()) -> str:
        """Say what is wrong with a section's new text; ``""`` if nothing is.

        Args:
            text: The new text.
            former: The section's texts so far, the current one among them.
            known: Further texts that it may repeat.
        """
        if len(text) > self.max_chars:
            return f"it has {len(text)} characters, at most {self.max_chars} are allowed"
        if not self.may_repeat and any(_are_the_same(text, other) for other in former):
            return "it says the same as the text before it, or as one that was tried"
        allowed = {run for other in (*former, *known) for run in _runs_of(other)}
        copied = [run for run in _runs_of(text) if run in self._runs and run not in allowed]
        return f"it copies a training text: {' '.join(copied[0])!r}" if copied else ""


def _are_the_same(text: str, other: str) -> bool:
    matcher = difflib.SequenceMatcher(None, _words(text), _words(other), autojunk=False)
    return matcher.quick_ratio() >= SAME and matcher.ratio() >= SAME


def _runs_of(text: str) -> list[tuple[str, ...]]:
    words = _words(text)
    return [
        tuple(words[start : start + COPIED_WORDS]) for start in range(len(words) - COPIED_WORDS + 1)
    ]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
