"""Splits that keep a group of examples on one side, and the check that two share no text."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import dspy

from mogradjudge.data.examples import listed
from mogradjudge.errors import SetupError
from mogradjudge.hashing import digest


def group_of(example: dspy.Example, index: int, *, by_group: bool = True) -> str:
    """Name the group of an example; one that has none is a group of its own, by its index.

    So is each where a field ``group`` is data like any other, and not asked for.
    """
    group = example.get("group") if by_group else None
    return f"example {index}" if group is None else str(group)


def split_by_group(
    examples: Iterable[dspy.Example],
    fractions: Sequence[float] = (0.5, 0.2, 0.3),
    seed: int = 0,
    *,
    by_group: bool = True,
) -> tuple[list[dspy.Example], ...]:
    """Split examples at random into parts of about these sizes, without splitting a group.

    Examples with equal inputs belong together, too.

    No part is empty, and no move or exchange of groups would bring the numbers of examples closer
    to the fractions. Inside a part the examples keep their order.

    Args:
        examples: Each with a ``group``, or a group of its own.
        fractions: Two or more shares above 0 that sum to 1; a part for each.
        seed: Any integer; the same one gives the same parts.
        by_group: Whether a field ``group`` names the group; else it is a field like all others.

    Raises:
        SetupError: If the fractions are not valid, there are fewer groups than parts, or something
            else than examples is given.
    """
    if len(fractions) < 2 or not all(share > 0 for share in fractions):
        raise SetupError(f"`fractions` must hold two or more positive numbers, got {fractions!r}.")
    if abs(sum(fractions) - 1) > 1e-6:
        raise SetupError(f"`fractions` must sum to 1, got {fractions!r}: {sum(fractions):g}.")
    examples = listed(examples, "examples")
    groups = _groups(examples, by_group=by_group)
    if len(groups) < len(fractions):
        raise SetupError(
            f"A split into {len(fractions)} parts needs at least as many groups, got "
            f"{len(groups)} (of {len(examples)} examples; equal inputs belong together). Add data, "
            "or split into fewer parts."
        )
    random.Random(seed).shuffle(groups)
    parts = _deal(groups, [share * len(examples) for share in fractions])
    return tuple([examples[index] for index in sorted(chain(*part))] for part in parts)


def _groups(examples: Sequence[dspy.Example], *, by_group: bool) -> list[list[int]]:
    """Give the places of the examples that belong together, in the order of the first ones."""
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
        giver, taker, given, taken = exchange
        _hand_over(parts[giver], parts[taker], given)
        _hand_over(parts[taker], parts[giver], taken)
        gaps[giver] += given - taken
        gaps[taker] -= given - taken
    return parts


def _best_exchange(
    parts: list[list[list[int]]], gaps: list[float]
) -> tuple[int, int, int, int] | None:
    """Find the two parts, and the sizes of the groups to swap (0 for none), that help most."""
    best, exchange = -1e-6, None
    sizes = [sorted({len(group) for group in part}) for part in parts]
    for giver, taker in ((a, b) for a in range(len(parts)) for b in range(len(parts)) if a != b):
        back = [*sizes[taker], 0] if len(parts[giver]) > 1 else sizes[taker]
        for given, taken in ((size, taken) for size in sizes[giver] for taken in back):
            shift = given - taken
            # Half of what the shift adds to the sum of the squared gaps.
            change = shift * (gaps[giver] - gaps[taker] + shift)
            if change < best:
                best, exchange = change, (giver, taker, given, taken)
    return exchange


def _hand_over(giver: list[list[int]], taker: list[list[int]], size: int) -> None:
    if size:
        place = next(place for place, group in enumerate(giver) if len(group) == size)
        taker.append(giver.pop(place))


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
