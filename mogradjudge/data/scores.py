"""How a column of human scores is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time

from mogradjudge.criteria import Criterion, Scale
from mogradjudge.criteria.applicability import NOT_APPLICABLE, says_not_applicable
from mogradjudge.criteria.toml import UNKNOWN
from mogradjudge.data.batches import bare, is_nan
from mogradjudge.data.faults import Fault
from mogradjudge.data.ratings import source_of
from mogradjudge.data.tables import Table

# How a missing score is written, in lower case.
NO_SCORE = frozenset(
    {
        "",
        "#n/a",
        "-",
        "?",
        "missing",
        "n.a.",
        "n/a",
        "na",
        "nan",
        "none",
        "null",
        "\u2013",
        "\u2014",
    }
)
_TRUTHS = {"false": 0.0, "true": 1.0}
# "4 - good" and "4 (good)", but not "4/5", "3-4", "4-good" or "4 (of 5)".
_LABELLED = re.compile(r"([+-]?\d+)(?:\s+[-\u2013\u2014]\s+|\s*[:=)(]\s*|\.\s+)([^\W\d_]\D*)")
# The words of a label that says that there is no score.
_NO_SCORE_LABELS = frozenset(
    {"don t know", "k a", "keine angabe", "missing", "n a", "na", "nan", "nicht bewertet"}
    | {"no answer", "no rating", "no score", "none", "not applicable", "not available"}
    | {"not rated", "not scored", "null", "unrated"}
)
# Spreadsheets make "4-May" of "4-5"; in English, German, French and Spanish.
_MONTHS = (
    r"jan|january|jänner|januar|janv|janvier|ene|enero|feb|february|februar|fév|févr|février"
    r"|febrero|mar|march|mär|märz|mrz|mars|marzo|apr|april|avr|avril|abr|abril|may|mai|mayo|jun"
    r"|june|juni|juin|junio|jul|july|juli|juil|juillet|julio|aug|august|août|ago|agosto|sep|sept"
    r"|september|septembre|septiembre|oct|october|okt|oktober|octobre|octubre|nov|november"
    r"|novembre|noviembre|dec|december|dez|dezember|déc|décembre|dic|diciembre"
)
_DATE = re.compile(rf"\d+[\W_]*(?:{_MONTHS})\W*", re.IGNORECASE)
# A day, as in 2.10.2026, 10/2/26 or 2026-10-02, and a time of day.
_DAY = r"\d{4}([./-])\d{1,2}\1\d{1,2}|\d{1,2}([./-])\d{1,2}\2(?:\d{4}|\d{2})"
_NAMED_DAY = rf"\d{{1,2}}\.?[\s-](?:{_MONTHS})\.?[\s-]\d{{4}}|(?:{_MONTHS})\.? \d{{1,2}},? \d{{4}}"
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[ap]m)?(?: ?(?:z|utc|[+-]\d{2}:?\d{2}))?"
_DAY_OR_TIME = re.compile(rf"(?:{_DAY}|{_NAMED_DAY})(?:(?:t|,? ){_TIME})?|{_TIME}", re.IGNORECASE)
_OTHER_FORMS = {
    "dates": _DAY_OR_TIME,
    "percentages: write numbers without %, and give the scale": re.compile(r"\d+(?:[.,]\d+)?\s*%"),
    "points of a whole, as 3/5: write only the points": re.compile(
        r"\d+(?:[.,]\d+)?\s*(?:/|of|von|out of)\s*\d+"
    ),
    "stars: write their number": re.compile("[\u2605\u2606\u2b50\u2730\ufe0f*]+"),
}
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_SHOWN = 3  # different cells in a note
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True)
class Scores:
    """A column of human scores: None where there is none, or where the cell has a fault.

    Args:
        values: The scores, or ``"n/a"`` where a criterion with ``na`` does not apply.
        faults: What is wrong with cells.
        notes: How cells that are no plain numbers were read.
    """

    values: list[float | str | None]
    faults: list[Fault]
    notes: list[str]


class _NotAScoreError(ValueError):
    """The cell is no score; the text says what to do."""


def read_scores(table: Table, criterion: Criterion) -> Scores:
    """Read a criterion's column of human scores.

    Example:
        >>> table = Table("a.csv", ("human_tone",), [{"human_tone": "4 - good"}])
        >>> read_scores(table, Criterion("tone", "Is it polite?")).values
        [4.0]
    """
    scale = criterion.scale
    where = "" if scale is UNKNOWN else f" on the scale {scale}"
    scores = Scores([], [], [])
    unusual: dict[tuple[str, re.Pattern[str]], list[tuple[str, float]]] = {}
    sources = table.column(source_of(criterion.human))
    for place, cell in enumerate(table.column(criterion.human)):
        score, name = None, str(sources[place] or criterion.human)
        if criterion.na and says_not_applicable(cell):
            scores.values.append(NOT_APPLICABLE)
            continue
        try:
            score, form = _read(cell, criterion, table.separator)
        except (TypeError, ValueError, OverflowError) as error:
            words = f", or {' or '.join(criterion.names)}" if criterion.names else ""
            advice = f"Write a number{where}{words}."
            if says_not_applicable(cell):
                advice = "If the criterion does not apply there, set `na = true` in the rubric."
            advice = str(error) if isinstance(error, _NotAScoreError) else advice
            rule = f"{name!r} must hold numbers or nothing, got"
            scores.faults.append(table.fault(place, rule, cell, advice))
        else:
            if form is not None and score is not None:
                unusual.setdefault((name, form), []).append((str(cell), score))
            if score is not None and where and not scale.covers(score):
                rule = f"{name!r} must lie on the scale {scale}, got"
                scores.faults.append(table.fault(place, rule, cell))
        scores.values.append(score)
    scores.notes.extend(_note(name, cells) for (name, _), cells in unusual.items())
    return scores


def labelled(cell: object) -> tuple[int, str] | None:
    """Return the score and the level's name of a cell that holds both; None for others.

    Example:
        >>> labelled("4 - good"), labelled("4 (good)"), labelled("4/5")
        ((4, 'good'), (4, 'good'), None)
    """
    match = _LABELLED.fullmatch(bare(cell)) if isinstance(cell, str) else None
    if match is None or _says_no_score(match[2]):
        return None
    return int(match[1]), match[2].rstrip(") ")


def other_form(cell: object) -> str | None:
    """Name what a cell holds that is neither a text nor a score as it must be written.

    Example:
        >>> other_form("2026-10-02 08:30"), other_form("02.10.2026"), other_form("4-5")
        ('dates', 'dates', None)
        >>> other_form("60 %")
        'percentages: write numbers without %, and give the scale'
    """
    if isinstance(cell, date | time):
        return "dates"
    text = bare(cell) if isinstance(cell, str) else ""
    return next((form for form, cells in _OTHER_FORMS.items() if cells.fullmatch(text)), None)


def _says_no_score(label: str) -> bool:
    return " ".join(re.findall(r"\w+", label.lower())) in _NO_SCORE_LABELS


def _read(
    cell: object, criterion: Criterion, separator: str | None
) -> tuple[float | None, re.Pattern[str] | None]:
    """Return a cell's score, and the form in which it was written if it is no plain number."""
    if is_nan(cell):
        return None, None
    if not isinstance(cell, str | bool):
        return float(cell), None  # type: ignore[arg-type]  # a TypeError is the answer for others
    text = bare(cell)
    named = _level(text, criterion)
    return (named, None) if named is not None else _from_text(text, criterion, separator)


def _from_text(
    text: str, criterion: Criterion, separator: str | None
) -> tuple[float | None, re.Pattern[str] | None]:
    scale = criterion.scale
    if text.lower() in NO_SCORE:
        return None, None
    if text.lower() in _TRUTHS:
        return _truth(text.lower(), scale), None
    if _DATE.fullmatch(text):
        raise _NotAScoreError(f"It looks like a date: write a number on the scale {scale}.")
    if labelled := _LABELLED.fullmatch(text):
        return _without_label(labelled[1], labelled[2], criterion), _LABELLED
    if _DECIMAL_COMMA.fullmatch(text):
        return _with_point(text, scale, separator), _DECIMAL_COMMA
    return float(text), None


def _truth(word: str, scale: Scale) -> float:
    if (scale.low, scale.high) != (0, 1):
        raise _NotAScoreError("true and false are scores only on the scale 0 to 1.")
    return _TRUTHS[word]


def _level(text: object, criterion: Criterion) -> float | None:
    """Return the score of a level's name."""
    names = [name.casefold() for name in criterion.names]
    name = " ".join(str(text).split()).casefold()
    return float(criterion.scale.low + names.index(name)) if name in names else None


def _without_label(number: str, label: str, criterion: Criterion) -> float:
    if (named := _level(label.rstrip(") "), criterion)) not in (None, float(number)):
        raise _NotAScoreError(f"The level of this name has the score {named:g}: write one of both.")
    if _says_no_score(label):
        raise _NotAScoreError(
            "The label says that there is no score: empty the cell, or write only the number."
        )
    return float(number)


def _with_point(text: str, scale: Scale, separator: str | None) -> float:
    if _THOUSANDS.fullmatch(text) and scale.covers(float(text.replace(",", ""))):
        raise _NotAScoreError(
            "The comma may stand before decimals or between thousands: write a point or nothing."
        )
    if separator == ",":
        raise _NotAScoreError(
            "A decimal comma is read only where it does not separate fields: write a point."
        )
    return float(text.replace(",", "."))


def _note(name: str, cells: Sequence[tuple[str, float]]) -> str:
    many = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
    different = list(dict.fromkeys(cells))
    shown = ", ".join(f"{cell!r} as {score:g}" for cell, score in different[:_SHOWN])
    return f"{many} of {name!r} {'is' if len(cells) == 1 else 'are'} read so: {shown}"
