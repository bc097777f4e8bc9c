"""What a search draws: no configuration twice, and none that the space does not have."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from mogradjudge import MOGradConfig
from mogradjudge.judge.scores import JudgeSettings
from mogradjudge.search import Range, SearchSpace
from mogradjudge.search.draws import Draws
from mogradjudge.search.samplers import Factory, grid_of, sampler_for
from mogradjudge.search.workers.existing import WHY
from mogradjudge.search.workers.queue import Queue, Task
from mogradjudge.search.workers.shared import Shared
from mogradjudge.search.workers.storage import opened
from mogradjudge.settings import PARAMETERS

BASE, JUDGE = MOGradConfig(steps=1), JudgeSettings()
NOTHING = dict.fromkeys(PARAMETERS)
GATES = {"gate": ("mean", "criterion"), "tolerance": (0.0, 0.1)}
SPACE = SearchSpace(**NOTHING | GATES | {"mode": ("SSS", "CCC")})
SIZE = 2 * (1 + 2)  # a tolerance makes no configuration where the gate has none


@contextmanager
def queue_of(
    folder: Path, space: SearchSpace = SPACE, sampler: Factory | str = "tpe", values: int = 1
) -> Iterator[Queue]:
    with opened(None, folder) as (storage, engine):
        directions = ["maximize"] * values
        study = optuna.create_study(
            storage=storage, study_name="any", directions=directions, load_if_exists=True
        )
        draws = Draws(space, BASE, JUDGE, sampler_for(sampler, 0, 9, values))
        yield Queue(study, storage, Shared(engine, "any", 30.0), draws)


def fill(queue: Queue, tasks: int) -> None:
    queue.fill([Task(f"{number:04d}") for number in range(tasks)])


def run(queue: Queue, values: int = 1) -> None:
    """Run all trials; the value depends on the mode alone, so that a sampler insists on it."""
    while (trial := queue.pull()) is not None:
        queue.finish(trial, [float(trial.params["mode"] == "SSS")] * values, {})


def configurations(queue: Queue) -> list[tuple]:
    return [tuple(sorted(trial.params.items())) for trial in queue.trials()]


def multivariate(number: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=number, multivariate=True, n_startup_trials=2)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    ("sampler", "values"), [("tpe", 1), ("random", 1), ("nsga2", 2), (multivariate, 1)]
)
def test_a_finite_space_is_drawn_to_its_end_and_nothing_twice(sampler, values, tmp_path):
    with queue_of(tmp_path, SPACE, sampler, values) as queue:
        for tasks in (SIZE + 2, SIZE + 5):  # the second one as a later start with more trials
            fill(queue, tasks)
            run(queue, values)
            assert len({*configurations(queue)}) == len(queue.trials()) == queue.size() == SIZE
            assert queue.unfinished() == 0


def test_what_another_worker_is_at_is_not_drawn(tmp_path):
    with queue_of(tmp_path) as one, queue_of(tmp_path) as other:
        fill(one, SIZE + 1)
        begun = [queue.pull() for queue in (one, other) * (SIZE // 2)]
        assert len({*configurations(one)}) == SIZE
        assert [one.pull(), one.unfinished()] == [None, SIZE]  # nobody is done yet
        assert all(one.finish(trial, [1.0], {}) for trial in begun)


def test_a_trial_that_was_cut_short_keeps_its_configuration(tmp_path):
    with queue_of(tmp_path) as queue:
        fill(queue, SIZE)
        cut = queue.pull()
        queue.give_back(cut, "interrupted", "stopped")
        run(queue)
        again = [trial for trial in queue.trials() if trial.user_attrs["task"] == "0000"]
        assert [trial.params for trial in again] == [cut.params] * 2
        assert len({*configurations(queue)}) == SIZE


def test_an_endless_space_is_never_at_its_end_but_a_finite_part_of_it_is(tmp_path):
    # Without that gate no number is drawn, and there are two configurations.
    space = SearchSpace(**NOTHING | GATES | {"tolerance": Range(0.0, 0.5), "mode": ("SSS", "CCC")})
    with queue_of(tmp_path, space, "random") as queue:
        fill(queue, 12)
        run(queue)
        assert len({*configurations(queue)}) == len(queue.trials()) == 12


def test_a_repeat_that_the_user_asks_for_is_run(tmp_path):
    with queue_of(tmp_path) as queue:
        fill(queue, SIZE)
        run(queue)
        queue.study.enqueue_trial({"mode": "SSS", "gate": "mean"})
        run(queue)
        assert [len({*configurations(queue)}), len(queue.trials())] == [SIZE, SIZE + 1]


UNKNOWN = [
    ({"mode": "SSS", "lr": 0.1}, "lr"),
    ({"mode": "XYZ"}, "XYZ"),
    ({"tolerance": 0.7, "gate": "criterion"}, "0.7"),
    ({"tolerance": None, "gate": "criterion"}, "None"),
    ({"tolerance": 0.1, "gate": "mean"}, "tolerance"),
    ({"n": 3}, "n"),
]


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        *((value, Range(1, 3)) for value in (2.5, True, 2.0000000001)),
        *((2.5, domain) for domain in ((1, 2, 3), Range(1, 3, step=1))),
    ],
)
def test_an_enqueued_number_that_is_not_whole_fails_and_is_not_rounded(value, domain, tmp_path):
    space = SearchSpace(**NOTHING | {"batch_size": domain, "mode": ("SSS", "CCC")})
    with queue_of(tmp_path, space) as queue:
        for number in (value, 2.0):
            queue.study.enqueue_trial({"batch_size": number})
        run(queue)
        wrong, right = queue.trials()
        assert [wrong.state.name, right.state.name] == ["FAIL", "COMPLETE"]
        assert repr(value) in wrong.user_attrs[WHY]
        assert right.params["batch_size"] == 2


@pytest.mark.parametrize(("params", "named"), UNKNOWN)
def test_an_enqueued_trial_that_the_space_does_not_know_fails_alone(params, named, tmp_path):
    with queue_of(tmp_path) as queue:
        queue.study.enqueue_trial(params)
        queue.study.enqueue_trial({"mode": "CCC"})  # the rest of it is drawn
        fill(queue, 1)
        run(queue)
        run(queue)  # as the next start does
        wrong, *others = queue.trials()
        assert wrong.state.name == "FAIL"
        assert f"{named}" in wrong.user_attrs[WHY]
        assert "\n" not in wrong.user_attrs[WHY]
        assert [trial.state.name for trial in others] == ["COMPLETE"] * 2


def test_an_enqueued_trial_that_never_ran_takes_no_configuration(tmp_path):
    with queue_of(tmp_path) as queue:
        fill(queue, 1)
        run(queue)
        queue.study.enqueue_trial({"mode": "CCC", "gate": "mean", "tolerance": 0.1})
        run(queue)
        fill(queue, SIZE + 1)
        run(queue)
        refused, done = queue.trials(TrialState.FAIL), queue.trials(TrialState.COMPLETE)
        assert [len(refused), len({tuple(trial.params.items()) for trial in done})] == [1, SIZE]


def test_a_trial_on_which_an_earlier_start_died_fails_alone_too(tmp_path):
    with queue_of(tmp_path) as queue:
        queue.study.enqueue_trial({"mode": "XYZ"})
        queue.draws, draws = None, queue.draws  # as the earlier version, which drew later
        queue.give_back(queue.pull(), "interrupted", "ValueError")
        queue.draws = draws
        fill(queue, 2)
        run(queue)
        states = [trial.state.name for trial in queue.trials()]
        assert sorted(states) == ["COMPLETE", "COMPLETE", "FAIL", "FAIL"]
        assert queue.unfinished() == 0


@st.composite
def finite_spaces(draw):
    """Draw a space without ranges, and with its parents searched or not."""
    domains = {
        "mode": st.sampled_from([None, ("SSS", "CCC"), ("SSC", "SCC", "CCC")]),
        "gate": st.sampled_from([None, ("mean", "criterion"), ("mean",)]),
        "tolerance": st.sampled_from([None, (0.0, 0.1), (0.0,)]),
        "edit_preamble": st.sampled_from([None, (True, False)]),
        "batch_size": st.sampled_from([None, (1, 3), (3,)]),
        "score_rule": st.sampled_from([None, ("integer", "mean_of_n")]),
        "n": st.sampled_from([(2, 3), (2,)]),
    }
    return SearchSpace(**NOTHING | {name: draw(values) for name, values in domains.items()})


@given(finite_spaces())
def test_a_space_has_as_many_configurations_as_its_grid(space):
    whole = space.including(BASE, JUDGE)
    draws = Draws(whole, BASE, JUDGE, lambda number: optuna.samplers.RandomSampler(number))
    assert draws.size == len(grid_of(whole, BASE, JUDGE, 0))


@pytest.mark.parametrize(
    ("domain", "size"),
    [(Range(1, 8), 8), (Range(1, 9, step=2), 5), (Range(2, 2), 1), (Range(1, 64, log=True), 64)],
)
def test_a_range_of_whole_numbers_is_counted(domain, size):
    assert SearchSpace(**NOTHING | {"batch_size": domain}).count({}) == size


def test_a_range_of_numbers_is_counted_by_its_steps():
    steps = SearchSpace(**NOTHING | {"editor_temperature": Range(0.1, 0.9, step=0.2)})
    assert steps.count({}) == 5
    endless = SearchSpace(**NOTHING | {"editor_temperature": Range(0.1, 0.9)})
    assert endless.count({}) == float("inf")
