"""What rated texts allow: their number, the use of each scale, the ceiling, and the least gain."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import dspy
import numpy as np

from mogradjudge.agreement import (
    Undefined,
    compare_criteria,
    copied_raters,
    judge_ceiling,
    minimum_detectable_difference,
)
from mogradjudge.agreement.coefficients import Array
from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.criteria.criterion import SINGLE_RATINGS
from mogradjudge.data import has_groups, missing_human, places_by_group
from mogradjudge.objectives.human_agreement import agreement_options
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.confirmation import ALPHA
from mogradjudge.optimize.datasets import split_run, too_few_to_confirm
from mogradjudge.scoring.ceilings import Ceilings, has_ratings

_AGREEMENT = 0.5
"""Of the simulated judges with people, and of their errors with each other's."""
_JUDGES = 3  # pairs
_POWER = 0.8


@dataclass(frozen=True)
class DataCard:
    """What rated texts allow a run to learn and to confirm.

    Args:
        texts: The number of texts.
        documents: The number of groups of texts.
        ratings: The mean number of raters of a text.
        missing: The texts without a human score, by criterion.
        use: How many texts have each level of the scale, to which means are rounded, by criterion.
        ceilings: How well raters agree, by criterion; empty with one rating a text.
        confirming: The documents that a run sets aside to confirm its result.
        needed: With too few documents, how many would do.
        gain: The gain in mean agreement that these confirm in four of five runs; None if unknown.
        inapplicable: The texts to which a criterion with ``na`` does not apply, by criterion.
        parts: How many texts are used for what, as a sentence.
        too_few: Why a run cannot confirm its result, and what to do; empty if it can.
    """

    texts: int
    documents: int
    ratings: float
    missing: Mapping[str, int]
    use: Mapping[str, Mapping[int, int]]
    ceilings: Ceilings
    confirming: int
    needed: int | None
    gain: float | None
    inapplicable: Mapping[str, int] = field(default_factory=dict)
    parts: str = ""
    too_few: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, with levels as texts."""
        use = {name: {str(it): n for it, n in levels.items()} for name, levels in self.use.items()}
        return {**vars(self), "use": use}

    def describe(self) -> str:
        """Say how the texts are used, and what can be confirmed.

        >>> DataCard(99, 99, 1.0, {}, {}, {}, 29, None, None, parts="Texts: 99.").describe()
        'Texts: 99. A run sets 29 documents aside to confirm its result.'
        """
        return f"{self.parts} {self._confirmed()}".strip()

    def _confirmed(self) -> str:
        if not self.confirming:
            return self.too_few
        aside = f"A run sets {self.confirming} documents aside to confirm its result"
        if self.gain is None:
            return f"{aside}."
        return (
            f"{aside}: a gain of about {self.gain:.2f} in mean agreement is confirmed in four of "
            f"five runs (for judges that agree at {_AGREEMENT} with people)."
        )


def data_card(
    examples: Sequence[dspy.Example],
    rubric: Rubric,
    config: MOGradConfig | None = None,
    test: Sequence[dspy.Example] = (),
) -> DataCard:
    """Describe rated texts before a run.

    Args:
        examples: The texts, as `load_examples` returns them.
        rubric: What they are rated on.
        config: The run's settings.
        test: The held-out texts.

    Raises:
        SetupError: If the texts cannot be split.

    Example:
        >>> rubric = Rubric(["text"], [Criterion("tone", "Is it polite?", (1, 3))])
        >>> rows = [dspy.Example(text=str(n), human_tone=float(1 + n % 3)) for n in range(9)]
        >>> card = data_card([row.with_inputs("text") for row in rows], rubric)
        >>> card.documents, card.use["tone"]
        (9, {1: 3, 2: 3, 3: 3})
    """
    config = config or MOGradConfig()
    by_group = has_groups(examples)
    split = split_run(config, list(examples), by_group=by_group)
    split = replace(split, parts={**split.parts, "test": list(test)})
    too_few = too_few_to_confirm(config, examples, test)
    examples = [*examples, *test]
    groups = places_by_group(examples, by_group=by_group)
    confirming = split.parts["confirmation"]
    aside = len(places_by_group(confirming, by_group=by_group)) if confirming else 0
    documents = _names(groups, len(examples))
    raters = [
        len({rater for rater, _, _ in example.get(SINGLE_RATINGS) or ()}) or 1
        for example in examples
    ]
    return DataCard(
        texts=len(examples),
        documents=len(groups),
        ratings=fmean(raters),
        missing=missing_human(examples, rubric),
        use={criterion.name: _use(examples, criterion) for criterion in rubric.criteria},
        ceilings=_ceilings(examples, rubric, documents, config),
        confirming=aside,
        needed=split.needed,
        gain=_gain(examples, rubric, documents, config, aside) if aside else None,
        inapplicable={
            it.name: sum(it.is_na_in(example) for example in examples)
            for it in rubric.criteria
            if it.na
        },
        parts=split.describe(),
        too_few=too_few,
    )


def _names(groups: Sequence[Sequence[int]], texts: int) -> list[str]:
    names = [""] * texts
    for number, places in enumerate(groups):
        for place in places:
            names[place] = str(number)
    return names


def _use(examples: Sequence[dspy.Example], criterion: Criterion) -> dict[int, int]:
    scores = [score for example in examples if (score := criterion.score_in(example)) is not None]
    counts = Counter(math.floor(score + 0.5) for score in scores)
    return {level: counts[level] for level in criterion.scale.values}


def _ceilings(
    examples: Sequence[dspy.Example], rubric: Rubric, documents: list[str], config: MOGradConfig
) -> dict[str, dict[str, Any]]:
    if not has_ratings(examples):
        return {}
    options = agreement_options(rubric, config.level, config.measure)
    ceilings = {}
    for it in rubric.criteria:
        ratings = [_ratings(example, it.name) for example in examples]
        human = [it.score_in(example) for example in examples]
        ceiling = judge_ceiling(ratings, human, human, documents, options.of(it.name)).as_dict()
        no_judge = {"share": None, "share_interval": None}
        ceilings[it.name] = {**ceiling, **no_judge, "copies": [*map(list, copied_raters(ratings))]}
    return ceilings


def _ratings(example: dspy.Example, name: str) -> dict[str, float]:
    ratings = example.get(SINGLE_RATINGS) or ()
    return {rater: score for rater, criterion, score in ratings if criterion == name}


def _gain(
    examples: Sequence[dspy.Example],
    rubric: Rubric,
    documents: list[str],
    config: MOGradConfig,
    confirming: int,
) -> float | None:
    """Return the gain that so many documents confirm: pairs of judges are simulated on all."""
    human = {it.name: [it.score_in(example) for example in examples] for it in rubric.criteria}
    options = replace(agreement_options(rubric, config.level, config.measure), flips=1)
    spreads = []
    for seed in range(_JUDGES):
        rng = np.random.default_rng(seed)
        pair = {name: _two_judges(scores, rng) for name, scores in human.items()}
        first, second = ({name: judges[k] for name, judges in pair.items()} for k in (0, 1))
        mean = compare_criteria(human, first, second, documents, options).mean
        if isinstance(mean, Undefined) or not math.isfinite(mean.standard_error):
            return None
        spreads.append(mean.standard_error * math.sqrt(mean.groups))
    # The confirmation's test is one-sided.
    return minimum_detectable_difference(fmean(spreads), confirming, alpha=2 * ALPHA, power=_POWER)


def _two_judges(
    scores: Sequence[float | None], rng: np.random.Generator
) -> tuple[list[float | None], list[float | None]]:
    """Simulate two judges that agree equally well with people, and err alike in part."""
    human = np.array([math.nan if score is None else score for score in scores])
    spread = float(np.nanstd(human)) if np.isfinite(human).any() else 0.0
    noise: Array = rng.normal(size=(3, len(human))) * math.sqrt(_AGREEMENT**-2 - 1) * spread
    shared = math.sqrt(_AGREEMENT) * noise[0]
    judges = human + shared + math.sqrt(1 - _AGREEMENT) * noise[1:]
    first, second = ([None if math.isnan(it) else float(it) for it in row] for row in judges)
    return first, second
