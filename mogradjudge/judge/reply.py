"""Reading a reply: field by field, so that one bad field does not cost the others, or whole."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Any, get_args

import dspy

from mogradjudge.criteria import Scale
from mogradjudge.errors import MogradError
from mogradjudge.judge.field_values import gives_twice, read_score, runs_on, values_of
from mogradjudge.judge.finish_reason import being_read
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.dspy_internals import adapter_with, parse_value, parses_as_dspy_does
from mogradjudge.lm.quoting import excerpt

_UNREADABLE = (dspy.AdapterParseError, ValueError, RecursionError)  # the last for "[[[[[..."


def field_by_field(adapter: dspy.Adapter | None) -> dspy.Adapter:
    """Give a copy of an adapter that turns an unreadable field into `Unscored`.

    Without an adapter it is DSPy's `ChatAdapter`. The copy sends no second call when a reply cannot
    be read. `dspy.TwoStepAdapter` stays as it is.
    """
    adapter = dspy.ChatAdapter() if adapter is None else adapter
    of_dspy = is_of_dspy(adapter)
    if of_dspy and not isinstance(adapter, dspy.ChatAdapter):  # as JSONAdapter and XMLAdapter are
        return adapter
    return adapter_with(
        adapter,
        format=adapter.format,  # what a user's own class notes there, its parse may need
        parse=partial(_parse if of_dspy else _parse_own, adapter),
    )


def as_a_whole(adapter: dspy.Adapter | None) -> dspy.Adapter:
    """Give a copy of an adapter that has one error, DSPy's own, for all that cannot be read.

    Without it a reply like ``[[[[[...`` would end a run. The copy sends no second call when a reply
    cannot be read. A class of the user's own stays as it is, and so does `dspy.TwoStepAdapter`.
    """
    adapter = dspy.ChatAdapter() if adapter is None else adapter
    if not isinstance(adapter, dspy.ChatAdapter) or not is_of_dspy(adapter):
        return adapter
    # DSPy writes the system message anew for each call, a fifth of a call's own work in a profile;
    # the calls of a round have few signatures.
    system_message = lru_cache(maxsize=64)(adapter.format_system_message)
    parse = partial(_parse_whole, adapter)
    return adapter_with(adapter, format_system_message=system_message, parse=parse)


def of_roles(adapter: dspy.Adapter | None) -> dspy.Adapter:
    """Give the adapter that critic, coach and editor speak through: one of DSPy's own.

    A class of the user's own, a template of the house say, is made for the program; for the roles
    DSPy's `ChatAdapter` stands in its place.
    """
    return as_a_whole(adapter if adapter is None or is_of_dspy(adapter) else None)


def is_of_dspy(adapter: dspy.Adapter) -> bool:
    """Say whether an adapter's class is DSPy's own or ours, and no subclass of the user's."""
    return type(adapter).__module__.partition(".")[0] in ("dspy", "mogradjudge")


def _parse_own(
    adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str
) -> dict[str, Any]:
    """Parse with a class of the user's own: any error of its own is one, and any value is checked.

    Raises:
        dspy.AdapterParseError: If nothing can be read.
    """
    try:
        is_chat = isinstance(adapter, dspy.ChatAdapter)
        values = (_parse if is_chat else type(adapter).parse)(adapter, signature, completion)
        return {
            name: _checked(signature, name, values.get(name)) for name in signature.output_fields
        }
    except (MogradError, dspy.LMError, dspy.AdapterParseError):
        raise
    except Exception as error:
        name = type(adapter).__name__
        raise dspy.AdapterParseError(name, signature, completion, str(error)) from error


def _checked(signature: type[dspy.Signature], name: str, value: object) -> object:
    if isinstance(value, Unscored):
        return value
    try:
        return parse_value(value, signature.output_fields[name].annotation)
    except _UNREADABLE:
        return Unscored(f"no readable {name} in the reply {excerpt(str(value))}")


def _parse_whole(
    adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str
) -> dict[str, Any]:
    if being_read() is not None and is_read_by_field(adapter):
        return _parse_role(adapter, signature, completion)
    return _parsed(adapter, signature, completion)


def _parse_role(
    adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str
) -> dict[str, Any]:
    """Parse what a role wrote; a field that it gave twice has no value, JSON in prose has one."""
    names = tuple(signature.output_fields)
    for name in names:
        values = values_of(completion, name, names, adapter)
        texts = {value.text.strip() for value in values}
        if len(texts) > 1 or any(map(gives_twice, texts)):
            raise _unreadable(adapter, signature, completion, f"The reply holds {name} twice.")
        if len(values) > 1 and isinstance(adapter, dspy.XMLAdapter):  # it would make a list of them
            completion = completion[: completion.rindex("<", 0, values[1].start)]
    try:
        return _parsed(adapter, signature, completion)
    except dspy.AdapterParseError:
        if "{" not in completion or not all(
            values_of(completion, name, names, adapter) or _is_named_once(name, completion)
            for name in names
        ):
            raise
        return _parsed(dspy.JSONAdapter(), signature, completion)


def _parsed(
    adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str
) -> dict[str, Any]:
    try:
        return dict(adapter.parse(signature, completion))
    except (ValueError, RecursionError) as error:
        raise _unreadable(adapter, signature, completion, str(error)) from error


def _unreadable(
    adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str, why: str
) -> dspy.AdapterParseError:
    return dspy.AdapterParseError(type(adapter).__name__, signature, completion, why)


def _parse(adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str) -> Any:
    if not is_read_by_field(adapter):
        return _parse_with(adapter, signature, completion)
    return {name: _field(adapter, signature, name, completion) for name in signature.output_fields}


def _field(
    adapter: dspy.Adapter, signature: type[dspy.Signature], name: str, completion: str
) -> object:
    names = tuple(signature.output_fields)
    values = values_of(completion, name, names, adapter)
    ending = being_read()
    if ending is not None and ending.fault:
        is_complete = values and all(value.ended for value in values)
        if not is_complete or runs_on(completion, names, adapter):
            said = excerpt(completion)
            return Unscored(f"{ending.reason}, before {name} was complete: {said}")
    if not values:
        return _repaired(adapter, signature, name, completion)
    kind = signature.output_fields[name].annotation
    if kind is str:
        return _only({value.text.strip() for value in values}, name, completion)
    scale = Scale(min(get_args(kind)), max(get_args(kind)))
    return _only({_score(value.text, scale, name) for value in values}, name, completion)


def _score(text: str, scale: Scale, name: str) -> int | None:
    written = read_score(text, scale, name)
    return None if written is None else written.score


def _only(values: set[Any], name: str, completion: str) -> object:
    """Give a field's value; one that is given twice differently has none."""
    if len(values) > 1:
        said = " and ".join(sorted("nothing" if v is None else excerpt(str(v)) for v in values))
        return Unscored(f"the reply gives {name} more than once, as {said}")
    (value,) = values
    return _no_value(name, completion) if value is None else value


def _repaired(
    adapter: dspy.Adapter, signature: type[dspy.Signature], name: str, completion: str
) -> object:
    """Read a field of a JSON reply that is not quite JSON, as DSPy does."""
    if not isinstance(adapter, dspy.JSONAdapter) or not _is_named_once(name, completion):
        return _no_value(name, completion)
    return _alone(adapter, signature, name, completion)


def _is_named_once(name: str, completion: str) -> bool:
    return len(re.findall(rf"\b{re.escape(name)}\b", completion, re.IGNORECASE)) == 1


def _parse_with(adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str) -> Any:
    """Parse with an adapter that has a way of its own to read a reply."""
    try:
        return adapter.parse(signature, completion)
    except _UNREADABLE:
        return {
            name: _alone(adapter, signature, name, completion) for name in signature.output_fields
        }


def _alone(
    adapter: dspy.Adapter, signature: type[dspy.Signature], name: str, completion: str
) -> object:
    alone = signature
    for other in signature.output_fields:
        alone = alone if other == name else alone.delete(other)
    try:
        return adapter.parse(alone, completion)[name]
    except _UNREADABLE:
        return _no_value(name, completion)


def _no_value(name: str, completion: str) -> Unscored:
    return Unscored(f"no readable {name} in the reply {excerpt(completion)}")


def is_read_by_field(adapter: dspy.Adapter) -> bool:
    """Say whether an adapter reads a reply as one of DSPy's own does; cut fields are known then."""
    return parses_as_dspy_does(adapter)
