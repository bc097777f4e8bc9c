"""Every method has the same judge, the same cap on calls and the same gate, and may fail alone."""

import json
import os
import re
import signal
from collections import Counter
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from math import prod

import dspy
import pytest
from click.testing import CliRunner
from scipy import stats

from benchmarks.harness.cells import Cell
from benchmarks.peers import Found, Method, Task, command, methods_command, summarize
from benchmarks.peers.budget import CapReached, Meter
from benchmarks.peers.command import METHODS, PEERS, SETTINGS, SMOKE, compare
from benchmarks.peers.dspy_methods import mipro_size
from benchmarks.peers.figures import Mean, Row, times_of
from benchmarks.peers.finding import finding, spoken
from benchmarks.peers.gating import Keeper, is_better
from benchmarks.peers.hpss import FACTORS, Search, drafted, neighbours
from benchmarks.peers.measuring import CannotRun, Nearby, measure
from benchmarks.peers.method import Printed, capped_lm
from benchmarks.peers.opro import meta_prompt
from benchmarks.peers.tried import Tried, instructions_of
from benchmarks.worlds.cues import CUES
from benchmarks.worlds.foreign import OpenWorld, is_ours
from benchmarks.worlds.planted import (
    PlantedEngine,
    cues_in,
    planted_examples,
    planted_rubric,
)
from benchmarks.worlds.server import serving
from mogradjudge import Agreement, Instructions, MOGrad, Undefined, Unscored
from mogradjudge.errors import RunStopped

pytestmark = pytest.mark.slow

RUBRIC = planted_rubric("coherence", "fluency")
EXAMPLES = planted_examples(RUBRIC, documents=10, systems=3)
PARTS = EXAMPLES[:9], EXAMPLES[9:18]
BY_NAME = {method.name: method for method in METHODS}
BY_NAME_OF_SETTINGS = {method.name: method for method in SETTINGS.methods}
CUE = CUES["fluency"][0]
RUBRIC_IN_JSON = [{"name": "fluency", "requirement": "Rate."}]


class Overheard:
    """A world that remembers the foreign prompts that it was sent."""

    def __init__(self) -> None:
        self.engine, self.prompts = PlantedEngine(OpenWorld()), []

    def __call__(self, system: str, user: str) -> str:
        if not is_ours(system):
            self.prompts.append(user)
        return self.engine.answer(system, user)


@pytest.fixture
def world():
    return Overheard()


@pytest.fixture
def server(world):
    with serving(world=world) as server:
        yield server


@pytest.fixture
def task(server, tmp_path):
    return task_of(server, tmp_path, 80)


def task_of(server, folder, calls):
    return Task(RUBRIC, PARTS[0], PARTS[1], server.url, "toy", Meter(calls), folder, num_threads=4)


def measured(method, task, server):
    return measure(method, task, server, OpenWorld())


OTHERS = ("OPRO", "COPRO", "GEPA", "GEPA, 4 side by side", "HPSS, written anew", "MIPROv2")


@pytest.mark.parametrize("name", ["SSC", "CCC", *OTHERS])
def test_a_method_keeps_to_the_cap_and_does_no_worse_than_the_seed(name, task, server):
    result = measured(BY_NAME[name], task, server)
    assert 40 < sum(result["calls"].values()) <= 80
    assert sum(result["calls"].values()) == task.meter.taken or name in ("SSC", "CCC")
    assert result["validation"] >= result["seed_validation"]
    assert (result["calls"].get("other", 0) > 0) == (name not in ("SSC", "CCC"))
    assert result["tokens"] > 1000
    assert result["agreement"] == OpenWorld().agreement(result["instructions"], RUBRIC.names)
    assert cues_in(result["instructions"]) or result["seed_kept"]


def test_a_call_that_a_method_gets_no_reply_to_is_noted(task, server):
    answer = server.world

    def broken(system, user):
        if not is_ours(system):
            raise OSError
        return answer(system, user)

    server.world, server.handle_error = broken, lambda *_: None
    result = measured(BY_NAME["GEPA"], task, server)  # it goes on as if nothing had happened
    assert "calls failed" in result["notes"]
    assert result["seed_kept"]


def test_our_own_cap_ends_a_run_before_the_meter_does(task, server):
    """With many threads, calls that our budget refuses are under way when it is spent."""
    result = measured(BY_NAME["SSC"], replace(task, meter=Meter(41), num_threads=16), server)
    assert sum(result["calls"].values()) <= 41
    assert "failed" not in result["notes"]


def test_a_run_that_somebody_stops_is_no_measurement(task, server, monkeypatch):
    answer, signals = server.world, [signal.SIGTERM]

    def stopping(system, user):
        while signals:
            os.kill(os.getpid(), signals.pop())
        return answer(system, user)

    monkeypatch.setattr(Task, "measure", lambda *_: agreement(0.5))
    server.world = stopping
    with pytest.raises(RunStopped):
        measured(BY_NAME["SSC"], task, server)


def test_the_seed_prompt_costs_nothing(task, server):
    result = measured(BY_NAME["seed prompt"], task, server)
    assert (result["calls"], result["seed_kept"]) == ({}, True)
    assert result["validation"] == result["seed_validation"]


@pytest.mark.parametrize("threads", [1, 8])
def test_a_method_without_a_budget_is_cut_off_at_the_cap(threads, task, server, monkeypatch):
    # Ten times as large as it should be: DSPy's own executor must not take the cap for a failure.
    monkeypatch.setattr("benchmarks.peers.dspy_methods.mipro_size", lambda *_: (4, 50))
    result = measured(BY_NAME["MIPROv2"], replace(task, num_threads=threads), server)
    assert "cut off" in result["notes"]
    assert sum(result["calls"].values()) == task.meter.taken == 80


def test_the_best_so_far_is_what_did_best_on_all_texts(task):
    tried = Tried(task.objectives, PARTS[1])
    assert tried.best() is None
    tries = {"worse": (3, 9), "better": (1, 9), "cut off": (0, 8), "as good": (1, 9)}
    for text, (error, count) in tries.items():
        for example in PARTS[1][:count]:
            scores = {name: example[RUBRIC[name].human] - error for name in RUBRIC.names}
            tried.score(example, dspy.Prediction(**scores, instructions=text))
    tried.score(PARTS[0][0], dspy.Prediction(coherence=1, fluency=1, instructions="another text"))
    assert tried.best() == "better"


def test_an_unscored_text_is_worth_nothing_to_a_peer(task):
    tried, example = Tried(task.objectives, PARTS[1]), PARTS[1][0]
    right = {name: example[RUBRIC[name].human] for name in RUBRIC.names}
    half = dspy.Prediction(**right | {"fluency": Unscored("none")}, instructions="")
    given = tried.score(example, half)
    assert (given.score, given.objective_scores) == (0.5, {"coherence": 1.0, "fluency": 0.0})
    assert "fluency: no score (" in given.feedback


def test_the_cap_stops_at_exactly_so_many_calls(server):
    meter = Meter(5)
    lm = capped_lm("toy", server.url, meter)
    assert len(lm("Hello", n=3, temperature=1.0)) == 3
    with pytest.raises(CapReached):
        lm("Hello", n=3, temperature=1.0)
    assert server.calls.total() == meter.taken == 5
    copies = lm.copy(temperature=0.5), dspy.Predict("a -> b").deepcopy()
    with pytest.raises(CapReached):
        copies[0]("Hello")


def agreement(value, unscored=0):
    counts = {"fluency": unscored}
    return Agreement({"fluency": value}, {"fluency": 9}, counts, {"fluency": 0}, {"fluency": 0})


def test_only_a_higher_agreement_on_no_fewer_texts_is_better():
    assert is_better(agreement(0.5), agreement(0.6))
    assert not is_better(agreement(0.5), agreement(0.5))
    assert not is_better(agreement(0.5), agreement(0.6, unscored=1))
    assert not is_better(agreement(0.5), agreement(Undefined("too few")))


def test_the_seed_wins_ties(task, server, monkeypatch):
    def say_the_same(task):
        return Found(task.seed_prompt + "\n\nBe so kind.")

    for figures, kept in {(0.5, 0.5): True, (0.5, 0.6): False}.items():
        said = iter(figures)
        monkeypatch.setattr(Task, "measure", lambda *_, said=said: agreement(next(said)))
        result = measured(Method("polite", say_the_same), task, server)
        assert result["seed_kept"] == kept == (result["instructions"] == task.seed_prompt)
        assert result["validation"] == figures[1]


def test_a_gate_walks_on_ties_and_keeps_the_earlier(task, monkeypatch):
    said = iter([0.5, 0.5, 0.4, 0.6])
    monkeypatch.setattr(Task, "measure", lambda *_: agreement(next(said)))
    keeper = Keeper(task)
    keeper.start()
    keeper.offer("a")
    assert (keeper.current, keeper.best) == ("a", task.seed_prompt)
    keeper.offer("b")
    assert keeper.current == "a"
    keeper.offer("c")
    assert (keeper.current, keeper.best) == ("c", "c")
    assert keeper.scores == {task.seed_prompt: 0.5, "a": 0.5, "b": 0.4, "c": 0.6}


@pytest.mark.parametrize("layout", ["combined", "separate", "coherence | fluency"])
def test_instructions_are_one_text_whatever_the_layout(layout, task):
    task = replace(task, layout=layout)
    judge = task.judge(task.seed_prompt.replace("Rate from 1 to 5.", f"When you rate, {CUE}."))
    texts = [predictor.signature.instructions for predictor in judge.predictors()]
    assert len(texts) == (1 if layout == "combined" else 2)
    assert all(CUE in text for text in texts)
    again = task.judge(instructions_of(judge))
    assert [predictor.signature.instructions for predictor in again.predictors()] == texts


def fail(task):
    raise ValueError("no such thing\nat all")


def overspend(task):
    for _ in range(task.meter.cap + 1):
        task.meter.take()


def lack():
    raise ModuleNotFoundError("No module named 'peer'")


@pytest.mark.parametrize(
    ["method", "said"],
    [
        (Method("broken", fail), "ValueError: no such thing at all"),
        (Method("greedy", overspend), "CapReached: the cap"),
        (Method("absent", fail, lack), "not installed: No module named 'peer'"),
    ],
)
def test_a_method_that_cannot_run_says_so_in_its_row(method, said, task, server, tmp_path):
    with pytest.raises(CannotRun, match=said):
        measured(method, task, server)
    rows = replace(PEERS, methods=[method, BY_NAME["seed prompt"]])
    for _ in range(2):  # it is tried again, and what was measured is not
        measured_rows = compare(tmp_path / "out", rows, replace(SMOKE, threads=(4,)))["real"]
        statuses = [(row.status[: len(said)], row.runs) for row in measured_rows]
        assert statuses == [(said, 0), ("", 1)]
    lines = (tmp_path / "out" / "cells.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"]["method"] for line in lines] == ["seed prompt"]


def test_the_command_prints_a_row_of_each_method(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["--smoke", "--method", "seed prompt", "--method", "SCC", "--threads", "4"]
    printed = CliRunner().invoke(command, asked, catch_exceptions=False).output
    assert "SCC" in printed
    assert "at most 40 calls" in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [command, methods_command])
@pytest.mark.parametrize("size", [["--calls", "39"], ["--documents", "19"]])
def test_sizes_that_no_method_can_use_are_refused(command, size):
    done = CliRunner().invoke(command, ["--smoke", *size])
    assert done.exit_code == 2 and size[0] in done.output


def test_a_latency_of_nothing_can_be_asked_for(monkeypatch):
    asked = []
    module = import_module("benchmarks.peers.command")
    monkeypatch.setattr(module, "compare", lambda *given: asked.append(given[2]) or {})
    done = CliRunner().invoke(command, ["--latency", "0", "--calls", "50"])
    assert done.exit_code == 0, done.output
    assert (asked[0].latency, asked[0].calls, asked[0].threads) == (0.0, 50, (16,))


def test_opro_shows_the_best_twenty_and_the_best_last():
    scores = {f"instruction {number}": number / 100 for number in range(30)}
    prompt = meta_prompt(scores, EXAMPLES[:3], RUBRIC)
    shown = [f"<instruction>instruction {number}</instruction>" for number in range(10, 30)]
    assert [line for line in prompt.splitlines() if "<instruction>i" in line] == shown
    assert "score: 29" in prompt
    assert all(example.output in prompt for example in EXAMPLES[:3])


def test_a_request_for_tags_is_no_instruction(task):
    request = meta_prompt({task.seed_prompt: 0.5}, EXAMPLES[:3], RUBRIC)
    reply = OpenWorld().reply("", request)
    assert reply.startswith("<instruction>Rate a text.")
    assert "### Criterion: fluency" in reply


def test_proposals_side_by_side_come_from_one_parent_and_one_goes_on(task, server, world):
    cap = 9 + 4 * (3 + 1 + 3) + 9  # the seed; texts, reflection and texts of four; the best
    measured(BY_NAME["GEPA, 4 side by side"], replace(task, meter=Meter(cap)), server)
    assert len(world.prompts) == 4
    assert all("Rate from 1 to 5." in prompt for prompt in world.prompts)
    assert server.calls["judge"] <= cap - 4 + 9  # and once more, apart from the cap


def agreeing(monkeypatch, liked):
    """Let instructions agree the better the more of some texts they hold; count the scorings."""
    measured_texts = []

    def measure(task, instructions):
        measured_texts.append(instructions)
        return agreement(sum(text in instructions for text in liked) / 10)

    monkeypatch.setattr(Task, "measure", measure)
    return measured_texts


def test_hpss_tries_each_value_once_before_it_combines_them(task, monkeypatch):
    texts = agreeing(monkeypatch, ())
    search = Search(task)
    with dspy.context(lm=task.lm):
        search.run()
    initial, *others = search.scores
    singles = [strategy for _, strategy in neighbours(initial)]
    assert texts[0] == task.seed_prompt
    assert others[: len(singles)] == singles
    assert len(texts) == len(set(texts)) <= len(search.scores) == prod(map(len, FACTORS.values()))


def test_hpss_finds_a_combination_that_no_single_change_reaches(task, monkeypatch):
    agreeing(monkeypatch, ("Think step by step", EXAMPLES[0].output, "When you rate"))
    search = Search(replace(task, training=EXAMPLES[:1]))
    with dspy.context(lm=task.lm):
        search.run()
    chosen = dict(zip(FACTORS, search.best, strict=True))
    assert chosen["reasoning"] == "before" and chosen["examples"] != "0"
    assert "written" in search.best
    assert search.scores[search.best] == pytest.approx(0.3)


def test_hpss_asks_for_each_criterion_apart(task, world):
    with dspy.context(lm=task.lm):
        drafts = drafted(task)
    assert len(drafts) == len(world.prompts) == 3 * len(RUBRIC.names)
    assert all(("fluency" in prompt) != ("coherence" in prompt) for prompt in world.prompts)
    assert all(cues_in(text) <= {*CUES[name]} for (_, name), text in drafts.items())


@pytest.mark.parametrize("cap", [40, 100, 400, 1000, 5000])
def test_mipro_takes_what_the_cap_pays_for(cap):
    candidates, trials = mipro_size(cap, 20)
    assert 2 <= candidates <= 18
    assert trials >= 1
    assert cap < 120 or 6 * candidates + 10 + (trials + 1) * 20 <= cap


def test_a_mean_has_the_interval_of_a_t_test():
    values = [0.2, 0.5, 0.3, 0.4]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    mean = Mean.of(values)
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.35, *expected))
    assert Mean.of([0.2, 0.4]).low is None


def test_no_cells_make_no_rows():
    assert summarize([]) == []


def cell_of(seed, threads, agreement, method="SSC", **kept):
    result = {
        "notes": "",
        "calls": {"judge": 10 * threads},
        "tokens": 5,
        "seconds": 8 / threads,
        "seed_kept": False,
        "seed_validation": 0.4,
        "validation": 0.6,
        "seed_agreement": 0.5,
        "agreement": agreement,
        "printed": None,
        "printed_truth": None,
        "confirmed": False,
        **kept,
    }
    key = {"method": method, "threads": threads, "seed": seed, "reference": "SSC"}
    return Cell("peers", key, {}, result, (), 1, 1.0, {})


def test_a_row_counts_each_seed_once():
    cells = [cell_of(0, 16, 0.5), cell_of(0, 1, 0.9), cell_of(1, 16, 0.7, seed_kept=True)]
    (row,) = summarize(cells)
    assert (row.runs, row.seed_kept, row.true.value, row.calls) == (2, 1, 0.6, {"judge": 160})
    assert row.seconds == {1: 8.0, 16: 0.5}
    assert (row.against, row.status) == (None, "")


def test_a_difference_is_taken_seed_by_seed():
    cells = [cell_of(seed, 16, 0.5 + seed / 10) for seed in range(4)]
    cells += [cell_of(seed, 16, 0.6 + seed / 10, method="GEPA") for seed in range(3)]
    ours, gepa = summarize(cells)
    assert (gepa.against.value, gepa.against.high) == pytest.approx((0.1, 0.1))
    assert (ours.reference, gepa.reference) == ("", "SSC")


def test_times_are_those_of_a_call_by_our_default():
    cells = [cell_of(0, 16, 0.5), cell_of(0, 1, 0.5)]  # 0.5 s of 160 calls, 8 s of 10
    slow = {"seconds": 16.0, "calls": {"judge": 10}}
    cells += [cell_of(0, 1, 0.5, "COPRO", **slow), cell_of(0, 1, 0.5, "seed prompt", calls={})]
    times = times_of(summarize(cells))
    assert times == {
        "time by SSC's, 1 thread": {"SSC": 1.0, "COPRO": 2.0},
        "time by SSC's, 16 threads": {"SSC": 1.0},
    }
    assert times_of(summarize(cells[2:])) == {}


WORLD = {"world": "real"}


def rows_of(gain=0.02, runs=8, others=()):
    """Give rows in which our default gains so much on GEPA, with some spread."""
    spread = [0.01 * (seed % 3 - 1) for seed in range(runs)]
    ours = {seed: 0.7 + gain + spread[seed] for seed in range(runs)}
    return [
        Row("SSC", agreements=ours),
        Row("CCC", agreements=ours),
        Row("GEPA", agreements=dict.fromkeys(range(runs), 0.7)),
        *(Row(name, agreements=dict.fromkeys(range(runs), value)) for name, value in others),
    ]


@pytest.mark.parametrize(
    ["gain", "runs", "verdict"],
    [
        (0.05, 8, "established"),
        (-0.05, 8, "established"),
        (0.0, 8, "equivalent"),
        (0.03, 8, "established"),
        (0.05, 5, "not established"),
        (0.05, 1, "cannot be tested"),
    ],
)
def test_the_claim_was_named_before(gain, runs, verdict):
    rows = rows_of(gain, runs, [("OPRO", 0.9)])
    first = finding("peers", WORLD, 600, rows)
    assert (first.claim.name, first.claim.verdict) == ("SSC - GEPA", verdict)
    assert (first.claim.low is not None) == (runs > 5)
    assert ("too few" in first.sentence) == (runs < 6)
    for value in (f"{rows[0].true.value:.3f}", "0.700"):
        assert (value in first.sentence) == (runs > 5)
    assert ("Not known" in first.answers["method"]) == (runs < 6)
    assert "real-like" in first.sentence
    if verdict == "established":
        assert ("GEPA" in first.action) == (gain < 0)


def test_an_interval_apart_from_0_is_no_lack_of_a_difference():
    ours = dict(enumerate((0.74, 0.75, 0.76, 0.74, 0.75, 0.695)))
    rows = [Row("SSC", agreements=ours), Row("GEPA", agreements=dict.fromkeys(range(6), 0.7))]
    first = finding("peers", WORLD, 600, rows)
    assert first.claim.verdict == "not established" and first.claim.low > 0
    assert "no difference" not in first.sentence
    assert f"(p {first.claim.p_value:.3f})" in first.sentence


def test_six_rows_come_first_ours_among_them_and_none_of_our_other_rows():
    others = [(f"peer {number}", 0.75 + number / 100) for number in range(7)]
    table = finding("peers", WORLD, 600, rows_of(others=others)).table
    names = [row[0] for row in table.rows]
    peers = [f"peer {number}" for number in (6, 5, 4, 3)]
    assert names == [*peers, "our default (SSC)", "GEPA"]


def test_fewer_than_three_runs_rank_no_others():
    table = finding("peers", WORLD, 600, rows_of(runs=2, others=[("OPRO", 0.9)])).table
    assert [row[0] for row in table.rows] == ["our default (SSC)", "GEPA"]


def test_who_changed_nothing_is_named():
    own, _, other = rows_of(runs=1)
    idle = finding("peers", WORLD, 40, [replace(own, seed_kept=1), other])
    assert "initial instructions were kept by our default" in idle.sentence
    assert "--calls" in idle.action
    assert "kept" not in finding("peers", WORLD, 40, [own, other]).sentence


def test_what_cannot_run_is_a_limit_and_no_claim():
    rows = [Row("GEPA", "not installed"), rows_of()[0]]
    first = finding("peers", WORLD, 600, rows)
    assert first.claim.verdict == "cannot be tested"
    assert any("GEPA" in limit and "not installed" in limit for limit in first.limits)
    assert [row[0] for row in first.table.rows] == ["our default (SSC)"]


def test_the_settings_claim_is_that_of_the_default_on_the_protocol_of_the_paper():
    rows = [Row(n, agreements={s: v + s / 100 for s in range(7)}) for n, v in ROWS_OF_SETTINGS]
    first = finding("methods", WORLD, 600, rows)
    assert first.claim.name == "default - paper"
    assert first.claim.estimate == pytest.approx(0.1)
    assert len(first.table.rows) == 3


ROWS_OF_SETTINGS = (("paper", 0.5), ("paper + race", 0.55), ("default", 0.6))


def test_runs_begin_at_the_first_seed(tmp_path):
    rows = replace(PEERS, methods=[BY_NAME["seed prompt"]])
    sizes = replace(SMOKE, seeds=2, first_seed=7)
    assert list(compare(tmp_path, rows, sizes)["real"][0].agreements) == [7, 8]
    assert list(compare(tmp_path, rows, SMOKE)["real"][0].agreements) == [100]


@pytest.mark.parametrize(
    ["world", "claimed"],
    [("conflicts", "default + project - default"), ("families", "default + partition - default")],
)
def test_a_world_about_a_method_claims_that_method(world, claimed):
    names = (*claimed.split(" - "), "default + separate calls")
    rows = [
        Row(name, agreements={seed: 0.9 - 0.1 * place + seed / 100 for seed in range(7)})
        for place, name in enumerate(names)
    ]
    first = finding("methods", {"world": world}, 600, rows)
    assert (first.claim.name, first.claim.verdict) == (claimed, "established")
    assert [row[0] for row in first.table.rows] == [spoken(name) for name in names]


def test_the_calls_of_a_step_are_those_of_critic_coach_and_editor():
    calls = {"coach": 30, "critic": 160, "editor": 10, "judge": 500}
    assert Row("default", calls=calls, steps=10).calls_of_a_step == 20
    assert Row("GEPA", calls=calls).calls_of_a_step is None


def test_the_rules_of_a_step_that_reach_their_section_are_counted(tmp_path):
    """One that is on another criterion, and one that the editor is asked for again, are not."""
    engine, (own, other) = Nearby(OpenWorld(), 0.0), (CUES[name][0] for name in RUBRIC.names)
    sections = f"### coherence\n1. add: {own}\n2. add: {other}\n\n### fluency\nnone"
    user = f"[[ ## advice ## ]]\n{sections}"
    system = "[[ ## new_instructions ## ]] the new text of coherence, fluency, each of at most 9"

    def edited(task):
        for prompt in (system, f"{system} [[ ## refused ## ]]"):
            engine.prompts.append(("editor", prompt, user))
        return Found("", steps=2)

    task = Task(RUBRIC, *PARTS, "", "toy", Meter(9), tmp_path, engine=engine)
    assert measure(Method("mine", edited), task, engine, engine.world)["reached"] == 0.5


@pytest.mark.parametrize("name", ["default + partition", "default + all three"])
@pytest.mark.parametrize(["interference", "layout"], [(2.0, "separate"), (0.0, "combined")])
def test_a_partition_is_found_by_measuring_within_the_cap(
    interference, layout, name, tmp_path, monkeypatch
):
    world = OpenWorld(interference=interference)
    sections = {name: f"Rate. {'; '.join(CUES[name])}" for name in RUBRIC.names}
    text = Instructions("Rate a text.", sections).render()
    layouts, texts = [], planted_examples(RUBRIC, documents=60, systems=1)

    def learned(settings, task, start=None):
        MOGrad(**settings)
        layouts.append(task.layout)
        return Found(text, steps=2)

    monkeypatch.setattr("benchmarks.peers.cures.optimize", learned)
    engine = Nearby(world, 0.0)
    task = Task(RUBRIC, texts[:30], texts[30:], "", "toy", Meter(600), tmp_path, engine=engine)
    result = measure(BY_NAME_OF_SETTINGS[name], task, engine, world)
    assert result["calls"] == {"judge": 180}  # 60 texts under all sections, and without each
    assert layouts == ["combined", layout]
    assert result["agreement"] == world.agreement(text, RUBRIC.names, layout)


def test_what_is_printed_is_compared_with_the_truth_of_what_it_is_about():
    luck = cell_of(0, 16, 0.5, printed=0.3, printed_truth=-0.1, confirmed=True)
    (row,) = summarize([luck])
    assert (row.optimism, row.wrong, row.wrongly_confirmed) == (pytest.approx(0.4), 1.0, 1.0)
    (row,) = summarize([cell_of(0, 16, 0.6)])  # it prints the gain on the validation texts
    assert (row.optimism, row.wrong, row.wrongly_confirmed) == (pytest.approx(0.1), 0.0, 0.0)


def test_a_run_that_prints_its_own_gain_is_held_to_it(task, server):
    def lucky(task):
        return Found(task.seed_prompt, printed=Printed(0.2, task.seed_prompt, is_confirmed=True))

    result = measured(Method("lucky", lucky), task, server)
    assert (result["printed"], result["printed_truth"], result["confirmed"]) == (0.2, 0.0, True)


def test_without_a_gate_what_a_run_returns_counts(task, server, monkeypatch):
    said = iter([0.5, 0.4])
    monkeypatch.setattr(Task, "measure", lambda *_: agreement(next(said)))
    worse = Method("worse", lambda task: Found(task.seed_prompt + " Be so kind."))
    result = measure(worse, task, server, OpenWorld(), gated=False)
    assert not result["seed_kept"]


def test_every_setting_has_a_row_of_calls_like_the_others(tmp_path):
    rows = compare(tmp_path, SETTINGS, SMOKE, ("null",))["null"]
    assert [row.method for row in rows] == [
        method.name for method in SETTINGS.methods if "null" in (method.worlds or ("null",))
    ]
    assert all(0 < sum(row.calls.values()) <= SMOKE.calls for row in rows)
    assert {row.true.value for row in rows} == {rows[0].true.value}  # nothing helps


def test_the_settings_print_a_table_for_each_world():
    asked = ["--smoke", "--method", "paper", "--world", "null", "--world", "real"]
    printed = CliRunner().invoke(methods_command, asked, catch_exceptions=False).output
    assert re.findall(r"^The ([\w-]+) \(simulated\) world:", printed, re.MULTILINE) == [
        "null",
        "real-like",
    ]


@pytest.mark.parametrize(
    ["user", "starts", "reads"],
    [
        ("<instruction>Rate.</instruction>\nscore: 3", "<instruction>Rate.", "cue"),
        (f"Improve ```Rate.``` by: {CUE}", "```\nRate.", "fluency"),
        (f"<VARIABLE> Rate. </VARIABLE> {CUE} <IMPROVED_VARIABLE>", "<IMPROVED_VARIABLE>", "cue"),
        (f"<OBJECTIVE_FUNCTION> {CUE}", "The judge should", "cue"),
        (f"{EXAMPLES[0].output}\nfluency: judge 2 too high", "The judge should", "cue"),
        (
            f"## Current Rubric\n{json.dumps(RUBRIC_IN_JSON)}\n\n## Held-Out {CUE}",
            '[{"name": "fluency", "requirement": "Rate.',
            "cue",
        ),
        ("What is the weather like?", "All is well", ""),
    ],
)
def test_a_foreign_prompt_is_answered_in_its_own_form(user, starts, reads):
    reply = OpenWorld().reply("You help.", user)
    assert reply.startswith(starts)
    assert bool(cues_in(reply)) == bool(reads)
    assert reply == OpenWorld().reply("You help.", user)


def test_ideas_differ_from_draw_to_draw_and_criticism_does_not():
    world, user = OpenWorld(), "<instruction>Rate.</instruction>"
    assert len({world.reply("", user, draw) for draw in range(20)}) > 5
    user = f"{EXAMPLES[0].output}\nfluency: judge 2 too high"
    assert len({world.reply("", user, draw) for draw in range(20)}) == 1


def test_errors_are_read_within_json_too():
    said = f"{EXAMPLES[0].output}\nfluency: judge 2 too high\ncoherence: judge 1.5 too low"
    prompt = f"```Rate.``` {json.dumps([{'Feedback': said}])}"
    assert cues_in(OpenWorld().reply("", prompt)) == cues_in(OpenWorld().reply("", said))
    assert len(cues_in(OpenWorld().reply("", prompt))) == 4


def test_one_critic_of_several_criteria_is_diluted():
    said = f"{EXAMPLES[0].output}\nfluency: judge 2 too high\ncoherence: judge 1 too low"
    for prompt in (said, f"```Rate.``` {said}"):
        replies = [OpenWorld(dilution=d).reply("", prompt) for d in (0.0, 1.0)]
        assert [len(cues_in(reply)) for reply in replies] == [4, 0]
    alone = said.replace("coherence: judge", "")
    assert len(cues_in(OpenWorld(dilution=1.0).reply("", alone))) == 2


needs_textgrad = pytest.mark.skipif(
    find_spec("textgrad") is None, reason="textgrad is not installed (the extra `peers`)"
)


@needs_textgrad
@pytest.mark.filterwarnings("default")  # of TextGrad and what it imports
@pytest.mark.parametrize(
    ["name", "blank", "per_step"],
    [("TextGrad, as shipped", True, 2 * 3 * 3 + 1), ("TextGrad, one by one", False, 3 + 3 * 6 + 1)],
)
def test_textgrad_keeps_to_the_cap_and_leaves_nothing_behind(
    name, blank, per_step, world, server, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    task = task_of(server, tmp_path / "cache", 9 + per_step + 9)
    result = measured(BY_NAME[name], task, server)
    assert result["notes"].startswith("1 steps, 0 failed")
    assert sum(result["calls"].values()) == task.meter.taken == 9 + per_step + 9
    assert result["calls"]["judge"] == 9 + 3 + 9
    # In 0.1.8 `tg.sum` hands each loss an empty gradient; see the module.
    objectives = Counter(prompt.count("on the LM_OUTPUT: \n </OBJ") for prompt in world.prompts)
    assert (objectives[1] == 6) == blank
    assert any("Our only goal" in prompt for prompt in world.prompts) != blank
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert dict(os.environ) == before


@needs_textgrad
@pytest.mark.filterwarnings("default")
def test_a_reply_without_tags_is_a_failed_step_of_textgrad(task, server):
    answer = server.world

    def forgetful(system, user):
        return answer(system, user).replace("<IMPROVED_VARIABLE>", "")

    server.world = forgetful
    result = measured(BY_NAME["TextGrad, as shipped"], task, server)
    steps, failed = re.findall(r"\d+", result["notes"])
    assert int(steps) == int(failed) >= 3
    assert result["seed_kept"]


needs_autorubric = pytest.mark.skipif(
    find_spec("autorubric") is None, reason="autorubric is not installed (the extra `peers`)"
)


@needs_autorubric
@pytest.mark.filterwarnings("default")  # of autorubric and what it imports
def test_autorubric_keeps_to_the_cap_and_leaves_nothing_behind(
    world, server, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    task = task_of(server, tmp_path, 9 + 2 * (1 + 9) + 5)
    result = measured(BY_NAME["autorubric"], task, server)
    assert result["notes"] == "2 revisions"
    assert result["calls"] == {"judge": 27, "other": 2}
    assert sum(result["calls"].values()) == task.meter.taken
    assert all("## Held-Out Grading Diagnostics" in prompt for prompt in world.prompts)
    assert all("**Disagreements**" in prompt for prompt in world.prompts)
    assert any(" too high" in prompt or " too low" in prompt for prompt in world.prompts)
    assert list(tmp_path.iterdir()) == []
    assert dict(os.environ) == before


@needs_autorubric
@pytest.mark.filterwarnings("default")
def test_a_rubric_that_cannot_be_read_ends_autorubric_with_a_reason(task, server):
    answer = server.world

    def forgetful(system, user):
        return answer(system, user) if is_ours(system) else "None."

    server.world = forgetful
    with pytest.raises(CannotRun, match="None"):
        measured(BY_NAME["autorubric"], task, server)
