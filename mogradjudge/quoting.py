"""Texts from outside, made inert: they can open no field and no section of a prompt."""

from __future__ import annotations

import re
from collections.abc import Iterable

DEEPEST = 50
"""Levels of a nested value that are shown or kept; `CUT` stands for what is deeper."""
CUT = "[...]"

# What a reader does not see: format, filler and control characters. A marker that holds some is one
# again wherever they are dropped. NUL is not among them: it is replaced.
_INVISIBLE = (
    r"\x01-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2"
    r"\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Where str.splitlines sees the end of a line, and the blanks within one.
_ENDS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_BLANKS = r" \t\x1f\xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
# With their look-alikes of other widths, which some readers take for the same.
_BRACKET, _HASH, _LESS, _COLON = (
    r"[\[\uff3b\ufe47]",
    r"#\uff03\ufe5f",
    r"[<\uff1c\ufe64]",
    r"[:\uff1a]",
)
# Every run is read once (`*+`): a text of blanks or brackets alone must not take quadratic time.
_SKIP, _SPACE = rf"[{_INVISIBLE}]*+", rf"[\s{_INVISIBLE}]*+"


def _word(word: str) -> str:
    return _SKIP.join(map(re.escape, word))


_MARKER = re.compile(rf"({_BRACKET})(?={_SKIP}{_BRACKET}{_SPACE}[{_HASH}]{_SKIP}[{_HASH}])")
_CUSTOM_TYPE = re.compile(rf"({_LESS})(?={_SKIP}{_LESS}{_SKIP}{_word('CUSTOM-TYPE-')})")
_HEADING = re.compile(
    rf"((?:^|[{_ENDS}])[{_BLANKS}{_INVISIBLE}]*+)"
    rf"(?=[{_HASH}][{_HASH}{_INVISIBLE}]*+{_SPACE}{_word('Criterion')}{_SPACE}{_COLON})",
    re.IGNORECASE,
)


def quote(text: str, fields: Iterable[str] = ()) -> str:
    """Make a text from outside inert: it can open neither a field nor a section.

    A backslash goes into DSPy's field markers, its custom-type markers, our headings and the XML
    tags of ``fields``, whatever invisible characters they hold. NUL, at which some programs end a
    text, becomes U+FFFD. All else stays, so that the judge reads the text as it is.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")  # DSPy refuses lone surrogates
    text = text.replace("\0", "\ufffd")
    for pattern in (_MARKER, _CUSTOM_TYPE, _HEADING):
        text = pattern.sub(r"\1\\", text)
    if names := "|".join(_word(name) for name in fields):
        end = rf"(?:(?=[{_INVISIBLE}])|\b)"
        text = re.sub(rf"({_LESS})(?={_SPACE}(?:/{_SPACE})?(?:{names}){end})", r"\1\\", text)
    return text
