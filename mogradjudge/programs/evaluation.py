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
from mogradjudge.concurrency import in_parallel
from mogradjudge.criteria import Group
from mogradjudge.data import example_key, group_of, inputs_key, listed
from mogradjudge.errors import SetupError
from mogradjudge.judge.inputs import check_inputs
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import Reading, Unscored
from mogradjudge.objectives import (
    AggregateFailed,
    HumanAgreement,
    MetricFailed,
    Objective,
    Objectives,
    Scored,
    is_of_rubric,
    listed_objectives,
    metric_of,
)
from mogradjudge.programs.execution import Returned, Trace, judging, run_program, traced
from mogradjudge.programs.first_texts import FirstTexts, nothing_scored
from mogradjudge.programs.structure import copy_of

Score: TypeAlias = float | Unscored | None

MEAN = "mean"
"""The name of the mean over the criteria, beside theirs."""
MOST_FAILURES = 0.5
"""The highest share of a first round's texts on which an objective's own function may fail."""


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
    of the scale, for the criteria with a scored text.

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

    @classmethod
    def unmeasured(cls, criteria: Group) -> Self:
        """Make the agreement of a program that was not measured: every criterion is undefined."""
        none = dict.fromkeys(criteria, 0)
        return cls(dict.fromkeys(criteria, Undefined("not measured")), none, none, none, none)

    @property
    def mean(self) -> float | None:
        """The mean over the criteria that have a value; None if none has one."""
        defined = [value for value in self.by_criterion.values() if isinstance(value, float)]
        return sum(defined) / len(defined) if defined else None

    def mean_over(self, other: Agreement) -> float:
        """Return the mean over the criteria that have a value in both; 0 if there are none."""
        values = [
            value
            for name, value in self.by_criterion.items()
            if isinstance(value, float) and isinstance(other.by_criterion[name], float)
        ]
        return sum(values) / max(1, len(values))

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

    return Agreement(
        by_criterion={
            objective.name: _aggregate(objective, judgements) for objective in objectives
        },
        scored=count(lambda judgement, name: isinstance(judgement.scores[name], float)),
        unscored=count(lambda judgement, name: isinstance(judgement.scores[name], Unscored)),
        missing=count(lambda judgement, name: judgement.scores[name] is None),
        fallbacks=count(_is_fallback),
        deviations={
            objective.name: deviation
            for objective in objectives
            if isinstance(objective.aggregate, HumanAgreement)
            and (deviation := objective.aggregate.deviation(scored_on(objective, judgements)))
        },
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


def check_scored(judgements: Sequence[Judgement], what: str) -> None:
    """Check that a program's replies can be scored, before more of them are paid for.

    Raises:
        SetupError: If an objective's own function failed on more than half of the texts.
        dspy.LMError: If the provider refused every text.
        ReplyError: If no text has a score on anything.
    """
    _check_metrics(judgements, what)
    scores = [score for judgement in judgements for score in judgement.scores.values()]
    if not scores or not all(isinstance(score, Unscored) for score in scores):
        return
    raise nothing_scored(
        [judgement.prediction for judgement in judgements],
        next(score for score in scores if isinstance(score, Unscored)),
        f"{len(judgements)} {what}",
    )


def check_summed(agreement: Agreement, objectives: Iterable[Objective], what: str) -> None:
    """Check that the objectives' own functions aggregate a data set.

    Raises:
        SetupError: If one failed, or none has a value; a rubric's ratings are checked before.
    """
    for value in agreement.by_criterion.values():
        if isinstance(value, AggregateFailed):
            raise SetupError(f"{value.reason[0].upper()}{value.reason[1:]}. Correct the function.")
    if agreement.mean is None and not any(map(is_of_rubric, objectives)):
        reasons = "; ".join(_undefined_reason(agreement, name) for name in agreement.by_criterion)
        raise SetupError(
            f"No objective has a value on the {what} texts, so no step can improve on them: "
            f"{reasons}. Correct the functions, or give other {what} examples."
        )


def _undefined_reason(agreement: Agreement, name: str) -> str:
    """Say why an objective has no value, and on how many texts its function returned None."""
    reason, missing = agreement.undefined()[name], agreement.missing[name]
    note = f" (its score is None on {missing} texts: does it return?)" if missing else ""
    return f"{name!r}: {reason}{note}"


def _check_metrics(judgements: Sequence[Judgement], what: str) -> None:
    for name in judgements[0].scores if judgements else ():
        scores = [judgement.scores[name] for judgement in judgements]
        failures = [score for score in scores if isinstance(score, MetricFailed)]
        if len(failures) > MOST_FAILURES * len(judgements):
            raise SetupError(
                f"{len(failures)} of {len(judgements)} {what} texts have no score: "
                f"{failures[0].reason}. Correct the function, or rescale its values to [0, 1]."
            )


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
