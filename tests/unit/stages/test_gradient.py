"""What the coach reads and writes: a batch at once, in units that texts support."""

import json

import dspy
import pytest

from benchmarks.worlds.world import parts_of, role_of, toy_examples, toy_lm, toy_rubric, unit_on
from mogradjudge import Criterion, MultiCriteriaJudge, Rubric, rubric_objectives
from mogradjudge.optimize.events import Event, GradientWritten, QuestionSkipped, UnitsRouted
from mogradjudge.programs.candidate import Brief, Candidate, find_slots
from mogradjudge.programs.evaluation import Judgement
from mogradjudge.stages.errors_made import errors_made
from mogradjudge.stages.history import EditRecord, history_of
from mogradjudge.stages.loss import write_critiques
from mogradjudge.stages.role import Role
from tests.unit.stages.test_stages import SEED, UniqueEngine, fields, last_sections, of, run


class Advising(UniqueEngine):
    """A coach that writes these units, whatever it reads."""

    def __init__(self, *units: dict[str, object]) -> None:
        super().__init__()
        self.units = units

    def answer(self, system: str, user: str) -> str:
        if role_of(system) == "coach":
            return fields(advice=json.dumps(self.units))
        return super().answer(system, user)


RUBRIC = toy_rubric("coherence", "fluency")
TEXTS = toy_examples(RUBRIC, 4)[:3]
GOOD = unit_on("fluency", "Count the errors.", ["text 2", 3])
BAD = {
    "an unknown criterion": GOOD | {"criterion": "style"},
    "no text": GOOD | {"support": []},
    "no known text": GOOD | {"support": ["9"]},
    "no rule": GOOD | {"rule": " "},
}


@pytest.mark.parametrize("fault", BAD)
def test_a_unit_on_nothing_is_left_out_and_counted(fault):
    events: list[Event] = []
    engine = Advising(BAD[fault], GOOD)
    result = run(engine, "SCC", RUBRIC, TEXTS, observers=[events.append])
    (skipped,) = of(events, QuestionSkipped)
    assert (skipped.role, result.steps[0].skipped) == ("coach", 1)
    (gradient,) = of(events, GradientWritten)
    assert (gradient.text, gradient.example_id) == ("fluency, add: Count the errors.", "")
    (editor,) = engine.sent("editor")
    assert "(2 for it)" in editor["advice"]["fluency"]


@pytest.mark.parametrize("mode", ["SSS", "SSC", "SCC", "CCC"])
def test_a_group_that_nothing_is_to_change_in_costs_no_editor(mode):
    keep = GOOD | {"change": "keep"}
    engine = Advising(keep)
    result = run(engine, mode, RUBRIC, TEXTS)
    assert engine.calls["editor"] == 0
    assert engine.calls["judge"] == 3 + 3
    assert result.seed_kept


def test_the_editor_is_asked_for_no_section_without_a_unit_and_reads_the_best_supported_first():
    weak, strong = GOOD | {"support": ["1"], "rule": "Weak."}, GOOD | {"rule": "Strong."}
    against = GOOD | {"against": ["1", "2"], "rule": "Contested."}
    engine = Advising(against, weak, strong)
    result = run(engine, "SCC", RUBRIC, TEXTS)
    (editor,) = engine.sent("editor")
    advice = editor["advice"]["fluency"]
    assert advice.index("Strong.") < advice.index("Weak.") < advice.index("Contested.")
    assert "2 against it" in advice
    assert list(editor["current_instructions"]) == list(RUBRIC.names)
    sections = last_sections(result)
    assert sections["coherence"] == SEED != sections["fluency"]


@pytest.mark.parametrize(
    ["mode", "groups"],
    [
        ("SCS", [("coherence",), ("fluency",), ("relevance",)]),
        ("CCS", [("coherence",), ("fluency",), ("relevance",)]),
        ("S > C > fluency | coherence+relevance", [("coherence", "relevance"), ("fluency",)]),
    ],
)
def test_with_routing_an_editor_reads_the_units_that_name_its_criteria_alone(mode, groups):
    rubric = toy_rubric("coherence", "fluency", "relevance")
    units = [unit_on(name, f"Rule on {name}.") for name in (*rubric.names, "style")]
    events: list[Event] = []
    engine, log = Advising(*units), [events.append]
    result = run(engine, mode, rubric, toy_examples(rubric, 3), routing=True, observers=log)
    sent = {tuple(it["criteria"]): it.fields["advice"] for it in engine.sent("editor")}
    assert sorted(sent) == groups
    for group, advice in sent.items():
        assert [name for name in rubric.names if f"Rule on {name}." in advice] == list(group)
        assert "style" not in advice
    (routed,) = of(events, UnitsRouted)
    assert routed.routed == dict.fromkeys(rubric.names, 1)
    assert routed.astray == {"style": 1}
    assert result.steps[0].skipped == 1
    assert engine.calls["coach"] == 1


def test_a_unit_on_a_criterion_of_another_coach_is_astray():
    events: list[Event] = []
    run(Advising(GOOD), "SSS", RUBRIC, TEXTS, routing=True, observers=[events.append])
    (routed,) = of(events, UnitsRouted)
    assert (routed.routed, routed.astray) == ({"fluency": 1}, {"fluency": 1})
    assert routed.figures() == {"units/astray": 1}


@pytest.mark.parametrize("mode", ["SSC", "SCC"])
def test_routing_changes_nothing_where_the_editors_groups_are_not_finer(mode):
    sent = []
    for routing in (False, True):
        engine = UniqueEngine()
        run(engine, mode, RUBRIC, TEXTS, routing=routing)
        sent.append(sorted(engine.prompts))
    assert sent[0] == sent[1]


def test_the_coach_reads_the_texts_abridged_the_errors_made_and_what_was_tried():
    long = [
        dspy.Example(text, output=f"{text.output} {'word ' * 900}").with_inputs("output")
        for text in TEXTS
    ]
    engine = UniqueEngine()
    run(engine, "SSC", RUBRIC, long)
    asked = engine.sent("coach")  # in any order
    coherence = next(prompt for prompt in asked if "coherence" in prompt["errors_made"])
    assert set(coherence["texts"]) == set(coherence["critiques"]) == {"text 1", "text 2", "text 3"}
    assert all(len(text) < 1_600 for text in coherence["texts"].values())
    assert coherence.fields["edits_tried"] == "none yet"
    (now,) = parts_of(coherence["errors_made"]["coherence"], level=4).values()
    assert "too high" in now
    assert "people 1: judge 3 (1)" in now


def judged(human: float, judge: float, *ratings: float) -> Judgement:
    (objective,) = rubric_objectives(toy_rubric("fluency"))
    single = tuple((str(place), "fluency", score) for place, score in enumerate(ratings))
    example = dspy.Example(output="A text.", human_fluency=human, single_ratings=single)
    prediction = dspy.Prediction(fluency=judge)
    score = objective.scored(example, prediction)
    return Judgement("id", "", example.with_inputs("output"), prediction, {"fluency": score})


def test_errors_are_told_by_size_direction_and_level():
    objectives = rubric_objectives(toy_rubric("fluency"))
    pool = [judged(1, 3), judged(1.4, 3), judged(4.5, 4), judged(2, 4)]
    told = errors_made(objectives, pool, [])["fluency"]["before the first edit"]
    for part in (
        "4 texts",
        "on average 1.27 too high",
        "too high on 3, too low on 1",
        "people about 1: judge 3 (2); people about 2: judge 4 (1); people about 5: judge 4 (1)",
    ):
        assert part in told


@pytest.mark.parametrize(
    ["human", "judge", "ratings", "is_asked"],
    [
        (4.0, 4, (), False),
        (4.5, 4, (), False),  # half a step: no whole number is nearer
        (4.4, 5, (), True),
        (4.33, 5, (4, 4, 5), True),
        (3.0, 4, (1, 3, 5), False),  # within the raters' standard error of 1.15
        (3.0, 5, (1, 3, 5), True),
        (3.0, 4, (3, 3, 3), True),
        (3.0, 4, (5,), True),  # one rating has no standard error
    ],
)
def test_an_error_that_the_human_scores_cannot_tell_costs_no_critique(
    human, judge, ratings, is_asked, asked_of
):
    sent = asked_of(judged(human, judge, *ratings))
    assert len(sent) == is_asked
    if sent and len(ratings) > 1:
        told = sent[0]["results"]["fluency"]
        assert f"ratings: {', '.join(map(str, ratings))}" in told
        assert "too high" in told


@pytest.fixture
def asked_of():
    rubric, engine = toy_rubric("fluency"), UniqueEngine()
    program = MultiCriteriaJudge(rubric)
    slots = find_slots(program, rubric.names)
    brief = Brief(rubric_objectives(rubric), Candidate.of(program), slots)

    def ask(judgement):
        critic = Role("critic", toy_lm(engine), None)
        write_critiques([judgement], [rubric.names], brief, critic, label="", skip_tolerance="data")
        return engine.sent("critic")

    return ask


def test_the_critic_reads_what_people_said_of_their_score():
    rubric = Rubric(["output"], [Criterion("fluency", "Does it read well?", comment="remark")])
    texts = [
        dspy.Example(text, remark=said).with_inputs("output")
        for text, said in zip(TEXTS, ("Two sentences lack a verb.", None, ""), strict=True)
    ]
    engine = UniqueEngine()
    run(engine, "SSC", rubric, texts)
    told = [sent["results"]["fluency"] for sent in engine.sent("critic")]
    (commented,) = [part for part in told if "comment" in part]
    assert "Two sentences lack a verb." in commented


def test_the_edits_of_a_section_are_told_with_what_came_of_them():
    effect = {"fluency": 0.1, "coherence": None}
    objectives = rubric_objectives(toy_rubric("fluency", "coherence"))
    edits = [
        EditRecord(
            n,
            "fluency",
            "Be fair. Count.",
            f"Be fair. Count {n}.",
            effect,
            "kept" if n > 5 else "refused",
            9,
        )
        for n in range(1, 8)
    ]
    (told,) = history_of(edits, ("fluency", "coherence"), objectives).values()
    assert len(told) == 4
    head, *changes = told[-1].splitlines()
    assert changes == ["- Count.", "+ Count 7."]
    for part in (
        "step 7, kept",
        "Spearman",
        "on 9 texts",
        "fluency +0.10",
        "coherence not measurable",
    ):
        assert part in head
    assert told[0].startswith("step 4, its step was refused")
    assert history_of(edits, ("coherence",), objectives) == "none yet"
