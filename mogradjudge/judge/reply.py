"""Parses replies: field by field, so one bad field affects no other, or as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, get_args

import dspy

from mogradjudge.criteria import Rubric, Scale
from mogradjudge.criteria.applicability import NOT_APPLICABLE
from mogradjudge.errors import MogradError
from mogradjudge.judge.field_values import (
    gives_twice,
    plain_text,
    read_score,
    runs_on,
    values_of,
    without_name,
)
from mogradjudge.judge.finish_reason import being_read
from mogradjudge.judge.scores import Unscored
from mogradjudge.judge.words import (
    Words,
    level_of,
    means_not_applicable,
    mentions_not_applicable,
    words_of,
)
from mogradjudge.lm.dspy_internals import adapter_with, parse_value, parses_as_dspy_does
from mogradjudge.lm.quoting import excerpt

_UNREADABLE = (dspy.AdapterParseError, ValueError, RecursionError)  # the last for "[[[[[..."


def field_by_field(adapter: dspy.Adapter | None, rubric: Rubric | None = None) -> dspy.Adapter:
    r"""Copy an adapter so that an unreadable field becomes `Unscored`.

    None stands for `dspy.ChatAdapter`. The copy sends no second call when a reply cannot be read.
    `dspy.TwoStepAdapter` stays as it is. A level's bare name is read as its score where the rubric
    is given.

    Example:
        >>> signature = dspy.Signature("reply -> clarity: Literal[1, 2, 3]")
        >>> field_by_field(None).parse(signature, "[[ ## clarity ## ]]\n3")
        {'clarity': 3}
    """
    adapter = dspy.ChatAdapter() if adapter is None else adapter
    of_dspy = is_of_dspy(adapter)
    if of_dspy and not isinstance(adapter, dspy.ChatAdapter):  # as JSONAdapter and XMLAdapter are
        return adapter
    return adapter_with(
        adapter,
        format=adapter.format,  # what a user's own class notes there, its parse may need
        parse=partial(_parse if of_dspy else _parse_own, adapter, words=words_of(rubric)),
    )


def as_a_whole(adapter: dspy.Adapter | None) -> dspy.Adapter:
    """Copy an adapter so that every unreadable reply raises `dspy.AdapterParseError`.

    Otherwise a reply like ``[[[[[...`` would stop a run with another error. The copy sends no
    second call when a reply cannot be read. A user's own class stays as it is, and so does
    `dspy.TwoStepAdapter`.
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
    """Return the adapter of critic, coach and editor: always one of DSPy's own.

    A user's own class is made for the program; the roles use `dspy.ChatAdapter` instead.

    Example:
        >>> type(of_roles(dspy.JSONAdapter())).__name__
        'JSONAdapter'
    """
    return as_a_whole(adapter if adapter is None or is_of_dspy(adapter) else None)


def is_of_dspy(adapter: dspy.Adapter) -> bool:
    """Say whether an adapter's class is DSPy's or ours, not a user's subclass."""
    return type(adapter).__module__.partition(".")[0] in ("dspy", "mogradjudge")


def _parse_own(
    adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str, words: Words
) -> dict[str, Any]:
    """Parse with a user's own adapter class, and check each value.

    Raises:
        dspy.AdapterParseError: If nothing can be read.
    """
    try:
        is_chat = isinstance(adapter, dspy.ChatAdapter)
        parse = partial(_parse, words=words) if is_chat else type(adapter).parse
        values = parse(adapter, signature, completion)
        return {
            name: _checked(signature, name, values.get(name), words.get(name, {}))
            for name in signature.output_fields
        }
    except (MogradError, dspy.LMError, dspy.AdapterParseError):
        raise
    except Exception as error:
        name = type(adapter).__name__
        raise dspy.AdapterParseError(name, signature, completion, str(error)) from error


def _checked(
    signature: type[dspy.Signature], name: str, value: object, words: Mapping[str, int]
) -> object:
    if isinstance(value, Unscored):
        return value
    if isinstance(value, str) and (score := _word(value, signature, name, words)) is not None:
        return score
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
    """Parse a role's reply, whatever text surrounds its JSON.

    Raises:
        dspy.AdapterParseError: If nothing can be read, or a field has two values.
    """
    for name in signature.output_fields:
        completion = _with_one_value(adapter, signature, name, completion)
    try:
        return _parsed(adapter, signature, completion)
    except dspy.AdapterParseError:
        if not _may_hold_json(adapter, tuple(signature.output_fields), completion):
            raise
        return _parsed(dspy.JSONAdapter(), signature, completion)


def _with_one_value(
    adapter: dspy.Adapter, signature: type[dspy.Signature], name: str, completion: str
) -> str:
    """Cut off what repeats a field's value.

    Raises:
        dspy.AdapterParseError: If the reply gives the field two values.
    """
    values = values_of(completion, name, tuple(signature.output_fields), adapter)
    texts = {value.text.strip() for value in values}
    if len(texts) > 1 or any(map(gives_twice, texts)):
        raise _unreadable(adapter, signature, completion, f"The reply holds {name} twice.")
    if len(values) > 1 and isinstance(adapter, dspy.XMLAdapter):  # it would make a list of them
        return completion[: completion.rindex("<", 0, values[1].start)]
    return completion


def _may_hold_json(adapter: dspy.Adapter, names: tuple[str, ...], completion: str) -> bool:
    return "{" in completion and all(
        values_of(completion, name, names, adapter) or _is_named_once(name, completion)
        for name in names
    )


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


def _parse(
    adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str, words: Words
) -> Any:
    if not is_read_by_field(adapter):
        return _parse_with(adapter, signature, completion)
    return {
        name: _field(adapter, signature, name, completion, words.get(name, {}))
        for name in signature.output_fields
    }


def _field(
    adapter: dspy.Adapter,
    signature: type[dspy.Signature],
    name: str,
    completion: str,
    words: Mapping[str, int],
) -> object:
    names = tuple(signature.output_fields)
    values = values_of(completion, name, names, adapter)
    ending = being_read()
    if ending is not None and ending.fault:
        is_complete = values and all(value.ended for value in values)
        if not is_complete or runs_on(completion, names, adapter):
            text = excerpt(completion)
            return Unscored(f"{ending.reason}, before {name} was complete: {text}")
    if not values:
        return _repaired(adapter, signature, name, completion)
    if signature.output_fields[name].annotation is str:
        return _only({value.text.strip() for value in values}, name, completion)
    return _only({_score(value.text, signature, name, words) for value in values}, name, completion)


def _score(
    text: str, signature: type[dspy.Signature], name: str, words: Mapping[str, int]
) -> int | str | None:
    if (word := _word(text, signature, name, words)) is not None:
        return word
    allowed = _allowed(signature, name)
    if NOT_APPLICABLE in allowed and mentions_not_applicable(text):
        return None
    levels = [it for it in allowed if isinstance(it, int)]
    written = read_score(text, Scale(min(levels), max(levels)), name)
    return None if written is None else written.score


def _word(
    text: str, signature: type[dspy.Signature], name: str, words: Mapping[str, int]
) -> int | str | None:
    """Return the score of a level's bare name, or that the criterion does not apply."""
    allowed = _allowed(signature, name)
    for said in (text, without_name(plain_text(text), name).lstrip(" :=")):  # or "tone: n/a"
        if NOT_APPLICABLE in allowed and means_not_applicable(said, allowed):
            return NOT_APPLICABLE
        if (level := level_of(said, words)) is not None:
            return level
    return None


def _allowed(signature: type[dspy.Signature], name: str) -> tuple[object, ...]:
    return get_args(signature.output_fields[name].annotation)


def _only(values: set[Any], name: str, completion: str) -> object:
    """Return a field's one value; `Unscored` if the reply gives several."""
    if len(values) > 1:
        texts = sorted("nothing" if value is None else excerpt(str(value)) for value in values)
        return Unscored(f"the reply gives {name} more than once, as {' and '.join(texts)}")
    (value,) = values
    return _no_value(name, completion) if value is None else value


def _repaired(
    adapter: dspy.Adapter, signature: type[dspy.Signature], name: str, completion: str
) -> object:
    """Read a field of a reply that is almost JSON, as DSPy does."""
    if not isinstance(adapter, dspy.JSONAdapter) or not _is_named_once(name, completion):
        return _no_value(name, completion)
    return _alone(adapter, signature, name, completion)


def _is_named_once(name: str, completion: str) -> bool:
    return len(re.findall(rf"\b{re.escape(name)}\b", completion, re.IGNORECASE)) == 1


def _parse_with(adapter: dspy.Adapter, signature: type[dspy.Signature], completion: str) -> Any:
    """Parse with an adapter that does not read replies by field."""
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
    """Say whether an adapter parses as DSPy's own do; only then cut fields are known."""
    return parses_as_dspy_does(adapter)
