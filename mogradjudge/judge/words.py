"""Words that a reply may give for a score: a level's name, or that a criterion does not apply."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeAlias

from mogradjudge.criteria import Rubric
from mogradjudge.criteria.applicability import says_not_applicable
from mogradjudge.judge.field_values import INTRODUCTION, plain_text

Words: TypeAlias = Mapping[str, Mapping[str, int]]
"""The scores of the levels' names, without case and extra blanks, by criterion."""

_AROUND = " \t\r\n*_`\"'()[]{}.,:;!"
_DIGITS = re.compile(r"(?<![^\W_])\d{1,9}")
_REASON = re.compile(
    r"\s+[-\u2013\u2014]+\s|[\r\n(;:,\u2014]|\.\s|\s(?=(?:because|since|as|for)\b)"
)


def words_of(rubric: Rubric | None) -> Words:
    """Return the words of a rubric's criteria; empty without one.

    Example:
        >>> from mogradjudge.criteria import Criterion
        >>> words_of(Rubric(["text"], [Criterion("safe", "Is safe.", levels=["Fail", "Pass"])]))
        {'safe': {'fail': 0, 'pass': 1}}
    """
    criteria = () if rubric is None else rubric.criteria
    return {
        it.name: dict(zip(map(_as_written, it.names), it.scale.values, strict=True))
        for it in criteria
        if it.names
    }


def level_of(text: str, levels: Mapping[str, int]) -> int | None:
    """Return the score of a level's bare name; None if it is none, or may be that of two.

    Marks around it do not count, unless names differ by them.

    Example:
        >>> level_of('**"Pass"**.', {"fail": 0, "pass": 1})
        1
        >>> level_of("A", {"a": 0, "a*": 1}), level_of("(A)", {"a": 0, "a*": 1})
        (0, None)
    """
    if (score := levels.get(_as_written(text))) is not None:
        return score
    scores = [score for name, score in levels.items() if _folded(name) == _folded(text)]
    return scores[0] if len(scores) == 1 else None


def _as_written(text: str) -> str:
    return " ".join(plain_text(text).split()).casefold()


def _folded(text: str) -> str:
    return _as_written(text).strip(_AROUND)


def means_not_applicable(text: str, scores: Collection[object] = ()) -> bool:
    """Say whether a value says that its criterion does not apply, perhaps with a reason.

    Args:
        text: The value.
        scores: Those of the scale; a reason that holds one makes the value unclear.

    Example:
        >>> means_not_applicable("Score: N/A - nothing is asked"), means_not_applicable("n/a or 3")
        (True, False)
        >>> means_not_applicable("n/a: 4", range(1, 6))
        False
    """
    head, *reason = _parts(text, most=1)
    numbers = map(int, _DIGITS.findall(" ".join(reason)))
    return _says_so(head) and not any(number in scores for number in numbers)


def mentions_not_applicable(text: str) -> bool:
    """Say whether a part of a value says that its criterion does not apply.

    Example:
        >>> mentions_not_applicable("3 - n/a"), mentions_not_applicable("3 - clear")
        (True, False)
    """
    return any(map(_says_so, _parts(text)))


def _parts(text: str, most: int = 0) -> list[str]:
    """Split a value at what introduces a reason, ``most`` times at most (0 is no limit)."""
    plain = plain_text(text)
    introduction = INTRODUCTION.match(plain)
    rest = plain[introduction.end() if introduction else 0 :]
    return _REASON.split(rest, maxsplit=most)


def _says_so(part: str) -> bool:
    words = part.strip(_AROUND).replace('"', "'")  # as a curly apostrophe is read
    return words[:1].isalpha() and says_not_applicable(words)  # a dash is no clear answer
