"""Criteria that conflict are kept apart, and the others share a call."""

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogradjudge import Criterion, Interference, Rubric, SetupError, suggest_partition
from mogradjudge.programs.evaluation import Judgement

NAMES = ("fluency", "coherence", "facts", "relevance")


def measured(effects, error=0.02, names=NAMES):
    return Interference(names, effects, np.full((len(names), len(names)), error).tolist())


def two_families(within: float, across: float) -> list[list[float]]:
    return [[within if (j < 2) == (k < 2) else across for k in range(4)] for j in range(4)]


def groups_of(interference, **options):
    return suggest_partition(interference, **options).groups(interference.criteria)


def test_two_families_share_a_call_each():
    assert groups_of(measured(two_families(0.05, -0.2))) == (
        ("fluency", "coherence"),
        ("facts", "relevance"),
    )


def test_families_come_out_whole_where_only_some_conflicts_are_shown():
    effects = two_families(0.1, -0.01)
    effects[0][2] = effects[3][1] = -0.3
    assert groups_of(measured(effects)) == (("fluency", "coherence"), ("facts", "relevance"))


def test_all_share_a_call_where_no_conflict_is_shown():
    assert groups_of(measured(two_families(-0.01, -0.03))) == (NAMES,)
    unknown = np.full((4, 4), np.nan).tolist()
    assert groups_of(Interference(NAMES, unknown, unknown)) == (NAMES,)


def test_none_share_a_call_where_all_conflict():
    assert groups_of(measured(two_families(-0.2, -0.2))) == tuple((name,) for name in NAMES)


def test_a_harm_in_one_direction_is_a_conflict():
    assert groups_of(measured([[0, 0.1], [-0.2, 0]], names=("a", "b"))) == (("a",), ("b",))


EFFECTS = st.lists(st.lists(st.floats(-1, 1), min_size=4, max_size=4), min_size=4, max_size=4)


@given(EFFECTS, st.floats(0.01, 0.5))
def test_no_group_holds_a_conflict_that_survives_the_strictest_correction(effects, error):
    groups = groups_of(measured(effects, error))
    assert sorted(sum(groups, ())) == sorted(NAMES)
    for group in groups:
        places = [NAMES.index(name) for name in group]
        pairs = [(j, k) for j in places for k in places if j != k]
        assert all(effects[j][k] / error > -2.9 for j, k in pairs)  # .05 / 12 lies at -2.64


def judged(errors: list[tuple[int, int]]) -> list[Judgement]:
    return [
        Judgement(
            f"{place}",
            f"{place // 2}",
            dspy.Example(text="A text.", human_a=3, human_b=3, group=f"{place // 2}").with_inputs(
                "text"
            ),
            dspy.Prediction(a=3 + one, b=3 + other),
            {"a": 1.0, "b": 1.0},
        )
        for place, (one, other) in enumerate(errors)
    ]


RUBRIC = Rubric(["text"], [Criterion("a", "Is it a?"), Criterion("b", "Is it b?")])


def test_errors_in_opposite_directions_are_a_hint_of_a_conflict():
    errors = [(place % 5 - 2, 2 - place % 5) for place in range(40)]
    opposite = Interference.of_judgements(judged(errors), RUBRIC)
    assert opposite.effects[0][1] == opposite.effects[1][0] == pytest.approx(-1)
    assert suggest_partition(opposite).layout == "separate"
    alike = Interference.of_judgements(judged([(one, one) for one, _ in errors]), RUBRIC)
    assert suggest_partition(alike).layout == "combined"


@pytest.mark.parametrize("errors", [[], [(1, -1)] * 2])
def test_too_few_texts_hint_at_nothing(errors):
    assert (
        suggest_partition(Interference.of_judgements(judged(errors), RUBRIC)).layout == "combined"
    )


@pytest.mark.parametrize(
    ["effects", "errors", "value"],
    [([[0.0]], [[0.0]], r"\(1, 1\)"), ([[0, 0], [0, 0]], [[0, -1], [0, 0]], "-1")],
)
def test_what_is_no_interference_is_refused(effects, errors, value):
    with pytest.raises(SetupError, match=value):
        Interference(("a", "b"), effects, errors)
    with pytest.raises(SetupError, match="2"):
        suggest_partition(measured(two_families(0, 0)), level=2)


@pytest.mark.parametrize("thing", [[], [1], None])
def test_what_is_no_interference_is_told_how_it_becomes_one(thing):
    with pytest.raises(SetupError, match="of_judgements"):
        suggest_partition(thing)
    with pytest.raises(SetupError, match="criteria"):
        Interference((), [], [])
