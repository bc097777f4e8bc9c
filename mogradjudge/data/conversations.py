"""Writes a conversation as a text that a judge can read."""

from __future__ import annotations

import json
from collections.abc import Mapping

import dspy
import numpy as np

_SPEAKERS = ("role", "speaker", "from", "author")
_WORDS = ("content", "text", "value", "message")
_TURNS = "messages"  # the key of the turns, where they are not a list by themselves


def transcript(value: object) -> str | None:
    r"""Write a conversation with a turn in each line; None for any other value.

    Args:
        value: A `dspy.History`, a list or array of turns, or ``{"messages": [...]}``, also as JSON:
            each turn has a ``role`` (or ``speaker``, ``from``, ``author``) and a ``content`` (or
            ``text``, ``value``, ``message``). Further lines of a turn are indented, so none looks
            like another turn.

    Example:
        >>> transcript([{"role": "user", "content": "Hi"}, {"role": "bot", "content": "Yes?"}])
        'user: Hi\nbot: Yes?'
        >>> transcript("[1, 2]") is None
        True
    """
    if isinstance(value, dspy.History):
        turns = [turn for message in value.messages for turn in _turns_of(message)]
        return "\n".join(turns) or None
    try:
        items = _items(value)
    except (ValueError, RecursionError):
        return None
    turns = [turn for item in items or () if (turn := _turn(item))]
    return "\n".join(turns) if items and len(turns) == len(items) else None


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
        value = value.get(_TURNS)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return value if isinstance(value, list) else None


def _turns_of(message: Mapping[str, object]) -> list[str]:
    """Write a message of a `dspy.History`: a turn, or the fields of a call."""
    turn = _turn(message)
    return [turn] if turn else [_line(name, text) for name, text in message.items()]


def _turn(item: object) -> str | None:
    if not isinstance(item, Mapping):
        return None
    speaker = next((item[name] for name in _SPEAKERS if name in item), None)
    words = next((item[name] for name in _WORDS if name in item), None)
    words = words.tolist() if isinstance(words, np.ndarray) else words
    if isinstance(words, list):  # parts, as of a message with several
        parts = [part.get("text") for part in words if isinstance(part, Mapping)]
        words = "\n".join(map(str, parts)) if parts and None not in parts else None
    if not isinstance(speaker, str) or not isinstance(words, str):
        return None
    return _line(speaker, words)


def _line(speaker: str, words: object) -> str:
    return f"{' '.join(speaker.split())}: " + "\n  ".join(str(words).splitlines())
