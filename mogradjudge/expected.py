"""The expected score: what the probabilities of a reply's score tokens say on average.

The score's tokens are found by the place of its field in the reply, never by "the first digit"
(G-Eval, Liu et al. 2023, weighs scores by token probabilities; the search is our own).
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from mogradjudge.criteria import Scale

MIN_SUPPORT = 0.5
"""An expected score is taken only if at least this probability lies on the scale."""

_ROUNDING = 0.01  # by which a server's logarithm of 1 may lie above 0
_WHITE = re.compile(r"\s*")
_BEFORE_DIGITS = " \t\r\n\"'*"
_NUMBER = re.compile(r"-?\d+|-")


@dataclass(frozen=True)
class Token:
    """One token of a reply: its text, and every text that could have stood there.

    ``alternatives`` maps texts to probabilities and includes the token itself.
    """

    text: str
    alternatives: Mapping[str, float]


@dataclass(frozen=True)
class Expected:
    """A distribution over a scale; ``support`` is its mass before it was normalized."""

    score: float
    distribution: tuple[tuple[int, float], ...]
    support: float


def read_tokens(logprobs: Any) -> tuple[Token, ...]:
    """Read DSPy's ``prediction.logprobs``; empty where the model sent no alternatives.

    A token whose number is no logarithm of a probability cannot have been there: a score that it
    spells has no support.
    """
    content = _get(logprobs, "content") or ()
    tokens = []
    for entry in content if isinstance(content, Sequence) else ():
        tops = _get(entry, "top_logprobs") or ()
        if not tops:
            return ()
        try:
            tokens.append(_token(entry, tops))
        except (TypeError, ValueError):
            text = str(_get(entry, "token"))
            tokens.append(Token(text, {text: 0.0}))
    return tuple(tokens)


def _token(entry: Any, tops: Any) -> Token:
    alternatives: dict[str, float] = defaultdict(float)
    # Two tokens may have one text; but a server may also list the same token twice.
    for text, probability in dict.fromkeys(map(_pair, tops)):
        alternatives[text] += probability
    text, probability = _pair(entry)
    alternatives.setdefault(text, probability)
    return Token(text, alternatives)


def expected_score(
    tokens: Sequence[Token], field: str, scale: Scale, adapter: dspy.Adapter, written: int
) -> Expected | None:
    """Weigh the scores of a scale by their probability at the place of ``field`` in the reply.

    Where one score's text begins another's (1 and 10) and the tokens split it, the second token's
    probabilities are known only along the path that the model took; what stays unknown is left out
    of the support.

    Returns:
        None if ``written``, the score that the adapter read, does not stand at the field's place (a
        reply may hold the field twice), or if no probability lies on the scale.
    """
    text = "".join(token.text for token in tokens)
    start = _value_start(text, field, adapter)
    if start is None:
        return None
    while start < len(text) and text[start] in _BEFORE_DIGITS:
        start += 1
    number = re.compile(r"-?\d+").match(text, start)
    if number is None or int(number.group()) != written:
        return None
    begin = 0
    for index, token in enumerate(tokens):
        if begin + len(token.text) > start:
            before = token.text[: start - begin]
            return _normalize(_masses(tokens[index:], before, scale))
        begin += len(token.text)
    return None


def _masses(tokens: Sequence[Token], before: str, scale: Scale) -> dict[int, float]:
    """Follow the model's own tokens, and book each alternative that completes a score."""
    masses: dict[int, float] = defaultdict(float)
    spelled, reached = "", 1.0  # the digits taken so far, and how probable they were
    for token in tokens:
        for text, probability in token.alternatives.items():
            score = _completed(_append(spelled, text, before), scale)
            if score is not None:
                masses[score] += reached * probability
        reached *= token.alternatives[token.text]
        spelled = _append(spelled, token.text, before)
        if not _may_go_on(spelled, scale):
            return masses
    if (score := _completed(spelled + "\n", scale)) is not None:
        masses[score] += reached  # the reply ends here; nothing else could follow
    return masses


def _append(spelled: str, text: str, before: str) -> str:
    """Add a token's text; ``before`` is what stands ahead of the score in its first token."""
    if spelled:
        return spelled + text
    return text.removeprefix(before).lstrip(_BEFORE_DIGITS)


def _completed(spelled: str, scale: Scale) -> int | None:
    """Give the score that a text spells, if it is on the scale and cannot become another one."""
    number = _NUMBER.match(spelled)
    if number is None or number.group() == "-":
        return None
    rest = spelled[number.end() :]
    if re.match(r"\.[0-9]*[1-9]|/", rest):  # 4.5, 4/5
        return None
    score = int(number.group())
    if score not in scale.values or (not rest and _may_go_on(spelled, scale)):
        return None
    return score


def _may_go_on(spelled: str, scale: Scale) -> bool:
    return any(str(score).startswith(spelled) and str(score) != spelled for score in scale.values)


def _normalize(masses: Mapping[int, float]) -> Expected | None:
    support = sum(masses.values())
    if support <= 0:
        return None
    distribution = tuple((score, masses[score] / support) for score in sorted(masses))
    mean = sum(score * probability for score, probability in distribution)
    return Expected(mean, distribution, min(support, 1.0))


def _value_start(text: str, field: str, adapter: dspy.Adapter) -> int | None:
    """Find where a field's value begins, by the format that the adapter reads."""
    if isinstance(adapter, dspy.JSONAdapter):
        return _json_value_start(text, field)
    if isinstance(adapter, dspy.XMLAdapter):
        found = re.search(rf"<{field}>", text)
    else:  # as ChatAdapter parses: the first line that opens with the field's marker
        found = re.search(rf"^[ \t]*\[\[ ## {field} ## \]\]", text, re.MULTILINE)
    return found.end() if found else None


def _json_value_start(text: str, field: str) -> int | None:
    """Walk the top-level keys of a JSON object; a key inside a text or below is not a match."""
    decoder = json.JSONDecoder(strict=False)  # small models break lines inside texts
    place = text.find("{") + 1
    try:
        while place:
            key, place = decoder.raw_decode(text, _skip(text, place))
            start = _skip(text, _skip(text, place) + 1)  # past the colon
            if key == field:
                return start
            _, place = decoder.raw_decode(text, start)
            place = _skip(text, place) + 1  # past the comma
    except (json.JSONDecodeError, RecursionError):
        return None
    return None


def _skip(text: str, place: int) -> int:
    found = _WHITE.match(text, place)
    return found.end() if found else place


def _pair(top: Any) -> tuple[str, float]:
    """Give a token's text and its probability."""
    logprob = float(_get(top, "logprob"))
    if not logprob <= _ROUNDING:  # nor is NaN
        raise ValueError(f"{logprob} is no logarithm of a probability")
    return str(_get(top, "token")), math.exp(min(logprob, 0.0))


def _get(holder: Any, key: str) -> Any:
    return holder.get(key) if isinstance(holder, Mapping) else getattr(holder, key, None)
