"""What a judge reads: texts that are not blank, and conversations."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from numbers import Number

import dspy

from mogradjudge.criteria import Rubric
from mogradjudge.data.conversations import transcript
from mogradjudge.data.tables import is_blank
from mogradjudge.errors import InputError, SetupError

_SHOWN = 10  # numbers of examples in an error


def text_inputs(inputs: Mapping[str, object], rubric: Rubric) -> dict[str, str]:
    """Return the inputs that a rubric names as texts; a number is one, a conversation becomes one.

    Raises:
        SetupError: If one is not there.
        InputError: If one is missing (None, nan, pandas' NA), blank or no text.

    Example:
        >>> from mogradjudge import Criterion
        >>> rubric = Rubric(["reply"], [Criterion("clarity", "Is easy to read.")])
        >>> text_inputs({"reply": 42, "id": 7}, rubric)
        {'reply': '42'}
    """
    texts = {name: transcript(value) or value for name, value in inputs.items()}
    for name in rubric.inputs:
        if name not in inputs:
            raise SetupError(f"The judge needs the input {name!r}, got {sorted(inputs)}.")
        if not _is_readable(texts[name]):
            value = " ".join(reprlib.repr(inputs[name]).split())
            raise InputError(f"The input {name!r} must be a text that is not blank, got {value}.")
    return {name: str(texts[name]) for name in rubric.inputs}


def check_inputs(examples: Sequence[dspy.Example], rubric: Rubric, name: str) -> None:
    """Check that a judge can read all examples, before any LM call.

    Args:
        examples: The examples.
        rubric: The judge's rubric.
        name: The argument's name, for errors.

    Raises:
        InputError: If an input is missing, blank or no text; it names the examples' numbers.

    Example:
        >>> from mogradjudge import Criterion
        >>> rubric = Rubric(["reply"], [Criterion("clarity", "Is easy to read.")])
        >>> check_inputs([dspy.Example(reply="Yes."), dspy.Example(reply="")], rubric, "trainset")
        Traceback (most recent call last):
        mogradjudge.errors.InputError: `trainset`, example 2: the input 'reply' must be a text ...
    """
    faults: dict[int, SetupError] = {}
    for number, example in enumerate(examples, 1):
        try:
            text_inputs(dict(example), rubric)
        except SetupError as fault:
            faults[number] = fault
    if faults:
        numbers = ", ".join(map(str, list(faults)[:_SHOWN]))
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        first = str(next(iter(faults.values())))
        raise InputError(f"`{name}`, example {numbers}{more}: {first[0].lower()}{first[1:]}")


def _is_readable(value: object) -> bool:
    if isinstance(value, str):
        return not is_blank(value)
    try:
        return isinstance(value, Number) and bool(value == value)  # nan differs from itself
    except ArithmeticError:  # of a signalling nan
        return False
