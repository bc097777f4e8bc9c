"""Any function that scores makes an objective; what it gives is checked, and never guessed."""

import json
from decimal import Decimal

import dspy
import numpy as np
import pytest
from dspy.lm15 import AuthError, InvalidRequestError, Request

from benchmarks.worlds.world import ToyEngine, critique_or_advice, role_of, toy_lm
from mogradjudge import (
    Criterion,
    MOGrad,
    Objective,
    Rubric,
    Scored,
    SetupError,
    Undefined,
    Unscored,
    rubric_objectives,
)
from mogradjudge.errors import BudgetExhausted
from mogradjudge.objectives import AggregateFailed, MetricFailed, show_all
from mogradjudge.programs.evaluation import judge_examples
from tests.engines import FunctionEngine, fake_lm, in_chat

EXAMPLE = dspy.Example(question="2 + 2?", answer="4").with_inputs("question")
MADE = dspy.Prediction(answer="4")


def objective(score):
    return Objective("right", "Is it right?", score=score)


def scored(score):
    return objective(score).scored(EXAMPLE, MADE)


# What a function may give


@pytest.mark.parametrize(
    ["given", "score"],
    [
        (True, 1.0),
        (False, 0.0),
        (1, 1.0),
        (0.25, 0.25),
        (np.float32(0.5), 0.5),
        (np.int64(1), 1.0),
        (np.bool_(True), 1.0),
        (np.array(0.5), 0.5),
        (Decimal("0.5"), 0.5),
        (dspy.Prediction(score=0.5, feedback="so so"), 0.5),
        (dspy.Prediction(score=True), 1.0),
        (None, None),
        (Unscored("no idea"), Unscored("no idea")),
    ],
)
def test_a_number_of_any_kind_is_a_score(given, score):
    results = scored(lambda example, prediction: given)
    assert results == score
    assert type(results) is type(score)


@pytest.mark.parametrize(
    ["given", "said"],
    [
        ("0.5", "'0.5'"),
        ({"score": 1.0}, "{'score': 1.0}"),
        ([1.0], "[1.0]"),
        (1.5, "1.5"),
        (1 + 2e-6, "1.000002"),
        (-2e-6, "-2e-06"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (dspy.Prediction(feedback="bad"), "ValueError"),
        (dspy.Prediction(score=None), "TypeError"),
    ],
)
def test_what_is_no_score_leaves_the_example_unscored_with_a_reason(given, said):
    results = scored(lambda example, prediction: given)
    assert isinstance(results, MetricFailed)
    assert "'right'" in results.reason
    assert said in results.reason
    assert "\n" not in results.reason


@pytest.mark.parametrize(
    ["given", "score"],
    [(1.0000001, 1.0), (1 + 4e-16, 1.0), (np.float32(1.0000001), 1.0), (-1e-9, 0.0), (-0.0, 0.0)],
)
def test_a_rounding_error_at_an_end_of_the_scale_is_none(given, score):
    assert scored(lambda example, prediction: given) == score


def test_a_bug_in_a_function_leaves_the_example_unscored_and_each_kind_is_told_once(caplog):
    def buggy(example, prediction):
        if prediction == "off":
            return 7
        return example["no such field\nat all"] if prediction == "key" else 1 / 0

    right = objective(buggy)
    results = [right.scored(EXAMPLE, prediction) for prediction in ("key", "zero", "off") * 3]
    assert all(isinstance(each, MetricFailed) for each in results)
    reasons = [record.getMessage() for record in caplog.records]
    assert len(reasons) == 3
    for said, name in zip(reasons, ("KeyError", "ZeroDivisionError", "7"), strict=True):
        assert name in said
        assert "\n" not in said


def test_a_function_that_turns_out_to_be_async_is_refused():
    with pytest.raises(SetupError, match="coroutine"):
        scored(lambda example, prediction: awaited())


@pytest.mark.parametrize(
    "error",
    [
        dspy.LMRateLimitError("slow down"),
        dspy.LMUnsupportedModelError("no such model"),
        BudgetExhausted("no more"),
        KeyboardInterrupt(),
    ],
)
def test_an_outage_a_cap_and_an_interrupt_are_no_bugs(error):
    def failing(example, prediction):
        raise error

    with pytest.raises(type(error)) as caught:
        scored(failing)
    assert caught.value is error


async def awaited(*given):
    return 1.0


@pytest.mark.parametrize(
    ["hooks", "said"],
    [
        ({"score": 0.5}, "`score` of objective 'right' must be a function .*, got 0.5"),
        ({"score": None}, "`score` of objective 'right' must be a function .*, got None"),
        ({"score": awaited}, "`score` of objective 'right' must be a function that is not async"),
        ({"aggregate": "macro_f1"}, "got 'macro_f1'; Objective.over_labels takes"),
        ({"show": "answer"}, "`show` of objective 'right' must be a function"),
        ({"labels": ("answer", "answer")}, "`labels` of objective 'right' must be a function"),
        ({"description": None}, "'right' needs a description, .*, got None"),
        ({"description": " "}, "'right' needs a description, .*, got ' '"),
    ],
)
def test_what_is_no_function_is_refused_when_the_objective_is_made(hooks, said):
    settings = {"name": "right", "description": "Is it right?", "score": lambda *given: 1.0}
    with pytest.raises(SetupError, match=said) as caught:
        Objective(**settings | hooks)
    assert "\n" not in str(caught.value)


def test_a_metrics_aggregate_that_is_a_name_is_refused_before_a_call():
    with pytest.raises(SetupError, match="`aggregate` of objective 'right' must be a function"):
        Objective.from_metric(lambda *given: 1.0, "right", "Is it right?", aggregate="macro_f1")


# A function that asks an LM


def asking(example, prediction):
    return dspy.Predict("answer -> score: float")(answer=prediction.answer).score


def asked(reply):
    with dspy.context(lm=fake_lm(FunctionEngine(reply)), adapter=dspy.ChatAdapter()):
        return scored(asking)


def test_a_function_may_ask_an_lm_and_leaves_no_trace_of_it():
    with dspy.context(trace=[]):
        assert asked(lambda request: in_chat({"score": 0.5})) == 0.5
        assert dspy.settings.trace == []


def refuses(request: Request) -> str:
    raise InvalidRequestError("content policy")


@pytest.mark.parametrize("reply", [lambda request: "No.", refuses])
def test_what_the_functions_own_lm_does_not_rate_is_unscored(reply):
    results = asked(reply)
    assert isinstance(results, Unscored)
    assert results.reason.startswith("the metric's own LM gave no usable reply: ")


def test_a_provider_that_fails_within_a_function_ends_the_run():
    def fails(request: Request) -> str:
        raise AuthError("wrong key")

    with pytest.raises(dspy.LMAuthError):
        asked(fails)


# Objectives that need no gold


class Answering(ToyEngine):
    """Answers in small letters until it is told to shout."""

    def answer(self, system: str, user: str) -> str:
        match role_of(system):
            case "editor":
                return in_chat({"new_instructions": json.dumps({"loudness": "Shout."})})
            case "judge":
                answer = "yes, it is"
                return in_chat({"answer": answer.upper() if "Shout." in system else answer})
        return in_chat(critique_or_advice(user, "It is not loud.", "Tell it to shout."))


def loud(example, prediction):
    return prediction.answer.isupper()


def test_examples_without_any_label_are_enough_for_an_objective_that_needs_none():
    examples = [dspy.Example(question=f"is it {n}").with_inputs("question") for n in range(6)]
    optimizer = MOGrad(objectives=[Objective("loudness", "Is it in capitals?", loud)], steps=1)
    engine = Answering()
    with dspy.context(lm=toy_lm(engine)):
        result = optimizer.optimize(
            dspy.Predict("question -> answer"), trainset=examples[:3], valset=examples[3:]
        )
    assert result.seed_agreement.by_criterion == {"loudness": 0.0}
    assert result.final_agreement.by_criterion == {"loudness": 1.0}
    assert result.final_agreement.missing == {"loudness": 0}
    (critic, *_) = [user for role, _, user in engine.prompts if role == "critic"]
    assert "### loudness\n#### produced\n- answer: yes, it is" in critic


class Saying(dspy.Module):
    """Gives what is made of the question."""

    def __init__(self, make):
        super().__init__()
        self.say = dspy.Predict("question -> answer")
        self.make = make

    def forward(self, question):
        return self.make(self.say(question=question).answer)


def judged(program, examples, *goals):
    with dspy.context(lm=toy_lm(Answering())):
        results = judge_examples(program, examples, goals, num_threads=1)
    return [judgement.scores for judgement in results]


def lowered(example, prediction):
    prediction.answer = f"({prediction.answer})"
    return prediction.answer == "(yes, it is)"


def as_it_is(example, prediction):
    return prediction.answer == "yes, it is"


@pytest.mark.parametrize("build", [lambda *goals: goals, lambda *goals: goals[::-1]])
def test_a_function_that_changes_its_prediction_changes_no_other_ones(build):
    same = [dspy.Example(question="is it?", n=n).with_inputs("question") for n in range(3)]
    first = Objective("first", "Is it right?", lowered)
    second = Objective.from_metric(lowered, "second", "Is it right?")
    third = Objective("third", "Is it right?", as_it_is)
    scores = judged(dspy.Predict("question -> answer"), same, *build(first, second, third))
    assert scores == [{"first": 1.0, "second": 1.0, "third": 1.0}] * 3


@pytest.mark.parametrize(
    "make", [lambda text: (word for word in [text]), lambda text: iter([text])]
)
def test_what_can_be_read_only_once_is_a_list_for_every_objective(make):
    def listed(example, prediction):
        return list(prediction) == ["yes, it is"]

    goals = [Objective(name, "Is it right?", listed) for name in ("a", "b")]
    same = [dspy.Example(question="is it?", n=n).with_inputs("question") for n in range(2)]
    assert judged(Saying(make), same, *goals) == [{"a": 1.0, "b": 1.0}] * 2


class Textless:
    def __str__(self):
        raise RuntimeError("no text")


def test_an_input_without_a_text_costs_no_run():
    rows = [dspy.Example(question="is it?", own=Textless()).with_inputs("question", "own")]

    class Two(Saying):
        def forward(self, question, own):
            return super().forward(question)

    goal = Objective("a", "Is it right?", lambda example, prediction: prediction == "yes, it is")
    assert judged(Two(str), rows, goal) == [{"a": 1.0}]


def test_what_is_expected_is_shown_only_where_there_is_a_label():
    assert show_all(EXAMPLE, MADE) == {"expected": {"answer": "4"}, "produced": {"answer": "4"}}
    assert show_all(EXAMPLE.without("answer"), MADE) == {"produced": {"answer": "4"}}


def test_examples_that_name_no_inputs_are_refused_before_a_call():
    engine = Answering()
    with dspy.context(lm=toy_lm(engine)), pytest.raises(SetupError, match="with_inputs"):
        MOGrad(objectives=[objective(loud)], steps=1).optimize(
            dspy.Predict("question -> answer"),
            trainset=[dspy.Example(question="a")],
            valset=[dspy.Example(question="b")],
        )
    assert engine.prompts == []


# A data set


@pytest.mark.parametrize(
    ["aggregate", "said"],
    [
        (lambda scored: scored[0].no_such, "AttributeError"),
        (lambda scored: None, "None"),
        (lambda scored: "0.5", "'0.5'"),
    ],
)
def test_an_aggregate_that_fails_gives_no_value_and_names_the_objective(aggregate, said):
    summing = Objective("right", "Is it right?", score=loud, aggregate=aggregate)
    results = summing.summed([Scored(EXAMPLE, MADE, 1.0, "")])
    assert isinstance(results, AggregateFailed)
    assert "'right'" in results.reason
    assert said in results.reason


def test_a_show_or_labels_function_that_fails_is_done_without(caplog):
    def fails(example, prediction):
        raise KeyError("tone")

    right = Objective("right", "Is it right?", score=loud, show=fails, labels=fails)
    assert right.shown(EXAMPLE, MADE) == show_all(EXAMPLE, MADE)
    assert right.compared(EXAMPLE, MADE) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    for show in (lambda *given: "text", lambda *given: None):
        wrong = Objective(
            "right", "Is it right?", score=loud, show=show, labels=lambda *given: "abc"
        )
        assert wrong.shown(EXAMPLE, "4") == {"expected": {"answer": "4"}, "produced": "4"}
        assert wrong.compared(EXAMPLE, "4") is None


@pytest.mark.parametrize(
    ["given", "value"],
    [
        (np.float64(0.5), 0.5),
        (float("nan"), Undefined("the aggregate is nan")),
        (Undefined("too few"), Undefined("too few")),
    ],
)
def test_an_aggregate_may_have_no_value(given, value):
    summing = Objective("right", "Is it right?", score=loud, aggregate=lambda scored: given)
    assert summing.summed([]) == value


def test_the_critic_sees_the_names_of_levels():
    criterion = Criterion("safety", "Is it safe?", levels=["fail", "pass"])
    (objective,) = rubric_objectives(Rubric(["text"], [criterion]))
    shown = objective.show(dspy.Example(text="a", human_safety=0.0), dspy.Prediction(safety=1))
    assert (shown["judge score"], shown["human score"]) == ("1 (pass)", "0 (fail)")
