"""How trials are drawn and given up: seeds, rungs, the pruner's patience, and the grid's size."""

from dataclasses import fields

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from benchmarks.worlds.world import toy_rubric
from mogradjudge.criteria.decomposition import MODES
from mogradjudge.errors import SetupError
from mogradjudge.hashing import digest
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import JudgeSettings
from mogradjudge.lm.budget import Budget
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.events import RunEnded, SeedScored, StepEnded
from mogradjudge.search.job import Job
from mogradjudge.search.judge_variant import judge_with
from mogradjudge.search.plan import Plan, tasks
from mogradjudge.search.pruning import Rungs, calls_per_step, last_rung
from mogradjudge.search.ranges import Range
from mogradjudge.search.samplers import pruner_of, sampler_for
from mogradjudge.search.space import SearchSpace
from mogradjudge.settings import SAMPLERS

RUBRIC = toy_rubric("coherence", "fluency", "relevance")
NOTHING = dict.fromkeys(each.name for each in fields(SearchSpace))
RUNG, LAST = 10, 6


def a_study(pruner: str | optuna.pruners.BasePruner | None = None) -> optuna.Study:
    return optuna.create_study(direction="maximize", pruner=pruner_of(pruner, 1))


def run(trial, step, means, stop_reason="steps", last=LAST, first=0):
    """Tell a trial's rungs of a run: the seed's mean, then one for each step, from ``first`` on."""
    rungs = Rungs(trial, step, RUNG, last)
    for number, mean in enumerate(means):
        if number < first:
            continue
        agreement = {"mean": mean}
        if number == 0:
            rungs(SeedScored(agreement, {}, {}, {}, {}, 0))
        else:
            rungs(StepEnded(number, agreement, 0, 0, None))
    if stop_reason is not None:
        best = max((each for each in means if each is not None), default=None)
        rungs(RunEnded(stop_reason, False, {"mean": best}, 0))


def rungs_of(trial) -> dict[int, float]:
    return trial.storage.get_trial(trial._trial_id).intermediate_values


def test_a_rung_holds_the_best_that_was_found_by_then():
    # With the gate "none" agreement may fall; a trial keeps what it had.
    trial = a_study().ask()
    run(trial, RUNG, [0.2, 0.9, 0.1, 0.4], last=None)
    assert rungs_of(trial) == {0: 0.2, 1: 0.9, 2: 0.9, 3: 0.9}


def test_a_step_of_many_calls_stands_for_nothing_before_it_ends():
    trial = a_study().ask()
    run(trial, 25, [0.2, 0.9, 0.5], last=None)
    assert rungs_of(trial) == {0: 0.2, 1: 0.2, 2: 0.2, 3: 0.9, 4: 0.9, 5: 0.9}


def test_an_undefined_agreement_is_no_rung():
    trial = a_study().ask()
    run(trial, RUNG, [None, None, 0.3], last=None)
    assert rungs_of(trial) == {2: 0.3}


def test_an_attempt_goes_on_where_the_one_before_it_was():
    study = a_study()
    trial = study.ask()
    run(trial, RUNG, [0.2, 0.9], stop_reason=None)
    study.add_trial(
        optuna.create_trial(state=TrialState.WAITING, intermediate_values=rungs_of(trial))
    )
    again = study.ask()
    run(again, RUNG, [0.2, 0.9, 0.5, 0.6], stop_reason=None, first=2)
    assert rungs_of(again) == {0: 0.2, 1: 0.9, 2: 0.9, 3: 0.9}
    with pytest.warns(UserWarning, match="already reported"):  # as a second report of a rung would
        again.report(0.0, 0)


@pytest.mark.parametrize("stop_reason", ["steps", "target", "patience"])
def test_a_run_that_ended_stands_at_all_later_rungs(stop_reason):
    trial = a_study().ask()
    run(trial, 4, [0.2, 0.9, 0.5], stop_reason)
    assert rungs_of(trial) == {0: 0.2} | dict.fromkeys(range(1, LAST + 1), 0.9)


@pytest.mark.parametrize("stop_reason", ["interrupted", "stop_file", "budget"])
def test_a_run_that_was_cut_short_may_go_on(stop_reason):
    trial = a_study().ask()
    run(trial, RUNG, [0.2, 0.9, 0.5], stop_reason)
    assert rungs_of(trial) == {0: 0.2, 1: 0.9, 2: 0.9}


def ended(study: optuna.Study, step: int, means: list[float]) -> None:
    trial = study.ask()
    run(trial, step, means)
    study.tell(trial, max(means))


@pytest.mark.parametrize("step", [3, RUNG, 25, 60])
def test_a_layout_is_not_given_up_for_its_seed_prompt(step):
    study = a_study("median")
    for _ in range(8):
        ended(study, RUNG, [0.5, 0.6, 0.6, 0.6])
    trial = study.ask()
    run(trial, step, [0.0, 0.92, 0.92])
    assert rungs_of(trial)[LAST] == 0.92


def test_what_is_hopeless_after_a_step_is_given_up():
    study = a_study("median")
    for _ in range(4):
        ended(study, RUNG, [0.5, 0.6, 0.6])
    run(study.ask(), RUNG, [0.5, 0.5, 0.5])  # four trials are too few to judge by
    ended(study, RUNG, [0.5, 0.6, 0.6])
    trial = study.ask()
    with pytest.raises(optuna.TrialPruned):
        run(trial, RUNG, [0.5, 0.5, 0.5])
    assert rungs_of(trial) == {0: 0.5, 1: 0.5}


def test_a_cheap_run_that_is_over_is_what_a_dear_one_is_compared_with():
    study = a_study("median")
    for _ in range(5):
        ended(study, 5, [0.2, 0.9])  # over before rung 1
    with pytest.raises(optuna.TrialPruned):
        run(study.ask(), 20, [0.2, 0.4, 0.4])


class Hopeless(optuna.pruners.BasePruner):
    """Gives up all that it is asked about."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return True


def test_no_pruner_is_asked_before_a_step_or_after_the_end():
    study = a_study(Hopeless())
    run(study.ask(), RUNG, [0.2])
    with pytest.raises(optuna.TrialPruned):
        run(study.ask(), RUNG, [0.2, 0.3])


@st.composite
def spaces(draw):
    """Draw a space of everything that a run's number of calls depends on."""
    domains = {
        "mode": st.sets(st.sampled_from(sorted(MODES)), min_size=1).map(tuple),
        "layout": st.sampled_from([("combined",), ("separate",), ("combined", "separate")]),
        "batch_size": st.sampled_from([(1, 7), Range(2, 5)]),
        "steps": st.sampled_from([(2, 9), Range(1, 30, log=True)]),
        "score_rule": st.sampled_from([("integer",), ("integer", "mean_of_n")]),
        "n": st.sampled_from([(2, 4), Range(2, 6)]),
    }
    found = {name: draw(st.none() | domain) for name, domain in domains.items()}
    if "mean_of_n" in (found["score_rule"] or ()):
        found["n"] = found["n"] or (2, 3)
    return SearchSpace(**NOTHING | found)


@given(spaces(), st.integers(1, 20), st.booleans(), st.integers(0, 99))
def test_no_run_of_a_space_gets_beyond_the_last_rung(space, validation, sampled, seed):
    base = MOGradConfig(steps=3)
    own = JudgeSettings(score_rule="mean_of_n", n=3) if sampled else JudgeSettings()
    judge = judge_with(MultiCriteriaJudge(RUBRIC), own)
    space = space.including(base, own) if not _has_ranges(space) else space
    last = last_rung(space, base, judge, validation)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    config, settings = space.suggest(trial, base), space.suggest_settings(trial, own)
    step = calls_per_step(config, judge_with(judge, settings), validation)
    assert config.steps * step // calls_per_step(base, judge, validation) <= last


def _has_ranges(space: SearchSpace) -> bool:
    return any(isinstance(getattr(space, name), Range) for name in space.searched)


def test_the_last_rung_is_that_of_the_dearest_configuration():
    base, judge = MOGradConfig(steps=2, batch_size=3), MultiCriteriaJudge(RUBRIC)
    assert last_rung(SearchSpace(**NOTHING), base, judge, 8) == 2
    space = SearchSpace(**NOTHING | {"layout": ("combined", "separate")})
    assert last_rung(space, base, judge, 8) == 3  # two steps of 52 calls, in rungs of 30
    space = SearchSpace(**NOTHING | {"mode": ("CCC", "SSS"), "steps": Range(1, 10)})
    assert last_rung(space, base, judge, 8) == 10 * (11 + 3 * 6 + 3) // 30


def test_the_median_has_several_trials_and_a_step_to_go_by():
    pruner = pruner_of("median", 1)
    assert (pruner._n_startup_trials, pruner._n_warmup_steps) == (5, 1)
    with pytest.raises(SetupError, match="`pruner` needs a search with one value"):
        pruner_of("median", 2)


def draws(factory, numbers):
    """Draw a number in [0, 1] for each trial's number, each from a sampler of its own."""
    found = []
    for number in numbers:
        study = optuna.create_study(sampler=factory(number))
        found.append(study.ask().suggest_float("x", 0, 1))
    return found


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_named_sampler_is_seeded_by_the_search_and_the_trial(name):
    one = draws(sampler_for(name, 3, 20, 1), range(5))
    assert len(set(one)) == 5
    assert draws(sampler_for(name, 3, 20, 1), range(5)) == one
    assert not {*draws(sampler_for(name, 4, 20, 1), range(5))} & {*one}


@pytest.mark.parametrize("name", SAMPLERS)
def test_more_trials_draw_the_first_ones_alike(name):
    def points(trials):
        factory = sampler_for(name, 0, trials, 2)
        study = optuna.create_study(directions=["maximize", "minimize"])
        found = []
        for number in range(24):
            study.sampler = factory(number)
            trial = study.ask()
            x = trial.suggest_float("x", 0, 1)
            study.tell(trial, [x, x * x])
            found.append(x)
        return found

    assert points(24) == points(400)


def test_nsga2_leaves_chance_after_a_few_trials():
    assert sampler_for(None, 0, 20, 2)(0)._population_size == 8


OWN = [
    lambda: optuna.samplers.RandomSampler(1),
    lambda: optuna.samplers.TPESampler(seed=1),
    lambda: optuna.samplers.NSGAIISampler(seed=1),
]


@pytest.mark.parametrize("make", OWN)
def test_a_sampler_of_ones_own_draws_nothing_twice(make):
    own = make()
    # Two workers, each with the same object of the user's, and trials that follow each other.
    found = draws(sampler_for(own, 0, 20, 1), range(3)) + draws(
        sampler_for(make(), 0, 20, 1), range(3)
    )
    assert len(set(found)) == 6
    assert draws(lambda number: own, [0]) == draws(lambda number: make(), [0])  # it is not touched


def test_a_factory_seeds_as_it_likes():
    factory = sampler_for(lambda number: optuna.samplers.RandomSampler(number), 0, 20, 1)
    assert draws(factory, [5, 6, 5]) == draws(optuna.samplers.RandomSampler, [5, 6, 5])


@pytest.mark.parametrize(
    ("sampler", "line"),
    [
        ("best", "`sampler` must be one of tpe, nsga2, random, grid, one of Optuna's, or a"),
        (3, "`sampler` must be one of tpe, nsga2, random, grid, one of Optuna's, or a"),
        (optuna.samplers.GridSampler({"x": [1]}), 'cannot be Optuna\'s GridSampler.*"grid"'),
        (lambda number: optuna.samplers.GridSampler({"x": [1]}), "cannot be Optuna's GridSampler"),
        (lambda number: "tpe", "must give one of Optuna's samplers when it is called.*got 'tpe'"),
    ],
)
def test_a_sampler_that_cannot_work_is_refused(sampler, line):
    with pytest.raises(SetupError, match=line):
        sampler_for(sampler, 0, 20, 1)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_brute_force_sampler_is_refused():
    with pytest.raises(SetupError, match="cannot be Optuna's BruteForceSampler"):
        sampler_for(optuna.samplers.BruteForceSampler(seed=0), 0, 20, 1)


GRID = SearchSpace(**NOTHING | {"mode": ("SSS", "SSC"), "batch_size": (1, 3), "seed": (0, 1, 2)})


@pytest.mark.parametrize("trials", [1, 5, 11, 12, 40])
def test_a_grid_that_is_cut_is_told(trials, caplog, tmp_path):
    base = MOGradConfig(batch_size=3)
    judge = MultiCriteriaJudge(RUBRIC)
    job = Job(judge, [], [], [], GRID, base, Budget(), ("agreement",), {}, tmp_path)
    with caplog.at_level("WARNING", "mogradjudge"):
        named = tasks(job, Plan("search", trials, "grid", None, 0, 10))
    assert len({digest(each.params) for each in named}) == len(named) == min(trials, 12)
    assert named[0].params == GRID.params_of(base, judge.settings)
    assert [each.getMessage() for each in caplog.records] == (
        [f"{trials} of the grid's 12 configurations will be tried; raise `trials`."]
        if trials < 12
        else []
    )
