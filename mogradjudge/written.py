"""Finds what a reply holds for a field, and the one score that it means, in any usual spelling."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

import dspy

from mogradjudge.criteria import Scale

_MARKER = re.compile(r"[\s*_#>`-]*\[\[\s*##\s*(\w+)\s*##\s*\]\][*_`]*")
_PART_OF_MARKER = re.compile(r"\n\s*\[(?:\[[\s#\w]*\]?)?$")
_BROKEN = re.compile(r"[^,}\]\n]*")
_WHITE = re.compile(r"\s*")
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_MINUS = "\u2212\ufe63\uff0d"
_CLOSING = r"[*_`\"')\]}$\\]*"
_DECORATION = r"[\s*_`\"'()\[\]{}$\\#:=]"
_LABELS = "|".join(
    [
        *("the", "my", "final", "overall", "total", "score", "rating", "rate", "grade", "mark"),
        *("answer", "value", "result", "verdict", "level", "is", "of", "literal", "boxed", "text"),
    ]
)
_INTRODUCTION = re.compile(rf"(?:{_DECORATION}|\b(?:{_LABELS})(?![^\W_]))*", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![^\W_])[-+]?\d+(?:[.,]\d+)*")
_WHOLE = re.compile(rf"{_CLOSING}\s*(?:/|out\s+of|of)\s*[*_`]*(\d+)(?:[.,]0+)?(?![.,]?\d)", re.I)
_UNIT = re.compile(rf"{_CLOSING}\s*(?:stars?|points?)\b", re.IGNORECASE)
_AFTER = re.compile(
    rf"{_CLOSING}(?:\s*$|\s*[\r\n]|\s+[-\u2013]+\s|\s*[\u2014(;:,!]"
    rf"|\.{_CLOSING}\s*(?:$|[\r\n])|\s+(?:because|since|as|for)\b)"
)
# "4, or 3", "4 and a half", "4. Wait, less": a second thought is no clear score.
_DOUBT = re.compile(
    r"\b(?:or|half|halfway|between|wait|actually|instead|"
    r"zero|two|three|four|five|six|seven|eight|nine|ten)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Value:
    """What a reply holds for a field, and where; ``ended`` tells that its end was written too."""

    text: str
    start: int
    end: int
    ended: bool = True


@dataclass(frozen=True)
class WrittenScore:
    """A score and the place of its digits in the text that it was read from."""

    score: int
    start: int


def values_of(
    reply: str, field: str, fields: tuple[str, ...], adapter: dspy.Adapter
) -> list[Value]:
    """Find every value that a reply gives to a field, in the format of an adapter or in JSON.

    Args:
        reply: A reply without its thoughts.
        field: The name of the field.
        fields: The names of all output fields.
        adapter: One of DSPy's own adapters for chat, JSON or XML.
    """
    if isinstance(adapter, dspy.JSONAdapter):
        return _in_json(reply, field)
    if isinstance(adapter, dspy.XMLAdapter):
        elements = list(_elements(reply, fields))
        values = [value for name, value in elements if name == field]
    else:
        elements = list(_sections(reply))
        values = _of_name(elements, field)
    known = {name.lower() for name in fields}
    return values if any(name.lower() in known for name, _ in elements) else _in_json(reply, field)


def gives_twice(text: str) -> bool:
    """Say whether an object in a JSON text gives a key two values that differ."""
    twice = False

    def look(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal twice
        read: dict[str, object] = {}
        for key, value in pairs:
            twice |= read.setdefault(key, value) != value
        return read

    try:
        json.loads(text, object_pairs_hook=look, strict=False)
    except (ValueError, RecursionError):
        return False
    return twice


def read_score(text: str, scale: Scale, field: str) -> WrittenScore | None:
    """Read the one score of a scale that a value means; None if it means none, or may mean two.

    ``**4**``, ``Score: 4``, ``4/5`` and ``4 - good`` are 4 on a scale from 1 to 5; ``3-4``, ``4.5``
    and ``4/10`` are nothing.
    """
    plain = _without_name(plain_text(text), field)
    number = _NUMBER.search(plain)
    if number is None or any(unicodedata.category(char) in ("No", "Nl") for char in plain):
        return None
    score = _integer(number.group(), scale)
    if score is None or score not in scale.values:
        return None
    if not _INTRODUCTION.fullmatch(plain, 0, number.start()):
        return None
    end = _end_of_score(plain, number.end(), scale)
    if not _AFTER.match(plain, end) or _says_otherwise(plain[end:], score, scale):
        return None
    return WrittenScore(score, number.start())


def plain_text(text: str) -> str:
    """Give a text with plain digits, signs and blanks in the same places."""
    return "".join(map(_plain, text))


def _plain(char: str) -> str:
    if char.isascii():
        return char
    if char.isdecimal():
        return str(unicodedata.decimal(char))
    if char in _MINUS:
        return "-"
    if unicodedata.category(char) in ("Pi", "Pf"):
        return '"'
    if char in _INVISIBLE or (char.isspace() and char not in "\x85\u2028\u2029"):
        return " "
    folded = unicodedata.normalize("NFKC", char)
    return char if len(folded) != 1 or char.isnumeric() else folded


def _without_name(text: str, field: str) -> str:
    """Blank a field's name out; it may hold a number."""
    name = re.escape(field).replace("_", "[_ ]")
    return re.sub(rf"(?<!\w){name}(?!\w)", lambda at: " " * len(at[0]), text, flags=re.IGNORECASE)


def _integer(number: str, scale: Scale) -> int | None:
    """Give the integer that a number is; 4.0 is one, and 1,000 is none where it may be 1000."""
    match = re.fullmatch(r"([-+]?\d{1,9})(?:[.,](0+))?", number)
    if match is None or (len(match[2] or "") == 3 and scale.high >= 1000):
        return None
    return int(match[1])


def _end_of_score(text: str, place: int, scale: Scale) -> int:
    """Pass over ``/5``, ``out of 5`` and ``stars``, where 5 is the scale's top."""
    for known in (_WHOLE, _UNIT):
        match = known.match(text, place)
        if match is not None and (known is _UNIT or int(match[1]) == scale.high):
            place = match.end()
    return place


def _says_otherwise(rest: str, score: int, scale: Scale) -> bool:
    """Say whether another number, or a doubt, follows a score."""
    rest = _WHOLE.sub(lambda whole: "" if int(whole[1]) == scale.high else whole[0], rest)
    numbers = (number.group() for number in _NUMBER.finditer(rest))
    return _DOUBT.search(rest) is not None or any(_integer(n, scale) != score for n in numbers)


def _sections(reply: str) -> Iterator[tuple[str, Value]]:
    """Cut a reply at the lines that begin with a field's marker, as DSPy's ChatAdapter does."""
    name, start, place = "", 0, 0
    for line in reply.splitlines(keepends=True):
        if (marker := _MARKER.match(line)) is not None:
            if name:
                yield name, Value(reply[start:place], start, place)
            name, start = marker[1], place + marker.end()
        place += len(line)
    if name:
        end = _PART_OF_MARKER.search(reply, start)
        yield name, Value(reply[start : end.start() if end else place], start, place, bool(end))


def _of_name(elements: list[tuple[str, Value]], field: str) -> list[Value]:
    """Give the values of a field; a marker in other letters counts where none is exact."""
    exact = [value for name, value in elements if name == field]
    return exact or [value for name, value in elements if name.lower() == field.lower()]


def _elements(reply: str, fields: tuple[str, ...]) -> Iterator[tuple[str, Value]]:
    """Find the elements of an XML reply that stand in no other one, or all if it is broken."""
    names = "|".join(map(re.escape, fields))
    for pattern in [names] if _is_xml(reply) else map(re.escape, fields):
        for element in re.finditer(rf"<({pattern})(?:\s[^<>]*)?>(.*?)</\1\s*>", reply, re.DOTALL):
            yield element[1], Value(html.unescape(element[2]), element.start(2), element.end(2))


def _is_xml(reply: str) -> bool:
    try:
        ElementTree.fromstring(f"<reply>{reply}</reply>")
    except ElementTree.ParseError:
        return False
    return True


def _in_json(reply: str, field: str) -> list[Value]:
    values, place = [], reply.find("{")
    try:
        while place >= 0:
            end = place + 1
            for key, value in _members(reply, place + 1):
                end = value.end
                if key == field:
                    values.append(value)
            place = reply.find("{", end)
    except RecursionError:  # a nesting that no decoder can follow
        return []
    return values


def _members(text: str, place: int) -> Iterator[tuple[str, Value]]:
    """Walk the members of a JSON object as far as they can be read, and a broken one after them."""
    decoder = json.JSONDecoder(strict=False)  # small models break lines inside texts
    while True:
        try:
            key, colon = decoder.raw_decode(text, _skip(text, place))
        except ValueError:
            return
        start = _skip(text, _skip(text, colon) + 1)
        if not isinstance(key, str) or text[colon:start].strip() != ":":
            return
        value, end = _member_value(decoder, text, start)
        place = _skip(text, end)
        if isinstance(value, str):
            yield key, Value(value, start + 1, end)
        else:
            yield key, Value(text[start:end], start, end, place < len(text))
        if text[place : place + 1] != ",":
            return
        place += 1


def _member_value(decoder: json.JSONDecoder, text: str, start: int) -> tuple[object, int]:
    """Decode a value; one that is broken is what stands there, up to the next comma or brace."""
    try:
        return decoder.raw_decode(text, start)
    except ValueError:
        broken = _BROKEN.match(text, start)
        return None, broken.end() if broken else start


def _skip(text: str, place: int) -> int:
    white = _WHITE.match(text, place)
    return white.end() if white else place
