"""The statistics of a search: against loops, oracles and simulations with a known truth."""

import warnings

import numpy as np
import pytest
from scipy.stats import ConstantInputWarning, spearmanr

from mogradjudge.agreement import bootstrap_criteria
from mogradjudge.errors import SetupError
from mogradjudge.search.resampling import resampled_means
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
    found = resampled_means(human, judged, groups, level=level, resamples=25, seed=4)
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
    found = resampled_means(human, judged, groups, level=level, resamples=200, seed=1)
    expected = bootstrap_criteria(human, judged[1], groups, level=level, resamples=200, seed=1)
    ends = np.quantile(found[:, 1], [0.025, 0.975])
    assert ends == pytest.approx((expected["mean"].low, expected["mean"].high), abs=1e-12)


def test_what_humans_score_alike_leaves_for_all_trials():
    human, judged, groups = table()
    flat = {**human, "a": [3.0] * len(groups)}
    without = {name: human[name] for name in "bc"}
    fewer = [{name: trial[name] for name in "bc"} for trial in judged]
    found = resampled_means(flat, judged, groups, level="pooled", resamples=20)
    assert found == pytest.approx(
        resampled_means(without, fewer, groups, level="pooled", resamples=20), abs=1e-12
    )
    nothing = {name: [3.0] * len(groups) for name in human}
    assert np.isnan(resampled_means(nothing, judged, groups, level="group", resamples=3)).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"judged": []}, "at least one trial"),
        ({"human": {}}, "at least one criterion"),
        ({"judged": [{"a": [1.0]}]}, "The scores of trial 0 must be given for"),
        ({"groups": ["x"] * 40}, "at least 3 documents to resample, got 1"),
        ({"groups": ["x"]}, "must have one length"),
        ({"resamples": 0}, "`resamples >= 1`"),
        ({"level": "text"}, "`level` must be one of"),
    ],
)
def test_a_table_that_cannot_be_resampled_says_why(change, words):
    human, judged, groups = table()
    how = {"human": human, "judged": judged, "groups": groups, "level": "pooled", **change}
    with pytest.raises(SetupError, match=words):
        resampled_means(**how)
