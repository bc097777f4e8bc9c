"""Sentences of advice on judging, each with what it is about: to train on, and to plant.

All of them were written for this project. ``train`` and ``held_out`` hold different sentences: a
classifier sees the first alone, planted texts are made of the second alone. Both are by one hand,
so they are closer to each other than to what an LM writes.

Each table of a file is a label, or two joined by ``+``: ``actionable`` holds an edit or a condition
each, ``descriptive`` says what happened; ``names``, in ``train``, are the words that give the
criterion away.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

Half: TypeAlias = Literal["train", "held_out"]


@dataclass(frozen=True)
class Sentence:
    """One sentence of the bank."""

    text: str
    labels: tuple[str, ...]
    actionable: bool


@cache
def sentences(half: Half) -> tuple[Sentence, ...]:
    """Give all sentences of one half."""
    return tuple(
        Sentence(text, tuple(label.split("+")), kind == "actionable")
        for label, table in _tables(half)
        for kind in ("actionable", "descriptive")
        for text in table.get(kind, ())
    )


@cache
def label_of(criterion: str) -> str | None:
    """Find the bank's label for a rubric's criterion, by any of its names; None if it has none."""
    spoken = _spoken(criterion)
    for label, names in _names().items():
        if spoken in {_spoken(name) for name in (label, *names)}:
            return label
    return None


def labels() -> tuple[str, ...]:
    """Give the criteria that the bank has sentences about."""
    return tuple(_names())


def names_of(label: str) -> tuple[str, ...]:
    """Give the words that give a criterion away."""
    return _names()[label]


def _spoken(name: str) -> str:
    return name.lower().replace("_", " ")


@cache
def _names() -> dict[str, tuple[str, ...]]:
    return {label: tuple(of["names"]) for label, of in _tables("train") if "names" in of}


@cache
def _tables(half: Half) -> tuple[tuple[str, dict[str, Any]], ...]:
    files = sorted((Path(__file__).parent / half).glob("*.toml"))
    return tuple(table for file in files for table in tomllib.loads(file.read_text()).items())
