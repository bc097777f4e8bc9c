"""Splits that keep each group in one part, and a check that two sets share no text."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, permutations, product
from typing import Any, Literal

import dspy

from mogradjudge.data.examples import listed
from mogradjudge.data.grouping import found_groups
from mogradjudge.errors import SetupError
from mogradjudge.hashing import digest
from mogradjudge.lm.images import identity
from mogradjudge.lm.media import name_of_media


def group_of(example: dspy.Example, index: int, *, by_group: bool = True) -> str:
    """Return the name of an example's group; without one it is a group of its own.

    None, a blank text and the missing values of numpy and pandas name no group.

    Args:
        example: The example.
        index: Its place in the data set; it names the group of an example without one.
        by_group: Whether a field ``group`` names the group; else it is a field like all others.

    Example:
        >>> group_of(dspy.Example(group="a"), 0), group_of(dspy.Example(text="b"), 1)
        ('a', 'example 1')
    """
    return (_name(example, "group") if by_group else None) or f"example {index}"


def _name(example: dspy.Example, field: str) -> str | None:
    value = example.get(field)
    name = str(value)
    return None if not name.strip() or _is_missing(value, name) else name


def _is_missing(value: object, shown: str) -> bool:
    # Known by how they are shown, as pandas need not be installed.
    return not isinstance(value, str) and shown in ("None", "nan", "NaT", "<NA>")


def with_groups(
    examples: Sequence[dspy.Example],
    group: str | Literal[False] | None = None,
    off: str = "Rubric(group=False)",
) -> Sequence[dspy.Example]:
    """Return the examples with a ``group`` each, if none has one and their fields name it.

    Args:
        examples: The examples; they are not changed.
        group: The field that names an example's group; with None, or where it is missing, an input
            that many examples share (`found_groups`); with False none.
        off: What turns the search for an input off, for the line that says so.

    Example:
        >>> rows = [dspy.Example(a=n // 2, b=n).with_inputs("a", "b") for n in range(16)]
        >>> [example.group for example in with_groups(rows)][:4]
        ['0', '0', '1', '1']
    """
    if group is False or not examples or has_groups(examples):
        return examples
    groups: Sequence[str | None] | None
    if group is not None and all(group in example for example in examples):
        groups = [_name(example, group) for example in examples]
    else:
        groups = _found_groups(examples, off)
    if groups is None:
        return examples
    return [example.copy(group=name) for example, name in zip(examples, groups, strict=True)]


def has_groups(examples: Iterable[dspy.Example]) -> bool:
    """Say whether some examples have a ``group``.

    Example:
        >>> has_groups([dspy.Example(text="a"), dspy.Example(text="b", group="1")])
        True
    """
    return any(_name(example, "group") is not None for example in examples)


def _found_groups(examples: Sequence[dspy.Example], off: str) -> list[str] | None:
    try:
        rows = [_shown(example) for example in examples]
    except SetupError:  # they name no inputs yet
        return None
    inputs = {name: [str(identity(row.get(name))) for row in rows] for name in rows[0]}
    return found_groups(inputs, "No group is set", off)


def split_by_group(
    examples: Iterable[dspy.Example],
    fractions: Sequence[float] = (0.5, 0.2, 0.3),
    seed: int = 0,
    *,
    by_group: bool = True,
) -> tuple[list[dspy.Example], ...]:
    """Split examples at random into parts of about these sizes, without splitting a group.

    Examples with equal inputs belong together, too; so do those that share an input, where no
    example has a ``group`` (`with_groups`). No part is empty, and no move or exchange of groups
    would bring the numbers of examples closer to the fractions. Inside a part the examples keep
    their order.

    Args:
        examples: Each with a ``group``, or a group of its own.
        fractions: Two or more shares above 0 that sum to 1; a part for each.
        seed: Any integer; the same one gives the same parts.
        by_group: Whether a field ``group`` names the group; else it is a field like all others.

    Raises:
        SetupError: If the fractions are not valid, there are fewer groups than parts, or something
            else than examples is given.

    Example:
        >>> texts = [dspy.Example(text=text, group=text[0]) for text in ("a1", "a2", "b1")]
        >>> sorted(len(part) for part in split_by_group(texts, (0.5, 0.5)))
        [1, 2]
    """
    _check_fractions(fractions)
    examples = listed(examples, "examples")
    named = with_groups(examples, off="by_group=False") if by_group else examples
    groups = places_by_group(named, by_group=by_group)
    if len(groups) < len(fractions):
        raise _too_few(examples, len(groups), len(fractions), named=named)
    random.Random(seed).shuffle(groups)
    parts = _deal(groups, [share * len(examples) for share in fractions])
    return tuple([examples[index] for index in sorted(chain(*part))] for part in parts)


def _too_few(
    examples: Sequence[dspy.Example], groups: int, parts: int, *, named: Sequence[dspy.Example]
) -> SetupError:
    larger = has_groups(named) and groups < len(examples)
    off = "If no group was set, turn off that one is found: group = false in the rubric."
    return SetupError(
        f"A split into {parts} parts needs at least as many groups, got {groups} (of "
        f"{len(examples)} examples; equal inputs {'and equal groups ' if larger else ''}belong "
        f"together). Add data, or split into fewer parts.{f' {off}' if larger else ''}"
    )


def _check_fractions(fractions: Sequence[float]) -> None:
    if len(fractions) < 2 or not all(share > 0 for share in fractions):
        raise SetupError(f"`fractions` must be two or more positive numbers, got {fractions!r}.")
    if abs(sum(fractions) - 1) > 1e-6:
        raise SetupError(f"`fractions` must sum to 1, got {fractions!r}: {sum(fractions):g}.")


def places_by_group(examples: Sequence[dspy.Example], *, by_group: bool = True) -> list[list[int]]:
    """Return the places of the examples that belong together, group by group.

    Args:
        examples: Each with a ``group``, or a group of its own; equal inputs belong together.
        by_group: Whether a field ``group`` names the group; else it is a field like all others.

    Example:
        >>> places_by_group([dspy.Example(text=text, group=text[0]) for text in ("a1", "b1", "a2")])
        [[0, 2], [1]]
    """
    firsts = list(range(len(examples)))  # the first place of an example's group, or nearer to it
    known: dict[str, int] = {}

    def first(place: int) -> int:
        while firsts[place] != place:
            firsts[place] = firsts[firsts[place]]
            place = firsts[place]
        return place

    for index, example in enumerate(examples):
        for name in _names(example, index, by_group=by_group):
            before, after = sorted((first(index), first(known.setdefault(name, index))))
            firsts[after] = before
    members: dict[int, list[int]] = {}
    for index in range(len(examples)):
        members.setdefault(first(index), []).append(index)
    return list(members.values())


def _names(example: dspy.Example, index: int, *, by_group: bool) -> Iterator[str]:
    yield f"group {group_of(example, index, by_group=by_group)}"
    try:
        yield f"inputs {inputs_key(example)}"
    except SetupError:  # it names no inputs yet
        return


def _deal(groups: list[list[int]], targets: list[float]) -> list[list[list[int]]]:
    parts = [[group] for group in groups[: len(targets)]]
    gaps = [target - len(group) for target, group in zip(targets, groups, strict=False)]
    for group in groups[len(targets) :]:
        neediest = gaps.index(max(gaps))
        parts[neediest].append(group)
        gaps[neediest] -= len(group)
    while exchange := _best_exchange(parts, gaps):
        first, second, sent, returned = exchange
        _hand_over(parts[first], parts[second], sent)
        _hand_over(parts[second], parts[first], returned)
        gaps[first] += sent - returned
        gaps[second] -= sent - returned
    return parts


def _best_exchange(
    parts: list[list[list[int]]], gaps: list[float]
) -> tuple[int, int, int, int] | None:
    """Find the two parts and the sizes of the groups to swap (0 for none) that help most."""
    best, exchange = -1e-6, None
    sizes = [sorted({len(group) for group in part}) for part in parts]
    for first, second in permutations(range(len(parts)), 2):
        back = [*sizes[second], 0] if len(parts[first]) > 1 else sizes[second]
        for sent, returned in product(sizes[first], back):
            shift = sent - returned
            # Half of what the shift adds to the sum of the squared gaps.
            change = shift * (gaps[first] - gaps[second] + shift)
            if change < best:
                best, exchange = change, (first, second, sent, returned)
    return exchange


def _hand_over(giver: list[list[int]], taker: list[list[int]], size: int) -> None:
    if size:
        place = next(place for place, group in enumerate(giver) if len(group) == size)
        taker.append(giver.pop(place))


def example_key(example: dspy.Example) -> str:
    """Return a short key of an example's inputs.

    Example:
        >>> len(example_key(dspy.Example(text="a").with_inputs("text")))
        16
    """
    return inputs_key(example)[:16]


def inputs_key(example: dspy.Example) -> str:
    """Return a key that only examples with the same inputs share.

    Example:
        >>> rated = dspy.Example(text="a", human=4).with_inputs("text")
        >>> inputs_key(rated) == key_of({"text": "a"})
        True
    """
    return key_of(_shown(example))


def key_of(inputs: Mapping[str, object]) -> str:
    """Return a key that only the same inputs share.

    Example:
        >>> key_of({"text": "a"}) == key_of({"text": "b"})
        False
    """
    return digest({name: identity(value) for name, value in inputs.items()})


def check_disjoint(
    first: Sequence[dspy.Example], second: Sequence[dspy.Example], what: tuple[str, str]
) -> None:
    """Check that two sets of examples share no inputs.

    Args:
        first: A set.
        second: Another one.
        what: Their names in the error.

    Raises:
        SetupError: If they overlap.

    Example:
        >>> one, two = (dspy.Example(text=text).with_inputs("text") for text in "ab")
        >>> check_disjoint([one], [two], ("training", "test"))
    """
    keys = {inputs_key(example) for example in first}
    shared = {key: example for example in second if (key := inputs_key(example)) in keys}
    if shared:
        # The text that is judged comes last by habit, after what it was written from.
        last = list(_shown(next(iter(shared.values()))).values())[-1]
        text = name_of_media(last) or str(last)
        count = "1 text" if len(shared) == 1 else f"{len(shared)} texts"
        raise SetupError(
            f"{what[0]} and {what[1]} examples overlap on {count}, e.g. {text[:60]!r}. "
            "Remove the shared texts from one of them."
        )


def _shown(example: dspy.Example) -> dict[str, Any]:
    try:
        return dict(example.inputs().items())
    except ValueError as error:  # dspy's, for an example that names no inputs
        raise SetupError(
            "Each example must name its inputs with `with_inputs(...)`, "
            f"got one that has only {sorted(example.keys())!r}."
        ) from error
