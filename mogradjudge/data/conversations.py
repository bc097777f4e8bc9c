"""Writes a conversation as a text that a judge can read."""

from __future__ import annotations

import json
from collections.abc import Mapping

import dspy

_SPEAKERS = ("role", "speaker", "from", "author")
_WORDS = ("content", "text", "value", "message")


def transcript(value: object) -> str | None:
    r"""Write a conversation with a turn in each line; None for any other value.

    Args:
        value: A `dspy.History`, or a list of turns, also as JSON: each turn has a ``role`` (or
            ``speaker``, ``from``, ``author``) and a ``content`` (or ``text``, ``value``,
            ``message``). Further lines of a turn are indented, so none looks like another turn.

    Example:
        >>> transcript([{"role": "user", "content": "Hi"}, {"role": "bot", "content": "Yes?"}])
        'user: Hi\nbot: Yes?'
        >>> transcript("[1, 2]") is None
        True
    """
    if isinstance(value, dspy.History):
        turns = [turn for message in value.messages for turn in _turns_of(message)]
        return "\n".join(turns) or None
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list) or not value:
        return None
    turns = [turn for item in value if (turn := _turn(item))]
    return "\n".join(turns) if len(turns) == len(value) else None


def _turns_of(message: Mapping[str, object]) -> list[str]:
    """Write a message of a `dspy.History`: a turn, or the fields of a call."""
    turn = _turn(message)
    return [turn] if turn else [_line(name, text) for name, text in message.items()]


def _turn(item: object) -> str | None:
    if not isinstance(item, Mapping):
        return None
    speaker = next((item[name] for name in _SPEAKERS if name in item), None)
    words = next((item[name] for name in _WORDS if name in item), None)
    if isinstance(words, list):  # parts, as of a message with several
        parts = [part.get("text") for part in words if isinstance(part, Mapping)]
        words = "\n".join(map(str, parts)) if parts and None not in parts else None
    if not isinstance(speaker, str) or not isinstance(words, str):
        return None
    return _line(speaker, words)


def _line(speaker: str, words: object) -> str:
    return f"{' '.join(speaker.split())}: " + "\n  ".join(str(words).splitlines())
