"""DSPy's metrics as objectives: each shape that they have, called once per prediction."""

import copy
import gc
import json
import pickle
import threading
import weakref

import dspy
import numpy as np
import pytest
from dspy.teleprompt.gepa.gepa_utils import ScoreWithFeedback

from benchmarks.worlds.world import ToyEngine, critique_or_advice, labels_of, role_of, toy_lm
from mogradjudge import (
    Budget,
    MOGrad,
    Objective,
    SetupError,
    Unscored,
    objectives_from_metric,
)
from mogradjudge.concurrency import in_parallel
from mogradjudge.objectives import MetricFailed, show_all
from tests.engines import in_chat

EXAMPLE = dspy.Example(question="2 + 2?", answer="4").with_inputs("question")
MADE = dspy.Prediction(answer="4")


def from_metric(metric, **settings):
    return Objective.from_metric(metric, "right", "Is it right?", **settings)


def giving(value):
    return lambda example, prediction, trace=None: value


# What a metric gives


@pytest.mark.parametrize(
    ["given", "score"],
    [
        (True, 1.0),
        (np.bool_(False), 0.0),
        (0.25, 0.25),
        (np.float32(0.5), 0.5),
        (dspy.Prediction(score=0.5), 0.5),
        (dspy.Prediction(score=True, feedback="yes"), 1.0),
        (ScoreWithFeedback(score=0.5, feedback="half"), 0.5),
        (None, None),
        (dspy.Prediction(score=None, feedback="no label"), None),
        (Unscored("no idea"), Unscored("no idea")),
    ],
)
def test_each_shape_of_a_metrics_score_is_read(given, score):
    assert from_metric(giving(given)).scored(EXAMPLE, MADE) == score


@pytest.mark.parametrize(
    ["given", "score"], [(1, 0.0), (4, 0.75), (5.0, 1.0), (np.int64(3), 0.5), (True, 1.0)]
)
def test_a_scale_brings_scores_to_the_unit_interval(given, score):
    for scale in ((1, 5), (np.int64(1), np.float32(5))):
        assert from_metric(giving(given), scale=scale).scored(EXAMPLE, MADE) == score


@pytest.mark.parametrize(
    ["given", "settings", "said"],
    [
        (1.5, {}, "[0, 1], got 1.5"),
        (0, {"scale": (1, 5)}, "[1, 5], got 0"),
        (float("nan"), {}, "got nan"),
        ("0.5", {}, "'0.5'"),
        ({"score": 1.0, "feedback": "good"}, {}, "dspy.Prediction"),
        (dspy.Prediction(feedback="good"), {}, "['feedback']"),
    ],
)
def test_what_is_no_score_leaves_the_example_unscored_in_one_line(given, settings, said):
    found = from_metric(giving(given), **settings).scored(EXAMPLE, MADE)
    assert isinstance(found, MetricFailed)
    assert said in found.reason
    assert "\n" not in found.reason


@pytest.mark.parametrize(["given", "score"], [(5.000003, 1.0), (0.999997, 0.0)])
def test_a_rounding_error_is_measured_by_the_scale(given, score):
    assert from_metric(giving(given), scale=(1, 5)).scored(EXAMPLE, MADE) == score


class Slotted:
    __slots__ = ("answer",)


@pytest.mark.parametrize("returned", ["4", {"answer": "4"}, ("4", 1), [MADE], None, 4, Slotted()])
def test_a_metric_is_given_what_the_program_returned_and_asked_once(returned):
    given = []

    def metric(example, pred):
        given.append(pred)
        return dspy.Prediction(score=1.0, feedback="Well done.")

    right = from_metric(metric)
    assert right.scored(EXAMPLE, returned) == 1.0
    assert right.shown(EXAMPLE, returned)["feedback"] == "Well done."
    assert len(given) == 1
    assert given[0] is returned


@pytest.mark.parametrize("scale", [(1, 1), (5, 1), (0, float("inf")), (float("nan"), 1), 5, "ab"])
def test_an_empty_scale_is_refused(scale):
    with pytest.raises(SetupError, match="`scale` must be two numbers"):
        from_metric(giving(1), scale=scale)


def of_dspy(example, pred, trace=None):
    return {"arguments": 2}


def with_a_trace(example, pred, trace):
    assert trace is None
    return 1.0


def of_gepa(gold, pred, trace, pred_name, pred_trace):
    assert (trace, pred_name, pred_trace) == (None, None, None)
    return 1.0


class Metric:
    def __call__(self, example, pred):
        return 1.0


@pytest.mark.parametrize("metric", [with_a_trace, of_gepa, Metric(), lambda *given: 1.0])
def test_a_metric_is_called_with_the_arguments_that_it_needs(metric):
    assert from_metric(metric).scored(EXAMPLE, MADE) == 1.0


async def awaited(example, pred):
    return 1.0


class Awaited:
    async def __call__(self, example, pred):
        return 1.0


@pytest.mark.parametrize(
    "metric", [lambda: 1.0, lambda a: 1.0, lambda a, b, *, c: 1.0, awaited, Awaited(), 0.5]
)
def test_a_function_that_is_no_metric_is_refused_when_the_objective_is_made(metric):
    with pytest.raises(SetupError, match="A metric must"):
        from_metric(metric)


def only_for_a_predictor(gold, pred, trace=None, pred_name=None, pred_trace=None):
    if pred_name is None:
        return 0.5
    return dspy.Prediction(score=0.5, feedback=f"for {pred_name}")


def test_a_metric_with_feedback_for_predictors_alone_is_given_one():
    asked = from_metric(only_for_a_predictor, pred_name="answer")
    assert asked.show(EXAMPLE, MADE)["feedback"] == "for answer"
    assert "feedback" not in from_metric(only_for_a_predictor).show(EXAMPLE, MADE)
    with pytest.raises(SetupError, match="five arguments of GEPA's metrics, for `pred_name`"):
        from_metric(of_dspy, pred_name="answer")


def test_the_critic_is_shown_score_and_feedback_beside_labels_and_prediction():
    shown = from_metric(giving(dspy.Prediction(score=4, feedback="Units!")), scale=(0, 5))
    assert shown.show(EXAMPLE, MADE) == {
        "score": "4 on a scale from 0 to 5",
        "feedback": "Units!",
        "expected": {"answer": "4"},
        "produced": {"answer": "4"},
    }


def test_a_metrics_bug_is_one_line_and_its_outage_is_an_outage():
    def buggy(example, pred):
        return example.no_such_field

    found = from_metric(buggy).scored(EXAMPLE, MADE)
    assert isinstance(found, MetricFailed)
    assert "AttributeError" in found.reason

    def down(example, pred):
        raise dspy.LMServerError("overloaded")

    with pytest.raises(dspy.LMServerError):
        from_metric(down).scored(EXAMPLE, MADE)


# Several objectives of one metric


class Counted:
    """A metric with two objectives that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, gold, pred, trace=None, pred_name=None, pred_trace=None):
        self.calls += 1
        right = float(gold.answer == pred.answer)
        parts = {"right": right, "brief": 1 / len(pred.answer)}
        if not gold.answer:
            parts["right"] = None
        return dspy.Prediction(score=right, feedback="seen", objective_scores=parts)


DESCRIPTIONS = {"right": "Is it right?", "brief": "Is it brief?"}


def test_several_objectives_of_one_metric_share_its_call():
    metric = Counted()
    right, brief = objectives_from_metric(metric, DESCRIPTIONS)
    made = dspy.Prediction(answer="four")
    assert (right.scored(EXAMPLE, made), brief.scored(EXAMPLE, made)) == (0.0, 0.25)
    assert brief.show(EXAMPLE, made)["feedback"] == "seen"
    assert metric.calls == 1
    equal = dspy.Prediction(answer="four")
    assert brief.scored(EXAMPLE, equal) == 0.25
    other = dspy.Example(question="2 + 2?", answer="four").with_inputs("question")
    assert right.scored(other, made) == 1.0  # equal inputs share a prediction, not their labels
    assert metric.calls == 3


@pytest.mark.parametrize("failing", [lambda: {}["tone"], lambda: {"score": 1.0}])
def test_a_metric_that_fails_is_called_at_most_twice_whatever_reads_it(failing):
    calls = []

    def metric(gold, pred):
        calls.append(pred)
        return failing()

    names = dict.fromkeys("abcd", "Is it right?")
    goals = objectives_from_metric(metric, names)
    found = [goal.scored(EXAMPLE, MADE) for goal in goals for _ in range(2)]
    assert all(isinstance(each, MetricFailed) for each in found)
    assert [goal.shown(EXAMPLE, MADE) for goal in goals] == [show_all(EXAMPLE, MADE)] * 4
    assert 1 <= len(calls) <= 2


def test_a_metric_that_fails_once_has_a_score_for_every_objective():
    counted, failed = Counted(), []

    def once(gold, pred):
        if not failed:
            failed.append(pred)
            raise KeyError("tone")
        return counted(gold, pred)

    right, brief = objectives_from_metric(once, DESCRIPTIONS)
    assert (right.scored(EXAMPLE, MADE), brief.scored(EXAMPLE, MADE)) == (1.0, 1.0)
    assert counted.calls == 1


def test_what_a_failing_metric_was_given_is_forgotten():
    goals = objectives_from_metric(giving({}), DESCRIPTIONS)
    made = dspy.Prediction(answer="4")
    alive = weakref.ref(made)
    for goal in goals:
        goal.scored(EXAMPLE, made)
    del made
    gc.collect()
    assert alive() is None


def test_an_objective_that_the_metric_gives_none_for_has_nothing_to_score_by():
    right, brief = objectives_from_metric(Counted(), DESCRIPTIONS)
    unlabelled = dspy.Example(question="2 + 2?", answer="").with_inputs("question")
    assert (right.scored(unlabelled, MADE), brief.scored(unlabelled, MADE)) == (None, 1.0)


def test_an_objective_that_the_metric_does_not_know_is_refused_with_those_that_it_does():
    (wrong,) = objectives_from_metric(Counted(), {"rigth": "Is it right?"})
    found = wrong.scored(EXAMPLE, MADE)
    assert isinstance(found, MetricFailed)
    assert "['right', 'brief'] and not 'rigth'" in found.reason


def test_objective_scores_alone_are_no_score():
    metric = giving(dspy.Prediction(objective_scores={"right": 1.0}))
    found = from_metric(metric).scored(EXAMPLE, MADE)
    assert isinstance(found, MetricFailed)
    assert "['right']" in found.reason
    (right,) = objectives_from_metric(metric, {"right": "Is it right?"})
    assert right.scored(EXAMPLE, MADE) == 1.0


def test_a_misspelt_objective_ends_a_run_at_its_first_answers():
    def metric(gold, pred):
        return dspy.Prediction(score=1.0, objective_scores={"polite": 1.0})

    engine = Rated()
    with pytest.raises(SetupError, match="'polit'"):
        optimize(engine, objectives_from_metric(metric, {"polit": "Is it polite?"}), num_threads=1)
    assert set(engine.calls) == {"judge"}
    assert engine.calls["judge"] <= 3


def test_a_metric_without_objective_scores_is_refused_where_they_are_needed():
    (right,) = objectives_from_metric(giving(0.5), {"right": "Is it right?"})
    found = right.scored(EXAMPLE, MADE)
    assert isinstance(found, MetricFailed)
    assert "'0.5'" in found.reason
    with pytest.raises(SetupError, match="`descriptions` must name at least one"):
        objectives_from_metric(giving(0.5), {})


def test_verdicts_are_forgotten_with_their_predictions():
    def selfish(gold, pred):
        return dspy.Prediction(score=1.0, objective_scores={"right": 1.0}, pred=pred, gold=gold)

    (right,) = objectives_from_metric(selfish, {"right": "Is it right?"})
    alive = []
    for number in range(50):
        example, made = EXAMPLE.copy(number=number), dspy.Prediction(answer="4")
        assert right.scored(example, made) == 1.0
        alive += [weakref.ref(example), weakref.ref(made)]
    del example, made
    gc.collect()
    assert not any(each() for each in alive)
    assert right.score.metric._entries == {}


def test_threads_that_ask_together_share_one_call():
    counted, together = Counted(), threading.Barrier(4)

    def slow(gold, pred):
        threading.Event().wait(0.05)
        return counted(gold, pred)

    right, brief = objectives_from_metric(slow, DESCRIPTIONS)

    def ask(objective):
        together.wait()
        return objective.scored(EXAMPLE, MADE)

    assert in_parallel(ask, [right, brief, right, brief], 4) == [1.0] * 4
    assert counted.calls == 1


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_of_the_objectives_share_a_metric_of_their_own(twin):
    right, brief = twin(objectives_from_metric(Counted(), DESCRIPTIONS))
    assert (right.scored(EXAMPLE, MADE), brief.scored(EXAMPLE, MADE)) == (1.0, 1.0)
    assert right.score.metric is brief.score.metric
    assert right.score.metric.metric.calls == 1


# DSPy's own metrics, and a whole run


QUESTIONS = [
    dspy.Example(question=f"is it {word}", response=f"IT IS {word.upper()}").with_inputs("question")
    for word in ("a", "b", "c", "d", "e", "f")
]


class Rated(ToyEngine):
    """Answers small until it is told to shout, and rates an answer by its capitals."""

    def answer(self, system: str, user: str) -> str:
        if "`recall`" in system:
            self.prompts[-1] = ("metric", system, user)
            response = user.rpartition("system_response ## ]]\n")[2]
            value = float(response.split("\n")[0].isupper())
            return in_chat({"reasoning": "Capitals.", "recall": value, "precision": value})
        match role_of(system):
            case "editor":
                names = labels_of(system)
                return in_chat({"new_instructions": json.dumps(dict.fromkeys(names, "Shout."))})
            case "judge":
                return in_chat({"response": "IT IS" if "Shout." in system else "it is"})
        return in_chat(critique_or_advice(user, "Not loud.", "Tell it to shout."))


def optimize(engine, objectives, **settings):
    with dspy.context(lm=toy_lm(engine)):
        return MOGrad(
            objectives=objectives, mode="CCC", steps=1, batch_size=3, **settings
        ).optimize(
            dspy.Predict("question -> response"), trainset=QUESTIONS[:3], valset=QUESTIONS[3:]
        )


def test_a_metric_with_feedback_and_objective_scores_steers_a_run():
    def metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
        scores = {"loud": float(pred.response.isupper()), "brief": 1.0}
        return dspy.Prediction(
            score=sum(scores.values()) / 2, feedback="Please shout.", objective_scores=scores
        )

    engine = Rated()
    result = optimize(engine, objectives_from_metric(metric, {"loud": "Loud?", "brief": "Short?"}))
    assert result.seed_agreement.by_criterion == {"loud": 0.0, "brief": 1.0}
    assert result.final_agreement.by_criterion == {"loud": 1.0, "brief": 1.0}
    critic = next(user for role, _, user in engine.prompts if role == "critic")
    assert "score: 0 on a scale from 0 to 1" in critic
    assert "feedback: Please shout." in critic


def test_dspys_exact_match_is_an_objective():
    exact = from_metric(dspy.evaluate.answer_exact_match)
    assert exact.scored(EXAMPLE, dspy.Prediction(answer="4.")) == 1.0
    assert exact.scored(EXAMPLE, dspy.Prediction(answer="5")) == 0.0


SEMANTIC = from_metric(dspy.evaluate.SemanticF1())


def test_the_calls_of_a_metric_that_asks_the_default_lm_are_booked_as_the_judges():
    engine = Rated()
    result = optimize(engine, [SEMANTIC])
    assert result.seed_agreement.by_criterion == {"right": 0.0}
    assert result.final_agreement.by_criterion == {"right": 1.0}
    judged = next(row for row in result.ledger if row.role == "judge")
    assert engine.calls["metric"] == engine.calls["judge"] == 9
    assert judged.calls == engine.calls["judge"] + engine.calls["metric"]
    assert sum(row.calls for row in result.ledger) == engine.calls.total()


def test_a_cap_on_calls_holds_for_a_metrics_calls_too():
    engine = Rated()
    result = optimize(engine, [SEMANTIC], budget=Budget(max_calls=9), num_threads=1)
    assert (result.stop_reason, result.seed_kept) == ("budget", True)
    assert engine.calls.total() <= 9


def test_a_metric_whose_lm_gives_no_usable_reply_leaves_the_example_unscored():
    class Mute(Rated):
        def answer(self, system: str, user: str) -> str:
            mute = "`recall`" in system and "IS E" in user
            return "No." if mute else super().answer(system, user)

    result = optimize(Mute(), [SEMANTIC])
    assert result.final_agreement.unscored == {"right": 1}
    assert result.final_agreement.by_criterion == {"right": 1.0}


@pytest.mark.parametrize("shape", ["from a metric", "the module itself"])
def test_a_module_with_an_lm_of_its_own_is_booked_and_capped_too(shape):
    own, engine, metric = Rated(), Rated(), dspy.evaluate.SemanticF1()
    metric.set_lm(toy_lm(own))
    objective = from_metric(metric) if shape == "from a metric" else Objective("right", "?", metric)
    result = optimize(engine, [objective])
    assert result.final_agreement.by_criterion == {"right": 1.0}
    assert (own.calls, engine.calls["metric"]) == ({"metric": 9}, 0)
    assert sum(row.calls for row in result.ledger) == engine.calls.total() + 9
    capped = optimize(Rated(), [objective], budget=Budget(max_calls=9), num_threads=1)
    assert capped.stop_reason == "budget"
    assert all("Metered" not in type(each.lm).__name__ for each in metric.predictors())


def test_a_run_in_a_folder_needs_replies_that_are_kept_of_a_metrics_lm_too(tmp_path):
    metric = dspy.evaluate.SemanticF1()
    metric.set_lm(toy_lm(Rated()))  # uncached
    program = dspy.Predict("question -> response")
    own_lm = dspy.LM("toy/world", engine=Rated(), temperature=0.0)
    with dspy.context(lm=own_lm), pytest.raises(SetupError, match="the metric right module"):
        MOGrad(objectives=[from_metric(metric)], steps=1, run_dir=tmp_path / "run").optimize(
            program, trainset=QUESTIONS[:3], valset=QUESTIONS[3:]
        )
