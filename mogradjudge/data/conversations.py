"""Writes a conversation as a text that a judge can read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import dspy
import numpy as np

from mogradjudge.data.tables import is_blank
from mogradjudge.lm.quoting import encodable

_SPEAKERS = ("role", "speaker", "from", "author")
_WORDS = ("content", "text", "value", "message")
TURNS = ("messages", "conversations")
"""The keys of turns, where they are not a list by themselves."""


def read_text(value: object) -> object:
    """Return a conversation as a text, a text as one that can be encoded, and others as they are.

    Example:
        >>> read_text([{"role": "user", "content": "Hi"}]), read_text("Hi"), read_text(4)
        ('user: Hi', 'Hi', 4)
    """
    text = transcript(value)
    if text is not None:
        return text
    return encodable(value) if isinstance(value, str) else value


def transcript(value: object) -> str | None:
    r"""Write a conversation with a turn in each line; None for any other value.

    It is empty if no turn has words.

    Args:
        value: A `dspy.History`, a list or array of turns, or ``{"messages": [...]}`` (or
            ``conversations``), also as JSON: each turn has a ``role`` (or ``speaker``, ``from``,
            ``author``) and a ``content`` (or ``text``, ``value``, ``message``), ``tool_calls`` or
            both. Further lines of a turn are indented, so none looks like another turn.

    Example:
        >>> transcript([{"role": "user", "content": "Hi"}, {"role": "bot", "content": "Yes?"}])
        'user: Hi\nbot: Yes?'
        >>> transcript("[1, 2]") is None
        True
    """
    if isinstance(value, dspy.History):
        turns = [turn for message in value.messages for turn in _turns_of(message)]
        return _lines(turns) if turns else None
    try:
        items = _items(value)
    except (ValueError, RecursionError):
        return None
    turns = [turn for item in items or () if (turn := _turn(item))]
    return _lines(turns) if items and len(turns) == len(items) else None


def fault_of(value: object, *, in_conversations: bool) -> str | None:
    """Say why a value that looks like a conversation is none; None for any other value.

    Args:
        value: The value.
        in_conversations: Whether other values of its column are conversations.

    Example:
        >>> fault_of('[{"role": "user", "text"', in_conversations=True)
        'it is no valid JSON'
        >>> fault_of("[sic]", in_conversations=False) is None
        True
    """
    if transcript(value) is not None:
        return None
    try:
        items = _items(value)
    except (ValueError, RecursionError):
        return "it is no valid JSON" if in_conversations else None
    has_turns = bool(items) and all(isinstance(item, Mapping) for item in items or ())
    if has_turns or (in_conversations and items is not None):
        return "a turn lacks its speaker (role) or its words (content)"
    return None


def _items(value: object) -> list[object] | None:
    """Return what may be turns; None if a value is no list of anything.

    Raises:
        ValueError: If it begins like JSON and is none.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        value = json.loads(value)
    if isinstance(value, Mapping):
        value = next((value[name] for name in TURNS if name in value), None)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return value if isinstance(value, list) else None


def _turns_of(message: Mapping[str, object]) -> list[tuple[str, str]]:
    """Read a message of a `dspy.History`: a turn, or the fields of a call."""
    turn = _turn(message)
    return [turn] if turn else [(name, str(text)) for name, text in message.items()]


def _turn(item: object) -> tuple[str, str] | None:
    """Return a turn's speaker and words."""
    if not isinstance(item, Mapping):
        return None
    speaker = next((item[name] for name in _SPEAKERS if name in item), None)
    words = _words([item[name] for name in _WORDS if name in item])
    calls = item.get("tool_calls")
    if isinstance(calls, list | np.ndarray) and len(calls):
        words = "\n".join([*filter(None, [words]), *map(_call, calls)])
    return (speaker, words) if isinstance(speaker, str) and words is not None else None


def _words(values: Sequence[object]) -> str | None:
    words = values[0] if values else None
    words = words.tolist() if isinstance(words, np.ndarray) else words
    if isinstance(words, list):  # parts, as of a message with several
        parts = [part.get("text") for part in words if isinstance(part, Mapping)]
        words = "\n".join(map(str, parts)) if parts and None not in parts else None
    return words if isinstance(words, str) else None


def _call(call: object) -> str:
    """Write a call of a tool: its name and arguments."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or "name" not in function:
        return str(call)
    arguments = function.get("arguments", "")
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, default=str)
    return f"{function['name']}({arguments})"


def _lines(turns: Sequence[tuple[str, str]]) -> str:
    """Write turns; nothing if none of them has words."""
    if all(is_blank(words) for _, words in turns):
        return ""
    return encodable("\n".join(_line(*turn) for turn in turns))


def _line(speaker: str, words: str) -> str:
    return f"{' '.join(speaker.split())}: " + "\n  ".join(words.splitlines())
