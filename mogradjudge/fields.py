"""Reading a reply: field by field, so that one bad field does not cost the others, or whole."""

from __future__ import annotations

import copy
import re
import reprlib
from functools import lru_cache, partial
from typing import Any

import dspy

from mogradjudge.scores import Unscored
from mogradjudge.secrets import redact, secrets_of

_EXCERPT = 80  # characters of an unreadable reply that go into the reason
_UNREADABLE = (dspy.AdapterParseError, ValueError, RecursionError)  # the last for "[[[[[..."


def field_by_field(adapter: dspy.Adapter | None) -> dspy.Adapter:
    """Give a copy of an adapter that turns an unreadable field into `Unscored`.

    Without an adapter it is DSPy's `ChatAdapter`. The copy sends no second call when a reply cannot
    be read. An adapter that needs calls of its own to read a reply stays as it is.
    """
    adapter = dspy.ChatAdapter() if adapter is None else adapter
    if not isinstance(adapter, dspy.ChatAdapter):  # JSONAdapter and XMLAdapter are ChatAdapters
        return adapter
    lenient = copy.copy(adapter)
    lenient.parse = partial(_parse, adapter)
    lenient.use_json_adapter_fallback = False  # DSPy would call again for an empty reply
    return lenient


def as_a_whole(adapter: dspy.Adapter | None) -> dspy.Adapter:
    """Give a copy of an adapter that has one error, DSPy's own, for all that cannot be read.

    Without it a reply like ``[[[[[...`` would end a run. As to second calls and other adapters it
    is like `field_by_field`.
    """
    adapter = dspy.ChatAdapter() if adapter is None else adapter
    if not isinstance(adapter, dspy.ChatAdapter):
        return adapter
    strict = copy.copy(adapter)
    # DSPy writes the system message anew for each call, a fifth of a call's own work in a profile;
    # the calls of a round have few signatures.
    strict.format_system_message = lru_cache(maxsize=64)(adapter.format_system_message)
    strict.parse = partial(_parse_whole, adapter)
    strict.use_json_adapter_fallback = False
    return strict


def _parse_whole(
    adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str
) -> dict[str, Any]:
    try:
        return dict(adapter.parse(signature, completion))
    except (ValueError, RecursionError) as error:
        name = type(adapter).__name__
        raise dspy.AdapterParseError(name, signature, completion, str(error)) from error


def _parse(adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str) -> Any:
    try:
        return adapter.parse(signature, completion)
    except _UNREADABLE:
        return {
            name: _field(adapter, signature, name, completion) for name in signature.output_fields
        }


def _field(
    adapter: dspy.Adapter, signature: type[dspy.Signature], name: str, completion: str
) -> object:
    alone = signature
    for other in signature.output_fields:
        alone = alone if other == name else alone.delete(other)
    try:
        return adapter.parse(alone, _element(adapter, name, completion))[name]
    except _UNREADABLE:
        return Unscored(f"no readable {name} in the reply {excerpt(completion)}")


def _element(adapter: dspy.Adapter, name: str, completion: str) -> str:
    """Cut one XML element out; a stray & elsewhere makes the whole reply unreadable."""
    if not isinstance(adapter, dspy.XMLAdapter):
        return completion
    found = re.findall(rf"<{name}>.*?</{name}>", completion, re.DOTALL)
    return found[0] if len(found) == 1 else completion


def reason_of(error: Exception, *lms: dspy.BaseLM | None) -> str:
    """Quote the beginning of an error's text, without the keys that the LMs were given."""
    known = {secret for lm in lms if lm is not None for secret in secrets_of(lm.kwargs)}
    return excerpt(redact(str(error), known))


def excerpt(text: str) -> str:
    """Quote the beginning of a text on one line."""
    text = " ".join(text.split())
    return repr(text if len(text) <= _EXCERPT else text[: _EXCERPT - 3] + "...")


def excerpt_of(value: object) -> str:
    """Quote the beginning of any value, also of one that is nested too deeply for Python's own."""
    try:
        return excerpt(repr(value))
    except RecursionError:
        return excerpt(reprlib.repr(value))
