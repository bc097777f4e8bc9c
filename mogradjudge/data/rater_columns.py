"""Tells columns of one criterion by several raters from columns of several criteria.

``Tone (Anna)``, ``tone_anna``, ``anna: tone`` and ``rater1_tone`` are each made of a criterion and
a rater; ``answer_tone`` and ``answer_clarity`` of two criteria and what they have in common.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import fmean
from typing import TypeAlias

from mogradjudge.criteria import Group
from mogradjudge.criteria.criterion import identifier_of
from mogradjudge.data.column_words import HUMAN, words_of

Words: TypeAlias = tuple[str, ...]

NAMED_SCALE = re.compile(r"[(\[]?(-?\d+)\s*(?:-|to|\u2013)\s*(\d+)[)\]]?")  # "Tone (1-5)"
_GOOD = r"(?:the )?(?:very |sehr )?(?:best|better|good|excellent|perfect|gut|beste[rs]?)"
FALLING_SCALE = re.compile(  # "Tone (1 = best)"
    rf"\W*\b(?:[01]\s*(?:=|:|is|ist)|(?:low|lower|less|small|smaller)\s*(?:=|:|is))\s*{_GOOD}\b"
    r"\s*[)\]]?",
    re.IGNORECASE,
)

RATER_WORDS = {"rater", "annotator", "worker", "reviewer", "labeler", "labeller", "coder", "grader"}
RATER_WORDS |= {"evaluator", "assessor", "participant", "turker", "judge", "raters", "annotators"}
_NUMBERED = {"r", "a", "expert", "crowd", "human", *RATER_WORDS}  # before a number or a letter
_MEANS = {"mean", "avg", "average", "median", "consensus", "overall", "final", "gold", "majority"}
_ALL = {"human", "humans", "raters", "annotators"}  # not one of them
# What several criteria have in common: "q_tone", "answer_tone".
_COMMON = {"q", "question", "item", "criterion", "c", "rate", "how", "human", "answer", "rating"}
_COMMON |= {"ratings", "response", "reply", "output", "summary", "text"}
_QUESTIONS = {"q", "question", "item", "criterion", "c"}
# Words for what people rate; most others end like "clarity", "politeness" or "relevance".
_QUALITIES = {"tone", "style", "quality", "grammar", "humor", "humour", "wit", "tact", "empathy"}
_QUALITIES |= {"logic", "depth", "structure", "factual", "factuality", "correct", "helpful"}
_QUALITIES |= {"relevant", "clear", "polite", "overall", "bias", "recall", "precision", "warmth"}
_QUALITY = re.compile(r"\w+(?:ness|ty|cy|nce|tion|ism)")
_OF_RATER = r"(?:rater|annotator|expert|crowd|worker|coder|judge|human|r|a)"
_PREFIXED = re.compile(rf"{_OF_RATER}[_\W]*\d+[_\W]+.+", re.IGNORECASE)  # "rater2_fluency"
_PIECES = re.compile(r"[()\[\]{}:/|.]|\s[-\u2013]\s")


def is_marked(column: str) -> bool:
    """Say whether the name of a column says that people scored something.

    >>> is_marked("human_tone"), is_marked("tone")
    (True, False)
    """
    return bool(
        words_of(column) & HUMAN or NAMED_SCALE.search(column) or _PREFIXED.fullmatch(column)
    )


@dataclass(frozen=True)
class Raters:
    """A criterion's columns: the rater of each; a single one may have none.

    Args:
        name: The words that name the criterion, or the only column.
        columns: What names the rater, by column.
    """

    name: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class _Family:
    """Columns whose names differ in their first or last part only."""

    stem: Words
    at_end: bool
    columns: Mapping[Words, str]

    def is_of_raters(self) -> bool | None:
        """Say whether the parts that differ name raters, as far as words tell."""
        labels = list(self.columns)
        if all(map(_is_numbered, labels)):
            return not (self.stem and set(self.stem) <= _QUESTIONS)
        if all(set(label) & RATER_WORDS for label in labels):
            return True
        together = any(set(label) <= _ALL for label in labels)
        if together or set(self.stem) <= _COMMON or _is_numbered(self.stem):
            return False
        by_stem, by_labels = _is_quality(self.stem), all(map(_is_quality, labels))
        return None if by_stem == by_labels else by_stem


def by_raters(
    columns: Sequence[str],
    others: Iterable[str] = (),
    distance: Callable[[str, str], float] = lambda *_: 0.0,
) -> list[Raters]:
    """Group columns of scores by criterion.

    Where words do not tell, and each of some raters would have a column of each of some criteria,
    those columns are one criterion's whose scores differ less.

    Args:
        columns: The names of columns of scores.
        others: The names of the texts' columns; ``reply_a`` makes ``tone_a`` no rater's.
        distance: How much the scores of two columns differ.

    Example:
        >>> [it.columns for it in by_raters(["Tone (Anna)", "Tone (Ben)", "answer_wit"])]
        [{'Tone (Anna)': 'anna', 'Tone (Ben)': 'ben'}, {'answer_wit': ''}]
    """
    texts = {words[-1:] for words in map(_words, others)}
    families = [it for it in _families(columns) if not it.columns.keys() & texts]
    taken: dict[str, tuple[_Family, Words]] = {}
    for family in families:
        is_of_raters = family.is_of_raters()
        if is_of_raters is None:
            is_of_raters = _differ_less(family, families, distance)
        if is_of_raters and not taken.keys() & {*family.columns.values()}:
            taken |= {column: (family, label) for label, column in family.columns.items()}
    return _grouped(columns, taken)


def without_common(names: Sequence[str]) -> dict[str, str]:
    """Leave out the words that all names begin with, where what people rate comes after them.

    Example:
        >>> without_common(["Answer.tone", "Answer.wit"])
        {'Answer.tone': 'tone', 'Answer.wit': 'wit'}
        >>> without_common(["score_anna", "score_ben"])
        {}
    """
    words = {name: _words(name) for name in names}
    places = zip(*words.values(), strict=False) if len(words) > 1 else ()
    common = sum(1 for _ in takewhile(lambda place: len({*place}) == 1, places))
    rests = {name: own[common:] for name, own in words.items()}
    if not common or not all(len(rest) <= 2 and _is_quality(rest) for rest in rests.values()):
        return {}
    return {name: "_".join(rest) for name, rest in rests.items()}


def _grouped(columns: Sequence[str], taken: Mapping[str, tuple[_Family, Words]]) -> list[Raters]:
    known = {(family.at_end, label) for family, label in taken.values()}
    groups: dict[str, dict[str, str]] = {}
    for column in columns:
        stem, label = _stem_of(column, taken, known)
        groups.setdefault(stem, {})[column] = " ".join(label)
    for stem, names in groups.items():
        if len(names) > 1:  # the single ratings, rather than their mean
            groups[stem] = {column: label for column, label in names.items() if label}
    return [Raters(stem, names) for stem, names in groups.items()]


def _stem_of(
    column: str,
    taken: Mapping[str, tuple[_Family, Words]],
    known: set[tuple[bool, Words]],
) -> tuple[str, Words]:
    """Return the criterion that a column is about, and what names its rater."""
    if column in taken:
        family, label = taken[column]
        return "_".join(family.stem) or "score", label
    for stem, label, at_end in _splits(column):  # the others have not rated this criterion
        if (at_end, label) in known and not _is_numbered(label):
            return "_".join(stem), label
    words = _words(column)
    stems = {family.stem for family, _ in taken.values()}
    for stem in stems:
        if words == stem or (words[: len(stem)] == stem and set(words[len(stem) :]) <= _MEANS):
            return "_".join(stem), ()
    return column, ()


def _families(columns: Iterable[str]) -> list[_Family]:
    groups: dict[tuple[Words, bool], dict[Words, str]] = {}
    for column in columns:
        for stem, label, at_end in _splits(column):
            if not set(label) <= _MEANS:
                groups.setdefault((stem, at_end), {}).setdefault(label, column)
    return [_Family(*key, labels) for key, labels in groups.items() if len(labels) > 1]


def _differ_less(
    family: _Family, families: Iterable[_Family], distance: Callable[[str, str], float]
) -> bool:
    """Say whether columns of this part differ less than those of the other part."""
    labels = family.columns.keys()
    alike = [it for it in families if it.at_end == family.at_end and it.columns.keys() == labels]
    if len(alike) < 2:
        return False
    within = [distance(*pair) for it in alike for pair in _pairs([*it.columns.values()])]
    across = [
        distance(*pair) for label in labels for pair in _pairs([it.columns[label] for it in alike])
    ]
    return fmean(within) < fmean(across)


def _pairs(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    return ((one, other) for n, one in enumerate(names) for other in names[n + 1 :])


def _splits(column: str) -> Iterator[tuple[Words, Words, bool]]:
    """Yield each way to read a name as a stem and a label, and whether the label is at the end."""
    pieces = [words for piece in _PIECES.split(without_scale(column)) if (words := _words(piece))]
    parts = [pieces] if len(pieces) > 1 else []
    for tokens in [*parts, _tokens(_words(column))]:
        if len(tokens) == 1 and set(tokens[0]) & _NUMBERED:  # "rater 2" alone
            yield (), tokens[0], True
        elif len(tokens) > 1:
            yield _joined(tokens[:-1]), tokens[-1], True
            yield _joined(tokens[1:]), tokens[0], False


def _joined(tokens: Iterable[Words]) -> Words:
    return tuple(word for token in tokens for word in token)


def _tokens(words: Words) -> list[Words]:
    """Cut a name into words; "rater 2" is one."""
    tokens: list[Words] = []
    for word in words:
        follows = tokens and len(tokens[-1]) == 1 and tokens[-1][0] in _NUMBERED
        if follows and (word.isdigit() or (len(word) == 1 and tokens[-1][0] in RATER_WORDS)):
            tokens[-1] = (*tokens[-1], word)
        else:
            tokens.append((word,))
    return tokens


def without_scale(column: str) -> str:
    """Return a column's name without what it says of the scale.

    Example:
        >>> without_scale("Tone (1-5)"), without_scale("Tone (1 = best)")
        ('Tone  ', 'Tone ')
    """
    return FALLING_SCALE.sub(" ", NAMED_SCALE.sub(" ", column))


def _words(column: str) -> Words:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)", "_", without_scale(column))
    return tuple(filter(None, identifier_of(apart).split("_")))


def _is_numbered(label: Group) -> bool:
    """Say whether a label is a number, or a rater's, as "rater 2"."""
    return label[-1].isdigit() and set(label[:-1]) <= _NUMBERED


def _is_quality(words: Words) -> bool:
    return any(word in _QUALITIES or _QUALITY.fullmatch(word) for word in words)
