"""Words that a reply may give for a score: a level's name, or that a criterion does not apply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from mogradjudge.criteria import Rubric
from mogradjudge.criteria.applicability import says_not_applicable
from mogradjudge.judge.field_values import INTRODUCTION, plain_text

Words: TypeAlias = Mapping[str, Mapping[str, int]]
"""The scores of the levels' names as `folded` writes them, by criterion."""

_AROUND = " \t\r\n*_`\"'()[]{}.,:;!"
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
        it.name: dict(zip(map(folded, it.names), it.scale.values, strict=True))
        for it in criteria
        if it.names
    }


def folded(text: str) -> str:
    """Return a word without case, marks around it and extra blanks.

    Example:
        >>> folded('**"Pass"**.')
        'pass'
    """
    return " ".join(plain_text(text).strip(_AROUND).split()).casefold()


def means_not_applicable(text: str) -> bool:
    """Say whether a value says that its criterion does not apply, perhaps with a reason.

    Example:
        >>> means_not_applicable("Score: N/A - nothing is asked"), means_not_applicable("n/a or 3")
        (True, False)
    """
    plain = plain_text(text)
    introduction = INTRODUCTION.match(plain)
    rest = plain[introduction.end() if introduction else 0 :]
    head = _REASON.split(rest, maxsplit=1)[0].strip(_AROUND)
    return head[:1].isalpha() and says_not_applicable(head)  # a dash is no clear answer
