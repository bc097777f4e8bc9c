"""Finds the values of a field in a reply, and reads a score in any usual spelling."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from xml.etree import ElementTree

import dspy

from mogradjudge.criteria import Scale

_MARKER = re.compile(
    r"(?P<line>^[ \t*_#>`-]*)?\[{1,2}\s*#{1,3}\s*(?P<name>\w+)\s*#{1,3}\s*\]{1,2}[*_`]*",
    re.MULTILINE,
)
_LINE_ENDS = re.compile(r"[ \t]*[\r\n]")
_NUMBER_FOLLOWS = re.compile(r"[\W_]*(?:score|rating)?[\W_]*\d", re.IGNORECASE)
_VALUE_FOLLOWS = re.compile(r"[ \t]*(?:[\r\n]|$|\[\[)|[\W_]*\d")
_LAST_MARKER = "completed"  # with which DSPy has a reply in chat end
_BEGUN_MARKER = re.compile(r"\[\[\s*##\s*(\w*)[\s#]*\]?$")
_BEGUN_NAME = re.compile(r"(?:\[\[\s*##\s*|<|[{,]\s*[\"'])(\w+)[\s#\]]*$")
_MARK = re.compile(r"[\n,}<]|\[\[")
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
INTRODUCTION = re.compile(rf"(?:{_DECORATION}|\b(?:{_LABELS})(?![^\W_]))*", re.IGNORECASE)
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
    r"minus|deduct\w*|subtract\w*|correct(?:ion|ed)|revis(?:ed|ion)|lower|higher|"
    r"zero|(?:is|be|to|say) one|two|three|four|five|six|seven|eight|nine|ten)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Value:
    """A field's value in a reply, and its place; ``ended`` is False if it may be cut off."""

    text: str
    start: int
    end: int
    ended: bool = True
    begin: int = 0  # of the name ahead of it


@dataclass(frozen=True)
class WrittenScore:
    """A score and the place of its digits in the text that it was read from."""

    score: int
    start: int


def values_of(
    reply: str, field: str, fields: tuple[str, ...], adapter: dspy.Adapter
) -> list[Value]:
    """Find every value that a reply gives to a field, in an adapter's format or in JSON.

    If there is one, values in other spellings (a marker, a tag, a key) count too, except inside
    other values.

    Args:
        reply: A reply without its thoughts.
        field: The name of the field.
        fields: The names of all output fields.
        adapter: One of DSPy's own adapters for chat, JSON or XML.

    Example:
        >>> (value,) = values_of('{"clarity": 4}', "clarity", ("clarity",), dspy.JSONAdapter())
        >>> value.text
        '4'
    """
    elements = _elements_of(reply, fields, adapter)
    values = [value for name, value in elements if _means(name, field, fields)]
    if not values:
        return []
    spans = [(value.begin, value.end) for _, value in elements]
    return sorted([*values, *_others(reply, field, fields, spans)], key=lambda value: value.start)


def runs_on(reply: str, fields: tuple[str, ...], adapter: dspy.Adapter) -> bool:
    """Say whether a cut reply went on after all its fields; they were a draft then."""
    elements = _elements_of(reply, fields, adapter)
    if not all(any(_means(name, field, fields) for name, _ in elements) for field in fields):
        return False
    rest = reply[max(value.end for _, value in elements) :]
    rest = _MARKER.sub(lambda marker: "" if _is_last(marker["name"]) else marker[0], rest)
    rest = _BEGUN_MARKER.sub(lambda begun: "" if _may_be_last(begun[1]) else begun[0], rest)
    return re.search(r"\w", rest) is not None


def gives_twice(text: str) -> bool:
    """Say whether an object in a JSON text holds a key with two different values."""
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
    """Read the one score of a scale that a value means; None if there is none or two.

    ``**4**``, ``Score: 4``, ``4/5`` and ``4 - good`` are 4 on a scale from 1 to 5; ``3-4``, ``4.5``
    and ``4/10`` are nothing.

    Example:
        >>> read_score("**Score: 4/5**", Scale(1, 5), "clarity").score
        4
        >>> read_score("3-4", Scale(1, 5), "clarity") is None
        True
    """
    plain = _without_scale(without_name(plain_text(text), field), scale)
    number = _NUMBER.search(plain)
    if number is None or any(unicodedata.category(char) in ("No", "Nl") for char in plain):
        return None
    score = _integer(number.group(), scale)
    if score is None or score not in scale.values:
        return None
    if not INTRODUCTION.fullmatch(plain, 0, number.start()):
        return None
    rest = plain[_end_of_score(plain, number.end(), scale) :]
    if not _may_follow(rest, score) or _says_otherwise(rest, score, scale):
        return None
    return WrittenScore(score, number.start())


def _may_follow(rest: str, score: int) -> bool:
    """Say whether a text is what follows a score: its end, a reason or a new sentence."""
    begins_sentence = score != 1 and re.match(r"\.\s+[A-Z]", rest)  # "1. " begins a list
    return bool(_AFTER.match(rest) or begins_sentence)


def plain_text(text: str) -> str:
    """Replace a text's digits, signs and blanks by plain ones in the same places.

    Example:
        >>> plain_text("\uff14")
        '4'
    """
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


def without_name(text: str, field: str) -> str:
    """Blank a field's name out; it may hold a number."""
    name = re.escape(field).replace("_", "[_ ]")
    return re.sub(rf"(?<!\w){name}(?!\w)", lambda at: " " * len(at[0]), text, flags=re.IGNORECASE)


def _without_scale(text: str, scale: Scale) -> str:
    """Blank out ``(1-5)``, and a list's dash where no score is below 1."""
    ends = rf"\(\s*{scale.low}\s*(?:-|\u2013|to)\s*{scale.high}\s*\)"
    bullet = r"|^\s*-\s+" if scale.low > 0 else ""
    return re.sub(ends + bullet, lambda at: " " * len(at[0]), text)


def _integer(number: str, scale: Scale) -> int | None:
    """Return a number as an integer (4.0 is one); None for 1,000 where it may be 1000."""
    match = re.fullmatch(r"([-+]?\d{1,9})(?:[.,](0+))?", number)
    if match is None or (len(match[2] or "") == 3 and scale.high >= 1000):
        return None
    return int(match[1])


def _end_of_score(text: str, place: int, scale: Scale) -> int:
    """Skip ``/5``, ``out of 5`` and ``stars``, where 5 is the scale's top."""
    for known in (_WHOLE, _UNIT, _WHOLE):
        match = known.match(text, place)
        if match is not None and (known is _UNIT or int(match[1]) == scale.high):
            place = match.end()
    return place


def _says_otherwise(rest: str, score: int, scale: Scale) -> bool:
    """Say whether another number or a doubt follows a score."""
    rest = _WHOLE.sub(lambda whole: "" if int(whole[1]) == scale.high else whole[0], rest)
    numbers = (number.group() for number in _NUMBER.finditer(rest))
    other_sign = "negative" if score > 0 else "positive"
    if _DOUBT.search(rest) or (scale.low < 0 and other_sign in rest.lower()):
        return True
    return any(_integer(number, scale) != score for number in numbers)


def _elements_of(
    reply: str, fields: tuple[str, ...], adapter: dspy.Adapter
) -> list[tuple[str, Value]]:
    """Find a reply's named values, in an adapter's format or in JSON."""
    if not isinstance(adapter, dspy.JSONAdapter):
        is_xml = isinstance(adapter, dspy.XMLAdapter)
        elements = list(_elements(reply, fields) if is_xml else _sections(reply))
        known = {name.lower() for name in fields}
        if any(name.lower() in known for name, _ in elements):
            return elements
    return _in_json(reply)


def _means(name: str, field: str, fields: tuple[str, ...]) -> bool:
    """Say whether a name is a field's, in small or capital letters."""
    return name == field or (name.lower() == field.lower() and name not in fields)


def _others(
    reply: str, field: str, fields: tuple[str, ...], spans: list[tuple[int, int]]
) -> Iterator[Value]:
    """Find the values of a field outside all elements, in the spelling of any format."""
    name = rf"(?P<name>{re.escape(field)})"
    patterns = (
        rf"\[{{1,2}}\s*#{{1,3}}\s*{name}\s*#{{1,3}}\s*\]{{1,2}}",
        rf"<{name}(?:\s[^<>]*)?>",
        rf"[{{,]\s*[\"'`]?{name}[\"'`]?\s*:",
        rf"^[ \t]*#+[ \t]*{name}[ \t]*:?$",
        rf"\b{name}[\"'*_`]*\s*[:=](?=[^\w\n]*\d[^a-z\n]*$)",  # a line "clarity: 4"
    )
    for pattern in patterns:
        for match in re.finditer(pattern, reply, re.IGNORECASE | re.MULTILINE):
            inside = any(begin <= match.end() - 1 < end for begin, end in spans)
            if not inside and _means(match["name"], field, fields):
                yield _up_to_a_mark(reply, match.end())
    begun = _BEGUN_NAME.search(reply)
    if begun is not None and field.startswith(begun[1]) and not _may_be_last(begun[1]):
        yield Value("", len(reply), len(reply), ended=False)


def _up_to_a_mark(reply: str, place: int) -> Value:
    start = _skip(reply, place)
    end = _MARK.search(reply, start)
    if end is None:
        return Value(reply[start:], start, len(reply), ended=False)
    return Value(reply[start : end.start()], start, end.start())


def _is_last(name: str) -> bool:
    return name.lower() == _LAST_MARKER


def _may_be_last(begun_name: str) -> bool:
    return _LAST_MARKER.startswith(begun_name.lower())


def _sections(reply: str) -> Iterator[tuple[str, Value]]:
    """Cut a reply at its fields' markers; DSPy's ChatAdapter sees those that begin a line."""
    markers = list(_markers(reply))
    for marker, follower in zip_longest(markers, markers[1:]):
        start = marker.end()
        next_one = follower or _BEGUN_MARKER.search(reply, start)
        end = len(reply) if next_one is None else next_one.start()
        value = Value(reply[start:end], start, end, next_one is not None, marker.start())
        if not _is_last(marker["name"]):
            yield marker["name"], value


def _markers(reply: str) -> Iterator[re.Match[str]]:
    """Find the markers that begin a value; in the middle of a text's sentence one is prose."""
    last, over = None, False
    for marker in _MARKER.finditer(reply):
        is_last = _is_last(marker["name"])
        if over or is_last or marker["line"] is not None or _follows(reply, last, marker):
            yield marker
            last, over = marker, over or is_last


def _follows(reply: str, last: re.Match[str] | None, marker: re.Match[str]) -> bool:
    """Say whether a marker in the middle of a line gives a value, after a score or once more."""
    again = last is not None and last["name"] == marker["name"]
    if again and _LINE_ENDS.match(reply, marker.end()):
        return True
    after_a_score = last is None or bool(_NUMBER_FOLLOWS.match(reply, last.end()))
    return after_a_score and bool(_VALUE_FOLLOWS.match(reply, marker.end()))


def _elements(reply: str, fields: tuple[str, ...]) -> Iterator[tuple[str, Value]]:
    """Find the outermost elements of an XML reply, or all if it is broken."""
    names = "|".join(map(re.escape, fields))
    for pattern in [names] if _is_xml(reply) else map(re.escape, fields):
        for element in re.finditer(
            rf"<({pattern})(?:\s[^<>]*)?>(.*?)</\1\s*>", reply, re.DOTALL | re.IGNORECASE
        ):
            text, begin = html.unescape(element[2]), element.start()
            yield element[1], Value(text, element.start(2), element.end(), begin=begin)


def _is_xml(reply: str) -> bool:
    try:
        ElementTree.fromstring(f"<reply>{reply}</reply>")
    except ElementTree.ParseError:
        return False
    return True


def _in_json(reply: str) -> list[tuple[str, Value]]:
    members: list[tuple[str, Value]] = []
    place = reply.find("{")
    try:
        while place >= 0:
            end = place + 1
            for key, value in _members(reply, place + 1):
                end = value.end
                members.append((key, value))
            place = reply.find("{", end)
    except RecursionError:  # a nesting that no decoder can follow
        return []
    return members


def _members(text: str, place: int) -> Iterator[tuple[str, Value]]:
    """Yield the members of a JSON object, up to and with the first broken one."""
    decoder = json.JSONDecoder(strict=False)  # small models break lines inside texts
    while True:
        try:
            begin = _skip(text, place)
            key, colon = decoder.raw_decode(text, begin)
        except ValueError:
            return
        start = _skip(text, _skip(text, colon) + 1)
        if not isinstance(key, str) or text[colon:start].strip() != ":":
            return
        value, end = _member_value(decoder, text, start)
        place = _skip(text, end)
        if isinstance(value, str):
            yield key, Value(value, start + 1, end, begin=begin)
        else:
            yield key, Value(text[start:end], start, end, place < len(text), begin)
        if text[place : place + 1] != ",":
            return
        place += 1


def _member_value(decoder: json.JSONDecoder, text: str, start: int) -> tuple[object, int]:
    """Decode a value; a broken one ends at the next comma or brace."""
    try:
        return decoder.raw_decode(text, start)
    except ValueError:
        broken = _BROKEN.match(text, start)
        return None, broken.end() if broken else start


def _skip(text: str, place: int) -> int:
    white = _WHITE.match(text, place)
    return white.end() if white else place
