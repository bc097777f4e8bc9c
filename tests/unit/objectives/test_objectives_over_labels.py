"""Dataset-level agreement of two labels, held to scikit-learn and scipy."""

import datetime as datetime_module
import json
import math
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum

import dspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from benchmarks.worlds.world import ToyEngine, critique_or_advice, role_of, toy_lm
from mogradjudge import MOGrad, Objective, Scored, SetupError, Undefined, Unscored
from mogradjudge.objectives import MetricFailed
from mogradjudge.optimize.events import CandidateScored
from mogradjudge.programs.evaluation import Judgement, agreement_of
from tests.engines import in_chat

LABELS = st.sampled_from(["pos", "neg", "neutral", "4"])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=30)
RATINGS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=30)


class Tone(Enum):
    POS, NEG = "pos", "neg"


class Written(str, Enum):  # noqa: UP042 - as people write it
    POS, NEG = "pos", "neg"


class Rank(IntEnum):
    LOW, HIGH = 1, 2


DAY = date(2024, 1, 2)
NOON = datetime(2024, 1, 2, 12, tzinfo=UTC)
CYCLE: list[object] = []
CYCLE.append(CYCLE)
DEEP: list[object] = []
for _ in range(5_000):
    DEEP = [DEEP]


def over(aggregate, scale=None):
    return Objective.over_labels(
        "tone",
        "Is the tone told right?",
        expected="label",
        produced="answer",
        aggregate=aggregate,
        scale=scale,
    )


def example(label):
    return dspy.Example(text="a text", label=label).with_inputs("text")


def made(answer):
    return dspy.Prediction(answer=answer)


def value(objective, pairs):
    """Take agreement as a run does: of the pairs that have a score."""
    judgements = []
    for number, (label, answer) in enumerate(pairs):
        gold, prediction = example(label), made(answer)
        scores = {"tone": objective.scored(gold, prediction)}
        judgements.append(Judgement(str(number), "", gold, prediction, scores))
    return agreement_of(judgements, [objective]).by_criterion["tone"]


def columns(pairs):
    return [label for label, _ in pairs], [answer for _, answer in pairs]


# Oracles


@settings(max_examples=30)  # scikit-learn takes milliseconds for each
@given(PAIRS)
def test_macro_f1_and_accuracy_are_those_of_scikit_learn(pairs):
    expected, produced = columns(pairs)
    f1 = f1_score(expected, produced, average="macro")
    assert_allclose(value(over("macro_f1"), pairs), f1)
    assert_allclose(value(over("accuracy"), pairs), accuracy_score(expected, produced))


@settings(max_examples=30)
@given(PAIRS)
def test_kappa_is_that_of_scikit_learn_where_the_expected_labels_differ(pairs):
    expected, produced = columns(pairs)
    found = value(over("kappa"), pairs)
    if len(set(expected)) == 1:
        assert found == Undefined("all expected labels are equal")
    else:
        assert_allclose(found, cohen_kappa_score(expected, produced), atol=1e-12)


@settings(max_examples=30)
@given(RATINGS)
def test_quadratic_kappa_is_that_of_scikit_learn(pairs):
    expected, produced = columns(pairs)
    found = value(over("quadratic_kappa", scale=(1, 5)), pairs)
    if len(set(expected)) == 1:
        assert isinstance(found, Undefined)
    else:
        theirs = cohen_kappa_score(expected, produced, labels=[1, 2, 3, 4, 5], weights="quadratic")
        assert_allclose(found, theirs, atol=1e-12)


@given(RATINGS)
def test_spearman_is_that_of_scipy_and_0_for_a_constant_answer(pairs):
    expected, produced = columns(pairs)
    found = value(over("spearman", scale=(1, 5)), pairs)
    if len(pairs) < 3 or len(set(expected)) == 1:
        assert isinstance(found, Undefined)
    elif len(set(produced)) == 1:
        assert found == 0.0
    else:
        assert_allclose(found, spearmanr(expected, produced).statistic, atol=1e-12)


@settings(max_examples=20)
@given(PAIRS, st.permutations(["pos", "neg", "neutral", "4"]))
def test_the_names_of_labels_do_not_matter(pairs, names):
    renamed = dict(zip(["pos", "neg", "neutral", "4"], names, strict=True))
    others = [(renamed[label], renamed[answer]) for label, answer in pairs]
    for measure in ("accuracy", "macro_f1", "kappa"):
        ours, theirs = value(over(measure), pairs), value(over(measure), others)
        assert ours == theirs or math.isclose(ours, theirs, abs_tol=1e-12)


@pytest.mark.parametrize("measure", ["accuracy", "macro_f1", "kappa"])
@pytest.mark.parametrize(
    "pairs",
    [
        [(True, True), (False, True), (True, True)],
        [(1, 1.0), (0.5, 1), (2, 2)],
        [(np.int64(1), 1), (0, np.bool_(True)), (1, 1)],
    ],
)
def test_labels_may_be_numbers_and_bools(measure, pairs):
    codes = [(str(float(label)), str(float(answer))) for label, answer in pairs]
    assert_allclose(value(over(measure), pairs), value(over(measure), codes))


def test_too_few_cases_say_why_there_is_no_value():
    assert value(over("macro_f1"), [(None, "pos")]) == Undefined("no example was scored")
    two = [(1, 1), (2, 2)]
    said = value(over("spearman", scale=(1, 5)), two).reason
    assert said == "2 scored texts, and a correlation needs 3"
    same = [(3, 1), (3, 2), (3, 4)]
    assert "equal" in value(over("spearman", scale=(1, 5)), same).reason


def test_any_function_of_the_scored_examples_is_an_aggregate():
    def worst(scored: list[Scored]) -> float:
        return min(each.score for each in scored)

    assert value(over(worst), [("pos", "pos"), ("neg", "pos")]) == 0.0


# One example


@given(st.integers(1, 5), st.integers(1, 5))
def test_an_example_on_a_scale_is_scored_by_how_close_it_is(label, answer):
    objective = over("spearman", scale=(1, 5))
    assert objective.scored(example(label), made(answer)) == 1 - abs(label - answer) / 4
    assert objective.scored(example(label), made(str(answer))) == 1 - abs(label - answer) / 4


@pytest.mark.parametrize(
    ["label", "answer", "score"],
    [
        ("pos", "pos", 1.0),
        ("pos", "neg", 0.0),
        (None, "pos", None),
        (float("nan"), "pos", None),
        ("pos", None, Unscored("answer is None")),
        (1, float("nan"), Unscored("'nan' is no label")),
        ("pos", ["pos"], Unscored("\"['pos']\" is no label")),
        ("pos", Unscored("no reply"), Unscored("no reply")),
    ],
)
def test_labels_are_compared_as_they_are(label, answer, score):
    assert over("accuracy").scored(example(label), made(answer)) == score


@pytest.mark.parametrize(
    ["label", "same", "other", "shown"],
    [
        (Tone.POS, Tone.POS, Tone.NEG, "pos"),
        (Written.POS, Written.POS, Written.NEG, "pos"),
        (Rank.LOW, Rank.LOW, Rank.HIGH, 1),
        (Rank.LOW, 1, 2, 1),
        *((text, Tone.POS, Tone.NEG, "pos") for text in ("pos", "POS")),
        *((text, Written.POS, Written.NEG, "pos") for text in ("pos", "POS")),
        *((text, Rank.LOW, Rank.HIGH, 1) for text in ("1", "LOW")),
        *((Tone.POS, text, "neutral", "pos") for text in ("pos", "POS")),
        ("True", True, False, True),
        (False, "false", "maybe", False),
        (DAY, date(2024, 1, 2), date(2024, 1, 3), "2024-01-02"),
        ("2024-01-02", DAY, date(2024, 1, 3), "2024-01-02"),
        (DAY, "2024-01-02", "2 Jan", "2024-01-02"),
        (datetime(2024, 1, 2), datetime(2024, 1, 2), datetime(2025, 1, 2), "2024-01-02T00:00:00"),
        (NOON, NOON.astimezone(timezone(timedelta(hours=2))), DAY, "2024-01-02T12:00:00+00:00"),
        ("2024-01-02 13:00+01:00", NOON, NOON.replace(hour=13), "2024-01-02T12:00:00+00:00"),
        (Decimal("0.10"), Decimal("0.1"), Decimal("0.2"), 0.1),
        (0.1, Decimal("0.10"), Decimal("0.2"), 0.1),
        (["a", "b"], ["a", "b"], ["b", "a"], '["a", "b"]'),
        (("a", 1), ["a", 1], ["a"], '["a", 1]'),
        ({"a", "b"}, ["b", "a"], ["a"], '["a", "b"]'),
        (["b", "a"], {"a", "b"}, {"a"}, '["a", "b"]'),
        ('["a", "b"]', ["a", "b"], [], '["a", "b"]'),
        ([Tone.POS, DAY], [Tone.POS, DAY], [], '["pos", "2024-01-02"]'),
        (np.array(["a", "b"]), ["a", "b"], ["a"], '["a", "b"]'),
        (np.str_("a"), "a", "b", "a"),
        ([1, 2], [1.0, 2.0], [1.5, 2.0], "[1, 2]"),
        ("[1, 2]", [1.0, 2.0], [2.0, 1.0], "[1, 2]"),
        ([1, [2]], [1.0, [2.0]], [1, [3]], '[1, "[2]"]'),
        ([True], [1], [0], "[1]"),
        (["true"], [True], [False], "[1]"),
        ({1, 2}, {1.0, 2.0}, {1.0}, "[1, 2]"),
        ('["b", "a"]', {"a", "b"}, {"a"}, '["a", "b"]'),
        (["POS", "2024-01-02"], [Tone.POS, DAY], [Tone.NEG, DAY], '["pos", "2024-01-02"]'),
        (DAY, datetime(2024, 1, 2), datetime(2024, 1, 2, 1), "2024-01-02T00:00:00"),
        ([DAY], [datetime(2024, 1, 2)], [NOON], '["2024-01-02T00:00:00"]'),
        (np.array(1), 1, 2, 1),
        (1, np.array(1), np.array(2), 1),
        pytest.param(10**400, 10**400, 1, 10**400, id="vast"),
    ],
)
def test_labels_of_every_kind_are_compared_by_what_they_mean(label, same, other, shown):
    tone = over("macro_f1")
    assert tone.scored(example(label), made(same)) == 1.0
    assert tone.scored(example(label), made(other)) == 0.0
    for measure in ("accuracy", "macro_f1", "kappa"):
        pairs = [(label, same), (other, other), (other, other)]
        assert value(over(measure), pairs) == 1.0
        assert value(over(measure), [*pairs, (label, other)]) < 1.0
    told = tone.show(example(label), made(same))
    assert told == {"expected": shown, "produced": shown, "error": "none"}
    assert [type(each) for each in told.values()][:2] == [type(shown)] * 2
    assert json.loads(json.dumps(told)) == told
    assert tone.labels(example(label), made(same)) == (shown, shown)


@pytest.mark.parametrize("answer", [CYCLE, DEEP, {"a": 1}, Decimal("nan"), b"pos"])
def test_an_answer_that_can_be_compared_with_nothing_is_unscored(answer):
    said = over("accuracy").scored(example("pos"), made(answer))
    assert isinstance(said, Unscored)
    assert "is no label" in said.reason
    assert isinstance(over("spearman", scale=(1, 5)).scored(example(3), made(answer)), Unscored)


def test_an_enum_may_stand_on_a_scale():
    assert over("spearman", scale=(1, 5)).scored(example(Rank.LOW), made(Rank.HIGH)) == 0.75


@pytest.mark.parametrize(
    ["answer", "reason"],
    [(7, "7 is not on the scale from 1 to 5"), ("good", "\"'good'\" is no number")],
)
def test_an_answer_off_the_scale_is_unscored(answer, reason):
    objective = over("spearman", scale=(1, 5))
    assert objective.scored(example(3), made(answer)) == Unscored(reason)
    assert objective.show(example(3), made(answer))["produced"] == f"none, {reason}"
    assert objective.labels(example(3), made(answer)) == (3.0, None)


def test_an_example_without_the_field_is_refused_in_one_line():
    with pytest.raises(SetupError, match="needs 'label'"):
        over("accuracy").scored(dspy.Example(text="a"), made("pos"))


@pytest.mark.parametrize(
    ["gold", "answer", "scale", "said"],
    [
        (1, "1", None, r"labels of one kind, got '1' and \"'1'\""),
        ("pos", 0, None, r"labels of one kind, got \"'pos'\" and '0'"),
        (9, 1, (1, 5), "'label' of the example: 9 is not on"),
        ([1], 1, None, r"labels of one kind, got .*\[1\].* and '1'"),
        ({"a": 1}, 1, None, r"'label' of the example: \"{'a': 1}\" is no label"),
        ("yes", True, None, "labels of one kind, got .*yes.* and 'True'"),
        ("2 Jan 2024", DAY, None, "labels of one kind, got .*2 Jan 2024.* and"),
        (DEEP, "pos", None, "'label' of the example: .* is no label"),
        (CYCLE, "pos", None, "'label' of the example: .* is no label"),
        (CYCLE, CYCLE, None, "'label' of the example: .* is no label"),
    ],
)
def test_a_label_that_does_not_fit_leaves_its_example_unscored(gold, answer, scale, said):
    objective = over("accuracy", scale=scale)
    failed = objective.scored(example(gold), made(answer))
    assert isinstance(failed, MetricFailed)
    assert re.search(said, failed.reason)
    assert objective.compared(example(gold), made(answer)) is None
    assert "produced" in objective.shown(example(gold), made(answer))


@pytest.mark.parametrize(
    ["returned", "said"],
    [
        (dspy.Prediction(tone="pos"), "['tone']"),
        ({"tone": "pos"}, "['tone']"),
        ("the answer is pos", "the answer is pos"),
        (None, "None"),
        (["answer"], "answer"),
    ],
)
def test_an_answer_without_the_field_is_unscored(returned, said):
    objective = over("accuracy")
    found = objective.scored(example("pos"), returned)
    assert isinstance(found, MetricFailed)
    assert "'answer'" in found.reason
    assert said in found.reason
    assert objective.compared(example("pos"), returned) is None
    assert "produced" in objective.shown(example("pos"), returned)


def test_a_field_of_a_dict_is_a_label():
    assert over("accuracy").scored(example("pos"), {"answer": "pos"}) == 1.0


@pytest.mark.parametrize(
    ["arguments", "said"],
    [
        ({"aggregate": "f1"}, "`aggregate` must be one of accuracy, macro_f1, .* got 'f1'"),
        ({"aggregate": "spearman"}, "`scale` must be given with aggregate='spearman'"),
        ({"aggregate": "accuracy", "scale": (5, 1)}, "`scale` must be two numbers"),
    ],
)
def test_an_objective_that_cannot_be_taken_is_refused_when_it_is_made(arguments, said):
    with pytest.raises(SetupError, match=said):
        over(**arguments)


def test_the_critic_sees_both_labels_and_what_is_wrong():
    right, wrong = {"expected": "pos", "produced": "pos"}, {"expected": "neg", "produced": "pos"}
    tone = over("macro_f1")
    assert tone.show(example("pos"), made("pos")) == {**right, "error": "none"}
    assert tone.show(example("neg"), made("pos")) == {**wrong, "error": "the wrong label"}
    errors = [
        over("spearman", scale=(1, 5)).show(example(3), made(answer))["error"]
        for answer in (5, 3, 2.5)
    ]
    assert errors == ["2.0 too high", "none", "0.5 too low"]


# A whole run


class Toned(ToyEngine):
    """Calls every text good, until it is told to look for what is bad."""

    def answer(self, system: str, user: str) -> str:
        match role_of(system):
            case "editor":
                return in_chat({"new_instructions": json.dumps({"tone": "Look for bad."})})
            case "judge":
                bad = "Look for bad." in system and re.search(r"bad text \d", user)
                return in_chat({"answer": "neg" if bad else "pos"})
        return in_chat(critique_or_advice(user, "It was bad.", "Look for bad."))


def test_macro_f1_decides_a_run_and_its_labels_are_told():
    examples = [
        dspy.Example(text=f"{'bad' if bad else 'good'} text {n}", label="neg" if bad else "pos")
        for n, bad in enumerate([1, 0, 1, 0, 1, 0, 0, 0])
    ]
    examples = [each.with_inputs("text") for each in examples]
    events = []
    with dspy.context(lm=toy_lm(Toned())):
        result = MOGrad(
            objectives=[over("macro_f1")], mode="CCC", steps=1, observers=[events.append]
        ).optimize(dspy.Predict("text -> answer"), trainset=examples[:4], valset=examples[4:])
    seed = f1_score(["neg", "pos", "pos", "pos"], ["pos"] * 4, average="macro")
    assert_allclose(result.seed_agreement.by_criterion["tone"], seed)
    assert result.final_agreement.by_criterion == {"tone": 1.0}
    told = next(event for event in events if isinstance(event, CandidateScored))
    assert [text.expected["tone"] for text in told.texts] == ["neg", "pos", "pos", "pos"]
    assert [text.produced["tone"] for text in told.texts] == ["pos"] * 4


@pytest.mark.parametrize(
    ["signature", "label", "odd"],
    [
        ("text -> answer: bool", "true", "n/a"),
        ("text -> answer: datetime.date", "2024-01-02", "unknown"),
        ("text -> answer", "true", 0),
    ],
)
def test_one_odd_label_ends_no_run(signature, label, odd):
    class Steady(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            if role_of(system) == "judge":
                return in_chat({"answer": label})
            return in_chat(critique_or_advice(user, "Fine.", "Fine."))

    examples = [dspy.Example(text=f"text {n}", label=label) for n in range(7)]
    examples.insert(1, dspy.Example(text="odd text", label=odd))
    examples = [each.with_inputs("text") for each in examples]
    program = dspy.Predict(dspy.Signature(signature, custom_types={"datetime": datetime_module}))
    with dspy.context(lm=toy_lm(Steady())):
        result = MOGrad(objectives=[over("accuracy")], mode="CCC", steps=1).optimize(
            program, trainset=examples[4:], valset=examples[:4]
        )
    assert result.final_agreement.by_criterion == {"tone": 1.0}
    assert result.final_agreement.unscored == {"tone": 1}
