"""Reading a reply field by field, so that one bad field does not cost the others."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import dspy

from mogradjudge.scores import Unscored

_EXCERPT = 80  # characters of an unreadable reply that go into the reason


def field_by_field(adapter: dspy.Adapter | None) -> dspy.Adapter:
    """Give a copy of an adapter that turns an unreadable field into `Unscored`.

    Without an adapter it is DSPy's `ChatAdapter`, without the second call that it would send when
    a reply cannot be read. An adapter that needs calls of its own to read a reply stays as it is.
    """
    if adapter is None:
        adapter = dspy.ChatAdapter(use_json_adapter_fallback=False)
    if not isinstance(adapter, dspy.ChatAdapter):  # JSONAdapter and XMLAdapter are ChatAdapters
        return adapter
    lenient = copy.copy(adapter)
    lenient.parse = partial(_parse, adapter)
    return lenient


def _parse(adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str) -> Any:
    try:
        return adapter.parse(signature, completion)
    except (dspy.AdapterParseError, ValueError):
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
        return adapter.parse(alone, completion)[name]
    except (dspy.AdapterParseError, ValueError):
        return Unscored(f"no readable {name} in the reply {excerpt(completion)}")


def excerpt(text: str) -> str:
    """Quote the beginning of a text on one line."""
    text = " ".join(text.split())
    return repr(text if len(text) <= _EXCERPT else text[: _EXCERPT - 3] + "...")
