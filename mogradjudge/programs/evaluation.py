"""Running a program over examples: what it made of each, and how well it agrees over all."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Self, TypeAlias

import dspy

from mogradjudge.agreement import Undefined
from mogradjudge.concurrency import in_parallel
from mogradjudge.criteria import Group
from mogradjudge.data import example_key, group_of, inputs_key, listed
from mogradjudge.errors import ReplyError, SetupError
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.reply import as_a_whole
from mogradjudge.judge.scores import Reading, Unscored
from mogradjudge.lm.metering import layer_held
from mogradjudge.lm.refusals import with_remedy
from mogradjudge.objectives import (
    AggregateFailed,
    MetricFailed,
    Objective,
    Scored,
    is_of_rubric,
    metric_of,
)
from mogradjudge.programs.execution import ProgramFailed, Trace, call_program, traced, why
from mogradjudge.programs.structure import copy_of

FIRST_TEXTS = 20
"""So many texts without any score end a scoring: that is then no property of the texts."""

Made: TypeAlias = Any
"""What a program returned, of any type, or that it returned nothing: `Unscored`."""
Score: TypeAlias = float | Unscored | None

MOST_FAILURES = 0.5
"""The share of a first round's texts on which an objective's own function may fail."""


@dataclass(frozen=True)
class Refused(Unscored):
    """The provider takes no such text, and no other try can help."""

    error: dspy.LMError = field(compare=False)


@dataclass(frozen=True)
class Failed(Unscored):
    """The program raised an error of its own."""


@dataclass(frozen=True)
class Judgement:
    """What a program made of one example, and its score on each objective.

    A score is None where the example has nothing to score by, a missing human score say. The trace
    is there where it was asked for. ``copies`` are the predictions that the objectives' functions
    were given, by name: one may change its own.
    """

    example_id: str
    group: str
    example: dspy.Example
    prediction: Made
    scores: Mapping[str, Score]
    trace: Trace | None = None
    copies: Mapping[str, Made] = field(default_factory=dict)

    def read_by(self, name: str) -> Made:
        """Give the prediction that an objective was given."""
        return self.copies.get(name, self.prediction)


@dataclass(frozen=True)
class Agreement:
    """Agreement per criterion over one data set; higher is better.

    ``unscored`` counts texts without a usable score, ``missing`` those without a human one. Both
    are left out of ``by_criterion``.
    """

    by_criterion: Mapping[str, float | Undefined]
    scored: Mapping[str, int]
    unscored: Mapping[str, int]
    missing: Mapping[str, int]
    fallbacks: Mapping[str, int]

    @classmethod
    def unmeasured(cls, criteria: Group) -> Self:
        """Stand for an agreement that nobody has paid for yet."""
        none = dict.fromkeys(criteria, 0)
        return cls(dict.fromkeys(criteria, Undefined("not measured")), none, none, none, none)

    @property
    def mean(self) -> float | None:
        """The mean over the criteria that have a value; None if none has one."""
        defined = [value for value in self.by_criterion.values() if isinstance(value, float)]
        return sum(defined) / len(defined) if defined else None

    def mean_over(self, other: Agreement) -> float:
        """The mean over the criteria that have a value in ``other`` too; 0 if there are none."""
        values = [
            value
            for name, value in self.by_criterion.items()
            if isinstance(value, float) and isinstance(other.by_criterion[name], float)
        ]
        return sum(values) / max(1, len(values))

    def as_dict(self) -> dict[str, float | None]:
        """Give the values by criterion, and their mean, as `result.json` holds them."""
        values = {
            name: None if isinstance(value, Undefined) else value
            for name, value in self.by_criterion.items()
        }
        return {**values, "mean": self.mean}

    def undefined(self) -> dict[str, str]:
        """Give the reason for each criterion that has no value."""
        return {
            name: value.reason
            for name, value in self.by_criterion.items()
            if isinstance(value, Undefined)
        }


def judge_examples(
    program: dspy.Module,
    examples: Iterable[dspy.Example],
    objectives: Sequence[Objective],
    num_threads: int,
    *,
    with_traces: bool = False,
    first: FirstTexts | None = None,
) -> tuple[Judgement, ...]:
    """Run a program over examples, in parallel; the judgements come in the examples' order.

    An example without a usable reply is `Unscored` (`run_program`). Examples with equal inputs are
    judged once; each is scored on a copy of the prediction, as far as it can be copied.

    Raises:
        dspy.LMError: If the provider fails; an outage is never a score.
        ReplyError: If none of the ``first`` texts has a score.
    """
    examples = listed(examples, "examples")
    by_group = asks_groups(program, objectives)
    ids = name_examples(examples)
    places: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        places.setdefault(inputs_key(example), []).append(place)

    def judge(equal: Sequence[int]) -> list[tuple[int, Judgement]]:
        with traced(program) if with_traces else nullcontext(lambda: None) as trace:
            prediction = run_program(program, examples[equal[0]].inputs())
        predictions = [prediction, *(copy_of(prediction) for _ in equal[1:])]
        judged = [
            (place, judgement(place, each, trace()))
            for place, each in zip(equal, predictions, strict=True)
        ]
        if first is not None:
            first.see(prediction, judged[0][1].scores.values())
        return judged

    def judgement(place: int, made: Made, trace: Trace | None) -> Judgement:
        example = examples[place]
        copies = _copies(made, objectives)
        scores = {each.name: _score(each, example, copies[each.name]) for each in objectives}
        group = group_of(example, place, by_group=by_group)
        return Judgement(ids[place], group, example, made, scores, trace, copies)

    # Texts over one source follow one another, so that a model's prefix cache serves them.
    order = sorted(places.values(), key=lambda equal: _prompt_order(examples[equal[0]]))
    with judging():
        judgements = dict(chain.from_iterable(in_parallel(judge, order, num_threads)))
    return tuple(judgements[place] for place in range(len(examples)))


def asks_groups(program: dspy.Module, objectives: Iterable[Objective]) -> bool:
    """Say whether an example's field ``group`` names its group; else it is the user's own data."""
    return isinstance(program, MultiCriteriaJudge) or any(map(is_of_rubric, objectives))


def agreement_of(judgements: Sequence[Judgement], objectives: Sequence[Objective]) -> Agreement:
    """Aggregate judgements per objective, over the examples that have a score."""
    names = [objective.name for objective in objectives]
    return Agreement(
        by_criterion={each.name: _aggregate(each, judgements) for each in objectives},
        scored={name: sum(isinstance(j.scores[name], float) for j in judgements) for name in names},
        unscored={
            name: sum(isinstance(j.scores[name], Unscored) for j in judgements) for name in names
        },
        missing={name: sum(j.scores[name] is None for j in judgements) for name in names},
        fallbacks={name: sum(_is_fallback(j, name) for j in judgements) for name in names},
    )


def name_examples(examples: Sequence[dspy.Example]) -> list[str]:
    """Name each example by its inputs, and one that repeats another by its count as well."""
    seen: Counter[str] = Counter()
    ids = []
    for example in examples:
        key = example_key(example)
        seen[key] += 1
        ids.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return ids


def judging() -> AbstractContextManager[None]:
    """Give the context in which a program is run over many texts.

    A judge reads its replies field by field all the same; any other program must not be handed an
    `Unscored` for a field.
    """
    adapter = as_a_whole(dspy.settings.adapter)
    return dspy.context(adapter=adapter)  # type: ignore[no-any-return]


def run_program(program: dspy.Module, inputs: Mapping[str, Any]) -> Made:
    """Run a program on one text; a reply that cannot be read is `Unscored`.

    So is a text that the provider takes not (`Refused`): a content filter, say, or its length; and
    one on which a program that is no judge raises an error of its own.
    """
    try:
        with layer_held(), dspy.context(trace=[]):
            return call_program(program, inputs)
    except ProgramFailed as error:
        return Failed(f"the program failed: {why(error, program)}")
    except (dspy.AdapterParseError, dspy.ContextWindowExceededError) as error:
        return Unscored(f"no readable reply: {why(error, program)}")
    except dspy.LMInvalidRequestError as error:
        if isinstance(error, dspy.LMUnsupportedModelError):
            raise
        return Refused(f"refused: {why(error, program)}", error)


def check_scored(judgements: Sequence[Judgement], what: str) -> None:
    """Check that something can be made of a program's replies, before more of them are paid for.

    Raises:
        SetupError: If an objective's own function failed on more than half of the texts.
        dspy.LMError: If the provider refused every text.
        ReplyError: If no text has a score on anything.
    """
    _check_metrics(judgements, what)
    scores = [score for each in judgements for score in each.scores.values()]
    if not scores or not all(isinstance(score, Unscored) for score in scores):
        return
    raise nothing_scored(
        [each.prediction for each in judgements],
        next(score for score in scores if isinstance(score, Unscored)),
        f"{len(judgements)} {what}",
    )


def nothing_scored(made: Sequence[Made], first: Unscored, which: str) -> dspy.LMError | ReplyError:
    """Give the error for texts that all have no score: the provider's, if it refused them all."""
    refusals = [each.error for each in made if isinstance(each, Refused)]
    if len(refusals) == len(made):
        return refusal_of_all(refusals[0])
    mending = "Look at the model's replies, and whether it has tokens enough for them."
    if isinstance(first, Failed):
        mending = "Mend the program, or the examples' inputs."
    return ReplyError(
        f"None of the {which} texts has a score; the first: {first.reason}. {mending}"
    )


def refusal_of_all(error: dspy.LMError) -> dspy.LMError:
    """Give a refusal that every text met, with the setting to change."""
    if isinstance(error, dspy.LMInvalidRequestError):
        lm = dspy.settings.lm
        temperature = None if lm is None else lm.kwargs.get("temperature")
        return with_remedy(error, "judge", temperature=temperature)
    return error


class FirstTexts:
    """Looks at what becomes of the first texts, in whatever thread.

    Args:
        count: How many to look at.
    """

    def __init__(self, count: int = FIRST_TEXTS) -> None:
        self._count = count
        self._made: list[Made] = []
        self._lock = threading.Lock()

    def see(self, made: Made, scores: Iterable[object]) -> None:
        """Look at one more text.

        Raises:
            dspy.LMError: If it is the last of the first ones, and the provider refused them all.
            ReplyError: If none of them has a score.
        """
        scores = list(scores)
        first = next((score for score in scores if isinstance(score, Unscored)), None)
        with self._lock:
            if first is None or not all(isinstance(score, Unscored) for score in scores):
                self._count = 0  # one is enough
            elif len(self._made) < self._count:
                self._made.append(made)
                if len(self._made) == self._count:
                    raise nothing_scored(self._made, first, f"first {self._count}")


def check_summed(agreement: Agreement, objectives: Iterable[Objective], what: str) -> None:
    """Check that the objectives' own functions could sum up a data set.

    Raises:
        SetupError: If one failed, or none has a value; a rubric's ratings are checked before.
    """
    for value in agreement.by_criterion.values():
        if isinstance(value, AggregateFailed):
            raise SetupError(f"{value.reason[0].upper()}{value.reason[1:]}. Mend it.")
    if agreement.mean is None and not any(map(is_of_rubric, objectives)):
        reasons = "; ".join(_lack(agreement, name) for name in agreement.by_criterion)
        raise SetupError(
            f"No objective has a value on the {what} texts, so no step can find anything better: "
            f"{reasons}. Mend the functions, or give other {what} examples."
        )


def _lack(agreement: Agreement, name: str) -> str:
    """Say why an objective has no value, and on how many texts its function gave None."""
    reason, missing = agreement.undefined()[name], agreement.missing[name]
    given = f" (its score is None on {missing} texts: does it return?)" if missing else ""
    return f"{name!r}: {reason}{given}"


def _check_metrics(judgements: Sequence[Judgement], what: str) -> None:
    for name in judgements[0].scores if judgements else ():
        scores = [judgement.scores[name] for judgement in judgements]
        failures = [score for score in scores if isinstance(score, MetricFailed)]
        if len(failures) > MOST_FAILURES * len(judgements):
            raise SetupError(
                f"{len(failures)} of {len(judgements)} {what} texts have no score: "
                f"{failures[0].reason}. Mend the function, or rescale what it gives to [0, 1]."
            )


def _copies(made: Made, objectives: Sequence[Objective]) -> dict[str, Made]:
    """Give each objective's function a prediction of its own, and the first one the original.

    Objectives of one metric share theirs, as it is asked once; a rubric's change nothing.
    """
    readers = [0 if is_of_rubric(each) else id(metric_of(each)) for each in objectives]
    by_reader = {
        reader: copy_of(made) if number else made
        for number, reader in enumerate(dict.fromkeys(readers))
    }
    return {each.name: by_reader[reader] for each, reader in zip(objectives, readers, strict=True)}


def _score(objective: Objective, example: dspy.Example, prediction: Made) -> Score:
    if isinstance(prediction, Unscored):
        return prediction
    return objective.scored(example, prediction)


def _aggregate(objective: Objective, judgements: Iterable[Judgement]) -> float | Undefined:
    scored = [
        Scored(each.example, each.read_by(objective.name), score, each.group)
        for each in judgements
        if isinstance(score := each.scores[objective.name], float)
    ]
    return objective.summed(scored)


def _is_fallback(judgement: Judgement, name: str) -> bool:
    made = judgement.prediction
    readings = made.get("readings") if isinstance(made, dspy.Example) else None  # of any kind
    reading = readings.get(name) if isinstance(readings, Mapping) else None
    return isinstance(reading, Reading) and reading.source == "fallback"


def _prompt_order(example: dspy.Example) -> list[str]:
    try:
        return [str(value) for value in dict(example.inputs()).values()]
    except Exception:  # noqa: BLE001 - a value that is nested too deeply, or has no text
        return []
