"""The planted world has conflicts and families, and its model reads what it says from prompts."""

import json

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.worlds.conflicts import conflicts_in, projected, rivals_of
from benchmarks.worlds.cues import CUES, narrowed, owners_in, rules_of
from benchmarks.worlds.planted import PlantedEngine, PlantedWorld, planted_rubric
from mogradjudge import MOGrad, MultiCriteriaJudge

OWNERS = {cue: name for name, cues in CUES.items() for cue in cues}
NAMES = tuple(CUES)
FAMILIES = (("coherence", "relevance"), ("consistency", "fluency"))


def instructions(*rules):
    owners = owners_in("; ".join(rules))
    texts = {name: [rule for rule in rules if owners[rule] == name] for name in NAMES}
    return "\n\n".join(f"### Criterion: {name}\n{'; '.join(it)}" for name, it in texts.items())


def error(world, name, *rules, criteria=NAMES):
    return world.error_sd(name, instructions(*rules), criteria)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@given(seed=st.integers(0, 1000))
def test_so_many_rules_have_a_rival_each_for_another_criterion(share, seed):
    rivals = rivals_of(share, seed)
    assert abs(len(rivals) - share * len(OWNERS)) < 2
    assert all(OWNERS[one] != OWNERS[other] for one, other in rivals.items())
    assert all(rivals[other] == one for one, other in rivals.items())


def test_rivals_undo_each_other_in_one_prompt_alone_until_one_is_narrowed():
    world = PlantedWorld(conflicts=0.3)
    one, other = next(iter(rivals_of(0.3, 0).items()))
    name, rest = OWNERS[one], OWNERS[other]
    bare, helped = error(world, name), error(world, name, one)
    assert helped < bare == error(world, name, one, other)
    assert error(world, name, one, other, criteria=(name,)) == helped
    assert error(world, name, one, narrowed(other, rest)) == helped
    assert error(world, rest, one, narrowed(other, rest)) == error(world, rest)
    both = narrowed(one, name), narrowed(other, rest)
    assert helped < error(world, name, *both) < bare


@pytest.mark.parametrize("name", NAMES)
def test_a_narrowed_rule_is_one_rule_and_gives_way_to_the_whole_one(name):
    cue = CUES[name][0]
    assert rules_of(name, narrowed(cue, name)) == [narrowed(cue, name)]
    assert rules_of(name, f"{narrowed(cue, name)}; {cue}") == [cue]
    kept = PlantedWorld().rewritten({name: f"Rate. {narrowed(cue, name)}."}, "Keep all.")
    assert rules_of(name, kept[name]) == [narrowed(cue, name)]


def test_kin_help_and_strangers_hurt():
    world = PlantedWorld(interference=0.5, kinship=0.2, families=FAMILIES)
    alone = error(world, "coherence")
    assert error(world, "coherence", *CUES["relevance"]) == pytest.approx(alone - 0.2)
    assert error(world, "coherence", *CUES["fluency"]) == pytest.approx(alone + 0.25)
    assert error(world, "coherence", *CUES["fluency"], criteria=FAMILIES[0]) == alone
    whole = instructions(*OWNERS)
    split, together, apart = (
        world.agreement(whole, NAMES, layout)
        for layout in ("coherence+relevance | consistency+fluency", "combined", "separate")
    )
    assert split > apart > together


def test_a_coach_of_one_family_is_not_diluted():
    world = PlantedWorld(dilution=1.0, families=FAMILIES)
    read = "\n".join(f"The judge should {cue}." for cue in CUES["fluency"])
    critiques = f"### text 1\n- critique: {read}"
    kin, strangers = (
        world.advice(names, critiques) for names in (FAMILIES[1], ("fluency", "relevance"))
    )
    assert rules_of("fluency", kin)
    assert not owners_in(strangers)


def never(*_):
    return 0.99


def test_the_units_of_a_prompt_alone_say_which_conflict():
    one, other = next(iter(rivals_of(0.3, 0).items()))
    units = {"1": one, "2": other, "3": next(cue for cue in OWNERS if cue not in rivals_of(0.3, 0))}
    advice = "\n".join(
        f"- {number}: {OWNERS[cue]}, add: Tell the judge to {cue}." for number, cue in units.items()
    )
    pairs = conflicts_in(advice, rivals_of(0.3, 0), never)
    assert [(pair["one"], pair["other"]) for pair in pairs] == [(1, 2)]
    assert conflicts_in(advice, {}, never) == []
    assert conflicts_in(advice, rivals_of(0.3, 0), lambda *_: 0.0) != pairs  # it errs


def test_a_projected_unit_is_about_its_own_criterion():
    cue = CUES["fluency"][0]
    advice = f"### 7\n- advice: fluency, add: Tell the judge to {cue}.\n\n#### would undo\n1. Hm."
    rule = f"Tell the judge to {narrowed(cue, 'fluency')}."
    assert projected(advice) == [{"number": 7, "rule": rule}]


@pytest.mark.parametrize("resolve", ["project", "prioritize"])
def test_our_optimizer_resolves_conflicts_in_the_planted_world(resolve):
    world, rubric = PlantedWorld(conflicts=1.0), planted_rubric(*NAMES)
    engine, texts = PlantedEngine(world), world.texts(rubric, 8, 1)
    with dspy.context(lm=dspy.LM("planted/world", engine=engine, temperature=0.0)):
        MOGrad(steps=1, resolve=resolve, confirm="off", display_progress=False).optimize(
            MultiCriteriaJudge(rubric), trainset=texts[:4], valset=texts[4:]
        )
    asked_for = json.dumps([system for _, system, _ in engine.prompts])
    advised = next(user for role, _, user in engine.prompts if role == "editor")
    assert "[[ ## conflicts ## ]]" in asked_for
    assert (" alone" in advised) == (resolve == "project")


def test_without_conflicts_and_families_all_others_interfere():
    plain = PlantedWorld(interference=0.2)
    assert error(plain, "fluency", *OWNERS) == pytest.approx(1.6 * 0.4 + 0.2)
