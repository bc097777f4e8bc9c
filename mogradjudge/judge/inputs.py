"""What a judge reads: texts that are not blank, conversations and images."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from numbers import Number
from typing import Any, TypeAlias

import dspy

from mogradjudge.criteria import Rubric
from mogradjudge.data.conversations import fault_of, read_text
from mogradjudge.data.tables import is_blank, similar
from mogradjudge.errors import InputError, SetupError
from mogradjudge.lm.images import NamedImage, NoImage, read_image

Inputs: TypeAlias = dict[str, str | NamedImage]
"""What a judge reads of a text, by input."""

_SHOWN = 10  # numbers of examples in an error


def read_inputs(
    inputs: Mapping[str, object], rubric: Rubric, *, local: bool = True, remote: bool = True
) -> Inputs:
    """Return the inputs that a rubric names; numbers and conversations become texts.

    Args:
        inputs: Texts, numbers, conversations, and for images what `read_image` takes.
        rubric: Names the inputs, and those that are images.
        local: Whether an image may be a path; not if a stranger gives it.
        remote: Whether an image may be an address.

    Raises:
        SetupError: If one is not there.
        InputError: If one is missing (None, nan, pandas' NA), blank, no text or no image.

    Example:
        >>> from mogradjudge import Criterion
        >>> rubric = Rubric(["reply"], [Criterion("clarity", "Is easy to read.")])
        >>> read_inputs({"reply": 42, "id": 7}, rubric)
        {'reply': '42'}
    """
    if missing := [name for name in rubric.inputs if name not in inputs]:
        hint = similar(missing[:1], inputs)
        advice = f" Write {missing[0]!r} in place of {hint}." if hint else ""
        raise SetupError(f"The judge needs the input {missing[0]!r}, got {sorted(inputs)}.{advice}")
    return {
        name: _image(name, inputs[name], local=local, remote=remote)
        if name in rubric.images
        else _text(name, inputs[name])
        for name in rubric.inputs
    }


def check_inputs(
    examples: Sequence[dspy.Example], rubric: Rubric, name: str, *, local: bool = True
) -> list[dspy.Example]:
    """Check that a judge can read all examples, before any LM call.

    Args:
        examples: The examples.
        rubric: The judge's rubric.
        name: The argument's name, for errors.
        local: Whether an image may be a path.

    Returns:
        The examples, with images in place of their paths, and conversations as texts.

    Raises:
        InputError: If an input is missing, blank, no text or no image; it names the examples'
            numbers.

    Example:
        >>> from mogradjudge import Criterion
        >>> rubric = Rubric(["reply"], [Criterion("clarity", "Is easy to read.")])
        >>> check_inputs([dspy.Example(reply="Yes."), dspy.Example(reply="")], rubric, "trainset")
        Traceback (most recent call last):
        mogradjudge.errors.InputError: `trainset`, example 2: the input 'reply' must be a text ...
    """
    faults: dict[int, SetupError] = {}
    readable = []
    for number, example in enumerate(examples, 1):
        try:
            inputs = read_inputs(dict(example), rubric, local=local)
            readable.append(_with_read(example, inputs))
        except SetupError as fault:
            faults[number] = fault
    if faults:
        numbers = ", ".join(map(str, list(faults)[:_SHOWN]))
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        first = str(next(iter(faults.values())))
        raise InputError(f"`{name}`, example {numbers}{more}: {first[0].lower()}{first[1:]}")
    return readable


def _with_read(example: dspy.Example, inputs: Inputs) -> dspy.Example:
    """Put what was read into an example; its texts and numbers stay as they are."""
    changed = {
        name: value
        for name, value in inputs.items()
        if isinstance(value, NamedImage) or str(example[name]) != value
    }
    return example.copy(**changed) if changed else example


def _image(name: str, value: Any, *, local: bool, remote: bool) -> NamedImage:
    try:
        return read_image(value, local=local, remote=remote)
    except NoImage as reason:
        raise InputError(
            f"The input {name!r} must be an image, but {reason}: {_excerpt(value)}."
        ) from reason


def _text(name: str, value: object) -> str:
    text = read_text(value)
    if _is_readable(text):
        return str(text)
    fault = fault_of(value, in_conversations=not isinstance(value, str))
    rule = f"a conversation, but {fault}:" if fault else "a text that is not blank, got"
    raise InputError(f"The input {name!r} must be {rule} {_excerpt(value)}.")


def _excerpt(value: object) -> str:
    return " ".join(reprlib.repr(value).split())


def _is_readable(value: object) -> bool:
    if isinstance(value, str):
        return not is_blank(value)
    try:
        return isinstance(value, Number) and bool(value == value)  # nan differs from itself
    except ArithmeticError:  # of a signalling nan
        return False
