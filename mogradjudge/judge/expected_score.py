"""The expected score: the mean of the scale's scores, weighted by token probabilities.

The score's tokens are searched where the written score was read, not at the first digit of the
reply (G-Eval, Liu et al. 2023, weights scores by token probabilities; the search is our own).
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from mogradjudge.criteria import Scale
from mogradjudge.judge.field_values import plain_text, read_score, values_of
from mogradjudge.judge.thoughts import without_thoughts

MIN_SUPPORT = 0.5
"""An expected score is taken only if at least this probability lies on the scale."""

_ROUNDING = 0.01  # by which a server's logarithm of 1 may lie above 0
_BEFORE_DIGITS = " \t\r\n\"'`*_([{+"
_NUMBER = re.compile(r"[-+]?\d+|-")


@dataclass(frozen=True)
class Token:
    """One token of a reply, and its alternatives.

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

    A token whose number is no logarithm of a probability gets probability 0: a score that it
    spells has no support.

    Example:
        >>> entry = {"token": "4", "logprob": 0.0, "top_logprobs": [{"token": "4", "logprob": 0.0}]}
        >>> read_tokens({"content": [entry]})[0].alternatives["4"]
        1.0
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
    tokens: Sequence[Token],
    field: str,
    scale: Scale,
    adapter: dspy.Adapter,
    written: int,
    fields: tuple[str, ...] = (),
) -> Expected | None:
    """Weight the scores of a scale by their probability at the place of ``field``.

    If one score's text begins another's (1 and 10) and the tokens split it, the second token's
    probabilities are known only along the path that the model took; the unknown rest is left out of
    the support.

    Args:
        tokens: The reply's tokens, those of a thought as well.
        field: The score's field.
        scale: The scale.
        adapter: The reply's format.
        written: The score that was read from the reply.
        fields: All fields of the reply, where there are others.

    Returns:
        None if ``written`` is not at the field's place, or no probability lies on the scale.

    Example:
        >>> key = '{"clarity": '
        >>> tokens = [Token(key, {key: 1.0}), Token("4", {"4": 0.5, "5": 0.5})]
        >>> expected_score(tokens, "clarity", Scale(1, 5), dspy.JSONAdapter(), 4).score
        4.5
    """
    plain = [_plain(token) for token in tokens]
    start = _place(plain, field, scale, adapter, written, fields or (field,))
    begin = 0
    for index, token in enumerate(plain):
        if start is not None and begin + len(token.text) > start:
            before = token.text[: start - begin]
            return _normalize(_masses(plain[index:], before, scale))
        begin += len(token.text)
    return None


def _place(
    tokens: Sequence[Token],
    field: str,
    scale: Scale,
    adapter: dspy.Adapter,
    written: int,
    fields: tuple[str, ...],
) -> int | None:
    """Find where the digits of a score begin in a reply."""
    no_thoughts = fields if isinstance(adapter, dspy.XMLAdapter) else ()
    text = without_thoughts("".join(token.text for token in tokens), no_thoughts)
    start = None
    for value in values_of(text, field, fields, adapter):
        score = read_score(value.text, scale, field)
        if score is None or score.score != written:
            return None
        start = value.start + score.start
    return start if start is not None and _spells(text, start, written) else None


def _spells(text: str, start: int, score: int) -> bool:
    number = _NUMBER.match(text, start)  # a text in JSON may hold escapes ahead of it
    return number is not None and number[0].lstrip("+") == str(score)


def _plain(token: Token) -> Token:
    """Replace a token's digits by plain ones."""
    if all(map(str.isascii, (token.text, *token.alternatives))):
        return token
    alternatives: dict[str, float] = defaultdict(float)
    for text, probability in token.alternatives.items():
        alternatives[plain_text(text)] += probability
    return Token(plain_text(token.text), alternatives)


def _masses(tokens: Sequence[Token], before: str, scale: Scale) -> dict[int, float]:
    """Follow the model's own tokens, and add up each alternative that completes a score."""
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
    """Return the score that a text spells, if it is on the scale and cannot grow longer."""
    number = _NUMBER.match(spelled)
    if number is None or number.group() == "-":
        return None
    rest = spelled[number.end() :]
    if re.match(r"[.,][0-9]*[1-9]", rest) or _is_other_part(rest, scale):  # 4.5, 4/10
        return None
    score = int(number.group())
    if score not in scale.values or (not rest and _may_go_on(spelled, scale)):
        return None
    return score


def _is_other_part(rest: str, scale: Scale) -> bool:
    """Say whether a score continues as a part of another number than the scale's top."""
    whole = re.match(r"\s*/\s*(\d*)", rest)
    return whole is not None and not str(scale.high).startswith(whole[1])


def _may_go_on(spelled: str, scale: Scale) -> bool:
    return any(str(score).startswith(spelled) and str(score) != spelled for score in scale.values)


def _normalize(masses: Mapping[int, float]) -> Expected | None:
    support = sum(masses.values())
    if support <= 0:
        return None
    distribution = tuple((score, masses[score] / support) for score in sorted(masses))
    mean = sum(score * probability for score, probability in distribution)
    return Expected(mean, distribution, min(support, 1.0))


def _pair(top: Any) -> tuple[str, float]:
    """Return a token's text and its probability."""
    logprob = float(_get(top, "logprob"))
    if not logprob <= _ROUNDING:  # nor is NaN
        raise ValueError(f"{logprob} is no logarithm of a probability")
    return str(_get(top, "token")), math.exp(min(logprob, 0.0))


def _get(holder: Any, key: str) -> Any:
    return holder.get(key) if isinstance(holder, Mapping) else getattr(holder, key, None)
