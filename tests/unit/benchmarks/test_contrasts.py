"""What arms lose and what is said of it, on steps that are made by hand."""

from dataclasses import replace

import pytest

from benchmarks.dilution.arms import JOINED, LONG, SEPARATE, WRITTEN, Advice
from benchmarks.dilution.calibration import UNCALIBRATED, Calibration, Curve, Line
from benchmarks.dilution.causal import causal_claims, skipped_note
from benchmarks.dilution.contrasts import (
    EQUIVALENT,
    PATH,
    PRIMARY,
    SHARE,
    WHOLE_STEP,
    YIELD,
    decompositions_of,
    losses_of,
    masking_of,
)
from benchmarks.dilution.measures import CriterionFocus, TextFocus
from benchmarks.dilution.observed import Measured, Observed, Step
from benchmarks.dilution.verdicts import mean_claim, relative_claim

CRITERIA = ("coherence", "fluency")
RATER, HIDDEN = "LM rater", "LM rater, names masked"
GOOD, FLAT, WEAK = (Line(*of, 30, 0.01) for of in ((0.9, 0, 1), (None, 0.3, 0), (0.5, 0.1, 0.4)))


def text(arm, target, value, words, rater=RATER, units=4):
    focus = CriterionFocus(share=0.5 if arm == SEPARATE else 0.2, actionable=value)
    whole = TextFocus(dict.fromkeys(CRITERIA, focus), units, units, 0, words)
    return Measured(Advice(arm, "x", target, ""), rater, whole)


def step(number, *, length=80, separate=3, joint=1, rater=RATER, units=4):
    more = number % 3
    texts = [text(SEPARATE, name, separate + more, 40, rater) for name in CRITERIA]
    texts.append(text(JOINED, None, separate + more, 80, rater))
    texts += [
        text(arm, None, joint, length if arm == LONG else 40, rater, units) for arm in WRITTEN[1:]
    ]
    return Step({}, [], texts, (), (), {})


def curve(**lines):
    own = {"coherence": GOOD, "fluency": GOOD, **lines}
    return Curve(GOOD, own, {0.0: 0.0, 1.0: 1.0})


def seen(steps, *, shares=None, yields=None, whole=None, rho=0.9, tested=(RATER, HIDDEN)):
    calibration = Calibration(shares or curve(), yields or curve(), rho)
    raters = dict.fromkeys(text.rater for of in steps for text in of.texts)
    return Observed(
        steps, dict.fromkeys(raters, CRITERIA), dict.fromkeys(tested, calibration), whole
    )


def main_of(observed):
    return next(loss for loss in losses_of(observed, RATER) if loss.arms == PRIMARY)


def test_lengths_are_told_and_said_to_differ_where_they_do():
    steps = [step(n) for n in range(6)]
    equal = main_of(seen(steps))
    assert "1.00 times" in equal.share.note and "differ" not in equal.share.note
    for length, ratio in ((60, "0.75"), (100, "1.25")):
        other = main_of(seen([step(n, length=length) for n in range(6)]))
        assert f"{ratio} times" in other.share.note and "lengths differ" in other.share.note
        assert other.difference.estimate == equal.difference.estimate
    alone = [
        replace(of, texts=[one for one in of.texts if one.advice.arm != JOINED]) for of in steps
    ]
    assert main_of(seen(alone)).share.note == ""


@pytest.mark.parametrize("bad", [FLAT, WEAK])
def test_a_criterion_that_the_rater_fails_on_is_left_out(bad):
    observed = seen([step(n) for n in range(6)], yields=curve(fluency=bad))
    loss = main_of(observed)
    assert loss.passed == ("coherence",)
    only = replace(observed, knows={RATER: ("coherence",)})
    assert loss.difference == main_of(only).difference
    assert UNCALIBRATED not in loss.difference.name


@pytest.mark.parametrize(
    "change",
    [
        {"yields": curve(coherence=WEAK, fluency=WEAK)},
        {"rho": 0.7},
        {"rho": None},
        {"shares": Curve(GOOD, dict.fromkeys(CRITERIA, GOOD), {0.0: 1.0, 1.0: 0.5})},
        {"tested": ()},
    ],
)
def test_where_no_criterion_passed_all_count_and_the_claims_are_marked(change):
    loss = main_of(seen([step(n) for n in range(6)], **change))
    assert loss.passed == ()
    assert loss.difference.name.startswith(UNCALIBRATED)
    assert loss.share.name.startswith(UNCALIBRATED)
    assert loss.difference.n == 6


def test_a_longer_text_is_not_credited_with_what_wrong_labels_add():
    steps = [step(n, separate=3, joint=4, units=8) for n in range(6)]
    added = Line(0.9, 0.5, 0.5, 30, 0.01)
    found = main_of(seen(steps, yields=Curve(added, {}, {0.0: 0.5, 1.0: 1.0})))
    assert found.difference.estimate > 0  # as counted there is none


def test_the_intercepts_error_widens_the_difference_and_the_ratio():
    steps, unsure = [step(n) for n in range(6)], Line(0.9, 0.0, 1.0, 30, 0.5)
    sure, wide = (
        main_of(seen(steps, yields=curve(coherence=line, fluency=line))) for line in (GOOD, unsure)
    )
    # Both arms have 4 units, so that the error cancels in the difference, and not in the ratio.
    assert wide.difference.high == pytest.approx(sure.difference.high)
    assert wide.share.high > sure.share.high


def test_masked_and_plain_labels_are_paired_by_step():
    plain = [step(n, separate=3 + n) for n in range(5)]
    hidden = [step(n, separate=3 + n, rater=HIDDEN) for n in range(5)]

    def without_long(of):
        return replace(of, texts=[one for one in of.texts if one.advice.arm != LONG])

    plain[4], hidden[0] = without_long(plain[4]), without_long(hidden[0])
    steps = [
        replace(one, texts=[*one.texts, *other.texts])
        for one, other in zip(plain, hidden, strict=True)
    ]
    found = masking_of(seen(steps), RATER)
    assert (found.n, found.estimate) == (3, 0.0)  # steps 1, 2, 3
    assert masking_of(seen(plain), RATER) is None


def rated(arm, value, example="x", criterion="fluency"):
    return {"arm": arm, "example": example, "criterion": criterion, "rating": value}


def test_the_parts_of_a_difference_add_up_exactly():
    values = dict(zip(PATH, (9.0, 5.0, 4.5, 4.0, 3.7), strict=True))
    steps = []
    for number in range(6):
        whole = [rated(arm, value - number % 2, None) for arm, value in values.items()]
        whole += [rated(arm, 1.0, "x") for arm in values]
        whole.append(rated(SEPARATE, 10.0, None, "coherence"))  # the other arms have none
        steps.append(replace(step(number), whole=whole))
    found = {of.measure: of for of in decompositions_of(seen(steps, whole=curve()))}
    of = found[WHOLE_STEP]
    assert of.means == pytest.approx([value - 0.5 for value in values.values()])
    assert [part.estimate for part in of.parts] == pytest.approx([4.0, 0.5, 0.5, 0.3])
    assert {SHARE, YIELD} <= set(found)
    for one in found.values():
        parts = sum(part.estimate for part in one.parts)
        assert parts == pytest.approx(one.total.estimate) == one.means[0] - one.means[-1]


def test_a_failed_test_corrects_nothing():
    steps = [step(n) for n in range(6)]
    found = {}
    for line in (WEAK, GOOD):
        curves = curve(coherence=line, fluency=line)
        of = decompositions_of(seen(steps, shares=curves, yields=curves))
        found[line] = {it.measure: it.means for it in of}
    assert found[WEAK] == found[GOOD]  # GOOD's line leaves all as it is
    assert max(found[WEAK][SHARE]) <= 10


def test_ratings_of_whole_texts_go_by_a_test_of_their_own():
    whole = [rated(arm, 5.0, None) for arm in PATH]
    steps = [replace(step(n), whole=whole) for n in range(6)]
    for test, passed in ((None, ()), (curve(fluency=WEAK), ("coherence",)), (curve(), CRITERIA)):
        of = [it for it in decompositions_of(seen(steps, whole=test)) if it.measure == WHOLE_STEP]
        if passed == ("coherence",):
            assert not of  # no text was rated on it
            continue
        assert of[0].passed == passed
        assert of[0].total.name.startswith(UNCALIBRATED) is not bool(passed)


def tried(agreement, arm=LONG, criterion="fluency"):
    return {"criterion": criterion, "arm": arm, "rater": RATER}, {"agreement": agreement}


def test_parts_of_gradients_are_compared_on_the_criteria_that_the_rater_passed_on():
    cells = [
        tried({"on topic": 0.5 + n / 100, "off topic": 0.2 + n * n / 300, "all": 0.5})
        for n in range(8)
    ]
    cells.append(tried({"on topic": 0.0, "off topic": 0.9}, criterion="coherence"))
    found = {claim.name: claim for claim in causal_claims(cells, ("fluency",))}
    claim = found[f"agreement, on topic minus off topic, edits by units of {LONG}"]
    assert (claim.verdict, claim.n) == ("established", 8)
    assert all(it.name.startswith(UNCALIBRATED) for it in causal_claims(cells, ()))


def test_parts_that_the_editor_skipped_are_counted():
    assert skipped_note([]) == skipped_note([{"skipped": []}]) == ""
    found = skipped_note([{"skipped": []}, {"skipped": ["all", "on topic"]}])
    assert found == "The editor gave no section for 2 parts of gradients: left out."


def test_a_ratio_is_judged_by_the_rule_of_all_claims():
    first = [2.0, 3.0, 4.0, 2.5, 3.5, 3.0]
    near = [a + e for a, e in zip(first, (0.05, -0.06, 0.02, -0.03, 0.04, -0.02), strict=True)]
    assert relative_claim("lost", first, near, bound=EQUIVALENT).verdict == "equivalent"
    assert relative_claim("lost", first, near).verdict == "not established"
    assert relative_claim("lost", first, first, bound=0.1).verdict == "not established"


def test_what_clusters_have_in_common_does_not_stand_for_their_spread():
    assert mean_claim("gain", [0.0] * 6, 0.5, 0.01).verdict == "not established"
