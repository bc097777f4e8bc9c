"""Composition: which sections and calls are taken, at what price, and how it is resumed."""

import json
from dataclasses import replace

import dspy
import pytest

from benchmarks.self_tests.composing import SECTIONS, FamilyWorld, optimized_alone
from benchmarks.worlds.planted import PlantedEngine, planted_examples, planted_rubric
from mogradjudge import (
    Budget,
    BudgetExhausted,
    ComposeOptions,
    Criterion,
    MultiCriteriaJudge,
    Rubric,
    SetupError,
    compose,
)
from mogradjudge.composition.compose import composed_data, most_calls
from mogradjudge.composition.front import Point, taken
from mogradjudge.composition.sources import Sources, layout_of
from mogradjudge.report.write import write_report
from mogradjudge.scoring.interference import Interference

FAMILIES = (("coherence", "relevance"), ("fluency",))
RUBRIC = planted_rubric("coherence", "fluency", "relevance")
WORLD = FamilyWorld(interference=2.5, families=FAMILIES)
TEXTS = planted_examples(RUBRIC, 16, 1)
ENOUGH = planted_examples(RUBRIC, 40, 1)  # to confirm on a part of them
OPTIMIZED = [optimized_alone(RUBRIC, name) for name in RUBRIC.names]
TWO = ComposeOptions(max_calls_per_text=2, num_threads=1, confirm="off")


def composed(options=TWO, sources=OPTIMIZED, texts=TEXTS, world=WORLD, **more):
    """Compose in the world; return the result and the number of calls that were sent."""
    engine = PlantedEngine(world)
    lm = dspy.LM("planted/world", engine=engine, temperature=0.0)
    with dspy.context(lm=lm):
        try:
            return compose(sources, texts, options, **more), sum(engine._sent.values())
        except BudgetExhausted:
            return None, sum(engine._sent.values())


@pytest.fixture(scope="module")
def result():
    return composed()


@pytest.mark.slow
def test_criteria_that_do_not_harm_each_other_share_a_call(result):
    composition, _ = result
    assert composition.chosen.layout == "coherence+relevance | fluency"
    assert composition.judge.settings.layout == composition.chosen.layout
    assert composition.sections == dict.fromkeys(RUBRIC.names, "optimized")
    texts = "\n".join(it.signature.instructions for it in composition.judge.predictors())
    assert all(SECTIONS[name] in texts for name in RUBRIC.names)


def test_the_front_has_a_partition_for_each_number_of_calls(result):
    composition, _ = result
    assert [point.calls for point in composition.front] == [3, 2, 1]
    for point in composition.front:
        assert {name for group in point.groups for name in group} == set(RUBRIC.names)
        assert set(point.agreement) == set(RUBRIC.names)
    assert composition.front[-1].mean < composition.chosen.mean


def test_the_matrix_shows_who_harms_whom(result):
    interference = result[0].interference
    effects = {
        (one, other): interference.effects[row][column]
        for row, one in enumerate(interference.criteria)
        for column, other in enumerate(interference.criteria)
    }
    strangers = [effects[one, "fluency"] for one in ("coherence", "relevance")]
    assert max(strangers) < -0.1 < effects["coherence", "relevance"]


@pytest.mark.slow
def test_it_is_confirmed_on_texts_that_chose_nothing():
    options = replace(TWO, confirm="report")
    composition, sent = composed(options, texts=ENOUGH)
    sources = Sources.of(OPTIMIZED)
    assert sent == most_calls(sources, composed_data(sources, ENOUGH, options), options)
    assert composition.confirmation.verdict == "confirmed"
    parts = composition.parts.keys
    assert not set(parts["validation"]) & set(parts["confirmation"])
    assert composition.confirmation.texts == len(parts["confirmation"])


def test_calls_are_those_that_were_priced(result):
    composition, sent = result
    sources = Sources.of(OPTIMIZED)
    data = composed_data(sources, TEXTS, TWO)
    assert sent == most_calls(sources, data, TWO) == composition.as_dict()["calls"]


def test_sections_that_do_not_help_are_left_out():
    useless = MultiCriteriaJudge(Rubric(RUBRIC.inputs, [RUBRIC["fluency"]]))
    (predictor,) = useless.predictors()
    worse = predictor.signature.instructions.replace("Rate from 1 to 5.", "Rate as you like.")
    predictor.signature = predictor.signature.with_instructions(worse)

    class World(FamilyWorld):
        def reply(self, system, user, draw=0):
            if "as you like" in system:
                return "[[ ## fluency ## ]]\n3\n\n[[ ## completed ## ]]"
            return super().reply(system, user, draw)

    composition, _ = composed(sources=[OPTIMIZED[0], useless], world=World(families=FAMILIES))
    assert composition.sections == {"coherence": "optimized", "fluency": "initial"}


@pytest.mark.parametrize(["share", "section"], [(4, "initial"), (0, "optimized")])
def test_no_section_is_taken_that_leaves_texts_without_a_score(share, section):
    picky = optimized_alone(RUBRIC, "fluency")
    (predictor,) = picky.predictors()
    text = predictor.signature.instructions.replace("Rate from 1 to 5.", "Rate as you like.")
    predictor.signature = predictor.signature.with_instructions(text)

    class World(FamilyWorld):
        def reply(self, system, user, draw=0):
            if "as you like" in system and share and len(user) % share == 0:
                return "[[ ## fluency ## ]]\n?\n\n[[ ## completed ## ]]"
            return super().reply(system, user, draw)

    composition, _ = composed(sources=[picky], world=World(families=FAMILIES))
    assert composition.sections == {"fluency": section}
    assert composition.as_dict()["chosen"]["without_score"] == {"fluency": 0}


def test_of_partitions_none_is_taken_that_leaves_more_texts_without_a_score():
    points = [
        Point((("a",), ("b",)), "separate", {"a": 0.5, "b": 0.5}, lost={"a": 1, "b": 0}),
        Point((("a", "b"),), "combined", {"a": 0.6, "b": 0.9}, lost={"a": 0, "b": 3}),
    ]
    assert taken(points) is points[0]
    assert taken([points[0], replace(points[1], lost={"a": 1, "b": 0})]).calls == 1


def test_within_one_call_all_share_it():
    composition, _ = composed(replace(TWO, max_calls_per_text=1), OPTIMIZED[:2], TEXTS[:8])
    assert composition.chosen.layout == "combined"
    assert composition.judge.calls_per_text == 1


def test_a_saved_composition_is_a_judge(result, tmp_path):
    result[0].save(tmp_path)
    loaded = MultiCriteriaJudge.from_saved(tmp_path)
    assert loaded.settings.layout == result[0].chosen.layout
    stored = json.loads((tmp_path / "compose.json").read_text(), parse_constant=pytest.fail)
    assert stored["chosen"]["calls"] == 2 and len(stored["front"]) == 3


@pytest.mark.parametrize(
    "damage", [{"front": 5}, {"front": None}, {"sections": []}, {"calls": "x"}, {"confirmation": 1}]
)
def test_a_damaged_composition_is_one_line_of_a_report(damage, result, tmp_path):
    result[0].save(tmp_path)
    file = tmp_path / "compose.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | damage))
    with pytest.raises(SetupError, match=r"compose\.json is damaged"):
        write_report(tmp_path)


def test_an_unknown_effect_is_no_number_in_json(result, tmp_path):
    unknown = Interference(RUBRIC.names, [[float("nan")] * 3] * 3, [[float("nan")] * 3] * 3)
    replace(result[0], interference=unknown).save(tmp_path)
    stored = json.loads((tmp_path / "compose.json").read_text(), parse_constant=pytest.fail)
    assert stored["interference"]["effects"] == [[None] * 3] * 3


@pytest.mark.slow
def test_a_composition_that_a_cap_ended_is_resumed_from_its_replies(result, tmp_path):
    out, whole = tmp_path / "out", result[1]
    _, first = composed(out=out, budget=Budget(max_calls=100))
    assert first == 100
    composition, second = composed(out=out, budget=Budget(max_calls=whole + 10))
    assert first + second <= whole + 1
    assert composition.chosen.layout == result[0].chosen.layout
    again, third = composed(out=out)
    assert third == 0 and again.front == composition.front


def test_a_folder_of_another_composition_is_refused_before_any_call(tmp_path):
    with pytest.raises(SetupError, match="seed"):
        composed(out=tmp_path / "out", budget=Budget(max_calls=1))
        composed(replace(TWO, seed=1), out=tmp_path / "out")


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SetupError, match=r"thesis\.txt"):
        composed(out=tmp_path)


def judge_of(*criteria, **settings):
    return MultiCriteriaJudge(Rubric(["output"], criteria), **settings)


@pytest.mark.parametrize(
    "sources",
    [
        [],
        [judge_of(Criterion("tone", "Is it kind?")), judge_of(Criterion("tone", "Is it loud?"))],
        [
            judge_of(Criterion("tone", "Is it kind?")),
            judge_of(Criterion("style", "Is it terse?"), rationale=True),
        ],
        [
            judge_of(Criterion("tone", "Is it kind?")),
            MultiCriteriaJudge(Rubric(["reply"], [Criterion("style", "Is it terse?")])),
        ],
    ],
)
def test_judges_that_do_not_fit_together_are_refused(sources):
    with pytest.raises(SetupError):
        Sources.of(sources)


def test_demos_are_refused_and_not_dropped_in_silence():
    judge = judge_of(Criterion("tone", "Is it kind?"))
    judge.predictors()[0].demos = [{"output": "Hello.", "tone": 4}]
    with pytest.raises(SetupError, match="tone"):
        Sources.of([judge])


@pytest.mark.parametrize("most", [0, -1, 1.5, "2", True])
def test_a_number_of_calls_is_checked(most):
    with pytest.raises(SetupError, match="max_calls_per_text"):
        ComposeOptions(max_calls_per_text=most)


def test_layouts_are_named_as_a_judges_are():
    assert layout_of([("a", "b")]) == "combined"
    assert layout_of([("a",), ("b",)]) == "separate"
