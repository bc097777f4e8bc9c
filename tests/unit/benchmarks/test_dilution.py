"""The dilution benchmark in worlds in which dilution is planted, or is not."""

import re
from contextlib import suppress
from dataclasses import replace

import pytest
from click.testing import CliRunner

from benchmarks.dilution import command as dilution
from benchmarks.dilution.arms import (
    ARMS,
    CRITIQUED,
    JOINED,
    LONG,
    ROUTED,
    SEPARATE,
    TEXTS,
    advice_of,
    budgeted,
    silence_in,
)
from benchmarks.dilution.calibration import UNCALIBRATED
from benchmarks.dilution.contrasts import PATH, PRIMARY, WHOLE_STEP, YIELD
from benchmarks.dilution.finding import finding
from benchmarks.dilution.measures import CriterionFocus, measure
from benchmarks.dilution.observed import means_of, observe, yield_of
from benchmarks.dilution.raters import (
    EDITS,
    LM_RATER,
    REAL_TEST,
    STEP,
    UNITS,
    UNITS_TEST,
    WHOLE,
    WHOLE_TEST,
    raters_of,
)
from benchmarks.dilution.steps import texts_of
from benchmarks.dilution.summary import CAUSAL, by_size, summarize
from benchmarks.dilution.tables import tables
from benchmarks.dilution.verdicts import mean_claim, relative_claim
from benchmarks.harness.cells import Cell, read_cells
from benchmarks.harness.paying import estimated
from benchmarks.harness.rehearsal import Estimate
from benchmarks.harness.setting import ROLES, in_setting, setting_of, smoke_setting
from benchmarks.report import dilution as report
from benchmarks.report.settings import Settings
from benchmarks.worlds.bank.real_units import RealUnit
from benchmarks.worlds.planted import PlantedWorld, planted_examples, planted_lm, planted_rubric
from benchmarks.worlds.ratings import rated
from benchmarks.worlds.world import parts_of, toy_rubric
from mogradjudge import SetupError
from mogradjudge.stages.gradient import WriteGradient

SIZES = dilution.Sizes(pool="example", steps=4, batch_size=2, words=20, planted=3, causal=0)


def measured_in(folder, world, **sizes):
    rubric = planted_rubric("coherence", "fluency")
    lms = dict.fromkeys(ROLES, planted_lm(world))
    examples = planted_examples(rubric, documents=16, systems=5)
    setting = setting_of(folder, rubric, examples, lms, seeds=(0, 1))
    with in_setting(setting):
        dilution.measure(setting, replace(SIZES, **sizes))
    return setting


@pytest.fixture(scope="module")
def diluted(tmp_path_factory):
    world = PlantedWorld(dilution=0.4, interference=0.6)
    return measured_in(tmp_path_factory.mktemp("diluted"), world, causal=4)


@pytest.fixture(scope="module")
def found(diluted):
    return summarize(diluted.cells)


@pytest.mark.slow
def test_planted_dilution_is_found_and_as_large_as_it_is(found):
    loss = found.loss("LM rater", PRIMARY)
    assert loss.difference.verdict == loss.share.verdict == "established"
    assert loss.share.low < 0.4 < loss.share.high
    assert found.losses[0] == loss
    assert found.steps == loss.share.n == 8
    first = finding(found)
    assert first.claim == loss.share
    assert f"{100 * loss.share.estimate:.0f} % less" in first.sentence
    assert "SSS" in first.action


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return summarize(measured_in(folder, PlantedWorld(seed=1)).cells)


@pytest.mark.slow
def test_without_dilution_the_arms_yield_the_same(plain):
    losses = [plain.loss(rater, PRIMARY) for rater in plain.raters]
    assert abs(losses[0].difference.estimate) < 0.1
    assert losses[0].difference.verdict != "established"
    # The classifier errs on this world's idle phrases, and is not believed on yields.
    assert not any(loss.passed and loss.share.verdict == "established" for loss in losses)
    assert "joint one loses even" not in finding(plain).action


@pytest.mark.slow
def test_arithmetic_alone_does_not_count_as_dilution(plain):
    for of in plain.decompositions:
        if of.rater == "LM rater" and of.measure != YIELD:
            arithmetic, focus, *_ = of.parts
            assert arithmetic.estimate > 1
            assert focus.estimate < 0 or focus.verdict != "established"


def test_nothing_is_measured_twice(diluted):
    before = diluted.lms["coach"].engine.calls.total()
    with in_setting(diluted):
        dilution.measure(diluted, replace(SIZES, causal=4))
    assert diluted.lms["coach"].engine.calls.total() == before


def test_the_summary_is_a_function_of_the_cells_on_disk(diluted, found):
    assert summarize(read_cells(diluted.grid.folder)) == found


def parts(setting, part):
    return [cell for cell in setting.cells if cell.key.get("part") == part]


def test_each_text_is_measured_by_each_rater_and_routed_ones_by_the_other(diluted):
    steps = observe(diluted.cells).steps
    assert len(steps) == 8
    for step in steps:
        for rater in ("LM rater", "classifier"):
            assert {it.advice.arm for it in step.texts if it.rater == rater} == {*TEXTS, ROUTED}
            assert len(step.of(LONG, rater)) == len(step.of(LONG, rater, "fluency")) == 2
            assert len(step.of(ROUTED, rater)) == 2 * len(step.of(ROUTED, rater, "fluency")) == 4


def test_cells_hold_what_was_written_and_what_raters_said_and_no_measure(diluted):
    for cell in parts(diluted, STEP):
        gradients = cell.result["gradients"]
        assert {gradient["arm"] for gradient in gradients} == set(ARMS)
        assert all(gradient["text"] and "units" in gradient for gradient in gradients)
        sizes = {len(critique["criteria"]) for critique in cell.result["critiques"]}
        assert sizes == {1, 2}
    for cell in [*parts(diluted, UNITS), *parts(diluted, UNITS_TEST)]:
        for rating in cell.result["ratings"].values():
            assert set(rating) == {"mass", "actionable"}


def test_joint_critiques_are_read_by_their_own_arms_alone(tmp_path, monkeypatch):
    read = {}

    def advice(world, names, critiques, words=None):
        read.setdefault((len(names), words), []).append(critiques)
        return "\n\n".join(f"{name}: Judge it." for name in names)

    monkeypatch.setattr(PlantedWorld, "advice", advice)
    monkeypatch.setattr(
        PlantedWorld, "_critique", lambda world, inputs: f"On {len(parts_of(inputs['results']))}."
    )
    measured_in(tmp_path, PlantedWorld(), steps=1, batch_size=1, planted=1, holistic=False)
    for words in (20, 40):  # of two seeds
        assert (
            sorted("On 2" in critiques for critiques in read[2, words]) == [False] * 2 + [True] * 2
        )
    assert [critiques.count("On 1") for critiques in read[1, 20]] == [1] * 4


@pytest.mark.slow
def test_what_nobody_asked_for_is_not_paid(tmp_path):
    sizes = {"steps": 1, "batch_size": 1, "planted": 1, "holistic": False}
    setting = measured_in(tmp_path, PlantedWorld(), **sizes)
    found = {cell.key["part"] for cell in setting.cells}
    assert found == {STEP, UNITS, UNITS_TEST}
    steps, paid = parts(setting, STEP), setting.lms["coach"].engine.calls.total()
    more = {"adherence": True, "masked": True, "holistic": True}
    with in_setting(setting):
        dilution.measure(setting, replace(SIZES, **{**sizes, **more}))
    assert parts(setting, STEP) == steps
    added = [*parts(setting, EDITS), *parts(setting, WHOLE), *parts(setting, WHOLE_TEST)]
    added += [cell for cell in setting.cells if "masked" in cell.key.get("rater", "")]
    assert setting.lms["coach"].engine.calls.total() - paid == sum(cell.calls for cell in added)
    seen = observe(setting.cells)
    assert {entry["arm"] for step in seen.steps for entry in step.edits} == set(ARMS)
    hidden = {it.rater for step in seen.steps for it in step.texts} - set(seen.plain)
    assert hidden == {"LM rater, names masked", "classifier, names masked"}


def test_a_coach_that_advises_nothing_has_written_nothing():
    def gradient(arm, criteria, *units):
        units = [{"criterion": name} for name in units]
        text = " ".join(f"On {unit['criterion']}." for unit in units) or "No advice."
        return {"arm": arm, "example": "x", "criteria": criteria, "units": units, "text": text}

    both = ["coherence", "fluency"]
    gradients = [
        gradient(SEPARATE, ["coherence"]),
        gradient(SEPARATE, ["fluency"], "fluency"),
        gradient(LONG, both, "coherence", "fluency"),
        gradient(CRITIQUED, both),
    ]
    texts = {(it.arm, it.target): it.text for it in advice_of(gradients)}
    assert texts[SEPARATE, "coherence"] == texts[CRITIQUED, None] == ""
    assert texts[JOINED, None] == texts[SEPARATE, "fluency"] == "On fluency."
    silence = silence_in(gradients, tuple(both))
    assert silence == {SEPARATE: 0.5, LONG: 0.0, CRITIQUED: 1.0}
    focus = measure(rated("", {}), tuple(both))
    assert focus.by_criterion["fluency"] == CriterionFocus(share=None, actionable=0.0)


def test_whole_texts_are_rated_where_the_paper_rates_them(diluted):
    for cell, step in zip(parts(diluted, WHOLE), parts(diluted, STEP), strict=True):
        rated_on = [(e["arm"], e["example"], e["criterion"]) for e in cell.result["ratings"]]
        written = [it for it in advice_of(step.result["gradients"]) if it.text]
        single = [
            (it.arm, it.example, name)
            for it in written
            for name in ("coherence", "fluency")
            if it.target in (None, name)
        ]
        whole = {(arm, None, name) for arm, _, name in single}
        assert sorted(rated_on, key=str) == sorted([*single, *whole], key=str)


def test_joined_gradients_yield_what_the_separate_ones_do(diluted):
    steps, arms = observe(diluted.cells).steps, (SEPARATE, JOINED)
    means = means_of(steps, yield_of("LM rater"), arms, ("coherence", "fluency"))
    assert all(of[SEPARATE] <= of[JOINED] for of in means)  # a slip lands anywhere
    separate, joined = (sum(of[arm] for of in means) for arm in arms)
    assert separate == pytest.approx(joined, rel=0.15)


def test_a_rater_without_a_test_is_never_in_the_first_view_and_marked_elsewhere(diluted):
    tests = (UNITS_TEST, WHOLE_TEST)
    untested = [cell for cell in diluted.cells if cell.key.get("part") not in tests]
    found = summarize(untested)
    claims = [claim for loss in found.losses for claim in (loss.difference, loss.share)]
    claims += [claim for of in found.decompositions for claim in (*of.parts, of.total)]
    claims += [*found.causal, *found.masking]
    assert claims and all(claim.name.startswith(UNCALIBRATED) for claim in claims)
    first = finding(found)
    assert "coherence" in first.action and "--rater-lm" not in first.action
    assert first.claim is None and not re.search(r"\d %", f"{first.sentence} {first.action}")
    assert all(set(row[1:]) == {"-"} for row in first.table.rows)
    assert len([line for line in first.limits if "could not be tested" in line]) == 2


def test_means_in_the_first_view_are_those_of_the_picture(diluted):
    """Where separate calls advise nothing, the other arms' texts do not count."""

    def without(rating):
        gone = rating["arm"] == SEPARATE and rating["criterion"] == "fluency"
        return {**rating, "rating": None} if gone else {**rating, "rating": 1 + len(rating["arm"])}

    cells = [
        replace(cell, result={"ratings": [without(rating) for rating in cell.result["ratings"]]})
        if cell.key.get("part") == WHOLE and cell.key["seed"] == 0
        else cell
        for cell in diluted.cells
    ]
    found = summarize(cells)
    (whole,) = [of for of in found.decompositions if of.measure == WHOLE_STEP]
    assert [found.ratings[WHOLE_STEP][arm] for arm in PATH] == pytest.approx(whole.means)
    counted = {of.arm: of.corrected for of in found.figures if of.rater == LM_RATER}
    (yields,) = [o for o in found.decompositions if (o.measure, o.rater) == (YIELD, LM_RATER)]
    assert [counted[arm] for arm in PATH] == pytest.approx(yields.means)


def test_parts_of_a_gradient_are_tried_on_held_out_texts(diluted, found):
    tried = [cell for cell in diluted.cells if cell.key.get("part") == CAUSAL]
    assert 0 < len(tried) <= 4
    for cell in tried:
        assert set(cell.result["agreement"]) <= {"on topic", "off topic", "all"}
    assert len(found.causal) == 4
    long = [cell for cell in tried if cell.key["arm"] == LONG]
    assert any("off topic" in cell.result["agreement"] for cell in long)


def test_steps_of_several_sizes_are_not_mixed(diluted):
    step = next(cell for cell in diluted.cells if cell.key.get("part") == STEP)
    other = Cell(**{**vars(step), "key": {**step.key, "words": 99}})
    with pytest.raises(SetupError, match="several sizes"):
        summarize([*diluted.cells, other])
    with pytest.raises(SetupError, match="no measured steps"):
        summarize([])


@pytest.mark.slow
def test_steps_of_another_size_extend_a_folder_and_stand_apart(tmp_path):
    sizes = {"steps": 1, "planted": 1, "holistic": False}
    measured_in(tmp_path, PlantedWorld(), **sizes)
    measured_in(tmp_path, PlantedWorld(), **{**sizes, "steps": 2}, causal=1)
    apart = by_size(read_cells(tmp_path))
    assert [summarize(cells).steps for cells in apart] == [2, 4]
    assert [sum(cell.key["part"] == CAUSAL for cell in cells) for cells in apart] == [0, 1]
    settings = Settings(read_cells(tmp_path))
    shown = report.sections(read_cells(tmp_path), settings)
    assert [section.finding is not None for section in shown] == [True, True]
    assert not {*shown[0].figures} & {*shown[1].figures}


def test_no_two_steps_share_a_document(diluted):
    batches = texts_of(diluted, (0, 1), 4, 2, 2)
    groups = [{each.group for each in batch} for batch in batches.values()]
    assert len(batches) == 8
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert not set.union(*groups) & {each.group for each in diluted.test}
    assert batches == texts_of(diluted, (0, 1), 4, 2, 2)
    with pytest.raises(SetupError, match="9 steps over all seeds need as many documents"):
        texts_of(diluted, (0, 1, 2), 3, 1, 1)
    with pytest.raises(SetupError, match="needs 6 texts"):
        texts_of(diluted, (0, 1), 4, 6, 6)


def test_the_coach_is_told_the_length_and_else_what_it_is_always_told():
    told = budgeted(40)
    assert told.instructions.startswith(WriteGradient.instructions)
    assert "40 words" in told.instructions
    assert set(told.fields) == set(WriteGradient.fields)


def test_a_classifier_that_knows_no_criterion_is_left_out(tmp_path):
    setting = smoke_setting(tmp_path)
    raters = raters_of(replace(setting, rubric=toy_rubric("wit", "charm")), masked=True)
    assert [rater.name for rater in raters] == ["LM rater", "LM rater, names masked"]


def test_the_classifier_has_no_figure_on_what_it_was_not_trained_on(tmp_path):
    setting = smoke_setting(tmp_path)
    _, classifier = raters_of(replace(setting, rubric=toy_rubric("fluency", "wit")))
    assert classifier.knows == ("fluency",)


@pytest.mark.slow
def test_an_embedding_model_rates_where_one_is_named(tmp_path, monkeypatch):
    def embed(texts):
        return [
            [float(word in text) for word in ("coherence", "fluency", "reply")] for text in texts
        ]

    monkeypatch.setattr("dspy.Embedder", lambda model: embed)
    sizes = {"steps": 1, "batch_size": 1, "planted": 1, "holistic": False}
    setting = measured_in(tmp_path, PlantedWorld(), **sizes, embedding_lm="some/model")
    (key,) = {cell.key["model"] for cell in setting.cells if "model" in cell.key}
    assert key == "some/model"
    found = summarize(setting.cells)
    assert found.raters["embeddings"] == ("coherence", "fluency")
    assert found.calibrations["embeddings"].shares.overall.n > 0


def test_an_embedding_model_that_fails_is_named_in_one_line(tmp_path, monkeypatch):
    from openai import OpenAIError

    def fail(texts):
        raise OpenAIError("no key")

    monkeypatch.setattr("dspy.Embedder", lambda model: fail)
    arguments = ["--smoke", "--steps", "1", "--planted", "1", "--embedding-lm", "some/model"]
    result = CliRunner().invoke(dilution.command, arguments)
    assert result.exit_code == 1
    assert "\nError: --embedding-lm some/model" in result.output


@pytest.mark.slow
def test_real_units_test_each_rater_where_there_are_some(tmp_path, monkeypatch):
    units = (
        RealUnit(unit="Mind it.", arm="S", labels=(("fluency",),) * 2, actionable=(True, True)),
        RealUnit(unit="So.", arm="S", labels=(("none",),) * 2, actionable=(False, False)),
    )
    monkeypatch.setattr("benchmarks.dilution.raters.real_units_for", lambda names: units)
    sizes = {"steps": 1, "batch_size": 1, "planted": 1, "holistic": False}
    setting = measured_in(tmp_path, PlantedWorld(), **sizes)
    assert len(parts(setting, REAL_TEST)) == 2
    found = summarize(setting.cells)
    assert {tested.real.n for tested in found.calibrations.values()} == {2}
    (table,) = [it for it in tables(found) if "label" in it.columns]
    assert {row[0] for row in table.rows} == {"LM rater", "classifier"}


def test_a_rubric_of_one_criterion_is_refused(tmp_path):
    setting = replace(smoke_setting(tmp_path), rubric=toy_rubric("fluency"))
    with pytest.raises(SetupError, match="two criteria"):
        dilution.measure(setting, SIZES)


def test_criteria_without_test_sentences_are_named_before_anything_is_paid(tmp_path, capsys):
    setting = replace(smoke_setting(tmp_path), rubric=toy_rubric("wit", "charm"))
    with suppress(SetupError):  # its documents are rated on other criteria
        estimated("dilution", dilution.measure, setting, Estimate(), sizes=SIZES)
    assert "wit, charm" in capsys.readouterr().out


def test_what_is_lost_is_bounded_as_a_ratio():
    first, second = [2.0, 3.0, 4.0, 2.5, 3.5, 3.0], [1.0, 1.6, 1.9, 1.2, 1.8, 1.5]
    claim = relative_claim("lost", first, second)
    assert claim.estimate == pytest.approx(1 - sum(second) / sum(first))
    assert claim.low < claim.estimate < claim.high
    assert (claim.verdict, claim.n) == ("established", 6)
    assert relative_claim("lost", [0.0] * 6, [0.0] * 6).verdict == "cannot be tested"


def test_an_error_that_all_clusters_share_widens_the_interval():
    values = [0.1, 0.2, 0.15, 0.12, 0.11, 0.16]
    sure, unsure = (mean_claim("gain", values, 0.05, error) for error in (0.0, 0.3))
    assert sure.verdict == "established"
    assert unsure.verdict == "not established"
    assert sure.estimate == unsure.estimate
    assert sure.p_value < 0.05 < unsure.p_value
    constant = mean_claim("gain", [0.1] * 6, 0.05, 0.1)
    assert (constant.low, constant.high) == pytest.approx((0.1 - 0.257, 0.1 + 0.257), abs=1e-3)


@pytest.mark.slow
def test_the_command_prints_claims_and_keeps_its_cells(tmp_path):
    arguments = ["--smoke", "--out", str(tmp_path), "--steps", "2", "--causal", "0"]
    result = CliRunner().invoke(dilution.command, [*arguments, "--planted", "3"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("A joint gradient")
    assert "same model" in result.output
    assert "uncalibrated" not in result.output
    assert summarize(read_cells(tmp_path)).criteria == ("coherence", "fluency")


@pytest.mark.slow
def test_a_coach_reads_a_batch_as_a_whole_where_people_and_judge_differ(tmp_path):
    setting = measured_in(tmp_path, PlantedWorld(dilution=0.4), pool="batch", batch_size=3, steps=1)
    for cell in parts(setting, STEP):
        gradients = cell.result["gradients"]
        assert {gradient["example"] for gradient in gradients} == {""}
        assert len(gradients) == len(ARMS) + 1  # one for each of two criteria in separate calls
        critiques = cell.result["critiques"]
        assert len({critique["example_id"] for critique in critiques}) <= 3
    assert summarize(setting.cells).steps == 2
