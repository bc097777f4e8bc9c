"""What all trials of a search work on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Literal, TypeAlias

import dspy

from mogradjudge.agreement import TestOptions
from mogradjudge.criteria import Group
from mogradjudge.data import group_of
from mogradjudge.errors import SetupError
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import Unscored, scope_of
from mogradjudge.lm.budget import Budget
from mogradjudge.objectives import Objective, rubric_objectives
from mogradjudge.objectives.human_agreement import agreement_options
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.confirmation import Confirmation
from mogradjudge.optimize.events import Observer
from mogradjudge.optimize.race import Race, race_over
from mogradjudge.programs.evaluation import Judgement
from mogradjudge.search.ranges import Range
from mogradjudge.search.space import SearchSpace
from mogradjudge.settings import VALUES
from mogradjudge.stages.gate import NoMeanRegression

Direction: TypeAlias = Literal["maximize", "minimize"]

AGREEMENT, CRITERIA, *COSTS = VALUES
_RESERVED = 4  # at most one in so many calls of a cap is reserved


@dataclass(frozen=True)
class Job:
    """What all trials of a search work on.

    Args:
        judge: The judge to optimize.
        training: The texts that critiques are written on.
        validation: The texts that gates decide by.
        selection: The texts that trials are compared on.
        confirmation: The texts that the result is confirmed on.
        needed: Where there are too few documents to confirm on, how many would do.
        space: The values to try.
        base: The settings that are not searched; also the first trial's configuration.
        budget: The caps on all trials together.
        values: The values of the study, as the user named them.
        lms: The LMs of the roles, as arguments of `MOGrad`.
        folder: The search's folder.
        observers: Called with the events of every run.
    """

    judge: MultiCriteriaJudge
    training: Sequence[dspy.Example]
    validation: Sequence[dspy.Example]
    selection: Sequence[dspy.Example]
    space: SearchSpace
    base: MOGradConfig
    budget: Budget
    values: Sequence[str]
    lms: Mapping[str, dspy.BaseLM | None]
    folder: Path
    observers: Sequence[Observer] = ()
    confirmation: Sequence[dspy.Example] = ()
    needed: int | None = None

    @property
    def parts(self) -> dict[str, Sequence[dspy.Example]]:
        """The texts by part."""
        names = ("training", "validation", "selection", "confirmation")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """What agreement is measured on."""
        return rubric_objectives(self.judge.rubric, self.base.level, self.base.measure)

    @cached_property
    def race(self) -> Race:
        """The selection texts in blocks: a trial races until it is unlikely to be better."""
        return race_over(
            self.selection,
            self.objectives,
            NoMeanRegression(),
            seed=self.base.seed,
            by_group=True,
            in_blocks=self.base.race != "off",
            by_section=AGREEMENT not in self.value_names,
        )

    @cached_property
    def order(self) -> list[int]:
        """The places of the selection texts in the order in which a race reads them."""
        return list(chain(*self.race.blocks))

    @property
    def untested(self) -> Confirmation:
        """What there is to say before the best trial's judge was compared with the initial one."""
        if self.base.confirm == "off":
            return Confirmation("off")
        takes_back = self.base.confirm == "require"
        if not self.confirmation:
            return Confirmation("too few documents", needed=self.needed, takes_back=takes_back)
        return Confirmation("not reached", takes_back=takes_back)

    @property
    def value_names(self) -> tuple[str, ...]:
        """The values of the study, one by one."""
        return expanded(self.values, self.judge.rubric.names)

    @property
    def model(self) -> str:
        """The judge's model."""
        return str((self.judge.predictors()[0].lm or dspy.settings.lm).model)

    @property
    def options(self) -> TestOptions:
        """How agreement is measured."""
        return agreement_options(self.judge.rubric, self.base.level, self.base.measure)

    @cached_property
    def human(self) -> dict[str, list[float | None]]:
        """The human scores of the selection texts, by criterion."""
        return {
            criterion.name: [criterion.score_in(example) for example in self.selection]
            for criterion in self.judge.rubric.criteria
        }

    @cached_property
    def groups(self) -> list[str]:
        """The document of each selection text."""
        return [group_of(example, place) for place, example in enumerate(self.selection)]

    def scores_of(self, judgements: Sequence[Judgement]) -> dict[str, list[float | None]]:
        """Return a judge's scores of the selection texts by criterion, in the texts' order.

        A missing score is None, and so are those of the texts that a race did not read.
        """
        read = dict(zip(sorted(self.order[: len(judgements)]), judgements, strict=True))
        return {
            name: [_score(read[it], name) if it in read else None for it in range(len(self.order))]
            for name in self.judge.rubric.names
        }

    def place(self, task: str) -> Path:
        """Return the folder of a trial, which all its attempts share."""
        return self.folder / "trials" / task


def within(own: Budget, total: Budget, deadline: float | None) -> Budget:
    """Return the caps of one run: the lowest of its own, the search's and the time left."""
    caps = {
        name: min(
            (cap for budget in (own, total) if (cap := getattr(budget, name)) is not None),
            default=None,
        )
        for name in ("max_calls", "max_tokens", "max_cost", "max_seconds")
    }
    if deadline is not None:
        left = max(1e-3, deadline - time.monotonic())
        caps["max_seconds"] = min(left, own.max_seconds or left)
    return Budget(**caps)


def reserved_calls(job: Job) -> int:
    """Return how many calls are reserved to confirm the best trial, or to score it again.

    There are none for a small cap.
    """
    cap = job.budget.max_calls
    if cap is None:
        return 0
    settings, space = job.judge.settings, job.space
    layouts, criteria = space.layout or (settings.layout,), job.judge.rubric.names
    predictors = max(len(scope_of(layout).groups(criteria)) for layout in layouts)
    samples = space.n.high if isinstance(space.n, Range) else max(space.n or (settings.n,))
    texts = len(job.confirmation or job.selection)
    needed = int(2 * texts * predictors * samples)
    return needed if needed * _RESERVED <= cap else 0


def _score(judgement: Judgement, name: str) -> float | None:
    score = None if isinstance(judgement.prediction, Unscored) else judgement.prediction[name]
    return None if isinstance(score, Unscored) or score is None else float(score)


def expanded(values: Sequence[str], criteria: Group) -> tuple[str, ...]:
    """Name each value of a study; ``criteria`` stands for one per criterion.

    >>> expanded(["criteria", "calls_per_text"], ("clarity", "tone"))
    ('agreement.clarity', 'agreement.tone', 'calls_per_text')

    Raises:
        SetupError: If a name is unknown or there twice, or there is no agreement among them.
    """
    _check_values(values)
    per_criterion = [f"{AGREEMENT}.{name}" for name in criteria]
    return tuple(
        value for name in values for value in (per_criterion if name == CRITERIA else [name])
    )


def _check_values(values: Sequence[str]) -> None:
    if isinstance(values, str) or not values:
        raise SetupError(f"`values` must be a list of some of {', '.join(VALUES)}, got {values!r}.")
    for name in values:
        if name not in VALUES or list(values).count(name) > 1:
            raise SetupError(
                f"`values` must name each of {', '.join(VALUES)} at most once, got {list(values)}."
            )
    if not {AGREEMENT, CRITERIA} & set(values):
        raise SetupError(f"`values` must hold {AGREEMENT} or {CRITERIA}, got {list(values)}.")


def direction(value: str) -> Direction:
    """Return whether to maximize or minimize a value."""
    return "minimize" if value in COSTS else "maximize"


def values_of(
    names: Sequence[str], agreement: Mapping[str, float | None], costs: Mapping[str, float]
) -> list[float] | None:
    """Return a trial's values; None if one of them is undefined.

    Args:
        names: As by `expanded`.
        agreement: By criterion, and ``mean``.
        costs: By the names of `COSTS`.
    """
    trial_values = []
    for name in names:
        if name in costs:
            trial_values.append(costs[name])
            continue
        value = agreement["mean" if name == AGREEMENT else name.removeprefix(f"{AGREEMENT}.")]
        if value is None:
            return None
        trial_values.append(value)
    return trial_values
