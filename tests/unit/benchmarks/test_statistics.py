"""The benchmark of the tests runs, and its simulated judges are what it says."""

import dspy
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr

from benchmarks.__main__ import main
from benchmarks.self_tests.few_documents import Promises, print_promises
from benchmarks.self_tests.means import means_coverage
from benchmarks.self_tests.over_runs import over_runs
from benchmarks.self_tests.score_maps import FAULTS, RatedSet
from benchmarks.self_tests.statistics import TESTS, human_table, measure_speed, simulate
from benchmarks.worlds.simulated import Errors, human_scores, world
from mogradjudge import Criterion, Rubric, SetupError


def test_the_benchmark_runs():
    done = CliRunner().invoke(main, ["statistics", "--smoke"])
    assert done.exit_code == 0, done.output
    assert all(done.output.count(test) == 3 for test in TESTS)
    assert "times as long" in done.output and "±" in done.output
    assert all(level in done.output for level in ("pooled", "group"))


def test_means_are_held_by_document_and_not_by_text():
    (row,) = means_coverage(human_scores(60), 40, (20,))
    alone, powered, by_text = row.held
    assert min(alone, powered) > 0.9 > by_text
    assert row.widths[1] < row.widths[0]


@pytest.mark.slow
def test_five_runs_tell_of_others_and_one_of_itself_alone():
    one, five = over_runs(human_scores(60)[:, :6], 100, (1, 5), (40,), (0.15,))
    assert one.claimed == 0.0
    assert one.others < 0.85 < 0.9 < one.own
    assert five.others > 0.9
    assert five.claimed == five.rejected < 0.1


@pytest.mark.slow
def test_a_bootstrap_is_many_times_as_fast_as_scipys():
    assert measure_speed(5000, 100).ratio > 15  # hundreds where nothing else runs


def test_simulated_judges_have_the_agreement_and_the_errors_asked_for():
    drawn = world(human_scores(300), (0.305, 0.22), Errors(document=0.3, between=0.6))
    human, first, second = drawn.draw(3000, np.random.default_rng(1))
    for judge, rho in ((first, 0.305), (second, 0.22)):
        assert spearmanr(human.ravel(), judge.ravel()).statistic == pytest.approx(rho, abs=0.02)
    assert set(np.unique(first)) == {1, 2, 3, 4, 5}
    blind = world(human_scores(300), (0.0, 0.0), Errors(document=0.3, between=0.6))
    _, first, second = blind.draw(3000, np.random.default_rng(1))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] == pytest.approx(0.6, abs=0.06)
    assert np.corrcoef(first[:, 0], first[:, 1])[0, 1] == pytest.approx(0.3, abs=0.06)


def test_made_human_scores_have_the_margins_of_summeval_coherence():
    human = human_scores(2000)
    assert human.mean() == pytest.approx(3.4, abs=0.1) and human.std() == pytest.approx(1, abs=0.1)
    assert np.mean(human == 5) == pytest.approx(0.07, abs=0.03)


@pytest.mark.slow
def test_a_taste_for_systems_deceives_the_tests_over_documents_only():
    drawn = world(human_scores(150), (0.305, 0.305), Errors(system=0.18))
    rejected = {row.test: row.rejected for row in simulate(drawn, 50, 40)}
    by_document, *_, both = TESTS
    assert rejected[by_document] > 0.12 and rejected[both] < 0.1


def test_a_table_gives_documents_of_one_size():
    rubric = Rubric(
        inputs=("output",), criteria=(Criterion("fluency", "Reads well?", scale=(1, 5)),)
    )
    examples = [
        dspy.Example(output="x", human_fluency=1 + row % 5, group=f"{row // 4}")
        for row in range(46)
    ]
    assert human_table(examples, rubric).shape == (11, 4)  # the last document has only 2
    with pytest.raises(SetupError, match="got 5 with 4"):
        human_table(examples[:20], rubric)
    unrated = [dspy.Example(output="x", human_fluency=None, group="a")]
    with pytest.raises(SetupError, match="got 0 with 0"):
        human_table(unrated, rubric)


def test_each_kept_promise_is_printed_with_its_error(capsys):
    share = (0.9, 0.95)
    print_promises([Promises("pooled", 8, share, share, share, (0.79, 0.8))], 16, 100)
    row = next(line for line in capsys.readouterr().out.splitlines() if "pooled" in line)
    assert row.count("\N{PLUS-MINUS SIGN}") == 4 * 2
    assert "0.80 \N{PLUS-MINUS SIGN} 0.04" in row


def test_a_map_lowers_a_faulty_judges_error_and_leaves_a_faultless_one():
    planted = RatedSet.planted()
    raw, mapped, kept = planted.errors(FAULTS["lenient .3"], seed=0)
    assert mapped < 0.9 * raw and kept == 2
    raw, mapped, _ = planted.errors(FAULTS["no fault"], seed=0)
    assert mapped <= 1.01 * raw
