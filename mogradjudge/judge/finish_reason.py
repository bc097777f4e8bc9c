"""How the replies of LMs end, and what is left of them without the thoughts.

DSPy hands on a reply's text alone, without the reason why it ended. All its LMs hand over through
one function, which is replaced while somebody reads.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any

from mogradjudge.judge.thoughts import without_thoughts
from mogradjudge.lm.dspy_internals import (
    HAND_OVER,
    LM_LOGGER,
    Setting,
    finish_words,
    is_typed,
    reply_tokens,
    tells_of_a_cut_reply,
)
from mogradjudge.lm.replacements import Function, Replacements

logger = logging.getLogger(__name__)

_WHOLE = {
    *("", "null", "none", "finish_reason_unspecified"),
    *("stop", "stop_sequence", "eos", "eos_token", "end_turn", "complete", "completed"),
    *("tool_call", "tool_calls", "tool_use", "function_call"),
}
_FAULTS = {
    "length": "the reply was cut off at the longest length (max_tokens)",
    "content_filter": "the reply was cut short by a content filter",
    "thought": "the reply is a thought that never ends",
}
_NEWS = {
    "length": "cut off at the longest length; raise --max-tokens (max_tokens of the LM).",
    "content_filter": "cut short by the provider's content filter.",
}


@dataclass
class Ending:
    """How the reply to the question in hand ended.

    Args:
        fields: Names that are fields of the reply, and no thoughts, in its format.
        values_may_hold_tags: Whether a thought's tags in a field's value belong to the reply.
        fault: What makes the reply incomplete: ``"length"``, ``"content_filter"``, ``"thought"`` or
            the provider's own word; empty if it is whole.
        tokens: The length of the reply; 0 if nobody told.
        text: The reply with its thoughts.
    """

    fields: Collection[str] = ()
    values_may_hold_tags: bool = False
    fault: str = ""
    tokens: int = 0
    text: str = ""

    @property
    def reason(self) -> str:
        """Say in words what makes the reply incomplete."""
        other = f"the reply ended early (finish reason {self.fault!r})" if self.fault else ""
        return _FAULTS.get(self.fault, other)

    def heard(self, output: Any, cut: str, tokens: int) -> Any:
        """Note how a reply ended, and give it without its thoughts."""
        text = output.get("text") if isinstance(output, dict) else output
        self.fault, self.tokens = cut or self.fault, tokens
        if not isinstance(text, str):
            return output
        self.text = text
        final = without_thoughts(
            text, self.fields, values_may_hold_tags=self.values_may_hold_tags
        ).strip()
        if text.strip() and not final:
            self.fault = cut or "thought"
        return {**output, "text": final} if isinstance(output, dict) else final


@contextmanager
def reading(ending: Ending) -> Iterator[Ending]:
    """Take the thoughts out of the replies that come in the block, and note how they end."""
    with _HANDOVER.listened_to():
        token = _READING.set(ending)
        try:
            yield ending
        finally:
            _READING.reset(token)


def being_read() -> Ending | None:
    """Give the ending of the reply that is being read; None outside `reading`."""
    return _READING.get()


@contextmanager
def cut_replies_counted() -> Iterator[None]:
    """Say once, after the block, how many replies in it were cut, and silence DSPy's own warnings.

    In a block inside another one the outer one speaks.
    """
    if _COUNT.get() is not None:
        yield
        return
    count = _Count()
    try:
        with _HANDOVER.listened_to(), _COUNT.set(count):
            yield
    finally:
        count.tell()


class _Count:
    """Counts cut replies; thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cut: Counter[str] = Counter()

    def __deepcopy__(self, memo: object) -> _Count:
        return self  # DSPy copies settings for its threads

    def add(self, cut: str) -> None:
        with self._lock:
            self._cut[cut] += 1

    def tell(self) -> None:
        for cut, number in sorted(self._cut.items()):
            how = _NEWS.get(cut, f"ended early by the provider (finish reason {cut!r}).")
            replies = "1 reply was" if number == 1 else f"{number} replies were"
            logger.warning("%s %s", replies, how)


class _Handover:
    """Stands in the place of DSPy's function while anybody listens, and is put back after."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners = 0
        self._replacements = Replacements()

    @contextmanager
    def listened_to(self) -> Iterator[None]:
        with self._lock:
            self._listeners += 1
            if self._listeners == 1:
                self._replacements.put([(HAND_OVER, _handing_over)])
                LM_LOGGER.addFilter(_is_news)
        try:
            yield
        finally:
            with self._lock:
                self._listeners -= 1
                if self._listeners == 0:
                    self._replacements.put_back()
                    LM_LOGGER.removeFilter(_is_news)


def _handing_over(dspys: Function) -> Function:
    """Note how the replies end that DSPy hands over, and take their thoughts out."""

    @wraps(dspys)
    def finalize(lm: Any, call: Any, result: Any) -> Any:
        outputs = dspys(lm, call, result)
        cut = _reason_of_cut(result)
        if cut and (count := _COUNT.get()) is not None:
            count.add(cut)
        ending = _READING.get()
        if ending is None or is_typed(call):
            return outputs
        return [ending.heard(output, cut, reply_tokens(result)) for output in outputs]

    return finalize


_COUNT: Setting[_Count] = Setting("cut")
_READING: ContextVar[Ending | None] = ContextVar("reading", default=None)
_HANDOVER = _Handover()


def _is_news(record: logging.LogRecord) -> bool:
    """Say whether DSPy's record is more than a cut reply, where those are counted."""
    return not tells_of_a_cut_reply(record) or _COUNT.get() is None


def _reason_of_cut(result: Any) -> str:
    """Give ``"length"``, ``"content_filter"`` or the provider's word if a reply was cut."""
    words = [str(word or "").strip().lower() for word in finish_words(result)]
    return next((_kind_of_cut(word) for word in words if word not in _WHOLE), "")


def _kind_of_cut(word: str) -> str:
    if re.search("length|token|context_window", word):
        return "length"
    return "content_filter" if re.search("filter|safety", word) else word
