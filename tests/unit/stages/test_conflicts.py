"""Advice on different criteria that would undo each other is found, and resolved as asked."""

import json
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.worlds.world import role_of, toy_examples, toy_lm, toy_rubric, unit_on
from mogradjudge import MultiCriteriaJudge, rubric_objectives
from mogradjudge.optimize.events import ConflictsFound, Event, QuestionSkipped
from mogradjudge.programs.candidate import Brief, Candidate, find_slots
from mogradjudge.stages.conflicts import Resolution, Side, resolve_conflicts
from mogradjudge.stages.gradient import Gradient, Unit
from mogradjudge.stages.role import Role
from tests.report_runs import rated_twice
from tests.unit.stages.test_stages import Sent, UniqueEngine, fields, of, run

NAMES = ("coherence", "fluency", "relevance")
RUBRIC = toy_rubric(*NAMES)
TEXTS = toy_examples(RUBRIC, 4)[:3]
BRIEFER, LONGER, KIND = "Reward brevity.", "Reward length.", "Reward kindness."


class Colliding(UniqueEngine):
    """A coach that advises, names these pairs and rewrites what it is shown, as it is told to."""

    def __init__(
        self, units: Sequence[dict] = (), pairs: object = (), rewritten: object = None
    ) -> None:
        super().__init__()
        self.units, self.pairs, self.rewritten = units, pairs, rewritten

    def answer(self, system: str, user: str) -> str:
        if "[[ ## conflicts ## ]]" in system:
            return fields(conflicts=json.dumps(self.pairs))
        if "[[ ## rewritten ## ]]" in system:
            numbers = Sent("coach", system, user)["advice"]
            new = [{"number": int(it), "rule": f"Milder {it}."} for it in numbers]
            return fields(rewritten=json.dumps(new if self.rewritten is None else self.rewritten))
        if role_of(system) == "coach" and self.units:
            return fields(advice=json.dumps(self.units))
        return super().answer(system, user)

    def asked_for(self, field: str) -> list[Sent]:
        return [sent for sent in self.sent("coach") if f"[[ ## {field} ## ]]" in sent.system]


UNITS = [unit_on("coherence", BRIEFER), unit_on("fluency", LONGER), unit_on("relevance", KIND)]
PAIR = {"one": 2, "other": 1, "reason": "One wants it short."}


def step(engine: Colliding, mode: str = "SCC", **changes: object) -> list[Event]:
    events: list[Event] = []
    texts = changes.pop("texts", TEXTS)
    run(engine, mode, RUBRIC, texts, observers=[events.append], **changes)
    return events


def advice_of(engine: Colliding) -> dict[str, str]:
    (editor,) = engine.sent("editor")
    return editor["advice"]


def test_without_resolving_nobody_is_asked():
    engine = Colliding(UNITS, [PAIR])
    assert not of(step(engine), ConflictsFound)
    assert engine.calls["coach"] == 1
    assert BRIEFER in advice_of(engine)["coherence"]


def test_projection_rewrites_both_units_of_a_pair_against_the_original_other():
    engine = Colliding(UNITS, [PAIR])
    (found,) = of(step(engine, resolve="project"), ConflictsFound)
    assert engine.calls["coach"] == 3
    (sent,) = engine.asked_for("conflicts")
    assert list(sent["advice"]) == ["1", "2", "3"]
    (sent,) = engine.asked_for("rewritten")
    shown = sent["advice"]
    assert set(shown) == {"1", "2"}
    for own, harmed in (("1", LONGER), ("2", BRIEFER)):
        assert harmed in shown[own].split("would undo")[1]
        assert PAIR["reason"] in shown[own]
    advice = advice_of(engine)
    assert "Milder 1." in advice["coherence"] and "Milder 2." in advice["fluency"]
    assert KIND in advice["relevance"] and BRIEFER not in advice["coherence"]
    (conflict,) = found.conflicts
    assert conflict.one == Side("fluency", LONGER, "Milder 2.")
    assert conflict.other == Side("coherence", BRIEFER, "Milder 1.")
    assert (conflict.reason, found.figures()) == (PAIR["reason"], {"units/conflicts": 1})


def test_a_unit_of_which_nothing_is_left_reaches_no_editor():
    rewritten = [{"number": 1, "rule": " "}, {"number": 2, "rule": "Milder."}]
    engine = Colliding(UNITS, [PAIR], rewritten)
    (found,) = of(step(engine, "SSC", resolve="project"), ConflictsFound)
    assert found.conflicts[0].other.after is None
    assert BRIEFER not in advice_of(engine)["coherence"]


@pytest.mark.parametrize("resolve", ["project", "prioritize"])
@pytest.mark.parametrize("mode", ["SSS", "SSC", "SCC", "CCC"])
def test_one_call_sees_the_units_of_all_gradients(mode, resolve):
    engine = Colliding()
    (found,) = of(step(engine, mode, resolve=resolve), ConflictsFound)
    assert (found.resolve, found.conflicts) == (resolve, ())
    (sent,) = engine.asked_for("conflicts")
    assert sorted(text.split(",")[0] for text in sent["advice"].values()) == list(NAMES)
    assert not engine.asked_for("rewritten")


def test_units_on_one_criterion_cannot_conflict_and_cost_no_call():
    engine = Colliding([unit_on("fluency", BRIEFER), unit_on("fluency", LONGER)], [PAIR])
    (found,) = of(step(engine, resolve="project"), ConflictsFound)
    assert engine.calls["coach"] == 1 and not found.conflicts


@pytest.mark.parametrize("resolve", ["project", "prioritize"])
def test_criteria_that_no_prompt_has_together_cannot_conflict(resolve):
    engine = Colliding(UNITS, [PAIR])
    (found,) = of(step(engine, resolve=resolve, layout="separate"), ConflictsFound)
    assert engine.calls["coach"] == 1 and not found.conflicts
    engine = Colliding(UNITS, [PAIR, {"one": 2, "other": 3}])
    events = step(engine, resolve=resolve, layout="coherence | fluency+relevance")
    (sent,) = engine.asked_for("conflicts")
    assert list(sent["advice"]) == ["2", "3"]
    (conflict,) = of(events, ConflictsFound)[0].conflicts
    assert {conflict.one.criterion, conflict.other.criterion} == {"fluency", "relevance"}
    (skipped,) = of(events, QuestionSkipped)
    assert "one=2 other=1" in skipped.reply


NO_PAIRS = {
    "no list": "none",
    "no number": [{"one": "first", "other": 2, "reason": ""}],
    "an unknown unit": [{"one": 1, "other": 9, "reason": ""}],
    "the same unit": [{"one": 2, "other": 2, "reason": ""}],
}


@pytest.mark.parametrize("fault", NO_PAIRS)
@pytest.mark.parametrize("resolve", ["project", "prioritize"])
def test_pairs_that_cannot_be_used_change_nothing_and_are_counted(fault, resolve):
    engine = Colliding(UNITS, NO_PAIRS[fault])
    events = step(engine, resolve=resolve, reply_retries=0)
    (skipped,) = of(events, QuestionSkipped)
    assert skipped.role == "coach"
    assert not of(events, ConflictsFound)[0].conflicts
    assert [rule for rule in (BRIEFER, LONGER, KIND) if rule in str(advice_of(engine))] == [
        *(BRIEFER, LONGER, KIND)
    ]


@pytest.mark.parametrize("rewritten", ["nothing", [], [{"number": 1, "rule": "Half."}]])
def test_a_projection_that_cannot_be_read_changes_nothing_and_is_counted(rewritten):
    engine = Colliding(UNITS, [PAIR], rewritten)
    events = step(engine, resolve="project", reply_retries=1)
    assert len(of(events, QuestionSkipped)) == 1
    assert len(engine.asked_for("rewritten")) == 2
    (conflict,) = of(events, ConflictsFound)[0].conflicts
    assert conflict.one.after == LONGER
    assert LONGER in advice_of(engine)["fluency"] and BRIEFER in advice_of(engine)["coherence"]


def resolved(
    criteria: Sequence[str], pairs: Sequence[tuple[int, int]], shortfall: dict[str, float]
) -> Resolution:
    """Resolve conflicts between units on these criteria by priority."""
    judge = MultiCriteriaJudge(RUBRIC)
    brief = Brief(rubric_objectives(RUBRIC), Candidate.of(judge), find_slots(judge, NAMES))
    units = [
        Unit(criterion=name, change="add", rule=f"Rule {n}.") for n, name in enumerate(criteria)
    ]
    gradients = [Gradient("", NAMES, tuple(units[:2])), Gradient("", NAMES, tuple(units[2:]))]
    said = [{"one": one + 1, "other": other + 1} for one, other in pairs]
    coach = Role("coach", toy_lm(Colliding(pairs=said)), temperature=None)
    return resolve_conflicts(
        gradients, brief, coach, label="0/1", resolve="prioritize", shortfall=shortfall
    )


CRITERIA = st.lists(st.sampled_from(NAMES), min_size=2, max_size=6)


@settings(max_examples=25)
@given(CRITERIA, st.data())
def test_of_two_units_in_conflict_that_of_the_criterion_that_is_worse_off_stays(criteria, data):
    possible = [
        pair
        for pair in combinations(range(len(criteria)), 2)
        if len({criteria[n] for n in pair}) == 2
    ]
    pairs = data.draw(st.lists(st.sampled_from(possible), unique=True)) if possible else []
    shortfall = dict(zip(NAMES, data.draw(st.permutations([0.1, 0.2, 0.3])), strict=True))
    resolution = resolved(criteria, pairs, shortfall)
    served = {unit.rule for gradient in resolution.gradients for unit in gradient.units}
    rules = [f"Rule {n}." for n in range(len(criteria))]
    assert len(resolution.conflicts) == len(pairs) and not resolution.skipped
    for one, other in pairs:
        assert not {rules[one], rules[other]} <= served
    for number, rule in enumerate(rules):
        rivals = [n for pair in pairs if number in pair for n in pair if n != number]
        stronger = [n for n in rivals if shortfall[criteria[n]] > shortfall[criteria[number]]]
        assert (rule in served) == (not any(rules[n] in served for n in stronger))


def test_a_criterion_that_cannot_be_measured_gives_way():
    resolution = resolved(("coherence", "fluency"), [(0, 1)], {"fluency": -0.1})
    assert [
        side.after for side in (resolution.conflicts[0].one, resolution.conflicts[0].other)
    ] == [
        None,
        "Rule 1.",
    ]


@pytest.mark.parametrize("raters", [False, True])
def test_what_is_worst_off_is_told_by_the_agreement_and_what_raters_permit(raters):
    class Skewed(Colliding):
        """Rates coherence the wrong way round."""

        def answer(self, system: str, user: str) -> str:
            said = super().answer(system, user)
            if role_of(system) != "judge":
                return said
            head, tail = said.split("[[ ## coherence ## ]]\n", 1)
            return f"{head}[[ ## coherence ## ]]\n{6 - int(tail[0])}{tail[1:]}"

    texts = toy_examples(RUBRIC, 12)
    engine = Skewed(UNITS, [PAIR])
    events = step(engine, resolve="prioritize", texts=rated_twice(texts) if raters else texts)
    (conflict,) = of(events, ConflictsFound)[0].conflicts
    assert conflict.other == Side("coherence", BRIEFER, BRIEFER)
    assert conflict.one == Side("fluency", LONGER, None)
    assert engine.calls["coach"] == 2
    assert LONGER not in str(advice_of(engine))
