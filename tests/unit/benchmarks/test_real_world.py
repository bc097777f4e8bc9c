"""The real-like world has SummEval's raters, noise that looks like errors, and rules that hurt."""

import json
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.self_tests.real_run import PROCEDURES, RECORDED, simulated
from benchmarks.worlds.cues import CUES, exception_for, owners_in, rules_of
from benchmarks.worlds.planted import planted_rubric, true_score
from benchmarks.worlds.real import NULL, REAL, RealWorld

RUBRIC = planted_rubric(*CUES)
NAMES = RUBRIC.names
ALL_CUES = [cue for cues in CUES.values() for cue in cues]
EXCEPTIONS = [exception_for(name, case) for name in CUES for case in range(1000, 1010)]


def instructions(rules):
    return "\n\n".join(
        f"### Criterion: {name}\n{' '.join(rule for rule, owner in rules.items() if owner == name)}"
        for name in NAMES
    )


def owned(rules):
    return owners_in("; ".join(rules))


def test_people_score_as_summevals_experts():
    texts = REAL.texts(RUBRIC, documents=600, per_document=1)
    for name, mean, best in (
        *(("coherence", 3.40, 0.06), ("consistency", 4.66, 0.82)),
        *(("fluency", 4.68, 0.72), ("relevance", 3.74, 0.04)),
    ):
        scores = np.array([text[RUBRIC[name].human] for text in texts])
        assert scores.mean() == pytest.approx(mean, abs=0.12)
        assert (scores == 5).mean() == pytest.approx(best, abs=0.06)


def test_another_seed_has_other_texts_and_the_same_has_the_same():
    first, again, other = (replace(REAL, seed=seed).texts(RUBRIC, 5, 2) for seed in (1, 1, 2))
    assert [dict(text) for text in first] == [dict(text) for text in again]
    assert not {text.output for text in first} & {text.output for text in other}


@given(st.sets(st.sampled_from(ALL_CUES)), st.sets(st.sampled_from(EXCEPTIONS)))
def test_cues_help_and_exceptions_never_do_where_nothing_crosses_over(cues, exceptions):
    world = replace(REAL, crossing=0.0)
    bare, helped, hurt = (
        [world.error_sd(name, instructions(owned(rules)), NAMES) for name in NAMES]
        for rules in ((), cues, cues | exceptions)
    )
    assert all(after <= before for before, after in zip(bare, helped, strict=True))
    assert all(after >= before for before, after in zip(helped, hurt, strict=True))


@given(st.sets(st.sampled_from(ALL_CUES + EXCEPTIONS)))
def test_nothing_helps_in_the_null_world(rules):
    text = instructions(owned(rules))
    assert NULL.agreement(text, NAMES) == NULL.agreement("", NAMES)


def test_rules_cross_over_in_a_call_for_all_alone():
    text = instructions(owned(ALL_CUES))
    joint = [REAL.error_sd(name, text, NAMES) for name in NAMES]
    apart = [REAL.error_sd(name, text, (name,)) for name in NAMES]
    assert joint != apart
    without = replace(REAL, crossing=0.0)
    assert [without.error_sd(name, text, NAMES) for name in NAMES] == apart


def test_a_better_judge_agrees_more():
    sds = (0.3, 0.5, 0.8, 1.2)
    for name in NAMES:
        values = [REAL.expected(name, sd) for sd in sds]
        assert values == sorted(values, reverse=True)


def test_a_right_judge_is_criticized_by_an_exception_and_a_wrong_one_by_cues():
    world = RealWorld(special=0.0)
    for text in world.texts(RUBRIC, 30, 1):
        truth, human = true_score("relevance", text.output), text[RUBRIC["relevance"].human]
        right, wrong = (
            world.feedback(text.output, {"relevance": judged - human})
            for judged in (truth, 5.0 if truth < 3 else 1.0)
        )
        assert not set(owned([right])) & set(ALL_CUES)
        assert len(rules_of("relevance", right)) == 1
        assert set(owned([wrong])) <= set(CUES["relevance"])


def test_an_error_teaches_a_critic_of_ours_and_a_foreign_reflection_the_same_kind_of_rule():
    world, said = RealWorld(special=0.0), "relevance: judge 1.5 too high"
    for text in world.texts(RUBRIC, 20, 1):
        ours = (
            f"[[ ## example ## ]]\n{text.output}\n\n[[ ## results ## ]]\n### relevance\n- error: "
        )
        critique = world.reply("[[ ## critique ## ]]", f"{ours}judge 1.5 too high")
        foreign = world.reply("", f"```Rate.``` {json.dumps(f'{text.output} {said}')}")
        counts = [[rule in ALL_CUES for rule in owners_in(reply)] for reply in (critique, foreign)]
        assert counts[0] == counts[1]


def test_a_reader_of_several_texts_leaves_out_some_rules_of_one_alone():
    single = [f"in case {n} the judge should {rule}" for n, rule in enumerate(EXCEPTIONS)]
    kept = [rule for rule in EXCEPTIONS if REAL.heeds(rule, single)]
    assert 10 < len(kept) < 30
    assert all(REAL.heeds(rule, [single[n], single[n]]) for n, rule in enumerate(EXCEPTIONS))
    assert all(REAL.heeds(rule, [single[n]]) for n, rule in enumerate(EXCEPTIONS))


@pytest.mark.slow
def test_the_recorded_runs_come_out_as_recorded():
    """Ours by the paper's protocol, and GEPA, which the world was not set by, end as they did."""
    for procedure, cap in PROCEDURES:
        runs = [simulated(procedure, cap, seed) for seed in range(24)]
        assert fmean(run.start for run in runs) == pytest.approx(0.644, abs=0.015)  # .633 and .655
        assert fmean(run.true for run in runs) == pytest.approx(RECORDED[1], abs=0.02)
        chosen_by = [run.printed for run in runs]
        assert fmean(chosen_by) < RECORDED[0] < fmean(chosen_by) + 2 * np.std(chosen_by)
