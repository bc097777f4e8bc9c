"""What lm/, judge/ and scoring/ use of the internals of DSPy and litellm, and why.

No other module of these rooms names them, so a new DSPy is handled here; the names are listed in
tests/unit/test_dspy_contact.py. They are those of DSPy 3.4.1 and litellm 1.110. DSPy 3.5 (pull
10401) will refuse `lm(messages=...)`, drop `BaseLM.forward` and return a `Prompt` from
`Adapter.format`.
"""

from __future__ import annotations

import copy
import inspect
import logging
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

import dspy
from dspy._vendor.lm15.providers import openai_chat
from dspy.adapters.utils import parse_value as parse_value
from dspy.clients import _get_dspy_cache, base_lm, costs, execution
from dspy.clients.cache import Cache
from dspy.clients.call_result import CACHE_FORMAT as CACHE_FORMAT
from dspy.clients.call_result import AttributeDict as AttributeDict
from dspy.clients.call_result import CallResult as CallResult
from dspy.clients.call_result import attributes as attributes
from dspy.clients.errors import error_boundary
from dspy.clients.legacy_outputs import plain as plain
from dspy.clients.legacy_outputs import responses_outputs as responses_outputs
from dspy.clients.legacy_outputs import value
from dspy.dsp.utils.settings import thread_local_overrides
from dspy.utils.usage_tracker import UsageTracker as UsageTracker

from mogradjudge.lm.replacements import Function, Place

T = TypeVar("T")

# --- Settings. `dspy.context` accepts unknown names, and DSPy passes all settings on to the threads
# --- and tasks that it starts: there is no other way into a program's own threads.

_OURS = "mogradjudge_"


class Setting(Generic[T]):
    """A value of ours that DSPy passes on to its threads and tasks.

    >>> setting: Setting[int] = Setting("example")
    >>> with setting.set(3):
    ...     setting.get()
    3
    """

    def __init__(self, name: str) -> None:
        self._name = f"{_OURS}{name}"

    def get(self) -> T | None:
        """Return the context's value; None if it has none."""
        return dspy.settings.get(self._name)  # type: ignore[no-any-return]

    def set(self, value: T) -> AbstractContextManager[None]:
        """Set a value during a block."""
        return dspy.context(**{self._name: value})  # type: ignore[no-any-return]


def own_settings() -> Callable[[], AbstractContextManager[None]]:
    """Copy this context's values of ours, for a thread that Python starts."""
    settings = thread_local_overrides.get()
    ours = {name: value for name, value in settings.items() if name.startswith(_OURS)}
    return partial(dspy.context, **ours)


def calling_modules() -> tuple[Any, ...]:
    """Return the modules that make this call, the innermost last."""
    return tuple(dspy.settings.caller_modules or ())


def usage_tracker() -> Any:
    """Return the tracker of the user's `dspy.track_usage`, an undocumented setting."""
    return dspy.settings.usage_tracker


def with_usage_tracker(tracker: UsageTracker | None) -> AbstractContextManager[None]:
    """Set another usage tracker during a block."""
    return dspy.context(usage_tracker=tracker)  # type: ignore[no-any-return]


# --- Functions that are replaced while a run is active. DSPy's callbacks see an LM's call, but not
# --- its attempts or why a reply ended, and they cannot refuse a call.

EXECUTE: Place = (execution, "execute")  # all LMs send here: it asks the cache, then attempts
EXECUTE_ASYNC: Place = (execution, "aexecute")
ATTEMPT: Place = (execution, "_attempt")  # one request to the provider
ATTEMPT_ASYNC: Place = (execution, "_aattempt")
HAND_OVER: Place = (execution, "finalize")  # turns a result into texts; the finish reason is lost
READ_MESSAGE: Place = (
    openai_chat,
    "_response_from_chat_body",
)  # reads a missing message as an empty one
READ_USAGE: Place = (openai_chat, "_usage_from_chat")  # fails on an odd usage, and loses the reply
RECORD_HISTORY: Place = (base_lm, "record_history")  # keeps 10,000 calls per LM and module
MODEL_INFO: Place = (costs, "model_info")  # reads the whole catalogue for a model that it lacks
START_THREAD: Place = (threading.Thread, "start")  # a plain thread gets no settings of DSPy

# --- LMs that do not send through `EXECUTE`: a user's own `BaseLM.forward`. DSPy 3.5 drops it.

_SENDING_METHODS = ("__call__", "acall", "forward", "aforward")


def custom_methods() -> Iterator[Place]:
    """List the functions of LM classes, or of their mixins, that send without DSPy."""
    for kind in set(_kinds_of(dspy.BaseLM)):
        for name in _SENDING_METHODS:
            owner = next((ancestor for ancestor in kind.__mro__ if name in vars(ancestor)), dspy.LM)
            is_listed_there = owner is not kind and issubclass(owner, dspy.BaseLM)
            if not (is_listed_there or owner.__module__.startswith("dspy.")):
                yield kind, name


def _kinds_of(kind: Any) -> Iterator[Any]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _kinds_of(subclass)


def asks_cache(lm: dspy.BaseLM) -> bool:
    """Return whether DSPy asks its cache before it sends a call of this LM."""
    ways = [getattr(kind, "forward", None) for kind in (type(lm), dspy.LM)]
    own_way = ways[0] is not ways[1] or "forward" in vars(lm)
    return isinstance(lm, dspy.LM) and not own_way and bool(lm.cache)


def usage_of(reply: Any) -> dict[str, Any]:
    """Return the usage of a provider's response; texts have none."""
    usage = value(reply, "usage", None)
    return dict(usage) if isinstance(usage, Iterable) else {}


# --- Calls, attempts and results, as DSPy passes them to the functions above.


@dataclass(frozen=True)
class Exchange:
    """One attempt: the arguments of `ATTEMPT`, in DSPy's order."""

    lm: Any
    call: Any
    backend: Any
    request: Any
    provider: Any
    state: Any
    results: Any

    def texts(self) -> list[object]:
        """Return everything that is sent."""
        call = self.call
        return [call.request or call.messages or call.prompt, self.lm.kwargs, call.kwargs]

    def options(self) -> Mapping[str, Any]:
        """Return the call's settings."""
        if self.request is None:
            options: Mapping[str, Any] = self.call.legacy
            return options
        return {"max_tokens": self.request.config.max_tokens}

    def replies(self) -> int:
        """Return how many replies it requests: one from an engine, all of the call from litellm."""
        return self.call.n if self.request is None else 1

    def usages(self) -> Callable[[], list[Any]]:
        """Return a function that lists the usages that are added from now on."""
        before = len(self.results)
        return lambda: [result.usage for result in self.results[before:]]

    def boundary(self) -> AbstractContextManager[None]:
        """Convert an engine's errors to DSPy's; DSPy itself does so only after our retries."""
        if not self.call.managed:
            return nullcontext()
        model, provider = self.lm.model, self.provider
        return error_boundary(model, provider=provider, unexpected=True)  # type: ignore[no-any-return]

    @property
    def may_be_repeated(self) -> bool:
        """Whether no part of a reply, such as a stream's first piece, has been passed on yet."""
        return not (self.state.completed or self.state.emitted)

    def end_retries(self) -> None:
        """Keep DSPy from adding its own retries to ours."""
        self.state.completed = True


def may_be_cached(call: Any) -> bool:
    """Return whether DSPy asks its cache for a prepared call."""
    return bool(call.cache)


def is_from_cache(result: Any) -> bool:
    """Return whether a result came from DSPy's cache."""
    return bool(result.cache_hit)


def is_typed(call: Any) -> bool:
    """Return whether the call is an lm15 request, which returns an lm15 response."""
    return call.request is not None


def finish_words(result: Any) -> list[Any]:
    """Return all finish reasons in a result, None among them.

    DSPy reads an unknown reason as "stop"; the provider's own is in the raw response.
    """
    words = [response.finish_reason for response in result.responses]
    for sent in (result.raw, *(response.provider_data for response in result.responses)):
        for choice in value(sent, "choices") or ():
            words.append(value(choice, "finish_reason"))
            native = value(choice, "provider_specific_fields")  # where litellm keeps it
            words.append(value(native, "native_finish_reason"))
        words.append(value(sent, "stop_reason"))  # Anthropic's
        words.append(value(value(sent, "incomplete_details"), "reason"))  # OpenAI's Responses API
    return words


def reply_tokens(result: Any) -> int:
    """Return the tokens of a result's longest reply, also of a cached one; 0 if unknown."""
    lengths = [response.usage.output_tokens for response in result.responses]
    lengths.append(value(value(result.raw, "usage"), "completion_tokens"))
    return max((length for length in lengths if isinstance(length, int)), default=0)


LM_LOGGER = logging.getLogger("dspy.clients.lm")  # warns of each cut reply; we count them


def tells_of_a_cut_reply(record: logging.LogRecord) -> bool:
    """Return whether a record of `LM_LOGGER` is about a cut reply; only its text says so."""
    return str(record.msg).startswith("LM response was truncated")


def fails_in_reader(error: BaseException) -> bool:
    """Return whether an error was raised by lm15's reader of replies, which has no error class."""
    frames = traceback.walk_tb(error.__traceback__)
    names = (frame.f_globals.get("__name__", "") for frame, _ in frames)
    return any(name.startswith("dspy._vendor.lm15.providers") for name in names)


def histories_of(lm: Any) -> list[MutableSequence[Any]]:
    """Return the lists to which DSPy has just added a call: its own, the LM's, the modules'."""
    return [base_lm.GLOBAL_HISTORY, *(owner.history for owner in (lm, *calling_modules()))]


# --- DSPy's cache, which may be replaced (`dspy.cache`), but has no public access to its parts.

CACHE_LOCK = dspy._cache_lock  # DSPy opens its cache under it
NOTES_OF_LITELLM = ("_hidden_params", "_response_headers")  # with URLs and headers: maybe keys
PRICE_NOTE = "response_cost"  # the one note that DSPy reads


class MemoryCache(Cache):  # type: ignore[misc]  # dspy is untyped
    """DSPy's cache in memory, with a store of ours in the place of its disk cache or none."""

    def __init__(self, memory_max_entries: int, store: Any = None) -> None:
        super().__init__(
            enable_disk_cache=False,  # it holds pickles
            enable_memory_cache=True,
            disk_cache_dir=None,
            memory_max_entries=memory_max_entries,
        )
        if store is not None:
            self.enable_disk_cache, self.disk_cache = True, store

    def remembered(self, key: str) -> Any:
        """Return a reply from memory, or None."""
        with self._lock:
            return self.memory_cache.get(key) if self.enable_memory_cache else None

    def remember(self, key: str, reply: Any) -> None:
        """Keep a reply in memory."""
        if self.enable_memory_cache:
            with self._lock:
                self.memory_cache[key] = reply

    def handed_out(self, reply: Any) -> Any:
        """Return a copy of a reply, marked as not paid."""
        return self._prepare_cached_response(reply)

    def _prepare_cached_response(self, response: Any) -> Any:
        response = super()._prepare_cached_response(response)
        if isinstance(response, AttributeDict) and "usage" in response:
            response["usage"] = {}  # like the attribute
        return response


def keeps_replies(cache: Any) -> bool:
    """Return whether a cache keeps anything."""
    return bool(cache.enable_memory_cache or cache.enable_disk_cache)


def is_on_disk(cache: Any) -> bool:
    """Return whether a cache, which may be the user's own, reads files."""
    return bool(getattr(cache, "enable_disk_cache", False))


def opened_cache() -> Any:
    """Open DSPy's own cache for the first time; call it under `CACHE_LOCK`."""
    return _get_dspy_cache()


def cache_in_place() -> Any:
    """Return the current `dspy.cache`; None if DSPy has not opened its own yet."""
    return vars(dspy).get("cache")


def put_cache(replies: Any) -> None:
    """Replace DSPy's cache; with None, DSPy opens its own when it is next used."""
    if replies is None:
        del dspy.cache
    else:
        dspy.cache = replies


# --- Replies as the cache holds them: in DSPy's format, or as litellm's or openai's classes.

_LM_CALLS = ("dspy.clients.lm15.", "dspy.clients.lm.")  # begin the names of calls in requests
_READER = dspy.BaseLM("any")
FORMAT = "_dspy_format"


def lm_call_of(request: Mapping[str, Any]) -> str:
    """Return the LM call that a cache request is for; "" for a tool's or an embedder's."""
    name = str(request.get("_fn_identifier"))
    return name if name.startswith(_LM_CALLS) else ""


def outputs_of_completion(response: Any) -> Any:
    """Read a chat or text completion as DSPy does."""
    return _READER._process_completion(response, {"logprobs": True})


LM_CLASS = "_dspy_lm_class"  # in an LM's saved state; the keys of a judge's file are checked


# --- Adapters. Their methods may be overridden, but only by subclassing; ours must keep the class.

_PARSERS = {
    inspect.unwrap(kind.parse) for kind in (dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter)
}


def parses_as_dspy_does(adapter: dspy.Adapter) -> bool:
    """Return whether an adapter parses replies by a method of DSPy's own."""
    return inspect.unwrap(type(adapter).parse) in _PARSERS


def adapter_with(adapter: dspy.Adapter, **methods: Function) -> dspy.Adapter:
    """Copy an adapter with other methods, and without its second call by JSON."""
    changed = copy.copy(adapter)
    for name, method in methods.items():
        setattr(changed, name, method)
    changed.use_json_adapter_fallback = False  # DSPy would call again for an empty reply
    return changed


def messages_of(
    adapter: dspy.Adapter,
    signature: type[dspy.Signature],
    demos: Sequence[Any],
    inputs: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return the messages of an adapter; DSPy 3.5 returns a `Prompt` that contains them."""
    messages: list[dict[str, Any]] = adapter.format(signature, list(demos), dict(inputs))
    return messages


def description_of(field: Any) -> str:
    """Return the description of a signature's field."""
    return str(field.json_schema_extra["desc"])


# --- litellm's files. Importing it takes seconds and downloads newer prices.

PRICES = Path("model_prices_and_context_window_backup.json")
TOKENIZERS = Path("litellm_core_utils", "tokenizers")


def litellm_folder() -> Path | None:
    """Return the folder of the installed litellm, without importing it."""
    spec = find_spec("litellm")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
