"""How the replies of LMs end, and what is left of them without the thoughts.

DSPy hands on a reply's text alone, without the reason why it ended. All its LMs hand over through
one function (`dspy.clients.execution.finalize`, DSPy 3.4), which is replaced while somebody reads.
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
from typing import Any

import dspy
from dspy.clients import execution
from dspy.clients.legacy_outputs import value

from mogradjudge.judge.thoughts import without_thoughts

logger = logging.getLogger(__name__)

_COUNT = "mogradjudge_cut"  # DSPy takes its settings along into threads and tasks of its own
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
    if dspy.settings.get(_COUNT) is not None:
        yield
        return
    count = _Count()
    try:
        with _HANDOVER.listened_to(), dspy.context(**{_COUNT: count}):
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
        self._usual = execution.finalize

    @contextmanager
    def listened_to(self) -> Iterator[None]:
        with self._lock:
            self._listeners += 1
            if self._listeners == 1:
                if execution.finalize != self._finalize:
                    self._usual, execution.finalize = execution.finalize, self._finalize
                logging.getLogger("dspy.clients.lm").addFilter(_is_news)
        try:
            yield
        finally:
            with self._lock:
                self._listeners -= 1
                if self._listeners == 0:
                    if execution.finalize == self._finalize:  # or somebody put another over it
                        execution.finalize = self._usual
                    logging.getLogger("dspy.clients.lm").removeFilter(_is_news)

    def _finalize(self, lm: Any, call: Any, result: Any) -> Any:
        outputs = self._usual(lm, call, result)
        cut = _reason_of_cut(result)
        if cut and (count := dspy.settings.get(_COUNT)) is not None:
            count.add(cut)
        ending = _READING.get()
        if ending is None or call.request is not None:
            return outputs
        return [ending.heard(output, cut, _tokens(result)) for output in outputs]


_READING: ContextVar[Ending | None] = ContextVar("reading", default=None)
_HANDOVER = _Handover()


def _is_news(record: logging.LogRecord) -> bool:
    """Say whether DSPy's record is more than a cut reply, where those are counted."""
    cut = str(record.msg).startswith("LM response was truncated")
    return not cut or dspy.settings.get(_COUNT) is None


def _tokens(result: Any) -> int:
    """Give the length of a reply, that of a cached one as well; 0 if nobody told."""
    told = [response.usage.output_tokens for response in result.responses]
    told.append(value(value(result.raw, "usage"), "completion_tokens"))
    return max((tokens for tokens in told if isinstance(tokens, int)), default=0)


def _reason_of_cut(result: Any) -> str:
    """Give ``"length"``, ``"content_filter"`` or the provider's word if a reply was cut."""
    ends = [response.finish_reason for response in result.responses]
    # DSPy takes a word that it does not know for "stop"; the provider's own is in what it sent.
    for sent in (result.raw, *(response.provider_data for response in result.responses)):
        for choice in value(sent, "choices") or ():
            ends.append(value(choice, "finish_reason"))
            native = value(choice, "provider_specific_fields")  # where litellm keeps it
            ends.append(value(native, "native_finish_reason"))
        ends.append(value(sent, "stop_reason"))  # Anthropic's
        ends.append(value(value(sent, "incomplete_details"), "reason"))  # OpenAI's Responses API
    words = [str(end or "").strip().lower() for end in ends]
    return next((_kind_of_cut(word) for word in words if word not in _WHOLE), "")


def _kind_of_cut(word: str) -> str:
    if re.search("length|token|context_window", word):
        return "length"
    return "content_filter" if re.search("filter|safety", word) else word
