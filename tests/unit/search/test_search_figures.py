"""Figures of a search show every trial, say what they show, and are the same for the same input."""

import re
import sys
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogradjudge.agreement import Undefined
from mogradjudge.errors import SetupError
from mogradjudge.search.analysis.effects import mode_effects
from mogradjudge.search.analysis.figures import effects_figure, front_figure
from mogradjudge.search.analysis.pareto import Point, pareto_front, side_by_side, width_of

MODES = ("SSS", "SSC", "SCC", "CCC")
CALLS = {"SSS": 28, "SSC": 25, "SCC": 16, "CCC": 7}
IMPORTANCES = {"mode": 0.6, "steps": 0.3, "batch_size": 0.1}


def trials(count=24, seed=0, intervals=True):
    """Draw trials with few prices, so that many share one."""
    rng = np.random.default_rng(seed)
    found = []
    for trial in range(count):
        mode = MODES[trial % 4]
        value = 0.3 + 0.02 * rng.normal()
        point = Point(trial, CALLS[mode] * rng.choice([4, 8]), value, mode)
        ends = {"low": value - 0.05, "high": value + 0.05} if intervals else {}
        found.append(replace(point, **ends))
    return found


def effects(count=24):
    params = [{"mode": MODES[place % 4], "steps": 4 + place % 5} for place in range(count)]
    values = np.random.default_rng(0).normal(size=count)
    return mode_effects(params, values, reference="SSS")


def words(path):
    """Read the texts of an SVG file, in order."""
    return [each.text for each in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


numbers = st.integers(0, 6).map(float)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12))
def test_the_front_is_what_no_trial_beats(pairs):
    points = [Point(trial, x, y, "SSS") for trial, (x, y) in enumerate(pairs)]

    def beaten(point):
        return any(
            other.x <= point.x
            and other.y >= point.y
            and ((other.x, other.y) != (point.x, point.y) or other.trial < point.trial)
            for other in points
        )

    front = pareto_front(points)
    assert {each.trial for each in front} == {each.trial for each in points if not beaten(each)}
    assert [each.x for each in front] == sorted(each.x for each in front)


@pytest.mark.parametrize("intervals", [True, False])
def test_trials_of_one_price_stand_side_by_side(intervals):
    points = trials(40, intervals=intervals)
    places = side_by_side(points, pareto_front(points))
    assert places == side_by_side(points, pareto_front(points))
    assert all(places[point.trial] == point.x for point in pareto_front(points))
    far = width_of(points) / 6
    assert all(abs(places[point.trial] - point.x) < far for point in points)
    apart = width_of(points) / 330 * 3.9
    at = sorted((places[point.trial], point.y) for point in points)
    close = [
        (one, other)
        for one, other in pairwise(at)
        if other[0] - one[0] < apart and (intervals or abs(other[1] - one[1]) < 1e-3)
    ]
    assert close == []


def test_trials_that_are_equal_in_all_can_be_told_apart():
    points = [Point(trial, 4.0, 0.3, "SSC") for trial in range(5)]
    places = side_by_side(points, points[:1])
    assert places[0] == 4 and len(set(places.values())) == 5
    free = [replace(point, x=0.0) for point in points]
    assert len(set(side_by_side(free, []).values())) == 5


def test_the_front_is_drawn_with_all_that_is_marked(tmp_path):
    path = tmp_path / "new" / "front.svg"
    front_figure(trials(), path, "LM calls", "mean rho", winner=7)
    found = words(path)
    assert {"LM calls", "mean rho", "default (trial 0)", "chosen (trial 7)"} <= set(found)
    assert [name for name in found if name in MODES] == list(MODES)
    front_figure(trials(), path, "LM calls", "mean rho", default=99)
    assert not any("trial" in each for each in words(path))
    assert [each.name for each in path.parent.iterdir()] == ["front.svg"]


def test_a_line_runs_through_the_best_for_their_price_alone_and_calls_are_whole(tmp_path):
    path, mode = tmp_path / "front.svg", MODES[0]
    front_figure([Point(0, 1.0, 0.4, mode), Point(1, 3.0, 0.4, mode)], path, "calls", "rho")
    found = words(path)
    assert "best for its price" not in found  # one trial is
    before = found[: found.index("calls")]
    assert before == [str(int(tick)) for tick in before]
    front_figure([Point(0, 1.0, 0.4, mode), Point(1, 3.0, 0.5, mode)], path, "calls", "rho")
    assert "best for its price" in words(path)


def test_effects_that_are_rounding_errors_look_like_none(tmp_path):
    path = tmp_path / "effects.svg"
    params = [{"mode": mode, "steps": 1} for mode in MODES[:2] * 4]
    effects_figure(mode_effects(params, [0.1, 0.1 + 1e-17, 0.1 + 2e-17] * 2 + [0.1] * 2), {}, path)
    assert "0.01" in "".join(words(path)) and "1e" not in "".join(words(path))


@pytest.mark.slow
def test_effects_are_drawn_with_their_counts(tmp_path):
    path = tmp_path / "effects.svg"
    effects_figure(effects(), IMPORTANCES, path)
    found = words(path)
    assert [each for each in found if "(n = " in each] == [f"{mode} (n = 6)" for mode in MODES]
    assert {"effect of mode", *IMPORTANCES} <= set(found)
    assert "of the parameters that every trial has" in found
    effects_figure(effects(12), {}, path)
    assert "effect of mode" in words(path) and "importance of parameters" not in words(path)
    few = mode_effects([{"mode": m, "steps": s} for s, m in enumerate("SCCS")], [1, 2, 3, 5])
    assert few.unadjusted is not None
    effects_figure(few, {}, path)
    assert "effect of mode, not adjusted" in words(path)
    effects_figure(Undefined("all trials with a value have one mode"), IMPORTANCES, path)
    assert "No effects: all trials with a value" in words(path)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_equal_input_gives_equal_bytes(tmp_path, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        front_figure(trials(), path, "LM calls", "mean rho", winner=3)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        for path in paths:
            effects_figure(effects(), IMPORTANCES, path)
    effects_figure(effects(), IMPORTANCES, paths[0])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert not re.search(rb"\b20\d\d-\d\d-\d\d|Matplotlib v", paths[0].read_bytes())


def test_names_are_no_markup(tmp_path):
    path = tmp_path / "front.svg"
    odd = [replace(point, mode="$x$ <b> & _y_") for point in trials(3)]
    front_figure(odd, path, "a < b & $c$", "rho")
    assert {"$x$ <b> & _y_", "a < b & $c$"} <= set(words(path))


def test_what_cannot_be_drawn_says_why(tmp_path, monkeypatch):
    path = tmp_path / "front.svg"
    with pytest.raises(SetupError, match="at least one trial with a value, got none"):
        front_figure([], path, "x", "y")
    with pytest.raises(SetupError, match=r"must end in .svg or .png, got .*front.pdf"):
        front_figure(trials(), path.with_suffix(".pdf"), "x", "y")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (
        lambda: front_figure(trials(), path, "x", "y"),
        lambda: effects_figure(effects(), IMPORTANCES, path),
    ):
        with pytest.raises(SetupError, match=r'pip install "mogradjudge\[figures\]"'):
            draw()
    assert list(tmp_path.iterdir()) == []
