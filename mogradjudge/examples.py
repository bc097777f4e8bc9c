"""The examples of a run: split where that is needed, and checked before any call is paid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real

import dspy

from mogradjudge.agreement import Level, Undefined, correlate
from mogradjudge.config import MOGradConfig
from mogradjudge.criteria import Rubric
from mogradjudge.data import check_disjoint, group_of, listed, split_by_group
from mogradjudge.errors import SetupError

_VALIDATION_SHARE = 0.4  # of the training set, where no validation set is given


def examples_of(
    config: MOGradConfig,
    rubric: Rubric | None,
    trainset: Iterable[dspy.Example],
    valset: Iterable[dspy.Example] | None,
    testset: Iterable[dspy.Example],
    *,
    by_group: bool = True,
) -> dict[str, list[dspy.Example]]:
    """Give a run's examples as ``"training"``, ``"validation"`` and ``"test"``.

    Args:
        config: The run's settings.
        rubric: What the examples must be rated on; None where that is the objectives' own matter.
        trainset: The examples that critiques are written on.
        valset: Those that decide; two fifths of the training set, by whole groups, without it.
        testset: Those that decide nothing; it may be empty.
        by_group: Whether a field ``group`` names the group; else equal inputs alone are one.

    Raises:
        SetupError: If figures cannot come of them.
    """
    train, validation = _parts(config, trainset, valset, by_group=by_group)
    data = {"training": train, "validation": validation, "test": listed(testset, "testset")}
    check_disjoint([*train, *validation], data["test"], ("training or validation", "test"))
    if rubric is None:
        return data
    for name, examples in data.items():
        check_ratings(examples, rubric, name)
        if examples and name != "training":
            check_measurable(examples, rubric, config.level, name)
    return data


def check_ratings(examples: Sequence[dspy.Example], rubric: Rubric, what: str) -> None:
    """Check, before any call is paid, that examples carry ratings on the rubric's scales.

    Raises:
        SetupError: If a human column is absent, or holds what is no score on its scale.
    """
    for criterion in rubric.criteria:
        for number, example in enumerate(examples, start=1):
            if criterion.human not in example:
                raise SetupError(
                    f"Each {what} example needs {criterion.human!r} (None if it is not rated), and "
                    f"number {number} has only {sorted(example.keys())}."
                )
            score = example[criterion.human]
            is_number = isinstance(score, Real) and not isinstance(score, bool)
            is_score = is_number and criterion.scale.covers(float(score))
            if score is not None and not is_score:
                raise SetupError(
                    f"{criterion.human!r} must lie on the scale {criterion.scale} or be None, got "
                    f"{score!r} in {what} example {number}."
                )


def check_measurable(
    examples: Sequence[dspy.Example], rubric: Rubric, level: Level, what: str
) -> None:
    """Check, before any call is paid, that agreement can be measured on some criterion.

    Raises:
        SetupError: If even the human scores themselves have no correlation.
    """
    reason = ""
    for criterion in rubric.criteria:
        rated = [
            (example[criterion.human], group_of(example, place))
            for place, example in enumerate(examples)
            if example[criterion.human] is not None
        ]
        scores, groups = [score for score, _ in rated], [group for _, group in rated]
        value = correlate(scores, scores, groups, level=level).value
        if not isinstance(value, Undefined):
            return
        reason = value.reason
    raise SetupError(
        f"Agreement cannot be measured on the {len(examples)} {what} examples: {reason}. Give more "
        "rated examples."
    )


def _parts(
    config: MOGradConfig,
    trainset: Iterable[dspy.Example],
    valset: Iterable[dspy.Example] | None,
    *,
    by_group: bool,
) -> tuple[list[dspy.Example], list[dspy.Example]]:
    train = _some(trainset, "trainset")
    if valset is None:
        shares = (1 - _VALIDATION_SHARE, _VALIDATION_SHARE)
        train, validation = split_by_group(train, shares, config.seed, by_group=by_group)
    else:
        validation = _some(valset, "valset")
    check_disjoint(train, validation, ("training", "validation"))
    return train, validation


def _some(examples: Iterable[dspy.Example], name: str) -> list[dspy.Example]:
    held = listed(examples, name)
    if not held:
        raise SetupError(f"`{name}` must hold at least one example, got none.")
    return held
