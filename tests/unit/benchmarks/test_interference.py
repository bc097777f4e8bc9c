"""The interference benchmark in worlds in which interference is planted, or is not."""

import json
import math
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import interference, noise
from benchmarks.harness import over_runs
from benchmarks.harness.cells import Cell, read_cells
from benchmarks.harness.scored import Judged
from benchmarks.harness.setting import ROLES, in_setting, setting_of, smoke_setting
from benchmarks.harness.two_way import two_way
from benchmarks.interference.arms import (
    EXPLAINING,
    NAMES,
    ONE,
    OPTIMIZED,
    SEED_ARMS,
    judges,
    seed_sections,
)
from benchmarks.interference.choose import Effort, chosen_sections
from benchmarks.interference.contrasts import EFFECTS, Contrasts
from benchmarks.interference.decomposition import FIRST
from benchmarks.interference.measure import measure
from benchmarks.interference.paper import EVALUATE, STITCHED, measure_paper
from benchmarks.interference.scorings import whole
from benchmarks.self_tests.calibration import CRITERIA, scored_directly
from benchmarks.worlds.cues import CUES
from benchmarks.worlds.planted import PlantedWorld, cues_in, planted_examples, planted_lm
from mogradjudge import MultiCriteriaJudge, SetupError
from mogradjudge.agreement import holm
from mogradjudge.agreement.claims import Claim, untestable
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

    @pytest.mark.parametrize("arm", ["P", "C"])
    def test_padding_has_the_words_of_the_optimized_sections_and_none_of_their_cues(
        self, setting, arm
    ):
        made = judges(setting, FULL, 0)
        (padded,), (optimized,) = instructions(made[arm]), instructions(made["J1"])
        assert len(padded.split()) == len(optimized.split())
        assert padded.count("Rate from 1 to 5.") == len(CRITERIA)  # the seed's texts stay
        assert not cues_in(padded)

    def test_idle_and_competing_padding_differ(self, setting):
        made = judges(setting, FULL, 0)
        assert instructions(made["P"]) != instructions(made["C"])

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

    def test_every_arm_has_a_name(self):
        assert set(NAMES) == {*OPTIMIZED, *EXPLAINING, ONE, *SEED_ARMS.values()}

    def test_the_core_has_no_arm_that_only_explains(self, setting):
        core = judges(setting, FULL, 0, explaining=False)
        assert set(core) == set(judges(setting, FULL, 0)) - set(EXPLAINING)


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
        one_call_arms = len(EXPLAINING) + k + 2  # with the matrix, J1 and J0
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
    def test_transfer_and_crowding_are_interference(self, measured):
        found = interference.summarize(measured.cells)
        for name in ("mean", *CRITERIA):
            effect = {kind: claims[name].estimate for kind, claims in found.effects.items()}
            arms = {row.arm: row.agreement[name] for row in found.arms}
            gain = arms["J1"] - arms["J0"] - effect["gain"]
            assert math.isclose(effect["layout"], arms["J1"] - arms["S1"], abs_tol=1e-12)
            parts = effect["transfer"] + effect["crowding"]
            assert math.isclose(effect["interference"], gain, abs_tol=1e-12)
            assert math.isclose(effect["interference"], parts, abs_tol=1e-12)

    def test_crowding_is_about_a_criterions_own_section(self, measured):
        found = interference.summarize(measured.cells)
        arms = {row.arm: row.agreement for row in found.arms}
        for name in CRITERIA:
            (own,) = [c for c in measured.cells if c.key.get("arm") == f"J+{name}"][:1]
            assert arms[ONE][name] == pytest.approx(Judged.of(own).agreement(name), abs=0.2)
            difference = arms["J1"][name] - arms[ONE][name]
            assert math.isclose(found.effects["crowding"][name].estimate, difference)

    def test_it_is_plain_json(self, measured):
        found = interference.summarize(measured.cells)
        assert json.loads(json.dumps(asdict(found), allow_nan=False))
        assert next(iter(found.effects.values()))["mean"].name == "crowding, mean"

    def test_repeats_without_a_core_arm_are_left_out(self, measured):
        short = [c for c in measured.cells if not (c.key.get("arm") == "J1" and c.key["repeat"])]
        assert interference.summarize(measured.cells).repeats == 2
        assert interference.summarize(short).repeats == 1
        for arm in ("J1", "J+fluency"):
            with pytest.raises(ValueError, match="no repeat is whole"):
                interference.summarize([c for c in measured.cells if c.key.get("arm") != arm])

    def test_arms_that_explain_may_be_missing(self, measured):
        core = [c for c in measured.cells if c.key.get("arm") not in EXPLAINING]
        short = interference.summarize(core)
        assert {row.arm for row in short.arms} == {"S0", "S1", "J0", ONE, "J1"}
        assert "order" not in short.effects
        found = interference.summarize(measured.cells)
        assert short.crowding == found.crowding

    def test_a_run_that_was_cut_short_is_left_out(self, measured):
        other = [
            replace(cell, key={**cell.key, "run": "other"})
            for cell in measured.cells
            if cell.key.get("arm") in ("S1", "J1")
        ]
        found = interference.summarize([*measured.cells, *other])
        assert found.runs == ("given",)
        assert found.repeats == 2

    def test_arms_that_score_other_texts_are_not_compared(self, measured):
        cells = [without_scores(c) if c.key.get("arm") == "J1" else c for c in measured.cells]
        found = interference.summarize(cells)
        assert found.crowding.verdict == "cannot be tested"
        assert "coverage" in found.crowding.note
        assert found.decompositions == ()
        assert "coverage" in interference.finding(found).sentence
        effects = found.effects
        assert effects["length"]["mean"].verdict != "cannot be tested"

    def test_instructions_of_two_efforts_are_not_mixed(self, measured):
        other = [
            replace(cell, key={**cell.key, "instructions": "another"})
            for cell in measured.cells
            if cell.key.get("arm") == "J1"
        ]
        with pytest.raises(SetupError, match="instructions of several kinds for run given"):
            interference.summarize([*measured.cells, *other])

    def test_the_matrix_is_one_family(self, measured):
        contrasts = Contrasts(whole(measured.cells))
        single = {
            f"{j} {k}": contrasts.test({f"J+{j}": 1, "J0": -1}, k).p_value
            for j in CRITERIA
            for k in CRITERIA
        }
        matrix = interference.summarize(measured.cells).matrix
        assert {key: matrix[key.split()[0]][key.split()[1]].p_value for key in single} == holm(
            single
        )


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
        assert "1 of 5 sets of instructions" in first.output

    @pytest.mark.slow
    def test_instructions_may_be_given(self, tmp_path, setting):
        judge = judges(setting, FULL, 0)["J1"]
        judge.save(tmp_path / "judge.json")
        arguments = ["--smoke", "--repeats", "1", "--instructions", str(tmp_path / "judge.json")]
        result = CliRunner().invoke(interference.command, arguments, catch_exceptions=False)
        assert result.exit_code == 0
        assert "One set of instructions" in result.output

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
    found, contrasts = interference.summarize(measured.cells), Contrasts(whole(measured.cells))
    alone = {name: contrasts.test(EFFECTS[name][1], "mean") for name in found.effects}
    assert found.crowding.p_value == alone["crowding"].p_value
    for name, claims in found.effects.items():
        assert claims["mean"].p_value >= alone[name].p_value
        assert claims["mean"].estimate == alone[name].mean


def copies(cells, runs):
    """Give the cells as they would be of several runs, the scores of each shifted by texts."""

    def shifted(cell, by):
        judged = json.loads(json.dumps(cell.result["judged"]))
        if cell.key["arm"] == "J1":
            for scores in judged["scores"].values():
                scores[by::7] = [1 + (score + by) % 5 for score in scores[by::7]]
        return {"judged": judged}

    return [
        *(cell for cell in cells if cell.benchmark == "noise"),
        *(
            replace(cell, key={**cell.key, "run": str(run)}, result=shifted(cell, run))
            for run in range(runs)
            for cell in cells
            if cell.benchmark == "interference"
        ),
    ]


@pytest.mark.parametrize("runs", [1, 2, 3, 4, 5])
def test_few_sets_of_instructions_claim_nothing(measured, runs):
    found = interference.summarize(copies(measured.cells, runs))
    said = interference.finding(found)
    table = Contrasts(whole(copies(measured.cells, runs))).table(EFFECTS["crowding"][1])
    assert table.shape == (runs, found.documents)
    assert found.crowding.student == (runs == 1)
    assert found.crowding.estimate == pytest.approx(table.mean())
    if runs > 1:
        assert (found.crowding.low, found.crowding.high) == pytest.approx(
            tuple(map(float, two_way(table).bounds(0.95)))
        )
    if runs < 5:
        assert found.crowding.verdict == "not established"
        assert "--seeds" in said.action
    else:
        assert "--seeds" not in said.action
    assert (said.claim is None) == (runs < 3)
    assert any("(" in cell for row in said.table.rows for cell in row[1:]) == (runs >= 3)
    one_call = found.effects["one call for all"]["mean"]
    assert one_call.note == ""  # no run takes part


@pytest.mark.parametrize("estimate", [-0.2, 0.0, 0.2])
@pytest.mark.parametrize("verdict", ["established", "equivalent", "not established"])
def test_the_finding_names_its_number(measured, verdict, estimate):
    said = finding_of(measured, crowding=(verdict, estimate))
    shown = f"{abs(estimate):.2f}" if verdict == "established" else f"{estimate:+z.2f}"
    assert shown in said.sentence and f"{abs(estimate) + 0.01:.2f}" in said.sentence
    assert "95 %" in said.sentence


@pytest.mark.parametrize(
    ("crowding", "layout", "layouts"),
    [
        (("established", -0.2), ("established", -0.2), ("separate calls", "optimize in")),
        (("established", -0.2), ("not established", 0.1), ("Optimize in",)),
        (("not established", -0.1), ("established", -0.2), ("separate calls.",)),
        (("equivalent", 0.0), ("equivalent", 0.0), ("one call", "2 times")),
        (("established", 0.2), ("established", 0.2), ("one call", "2 times")),
        (("not established", 0.0), ("not established", 0.0), ("price",)),
    ],
)
def test_the_action_is_that_of_the_better_layout(measured, crowding, layout, layouts):
    action = finding_of(measured, crowding=crowding, layout=layout).action
    assert all(words in action for words in layouts)


def test_transfer_that_was_not_shown_is_no_number_and_no_reason(measured):
    said = finding_of(measured, crowding=("established", -0.2), transfer=("not established", -0.05))
    assert "-0.06 and -0.04" in said.sentence and "0.05" not in said.sentence
    assert "beside the others" in said.action  # what helps against crowding
    said = finding_of(measured, crowding=("established", -0.2), transfer=("established", -0.05))
    assert "lose 0.05 (0.04 to 0.06)" in said.sentence


def test_the_first_row_says_what_it_is_and_the_column_which_evaluations(measured):
    table = interference.finding(interference.summarize(measured.cells)).table
    assert table.rows[0][0] == FIRST
    assert "other data" in table.columns[-1]


@pytest.mark.parametrize(
    ("note", "action"),
    [
        ("the arms score other texts: fluency: coverage", "more room"),
        ("1 document with a value, and a test needs 3", "Rate more documents"),
    ],
)
def test_each_reason_why_nothing_can_be_compared_has_its_own_action(measured, note, action):
    found = interference.summarize(measured.cells)
    effects = {**found.effects, "crowding": {"mean": untestable("crowding, mean", note)}}
    said = interference.finding(replace(found, effects=effects))
    assert note in said.sentence
    assert action in said.action


@pytest.mark.parametrize("documents", [0, 1, 2])
def test_a_test_that_lacks_documents_names_them(documents):
    assert re.match(rf"{documents} documents? ", over_runs.tested(np.zeros((1, documents))))


def finding_of(measured, **effects):
    """Give the finding of five runs in which some mean effects are what is said."""
    found = interference.summarize(copies(measured.cells, 5))
    known = dict(found.effects)
    for name, (verdict, estimate) in effects.items():
        bounds = estimate - 0.01, estimate + 0.01
        claim = Claim(f"{name}, mean", estimate, *bounds, 0.5, 12, verdict, student=False)
        known[name] = {**known[name], "mean": claim}
    return interference.finding(replace(found, effects=known))


def test_repeats_of_pooled_correlations_are_averaged_on_fishers_z(measured):
    cells = [pooled(cell) for cell in measured.cells]
    found = interference.summarize(cells)
    assert found.level == "pooled"
    repeats = [Judged.of(c).agreement("fluency") for c in cells if c.key.get("arm") == "J1"]
    mean = math.tanh(sum(map(math.atanh, repeats)) / len(repeats))
    (row,) = [row for row in found.arms if row.arm == "J1"]
    assert row.agreement["fluency"] == pytest.approx(mean, abs=1e-12)
    effect = {kind: claims["mean"].estimate for kind, claims in found.effects.items()}
    assert effect["interference"] == pytest.approx(effect["transfer"] + effect["crowding"])


def pooled(cell):
    judged = json.loads(json.dumps(cell.result["judged"]))
    judged["groups"] = [str(place) for place in range(len(judged["groups"]))]
    return replace(cell, result={"judged": judged})


@pytest.mark.slow
def test_the_papers_protocol_takes_the_best_on_the_test_texts(tmp_path):
    setting = smoke_setting(tmp_path, seeds=(0, 1), repeats=1)
    effort = Effort(steps=1, batch_size=2)
    with in_setting(setting):
        measure_paper(setting, effort)
        paid = sum(cell.calls for cell in setting.cells)
        measure_paper(setting, effort)
    assert sum(cell.calls for cell in setting.cells) == paid
    evaluated = [cell for cell in setting.cells if cell.key["part"] == EVALUATE]
    assert len(evaluated) == 2 * 2 * len(CRITERIA)  # runs, the seed prompt and one proposal
    assert {tuple(cell.result["judged"]["scores"]) for cell in evaluated} == {
        (name,) for name in CRITERIA
    }
    (picked,) = {tuple(c.key["picked"].items()) for c in setting.cells if "picked" in c.key}
    for name, instructions in picked:
        best = max(
            (cell for cell in evaluated if cell.key["criterion"] == name),
            key=lambda cell: Judged.of(cell).agreement(name),
        )
        assert instructions == best.key["instructions"]
    stitched = [cell.key["arm"] for cell in setting.cells if cell.key["part"] == STITCHED]
    assert stitched == ["S1", "J1", *(f"{ONE}{name}" for name in CRITERIA)]
    with in_setting(setting):
        measure(setting, chosen_sections(setting, effort))
    found = interference.summarize(setting.cells)
    ours, papers = found.decompositions
    for of_one in (ours, papers):
        assert of_one.best + sum(of_one.parts.values()) == pytest.approx(of_one.joint, abs=1e-12)
    assert papers.best == pytest.approx(
        sum(max(map_of(evaluated, name)) for name in CRITERIA) / len(CRITERIA)
    )
    assert ours.parts["crowding"] == pytest.approx(found.crowding.estimate)
    assert len(interference.finding(found).table.rows) == 6
    more = replace(setting, seeds=(0, 1, 2))
    with in_setting(setting):
        measure(more, chosen_sections(more, effort))
    papers = interference.summarize(setting.cells).decompositions[-1]
    assert papers.start.endswith("of 2 of 3 runs")  # no more were measured as the paper does


def map_of(evaluated, name):
    return [Judged.of(c).agreement(name) for c in evaluated if c.key["criterion"] == name]


def test_given_instructions_have_no_luck(measured):
    found = interference.summarize(measured.cells)
    (of_one,) = found.decompositions
    assert of_one.start == NAMES["S1"]
    assert list(of_one.parts) == ["one call for all", "transfer", "crowding"]
    assert of_one.best + sum(of_one.parts.values()) == pytest.approx(of_one.joint, abs=1e-12)


@pytest.mark.slow
def test_instructions_of_another_kind_are_refused_before_they_are_paid(tmp_path):
    setting = smoke_setting(tmp_path, seeds=(0,))
    arguments = ["--smoke", "--seeds", "1", "--repeats", "1", "--arms", "core"]
    arguments += ["--out", str(tmp_path), "--steps"]
    with in_setting(setting):
        chosen_sections(setting, Effort(steps=1))
    paid = (tmp_path / "cells.jsonl").read_bytes()
    result = CliRunner().invoke(interference.command, [*arguments, "2"])
    assert result.exit_code == 1
    assert "steps 1" in result.output
    assert (tmp_path / "cells.jsonl").read_bytes() == paid
    assert CliRunner().invoke(interference.command, [*arguments, "1"]).exit_code == 0


def test_the_papers_protocol_needs_runs(tmp_path, setting):
    judges(setting, FULL, 0)["J1"].save(tmp_path / "judge.json")
    arguments = ["--smoke", "--paper", "--instructions", str(tmp_path / "judge.json")]
    result = CliRunner().invoke(interference.command, arguments)
    assert result.exit_code == 1
    assert "--instructions" in result.output
