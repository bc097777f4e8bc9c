"""What an edit changed in a section, word by word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["same", "added", "removed", "gap"]

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_MOST_WORDS = 4000  # comparing takes a time that grows with the product of both
_KEPT = 160  # characters of an unchanged stretch that are shown at each of its ends


@dataclass(frozen=True)
class Piece:
    """A stretch of text; that of a gap says what is left out."""

    kind: Kind
    text: str


def diff(before: str, after: str) -> tuple[Piece, ...]:
    """Compare two texts; long unchanged stretches are shortened.

    Very long texts are compared line by line.
    """
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) > _MOST_WORDS:
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    found = difflib.SequenceMatcher(None, old, new, autojunk=False)
    pieces: list[Piece] = []
    for how, i, j, k, m in found.get_opcodes():
        if how == "equal":
            pieces += _shortened("".join(old[i:j]))
            continue
        pieces += [Piece("removed", "".join(old[i:j]))] if j > i else []
        pieces += [Piece("added", "".join(new[k:m]))] if m > k else []
    return tuple(pieces)


def _shortened(text: str) -> Iterator[Piece]:
    left_out = len(text) - 2 * _KEPT
    if left_out <= _KEPT:
        yield Piece("same", text)
        return
    yield Piece("same", text[:_KEPT])
    yield Piece("gap", f" [{left_out:,} characters unchanged] ")
    yield Piece("same", text[-_KEPT:])
