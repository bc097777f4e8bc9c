"""The suite finds what was planted, and nothing where nothing was."""

import json

import pytest

from benchmarks.dilution.lm_rater import open_rater
from benchmarks.self_tests.calibration import (
    CRITERIA,
    WorldRater,
    crowding_coverage,
    dilution_coverage,
    true_crowding,
)
from benchmarks.worlds.cues import CUES
from benchmarks.worlds.planted import PlantedWorld, planted_lm, planted_rubric
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.reply_cache import replies_kept_in

WORLDS = 50  # for each of four
HELD = 45  # of 50 intervals of 95 %


@pytest.mark.slow
@pytest.mark.parametrize(
    ("coverage", "planted"),
    [
        (dilution_coverage, 0.0),
        (dilution_coverage, 0.4),
        (crowding_coverage, 0.0),
        (crowding_coverage, 0.6),
    ],
)
def test_intervals_hold_what_was_planted(coverage, planted):
    found = coverage(planted, WORLDS)
    assert found.worlds == WORLDS
    assert found.covered >= HELD
    if planted:
        assert found.established > WORLDS / 2
    else:
        assert found.established <= WORLDS - HELD


def test_what_is_not_planted_is_not_there():
    assert true_crowding(0.0) == pytest.approx(0.0, abs=1e-12)
    assert true_crowding(0.6) < true_crowding(0.3) < -0.03


@pytest.mark.parametrize("scope", [CRITERIA, CRITERIA[:1]], ids=["joint", "separate"])
def test_a_share_of_joint_advice_is_lost_and_none_of_separate(scope):
    world, diluted = PlantedWorld(dilution=0.0), PlantedWorld(dilution=0.5)
    kept = lost = 0
    for number in range(300):
        read = world.feedback(f"example {number}", dict.fromkeys(scope, 1.0))
        before = [cue for name in scope for cue in CUES[name] if cue in world.advice(scope, read)]
        after = [cue for cue in before if cue in diluted.advice(scope, read)]
        kept, lost = kept + len(after), lost + len(before) - len(after)
    share = lost / (kept + lost)
    assert share == (pytest.approx(0.5, abs=0.05) if len(scope) > 1 else 0.0)


def test_rating_directly_is_rating_through_the_lm():
    world = PlantedWorld(seed=3)
    units = [f"Tell the judge to {cue}, as case 1234 shows." for cue in CUES["fluency"]]
    rater = open_rater(planted_lm(world), planted_rubric(*CRITERIA), Ledger(), 2)
    with replies_kept_in(None):
        assert rater.rate(units) == WorldRater(world).rate(units)


def test_a_length_is_kept_to():
    world = PlantedWorld()
    read = world.feedback("example", dict.fromkeys(CRITERIA, 1.0))
    assert len(json.dumps(world.advice(CRITERIA, read, 10))) < len(world.advice(CRITERIA, read, 40))
