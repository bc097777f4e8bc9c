"""Objectives as people write them: metrics, in a list or a dict."""

from dataclasses import dataclass
from functools import partial

import dspy
import pytest

from mogradjudge import MOGrad, Objective, SetupError, agreement_of, judge_examples
from tests.engines import FunctionEngine, fake_lm, in_chat

BRIEF = Objective("brief", "It is brief.", lambda example, prediction: 1.0)


def is_short(example, prediction, trace=None):
    """The answer is short,
    in one word.

    Further paragraphs are for programmers.
    """
    return len(prediction.answer.split()) == 1


def without_docstring(example, prediction):
    return 1.0


@dataclass
class Closeness:
    width: float

    def __call__(self, example, prediction):
        return 1.0


@pytest.mark.parametrize(
    ["objectives", "fault"],
    [
        (len, "len"),
        ([len], r"\(obj, /\)"),  # it takes no prediction
        ("brevity", "'b'"),
        (7, "7"),
        ([BRIEF, "brevity"], "'brevity'"),
        ({"brevity": 7}, "7"),
        ({"brevity": BRIEF}, "'brevity'.*list of Objective"),
        ([lambda example, prediction: 1.0], "'<lambda>'.*docstring"),
        ([without_docstring], "'without_docstring'.*docstring"),
        ([Closeness(4.0)], "'Closeness'.*docstring"),
        ({"brevity": without_docstring}, "'brevity'.*docstring"),
        ([dspy.evaluate.SemanticF1], "SemanticF1"),  # the class
        ({"two words": dspy.evaluate.answer_exact_match}, "'two words'"),
    ],
)
def test_what_is_no_objective_is_refused(objectives, fault):
    with pytest.raises(SetupError, match=fault) as caught:
        MOGrad(objectives=objectives)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ["objectives", "name", "description"],
    [
        ([is_short], "is_short", "The answer is short, in one word."),
        ((is_short,), "is_short", "The answer is short, in one word."),
        ({"brevity": is_short}, "brevity", "The answer is short, in one word."),
        ([{"brevity": is_short}], "brevity", "The answer is short, in one word."),
        ([{"brevity": partial(is_short, trace=None)}], "brevity", "The answer is short, in one"),
        ([dspy.evaluate.answer_exact_match], "answer_exact_match", "Evaluate exact match"),
        ([dspy.evaluate.SemanticF1()], "SemanticF1", "Computes semantic F1"),
    ],
)
def test_a_metric_is_an_objective_with_its_own_name_and_docstring(objectives, name, description):
    (objective,) = MOGrad(objectives=objectives).objectives
    assert (objective.name, objective.description[: len(description)]) == (name, description)


def test_metrics_by_name_are_scored_like_objectives():
    example = dspy.Example(question="Is it?").with_inputs("question")
    program = dspy.Predict("question -> answer")
    program.set_lm(fake_lm(FunctionEngine(lambda _: in_chat({"answer": "Yes."}))))
    metrics = {"brevity": is_short, "same": is_short}
    judgements = judge_examples(program, [example], metrics, 1)
    assert dict(judgements[0].scores) == {"brevity": 1.0, "same": 1.0}
    assert dict(agreement_of(judgements, metrics).by_criterion) == {"brevity": 1.0, "same": 1.0}
