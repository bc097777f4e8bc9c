"""The four modes are four values: which criteria share a call, and what that costs."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogradjudge.decomposition import MODES, DecompositionMode, Scope, StageCalls, inside
from mogradjudge.errors import SetupError

TRIPLES = ["".join(letters) for letters in product("SC", repeat=3)]
LEGAL = ["SSS", "SSC", "SCC", "CCC"]
GROUPS = st.lists(
    st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=5, unique=True
).map(tuple)


def test_the_modes_are_four_in_the_order_of_how_much_is_shared():
    assert list(MODES) == LEGAL


@pytest.mark.parametrize("name", LEGAL)
def test_a_legal_mode_reads_and_writes_its_three_letters(name):
    assert DecompositionMode.parse(name) == MODES[name]
    assert MODES[name].name == str(MODES[name]) == name


@pytest.mark.parametrize("name", [name for name in TRIPLES if name not in LEGAL])
def test_a_combined_stage_cannot_feed_a_separate_one(name):
    with pytest.raises(SetupError, match="SSS, SSC, SCC, CCC"):
        DecompositionMode.parse(name)
    with pytest.raises(SetupError, match=f"cannot feed a separate one, got mode '{name}'"):
        DecompositionMode(*(Scope(letter) for letter in name))


@pytest.mark.parametrize("name", ["", "ssc", "SS", "SSCC", "XYZ", "SSS, SSC"])
def test_what_is_no_mode_is_refused_by_name(name):
    with pytest.raises(SetupError, match="`mode` must be one of SSS, SSC, SCC, CCC"):
        DecompositionMode.parse(name)


def test_separate_groups_hold_one_criterion_each_and_a_combined_one_holds_all_in_order():
    criteria = ("fluency", "coherence", "relevance")
    assert Scope.SEPARATE.groups(criteria) == (("fluency",), ("coherence",), ("relevance",))
    assert Scope.COMBINED.groups(criteria) == (criteria,)


def test_a_record_is_inside_a_group_that_holds_all_its_criteria():
    assert inside(("a",), ("a", "b"))
    assert inside(("b", "a"), ("a", "b"))
    assert not inside(("a", "b"), ("a",))
    assert not inside(("ab",), ("a", "b"))


@given(st.sampled_from(LEGAL), GROUPS)
def test_each_group_of_a_stage_lies_inside_one_group_of_the_next(name, criteria):
    mode = MODES[name]
    stages = [stage.groups(criteria) for stage in (mode.loss, mode.gradient, mode.optimizer)]
    for groups, following in pairwise(stages):
        for group in groups:
            assert sum(inside(group, outer) for outer in following) == 1


@given(st.sampled_from(list(Scope)), GROUPS)
def test_the_groups_of_a_stage_share_the_criteria_out(scope, criteria):
    assert sum(scope.groups(criteria), ()) == criteria


@pytest.mark.parametrize(
    ["name", "calls", "total"],
    [
        ("SSS", (12, 12, 4), 28),
        ("SSC", (12, 12, 1), 25),
        ("SCC", (12, 3, 1), 16),
        ("CCC", (3, 3, 1), 7),
    ],
)
def test_calls_for_three_examples_and_four_criteria(name, calls, total):
    counted = MODES[name].calls(3, ("a", "b", "c", "d"))
    assert counted == StageCalls(*calls)
    assert counted.total == total


@pytest.mark.parametrize("name", LEGAL)
def test_all_modes_cost_the_same_on_one_criterion(name):
    assert MODES[name].calls(3, ("a",)) == StageCalls(3, 3, 1)
