"""A text of advice as units: its sentences and bullets, each with its length in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["advice", "heading", "praise"]

_MAX_HEADING = 8  # words
_MAX_PRAISE = 14  # words; a longer unit that begins with praise goes on to say something
_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")
_BULLET = re.compile(r"^\s*(?:[-*+\u2022\u2013]|\(?\d{1,2}[.)]|\(?[a-z]\))\s+")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_MARKUP = re.compile(r"\*\*|__|^\s*>+\s?")
_BOLD_LINE = re.compile(r"^\s*(\*\*|__)[^*_]+\1\s*:?\s*$")
_BOUNDARY = re.compile(r"""(?<=[.!?])["'\u201d\u2019)\]]*\s+(?=["'\u201c\u2018(\[]?[A-Z0-9])""")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|Mr|Mrs|Ms|Dr|St|No|pp?)\.)$")
_PRAISE = re.compile(
    r"""^(?:
        (?:great|good|excellent|nice|wonderful|solid|well)\s(?:job|work|start|effort|done)
      | (?:overall,?\s)?(?:this|these|it)\s(?:is|are)\s(?:an?\s)?
        (?:great|good|excellent|nice|wonderful|solid)\s(?:job|work|start|effort|instructions?)
      | keep\sup\sthe\sgood | thanks?\b | thank\syou
      | i\shope\s(?:this|these|it) | let\sme\sknow | feel\sfree\sto | please\slet\sme
      | (?:here|below)\s(?:is|are)\s(?:my|the|some)\s(?:advice|feedback|suggestions?|remarks?)
    )""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True)
class Unit:
    """One sentence or bullet.

    A heading only says what follows, and praise of a fixed form says nothing: both are ``generic``
    and no rater is asked about them.
    """

    text: str
    words: int
    kind: Kind = "advice"

    @property
    def generic(self) -> bool:
        """Whether it is a heading or praise of a fixed form."""
        return self.kind != "advice"


def split_units(text: str) -> tuple[Unit, ...]:
    """Split a text, line by line and then at the ends of sentences.

    What holds no word, a rule or a fence, is no unit. A name at the start of a line, as in
    ``Fluency: ...``, stays with the sentence that it leads.
    """
    return tuple(_units(text))


def count_words(text: str) -> int:
    """Count words; ``run-on`` and ``don't`` are one each."""
    return len(_WORD.findall(text))


def _units(text: str) -> Iterator[Unit]:
    for line in text.splitlines():
        if _FENCE.match(line) or not _WORD.search(line):
            continue
        bare = _MARKUP.sub("", _BULLET.sub("", line)).strip()
        if _is_heading(line, bare):
            bare = bare.lstrip("# ").strip()
            yield Unit(bare, count_words(bare), "heading")
            continue
        for sentence in _sentences(bare):
            if words := count_words(sentence):
                praise = words <= _MAX_PRAISE and _PRAISE.match(sentence)
                yield Unit(sentence, words, "praise" if praise else "advice")


def _is_heading(line: str, bare: str) -> bool:
    if line.lstrip().startswith("#"):
        return True
    return count_words(bare) <= _MAX_HEADING and (
        bool(_BOLD_LINE.match(line)) or bare.endswith(":")
    )


def _sentences(line: str) -> Iterator[str]:
    start = 0
    for boundary in _BOUNDARY.finditer(line):
        if not _ABBREVIATION.search(line[: boundary.start()].rstrip()):
            yield line[start : boundary.end()].strip()
            start = boundary.end()
    yield line[start:].strip()
