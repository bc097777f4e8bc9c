"""How the replies of LMs end, and what is left of them without the thoughts.

DSPy hands on a reply's text alone, without the reason why it ended. All its LMs hand over through
one function (`dspy.clients.execution.finalize`, DSPy 3.4), which is replaced while somebody reads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.clients import execution
from dspy.clients.legacy_outputs import value

from mogradjudge.thoughts import without_thoughts

logger = logging.getLogger(__name__)

_COUNT = "mogradjudge_cut"  # DSPy takes its settings along into threads and tasks of its own
_FAULTS = {
    "length": "the reply was cut off at the longest length (max_tokens)",
    "content_filter": "the reply was cut short by a content filter",
    "thought": "the reply is a thought that never ends",
}


@dataclass
class Ending:
    """How the reply to the question in hand ended.

    Args:
        fields: Names that are fields of the reply, and no thoughts, in its format.
        fault: What makes the reply incomplete: ``"length"``, ``"content_filter"`` or ``"thought"``;
            empty if it is whole.
        tokens: The length of the reply; 0 if nobody told.
        by_field: Whether a reader has looked which fields are complete.
    """

    fields: Collection[str] = ()
    fault: str = ""
    tokens: int = 0
    by_field: bool = False

    @property
    def reason(self) -> str:
        """Say in words what makes the reply incomplete."""
        return _FAULTS.get(self.fault, "")

    def heard(self, output: Any, cut: str, tokens: int) -> Any:
        """Note how a reply ended, and give it without its thoughts."""
        text = output.get("text") if isinstance(output, dict) else output
        final = without_thoughts(text, self.fields).strip() if isinstance(text, str) else text
        thinks_on = isinstance(text, str) and bool(text.strip()) and not final
        self.fault = cut or ("thought" if thinks_on else "") or self.fault
        self.tokens = tokens
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
        self._cut = {"length": 0, "content_filter": 0}

    def __deepcopy__(self, memo: object) -> _Count:
        return self  # DSPy copies settings for its threads

    def add(self, cut: str) -> None:
        with self._lock:
            self._cut[cut] += 1

    def tell(self) -> None:
        if (number := self._cut["length"]) > 0:
            logger.warning(
                "%s cut off at the longest length; raise --max-tokens (max_tokens of the LM).",
                "1 reply was" if number == 1 else f"{number} replies were",
            )
        if (number := self._cut["content_filter"]) > 0:
            logger.warning(
                "%s cut short by the provider's content filter.",
                "1 reply was" if number == 1 else f"{number} replies were",
            )


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
    """Give ``"length"`` or ``"content_filter"`` if a reply was cut, else nothing."""
    ends = {response.finish_reason for response in result.responses}
    for choice in value(result.raw, "choices", None) or ():
        ends.add(value(choice, "finish_reason"))
    details = value(result.raw, "incomplete_details", None)  # of OpenAI's Responses API
    ends.add({"max_output_tokens": "length"}.get(reason := value(details, "reason"), reason))
    return next((end for end in ("length", "content_filter") if end in ends), "")
