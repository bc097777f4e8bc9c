"""Any function that scores makes an objective; what it gives is checked, and never guessed."""

import json
from decimal import Decimal

import dspy
import numpy as np
import pytest
from dspy.lm15 import AuthError, InvalidRequestError, Request

from benchmarks.world import ToyEngine, role_of, toy_lm
from mogradjudge import MOGrad, Objective, Scored, SetupError, Undefined, Unscored
from mogradjudge.errors import BudgetExhausted
from mogradjudge.objectives import show_all
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
    found = scored(lambda example, made: given)
    assert found == score
    assert type(found) is type(score)


@pytest.mark.parametrize(
    ["given", "said"],
    [
        ("0.5", "must score with a number, got \"'0.5'\""),
        ({"score": 1.0}, "must score with a number, got \"{'score': 1.0}\""),
        ([1.0], "must score with a number"),
        (1.5, r"must score in \[0, 1\], got 1.5"),
        (float("nan"), r"must score in \[0, 1\], got nan"),
        (dspy.Prediction(feedback="bad"), "cannot score .*'2 \\+ 2\\?'.*ValueError.*'score' field"),
        (dspy.Prediction(score=None), "cannot score .*TypeError"),
    ],
)
def test_all_else_is_refused_in_a_line_that_names_the_objective(given, said):
    with pytest.raises(SetupError, match=said) as caught:
        scored(lambda example, made: given)
    assert str(caught.value).startswith("Objective 'right' ")
    assert "\n" not in str(caught.value)


def test_a_bug_in_a_function_is_one_line_with_the_objective_and_the_example():
    def buggy(example, made):
        return example["no such field\nat all"]

    with pytest.raises(SetupError, match=r"'right' cannot score .*2 \+ 2\?.*KeyError") as caught:
        scored(buggy)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


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
    def failing(example, made):
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


def asking(example, made):
    return dspy.Predict("answer -> score: float")(answer=made.answer).score


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
    found = asked(reply)
    assert isinstance(found, Unscored)
    assert found.reason.startswith("the metric's own LM gave no usable reply: ")


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
        return in_chat({"critique": "It is not loud.", "advice": "Tell it to shout."})


def loud(example, made):
    return made.answer.isupper()


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
    assert '{"loudness": {"produced": {"answer": "yes, it is"}}}' in critic


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
        (lambda scored: scored[0].no_such, "cannot sum up 1 scored examples: AttributeError"),
        (lambda scored: None, "must sum up to a number, got 'None'"),
        (lambda scored: "0.5", "must sum up to a number, got"),
    ],
)
def test_an_aggregate_that_fails_is_one_line_that_names_the_objective(aggregate, said):
    summing = Objective("right", "Is it right?", score=loud, aggregate=aggregate)
    with pytest.raises(SetupError, match=said):
        summing.summed([Scored(EXAMPLE, MADE, 1.0, "")])


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
