"""A judge's predictions and the reasons for missing scores: as plain values, and in arithmetic."""

import copy
import csv
import json
import pickle

import dspy
import numpy as np
import pytest
from dspy import lm15

from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge import MultiCriteriaJudge, Unscored
from tests.engines import FunctionEngine, fake_lm, in_chat, token

RUBRIC = toy_rubric("fluency", "coherence")


def refuse(_):
    raise lm15.InvalidRequestError("flagged")


def logprobs(_):
    return [
        token(f"[[ ## {name} ## ]]\n" if at % 2 else "4") for name in RUBRIC.names for at in (1, 0)
    ]


REPLIES = {
    "scores": (lambda _: in_chat({"fluency": 4, "coherence": 5}), {}),
    "one unscored": (lambda _: in_chat({"fluency": 4, "coherence": "?"}), {}),
    "refused": (refuse, {}),
    "rationale": (
        lambda _: in_chat({"rationale": "So.", "fluency": 4, "coherence": 5}),
        {"rationale": True},
    ),
    "expected": (logprobs, {"score_rule": "expected", "fallback": "integer"}),
}
replies = pytest.mark.parametrize(["reply", "options"], REPLIES.values(), ids=REPLIES)


def judge_of(reply, options):
    judge = MultiCriteriaJudge(RUBRIC, **options)
    judge.set_lm(fake_lm(FunctionEngine(reply)))
    return judge


@replies
def test_a_prediction_becomes_json(reply, options):
    prediction = judge_of(reply, options)(output="A storm.")
    plain = json.loads(json.dumps(prediction.toDict(), allow_nan=False))
    for name in RUBRIC.names:
        score, reading = prediction[name], plain["readings"][name]
        is_unscored = isinstance(score, Unscored)
        assert plain[name] == reading["score"] == (None if is_unscored else score)
        assert reading["unscored"] == (score.reason if is_unscored else None)
        assert reading["source"] == prediction.readings[name].source
        assert reading["rationale"] == prediction.readings[name].rationale


@replies
def test_dspys_evaluation_saves_a_judges_predictions(reply, options, tmp_path):
    files = {f"save_as_{kind}": str(tmp_path / f"saved.{kind}") for kind in ("json", "csv")}
    evaluate = dspy.Evaluate(
        devset=toy_examples(RUBRIC, 3), metric=is_four, num_threads=1, display_table=True, **files
    )
    result = evaluate(judge_of(reply, options))
    rows = json.loads((tmp_path / "saved.json").read_text())
    with (tmp_path / "saved.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    for row, line, (_, prediction, _) in zip(rows, cells, result.results, strict=True):
        assert row["fluency"] == prediction.toDict()["fluency"]
        assert line["fluency"] == str(row["fluency"] or "")


def is_four(example, prediction, trace=None):
    return float(prediction.fluency == 4)


@replies
def test_a_prediction_is_copied_and_pickled(reply, options):
    prediction = judge_of(reply, options)(output="A storm.")
    assert copy.copy(prediction) == copy.deepcopy(prediction) == prediction
    assert pickle.loads(pickle.dumps(prediction)).toDict() == prediction.toDict()


def test_no_score_is_false():
    assert not Unscored("no reply")
    assert [score for score in (4, Unscored("no reply"), 2) if score] == [4, 2]


@pytest.mark.parametrize(
    "use",
    [
        lambda score: sum([1, score]),
        lambda score: score + 1,
        lambda score: 1 - score,
        lambda score: 2 * score,
        lambda score: score / 2,
        lambda score: 2 / score,
        lambda score: max(3, score),
        lambda score: sorted([3, score]),
        lambda score: score < 3,
        lambda score: score >= 3,
        lambda score: np.mean([3, score]),
    ],
)
def test_no_score_is_no_number(use):
    with pytest.raises(TypeError, match="no reply"):
        use(Unscored("no reply"))
