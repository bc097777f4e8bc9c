"""Runs a program over examples: a judgement of each, and the agreement over all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Self, TypeAlias

import dspy

from mogradjudge.agreement import Deviation, Undefined
from mogradjudge.agreement.applicability import Applicability
from mogradjudge.agreement.weighted_mean import Weights, mean_of
from mogradjudge.concurrency import in_parallel
from mogradjudge.criteria import Group
from mogradjudge.data import example_key, group_of, inputs_key, listed
from mogradjudge.judge.inputs import check_inputs
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import Reading, Unscored, is_unread
from mogradjudge.objectives import (
    HumanAgreement,
    Objective,
    Objectives,
    Scored,
    is_of_rubric,
    listed_objectives,
    metric_of,
)
from mogradjudge.programs.counting import count_texts
from mogradjudge.programs.execution import Returned, Trace, judging, run_program, traced
from mogradjudge.programs.first_texts import FirstTexts
from mogradjudge.programs.structure import copy_of

Score: TypeAlias = float | Unscored | None

MEAN = "mean"
"""The name of the mean over the criteria, beside theirs."""


@dataclass(frozen=True)
class Judgement:
    """A program's prediction on one example, and its score on each objective.

    A score is None where the example has nothing to score by, a missing human score for example.
    ``trace`` is None unless traces were recorded. ``copies`` are the predictions that the
    objectives' functions got, by name: a function may change its own.
    """

    example_id: str
    group: str
    example: dspy.Example = field(repr=False)
    prediction: Returned = field(repr=False)
    scores: Mapping[str, Score]
    trace: Trace | None = field(default=None, repr=False)
    copies: Mapping[str, Returned] = field(default_factory=dict, repr=False)

    def read_by(self, name: str) -> Returned:
        """Return the prediction that an objective got."""
        return self.copies.get(name, self.prediction)


@dataclass(frozen=True)
class Agreement:
    """Agreement per criterion over one data set; higher is better.

    ``unscored`` counts texts without a usable score, ``missing`` those without a human one. Both
    are left out of ``by_criterion``. ``deviations`` holds a rubric's bias and mean error, in points
    of the scale, for the criteria with a scored text. ``weights`` are those in the mean, where
    they differ from 1. ``applicability`` counts, for criteria with ``na``, the texts to which they
    do not apply; such texts are neither scored nor unscored nor missing.

    >>> agreement = Agreement({"fluency": 0.5}, {"fluency": 9}, {"fluency": 1}, {}, {})
    >>> agreement.mean
    0.5
    """

    by_criterion: Mapping[str, float | Undefined]
    scored: Mapping[str, int]
    unscored: Mapping[str, int]
    missing: Mapping[str, int]
    fallbacks: Mapping[str, int]
    deviations: Mapping[str, Deviation] = field(default_factory=dict, repr=False)
    weights: Weights = field(default_factory=dict, repr=False)
    applicability: Mapping[str, Applicability] = field(default_factory=dict, repr=False)

    @classmethod
    def unmeasured(cls, criteria: Group) -> Self:
        """Make the agreement of a program that was not measured: every criterion is undefined."""
        none = dict.fromkeys(criteria, 0)
        return cls(dict.fromkeys(criteria, Undefined("not measured")), none, none, none, none)

    @property
    def mean(self) -> float | None:
        """The mean over the criteria that have a value; None if none has one."""
        return mean_of(self.by_criterion, self.weights)

    def mean_over(self, other: Agreement) -> float:
        """Return the mean over the criteria that have a value in both; 0 if there are none."""
        values = {
            name: value
            for name, value in self.by_criterion.items()
            if isinstance(other.by_criterion[name], float)
        }
        return mean_of(values, self.weights) or 0.0

    @property
    def lost(self) -> dict[str, int]:
        """Rated texts without a judge's score: unscored ones, and those it says n/a of."""
        return {name: count + self.not_applicable[name] for name, count in self.unscored.items()}

    @property
    def not_applicable(self) -> dict[str, int]:
        """Rated texts of which only the judge says that the criterion does not apply."""
        by_judge = {name: it.judge for name, it in self.applicability.items()}
        return {name: by_judge.get(name, 0) for name in self.unscored}

    def as_dict(self) -> dict[str, float | None]:
        """Return the values by criterion, and their mean, as `result.json` holds them."""
        values = {
            name: None if isinstance(value, Undefined) else value
            for name, value in self.by_criterion.items()
        }
        return {**values, MEAN: self.mean}

    def undefined(self) -> dict[str, str]:
        """Return the reason for each criterion that has no value."""
        return {
            name: value.reason
            for name, value in self.by_criterion.items()
            if isinstance(value, Undefined)
        }


def judge_examples(
    program: dspy.Module,
    examples: Iterable[dspy.Example],
    objectives: Objectives,
    num_threads: int,
    *,
    with_traces: bool = False,
    first: FirstTexts | None = None,
) -> tuple[Judgement, ...]:
    """Run a program over examples, in parallel; the judgements come in the examples' order.

    An example without a usable reply is `Unscored` (`run_program`). Examples with equal inputs are
    judged once; each is scored on a copy of the prediction, as far as it can be copied.

    Raises:
        SetupError: If a judge's input is missing, blank or no text.
        dspy.LMError: If the provider fails; an outage is never a score.
        ReplyError: If none of the ``first`` texts has a score.

    >>> from dspy.utils import DummyLM
    >>> from mogradjudge import Objective
    >>> program = dspy.Predict("question -> answer")
    >>> program.set_lm(DummyLM([{"answer": "Paris"}]))
    >>> example = dspy.Example(question="Capital?", answer="Paris").with_inputs("question")
    >>> exact = Objective("exact", "The answer is right.", dspy.evaluate.answer_exact_match)
    >>> (judgement,) = judge_examples(program, [example], [exact], num_threads=1)
    >>> dict(judgement.scores)
    {'exact': 1.0}
    """
    examples, objectives = listed(examples, "examples"), listed_objectives(objectives)
    if isinstance(program, MultiCriteriaJudge):
        examples = check_inputs(examples, program.rubric, "examples")
    task = _JudgingTask(
        program=program,
        examples=examples,
        objectives=objectives,
        ids=name_examples(examples),
        by_group=asks_groups(program, objectives),
        with_traces=with_traces,
        first=first,
    )
    with judging():
        return task.run(num_threads)


@dataclass(frozen=True)
class _JudgingTask:
    """What `judge_examples` does with each group of equal examples, in any thread."""

    program: dspy.Module
    examples: Sequence[dspy.Example]
    objectives: Sequence[Objective]
    ids: Sequence[str]
    by_group: bool
    with_traces: bool
    first: FirstTexts | None

    def run(self, num_threads: int) -> tuple[Judgement, ...]:
        """Judge all examples."""
        # Texts over one source follow one another, so that a model's prefix cache serves them.
        order = sorted(
            _equal_inputs(self.examples), key=lambda equal: _prompt_order(self.examples[equal[0]])
        )
        judgements = dict(chain.from_iterable(in_parallel(self.judge, order, num_threads)))
        return tuple(judgements[place] for place in range(len(self.examples)))

    def judge(self, equal: Sequence[int]) -> list[tuple[int, Judgement]]:
        """Judge the examples at these places, whose inputs are equal, by one run."""
        tracing = traced(self.program) if self.with_traces else nullcontext(lambda: None)
        with tracing as trace:
            prediction = run_program(self.program, self.examples[equal[0]].inputs())
        predictions = [prediction, *(copy_of(prediction) for _ in equal[1:])]
        judged = [
            (place, self._judgement(place, output, trace()))
            for place, output in zip(equal, predictions, strict=True)
        ]
        if self.first is not None:
            self.first.see(prediction, judged[0][1].scores.values())
        count_texts(len(equal))
        return judged

    def _judgement(self, place: int, prediction: Returned, trace: Trace | None) -> Judgement:
        example = self.examples[place]
        copies = _copies(prediction, self.objectives)
        scores = {
            objective.name: _score(objective, example, copies[objective.name])
            for objective in self.objectives
        }
        group = group_of(example, place, by_group=self.by_group)
        return Judgement(self.ids[place], group, example, prediction, scores, trace, copies)


def _equal_inputs(examples: Sequence[dspy.Example]) -> list[list[int]]:
    """Group the places of examples whose inputs are equal."""
    places: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        places.setdefault(inputs_key(example), []).append(place)
    return list(places.values())


def asks_groups(program: dspy.Module, objectives: Iterable[Objective]) -> bool:
    """Return whether the field ``group`` of an example names its group; else it is user data."""
    return isinstance(program, MultiCriteriaJudge) or any(map(is_of_rubric, objectives))


def agreement_of(judgements: Sequence[Judgement], objectives: Objectives) -> Agreement:
    """Aggregate judgements per objective, over the examples that have a score.

    >>> from mogradjudge import Objective
    >>> exact = Objective("exact", "The answer is right.", dspy.evaluate.answer_exact_match)
    >>> judgements = [
    ...     Judgement(str(score), "", dspy.Example(), dspy.Prediction(), {"exact": score})
    ...     for score in (1.0, 0.0, None)
    ... ]
    >>> agreement = agreement_of(judgements, [exact])
    >>> dict(agreement.by_criterion), dict(agreement.missing)
    ({'exact': 0.5}, {'exact': 1})
    """
    objectives = listed_objectives(objectives)

    def count(applies: Callable[[Judgement, str], bool]) -> dict[str, int]:
        return {
            objective.name: sum(applies(judgement, objective.name) for judgement in judgements)
            for objective in objectives
        }

    ours = {
        it.name: (it.aggregate, scored_on(it, judgements))
        for it in objectives
        if isinstance(it.aggregate, HumanAgreement)
    }
    deviations = {name: measure.deviation(scored) for name, (measure, scored) in ours.items()}
    applicability = {
        name: measure.applicability((it.example, it.scores[name]) for it in judgements)
        for name, (measure, _) in ours.items()
    }
    both = {name: it.both for name, it in applicability.items() if it is not None}
    scored = count(lambda judgement, name: isinstance(judgement.scores[name], float))
    return Agreement(
        by_criterion={
            objective.name: _aggregate(objective, judgements) for objective in objectives
        },
        scored={name: number - both.get(name, 0) for name, number in scored.items()},
        unscored=count(lambda judgement, name: is_unread(judgement.scores[name])),
        missing=count(lambda judgement, name: judgement.scores[name] is None),
        fallbacks=count(_is_fallback),
        deviations={name: it for name, it in deviations.items() if it is not None},
        weights={it.name: it.weight for it in objectives if it.weight != 1},
        applicability={name: it for name, it in applicability.items() if it is not None},
    )


def name_examples(examples: Sequence[dspy.Example]) -> list[str]:
    """Name each example by its inputs, and a repeated one by its count as well.

    >>> example = dspy.Example(text="a").with_inputs("text")
    >>> first, second = name_examples([example, example])
    >>> second == f"{first}-2"
    True
    """
    seen: Counter[str] = Counter()
    ids = []
    for example in examples:
        key = example_key(example)
        seen[key] += 1
        ids.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return ids


def _copies(prediction: Returned, objectives: Sequence[Objective]) -> dict[str, Returned]:
    """Copy the prediction for each objective's function; the first one gets the original.

    Objectives of one metric share a copy, as it is called once; a rubric's change nothing.
    """
    readers = [
        0 if is_of_rubric(objective) else id(metric_of(objective)) for objective in objectives
    ]
    by_reader = {
        reader: copy_of(prediction) if number else prediction
        for number, reader in enumerate(dict.fromkeys(readers))
    }
    return {
        objective.name: by_reader[reader]
        for objective, reader in zip(objectives, readers, strict=True)
    }


def _score(objective: Objective, example: dspy.Example, prediction: Returned) -> Score:
    if isinstance(prediction, Unscored):
        return prediction
    return objective.scored(example, prediction)


def _aggregate(objective: Objective, judgements: Iterable[Judgement]) -> float | Undefined:
    return objective.summed(scored_on(objective, judgements))


def scored_on(objective: Objective, judgements: Iterable[Judgement]) -> list[Scored]:
    """Return the judgements that have a score on an objective, as its functions get them."""
    return [
        Scored(judgement.example, judgement.read_by(objective.name), score, judgement.group)
        for judgement in judgements
        if isinstance(score := judgement.scores[objective.name], float)
    ]


def _is_fallback(judgement: Judgement, name: str) -> bool:
    prediction = judgement.prediction
    readings = (
        prediction.get("readings") if isinstance(prediction, dspy.Example) else None
    )  # of any kind
    reading = readings.get(name) if isinstance(readings, Mapping) else None
    return isinstance(reading, Reading) and reading.source == "fallback"


def _prompt_order(example: dspy.Example) -> list[str]:
    try:
        return [str(value) for value in dict(example.inputs()).values()]
    except Exception:  # noqa: BLE001 - a value that is nested too deeply, or has no text
        return []
