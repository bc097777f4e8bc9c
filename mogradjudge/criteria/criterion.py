"""A scale, and a criterion on it."""

from __future__ import annotations

import keyword
import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from sys import float_info
from typing import Any, TypeAlias, get_args

import dspy

from mogradjudge.criteria.applicability import NOT_APPLICABLE, says_not_applicable
from mogradjudge.errors import SetupError
from mogradjudge.settings import Measure

Group: TypeAlias = tuple[str, ...]
"""The criteria, by name, that one call speaks about."""

SINGLE_RATINGS = "single_ratings"
"""The field of an example that holds the ratings behind the mean scores."""

# Names that an example, a prediction, a predictor's call or an adapter uses for something else.
RESERVED = frozenset(
    {"base", "completed", "config", "demos", "group", "lm", "logprobs", "mean", "new_signature"}
    | {"prediction", "rationale", "readings", "self", SINGLE_RATINGS}
)
# What DSPy's predictions and examples have themselves, and arguments of its own functions that a
# module's inputs are passed through.
_HIDDEN = {
    "criterion": frozenset(dir(dspy.Prediction)),
    "input": frozenset({*dir(dspy.Example), "completions", "instance"}),
}

Levels: TypeAlias = (
    Mapping[int, str] | Mapping[str, str] | Iterable[tuple[int, str]] | Iterable[str]
)
"""Meanings of scores, or names of levels."""

_IS_NAME = re.compile(r"[^\W\d_].{0,99}").fullmatch
_WIDEST = 1000  # each score of a scale stands in the prompt
_FARTHEST = 1_000_000
_LONGEST_NAME = 100
_LONGEST_COLUMN = 1000  # a survey's columns are named by its questions
_LONGEST_TEXT = 20_000  # a definition, a level or a task; all of them stand in each prompt


@dataclass(frozen=True)
class Scale:
    """Consecutive integers from ``low`` to ``high``, both included; higher is better.

    Raises:
        SetupError: If the bounds are no integers, do not rise, or lie more than 1000 apart.

    Example:
        >>> scale = Scale(1, 5)
        >>> scale.width, list(scale.values), scale.covers(4.5)
        (4, [1, 2, 3, 4, 5], True)
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if not all(type(bound) is int for bound in (self.low, self.high)):
            raise SetupError(f"`scale` must be two integers, got {(self.low, self.high)!r}.")
        if self.low >= self.high:
            raise SetupError(f"`scale` must rise, low < high, got {(self.low, self.high)!r}.")
        bounds = reprlib.repr((self.low, self.high))  # a file may hold thousands of digits
        if self.width > _WIDEST:
            raise SetupError(f"`scale` must not be wider than {_WIDEST}, got {bounds}.")
        if max(abs(self.low), abs(self.high)) > _FARTHEST:
            raise SetupError(f"`scale` must lie within {-_FARTHEST} and {_FARTHEST}, got {bounds}.")

    @property
    def width(self) -> int:
        """The largest possible difference between two scores."""
        return self.high - self.low

    @property
    def values(self) -> range:
        """Every score on the scale, ascending."""
        return range(self.low, self.high + 1)

    def covers(self, score: float) -> bool:
        """Say whether a score, or a mean of scores, lies on the scale."""
        return self.low <= score <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


@dataclass(frozen=True, init=False)
class Criterion:
    """One thing that the judge rates; `__init__` documents the fields.

    ``levels`` holds (score, meaning) pairs in ascending order, and ``human`` the name of the column
    of human scores. Where each rater has a column, ``raters`` holds these, and ``human`` is the
    example's field with their mean. ``names`` are the levels' names, worst to best, if
    they have some: human cells may hold them. Means over criteria count each by its ``weight``.
    With ``na``, people and judge may say that it does not apply to a text.

    Example:
        >>> clarity = Criterion("clarity", "Is easy to read.", (1, 3), {1: "Jumbled.", 3: "Clear."})
        >>> clarity.description
        'Is easy to read. Scale: 1 to 3. Levels: 1 = Jumbled; 3 = Clear.'
        >>> clarity.meaning
        'Is easy to read. Levels: 1 = Jumbled; 3 = Clear.'
        >>> clarity.human
        'human_clarity'
        >>> safety = Criterion("safety", "Is harmless.", levels=["fail", "pass"])
        >>> safety.meaning, safety.shown(1)
        ('Is harmless. Levels: 0 = fail; 1 = pass.', '1 (pass)')
    """

    name: str
    definition: str
    scale: Scale
    levels: tuple[tuple[int, str], ...]
    human: str
    comment: str | None
    measure: Measure | None
    raters: Group
    names: Group
    weight: float
    na: bool

    def __init__(
        self,
        name: str,
        definition: str,
        scale: Scale | tuple[int, int] | None = None,
        levels: Levels | None = None,
        human: str | None = None,
        comment: str | None = None,
        measure: Measure | None = None,
        raters: Iterable[str] = (),
        names: Iterable[str] = (),
        weight: float = 1.0,
        na: bool = False,  # noqa: FBT001, FBT002 - a field, given by name
    ) -> None:
        """Check and store the fields.

        Args:
            name: A Python identifier; it names the judge's output field.
            definition: What the criterion means. It stays fixed; the optimizer never edits it.
            scale: Lowest and highest score, two integers; 1 to 5 if it is not given. Of named
                levels 1 to their number, or 0 to 1 if there are two.
            levels: The meaning of single scores, by score. Not every score needs one. Or the names
                of all levels, worst to best: a list, or a mapping to their meanings.
            human: The column with the human score; ``human_<name>`` if it is not given.
            comment: The column with what people said about the score; the critic reads it.
            measure: How agreement on it is measured, if not by the run's setting ``measure``.
            raters: The columns of the single scores, if each rater has one.
            names: The names of all levels, worst to best, if ``levels`` does not hold them.
            weight: How much it counts in means over criteria, at least 0; only ratios count. With
                0 it is rated and reported, and in no mean.
            na: Whether it may not apply to a text: people and judge then say "n/a", or the like.

        Raises:
            SetupError: If a field breaks one of these rules.
        """
        if fault := _name_fault(name, "criterion"):
            raise _refused(name, "criterion", fault, f"human = {_short(human or f'human_{name}')}")
        what = f"`definition` of criterion {name!r}"
        if not isinstance(definition, str) or not definition.strip():
            raise SetupError(f"{what} must be a text, got {definition!r:.40}.")
        check_length(definition, what)
        names, meanings = names_of(levels, _listed(name, "names", names))
        if fault := _names_fault(names, na=na is True):
            raise SetupError(f"`levels` of criterion {name!r} must {fault}.")
        scale = _scale(name, scale, names)
        if names and scale.width + 1 != len(names):
            raise SetupError(
                f"`levels` of criterion {name!r} must have a name for each score of the scale "
                f"{scale}, got {len(names)}."
            )
        if meanings is None:
            texts = levels.values() if isinstance(levels, Mapping) else ()
            meanings = dict(zip(scale.values, texts, strict=False))
        put = object.__setattr__  # the dataclass is frozen
        put(self, "name", name)
        put(self, "definition", definition.strip())
        put(self, "scale", scale)
        put(self, "levels", _levels(name, scale, meanings))
        put(self, "human", f"human_{name}" if human is None else _column(name, "human", human))
        put(self, "comment", None if comment is None else _column(name, "comment", comment))
        put(self, "measure", None if measure is None else _measure(name, measure))
        put(self, "raters", _raters(name, raters))
        put(self, "names", names)
        put(self, "weight", check_weight(weight, f"criterion {name!r}"))
        if type(na) is not bool:
            raise SetupError(f"`na` of criterion {name!r} must be true or false, got {na!r}.")
        put(self, "na", na)

    @property
    def columns(self) -> Group:
        """The columns of human scores: that of each rater, or the only one."""
        return self.raters or (self.human,)

    @property
    def description(self) -> str:
        """What to rate, on which scale, and what the levels mean, in one line."""
        return _line(self.definition, f"Scale: {self.scale}.", self._levels_told(), self._na_told())

    @property
    def meaning(self) -> str:
        """The description without the scale: the judge's output field has that as its type."""
        return _line(self.definition, self._levels_told(), self._na_told())

    def is_na_in(self, example: Mapping[str, Any]) -> bool:
        """Say whether people say that it does not apply to an example."""
        return self.na and says_not_applicable(example.get(self.human))

    def score_in(self, example: Mapping[str, Any]) -> float | None:
        """Return people's score of an example; None if it is not rated, or it does not apply."""
        score = None if self.is_na_in(example) else example.get(self.human)
        return None if score is None else float(score)

    def shown(self, score: float) -> str:
        """Write a score, with its level's name if it has one."""
        name = self.name_of(score)
        return f"{score:g}" if name is None else f"{score:g} ({name})"

    def name_of(self, score: float) -> str | None:
        """Return the name of a level; None if it has none, or the score is a mean between two."""
        place = score - self.scale.low
        is_level = self.names and place == int(place) and 0 <= place < len(self.names)
        return self.names[int(place)] if is_level else None

    def _na_told(self) -> str:
        return f"Write {NOT_APPLICABLE} if it does not apply to the text." if self.na else ""

    def _levels_told(self) -> str:
        texts = {score: text.rstrip(".") for score, text in self.levels}
        named = dict(zip(self.scale.values, self.names, strict=False))
        for score, name in named.items():
            texts[score] = f"{name}: {texts[score]}" if score in texts else name
        levels = "; ".join(f"{score} = {text}" for score, text in sorted(texts.items()))
        return f"Levels: {levels}." if levels else ""


def _line(*parts: str) -> str:
    return " ".join(" ".join(parts).split())


def check_length(text: str, what: str) -> None:
    """Check that a text of a rubric is short enough for a prompt."""
    if len(text) > _LONGEST_TEXT:
        raise SetupError(f"{what} must have at most {_LONGEST_TEXT} characters, got {len(text)}.")


def check_weight(weight: Any, of: str) -> float:
    """Return the weight of a criterion or an objective, if it is one."""
    is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not is_number or not 0 <= weight <= float_info.max:  # an integer may be larger
        raise SetupError(f"`weight` of {of} must be a finite number >= 0, got {weight!r:.40}.")
    return float(weight)


def check_input_name(name: object, column: str) -> None:
    """Check that a name can be an input: a field that an example shows and a call passes on."""
    if fault := _name_fault(name, "input"):
        proposal = f"inputs = {{{_proposed(name, 'input')} = {_short(column)}, ...}}"
        raise _refused(name or column, "input", fault, proposal)


def identifier_of(text: str) -> str:
    """Make an identifier of a text, but for a digit at its start; empty if it has no letters.

    >>> identifier_of("User Query")
    'user_query'
    """
    letters = [letter if f"a{letter}".isidentifier() else "_" for letter in text.lower()]
    return "_".join(filter(None, "".join(letters).split("_")))


def _name_fault(name: object, kind: str) -> str | None:
    """Return why a name cannot be a field, as a clause after "must"."""
    if isinstance(name, str) and len(name) > _LONGEST_NAME:
        return f"have at most {_LONGEST_NAME} characters"
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        return "be a Python identifier"
    # A field of a signature must not hide one of the signature's own attributes, and an example
    # does not list fields of its own that begin with dspy_.
    hides = name in RESERVED or hasattr(dspy.Signature, name) or name in _HIDDEN[kind]
    if hides or name.startswith(("_", "dspy_")):
        return "not be reserved or start with _"
    return None


def _refused(name: object, kind: str, fault: str, column: str) -> SetupError:
    article = "An" if kind == "input" else "A"
    return SetupError(
        f"{article} {kind} name must {fault}, got {reprlib.repr(name)}. Call it "
        f"{_proposed(name, kind)!r} and name its column: {column}."
    )


def _short(column: str) -> str:
    return repr(column) if len(column) <= _LONGEST_NAME else reprlib.repr(column)


def _proposed(name: object, kind: str) -> str:
    """Make a usable name of another one."""
    text = str(name) if len(str(name)) <= _LONGEST_NAME else str(name)[:20]
    bare = text.lstrip("_").removeprefix("dspy_")
    other = bare if bare.isidentifier() else identifier_of(text) or "1"
    other = other if other.isidentifier() else f"{kind}_{other}"
    return f"{other}_" if _name_fault(other, kind) else other


def _listed(name: str, field: str, values: Iterable[str]) -> Group:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise SetupError(f"`{field}` of criterion {name!r} must be a list, got {values!r:.40}.")
    return tuple(values)


def _raters(name: str, raters: Iterable[str]) -> Group:
    columns = tuple(_column(name, "raters", it) for it in _listed(name, "raters", raters))
    if len(set(columns)) < len(columns):
        raise SetupError(f"`raters` of criterion {name!r} must name a column once, got {columns}.")
    return columns


def _column(name: str, field: str, column: object) -> str:
    if not isinstance(column, str) or not column.strip():
        raise SetupError(f"`{field}` of criterion {name!r} must name a column, got {column!r}.")
    column = column.strip()  # as the columns' names are
    if len(column) > _LONGEST_COLUMN:
        raise SetupError(
            f"`{field}` of criterion {name!r} must have at most {_LONGEST_COLUMN} characters, "
            f"got {len(column)}."
        )
    if column in ("group", SINGLE_RATINGS):
        raise SetupError(f"`{field}` of criterion {name!r} must not be {column!r}: it is reserved.")
    return column


def _measure(name: str, measure: Measure) -> Measure:
    if measure not in get_args(Measure):
        ways = ", ".join(get_args(Measure))
        raise SetupError(f"`measure` of criterion {name!r} must be one of {ways}, got {measure!r}.")
    return measure


def _scale(name: str, scale: object, names: Group) -> Scale:
    if scale is None:
        scale = (0, 1) if len(names) == 2 else (1, len(names) or 5)
    if isinstance(scale, Scale):
        return scale
    if not isinstance(scale, (tuple, list)) or len(scale) != 2:
        raise SetupError(f"`scale` of criterion {name!r} must be (low, high), got {scale!r}.")
    try:
        return Scale(*scale)
    except SetupError as error:
        raise SetupError(f"Criterion {name!r}: {error}") from error


def names_of(levels: object, names: Group = ()) -> tuple[Group, Any]:
    """Return the levels' names, and their meanings by score; None if those are by name.

    >>> names_of(["fail", "pass"])
    (('fail', 'pass'), ())
    """
    items = tuple(levels) if isinstance(levels, Mapping | list | tuple) else ()
    is_named = all(isinstance(item, str) for item in items) and any(
        it[:1].isalpha() for it in items
    )
    if names or not is_named:
        return names, levels
    return items, None if isinstance(levels, Mapping) else ()


def _names_fault(names: Group, *, na: bool) -> str | None:
    """Return why levels cannot have these names, as a clause after "must"."""
    if wrong := [name for name in names if not isinstance(name, str) or not _IS_NAME(name)]:
        return f"have names that begin with a letter, got {wrong[0]!r}"
    if len({name.casefold() for name in names}) < len(names):
        return f"have different names, got {', '.join(names)}"
    if same := [name for name in names if na and says_not_applicable(name)]:
        return f"not mean that it does not apply, as na = true says that, got {same[0]!r}"
    return f"have two names or more, got {names[0]!r}" if len(names) == 1 else None


def _levels(
    name: str, scale: Scale, levels: Mapping[int, str] | Iterable[tuple[int, str]] | None
) -> tuple[tuple[int, str], ...]:
    pairs = dict(levels or {})
    for score, text in pairs.items():
        if type(score) is not int or score not in scale.values:
            raise SetupError(
                f"`levels` of criterion {name!r} must lie on its scale {scale}, got {score!r}."
            )
        if not isinstance(text, str) or not text.strip():
            raise SetupError(f"Level {score} of criterion {name!r} must be a text, got {text!r}.")
        check_length(text, f"Level {score} of criterion {name!r}")
    return tuple(sorted((score, text.strip()) for score, text in pairs.items()))
