"""Why the replies of LMs end, and their text without thoughts.

DSPy returns a reply's text without its finish reason. All its LMs return through one function,
which is replaced while a reply is read.
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
_WARNINGS = {
    "length": "cut off at the longest length; raise --max-tokens (max_tokens of the LM).",
    "content_filter": "cut short by the provider's content filter.",
}


@dataclass
class Ending:
    """How the reply to the current call ended.

    Args:
        fields: Names that are fields of the reply, and no thoughts, in its format.
        values_may_hold_tags: Whether a thought's tags in a field's value belong to the reply.
        fault: What makes the reply incomplete: ``"length"``, ``"content_filter"``, ``"thought"`` or
            the provider's own word; empty if it is whole.
        tokens: The length of the reply; 0 if unknown.
        text: The reply with its thoughts.
    """

    fields: Collection[str] = ()
    values_may_hold_tags: bool = False
    fault: str = ""
    tokens: int = 0
    text: str = ""

    @property
    def reason(self) -> str:
        """What makes the reply incomplete, in words; empty if it is whole."""
        other = f"the reply ended early (finish reason {self.fault!r})" if self.fault else ""
        return _FAULTS.get(self.fault, other)

    def record(self, output: Any, cut: str, tokens: int) -> Any:
        """Store how a reply ended, and return it without its thoughts."""
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
    """Remove the thoughts from the replies to calls in the block, and store how they end."""
    with _HANDOVER.listened_to():
        token = _READING.set(ending)
        try:
            yield ending
        finally:
            _READING.reset(token)


def being_read() -> Ending | None:
    """Return the ending of the reply that is being read; None outside `reading`."""
    return _READING.get()


@contextmanager
def cut_replies_counted() -> Iterator[None]:
    """Log once, after the block, how many replies were cut, instead of DSPy's warnings.

    Of nested blocks only the outermost one logs.

    Example:
        >>> with cut_replies_counted():
        ...     pass  # calls
    """
    if _COUNT.get() is not None:
        yield
        return
    count = _Count()
    try:
        with _HANDOVER.listened_to(), _COUNT.set(count):
            yield
    finally:
        count.log()


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

    def log(self) -> None:
        for cut, number in sorted(self._cut.items()):
            how = _WARNINGS.get(cut, f"ended early by the provider (finish reason {cut!r}).")
            replies = "1 reply was" if number == 1 else f"{number} replies were"
            logger.warning("%s %s", replies, how)


class _Handover:
    """Replaces DSPy's function while there are listeners, and restores it afterwards."""

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
                LM_LOGGER.addFilter(_is_not_counted)
        try:
            yield
        finally:
            with self._lock:
                self._listeners -= 1
                if self._listeners == 0:
                    self._replacements.put_back()
                    LM_LOGGER.removeFilter(_is_not_counted)


def _handing_over(dspys: Function) -> Function:
    """Wrap DSPy's function: store how replies end, and remove their thoughts."""

    @wraps(dspys)
    def finalize(lm: Any, call: Any, result: Any) -> Any:
        outputs = dspys(lm, call, result)
        cut = _reason_of_cut(result)
        if cut and (count := _COUNT.get()) is not None:
            count.add(cut)
        ending = _READING.get()
        if ending is None or is_typed(call):
            return outputs
        return [ending.record(output, cut, reply_tokens(result)) for output in outputs]

    return finalize


_COUNT: Setting[_Count] = Setting("cut")
_READING: ContextVar[Ending | None] = ContextVar("reading", default=None)
_HANDOVER = _Handover()


def _is_not_counted(record: logging.LogRecord) -> bool:
    """Say whether a log record of DSPy is no cut reply that is counted here."""
    return not tells_of_a_cut_reply(record) or _COUNT.get() is None


def _reason_of_cut(result: Any) -> str:
    """Return ``"length"``, ``"content_filter"`` or the provider's word if a reply was cut."""
    words = [str(word or "").strip().lower() for word in finish_words(result)]
    return next((_kind_of_cut(word) for word in words if word not in _WHOLE), "")


def _kind_of_cut(word: str) -> str:
    if re.search("length|token|context_window", word):
        return "length"
    return "content_filter" if re.search("filter|safety", word) else word
