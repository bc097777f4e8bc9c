"""What is said of the raters' ceilings."""

import pytest

from mogradjudge.scoring.ceilings import describe

COPIES = [["ann", "bob"]]


def ceiling(**changes):
    figures = {"one_rater": 0.7, "perfect_judge": 0.9, "undefined": None, "copies": []}
    return {**figures, "undefined_raters": 0, **changes}


def test_a_ceiling_that_no_criterion_has_is_one_line():
    none = ceiling(perfect_judge=None, undefined="a measure without one")
    lines = describe({"fluency": none, "tone": none})
    assert sum("ceiling" in line for line in lines) == 1
    assert "fluency, tone: a measure without one" in lines[-1]


@pytest.mark.parametrize("perfect", [None, 0.9])
def test_a_copy_raises_a_ceiling_only_where_there_is_one(perfect):
    line = describe({"tone": ceiling(perfect_judge=perfect, copies=COPIES)})[-1]
    assert "ann" in line and "bob" in line
    assert ("ceiling" in line) == (perfect is not None)


def test_raters_who_are_left_out_are_counted():
    said = describe({"fluency": ceiling(), "tone": ceiling(undefined_raters=2)})
    assert any("2 on tone" in line and "fluency" not in line for line in said)
    assert not any(" 0 on" in line for line in said)


@pytest.mark.parametrize(["high", "said"], [(1.05, True), (1.0, False)])
def test_an_interval_of_a_share_that_passes_1_is_explained(high, said):
    lines = describe({"tone": ceiling(share=0.9, share_interval=[0.8, high])})
    assert any("pass 1" in line for line in lines) == said
