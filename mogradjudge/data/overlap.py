"""Two sets of examples that must not share a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from mogradjudge.errors import SetupError
from mogradjudge.hashing import digest


def example_key(example: dspy.Example) -> str:
    """Name an example by the inputs that it shows to the judge."""
    return inputs_key(example)[:16]


def inputs_key(example: dspy.Example) -> str:
    """Tell examples with the same inputs from all others."""
    return key_of(_shown(example))


def key_of(inputs: Mapping[str, object]) -> str:
    """Tell the same inputs from all others."""
    return digest(dict(inputs))


def check_disjoint(
    first: Sequence[dspy.Example], second: Sequence[dspy.Example], what: tuple[str, str]
) -> None:
    """Refuse two sets of examples that show the judge the same texts.

    Raises:
        SetupError: If they overlap; it calls the two sets by the names in ``what``.
    """
    keys = {inputs_key(example) for example in first}
    shared = {key: example for example in second if (key := inputs_key(example)) in keys}
    if shared:
        # The text that is judged comes last by habit, after what it was written from.
        text = str(list(_shown(next(iter(shared.values()))).values())[-1])
        count = "1 text" if len(shared) == 1 else f"{len(shared)} texts"
        raise SetupError(
            f"{what[0]} and {what[1]} examples overlap on {count}, e.g. {text[:60]!r}. "
            "Take what is shared out of one of the two."
        )


def _shown(example: dspy.Example) -> dict[str, Any]:
    try:
        return dict(example.inputs().items())
    except ValueError as error:  # dspy's, for an example that names no inputs
        raise SetupError(
            "Each example must name its inputs with `with_inputs(...)`, "
            f"got one that has only {sorted(example.keys())!r}."
        ) from error
