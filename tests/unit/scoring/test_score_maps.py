"""Calibration: which maps are kept, where they are applied, and when they are dropped."""

import json

import dspy
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mogradjudge import (
    Criterion,
    MOGrad,
    MultiCriteriaJudge,
    Rubric,
    SetupError,
    calibrate,
)
from mogradjudge.criteria import Scale
from mogradjudge.judge.scores import Unscored
from mogradjudge.programs.saving import save_judge
from mogradjudge.programs.structure import uncalibrated
from mogradjudge.scoring.calibration import fitted_map
from mogradjudge.scoring.evaluate import evaluation_report
from mogradjudge.scoring.table import score_table
from mogradjudge.search.study import Arguments
from tests.engines import FunctionEngine, fake_lm, in_chat, user

RUBRIC = Rubric(["text"], [Criterion("tone", "Is it kind?"), Criterion("clarity", "Is it clear?")])
HUMAN = [1 + number % 3 for number in range(30)]
TEXTS = [f"text {number:02}: tone={score}, clarity={score}" for number, score in enumerate(HUMAN)]
EXAMPLES = [
    dspy.Example(text=text, human_tone=score, human_clarity=score).with_inputs("text")
    for text, score in zip(TEXTS, HUMAN, strict=True)
]


def lenient_on_tone(request):
    """Answer the true clarity, and a tone that is 2 points too high."""
    truth = int(user(request).split("tone=")[1][0])
    scores = {"tone": truth + 2, "clarity": truth}
    return in_chat({name: score for name, score in scores.items() if f"`{name}`" in str(request)})


def judging(reply=lenient_on_tone):
    return dspy.context(lm=fake_lm(FunctionEngine(reply)))


@pytest.fixture(scope="module", params=["combined", "separate"])
def judge(request):
    with judging():
        return calibrate(MultiCriteriaJudge(RUBRIC, request.param), EXAMPLES, num_threads=1)


def test_a_map_is_kept_where_it_lowers_the_error_and_only_there(judge):
    tone, clarity = judge.calibration["tone"], judge.calibration["clarity"]
    assert tone.kind == "linear" and tone.raw_error == 2 and tone.mapped_error < 1e-6
    assert clarity.kind == "none" and clarity(4) == 4
    assert tone.documents == len(EXAMPLES)


def test_scores_are_mapped_and_the_raw_one_stands_beside(judge):
    with judging():
        prediction = judge(text=TEXTS[0])
    assert prediction.tone == pytest.approx(1) and prediction.readings["tone"].raw == 3
    assert prediction.clarity == 1 and prediction.readings["clarity"].raw is None


def test_an_unscored_text_stays_unscored(judge):
    with judging(lambda _: "no score"):
        assert isinstance(judge(text=TEXTS[0]).tone, Unscored)


def test_maps_are_saved_as_plain_data(judge, tmp_path):
    save_judge(judge, tmp_path)
    json.loads((tmp_path / "judge.json").read_text(), parse_constant=pytest.fail)
    loaded = MultiCriteriaJudge.from_saved(tmp_path)
    assert loaded.calibration == judge.calibration
    assert judge.deepcopy().calibration == judge.calibration


def test_maps_are_kept_inside_another_program(judge, tmp_path):
    class Pipeline(dspy.Module):
        def __init__(self, rating):
            super().__init__()
            self.rating = rating

    Pipeline(judge).save(tmp_path / "pipeline.json")
    other = Pipeline(MultiCriteriaJudge(RUBRIC, judge.settings.layout))
    other.load(tmp_path / "pipeline.json")
    assert other.rating.calibration == judge.calibration


@pytest.mark.parametrize(
    "knots",
    [
        [[1, 9], [5, 9]],  # off the scale
        [[1, 4], [5, 2]],  # falls
        [[5, 1], [1, 2]],
        [[1, None]],
        "knots",
    ],
)
def test_a_strangers_map_that_is_none_is_refused(judge, knots, tmp_path):
    save_judge(judge, tmp_path)
    path = tmp_path / "judge.json"
    state = json.loads(path.read_text())
    for name, predictor in state.items():
        maps = name != "metadata" and predictor["mogradjudge"]["calibration"]["maps"]
        if maps and "tone" in maps:
            maps["tone"]["knots"] = knots
    path.write_text(json.dumps(state))
    with pytest.raises(SetupError, match="'tone'"):
        MultiCriteriaJudge.from_saved(path)


def edit_instructions(judge):
    for predictor in judge.predictors():
        predictor.signature = predictor.signature.with_instructions("Rate otherwise.")


def add_a_demo(judge):
    for predictor in judge.predictors():
        predictor.demos = [{"text": "Hello.", "tone": 3, "clarity": 3}]


@pytest.mark.parametrize("change", [edit_instructions, add_a_demo])
def test_another_prompt_drops_the_maps_with_a_word(judge, change, caplog):
    changed = judge.deepcopy()
    change(changed)
    with judging(lambda _: in_chat({"tone": 3, "clarity": 3})):
        assert changed(text=TEXTS[0]).tone == 3
    assert "calibration" in caplog.text and not changed.calibration
    assert judge.calibration  # the copy alone is changed


def test_optimizing_starts_from_raw_scores_and_drops_the_maps_with_a_word(judge, caplog):
    with judging():
        program = MOGrad(steps=1, confirm="off", display_progress=False).compile(
            judge, trainset=EXAMPLES[:20], valset=EXAMPLES[20:]
        )
    assert "calibration" in caplog.text and not program.calibration
    assert not any(one["program"].calibration for one in program.candidate_programs)


def test_a_search_starts_from_raw_scores(judge, tmp_path):
    arguments = Arguments(judge, trainset=EXAMPLES, storage="sqlite://", out=tmp_path)
    assert not arguments.job().judge.calibration


def test_another_model_is_warned_of(judge, caplog):
    other = fake_lm(FunctionEngine(lenient_on_tone))
    other.model = "fake/other"
    with dspy.context(lm=other):
        evaluation_report(judge, EXAMPLES, 1)
    assert "fake/other" in caplog.text


def test_evaluation_reads_raw_scores_for_ranks_and_mapped_ones_for_errors(judge):
    with judging():
        mapped = evaluation_report(judge, EXAMPLES, 1)["criteria"]["tone"]
        raw = evaluation_report(uncalibrated(judge), EXAMPLES, 1)["criteria"]["tone"]
    ranks = ("agreement", "spearman", "kendall", "pair_accuracy", "interval")
    assert {name: mapped[name] for name in ranks} == {name: raw[name] for name in ranks}
    assert mapped["mae"] == pytest.approx(0, abs=1e-6)
    assert mapped["raw_mae"] == raw["mae"] == raw["raw_mae"] == 2
    assert mapped["bias"] == pytest.approx(0, abs=1e-6) and mapped["qwk"] > raw["qwk"]


@pytest.mark.parametrize("measure", ["spearman", "qwk", "mae"])
def test_agreement_is_that_of_the_scores_its_measure_reads(judge, measure):
    with judging():
        report = evaluation_report(judge, EXAMPLES, 1, measure=measure)["criteria"]["tone"]
    width = 4
    expected = 1 - report["mae"] / width if measure == "mae" else report[measure]
    assert report["agreement"] == pytest.approx(expected)


def test_a_scored_table_has_mapped_and_raw_scores(judge, tmp_path):
    table = tmp_path / "texts.jsonl"
    table.write_text("\n".join(json.dumps({"text": text}) for text in [*TEXTS, "no score"]))

    def reply(request):
        return lenient_on_tone(request) if "tone=" in user(request) else "no score"

    with judging(reply):
        score_table(judge, table, tmp_path / "mapped.parquet")
        score_table(uncalibrated(judge), table, tmp_path / "raw.parquet")
    mapped, raw = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("mapped", "raw"))
    assert mapped["tone"].to_pylist() == pytest.approx([*HUMAN, None])
    assert mapped["tone_raw"].to_pylist() == raw["tone"].to_pylist()
    assert "clarity_raw" not in mapped.column_names and "tone_raw" not in raw.column_names


def test_too_few_documents_are_refused_before_any_call():
    grouped = [example.copy(group=str(n % 7)) for n, example in enumerate(EXAMPLES)]
    with judging(lambda _: pytest.fail("a call")), pytest.raises(SetupError, match="7"):
        calibrate(MultiCriteriaJudge(RUBRIC), grouped)


def test_a_criterion_with_few_rated_documents_stays_as_it_is():
    few = [
        example.copy(human_tone=None) if n > 4 else example for n, example in enumerate(EXAMPLES)
    ]
    with judging():
        tone = calibrate(MultiCriteriaJudge(RUBRIC), few, num_threads=1).calibration["tone"]
    assert tone.kind == "none" and tone.raw_error is None and tone.documents == 5


SCORES = st.integers(1, 5).map(float)
PAIRS = st.lists(st.tuples(SCORES, SCORES), min_size=8, max_size=40)


class TestFittedMap:
    @settings(max_examples=15)
    @given(PAIRS)
    def test_it_never_falls_and_never_leaves_the_scale(self, pairs):
        judge, human = np.array(pairs).T
        score_map = fitted_map(judge, human, [str(n) for n in range(len(pairs))], Scale(1, 5))
        mapped = [score_map(score) for score in (1, 1.5, 2, 3, 4, 4.5, 5)]
        assert mapped == sorted(mapped) and mapped[0] >= 1 and mapped[-1] <= 5

    @settings(max_examples=15)
    @given(PAIRS)
    def test_what_is_kept_has_the_lower_error_out_of_fold(self, pairs):
        judge, human = np.array(pairs).T
        score_map = fitted_map(judge, human, [str(n) for n in range(len(pairs))], Scale(1, 5))
        assert score_map.kind == "none" or score_map.mapped_error < score_map.raw_error

    def test_a_scale_that_bends_gets_an_isotonic_map(self):
        judge = np.repeat([1.0, 2, 3, 4, 5], 12)
        human = np.repeat([1.0, 1, 1, 5, 5], 12)
        score_map = fitted_map(judge, human, [str(n) for n in range(60)], Scale(1, 5))
        assert score_map.kind == "isotonic" and score_map(3) == 1 and score_map(4) == 5

    def test_a_judge_whose_scores_say_nothing_is_not_made_constant(self):
        judge, human = np.tile([1.0, 5.0], 30), np.full(60, 3.0)
        flat = fitted_map(judge, human, [str(n) for n in range(60)], Scale(1, 5))
        assert flat.kind == "flat" and not flat.knots and flat.mapped_error < flat.raw_error

    def test_folds_are_of_whole_documents(self):
        # Within a document all scores are equal, so a text of the same one would give it away.
        rng = np.random.default_rng(0)
        judge, human = (rng.permuted(np.repeat([1.0, 2, 3, 4, 5], 2)) for _ in range(2))
        documents = [str(n // 20) for n in range(200)]
        repeated = np.repeat(judge, 20), np.repeat(human, 20)
        kept = fitted_map(*repeated, documents, Scale(1, 5))
        assert kept.kind == "none"
