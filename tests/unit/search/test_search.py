"""The search in the toy world, where it is known what a configuration brings."""

import json
import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path

import dspy
import optuna
import pytest
from dspy.lm15 import AuthError, Request, Response, ServerError

from benchmarks.worlds.world import ToyEngine, toy_examples, toy_rubric
from mogradjudge import (
    Budget,
    MOGradConfig,
    MultiCriteriaJudge,
    Rubric,
    SetupError,
)
from mogradjudge.optimize.parts import Parts
from mogradjudge.scoring.evaluate import evaluation_report
from mogradjudge.search import Range, SearchResult, SearchSpace, search
from mogradjudge.search.study import Arguments
from mogradjudge.search.workers.queue import MOST_ATTEMPTS
from mogradjudge.settings import PROTOCOLS

RUBRIC = toy_rubric("coherence", "fluency", "relevance")
EXAMPLES = toy_examples(RUBRIC, 36)
TRAIN, VALIDATION, SELECTION = EXAMPLES[:12], EXAMPLES[12:20], EXAMPLES[20:]
SMALL = SearchSpace(batch_size=(1, 3), gate=None, tolerance=None, editor_temperature=None)


def found(out: Path, engine: ToyEngine | None = None, **changes: object) -> SearchResult:
    """Search in the toy world; ``changes`` replace the arguments."""
    lm = dspy.LM("toy/world", engine=engine or ToyEngine(), temperature=0.0, cache=True)
    judge = changes.pop("judge", None) or MultiCriteriaJudge(RUBRIC)
    sets = [changes.pop(name, usual) for name, usual in SETS.items()]
    options = {"space": SMALL, "trials": 4, "base": MOGradConfig(steps=1), "out": out}
    with dspy.context(lm=lm):
        return search(judge, *sets, **options | changes)


ENDED = ("complete", "ended early")
NOTHING = dict.fromkeys(each.name for each in fields(SearchSpace))
SETS = {"trainset": TRAIN, "valset": VALIDATION, "selectionset": SELECTION}


@dataclass(frozen=True)
class Whole:
    """A search with the usual arguments: its folder, its engine and its result."""

    folder: Path
    engine: ToyEngine
    result: SearchResult


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Whole:
    folder, engine = tmp_path_factory.mktemp("whole"), ToyEngine()
    return Whole(folder, engine, found(folder, engine))


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """Give the folder of a search of one trial."""
    folder = tmp_path_factory.mktemp("begun")
    found(folder, trials=1)
    return folder


@pytest.mark.slow
def test_a_search_finds_tells_and_writes_the_best_configuration(whole):
    folder, engine, result = whole.folder, whole.engine, whole.result
    assert Counter(it.state in ENDED for it in result.trials) == {True: 4}
    assert result.stop_reason == "trials"
    assert result.default is result.trials[0]
    assert result.default.config["mode"] == "SSC"
    assert result.best.mean == max(each.mean for each in result.trials)
    assert result.selected.value == result.best.mean
    assert result.spent.calls == engine.calls.total()
    paid_in_trials = sum(each.calls for each in result.trials)
    assert paid_in_trials + 2 * len(SELECTION) >= result.spent.calls > paid_in_trials
    kept = json.loads((folder / "search.json").read_text())
    assert kept["trials"][2]["agreement"] == dict(result.trials[2].agreement)
    assert Parts.read_from(folder).read([*TRAIN, *SELECTION]) == [*TRAIN, *SELECTION]
    judge = MultiCriteriaJudge.from_saved(folder)
    assert judge.settings.layout == result.best.config["layout"]
    assert {path: each.signature.instructions for path, each in judge.named_predictors()} == dict(
        result.best.instructions
    )


@pytest.mark.slow
def test_a_trials_value_is_by_the_bases_measure(tmp_path):
    result = found(tmp_path, trials=1, base=MOGradConfig(steps=1, measure="mae"))
    with dspy.context(lm=dspy.LM("toy/world", engine=ToyEngine(), temperature=0.0)):
        judge = MultiCriteriaJudge.from_saved(tmp_path)
        report = evaluation_report(judge, SELECTION, 4, measure="mae")
    expected = {name: 1 - it["mae"] / 4 for name, it in report["criteria"].items()}
    assert result.best.agreement == pytest.approx(expected | {"mean": report["mean"]})
    assert result.selected.low <= result.selected.value == pytest.approx(report["mean"])


def test_texts_made_by_hand_are_grouped_by_the_input_that_they_share(tmp_path):
    rubric = Rubric(("article", "output"), RUBRIC.criteria)
    texts = [
        dspy.Example(article=f"{n // 2}", output=f"{n}").with_inputs("article", "output")
        for n in range(18)
    ]
    judge = MultiCriteriaJudge(rubric)
    job = Arguments(judge, texts[:6], texts[6:10], texts[10:], out=tmp_path).job()
    assert job.groups == [str(n // 2) for n in range(10, 18)]


def test_a_second_worker_has_nothing_left_to_pay_for(whole, tmp_path):
    folder, engine = shutil.copytree(whole.folder, tmp_path / "search"), ToyEngine()
    second = found(folder, engine)
    assert engine.calls.total() == 0
    assert second == whole.result or second.trials == whole.result.trials


@pytest.mark.slow
def test_more_trials_go_on_where_fewer_ended(tmp_path):
    few = found(tmp_path, trials=2)
    more = found(tmp_path, trials=4)
    assert more.trials[:2] == few.trials
    assert Counter(it.state in ENDED for it in more.trials) == {True: 4}


@pytest.mark.slow
def test_a_whole_search_and_one_that_was_cut_short_draw_the_same(whole, tmp_path):
    found(tmp_path / "cut", trials=4, budget=Budget(max_calls=100))
    cut = found(tmp_path / "cut", trials=4)
    last = {each.task: each for each in cut.trials}
    trials = whole.result.trials
    assert [dict(last[each.task].params) for each in trials] == [
        dict(each.params) for each in trials
    ]
    assert [last[each.task].agreement for each in trials] == [each.agreement for each in trials]


@pytest.mark.slow
def test_what_one_trial_paid_for_another_does_not_pay_again(tmp_path):
    engine = ToyEngine()
    found(tmp_path, engine, trials=6)
    sent = Counter((system, user) for role, system, user in engine.prompts if role == "judge")
    fresh = 2 * len(SELECTION) * len(RUBRIC.names)
    assert sum(count - 1 for count in sent.values()) <= fresh
    assert max(sent.values()) <= 2  # once in the trials, and once to score the best one anew


@pytest.mark.slow
@pytest.mark.parametrize("cap", [30, 100, 150])
def test_the_budget_holds_over_all_trials_and_starts(cap, tmp_path):
    engine = ToyEngine()
    for _ in range(2):
        result = found(tmp_path, engine, trials=6, budget=Budget(max_calls=cap))
    assert engine.calls.total() <= cap
    assert result.spent.calls == engine.calls.total()
    assert result.stop_reason == "budget"
    assert result.unfinished > 0


@pytest.mark.slow
def test_a_cap_that_is_large_enough_leaves_calls_to_score_the_best_anew(tmp_path):
    base = MOGradConfig(steps=2)
    result = found(tmp_path, trials=30, base=base, budget=Budget(max_calls=400))
    assert result.stop_reason == "budget"
    assert result.fresh is not None


@pytest.mark.slow
def test_a_trials_own_budget_ends_it_and_not_the_search(tmp_path):
    base = MOGradConfig(steps=3, budget=Budget(max_calls=12))
    result = found(tmp_path, base=base, trials=3)
    assert [each.state for each in result.trials] == ["complete"] * 3
    assert result.stop_reason == "trials"


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "said"), [((1, 2), "batch_size 3 .*: 3 "), ((1, 2, 3), None)])
def test_a_choice_that_the_base_adds_is_said_at_the_start(sizes, said, tmp_path, caplog):
    space = SearchSpace(**NOTHING | {"batch_size": sizes})
    found(tmp_path, trials=1, space=space, base=MOGradConfig(steps=1, batch_size=3))
    lines = [line for line in caplog.messages if "added" in line]
    assert [bool(re.search(said or "", line)) for line in lines] == ([] if said is None else [True])


@pytest.mark.slow
@pytest.mark.parametrize(("documents", "shown"), [(7, False), (8, True)])
def test_a_trial_has_an_interval_where_reports_give_one(documents, shown, tmp_path):
    result = found(tmp_path, trials=1, selectionset=SELECTION[:documents])
    intervals = result.trials[0].intervals
    assert {ends is not None for ends in intervals.values()} == {shown}
    assert set(intervals) == {*RUBRIC.names, "mean"}


class Outage(ToyEngine):
    """The toy world whose provider fails at some calls, counted from 1."""

    def __init__(self, fails: range, error: Exception) -> None:
        super().__init__()
        self.fails, self.error, self.count = fails, error, 0

    def complete(self, request: Request) -> Response:
        self.count += 1
        if self.count in self.fails:
            raise self.error
        return super().complete(request)


@pytest.mark.slow
def test_a_trial_that_fails_on_the_provider_is_tried_again_and_no_bad_score(tmp_path):
    engine = Outage(range(40, 52), ServerError("down"))
    paper = {name: PROTOCOLS["paper"][name] for name in ("sampling", "pool", "skip_tolerance")}
    result = found(tmp_path, engine, base=MOGradConfig(steps=2, num_threads=1, **paper))
    failed = [each for each in result.trials if each.state == "failed"]
    assert len(failed) == 1
    assert "down" in failed[0].why
    assert failed[0].agreement == {}
    done = [each.task for each in result.trials if each.state in ENDED]
    assert sorted(done) == ["0000", "0001", "0002", "0003"]


@pytest.mark.slow
def test_a_provider_that_stays_down_ends_the_search_and_the_next_start_goes_on(tmp_path):
    engine = Outage(range(40, 10_000), ServerError("down"))
    with pytest.raises(dspy.LMError, match="down"):
        found(tmp_path, engine, base=MOGradConfig(steps=2, num_threads=1))
    assert engine.count < 40 + 40
    result = found(tmp_path, base=MOGradConfig(steps=2, num_threads=1))
    assert result.unfinished == 0
    assert sum(it.state in ENDED for it in result.trials) == 4


@pytest.mark.slow
def test_a_wrong_key_ends_the_search_at_once(tmp_path):
    engine = Outage(range(1, 10_000), AuthError("no such key"))
    for _ in range(MOST_ATTEMPTS + 1):  # which costs the trial none of its attempts
        with pytest.raises(dspy.LMAuthError):
            found(tmp_path, engine)
    assert found(tmp_path).unfinished == 0


class Mute(ToyEngine):
    """A judge that cannot be read in the separate layout."""

    def answer(self, system: str, user: str) -> str:
        scores = system.count("Literal[1, 2, 3, 4, 5]")
        asked = "[[ ## coherence ## ]]" in system or "[[ ## fluency ## ]]" in system
        if asked and scores == 1 and "critique" not in system:
            return "I would rather not."
        return super().answer(system, user)


@pytest.mark.slow
def test_a_configuration_whose_judge_gives_no_score_has_no_value(tmp_path):
    space = SearchSpace(**NOTHING | {"layout": ("combined", "separate")})
    judge_only = Rubric(inputs=("output",), criteria=RUBRIC.criteria[:2])
    result = found(
        tmp_path, Mute(), space=space, sampler="grid", judge=MultiCriteriaJudge(judge_only)
    )
    assert [each.state for each in result.trials] == ["complete", "failed"]
    assert "None of the" in result.trials[1].why
    assert result.best is result.trials[0]


@pytest.mark.slow
def test_several_values_have_a_front_and_named_objectives(tmp_path):
    values = ("criteria", "calls_per_text", "tokens_per_text")
    result = found(tmp_path, trials=6, values=values)
    names = [f"agreement.{name}" for name in RUBRIC.names]
    assert result.value_names == (*names, "calls_per_text", "tokens_per_text")
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path}/study.sqlite3")
    assert study.metric_names == list(result.value_names)
    assert [each.name for each in study.directions] == ["MAXIMIZE"] * 3 + ["MINIMIZE"] * 2
    # Optuna's own front keeps trials that are equal in all values.
    assert set(result.front) == {each.number for each in study.best_trials}
    study._storage.remove_session()
    study._storage._backend.engine.dispose()
    assert 0 <= result.hypervolume <= 1


@pytest.mark.slow
def test_calls_and_tokens_per_text_are_those_of_the_judge(tmp_path):
    engine = ToyEngine()
    result = found(tmp_path, engine, trials=6)
    for each in result.trials:
        assert each.calls_per_text == (3 if each.config["layout"] == "separate" else 1)
    cheap, dear = (
        [each.tokens_per_text for each in result.trials if each.calls_per_text == calls]
        for calls in (1, 3)
    )
    assert max(cheap) < min(dear)


@pytest.mark.slow
def test_a_grid_tries_each_configuration_once(tmp_path):
    space = SearchSpace(**NOTHING | {"mode": ("SSC", "CCC"), "layout": ("combined", "separate")})
    result = found(tmp_path, space=space, sampler="grid", trials=50)
    tried = [(each.config["mode"], each.config["layout"]) for each in result.trials]
    assert sorted(tried) == [
        ("CCC", "combined"),
        ("CCC", "separate"),
        ("SSC", "combined"),
        ("SSC", "separate"),
    ]
    assert tried[0] == ("SSC", "combined")


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2", optuna.samplers.RandomSampler(1)])
def test_a_search_draws_the_same_again(sampler, tmp_path):
    one, two = (found(tmp_path / name, sampler=sampler).trials for name in "ab")
    if isinstance(sampler, str):
        assert [each.params for each in one] == [each.params for each in two]
    assert Counter(it.state in ENDED for it in one) == {True: 4}


class Hopeless(optuna.pruners.BasePruner):
    """Gives up all but the first trial at once."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        return trial.number > 0


@pytest.mark.slow
def test_what_a_pruned_trial_paid_is_told_and_it_has_no_value(tmp_path):
    engine = ToyEngine()
    result = found(tmp_path, engine, base=MOGradConfig(steps=2), pruner=Hopeless())
    assert [each.state for each in result.trials] == ["complete", *["pruned"] * 3]
    assert all(each.agreement == {} for each in result.trials[1:])
    fresh = len(SELECTION)
    assert sum(each.calls for each in result.trials) + fresh == result.spent.calls
    assert result.spent.calls == engine.calls.total()


@pytest.mark.slow
def test_steps_are_compared_at_equal_numbers_of_calls(tmp_path):
    space = SearchSpace(**NOTHING | {"layout": ("combined", "separate")})
    options = {"space": space, "sampler": "grid", "base": MOGradConfig(steps=2)}
    found(tmp_path, pruner=optuna.pruners.NopPruner(), **options)
    found(tmp_path / "b", pruner=optuna.pruners.MedianPruner(), **options)
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/b/study.sqlite3")
    trials = storage.get_all_trials(0 + 1)
    combined, separate = (each.intermediate_values for each in trials)
    storage.remove_session()
    storage.engine.dispose()
    # A step of the separate layout takes (3+8)*3 + 3*(3+3) + 1 = 52 calls, one of the combined
    # layout 30: two steps reach the rungs 0 to 2 there, and 0 to 3 here.
    assert list(combined) == [0, 1, 2, 3]  # its end stands at the rung that the other one reaches
    assert combined[3] == max(combined.values())
    assert list(separate) == [0, 1, 2, 3]
    assert separate[0] == separate[1]  # the first step is not over by then


@pytest.mark.slow
def test_sections_of_ones_own_start_every_layout(tmp_path):
    judge = MultiCriteriaJudge(RUBRIC)
    (predictor,) = judge.predictors()
    text = predictor.signature.instructions.replace("Rate from 1 to 5.", "Rate with care.")
    predictor.signature = predictor.signature.with_instructions(text)
    engine = ToyEngine()
    space = SearchSpace(**NOTHING | {"layout": ("combined", "separate")})
    found(tmp_path, engine, judge=judge, space=space, sampler="grid")
    judged = [system for role, system, _ in engine.prompts if role == "judge"]
    seeds = [system for system in judged if "BIAS" not in system]
    assert {system.count("### Criterion") for system in seeds} == {1, 3}
    assert all("Rate with care." in system for system in seeds)


@pytest.mark.slow
def test_the_judge_and_the_settings_of_dspy_stay_as_they_were(tmp_path):
    judge = MultiCriteriaJudge(RUBRIC)
    before = judge.dump_state(), dict(dspy.settings.copy())
    found(tmp_path, judge=judge)
    assert (judge.dump_state(), dict(dspy.settings.copy())) == before


def constant() -> list[dspy.Example]:
    columns = dict.fromkeys([each.human for each in RUBRIC.criteria], 3.0)
    return [
        dspy.Example(output=f"{number}", group=f"{number}", **columns).with_inputs("output")
        for number in range(5)
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trials": 0}, "`trials` must be a whole number >= 1, got 0"),
        ({"sampler": "best"}, "`sampler` must be one of tpe, nsga2, random, grid"),
        ({"pruner": "none of these"}, "`pruner` must be one of none, median"),
        ({"pruner": "median", "values": ("criteria",)}, "`pruner` needs a search with one value"),
        ({"values": ("calls_per_text",)}, "`values` must hold agreement or criteria"),
        ({"values": ("cost",)}, "`values` must name each of"),
        ({"values": "agreement"}, "`values` must be a list"),
        ({"sampler": "grid", "space": SearchSpace(tolerance=Range(0, 1))}, "grid needs choices"),
        ({"space": SearchSpace(batch_size=Range(4, 7))}, "`batch_size` must lie in the range"),
        ({"selectionset": []}, "The selection set must have at least one example"),
        ({"selectionset": constant()}, "Agreement cannot be measured"),
        ({"selectionset": VALIDATION}, "validation"),
        ({"valset": TRAIN}, "training"),
        ({"heartbeat": 0}, "`heartbeat` must be a whole number >= 1"),
        ({"study": ""}, "`study` must be a name"),
    ],
)
def test_what_cannot_work_is_refused_before_a_call_is_paid(changes, said, tmp_path):
    engine = ToyEngine()
    with pytest.raises(SetupError, match=said):
        found(tmp_path, engine, **changes)
    assert engine.calls.total() == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"space": SearchSpace()}, "space"),
        ({"base": MOGradConfig(steps=3)}, "steps was 1 and is 3"),
        ({"selectionset": SELECTION[1:]}, "the selection data differs"),
        ({"seed": 1}, "search seed was 0 and is 1"),
        ({"values": ("criteria",)}, "values"),
    ],
)
def test_a_study_is_not_mixed_with_another_question(changes, said, begun):
    with pytest.raises(SetupError, match=said):
        found(begun, **changes)


def test_a_study_of_another_version_is_refused_for_that_reason(begun, monkeypatch):
    monkeypatch.setattr("mogradjudge.search.plan.version", lambda _: "0.2.0")
    with pytest.raises(SetupError, match=r"0\.2\.0") as refused:
        found(begun)
    assert "Another version" in str(refused.value) and "the same settings" not in str(refused.value)


RUNNING, COMPLETE = optuna.trial.TrialState.RUNNING, optuna.trial.TrialState.COMPLETE


def foreign(
    params: dict[str, float], state: optuna.trial.TrialState = COMPLETE, **attributes: object
) -> optuna.trial.FrozenTrial:
    distributions = {name: optuna.distributions.FloatDistribution(0, 1) for name in params}
    value = 0.99 if state == COMPLETE else None
    options = {"state": state, "value": value, "user_attrs": attributes}
    return optuna.create_trial(params=params, distributions=distributions, **options)


@pytest.mark.parametrize(
    ("directions", "trials", "named"),
    [
        (["minimize"], [], "minimize"),
        (["maximize", "minimize"], [], "minimize"),
        (["maximize"], [foreign({"lr": 0.1})], "lr"),
        (["maximize"], [foreign({}, note="mine")], "note"),
        (["maximize"], [foreign({"lr": 0.1}, RUNNING)], "lr"),
    ],
)
def test_a_study_that_others_have_made_is_refused_untouched(directions, trials, named, tmp_path):
    storage, engine = f"sqlite:///{tmp_path / 'other.sqlite3'}", ToyEngine()
    study = optuna.create_study(storage=storage, study_name="other", directions=directions)
    study.add_trials(trials)
    for _ in range(2):  # the second start knows no more than the first one
        with pytest.raises(SetupError, match=f"'other'.*{named}") as refused:
            found(tmp_path / "out", engine, storage=storage, study="other")
        assert "\n" not in str(refused.value)
    assert [engine.calls.total(), len(study.trials), study.metric_names] == [0, len(trials), None]


@pytest.mark.slow
def test_what_others_add_to_a_study_of_ones_own_counts_nowhere(begun, tmp_path, caplog):
    alone, added = (shutil.copytree(begun, tmp_path / name) for name in "ab")
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{added}/study.sqlite3")
    study.add_trials([foreign({"lr": 0.1}), foreign({"lr": 0.1}, RUNNING)])
    result = found(added, trials=2)
    assert sum("lr" in line for line in caplog.messages) == 1
    assert [(it.task, it.params) for it in result.trials] == [
        (it.task, it.params) for it in found(alone, trials=2).trials
    ]
    assert [result.unfinished, result.stop_reason] == [0, "trials"]


def broken(how: str, file: Path) -> str:
    """Make a study's file that cannot be used; return its URL."""
    storage = f"sqlite:///{file}"
    optuna.create_study(storage=storage, study_name="search", direction="maximize")
    with closing(sqlite3.connect(file)) as database, database:
        if how == "old":
            database.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
        if how == "new":
            database.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    return f"sqlite:///file:{file}?mode=ro&uri=true" if how == "read-only" else storage


@pytest.mark.parametrize(
    ("how", "named"),
    [("old", "storage upgrade"), ("new", "pip install"), ("read-only", "readonly")],
)
def test_a_database_that_cannot_be_used_is_one_line(how, named, tmp_path):
    engine, storage = ToyEngine(), broken(how, tmp_path / "other.sqlite3")
    with pytest.raises(SetupError, match=f"`storage` .*{named}") as refused:
        found(tmp_path / "out", engine, storage=storage)
    assert "\n" not in str(refused.value)
    assert engine.calls.total() == 0


@pytest.mark.parametrize("url", ["mysql://user@host/name", "strange://host/name"])
def test_a_database_without_a_driver_is_one_sentence_after_another(url, tmp_path):
    with pytest.raises(SetupError, match="needs a driver") as refused:
        found(tmp_path, storage=url)
    assert ".." not in str(refused.value)


def test_without_an_lm_nothing_starts(tmp_path):
    with pytest.raises(SetupError, match="No LM is set"):
        search(MultiCriteriaJudge(RUBRIC), TRAIN, VALIDATION, SELECTION, out=tmp_path)
