"""Compares two texts word by word, for the page and the terminal."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["same", "added", "removed", "gap"]

_WORDS = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")
_MOST_WORDS = 1200  # comparing takes time in the product of both lengths
_LEAST_SAME = 1 / 3  # of the old words, for a comparison word by word
_KEPT = 160  # characters of an unchanged stretch that are shown at each of its ends


@dataclass(frozen=True)
class Piece:
    """A piece of a compared text; a gap says how much is left out."""

    kind: Kind
    text: str


@cache
def diff(before: str, after: str) -> tuple[Piece, ...]:
    """Compare two texts; long unchanged stretches are shortened.

    If very much differs, lines are compared instead of words. Where little of the old text but
    single words is in the new one, both are shown whole.

    >>> [(piece.kind, piece.text) for piece in diff("Rate the text.", "Rate the whole text.")]
    [('same', 'Rate the'), ('added', ' whole'), ('same', ' text.')]
    """
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    shortest = 2
    if max(len(old), len(new)) - _same_start(old, new) > _MOST_WORDS:
        shortest = 1
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    start = _same_start(old, new)
    matcher = difflib.SequenceMatcher(None, old[start:], new[start:], autojunk=False)
    runs = (block.size for block in matcher.get_matching_blocks())
    if start + sum(size for size in runs if size >= shortest) < len(old) * _LEAST_SAME:
        return tuple(Piece(*it) for it in (("removed", before), ("added", after)) if it[1])
    return _pieces(matcher, old, new, start)


def _pieces(
    matcher: difflib.SequenceMatcher[str], old: Sequence[str], new: Sequence[str], start: int
) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    same = "".join(old[:start])
    for how, i, j, k, m in matcher.get_opcodes():
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
