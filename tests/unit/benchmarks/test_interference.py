"""The interference benchmark in worlds in which interference is planted, or is not."""

import json
import math
from dataclasses import asdict, replace

import pytest
from click.testing import CliRunner

from benchmarks import interference, noise
from benchmarks.harness.cells import Cell, read_cells
from benchmarks.harness.setting import ROLES, in_setting, setting_of, smoke_setting
from benchmarks.interference.arms import MEANINGS, OPTIMIZED, SEED_ARMS, seed_sections
from benchmarks.interference.measure import identity, judges, measure
from benchmarks.interference.scorings import scorings, whole
from benchmarks.interference.verdicts import judged, mismatch, of_other_runs
from benchmarks.self_tests.calibration import CRITERIA, scored_directly
from benchmarks.worlds.cues import CUES
from benchmarks.worlds.planted import PlantedWorld, cues_in, planted_examples, planted_lm
from mogradjudge import MultiCriteriaJudge, SetupError
from mogradjudge.agreement import holm
from mogradjudge.agreement.claims import Claim
from mogradjudge.lm.reply_cache import replies_kept_in

FULL = {name: " ".join(f"When you rate, {cue}." for cue in CUES[name]) for name in CRITERIA}


@pytest.fixture
def setting(tmp_path):
    return smoke_setting(tmp_path)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    setting = smoke_setting(tmp_path_factory.mktemp("cells"))
    with in_setting(setting):
        measure(setting, {"given": FULL})
    return setting


def instructions(judge):
    return [predictor.signature.instructions for predictor in judge.judges.values()]


class TestArms:
    def test_separate_and_joint_hold_the_same_sections(self, setting):
        made = judges(setting, FULL, 0)
        apart, joint = instructions(made["S1"]), instructions(made["J1"])
        assert len(apart) == 2
        assert len(joint) == 1
        assert set.union(*map(cues_in, apart)) == cues_in(joint[0]) == set(map_all(CUES))

    def test_padding_has_the_words_of_the_optimized_sections_and_none_of_their_cues(self, setting):
        made = judges(setting, FULL, 0)
        (padded,), (optimized,) = instructions(made["P"]), instructions(made["J1"])
        assert len(padded.split()) == len(optimized.split())
        assert not cues_in(padded)

    def test_another_order_is_another_order_of_the_same(self, setting):
        made = judges(setting, FULL, 0)
        (shuffled,), (optimized,) = instructions(made["O"]), instructions(made["J1"])
        assert shuffled != optimized
        assert sorted(shuffled.split("\n\n")) == sorted(optimized.split("\n\n"))

    def test_run_together_has_no_headings(self, setting):
        (text,) = instructions(judges(setting, FULL, 0)["N"])
        assert "### Criterion" not in text
        assert cues_in(text) == set(map_all(CUES))

    def test_one_section_alone_is_optimized(self, setting):
        (text,) = instructions(judges(setting, FULL, 0)["J+fluency"])
        assert cues_in(text) == set(CUES["fluency"])

    def test_every_arm_has_a_meaning(self):
        assert set(MEANINGS) == {*OPTIMIZED, *SEED_ARMS.values()}


def map_all(cues):
    return [cue for name in CRITERIA for cue in cues[name]]


class TestMeasuring:
    @pytest.mark.slow
    def test_the_seed_arms_are_the_noise_benchmarks_cells(self, measured):
        paid = measured.lms["judge"].engine.calls["judge"]
        with in_setting(measured):
            noise.measure(measured)
        assert measured.lms["judge"].engine.calls["judge"] == paid

    def test_calls_are_what_the_arms_need(self, measured):
        texts, repeats, k = len(measured.test), measured.repeats, len(CRITERIA)
        one_call_arms = len(OPTIMIZED) - 1 + k + 1  # all but S1, the matrix, and J0
        assert measured.lms["judge"].engine.calls["judge"] == repeats * texts * (
            2 * k + one_call_arms
        )

    def test_scores_are_what_the_world_gives(self, tmp_path):
        world = PlantedWorld(interference=0.7)
        setting = in_world(tmp_path, world)
        judge = judges(setting, FULL, 0)["J1"]
        with in_setting(setting), replies_kept_in(None):
            predictions = [judge(**text.inputs()) for text in setting.test]
        direct = scored_directly(world, judge, [text.output for text in setting.test])
        assert direct == {name: [p[name] for p in predictions] for name in CRITERIA}


def in_world(folder, world):
    setting = smoke_setting(folder)
    examples = planted_examples(setting.rubric, documents=16, systems=4, seed=world.seed)
    return setting_of(folder, setting.rubric, examples, dict.fromkeys(ROLES, planted_lm(world)))


class TestSummary:
    def test_the_parts_add_up(self, measured):
        found = interference.summarize(measured.cells)
        for name in ("mean", *CRITERIA):
            effect = {kind: claims[name].estimate for kind, claims in found.effects.items()}
            gain = effect["joint gain"] - effect["separate gain"]
            assert math.isclose(effect["interference"], gain, abs_tol=1e-12)
            parts = effect["length"] + effect["beyond length"]
            assert math.isclose(effect["joint gain"], parts, abs_tol=1e-12)

    def test_the_joint_gain_is_the_difference_of_the_arms(self, measured):
        found = interference.summarize(measured.cells)
        arms = {row.arm: row.agreement for row in found.arms}
        for name in CRITERIA:
            difference = arms["J1"][name] - arms["J0"][name]
            assert math.isclose(found.effects["joint gain"][name].estimate, difference)

    def test_it_is_plain_json(self, measured):
        found = interference.summarize(measured.cells)
        assert json.loads(json.dumps(asdict(found), allow_nan=False))
        assert next(iter(found.effects.values()))["mean"].name == "interference, mean"

    def test_repeats_that_are_not_whole_are_left_out(self, measured):
        short = [c for c in measured.cells if not (c.key.get("arm") == "O" and c.key["repeat"])]
        assert interference.summarize(measured.cells).repeats == 2
        assert interference.summarize(short).repeats == 1
        with pytest.raises(ValueError, match="no repeat is whole"):
            interference.summarize([c for c in measured.cells if c.key.get("arm") != "O"])

    def test_arms_that_score_other_texts_are_not_compared(self, measured):
        cells = [without_scores(c) if c.key.get("arm") == "J1" else c for c in measured.cells]
        effects = interference.summarize(cells).effects
        assert effects["interference"]["mean"].verdict == "refused"
        assert "coverage" in effects["interference"]["mean"].note
        assert effects["length"]["mean"].verdict != "refused"

    def test_instructions_of_two_efforts_are_not_mixed(self, measured):
        other = [
            replace(cell, key={**cell.key, "instructions": "another"})
            for cell in measured.cells
            if cell.key.get("arm") == "J1"
        ]
        with pytest.raises(SetupError, match="instructions of several kinds for run given"):
            interference.summarize([*measured.cells, *other])

    def test_the_matrix_is_one_family(self, measured):
        by_arm = whole(scorings(measured.cells))
        single = {
            (j, k): judged(by_arm, "", {f"J+{j}": 1, "J0": -1})[k].p_value
            for j in CRITERIA
            for k in CRITERIA
        }
        matrix = interference.summarize(measured.cells).matrix
        assert {(j, k): matrix[j][k].p_value for j, k in single} == holm(single)


def test_one_run_tells_nothing_of_others():
    one = Claim("interference, mean", 0.1, 0.05, 0.15, 0.001, 40, "established", 0.03)
    note = "1 set of instructions: nothing is known of others"
    assert of_other_runs(one, 1, None) == replace(one, note=note)
    assert of_other_runs(one, 5, (-0.1, 0.3)).note == "5 runs; over new runs [-0.100, +0.300]"


def without_scores(cell):
    judged = json.loads(json.dumps(cell.result["judged"]))
    judged["scores"]["fluency"][:3] = [None] * 3
    return Cell(**{**vars(cell), "result": {"judged": judged}})


class TestCommand:
    @pytest.mark.slow
    def test_it_measures_and_goes_on_where_it_was(self, tmp_path):
        arguments = ["--smoke", "--out", str(tmp_path), "--seeds", "1", "--repeats", "1"]
        first = CliRunner().invoke(interference.command, arguments, catch_exceptions=False)
        cells = len(read_cells(tmp_path))
        second = CliRunner().invoke(interference.command, arguments, catch_exceptions=False)
        assert first.exit_code == second.exit_code == 0
        assert first.output == second.output
        assert len(read_cells(tmp_path)) == cells
        assert "interference, mean:" in first.output

    def test_instructions_may_be_given(self, tmp_path, setting):
        judge = judges(setting, FULL, 0)["J1"]
        judge.save(tmp_path / "judge.json")
        arguments = ["--smoke", "--repeats", "1", "--instructions", str(tmp_path / "judge.json")]
        result = CliRunner().invoke(interference.command, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        assert "1 runs" in result.output

    def test_the_seed_prompt_is_nothing_to_compare(self, tmp_path, setting):
        setting.judge().save(tmp_path / "judge.json")
        arguments = ["--smoke", "--instructions", str(tmp_path / "judge.json")]
        result = CliRunner().invoke(interference.command, arguments)
        assert result.exit_code == 1
        assert "nothing to compare" in result.output

    def test_a_model_and_data_are_needed(self):
        result = CliRunner().invoke(noise.command, [])
        assert result.exit_code == 1
        assert "--lm is needed" in result.output


def test_seed_sections_are_the_papers_seed_prompt(setting):
    assert set(seed_sections(setting).values()) == {"Rate from 1 to 5."}
    assert isinstance(setting.judge(), MultiCriteriaJudge)


def test_one_criterion_cannot_interfere(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "benchmarks.harness.options.smoke_setting", lambda *_, **__: one_criterion(tmp_path)
    )
    result = CliRunner().invoke(interference.command, ["--smoke"])
    assert result.exit_code == 1
    assert "two criteria or more" in result.output
    assert SetupError


def one_criterion(folder):
    setting = smoke_setting(folder)
    from benchmarks.worlds.planted import planted_rubric

    rubric = planted_rubric("fluency")
    examples = planted_examples(rubric, documents=8, systems=3)
    return setting_of(folder, rubric, examples, setting.lms)


@pytest.mark.slow
def test_explanations_are_adjusted_for_their_number(measured):
    found = interference.summarize(measured.cells)
    alone = {name: interference.effect(measured.cells, name)["mean"] for name in found.effects}
    mean = found.effects["interference"]["mean"]
    assert replace(mean, note="") == alone["interference"]
    assert mean.note == "1 set of instructions: nothing is known of others"
    for name, claims in found.effects.items():
        assert claims["mean"].p_value >= alone[name].p_value
        assert claims["mean"].estimate == alone[name].estimate
        if claims["mean"].verdict == "established":
            assert claims["mean"].p_value < 0.05


def test_a_padded_arm_that_is_longer_than_its_match_is_told():
    def chosen(criterion, section):
        seed = {"step": 0, "section": "one two three"}
        result = {"section": section, "measured": [seed]}
        key = {"part": "choose", "criterion": criterion, "seed": 0, "steps": 1}
        return Cell("interference", key, {}, result, [], 0, 0.0, {})

    cells = [chosen("coherence", "one"), chosen("fluency", "one two three four")]
    texts = {cell.key["criterion"]: cell.result["section"] for cell in cells}
    scored = [replace(cells[0], key=identity(texts))]
    assert mismatch(cells, scored) == "P is longer than J1 in some runs: 7 words in P, 5 in J1"
    assert mismatch(cells, []) == mismatch([chosen("fluency", "four of these words")], scored) == ""
