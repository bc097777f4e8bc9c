"""The examples of a run: split where that is needed, and checked before any call is paid."""

from __future__ import annotations

from collections.abc import Sequence

import dspy

from mogradjudge.config import MOGradConfig
from mogradjudge.criteria import Rubric
from mogradjudge.data import check_disjoint, split_by_group
from mogradjudge.errors import SetupError
from mogradjudge.evaluation import check_measurable, check_ratings

_VALIDATION_SHARE = 0.4  # of the training set, where no validation set is given


def examples_of(
    config: MOGradConfig,
    rubric: Rubric | None,
    trainset: Sequence[dspy.Example],
    valset: Sequence[dspy.Example] | None,
    testset: Sequence[dspy.Example],
) -> dict[str, list[dspy.Example]]:
    """Give a run's examples as ``"training"``, ``"validation"`` and ``"test"``.

    Args:
        config: The run's settings.
        rubric: What the examples must be rated on; None where that is the objectives' own matter.
        trainset: The examples that critiques are written on.
        valset: Those that decide; two fifths of the training set, by whole groups, without it.
        testset: Those that decide nothing; it may be empty.

    Raises:
        SetupError: If figures cannot come of them.
    """
    train, validation = _parts(config, list(trainset), valset)
    data = {"training": train, "validation": validation, "test": list(testset)}
    check_disjoint([*train, *validation], data["test"], ("training or validation", "test"))
    if rubric is None:
        return data
    for name, examples in data.items():
        check_ratings(examples, rubric, name)
        if examples and name != "training":
            check_measurable(examples, rubric, config.level, name)
    return data


def _parts(
    config: MOGradConfig, trainset: list[dspy.Example], valset: Sequence[dspy.Example] | None
) -> tuple[list[dspy.Example], list[dspy.Example]]:
    if not trainset:
        raise SetupError("`trainset` must hold at least one example, got none.")
    for example in (*trainset, *(valset or ())):
        if not isinstance(example, dspy.Example):
            raise SetupError(f"Examples must be dspy.Example, got a {type(example).__name__}.")
    if valset is None:
        shares = (1 - _VALIDATION_SHARE, _VALIDATION_SHARE)
        trainset, validation = split_by_group(trainset, shares, seed=config.seed)
    elif not valset:
        raise SetupError("`valset` must hold at least one example, got none.")
    else:
        validation = list(valset)
    check_disjoint(trainset, validation, ("training", "validation"))
    return trainset, validation
