"""Shows a program's values to people and models: images by their names, long texts cut."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from typing import Any

import dspy
import numpy as np
import pydantic

from mogradjudge.lm.images import NamedImage
from mogradjudge.lm.quoting import CUT, DEEPEST

LONGEST_EVIDENCE = 40_000
"""The most characters that a prompt quotes of an example's inputs, critiques or advice."""
LONGEST_RESULTS = 20_000
"""The most characters that a prompt quotes of one example's expected and produced results."""
SHORTEST_VALUE = 40

_LONGEST_NAME = 200
_LARGEST_INT = 10**SHORTEST_VALUE  # Python writes no number of more than 4300 digits
# Each run is read once, and no two of them share a character: long texts take linear time.
_DATA_URL = re.compile(
    r"data:([\w.+-]++/[\w.+-]++)?+(?:;(?!base64,)[\w=.+-]*+)*+;base64,[A-Za-z0-9+/=_%-]*+"
)
# Nothing that people write has lines of 60 of these without a blank, several of them at least.
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]{60,}+\s?)++[A-Za-z0-9+/_-]*={0,2}")
_SHORTEST_BASE64 = 256
_STRETCH = re.compile(r"[A-Za-z0-9]{32,}+")  # paths and URLs have none with all three kinds
_ESCAPED = re.compile(r"\\(?:u[0-9a-f]{4}|.)")


def name_of_media(value: object) -> str | None:
    """Name an image, audio, a file or bytes, as in ``(Image)``; None for any other value.

    Prompts and logs hold the name in place of the value, as the bytes mean nothing as text.

    >>> name_of_media(b"abc")
    '(3 bytes)'
    """
    if isinstance(value, NamedImage):
        return value.name
    if isinstance(value, (dspy.Image, dspy.Audio, dspy.File)):
        return f"({type(value).__name__})"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"({len(value)} bytes)"
    return None


def for_prompt(value: Any, longest: int) -> Any:
    """Make a value fit into a prompt, in at most ``longest`` characters.

    Small values stay whole; long ones share the rest of the room, and each keeps its head and its
    tail. A list or table with too many entries keeps the first and the last; one that is still too
    long becomes a text of which the two ends stay. The length is that of the value as JSON, without
    the quotes of a text; an escaped character counts as one. ``longest`` is at least
    `SHORTEST_VALUE`.

    >>> for_prompt(list(range(1000)), 40)
    [0, '(998 more)', 999]
    """
    value = plain(value)
    return cut(value, longest) if isinstance(value, str) else _fitted(value, longest)


def plain(value: Any, inside: tuple[int, ...] = (), *, in_log: bool = False) -> Any:
    """Convert a value to what JSON can hold; bytes become a name, any other object its text.

    Args:
        value: The value.
        inside: The values that hold this one, which may be one of them, by their ids.
        in_log: Whether it goes into a file and not into a prompt: texts stay whole, and a float
            that is not finite becomes its text, as JSON has no such number.

    >>> plain({"image": b"abc", "sizes": (1, 2)})
    {'image': '(3 bytes)', 'sizes': [1, 2]}
    """
    if _is_short(value):
        return str(value) if in_log and not _is_finite(value) else value
    if isinstance(value, str):
        return value if in_log else _without_bytes(value)
    if media := name_of_media(value):
        return media
    if len(inside) == DEEPEST or id(value) in inside:
        return CUT
    return _plain_parts(value, partial(plain, inside=(*inside, id(value)), in_log=in_log))


def _plain_parts(value: Any, walked: Callable[[Any], Any]) -> Any:
    if isinstance(value, (list, tuple, set, frozenset)):
        return [walked(item) for item in value]
    if (table := _as_table(value)) is not None:
        return {cut(_text_of(name), _LONGEST_NAME): walked(item) for name, item in table.items()}
    if isinstance(value, Enum):
        return walked(value.value)
    return walked(value.item()) if isinstance(value, np.generic) else _text_of(value)


def as_text(value: object) -> object:
    """Write lists and tables as JSON; any other value is as `plain` returns it.

    >>> as_text([1, 2])
    '[1,2]'
    """
    value = plain(value)
    if not _is_finite(value):
        return str(value)
    return _json(value) if isinstance(value, (list, dict)) else value


def cut(text: str, longest: int) -> str:
    """Cut the middle out of a text that is too long.

    >>> cut("one two three four five", 15)
    'one  [...] five'
    """
    middle = f" {CUT} "
    half = (longest - len(middle)) // 2
    return text if len(text) <= longest else f"{text[:half]}{middle}{text[-half:]}"


def _is_short(value: object) -> bool:
    whole = isinstance(value, int) and abs(value) < _LARGEST_INT
    return whole or value is None or isinstance(value, float)


def _is_finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _as_table(value: Any) -> Mapping[Any, Any] | None:
    if isinstance(value, (Mapping, dspy.Example)):
        return dict(value)
    if isinstance(value, pydantic.BaseModel):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return None


def _text_of(value: object) -> str:
    try:
        return _without_bytes(str(value))
    except Exception:  # noqa: BLE001 - an object may fail to describe itself with any error
        return f"({type(value).__name__})"


def _without_bytes(text: str) -> str:
    """Name data URLs and long runs of base64 within a text."""
    if len(text) < SHORTEST_VALUE:
        return text
    text = _DATA_URL.sub(lambda match: f"({match[1] or 'data'})", text)
    return text if len(text) < _SHORTEST_BASE64 else _BASE64.sub(_name_of_base64, text)


def _name_of_base64(match: re.Match[str]) -> str:
    run = match[0]
    is_base64 = len(run) >= _SHORTEST_BASE64 and any(map(_is_mixed, _STRETCH.findall(run)))
    return f"(base64, {len(run)} characters)" if is_base64 else run


def _is_mixed(stretch: str) -> bool:
    return all(re.search(kind, stretch) for kind in ("[A-Z]", "[a-z]", "[0-9]"))


def _fitted(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return cut(value, longest - 2)  # without its quotes
    if not isinstance(value, (list, dict)) or _size(value) <= longest:
        return value
    half = max(1, min(longest // SHORTEST_VALUE, len(value) + 1) // 2)
    while half:
        shown = _shortened(value, half, longest)
        if _size(shown) <= longest:
            return shown
        half //= 2
    return cut(_json(value), longest - 2)


def _shortened(value: Any, half: int, longest: int) -> Any:
    """Keep as many entries at each end, and cut those that are long."""
    entries = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    if left_out := max(0, len(entries) - 2 * half):
        entries = [*entries[:half], (CUT, f"({left_out} more)"), *entries[-half:]]
    names = sum(len(str(name)) + 3 for name, _ in entries) if isinstance(value, dict) else 0
    room = _share((_size(item) for _, item in entries), longest - names - len(entries) - 1)
    shown = [(name, _fitted(item, max(SHORTEST_VALUE, room))) for name, item in entries]
    return dict(shown) if isinstance(value, dict) else [item for _, item in shown]


def _share(sizes: Iterable[int], total: int) -> int:
    """Return the size to which the largest must be cut for all to fit together."""
    ordered = sorted(sizes)
    for place, size in enumerate(ordered):
        if size * (len(ordered) - place) > total:
            return total // (len(ordered) - place)
        total -= size
    return ordered[-1] if ordered else total


def _size(value: object) -> int:
    return len(_ESCAPED.sub("x", _json(value)))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_text_of)
