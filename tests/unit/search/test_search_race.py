"""Trials race on the selection texts, and the best one is confirmed on texts that chose nothing."""

import json
import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

import dspy
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.worlds.world import ToyEngine, role_of, toy_examples, toy_rubric
from mogradjudge import Budget, MOGradConfig, MultiCriteriaJudge, SetupError
from mogradjudge.data import group_of
from mogradjudge.optimize.confirmation import FEWEST_DOCUMENTS
from mogradjudge.optimize.parts import Parts
from mogradjudge.programs.evaluation import agreement_of, judge_examples
from mogradjudge.search import SearchResult, SearchSpace, search
from mogradjudge.search.analysis.load import read_search
from mogradjudge.search.analysis.result import plain
from mogradjudge.search.analysis.verdict import verdict
from mogradjudge.search.job import Job
from mogradjudge.search.parts import parted
from mogradjudge.search.selection import Rival, select
from mogradjudge.search.study import Arguments
from mogradjudge.search.workers.queue import Queue
from mogradjudge.search.workers.shared import CONFIRMED, Shared
from mogradjudge.search.workers.storage import opened

RUBRIC = toy_rubric("coherence", "fluency")
TEXTS = toy_examples(RUBRIC, 100)
TRAIN, VALIDATION, SELECTION = TEXTS[:12], TEXTS[12:20], TEXTS[20:84]
NOTHING = dict.fromkeys(field.name for field in fields(SearchSpace))
LAYOUTS = SearchSpace(**NOTHING | {"layout": ("combined", "separate")})
BASE = MOGradConfig(steps=1, num_threads=2)


class Reversed(ToyEngine):
    """The toy world whose judge takes the scale the wrong way round in the separate layout."""

    def answer(self, system: str, user: str) -> str:
        answer = super().answer(system, user)
        names = [f"[[ ## {name} ## ]]" for name in RUBRIC.names]
        if role_of(system) != "judge" or all(name in system for name in names):
            return answer
        return re.sub(r"(?<=\n)[1-5](?=\n|$)", lambda found: str(6 - int(found[0])), answer)


class Deaf(ToyEngine):
    """The toy world whose judge reads no instructions: no rewrite changes a score."""

    def answer(self, system: str, user: str) -> str:
        if role_of(system) == "judge":
            system = re.sub(r"BIAS=-?\d+", "", system)
        return super().answer(system, user)


def searched(out: Path, engine: ToyEngine | None = None, **changes: object) -> SearchResult:
    """Search in the toy world; ``changes`` replace the arguments."""
    lm = dspy.LM("toy/world", engine=engine or Reversed(), temperature=0.0, cache=True)
    usual = {"space": LAYOUTS, "sampler": "grid", "base": BASE, "trials": 2, "out": out}
    sets = {"valset": VALIDATION, "selectionset": SELECTION}
    with dspy.context(lm=lm):
        return search(MultiCriteriaJudge(RUBRIC), TRAIN, **sets | usual | changes)


@pytest.mark.parametrize("space", [{"mode": ("S > coherence+tone > C",)}, {"layout": ("a | b",)}])
def test_a_partition_of_other_criteria_is_refused_before_any_call(space, tmp_path):
    engine = ToyEngine()
    with pytest.raises(SetupError, match="coherence"):
        searched(tmp_path, engine, space=SearchSpace(**NOTHING | space))
    assert not engine.prompts


@pytest.mark.slow
def test_a_mode_that_needs_routing_is_refused_where_a_trial_may_be_without_it(tmp_path):
    engine, mode = ToyEngine(), ("SCS",)
    for space in ({"mode": mode}, {"mode": mode, "routing": (False, True)}):
        with pytest.raises(SetupError, match="'SCS'"):
            searched(tmp_path, engine, space=SearchSpace(**NOTHING | space))
    assert not engine.prompts
    space = SearchSpace(**NOTHING | {"mode": ("SSC", "SCS")})
    result = searched(tmp_path, engine, space=space, base=replace(BASE, routing=True))
    assert sorted(trial.params["mode"] for trial in result.trials) == ["SCS", "SSC"]


def job_of(out: Path, **changes: object) -> Job:
    sets = {"valset": VALIDATION, "selectionset": SELECTION}
    return Arguments(MultiCriteriaJudge(RUBRIC), TRAIN, **sets | {"out": out} | changes).job()


def judge_by(job: Job, score):
    """Give a function that judges texts, from one of the place of a text and its true score."""

    class Judge(dspy.Module):
        def forward(self, output):
            place = int(re.search(r"Text (\d+)", output)[1])
            true = [int(digits) for digits in re.findall(r"=(\d)", output)]
            scores = {name: score(place, it) for name, it in zip(RUBRIC.names, true, strict=True)}
            return dspy.Prediction(**scores)

    return lambda texts: judge_examples(Judge(), texts, job.objectives, num_threads=1)


def noisy(place: int, true: int) -> int:
    return min(5, max(1, true + place % 3 - 1))


def rival_of(job: Job, score) -> Rival:
    return Rival("0000", 0, job.scores_of(judge_by(job, score)(job.selection)))


@pytest.fixture
def job(tmp_path) -> Job:
    return job_of(tmp_path)


def test_a_hopeless_trial_is_read_no_further_and_its_agreement_is_estimated(job):
    judge = judge_by(job, lambda place, true: 6 - noisy(place, true))
    selected = select(job, rival_of(job, noisy), judge)
    read = sorted(job.order[: len(selected.judgements)])
    assert 0 < len(read) < len(job.selection)
    assert selected.chance < 0.2
    texts = [job.selection[place] for place in read]
    assert [it.example.output for it in selected.judgements] == [text.output for text in texts]
    whole, before, after = (
        agreement_of(judge_by(job, score)(examples), job.objectives).as_dict()
        for score, examples in (
            (noisy, job.selection),
            (noisy, texts),
            (lambda place, true: 6 - noisy(place, true), texts),
        )
    )
    assert selected.agreement == pytest.approx(
        {name: whole[name] + after[name] - before[name] for name in whole}
    )
    scores = job.scores_of(selected.judgements)["fluency"]
    assert [place for place, score in enumerate(scores) if score is not None] == read


@pytest.mark.parametrize("changes", [{}, {"base": replace(BASE, race="off")}, {"rival": None}])
def test_a_trial_that_may_be_better_is_read_to_the_end_and_each_without_a_race(changes, tmp_path):
    races = not changes
    job = job_of(tmp_path, **{name: it for name, it in changes.items() if name != "rival"})
    rival = rival_of(job, noisy) if "rival" not in changes else None
    score = (lambda place, true: true) if races else (lambda place, true: 6 - true)
    selected = select(job, rival, judge_by(job, score))
    assert len(selected.judgements) == len(job.selection)
    assert (selected.rival, selected.chance) == (None, None)
    assert selected.agreement == selected.measured.as_dict()


def test_a_trial_of_several_values_races_on_while_it_may_win_on_one_criterion(tmp_path):
    job = job_of(tmp_path, values=("criteria", "calls_per_text"))
    rival = rival_of(job, noisy)
    perfect, hopeless = judge_by(job, lambda place, true: true), judge_by(job, lambda p, t: 6 - t)

    def mixed(texts):
        pairs = zip(perfect(texts), hopeless(texts), strict=True)
        return judge_examples(
            Fixed(
                [(one.prediction.coherence, two.prediction.fluency) for one, two in pairs], texts
            ),
            texts,
            job.objectives,
            num_threads=1,
        )

    assert len(select(job, rival, mixed).judgements) == len(job.selection)
    assert len(select(job, rival, hopeless).judgements) < len(job.selection)


class Fixed(dspy.Module):
    """Gives each text the scores that were written for it."""

    def __init__(self, scores, texts) -> None:
        super().__init__()
        self.scores = {text.output: row for text, row in zip(texts, scores, strict=True)}

    def forward(self, output):
        return dspy.Prediction(**dict(zip(RUBRIC.names, self.scores[output], strict=True)))


@dataclass(frozen=True)
class Whole:
    """A search with the usual arguments: its folder, its engine and its result."""

    folder: Path
    engine: ToyEngine
    result: SearchResult


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Whole:
    folder, engine = tmp_path_factory.mktemp("whole"), Reversed()
    return Whole(folder, engine, searched(folder, engine))


@pytest.mark.slow
def test_a_search_races_its_trials_and_confirms_the_best_one(whole):
    folder, engine, result = whole.folder, whole.engine, whole.result
    default, raced = result.trials
    assert [default.state, raced.state] == ["complete", "ended early"]
    assert raced.texts < result.texts and raced.rival == default.task
    assert result.best is default and result.front == (default.number,)
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{folder}/study.sqlite3")
    assert study.best_trial.number == default.number
    assert study.trials[1].value == pytest.approx(raced.mean) and raced.mean < default.mean
    assert result.confirmation.verdict == "confirmed"
    assert result.confirmation.texts == len(job_of(folder).confirmation) >= FEWEST_DOCUMENTS
    assert result.fresh is None
    assert result.spent.calls == engine.calls.total()
    shown = verdict(result)
    assert f"{result.confirmation.best.mean:.3f}" in shown and f"{default.mean:.3f}" in shown
    kept = read_search(folder / "search.json")
    assert kept.confirmation == result.confirmation and verdict(kept) == shown
    written = json.loads((folder / "search.json").read_text())["confirmation"]
    assert written["verdict"] == "confirmed" and written["interval"][0] > 0
    names = Parts.read_from(folder).keys
    assert len(names["confirmation"]) == result.confirmation.texts


def test_a_second_start_pays_for_no_second_confirmation(whole, tmp_path):
    again = Reversed()
    folder = shutil.copytree(whole.folder, tmp_path / "search")
    assert searched(folder, again).confirmation == whole.result.confirmation
    assert again.calls.total() == 0


def confirming(engine: ToyEngine, out: Path) -> Counter:
    """Count the judge's prompts with each of the texts to confirm on."""
    texts = {text.output for text in job_of(out).confirmation}
    sent = [user for role, _, user in engine.prompts if role == "judge"]
    return Counter(text for text in texts for user in sent if f"{text}\n" in f"{user}\n")


def test_no_trial_reads_the_texts_that_confirm_and_each_judge_reads_them_once(whole, tmp_path):
    job = job_of(tmp_path)
    assert set(confirming(whole.engine, tmp_path).values()) == {2}
    outputs = {part: {text.output for text in texts} for part, texts in job.parts.items()}
    assert sum(map(len, outputs.values())) == len(set().union(*outputs.values()))


@pytest.mark.slow
def test_a_best_trial_that_is_not_ahead_gives_way_to_the_initial_judge(tmp_path):
    result = searched(tmp_path, Deaf())
    assert result.confirmation.verdict in ("not confirmed", "nothing to confirm")
    initial = MultiCriteriaJudge(RUBRIC)
    assert result.program.dump_state() == initial.dump_state()
    assert MultiCriteriaJudge.from_saved(tmp_path).dump_state() == initial.dump_state()


@pytest.mark.slow
@pytest.mark.parametrize("texts", [SELECTION[:39], SELECTION])
def test_without_texts_to_confirm_on_the_best_is_scored_again_and_the_words_say_why(
    texts, tmp_path
):
    confirm = "off" if len(texts) == len(SELECTION) else "report"
    result = searched(tmp_path, selectionset=texts, base=replace(BASE, confirm=confirm))
    assert result.fresh is not None and result.texts == len(texts)
    if confirm == "off":
        assert result.confirmation.verdict == "off"
    else:
        assert result.confirmation.verdict == "too few documents"
        assert result.confirmation.needed == 40 and "40" in verdict(result)


@pytest.mark.slow
def test_a_required_confirmation_that_cannot_be_had_keeps_the_initial_judge(tmp_path):
    base = replace(BASE, confirm="require")
    result = searched(tmp_path, selectionset=SELECTION[:39], base=base)
    assert result.confirmation.takes_back
    assert result.program.dump_state() == MultiCriteriaJudge(RUBRIC).dump_state()


@pytest.mark.slow
def test_what_the_budget_did_not_reach_the_next_start_confirms(whole, tmp_path, caplog):
    cap, engine = whole.result.spent.calls - 1, Reversed()
    cut = searched(tmp_path, engine, budget=Budget(max_calls=cap))
    assert engine.calls.total() <= cap
    assert cut.confirmation.verdict == "not reached"
    assert any("not confirmed" in line for line in caplog.messages)
    assert cut.best.mean is not None and cut.program is not None
    done = searched(tmp_path, engine, budget=Budget(max_calls=cap + 1))
    assert done.confirmation == whole.result.confirmation
    assert engine.calls.total() == cap + 1


@pytest.mark.slow
def test_another_best_trial_is_confirmed_as_a_further_look(whole, tmp_path):
    confirmation = whole.result.confirmation
    with opened(None, tmp_path) as (_, engine):
        Shared(engine, "search", 30.0).note(f"{CONFIRMED}/other", plain(confirmation), first=True)
    assert confirmation.look == 1
    assert searched(tmp_path).confirmation.look == 2


@pytest.mark.slow
def test_a_cap_leaves_enough_to_confirm(tmp_path):
    # At most two judges of two predictors read the texts to confirm on; a fourth is reserved.
    cap, engine = 4 * 4 * len(job_of(tmp_path).confirmation), Reversed()
    space = SearchSpace(**NOTHING | {"layout": LAYOUTS.layout, "steps": tuple(range(1, 12))})
    result = searched(tmp_path, engine, trials=20, space=space, budget=Budget(max_calls=cap))
    assert result.stop_reason == "budget" and engine.calls.total() <= cap
    assert result.confirmation.verdict == "confirmed"


@pytest.mark.slow
def test_while_others_work_nobody_confirms(tmp_path, monkeypatch):
    monkeypatch.setattr(Queue, "running", lambda queue: 1)
    assert searched(tmp_path).confirmation.verdict == "not reached"
    monkeypatch.undo()
    engine = Reversed()
    assert searched(tmp_path, engine).confirmation.verdict == "confirmed"
    assert set(confirming(engine, tmp_path).values()) == {2}


@pytest.mark.slow
def test_workers_that_end_together_pay_once_for_the_confirmation(tmp_path):
    engine = Reversed()
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: searched(tmp_path, engine), range(3)))
    assert {it.confirmation.verdict for it in results} == {"confirmed"}
    assert set(confirming(engine, tmp_path).values()) == {2}


@pytest.mark.slow
def test_a_search_with_one_worker_ends_its_trials_alike_again(whole, tmp_path):
    one, two = whole.result.trials, searched(tmp_path).trials
    assert [(it.state, it.texts, it.agreement) for it in one] == [
        (it.state, it.texts, it.agreement) for it in two
    ]


@given(
    sizes=st.lists(st.integers(1, 4), min_size=4, max_size=90),
    given_apart=st.booleans(),
    confirm=st.sampled_from(["report", "off"]),
)
def test_parts_share_no_document_and_lose_no_text(sizes, given_apart, confirm):
    groups = [str(number) for number, size in enumerate(sizes) for _ in range(size)]
    texts = [
        dspy.Example(output=f"{place}", group=group).with_inputs("output")
        for place, group in enumerate(groups)
    ]
    config = MOGradConfig(confirm=confirm)
    cut = [group in ("0", "1") for group in groups]
    sets = [
        [text for text, part in zip(texts, cut, strict=True) if part == first]
        for first in (True, False)
    ]
    data = parted(config, RUBRIC, [], *sets) if given_apart else parted(config, RUBRIC, texts)
    documents = [{group_of(it, 0) for it in part} for part in data.parts.values()]
    assert sum(map(len, documents)) == len(sizes)
    assert sum(map(len, data.parts.values())) == len(texts)
    few = len(documents[-1])
    assert few >= FEWEST_DOCUMENTS or few == 0
    assert (data.needed is not None) == (confirm == "report" and few == 0)


@pytest.mark.parametrize("sets", [{"valset": None}, {"selectionset": None}])
def test_one_of_two_sets_is_refused(sets, tmp_path):
    with pytest.raises(SetupError, match="selectionset"):
        searched(tmp_path, **sets)
