"""Splits and checks the examples of a run before any call is paid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import dspy

from mogradjudge.criteria import Rubric
from mogradjudge.data import check_disjoint, has_groups, listed, split_by_group, with_groups
from mogradjudge.errors import SetupError
from mogradjudge.judge.inputs import check_inputs
from mogradjudge.objectives.rubric import check_measurable, check_ratings
from mogradjudge.optimize.config import MOGradConfig

VALIDATION_SHARE = 0.4
"""The validation set's share of the training texts, where none is given."""


def examples_of(
    config: MOGradConfig,
    rubric: Rubric | None,
    trainset: Iterable[dspy.Example],
    valset: Iterable[dspy.Example] | None,
    testset: Iterable[dspy.Example],
    *,
    by_group: bool = True,
    judged: Rubric | None = None,
) -> dict[str, list[dspy.Example]]:
    """Return a run's examples as ``"training"``, ``"validation"`` and ``"test"``.

    Where no example has a ``group``, those that a rubric rates may be grouped by an input that they
    share (`with_groups`).

    Args:
        config: The run's settings.
        rubric: What the examples must be rated on; None if the objectives read other fields.
        trainset: The examples that critiques are written on.
        valset: The examples that candidates are compared on; if None, two fifths of the training
            set, by whole groups.
        testset: The held-out examples; it may be empty.
        by_group: Whether a field ``group`` names the group; else only equal inputs form one.
        judged: The rubric of the judge that reads the examples; None for another program.

    Raises:
        SetupError: If an agreement cannot be computed from them.

    >>> examples = [dspy.Example(text=text).with_inputs("text") for text in "abcde"]
    >>> data = examples_of(MOGradConfig(), None, examples, None, (), by_group=False)
    >>> {name: len(part) for name, part in data.items()}
    {'training': 3, 'validation': 2, 'test': 0}
    """
    sets = {"trainset": _nonempty(trainset, "trainset"), "testset": listed(testset, "testset")}
    if valset is not None:
        sets["valset"] = _nonempty(valset, "valset")
    _check_sets(sets, rubric, judged)
    if rubric is not None:
        sets = grouped(sets, rubric)
    by_group = by_group and has_groups(sets["trainset"])  # so a split looks for no groups
    train, validation = _parts(config, sets["trainset"], sets.get("valset"), by_group=by_group)
    data = {"training": train, "validation": validation, "test": sets["testset"]}
    check_disjoint([*train, *validation], data["test"], ("training or validation", "test"))
    if rubric is None:
        return data
    for name, examples in data.items():
        if examples and name != "training":
            check_measurable(examples, rubric, config.level, name)
    return data


def _check_sets(
    sets: Mapping[str, list[dspy.Example]], rubric: Rubric | None, judged: Rubric | None
) -> None:
    """Check what stands in the examples, before a split gives them other numbers."""
    for name, examples in sets.items():
        if judged is not None:
            check_inputs(examples, judged, name)
        if rubric is not None:
            check_disjoint(examples, (), (name, ""))  # which needs their inputs' names
            check_ratings(examples, rubric, f"`{name}`")


def _parts(
    config: MOGradConfig,
    train: list[dspy.Example],
    validation: list[dspy.Example] | None,
    *,
    by_group: bool,
) -> tuple[list[dspy.Example], list[dspy.Example]]:
    if validation is None:
        shares = (1 - VALIDATION_SHARE, VALIDATION_SHARE)
        train, validation = split_by_group(train, shares, config.seed, by_group=by_group)
    check_disjoint(train, validation, ("training", "validation"))
    return train, validation


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
