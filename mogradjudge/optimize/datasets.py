"""Splits and checks the examples of a run before any call is paid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import dspy

from mogradjudge.criteria import Rubric
from mogradjudge.data import (
    check_disjoint,
    has_groups,
    listed,
    places_by_group,
    split_by_group,
    with_groups,
)
from mogradjudge.errors import SetupError
from mogradjudge.judge.inputs import check_inputs
from mogradjudge.objectives.human_agreement import agreement_options
from mogradjudge.objectives.rubric import check_measurable, check_ratings
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.confirmation import FEWEST_DOCUMENTS, documents_needed

SHARES = {"training": 0.4, "validation": 0.3, "confirmation": 0.3}
"""The parts of the training set where no validation set is given."""
SHARES_WITHOUT_CONFIRMATION = {"training": 0.6, "validation": 0.4}
SHARES_OF_VALIDATION = {"validation": 0.6, "confirmation": 0.4}
"""The parts of a validation set that is given."""


_USES = {
    "training": "to write critiques on",
    "validation": "to choose by",
    "confirmation": "to confirm the result on",
    "test": "held out",
}


@dataclass(frozen=True)
class RunData:
    """A run's examples by part, and how many documents a confirmation would need.

    ``parts`` holds ``"training"``, ``"validation"``, ``"confirmation"`` and ``"test"``; the last
    two may be empty. ``needed`` is None unless there are too few documents to confirm on.
    """

    parts: Mapping[str, list[dspy.Example]]
    needed: int | None = None

    def describe(self) -> str:
        """Say how many texts are used for what.

        >>> RunData({"training": [dspy.Example()], "confirmation": []}).describe()
        'Texts: 1 to write critiques on.'
        """
        used = (
            f"{len(self.parts[name])} {use}" for name, use in _USES.items() if self.parts.get(name)
        )
        return f"Texts: {', '.join(used)}."


def examples_of(
    config: MOGradConfig,
    rubric: Rubric | None,
    trainset: Iterable[dspy.Example],
    valset: Iterable[dspy.Example] | None,
    testset: Iterable[dspy.Example],
    *,
    by_group: bool = True,
    judged: Rubric | None = None,
) -> RunData:
    """Split and check a run's examples.

    Where no example has a ``group``, those that a rubric rates may be grouped by an input that they
    share (`with_groups`).

    Args:
        config: The run's settings.
        rubric: What the examples must be rated on; None if the objectives read other fields.
        trainset: The examples that critiques are written on.
        valset: The examples that candidates are compared on. Two fifths of them, by whole groups,
            are set aside to confirm the result. If None, the training set is split into 40, 30 and
            30 % for training, validation and confirmation. Where fewer than 16 documents would be
            left to confirm on, none are set aside.
        testset: The held-out examples; it may be empty.
        by_group: Whether a field ``group`` names the group; else only equal inputs form one.
        judged: The rubric of the judge that reads the examples; None for another program.

    Raises:
        SetupError: If an agreement cannot be computed from them.

    >>> examples = [dspy.Example(text=text).with_inputs("text") for text in "abcde"]
    >>> data = examples_of(MOGradConfig(), None, examples, None, (), by_group=False)
    >>> {name: len(part) for name, part in data.parts.items()}, data.needed
    ({'training': 3, 'validation': 2, 'confirmation': 0, 'test': 0}, 54)
    """
    sets = {"trainset": _nonempty(trainset, "trainset"), "testset": listed(testset, "testset")}
    if valset is not None:
        sets["valset"] = _nonempty(valset, "valset")
    if judged is not None:
        sets = {name: check_inputs(part, judged, name) for name, part in sets.items()}
    _check_sets(sets, rubric)
    if rubric is not None:
        sets = grouped(sets, rubric)
    by_group = by_group and has_groups(sets["trainset"])  # so a split looks for no groups
    data = split_run(config, sets["trainset"], sets.get("valset"), by_group=by_group)
    known = [example for part in data.parts.values() for example in part]
    check_disjoint(known, sets["testset"], ("training or validation", "test"))
    parts = {**data.parts, "test": sets["testset"]}
    if rubric is None:
        return replace(data, parts=parts)
    options = agreement_options(rubric, config.level, config.measure)
    for name, examples in parts.items():
        if examples and name != "training":
            check_measurable(examples, rubric, options, name)
    return replace(data, parts=parts)


def _check_sets(sets: Mapping[str, list[dspy.Example]], rubric: Rubric | None) -> None:
    """Check what stands in the examples, before a split gives them other numbers."""
    for name, examples in sets.items():
        if rubric is not None:
            check_disjoint(examples, (), (name, ""))  # which needs their inputs' names
            check_ratings(examples, rubric, f"`{name}`")


def split_run(
    config: MOGradConfig,
    train: list[dspy.Example],
    validation: list[dspy.Example] | None = None,
    *,
    by_group: bool,
) -> RunData:
    """Split examples as `examples_of` does, without its checks.

    >>> texts = [dspy.Example(text=text).with_inputs("text") for text in "abcde"]
    >>> split_run(MOGradConfig(confirm="off"), texts, by_group=False).describe()
    'Texts: 3 to write critiques on, 2 to choose by.'
    """
    if validation is None:
        data = split_to_confirm(config, train, SHARES, by_group=by_group)
        if not data.parts["confirmation"]:
            shares = tuple(SHARES_WITHOUT_CONFIRMATION.values())
            train, validation = split_by_group(train, shares, config.seed, by_group=by_group)
            data = replace(
                data, parts={"training": train, "validation": validation, "confirmation": []}
            )
    else:
        check_disjoint(train, validation, ("training", "validation"))
        data = split_to_confirm(config, validation, SHARES_OF_VALIDATION, by_group=by_group)
        if not data.parts["confirmation"]:
            data = replace(data, parts={"validation": validation, "confirmation": []})
        data = replace(data, parts={"training": train, **data.parts})
    return data


def split_to_confirm(
    config: MOGradConfig,
    examples: list[dspy.Example],
    shares: Mapping[str, float],
    *,
    by_group: bool,
) -> RunData:
    """Split examples by whole groups, so that a result can be confirmed on a part of them.

    Args:
        config: The run's settings.
        examples: The examples.
        shares: By part; one of them is ``"confirmation"``.
        by_group: Whether a field ``group`` names the group; else only equal inputs form one.

    Returns:
        The parts; only an empty ``"confirmation"`` where none is wanted or it would be too small.

    >>> texts = [dspy.Example(text=text).with_inputs("text") for text in "abcde"]
    >>> split_to_confirm(MOGradConfig(), texts, SHARES_OF_VALIDATION, by_group=False)
    RunData(parts={'confirmation': []}, needed=40)
    """
    nothing = RunData({"confirmation": []})
    if config.confirm == "off":
        return nothing
    needed = documents_needed(shares["confirmation"])
    if len(places_by_group(examples, by_group=by_group)) >= needed:
        split = split_by_group(examples, tuple(shares.values()), config.seed, by_group=by_group)
        parts = dict(zip(shares, split, strict=True))
        documents = len(places_by_group(parts["confirmation"], by_group=by_group))
        if documents >= FEWEST_DOCUMENTS:
            return RunData(parts)
        needed = math.ceil(needed * FEWEST_DOCUMENTS / documents)  # some hold very many texts
    return replace(nothing, needed=needed)


def too_few_to_confirm(
    config: MOGradConfig, examples: Sequence[dspy.Example], test: Sequence[dspy.Example] = ()
) -> str:
    """Say why a run cannot confirm its result, and what to do; empty if it can or should not.

    Args:
        config: The run's settings.
        examples: The texts to optimize on.
        test: The held-out ones.

    >>> texts = [dspy.Example(text=str(n)).with_inputs("text") for n in range(60)]
    >>> too_few_to_confirm(MOGradConfig(), texts)
    ''
    >>> too_few_to_confirm(MOGradConfig(), texts[:42], texts[42:])  # doctest: +ELLIPSIS
    'Too few documents to confirm a gain: a run needs 54 besides the 18 held out, and has 42. ...'
    """
    by_group = has_groups(examples)
    needed = split_to_confirm(config, [*examples], SHARES, by_group=by_group).needed
    if needed is None:
        return ""
    has, held_out = (len(places_by_group(it, by_group=by_group)) for it in (examples, test))
    besides = f" besides the {held_out} held out" if test else ""
    advice = " Add rated documents, or take the result as not confirmed."
    whole = split_to_confirm(config, [*examples, *test], SHARES, by_group=by_group)
    if test and whole.parts["confirmation"]:
        advice = " Leave --test-share out: then it is confirmed on documents that chose nothing."
    lack = f"a run needs {needed}{besides}, and has {has}"
    return f"Too few documents to confirm a gain: {lack}.{advice}"


def grouped(
    data: Mapping[str, Sequence[dspy.Example]], rubric: Rubric
) -> dict[str, list[dspy.Example]]:
    """Return the sets with a ``group`` in each example, if none has one and they share an input.

    >>> from mogradjudge import Criterion
    >>> rubric = Rubric(["a", "b"], [Criterion("clarity", "Is easy to read.")])
    >>> rows = [dspy.Example(a=n % 8, b=n).with_inputs("a", "b") for n in range(16)]
    >>> sets = grouped({"one": rows[:8], "two": rows[8:]}, rubric)
    >>> [example.group for example in sets["two"]]
    ['0', '1', '2', '3', '4', '5', '6', '7']
    """
    examples = iter(with_groups([*chain(*data.values())], rubric.group))
    return {name: [next(examples) for _ in part] for name, part in data.items()}


def _nonempty(examples: Iterable[dspy.Example], name: str) -> list[dspy.Example]:
    rows = listed(examples, name)
    if not rows:
        raise SetupError(f"`{name}` must have at least one example, got none.")
    return rows
