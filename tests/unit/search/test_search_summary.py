"""A study of known trials, read as a result."""

import warnings
from contextlib import contextmanager

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState

from mogradjudge.agreement import TestOptions, Undefined
from mogradjudge.agreement.selection_bias import corrected, resampled_means
from mogradjudge.search.analysis import summary
from mogradjudge.search.analysis.effects import mode_effects
from mogradjudge.search.analysis.summary import kept_summary, summarize, summary_of
from mogradjudge.search.trial import DETAILS
from mogradjudge.search.workers.existing import TASK
from mogradjudge.search.workers.queue import Queue, Task
from mogradjudge.search.workers.shared import FRESH, SCORES, TEXTS, Shared
from mogradjudge.search.workers.storage import opened

optuna.logging.set_verbosity(optuna.logging.ERROR)

MODES = ("SSS", "SSC", "SCC", "CCC")
SPACE = {
    "mode": CategoricalDistribution(MODES),
    "steps": IntDistribution(0, 63),
    "momentum": CategoricalDistribution([True, False]),
    "window": IntDistribution(0, 9),
}


def trial(number, mean, *, state=TrialState.COMPLETE, values=(), unscored=0, **told):
    """Make one trial; ``told`` holds its parameters, what judging a text takes, and agreement."""
    params = {name: told.pop(name) for name in SPACE if name in told}
    # Optuna keeps the last value that a pruned trial reported.
    values = None if state == TrialState.FAIL else [mean, *values]
    return optuna.trial.create_trial(
        state=state,
        params=params,
        distributions={name: SPACE[name] for name in params},
        values=values,
        user_attrs={
            TASK: str(number),
            "calls_per_text": 1.0,
            "tokens_per_text": 100.0,
            DETAILS: {
                "agreement": told.pop("agreement", {"a": mean, "mean": mean}),
                "unscored": {"a": unscored},
                "config": {"layout": "joint", **params},
                "race": told.pop("race", {}),
            },
            **told,
        },
    )


@contextmanager
def study_of(trials, tmp_path, names=("agreement",), texts=None, scores=()):
    """Keep trials in a study in memory, and what workers share in a file."""
    storage = optuna.storages.InMemoryStorage()
    least = ("calls_per_text", "tokens_per_text")
    study = optuna.create_study(
        storage=storage,
        study_name="s",
        directions=["minimize" if name in least else "maximize" for name in names],
    )
    for each in trials:
        study.add_trial(each)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(names))
    with opened(storage, tmp_path) as (_, engine):
        shared = Shared(engine, "s", patience=15)
        if texts is not None:
            shared.note(TEXTS, texts)
        for place, each in enumerate(scores):
            shared.note(f"{SCORES}/{place}", each)
        yield Queue(study, storage, shared), shared


@pytest.fixture
def found(tmp_path):
    def read(trials, *names, **how):
        with study_of(trials, tmp_path, names or ("agreement",), **how) as (queue, shared):
            return summarize(queue, shared)

    return read


def searched(count, seed=0, strong=0.2, weak=0.01):
    """Draw trials in which the mode matters and nothing else does; none is there twice."""
    rng = np.random.default_rng(seed)
    steps = rng.permutation(64)
    worth = dict(zip(MODES, rng.permutation([0, 1 / 3, 2 / 3, 1]), strict=True))
    for number in range(count):
        mode = str(rng.choice(MODES))
        mean = 0.3 + strong * worth[mode] + weak * rng.normal()
        params = {"steps": int(steps[number]), "momentum": bool(rng.random() < 0.5)}
        yield {"number": number, "mean": float(mean), "mode": mode, **params}


def judged(trials, documents=12, each=4, seed=0):
    """Give texts, and scores of each trial's judge on them."""
    rng = np.random.default_rng(seed)
    human = rng.integers(1, 6, documents * each)
    groups = [f"d{place // each:02}" for place in range(documents * each)]
    texts = {"human": {"a": human.tolist()}, "groups": groups, "level": "pooled"}
    return texts, [{"a": (human + rng.normal(size=len(human))).tolist()} for _ in trials]


@pytest.mark.slow
def test_a_repeated_configuration_counts_once_in_the_effects(found):
    drawn = list(searched(20))
    drawn[0]["mode"] = "SSS"
    texts, scores = judged(drawn)
    again = [{**each, "number": 20 + place} for place, each in enumerate(drawn[::2])]
    how = {"texts": texts, "scores": scores + scores[::2]}
    result = found([trial(**each) for each in (*drawn, *again)], **how)
    means = resampled_means(texts["human"], scores, texts["groups"], TestOptions(level="pooled"))
    params = [{name: each[name] for name in ("mode", "steps", "momentum")} for each in drawn]
    expected = mode_effects(
        params, [each["mean"] for each in drawn], means, reference="SSS", documents=12
    )
    assert result.effects == expected
    assert sum(each.n for each in result.effects.levels) == 20
    assert result.effects.reference == "SSS"
    assert {each.level for each in result.effects.levels if each.difference is None} == {"SSS"}


def test_a_trial_that_a_race_ended_never_wins_and_counts_in_effects_and_importances(found):
    drawn = list(searched(20))
    race = {"texts": 12, "rival": "0", "chance": 0.1}
    ended = [{**each, "race": race} if each["number"] % 3 else each for each in drawn]
    result, whole = (found([trial(**each) for each in trials]) for trials in (ended, drawn))
    assert whole.best.number % 3  # it would win
    assert {each.texts for each in result.trials if each.state == "ended early"} == {12}
    assert result.best.number % 3 == 0
    assert all(number % 3 == 0 for number in result.front)
    assert result.importances == whole.importances
    assert result.effects == whole.effects


@pytest.mark.slow
def test_a_trial_that_a_race_ended_is_as_lucky_as_its_rival_and_the_difference(found):
    drawn = list(searched(12))
    texts, scores = judged(drawn)
    order, rival = [*range(24, 48), *range(24)], scores[0]["a"]
    # On what was read the judge is its rival's equal, so it is taken for that everywhere.
    partly = [{"a": [rival[place] if place in order[:24] else None for place in range(48)]}]
    race = {"texts": 24, "rival": "0", "chance": 0.1}
    first, best = drawn[0]["mean"], max(each["mean"] for each in drawn[:-1])
    assert first < best
    trials = [trial(**each) for each in drawn[:-1]]
    last = {**drawn[-1], "mean": first}
    noted = {"texts": {**texts, "order": order}}
    result = found([*trials, trial(**last, race=race)], **noted, scores=[*scores[:-1], *partly])
    equal = found([*trials, trial(**last)], **noted, scores=[*scores[:-1], scores[0]])
    assert result.selected.optimism == pytest.approx(equal.selected.optimism, rel=0.01)
    effects = zip(result.effects.levels, equal.effects.levels, strict=True)
    for one, other in effects:
        assert one.effect.document_error == pytest.approx(other.effect.document_error, rel=0.05)


def test_effects_of_a_mode_that_was_not_searched_are_undefined(found):
    result = found([trial(0, 0.3, steps=3), trial(1, 0.4, steps=4)])
    assert result.effects == Undefined("the mode was not searched")


def test_effects_where_no_trial_has_a_value_are_undefined_for_that_reason(found):
    result = found([trial(0, 0.3, state=TrialState.FAIL, mode="SSS", agreement={})])
    assert result.effects == Undefined("no trial has a value")


@pytest.mark.parametrize("seed", range(5))
def test_the_parameter_that_matters_leads_the_importances(found, seed):
    drawn = list(searched(20, seed))
    shares = found([trial(**each) for each in drawn]).importances
    assert next(iter(shares)) == "mode" and shares["mode"] > 0.6
    assert set(shares) == {"mode", "steps", "momentum"}
    assert sum(shares.values()) == pytest.approx(1)
    assert all(type(share) is float for share in shares.values())


@pytest.mark.slow
def test_importances_are_of_the_mean_agreement(found):
    drawn = list(searched(20))
    # What the study asks for first is something else, which the number of steps decides.
    trials = [trial(**{**each, "values": [each["steps"]]}) for each in drawn]
    shares = found(trials, "agreement", "calls_per_text").importances
    assert shares == found([trial(**each) for each in drawn]).importances
    swapped = [
        trial(each["number"], each["steps"], **{**own, "agreement": {"mean": each["mean"]}})
        for each in drawn
        for own in [{name: each[name] for name in ("mode", "steps", "momentum")}]
    ]
    assert found(swapped).importances == shares


@pytest.mark.slow
def test_importances_do_not_count_a_configuration_twice(found):
    drawn = list(searched(20))
    again = [{**drawn[3], "number": 20 + place} for place in range(30)]
    trials = [trial(**each) for each in (*drawn, *again)]
    assert found(trials).importances == found(trials[:20]).importances
    assert found([trial(**each) for each in (*drawn[:7], *again)]).importances == {}
    assert found(trials[:8]).importances != {}


@pytest.mark.slow
def test_importances_take_the_parameters_that_every_trial_has(found):
    drawn = [{**each, "window": each["number"] % 7} for each in searched(20)]
    assert "window" in found([trial(**each) for each in drawn]).importances
    del drawn[11]["window"]
    assert set(found([trial(**each) for each in drawn]).importances) == {
        *("mode", "steps", "momentum")
    }
    alike = [trial(**{**each, "mean": 0.3}) for each in drawn]
    assert found(alike).importances == {}


def test_importances_of_many_configurations_are_of_some_over_the_whole_search(found, monkeypatch):
    drawn = [trial(**each) for each in searched(40)]
    monkeypatch.setattr(summary, "_MOST_CONFIGURATIONS", 20)
    shares = found(drawn).importances
    assert shares == found([drawn[2 * place] for place in range(20)]).importances
    assert next(iter(shares)) == "mode"


@pytest.mark.slow
def test_what_one_worker_has_summarized_no_other_does_again(tmp_path, monkeypatch):
    drawn = list(searched(20))
    texts, scores = judged(drawn)
    trials = [trial(**each) for each in drawn]
    with study_of(trials, tmp_path, texts=texts, scores=scores) as (queue, shared):
        first = summary_of(queue, shared)
        assert first == summarize(queue, shared)
        monkeypatch.setattr(summary, "summarize", None)
        again = summary_of(queue, shared)
        assert again == kept_summary(shared, queue.stage()) == first
        for number in ("0", first.best.task):
            shared.note(f"{FRESH}/{number}", scores[0])
            shared.note(f"{FRESH}/{number}/mean", 0.4)
        assert summary_of(queue, shared).fresh.best == 0.4
        monkeypatch.undo()
        queue.add_done(Task("20"), [0.9], {})
        assert kept_summary(shared, queue.stage()) is None


VALUES = ("agreement", "calls_per_text")


def priced(number, mean, calls, **told):
    """Make a trial of a study of agreement and calls."""
    return trial(number, mean, values=[calls], calls_per_text=calls, steps=number, **told)


def test_the_hypervolume_is_that_of_a_fixed_box(found):
    def volume(*pairs):
        return found([priced(n, *pair) for n, pair in enumerate(pairs)], *VALUES).hypervolume

    # The default's calls are 4, so the box ends at 8 of them.
    assert volume((0.5, 4.0)) == pytest.approx(0.5 * 0.5)
    two = volume((0.5, 4.0), (0.3, 2.0))
    assert two == pytest.approx(0.5 * 0.5 + 0.3 * 0.25)
    assert volume((0.5, 4.0), (0.3, 2.0), (0.2, 3.0)) == pytest.approx(two)
    assert volume((0.5, 4.0), (0.3, 2.0), (0.9, 8.0)) == pytest.approx(two)
    assert volume((0.5, 4.0), (0.3, 2.0), (-0.4, 1.0)) == pytest.approx(two)
    assert volume((0.5, 4.0), (0.3, 2.0), (0.6, 6.0)) == pytest.approx(two + 0.1 * 0.25)
    assert volume((-0.5, 4.0)) == 0
    assert volume((0.5, 0.0), (0.3, 2.0)) is None  # twice nothing is no bound
    assert found([trial(0, 0.5), trial(1, 0.6)]).hypervolume is None


def test_there_is_no_hypervolume_without_a_default(found):
    failed = priced(0, 0.5, 4.0, state=TrialState.FAIL)
    result = found([failed, priced(1, 0.4, 2.0)], *VALUES)
    assert result.default is None and result.hypervolume is None
    assert result.best.number == 1 and result.front == (1,)


def test_agreements_are_clipped_in_three_values(found):
    names = ("agreement.a", "agreement.b", "tokens_per_text")
    trials = [
        trial(n, each[0], values=each[1:], steps=n)
        for n, each in enumerate([(0.5, 0.4, 100.0), (0.6, -0.2, 50.0)])
    ]
    result = found(trials, *names)
    assert result.hypervolume == pytest.approx(0.5 * 0.4 * 0.5)
    assert result.front == (0, 1)


def test_no_trial_wins_that_measures_less_than_the_default(found):
    trials = [
        priced(0, 0.4, 4.0, unscored=1, agreement={"a": 0.5, "b": 0.3, "c": None, "mean": 0.4}),
        priced(1, 0.9, 1.0, unscored=2, agreement={"a": 0.9, "b": 0.9, "c": None, "mean": 0.9}),
        priced(2, 0.8, 1.0, unscored=0, agreement={"a": 0.8, "b": None, "c": None, "mean": 0.8}),
        priced(3, 0.5, 6.0, unscored=1, agreement={"a": 0.6, "b": 0.4, "c": None, "mean": 0.5}),
    ]
    result = found(trials, *VALUES)
    assert result.best.number == 3 and result.default.number == 0
    assert result.front == (0, 3)
    assert result.hypervolume == pytest.approx(0.4 * 0.5 + 0.1 * 0.25)
    nothing = found([])
    assert nothing.best is None and nothing.front == () and nothing.hypervolume is None


def test_the_front_of_one_value_is_by_calls_and_holds_who_may_win(found):
    trials = [
        trial(0, 0.4, calls_per_text=4.0, steps=0),
        trial(1, 0.9, calls_per_text=1.0, unscored=1, steps=1),
        trial(2, 0.5, calls_per_text=4.0, steps=2),
        trial(3, 0.3, calls_per_text=2.0, steps=3),
        trial(4, 0.5, calls_per_text=4.0, steps=2),  # a repeat of trial 2
    ]
    assert found(trials).front == (3, 2)


def test_the_front_of_several_values_has_a_row_for_each_configuration(found):
    costs = {"calls_per_text": 2.0, "values": [2.0]}
    trials = [trial(number, 0.5, steps=number % 2, **costs) for number in range(4)]
    assert found(trials, "agreement", "calls_per_text").front == (0, 1)


def test_a_tie_goes_to_the_cheaper_judge_and_then_to_the_earlier_one(found):
    trials = [
        trial(number, mean, calls_per_text=calls, steps=number)
        for number, (mean, calls) in enumerate(
            [(0.4, 1.0), (0.5, 4.0), (0.5, 2.0), (0.5, 3.0), (0.5, 2.0)]
        )
    ]
    assert found(trials).best.number == 2


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.FAIL])
def test_only_a_whole_trial_has_values(found, state):
    result = found([trial(0, 0.4), trial(1, 0.9, state=state)])
    assert [each.values for each in result.trials] == [(0.4,), None]
    assert result.best.number == 0 and result.front == (0,)


def test_the_luck_is_that_among_the_trials_that_may_win(found):
    drawn = [trial(number, 0.3 + 0.02 * number, steps=number) for number in range(6)]
    barred = [trial(number, 0.9, steps=number, unscored=3) for number in range(6, 12)]
    texts, scores = judged([*drawn, *barred])
    result = found([*drawn, *barred], texts=texts, scores=scores)
    alone = found(drawn, texts=texts, scores=scores)
    assert result.best.number == 5
    assert result.selected == alone.selected
    means = resampled_means(
        texts["human"], scores[:6], texts["groups"], TestOptions(level="pooled")
    )
    expected = corrected([0.3 + 0.02 * number for number in range(6)], means, 5, documents=12)
    assert result.selected == expected


@pytest.mark.parametrize("documents", [2, 7])
def test_few_documents_say_nothing_about_the_choice(found, documents):
    drawn = [trial(number, 0.3 + 0.02 * number, steps=number) for number in range(3)]
    texts, scores = judged(drawn, documents)
    said = "fewer than 8 documents, too few to estimate the selection bias"
    assert found(drawn, texts=texts, scores=scores).selected == Undefined(said)
    assert found([]).selected == Undefined("no trial has a value")
