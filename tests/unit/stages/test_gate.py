"""A gate compares two agreements; what it cannot compare must not win."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogradjudge.agreement import Deviation, Undefined
from mogradjudge.errors import SetupError
from mogradjudge.programs.evaluation import Agreement
from mogradjudge.settings import GATES
from mogradjudge.stages.gate import (
    AlwaysAccept,
    NoCriterionRegression,
    NoMeanRegression,
    gate_as_dict,
    gate_name,
    make_gate,
    measures_less,
    that_hold,
)

NONE = Undefined("all human scores are equal")
MEAN, EACH, LOOSE = NoMeanRegression(), NoCriterionRegression(), NoCriterionRegression(0.1)


def agreement(*values: float | Undefined, unscored: tuple[int, ...] = ()) -> Agreement:
    names = [f"c{place}" for place in range(len(values))]
    nothing = dict.fromkeys(names, 0)
    left_out = nothing | dict(zip(names, unscored, strict=False))
    return Agreement(dict(zip(names, values, strict=True)), nothing, left_out, nothing, nothing)


@pytest.mark.parametrize(
    ["current", "proposed", "mean", "each", "loose"],
    [
        # the values of two criteria              by the mean, by each, by each within 0.1
        ((0.2, 0.4), (0.2, 0.4), True, True, True),
        ((0.2, 0.4), (0.3, 0.5), True, True, True),
        ((0.2, 0.4), (0.11, 0.31), False, False, True),
        ((0.2, 0.4), (0.9, 0.35), True, False, True),
        ((0.2, 0.4), (0.9, 0.2), True, False, False),
        ((0.2, 0.4), (0.09, 0.6), True, False, False),
        ((-0.2, 0.0), (-0.1, 0.0), True, True, True),
        ((NONE, 0.4), (NONE, 0.4), True, True, True),
        ((NONE, 0.4), (0.0, 0.4), True, True, True),
        ((NONE, 0.4), (0.9, 0.4), True, True, True),
        ((0.4, 0.4), (NONE, 0.4), False, False, False),
        ((0.1, 0.4), (NONE, 0.9), False, False, False),
        ((0.2, 0.4), (NONE, NONE), False, False, False),
        ((NONE, NONE), (0.1, 0.1), True, True, True),
        ((NONE, NONE), (-0.9, -0.9), True, True, True),
        ((NONE, NONE), (NONE, NONE), False, True, True),
    ],
)
def test_the_table_of_decisions(current, proposed, mean, each, loose):
    before, after = agreement(*current), agreement(*proposed)
    assert [MEAN(before, after), EACH(before, after), LOOSE(before, after)] == [mean, each, loose]
    assert AlwaysAccept()(before, after)


@pytest.mark.parametrize(
    ["before", "after", "less"],
    [
        ((0, 0), (0, 0), False),
        ((2, 0), (0, 0), False),
        ((0, 0), (1, 0), True),
        ((2, 0), (1, 1), True),  # the sum alone would not tell
        ((2, 1), (2, 1), False),
    ],
)
def test_a_candidate_that_leaves_more_texts_unscored_cannot_win_by_the_rest(before, after, less):
    current, better = agreement(0.2, 0.2, unscored=before), agreement(0.9, 0.9, unscored=after)
    assert measures_less(current, better) is less
    assert [gate(current, better) for gate in (MEAN, EACH, LOOSE)] == [not less] * 3
    assert AlwaysAccept()(current, better)


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=4),
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
)
def test_what_passes_on_every_criterion_passes_on_the_mean(before, shifts):
    after = [min(1.0, value + abs(shift)) for value, shift in zip(before, shifts, strict=False)]
    assert EACH(agreement(*before), agreement(*after))
    assert MEAN(agreement(*before), agreement(*after))


def biased(value: float, bias: float, error: float | None = 0.1) -> Agreement:
    return replace(agreement(value, value), deviations={"c0": Deviation(bias, abs(bias), error)})


@pytest.mark.parametrize(
    ["before", "after", "holds"],
    [
        (biased(0.5, 0.1), biased(0.5, 0.3), False),
        (biased(0.5, 0.1), biased(0.5, -0.3), False),  # its sign does not matter
        (biased(0.5, -0.3), biased(0.5, 0.1), True),
        (biased(0.5, 0.1), biased(0.5, 0.19), True),  # within its standard error
        (biased(0.5, 0.1), biased(0.51, 0.9), True),  # no tie
        (biased(0.5, 0.1), biased(0.5, 0.3, None), True),  # of one document
        (biased(0.5, 0.1), agreement(0.5, 0.5), True),
    ],
)
def test_a_candidate_whose_bias_grows_loses_ties(before, after, holds):
    assert [gate(before, after) for gate in (MEAN, EACH, LOOSE)] == [holds] * 3
    assert ("c0" in that_hold(before, after)) is holds
    assert AlwaysAccept()(before, after)


def test_a_fall_that_is_allowed_is_no_tie():
    assert LOOSE(biased(0.5, 0.1), biased(0.45, 0.9))
    assert not MEAN(biased(0.5, 0.1), biased(0.45, 0.9))


def test_a_negative_tolerance_is_refused():
    with pytest.raises(SetupError, match=r"`tolerance` must be >= 0, got -0\.1"):
        NoCriterionRegression(-0.1)


def test_each_gate_has_a_name():
    assert make_gate("mean") == NoMeanRegression()
    assert make_gate("criterion") == NoCriterionRegression()
    assert make_gate("none") == AlwaysAccept()
    assert tuple(gate_name(make_gate(name)) for name in GATES) == GATES
    assert make_gate("criterion", tolerance=0.1) == LOOSE
    assert gate_name(LOOSE) == "criterion"


def test_a_gate_of_ones_own_has_no_name():
    def mine(current, proposed):
        return True

    assert gate_name(mine) is None
    assert gate_as_dict(mine)["name"].endswith("mine")
    assert gate_as_dict(LOOSE) == {"name": "NoCriterionRegression", "tolerance": 0.1}


@pytest.mark.parametrize(
    ["name", "tolerance", "words"],
    [
        ("best", 0.0, f"`gate` must be one of {', '.join(GATES)}, got 'best'"),
        ("mean", 0.1, "`tolerance` goes with the gate 'criterion'"),
        ("none", -0.1, "`tolerance` goes with the gate 'criterion'"),
        ("criterion", -0.1, "`tolerance` must be >= 0"),
    ],
)
def test_a_gate_that_cannot_be_made_is_refused(name, tolerance, words):
    with pytest.raises(SetupError, match=words):
        make_gate(name, tolerance=tolerance)
