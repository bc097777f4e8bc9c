"""Parts a search's texts: to write on, for gates, to compare trials on, and to confirm the best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import dspy

from mogradjudge.criteria import Rubric
from mogradjudge.data import has_groups, listed, split_by_group
from mogradjudge.errors import SetupError
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.datasets import RunData, grouped, split_to_confirm

# Critiques need texts to draw batches from. A gate decides many times, but only between two judges.
# The selection set chooses among all trials.
SHARES = {"training": 0.3, "validation": 0.2, "selection": 0.25, "confirmation": 0.25}
"""The parts of one table."""
SHARES_WITHOUT_CONFIRMATION = {"training": 0.4, "validation": 0.25, "selection": 0.35}
SHARES_OF_SELECTION = {"selection": 0.6, "confirmation": 0.4}
"""The parts of a selection set that is given."""


def parted(
    config: MOGradConfig,
    rubric: Rubric,
    trainset: Iterable[dspy.Example],
    valset: Iterable[dspy.Example] | None = None,
    selectionset: Iterable[dspy.Example] | None = None,
) -> RunData:
    """Part a search's texts by whole groups.

    Args:
        config: The settings that are not searched; ``confirm="off"`` leaves nothing to confirm on.
        rubric: What the texts are rated on.
        trainset: The training texts, or all texts of the search where the other two are None.
        valset: The validation texts.
        selectionset: The texts to compare trials on and to confirm the result on.

    Returns:
        The parts ``"training"``, ``"validation"``, ``"selection"`` and ``"confirmation"``. The last
        one is empty where it would have fewer than 16 documents; ``needed`` then says how many
        documents the texts that it is a part of would need.

    Raises:
        SetupError: If only one of the two sets is given, or the texts are too few to be parted.

    >>> from mogradjudge import Criterion
    >>> rubric = Rubric(["text"], [Criterion("clarity", "Is easy to read.")])
    >>> texts = [dspy.Example(text=f"{number}").with_inputs("text") for number in range(64)]
    >>> [len(part) for part in parted(MOGradConfig(), rubric, texts).parts.values()]
    [19, 13, 16, 16]
    >>> parted(MOGradConfig(), rubric, texts[1:]).needed
    64
    """
    sets = {"training": listed(trainset, "trainset")}
    if valset is not None and selectionset is not None:
        sets["validation"] = listed(valset, "valset")
        sets["selection"] = listed(selectionset, "selectionset")
    elif valset is not selectionset:
        raise SetupError("Give both `valset` and `selectionset`, or neither; got one of them.")
    sets = grouped(sets, rubric)
    by_group = any(map(has_groups, sets.values()))  # so a split looks for no groups
    if "selection" not in sets:
        return _of_one_table(config, sets["training"], by_group=by_group)
    data = split_to_confirm(config, sets["selection"], SHARES_OF_SELECTION, by_group=by_group)
    parts = data.parts if data.parts["confirmation"] else {"confirmation": []}
    return replace(data, parts={**sets, **parts})


def _of_one_table(config: MOGradConfig, texts: list[dspy.Example], *, by_group: bool) -> RunData:
    data = split_to_confirm(config, texts, SHARES, by_group=by_group)
    if data.parts["confirmation"]:
        return data
    shares = SHARES_WITHOUT_CONFIRMATION
    split = split_by_group(texts, tuple(shares.values()), config.seed, by_group=by_group)
    return replace(data, parts={**dict(zip(shares, split, strict=True)), "confirmation": []})
