"""The searched world favours the mode that it says, and a small search finds what was planted."""

import threading
from dataclasses import replace
from statistics import fmean
from typing import get_args

import dspy
import numpy as np
import pytest

from benchmarks.self_tests import search_luck
from benchmarks.self_tests.luck import draw_texts
from benchmarks.self_tests.search import find, print_found
from benchmarks.self_tests.search_setup import (
    BASE,
    BEST_MODE,
    CRITERIA,
    make_texts,
    searched,
    seed_judge,
    true_agreement,
)
from benchmarks.self_tests.search_speed import sharing
from benchmarks.worlds.cues import CUES
from benchmarks.worlds.planted import FAVOURED, PlantedEngine, PlantedWorld
from benchmarks.worlds.world import ToyEngine
from mogradjudge import MODES, MOGrad, MultiCriteriaJudge
from mogradjudge.objectives import rubric_objectives
from mogradjudge.optimize.directory import RunDirectory
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import agreement_of, judge_examples
from mogradjudge.search import SearchSpace
from mogradjudge.search.analysis.figures import draw
from mogradjudge.search.workers.storage import opened
from mogradjudge.settings import PARAMETERS

pytestmark = pytest.mark.slow

NOTHING = dict.fromkeys(PARAMETERS)


class SteadyEngine(ToyEngine):
    """The favoured world with one reply to each prompt."""

    def answer(self, system, user):
        return FAVOURED.reply(system, user)


def planted_lm(engine):
    return dspy.LM("planted/world", engine=engine, temperature=0.0)


@pytest.fixture(scope="module")
def by_mode() -> dict[str, float]:
    """The true agreement that each mode reaches in the default's steps, by brute force."""
    texts, found = make_texts(validation=3, selection=0), {}
    for name in MODES:
        reached = []
        for seed in range(2):
            with dspy.context(lm=planted_lm(PlantedEngine(FAVOURED))):
                optimizer = MOGrad(
                    name, steps=BASE.steps, batch_size=3, seed=seed, protocol="paper"
                )
                run = optimizer.optimize(
                    seed_judge(), trainset=texts.training, valset=texts.validation
                )
            reached.append(true_agreement(run.program))
        found[name] = fmean(reached)
    return found


@pytest.mark.slow
def test_the_world_favours_its_mode(by_mode):
    rest = [value for name, value in by_mode.items() if name != BEST_MODE]
    assert by_mode[BEST_MODE] > max(rest) + 0.03
    assert by_mode[BEST_MODE] > by_mode["CCC"] + 0.1


def test_there_is_much_to_learn_and_it_can_be_learnt(by_mode):
    judge = seed_judge()
    seed, ceiling = true_agreement(judge), true_agreement(with_cues(judge, 6))
    assert seed < ceiling - 0.2
    assert seed + 0.1 < by_mode[BEST_MODE] < ceiling


def with_cues(judge: MultiCriteriaJudge, count: int) -> MultiCriteriaJudge:
    texts = Candidate.of(judge).instructions
    new = {name: " ".join(CUES[name][:count]) for name in CRITERIA}
    return Candidate({path: each.replace(new) for path, each in texts.items()}).written_into(judge)


def test_true_agreement_is_that_of_very_many_texts():
    judge = with_cues(seed_judge(), 3)
    texts = make_texts(training=0, validation=0, selection=80).selection
    with dspy.context(lm=planted_lm(PlantedEngine(FAVOURED))):
        judgements = judge_examples(judge, texts, rubric_objectives(judge.rubric), 4)
    measured = agreement_of(judgements, rubric_objectives(judge.rubric, BASE.level)).mean
    assert measured == pytest.approx(true_agreement(judge), abs=0.04)


@pytest.mark.parametrize("omission", [0.0, 0.5])
def test_a_share_of_advice_is_left_out_by_an_editor_of_several_criteria(omission):
    world, kept = PlantedWorld(omission=omission), 0
    for number in range(200):
        advice = f"{number}: Tell the judge to {CUES['fluency'][0]}."
        both = world.rewritten({"fluency": "", "coherence": ""}, advice)
        kept += CUES["fluency"][0] in both["fluency"]
        assert CUES["fluency"][0] in world.rewritten({"fluency": ""}, advice)["fluency"]
    assert kept / 200 == pytest.approx(1 - omission, abs=0.1)


@pytest.mark.slow
def test_a_small_search_recovers_the_sign_of_the_planted_effect(tmp_path):
    engine = PlantedEngine(FAVOURED)
    found = find(
        planted_lm(engine),
        make_texts(training=4, validation=3, selection=12),
        tmp_path,
        trials=4,
        sampler="grid",
        space=SearchSpace(**NOTHING | {"mode": ("SSS", "CCC"), "seed": (0, 1)}),
        base=replace(BASE, mode=MODES["CCC"], batch_size=3),
    )
    effects = {each.level: each.effect.value for each in found.result.effects.levels}
    truth = {each.level: each.effect.value for each in found.true_effects.levels}
    assert effects["SSS"] > 0.02 and truth["SSS"] > 0.02
    assert effects["SSS"] == pytest.approx(-effects["CCC"])
    assert found.right_choice
    assert found.seed < found.best <= found.best_of_all
    assert engine.calls.total() == found.result.spent.calls
    print_found(found, 60)
    assert all(path.stat().st_size for path in draw(found.result, tmp_path))


@pytest.mark.slow
def test_what_sharing_saves_is_what_the_trials_were_given_for_nothing(tmp_path):
    engine = SteadyEngine()
    saved, found = sharing(
        planted_lm(engine),
        make_texts(training=2, validation=1, selection=3),
        tmp_path,
        lambda: engine.calls.total(),
        trials=3,
        sampler="random",
    )
    assert saved.saved == saved.counted > 0
    assert saved.shared == found.spent.calls
    assert saved.afresh > 0


def test_a_studys_file_is_not_synced_to_the_disk_at_each_of_its_commits(tmp_path):
    with opened(None, tmp_path) as (storage, shared):
        for engine in (storage.engine, shared):
            with engine.begin() as connection:
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL


@pytest.mark.slow
def test_the_end_waits_for_a_worker_that_is_at_the_same_scoring(tmp_path):
    held, over = threading.Event(), threading.Event()
    folder = RunDirectory(tmp_path / "fresh" / "0000")

    def hold() -> None:
        with folder.locked():
            held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    texts = make_texts(training=1, validation=1, selection=3)
    # The other one ends some time after this one has met it.
    timer = threading.Timer(3.0, over.set)
    timer.start()
    found = searched(planted_lm(SteadyEngine()), texts, tmp_path, trials=1)
    thread.join()
    assert found.fresh is not None
    assert found.importances == {}  # of one trial there are none


def test_only_what_is_called_confirmed_sets_texts_aside():
    names, rng = get_args(search_luck.Procedure), np.random.default_rng(0)
    texts, world = draw_texts(64, 1, rng), search_luck.WORLDS["null"]
    jobs = {name: search_luck.Search(texts, world, name, rng).job for name in names}
    confirming = {name for name, job in jobs.items() if job.confirmation}
    assert confirming == {name for name in names if name.endswith("confirmed")} != set()


def test_simulated_searches_are_raced_and_confirmed():
    read = {}
    for world, procedure, trials, share, *figures in search_luck.rows(1, 64, 1000):
        assert float(trials) >= 3
        read[world, procedure] = float(share)
        assert all(np.isfinite(float(figure)) for figure in figures if figure != "-")
    assert {share for (_, how), share in read.items() if how.startswith("all")} == {1.0}
    assert min(share for (_, how), share in read.items() if how.startswith("race")) < 1.0
