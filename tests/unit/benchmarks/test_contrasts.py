"""Contrasts of arms and what is said of them, on steps that are made by hand."""

import pytest

from benchmarks.dilution.arms import JOINED, LONG, SEPARATE
from benchmarks.dilution.calibration import UNCALIBRATED, Calibration, Line
from benchmarks.dilution.causal import causal_contrasts, skipped_note
from benchmarks.dilution.contrasts import DILUTION, contrasts_of, masking_contrast, text_contrasts
from benchmarks.dilution.trust import UNTESTED
from benchmarks.dilution.verdicts import mean_claim, relative_claim
from benchmarks.dilution.whole_texts import trust_in_ratings

CRITERIA = ("coherence", "fluency")
RATER, HIDDEN = "LM rater", "LM rater, names masked"
GOOD, FLAT, WEAK = (Line(*of, 30, 0.01) for of in ((0.9, 0, 1), (None, 0.3, 0), (0.5, 0.1, 0.4)))


def text(arm, target, value, words, rater=RATER, example="x"):
    focus = {
        "actionable": value,
        "expected_yield": float(value),
        "actionable_per_100_tokens": 100 * value / words,
        "share_by_units": 0.5,
    }
    return {
        "arm": arm,
        "target": target,
        "rater": rater,
        "example": example,
        "words": words,
        "actionable_units": 4,
        "by_criterion": dict.fromkeys(CRITERIA, focus),
    }


def step(number, *, length=80, separate=3, joint=1, rater=RATER):
    more = number % 3
    separate_texts = [text(SEPARATE, name, separate + more, 40, rater) for name in CRITERIA]
    joined = text(JOINED, None, separate + more, 80, rater)
    return {"texts": [*separate_texts, joined, text(LONG, None, joint, length, rater)]}


def calibration(rater=RATER, **lines):
    own = {"coherence": GOOD, "fluency": GOOD, **lines}
    return Calibration(
        *(rater, CRITERIA, GOOD, own, {0.0: 0.0, 1.0: 1.0}, True, 0.0, 0.9, GOOD, own)
    )


def main_of(steps, tested):
    found = contrasts_of(steps, RATER, tested, CRITERIA, 2)
    return next(each for each in found if DILUTION.is_that_of(each))


def test_lengths_are_told_and_are_called_equal_only_if_they_are():
    steps = [step(n) for n in range(6)]
    equal = main_of(steps, calibration())
    assert equal.name == DILUTION.name
    assert "C-long has 1.00 times the words of S joined" in equal.mean.note
    for length, ratio in ((60, "0.75"), (100, "1.25")):
        other = main_of([step(n, length=length) for n in range(6)], calibration())
        assert "lengths differ" in other.mean.name and "at equal length" not in other.mean.name
        assert f"{ratio} times" in other.mean.note
        assert other.mean.estimate == equal.mean.estimate
    for each in steps:
        each["texts"] = [one for one in each["texts"] if one["arm"] != JOINED]
    assert "lengths unknown" in main_of(steps, calibration()).mean.name


def test_density_is_compared_whatever_the_length():
    found = contrasts_of([step(n, length=40) for n in range(6)], RATER, calibration(), CRITERIA, 2)
    (density,) = [e for e in found if (e.measure, e.arms) == ("density", (JOINED, LONG))]
    assert density.mean.estimate == pytest.approx(100 * (4 / 80 - 1 / 40))


@pytest.mark.parametrize("bad", [FLAT, WEAK, None])
def test_a_criterion_that_the_rater_fails_on_is_marked_and_left_out(bad):
    lines = {"coherence": GOOD} | ({"fluency": bad} if bad else {})
    tested = calibration()
    for own in (tested.by_criterion, tested.yields_by_criterion):
        own.clear()
        own.update(lines)
    found = main_of([step(n) for n in range(6)], tested)
    assert found.calibrated and found.marks == {"fluency": UNCALIBRATED}
    assert found.by_criterion["fluency"].name.startswith(UNCALIBRATED)
    assert not found.by_criterion["coherence"].name.startswith(UNCALIBRATED)
    assert found.mean.estimate == found.by_criterion["coherence"].estimate
    assert not found.mean.name.startswith(UNCALIBRATED)
    assert f"without fluency ({UNCALIBRATED})" in found.mean.note


def test_if_all_criteria_fail_the_mean_is_of_all_and_marked():
    found = main_of([step(n) for n in range(6)], calibration(coherence=WEAK, fluency=WEAK))
    assert not found.calibrated and found.mean.name.startswith(UNCALIBRATED)
    assert set(found.marks) == set(CRITERIA) and "without" not in found.mean.note


def test_counts_that_say_otherwise_are_noted():
    steps = [step(n, separate=3, joint=4) for n in range(6)]
    for each in steps:
        each["texts"][-1]["actionable_units"] = 8  # wrong labels come from more of them
    added = Line(0.9, 0.5, 0.5, 30, 0.01)
    found = main_of(steps, calibration(coherence=added, fluency=added))
    assert found.mean.estimate > 0
    assert "as counted it is +0.000" in found.mean.note
    assert "as counted" not in main_of([step(n) for n in range(6)], calibration()).mean.note


def test_the_intercepts_error_widens_the_difference_and_the_ratio():
    steps = [step(n) for n in range(6)]
    unsure = Line(0.9, 0.0, 1.0, 30, 0.5)
    sure, wide = (
        main_of(steps, calibration(coherence=line, fluency=line)) for line in (GOOD, unsure)
    )
    # Both arms have 4 units, so that the error cancels in the difference, and not in the ratio.
    assert wide.mean.high == pytest.approx(sure.mean.high)
    assert wide.relative.high > sure.relative.high


def test_masked_and_plain_labels_are_paired_by_step():
    plain = [step(n, separate=3 + n) for n in range(5)]
    hidden = [step(n, separate=3 + n, rater=HIDDEN) for n in range(5)]
    lost = {"texts": [each for each in hidden[0]["texts"] if each["arm"] != LONG]}
    gone = {"texts": [each for each in plain[4]["texts"] if each["arm"] != LONG]}
    steps = [
        {"texts": [*one["texts"], *other["texts"]]}
        for one, other in zip([*plain[:4], gone], [lost, *hidden[1:]], strict=True)
    ]
    tested = {name: calibration(name) for name in (RATER, HIDDEN)}
    found = masking_contrast(steps, (RATER, HIDDEN), tested, CRITERIA)
    assert found.values == (0.0, 0.0, 0.0)  # by their places 1, 2, 3, 4 less 0, 1, 2, 3
    assert found.calibrated
    tested[HIDDEN] = calibration(HIDDEN, fluency=WEAK)
    assert masking_contrast(steps, (RATER, HIDDEN), tested, CRITERIA).marks == {
        "fluency": UNCALIBRATED
    }


def test_ratings_of_whole_texts_go_by_a_test_of_their_own():
    rated = {"arm": SEPARATE, "example": "x", "criterion": "fluency", "rating": 9.0}
    steps = [{"holistic": [rated, {**rated, "arm": LONG, "rating": 4.0}], "adherence": []}] * 4
    steps = [{**each, "adherence": [rated, {**rated, "arm": LONG}]} for each in steps]
    passed = {"rho": 0.9, "monotone": True}
    tests = {
        UNTESTED: None,
        UNCALIBRATED: {**passed, "monotone": False, "by_criterion": {"fluency": passed}},
        "": {**passed, "by_criterion": {"fluency": passed}},
    }
    for mark, test in tests.items():
        trust = trust_in_ratings(test, CRITERIA)
        holistic, adherence = text_contrasts(steps, RATER, CRITERIA, trust)
        assert holistic.marks.get("fluency", "") == mark
        assert holistic.mean.name.startswith(mark or "holistic")
        assert adherence.mean.name.startswith(UNTESTED)


def tried(agreement, seed=0.3, arm=LONG, criterion="fluency", **more):
    return {"criterion": criterion, "arm": arm, "rater": RATER}, {
        "agreement": agreement,
        "seed": seed,
        "share": 0.5,
        "actionable": 1,
        **more,
    }


def test_gains_on_one_seed_scoring_are_told_and_never_judged():
    cells = [
        tried({"on topic": 0.5 + n / 100, "off topic": 0.2 + n * n / 300, "all": 0.5})
        for n in range(8)
    ]
    found = {each.arms: each for each in causal_contrasts(cells, CRITERIA) if LONG in each.name}
    assert found["on topic", "off topic"].mean.verdict == "established"
    gain = found["on topic", "seed"]
    assert {gain.mean.verdict, gain.by_criterion["fluency"].verdict} == {"refused"}
    assert "+0.235, descriptive: one seed scoring is common" in gain.mean.note
    (marked,) = [
        each
        for each in causal_contrasts(cells, ("coherence",))
        if LONG in each.name and each.arms == ("on topic", "off topic")
    ]
    assert marked.mean.name.startswith(UNCALIBRATED)


def test_parts_that_the_editor_skipped_are_counted_also_where_old_cells_do_not_tell():
    assert skipped_note([tried({})]) == ""
    found = skipped_note([tried({}), tried({}, skipped=["all", "on topic"]), tried({}, skipped=[])])
    assert found == "The editor gave no section for 2 parts of gradients: left out."


def test_a_ratio_is_judged_by_the_rule_of_all_claims():
    first = [2.0, 3.0, 4.0, 2.5, 3.5, 3.0]
    near = [a + e for a, e in zip(first, (0.05, -0.06, 0.02, -0.03, 0.04, -0.02), strict=True)]
    assert relative_claim("lost", first, near, bound=0.1).verdict == "equivalent"
    assert relative_claim("lost", first, near).verdict == "not established"
    assert relative_claim("lost", first, first, bound=0.1).verdict == "not established"


def test_what_clusters_have_in_common_does_not_stand_for_their_spread():
    assert mean_claim("gain", [0.0] * 6, 0.5, 0.01).verdict == "not established"
