"""The statistics of a search: against loops, oracles and simulations with a known truth."""

import warnings

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ConstantInputWarning, spearmanr, t

from benchmarks.__main__ import main
from benchmarks.self_tests.search_statistics import judges, simulate_choice, simulate_effects
from mogradjudge.agreement import (
    Interval,
    TestOptions,
    Undefined,
    bootstrap_criteria,
    correlate,
    document_values,
)
from mogradjudge.agreement.bootstrap import draw, student_interval
from mogradjudge.agreement.selection_bias import Corrected, corrected, resampled_means
from mogradjudge.errors import SetupError
from mogradjudge.search.analysis.effects import mode_effects
from ratings import scores

LEVELS = pytest.mark.parametrize("level", ["pooled", "group"])


def table(trials=3, documents=8, systems=5, levels=5, gaps=0):
    """Make human scores, the trials' scores and the documents; some documents are constant."""
    drawn = {name: scores(documents, systems, seed) for seed, name in enumerate("abc")}
    groups = drawn["a"][2]
    human = {name: each[0].tolist() for name, each in drawn.items()}
    rng = np.random.default_rng(9)
    judged = []
    for _ in range(trials):
        noise = rng.normal(size=len(groups))
        trial = {name: each[1] + noise for name, each in drawn.items()}
        trial = {name: np.round(each) if levels else each for name, each in trial.items()}
        judged.append({name: each.tolist() for name, each in trial.items()})
    for place in range(gaps):
        judged[place % trials]["a"][3 * place] = None
        human["b"][4 * place + 1] = None
    judged[0]["c"] = [3.0] * len(groups)  # a judge that gives one score has no agreement
    human["c"][:systems] = [2.0] * systems
    return human, judged, groups


def rho(human, judge):
    """Correlate as the design says, by scipy; None where humans say nothing."""
    if len(human) < 3 or len(set(human)) == 1:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        value = spearmanr(human, judge).statistic
    return 0.0 if len(set(judge)) == 1 else value


def agreement(human, judge, copies, level):
    pairs = [(h, j, c) for h, j, c in zip(human, judge, copies, strict=True) if None not in (h, j)]
    groups = [[p for p in pairs if p[2] == c] for c in sorted(set(copies))]
    sets = [pairs] if level == "pooled" else groups
    found = [rho([h for h, _, _ in each], [j for _, j, _ in each]) for each in sets]
    found = [value for value in found if value is not None]
    return np.mean(found) if found else None


@LEVELS
@pytest.mark.parametrize(("levels", "gaps"), [(5, 0), (0, 0), (5, 9)])
def test_resampled_means_are_those_of_a_loop(level, levels, gaps):
    human, judged, groups = table(levels=levels, gaps=gaps)
    found = resampled_means(human, judged, groups, TestOptions(level=level, resamples=25, seed=4))
    names, codes = np.unique(groups, return_inverse=True)
    drawn = np.random.default_rng(4).integers(len(names), size=(25, len(names)))
    for row, documents in enumerate(drawn):
        places = np.concatenate([np.flatnonzero(codes == each) for each in documents])
        copies = np.repeat(np.arange(len(documents)), [(codes == each).sum() for each in documents])
        for trial, by_name in enumerate(judged):
            values = [
                agreement([human[n][p] for p in places], [by_name[n][p] for p in places], *how)
                for n in human
                for how in [(copies, level)]
            ]
            mean = np.mean([value for value in values if value is not None])
            assert found[row, trial] == pytest.approx(mean, abs=1e-12)


@LEVELS
def test_resamples_are_those_of_the_interval(level):
    human, judged, groups = table()
    found = resampled_means(human, judged, groups, TestOptions(level=level, resamples=200, seed=1))
    expected = bootstrap_criteria(
        human, judged[1], groups, TestOptions(level=level, resamples=200, seed=1)
    )
    values = [correlate(human[name], judged[1][name], groups, level=level).value for name in human]
    rated = {
        document
        for name, ratings in human.items()
        for document in document_values(ratings, judged[1][name], groups, level=level)
    }
    alone = student_interval(np.mean(values), found[:, 1], len(rated))
    ends = expected["mean"].low, expected["mean"].high
    assert (alone.low, alone.high) == pytest.approx(ends, abs=1e-12)


def test_what_humans_score_alike_leaves_for_all_trials():
    human, judged, groups = table()
    flat = {**human, "a": [3.0] * len(groups)}
    without = {name: human[name] for name in "bc"}
    fewer = [{name: trial[name] for name in "bc"} for trial in judged]
    found = resampled_means(flat, judged, groups, TestOptions(level="pooled", resamples=20))
    assert found == pytest.approx(
        resampled_means(without, fewer, groups, TestOptions(level="pooled", resamples=20)),
        abs=1e-12,
    )
    nothing = {name: [3.0] * len(groups) for name in human}
    assert np.isnan(
        resampled_means(nothing, judged, groups, TestOptions(level="group", resamples=3))
    ).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"judged": []}, "at least one trial"),
        ({"human": {}}, "at least one criterion"),
        ({"judged": [{"a": [1.0]}]}, "The scores of trial 0 must be given for"),
        ({"groups": ["x"] * 40}, "at least 3 documents to resample, got 1"),
        ({"groups": ["x"]}, "must have one length"),
    ],
)
def test_a_table_that_cannot_be_resampled_says_why(change, words):
    human, judged, groups = table()
    how = {"human": human, "judged": judged, "groups": groups, **change}
    with pytest.raises(SetupError, match=words):
        resampled_means(options=TestOptions(level="pooled"), **how)


def chosen_of(trials, documents, spread, rng):
    """Draw documents' values of trials, choose the best one; gives its truth and correction."""
    truth = spread * rng.normal(size=trials)
    common, own = rng.normal(size=(documents, 1)), rng.normal(size=(documents, trials))
    values = truth + 0.2 * (np.sqrt(0.55) * common + np.sqrt(0.45) * own)
    weights = draw(rng, documents, 200)
    means = values.mean(axis=0)
    best = int(means.argmax())
    return truth[best], corrected(means, weights @ values / documents, best, documents=documents)


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.06])
def test_the_correction_takes_off_the_winners_luck(spread):
    rng = np.random.default_rng(1)
    drawn = [chosen_of(24, 30, spread, rng) for _ in range(300)]
    naive = np.mean([found.value - truth for truth, found in drawn])
    left = np.mean([found.corrected - truth for truth, found in drawn])
    inside = np.mean([found.low <= truth <= found.high for truth, found in drawn])
    unshifted = np.mean(
        [truth >= found.low + np.sqrt(2) * found.optimism for truth, found in drawn]
    )
    assert naive > 0.015 and abs(left) < 0.4 * naive
    assert inside >= 0.92
    if spread == 0:
        assert unshifted < 0.85  # without the correction the interval would miss


def test_a_corrected_value_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    values, resampled = 0.1 * rng.normal(size=5), 0.1 * rng.normal(size=(40, 5))
    best = int(values.argmax())
    found = corrected(values, resampled, best, confidence=0.9)
    luck = [max(row) - values[list(row).index(max(row))] for row in resampled]
    by_itself = student_interval(values[best], resampled[:, best], None, 0.9)
    low, high = by_itself.low, by_itself.high
    assert found.value == values[best] and found.confidence == 0.9
    assert found.optimism == pytest.approx(np.mean(luck), abs=1e-12)
    assert found.corrected == pytest.approx(values[best] - np.mean(luck), abs=1e-12)
    assert found.low == pytest.approx(low - np.sqrt(2) * np.mean(luck), abs=1e-12)
    assert found.high == pytest.approx(high - np.mean(luck) / 2, abs=1e-12)
    wider = corrected(values, resampled, best, confidence=0.9, documents=10)
    assert wider.corrected == found.corrected
    assert wider.low < found.low and wider.high > found.high
    many = corrected(values, resampled, best, confidence=0.9, documents=10**6)
    assert many.low == pytest.approx(found.low, abs=1e-5)


def test_an_interval_holds_nothing_that_no_agreement_can_be():
    rng = np.random.default_rng(0)
    resampled = np.clip(0.9 + 0.1 * rng.normal(size=(200, 1)), -1, 1)
    found = corrected([0.9], resampled, 0, documents=8)
    assert 0.9 < found.high <= 1.0
    rivals = np.clip(-0.9 + 0.05 * rng.normal(size=(200, 20)), -1, 1)
    assert corrected([-0.9] * 20, rivals, 0, documents=8).low == -1.0


@pytest.mark.parametrize("documents", [3, 7])
def test_few_documents_say_nothing_about_luck(documents):
    resampled = 0.1 * np.random.default_rng(0).normal(size=(50, 3))
    said = Undefined("fewer than 8 documents, too few to estimate the selection bias")
    assert corrected([0.1, 0.2, 0.3], resampled, 2, documents=documents) == said
    assert isinstance(corrected([0.1, 0.2, 0.3], resampled, 2, documents=8), Corrected)


def test_a_trial_that_is_far_the_best_has_no_luck_to_lose():
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.normal(size=(2000, 3))
    found = corrected([0.1, 0.2, 0.9], np.array([0.1, 0.2, 0.9]) + noise, 2)
    assert abs(found.optimism) < 0.001
    assert found.low < 0.9 < found.high


def test_trials_and_resamples_without_a_value_are_left_out():
    rng = np.random.default_rng(0)
    values, resampled = rng.normal(size=3), rng.normal(size=(50, 3))
    best = int(values.argmax())
    found = corrected(values, resampled, best)
    beside = np.column_stack([resampled, np.full(50, 9.0)])
    assert corrected([*values, None], beside, best) == found
    holes = np.vstack([resampled, [np.nan, 5.0, 5.0]])
    assert corrected(values, holes, best) == found
    none = np.where(np.arange(50)[:, None] < 30, np.nan, resampled)
    assert corrected(values, none, best) == Undefined("a trial has no value in most resamples")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chosen": 0}, "must be a trial with the highest value, 0.3, got one with 0.1"),
        ({"chosen": 3}, "the place of a trial, 0 to 2, got 3"),
        ({"values": [0.1, None]}, "a column for each of the 2 trials"),
        ({"values": [0.1, 0.2, None]}, "a trial with a value, and trial 2 has none"),
        ({"documents": 2}, "`documents >= 3`"),
        ({"confidence": 1.0}, "`confidence` must lie between 0 and 1"),
    ],
)
def test_a_choice_that_cannot_be_corrected_says_why(change, words):
    how = {"values": [0.1, 0.2, 0.3], "resampled": np.ones((9, 3)), "chosen": 2, **change}
    with pytest.raises(SetupError, match=words):
        corrected(**how)


def design(trials, seed=0, modes=("SSS", "SSC", "CCC")):
    """Draw the parameters of trials, a mode's first; every mode occurs twice."""
    rng = np.random.default_rng(seed)
    return [
        {
            "mode": modes[place % len(modes)] if place < 2 * len(modes) else str(rng.choice(modes)),
            "steps": int(rng.integers(4, 17)),
            "batch": int(rng.choice([1, 3, 8])),
            "order": str(rng.choice(["shuffled", "hard first", "fixed"])),
            "momentum": bool(rng.random() < 0.5),
        }
        for place in range(trials)
    ]


def values_of(params, seed=1):
    rng = np.random.default_rng(seed)
    return [0.02 * each["steps"] + 0.1 * rng.normal() for each in params]


def estimates(found):
    return {each.level: each.effect.value for each in found.levels}


def test_effects_are_those_of_a_textbook():
    params, values = design(20), values_of(design(20))
    resampled = np.array(values) + 0.05 * np.random.default_rng(2).normal(size=(30, 20))
    found = mode_effects(params, values, resampled, reference="SSS", confidence=0.9)
    orders = ("hard first", "fixed")
    columns = np.array(
        [
            [1, each["mode"] == "SSS", each["mode"] == "SSC", each["steps"], each["batch"]]
            + [each["order"] == order for order in orders]
            + [each["momentum"]]
            for each in params
        ],
        dtype=float,
    )
    inverse = np.linalg.inv(columns.T @ columns)
    solve = inverse @ columns.T
    free = 20 - columns.shape[1]
    spread = ((values - columns @ solve @ values) ** 2).sum() / free
    # The levels are CCC (the constant), SSC and SSS; the first takes no column.
    thirds = {"CCC": [-1 / 3, -1 / 3], "SSC": [-1 / 3, 2 / 3], "SSS": [2 / 3, -1 / 3]}
    assert found.freedom == free and found.unadjusted is None and found.dropped == {}
    assert found.adjusted_for == ("batch", "momentum", "order", "steps")
    for each in found.levels:
        weights = np.array([0, *thirds[each.level], 0, 0, 0, 0, 0])
        runs = spread * weights @ inverse @ weights
        documents = (resampled @ (weights @ solve)).var(ddof=1)
        assert each.effect.value == pytest.approx(weights @ solve @ values, abs=1e-10)
        assert each.effect.run_error == pytest.approx(np.sqrt(runs), rel=1e-8)
        assert each.effect.document_error == pytest.approx(np.sqrt(documents), rel=1e-8)
        freedom = (runs + documents) ** 2 / (runs**2 / free)
        half = t.ppf(0.95, freedom) * np.sqrt(runs + documents)
        ends = each.effect.interval
        assert (ends.low, ends.high) == pytest.approx(
            (each.effect.value - half, each.effect.value + half), abs=1e-10
        )
        assert each.n == sum(trial["mode"] == each.level for trial in params)
    to_first = (solve @ values)[2] - (solve @ values)[1]
    by_level = {each.level: each for each in found.levels}
    assert by_level["SSC"].difference.value == pytest.approx(to_first, abs=1e-10)
    assert by_level["SSS"].difference is None


@given(seed=st.integers(0, 10**6), shift=st.floats(-5, 5), trials=st.integers(14, 30))
def test_a_constant_and_the_order_of_trials_are_no_matter(seed, shift, trials):
    params = design(trials, seed)
    values = np.array(values_of(params, seed))
    resampled = values + np.random.default_rng(seed).normal(size=(12, trials))
    found = mode_effects(params, values, resampled, reference="CCC")
    order = np.random.default_rng(seed).permutation(trials)
    shifted = mode_effects(
        [params[place] for place in order],
        values[order] + shift,
        resampled[:, order] + shift,
        reference="CCC",
    )
    assert (shifted.adjusted_for, shifted.dropped) == (found.adjusted_for, found.dropped)
    assert sum(estimates(found).values()) == pytest.approx(0, abs=1e-9)
    for one, other in zip(found.levels, shifted.levels, strict=True):
        for a, b in ((one.effect, other.effect), (one.difference, other.difference)):
            if a is not None:
                assert (b.value, b.run_error, b.document_error) == pytest.approx(
                    (a.value, a.run_error, a.document_error), abs=1e-8
                )


@given(seed=st.integers(0, 10**6))
def test_names_of_levels_and_units_are_no_matter(seed):
    params = design(20, seed)
    values = values_of(params, seed)
    names = {"SSS": "z", "SSC": "a", "CCC": "m"}
    other = [
        {
            **each,
            "mode": names[each["mode"]],
            "steps": 100 - 3 * each["steps"],
            "order": "x" + each["order"],
        }
        for each in params
    ]
    found, renamed = mode_effects(params, values), mode_effects(other, values)
    assert {names[level]: value for level, value in estimates(found).items()} == pytest.approx(
        estimates(renamed), abs=1e-9
    )


def test_a_parameter_that_some_trials_lack_is_adjusted_for_where_it_is():
    params = [{"mode": mode} for mode in ("SSS", "CCC") for _ in range(8)]
    for place in range(8):
        params[place]["window"] = place % 4  # only SSS has it
    values = [0.1 * each.get("window", 0) + (each["mode"] == "SSS") for each in params]
    found = mode_effects(params, values)
    assert found.adjusted_for == ("window",)
    # SSS is taken at its mean window, 1.5.
    assert estimates(found) == pytest.approx({"CCC": -0.575, "SSS": 0.575}, abs=1e-9)
    assert found.levels[0].effect.run_error == pytest.approx(0, abs=1e-9)
    # Where both have it, the trials without it may be better or worse by themselves.
    for place in (8, 9, 10):
        params[place]["window"] = place - 8
    values = [
        (0.1 * each["window"] if "window" in each else 0.7) + (each["mode"] == "SSS")
        for each in params
    ]
    assert estimates(mode_effects(params, values)) == pytest.approx(
        {"CCC": -0.5, "SSS": 0.5}, abs=1e-9
    )


def test_a_parameter_that_cannot_be_told_apart_is_dropped_and_named():
    params = [
        {"mode": mode, "own": mode.lower(), "still": 3, "steps": step, "twice": 2 * step}
        for mode in ("SSS", "CCC")
        for step in (4, 6, 9, 12)
    ]
    values = [0.1 * each["steps"] + (each["mode"] == "SSS") for each in params]
    found = mode_effects(params, values)
    assert found.adjusted_for == ("steps",)
    assert found.dropped == {
        "own": "confounded with 'mode'",
        "still": "does not vary",
        "twice": "confounded with other parameters",
    }
    # One of three levels of a parameter is the mode itself: no effect of the mode is left.
    halves = [
        {**each, "own": None if each["mode"] == "SSS" else each["steps"] > 6} for each in params
    ]
    found = mode_effects(halves, values)
    assert found.dropped["own"] == "confounded with 'mode'"
    assert estimates(found) == pytest.approx({"CCC": -0.5, "SSS": 0.5}, abs=1e-9)


def test_too_few_trials_give_unadjusted_effects_and_say_so():
    params, values = design(8), values_of(design(8))
    found = mode_effects(params, values)
    assert found.unadjusted.reason.startswith("8 trials leave 0 degrees of freedom beside 4 other")
    assert found.adjusted_for == () and found.freedom == 5
    means = {
        mode: np.mean([v for v, each in zip(values, params, strict=True) if each["mode"] == mode])
        for mode in ("SSS", "SSC", "CCC")
    }
    middle = np.mean(list(means.values()))
    assert estimates(found) == pytest.approx({m: v - middle for m, v in means.items()}, abs=1e-9)
    pair = mode_effects([{"mode": "SSS"}, {"mode": "CCC"}, {"mode": "CCC"}], [0.1, 0.3, 0.4])
    assert pair.levels[0].effect.interval.reason.startswith("1 degree of freedom,")
    assert pair.levels[0].n == 2
    two = mode_effects([{"mode": "SSS"}, {"mode": "CCC"}], [0.1, 0.3])
    assert two.levels[0].effect.interval.reason == "2 trials leave no degree of freedom"
    one = mode_effects([{"mode": "SSS"}] * 4, [0.1, 0.2, 0.3, 0.4])
    assert one == Undefined("all trials with a value have one mode")
    assert mode_effects([{"mode": "SSS"}], [None]) == Undefined("no trial has a value")


def test_trials_without_a_value_are_left_out_of_effects():
    params, values = design(20), values_of(design(20))
    resampled = np.random.default_rng(0).normal(size=(9, 20))
    found = mode_effects(params, values, resampled)
    failed = [{"mode": "SCC", "steps": 5}, *params]
    beside = np.column_stack([np.full(9, np.nan), resampled])
    assert mode_effects(failed, [None, *values], beside) == found
    assert mode_effects(failed, [np.nan, *values], beside) == found
    holes = np.where(np.arange(9)[:, None] < 5, np.nan, resampled)
    none = mode_effects(params, values, holes).levels[0].effect.interval
    assert none == Undefined("a trial has no value in most resamples")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"values": [0.1]}, "must have one length, got 20 and 1"),
        ({"factor": "depth"}, "Every trial must have 'depth', and number 0"),
        ({"reference": "SCC"}, "`reference` must be a level of 'mode' that was tried, one of"),
        ({"resampled": np.ones((5, 3))}, "a column for each of the 20 trials"),
        ({"documents": 1}, "`documents >= 3`"),
        ({"confidence": 0.0}, "`confidence` must lie between 0 and 1"),
    ],
)
def test_effects_that_cannot_be_asked_for_say_why(change, words):
    how = {"params": design(20), "values": values_of(design(20)), **change}
    with pytest.raises(SetupError, match=words):
        mode_effects(**how)


def test_the_number_of_documents_widens_an_effects_interval():
    params, values = design(20), values_of(design(20))
    resampled = np.array(values) + 0.2 * np.random.default_rng(2).normal(size=(90, 20))
    plain = mode_effects(params, values, resampled).levels[0].effect
    found = mode_effects(params, values, resampled, documents=10).levels[0].effect
    runs, documents = found.run_error**2, found.document_error**2
    assert found.value == plain.value and found.run_error == plain.run_error
    assert documents == pytest.approx(plain.document_error**2 * 10 / 9)
    free = (runs + documents) ** 2 / (runs**2 / 12 + documents**2 / 9)
    half = t.ppf(0.975, free) * np.sqrt(runs + documents)
    assert found.interval.high == pytest.approx(found.value + half, abs=1e-10)
    fixed = mode_effects(params, values).levels[0].effect
    assert fixed.document_error == 0
    half = t.ppf(0.975, 12) * fixed.run_error
    assert fixed.interval.low == pytest.approx(fixed.value - half, abs=1e-10)


@pytest.mark.parametrize(("documents", "kind"), [(3, Undefined), (7, Undefined), (8, Interval)])
def test_an_effect_over_few_documents_has_no_interval(documents, kind):
    params, values = design(20), values_of(design(20))
    resampled = np.array(values) + 0.2 * np.random.default_rng(2).normal(size=(90, 20))
    level, *_ = mode_effects(params, values, resampled, documents=documents).levels
    assert isinstance(level.effect.interval, kind)


@pytest.mark.slow
def test_intervals_hold_a_planted_effect():
    found = simulate_effects(24, 60, adaptive=False, documents=20)
    assert found.held > 0.93 and abs(found.bias) < 0.01
    assert found.held_without_documents < 0.93  # with these documents only they are too narrow


@pytest.mark.slow
def test_a_repeated_configuration_counts_once():
    # 24 configurations, whose replies are shared: a repeated one is no independent run.
    how = {"adaptive": False, "documents": 200, "most_steps": 4}
    once, each = (simulate_effects(40, 40, collapsed=c, **how) for c in (True, False))
    assert once.held > 0.93 and once.held_without_documents > 0.88
    assert each.held < 0.91 and each.held_without_documents < 0.8


@pytest.mark.slow
def test_intervals_hold_the_winners_true_rho():
    found = simulate_choice(judges("pooled"), "all equal", 20, 60)
    assert found.naive > 0.05 and abs(found.corrected) < 0.5 * found.naive
    assert found.naive_held < 0.9 <= found.held


def test_the_benchmark_runs():
    done = CliRunner().invoke(main, ["search-statistics", "--smoke"])
    assert done.exit_code == 0, done.output
    assert "Best of 24 trials by group rho" in done.output and "Planted effects" in done.output
