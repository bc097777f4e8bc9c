"""What an edit changed in a section, word by word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["same", "added", "removed", "gap"]

_WORDS = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")
_MOST_WORDS = 1200  # comparing takes a time that grows with the product of both
_KEPT = 160  # characters of an unchanged stretch that are shown at each of its ends


@dataclass(frozen=True)
class Piece:
    """A stretch of text; that of a gap says what is left out."""

    kind: Kind
    text: str


@cache
def diff(before: str, after: str) -> tuple[Piece, ...]:
    """Compare two texts; long unchanged stretches are shortened.

    Where very much differs, lines are compared and not words.
    """
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) - _same_start(old, new) > _MOST_WORDS:
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    start = _same_start(old, new)
    found = difflib.SequenceMatcher(None, old[start:], new[start:], autojunk=False)
    pieces: list[Piece] = []
    same = "".join(old[:start])
    for how, i, j, k, m in found.get_opcodes():
        if how == "equal":
            same += "".join(old[start + i : start + j])
            continue
        pieces += _shortened(same)
        same = ""
        pieces += [Piece("removed", "".join(old[start + i : start + j]))] if j > i else []
        pieces += [Piece("added", "".join(new[start + k : start + m]))] if m > k else []
    return (*pieces, *_shortened(same))


def _same_start(old: Sequence[str], new: Sequence[str]) -> int:
    pairs = enumerate(zip(old, new, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(old), len(new)))


def _shortened(text: str) -> Iterator[Piece]:
    left_out = len(text) - 2 * _KEPT
    if left_out <= _KEPT:
        yield from [Piece("same", text)] if text else []
        return
    yield Piece("same", text[:_KEPT])
    yield Piece("gap", f" [{left_out:,} characters unchanged] ")
    yield Piece("same", text[-_KEPT:])
