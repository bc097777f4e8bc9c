"""The modes benchmark: what a run costs and scores, and what may be concluded from it."""

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import dspy
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.__main__ import main
from benchmarks.harness.scored import MEAN, Judged
from benchmarks.harness.setting import ROLES, in_setting, setting_of
from benchmarks.harness.two_way import two_way
from benchmarks.modes.edits import edits_of, rate_edits
from benchmarks.modes.estimates import Estimate, differences, gains
from benchmarks.modes.finding import finding
from benchmarks.modes.measure import Plan, measure, runs_of
from benchmarks.modes.runs import hypervolume, validation_volume
from benchmarks.modes.summary import summarize
from benchmarks.self_tests import cost
from benchmarks.worlds.planted import (
    PlantedWorld,
    cues_in,
    planted_examples,
    planted_lm,
    planted_rubric,
)
from benchmarks.worlds.world import fields, inputs_of
from engines import FunctionEngine, fake_lm
from mogradjudge import BudgetExhausted, SetupError
from mogradjudge.agreement import cluster_test
from mogradjudge.agreement.claims import Claim
from mogradjudge.judge.judge import MultiCriteriaJudge

PLAN = Plan(steps=1, gate="none")


def setting_in(folder, world=None, documents=10, lm=None, **options):
    rubric = planted_rubric("coherence", "fluency")
    lm = lm or planted_lm(world or PlantedWorld())
    examples = planted_examples(rubric, documents=documents, systems=4)
    return setting_of(folder, rubric, examples, dict.fromkeys(ROLES, lm), **options)


def measured(setting, *modes, plan=PLAN):
    with in_setting(setting):
        measure(setting, plan, modes)
    return setting.grid.cells


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    setting = setting_in(
        tmp_path_factory.mktemp("modes"), PlantedWorld(dilution=1.0), documents=16, seeds=(0, 1)
    )
    return measured(setting, "SSS", "CCC", plan=Plan(steps=2, gate="none"))


@pytest.mark.slow
def test_a_cell_for_each_run_and_each_seed_prompt(cells):
    keys = [(cell.key.get("mode"), cell.key.get("seed", cell.key.get("repeat"))) for cell in cells]
    assert keys == [
        *((None, 0), ("SSS", 0), ("CCC", 0)),
        *((None, 1), ("SSS", 1), ("CCC", 1)),
    ]
    (run,) = cells[1].result["runs"]
    assert [step["step"] for step in run["trajectory"]] == [0, 1, 2]
    assert run["stop_reason"] == "steps"
    assert set(run["sections"]) == {"coherence", "fluency"}


@pytest.mark.slow
def test_every_call_is_booked_and_none_is_sent_twice(tmp_path):
    lm = planted_lm(PlantedWorld())
    for _ in range(2):
        cells = measured(setting_in(tmp_path, lm=lm), "SSC", "ST")
    assert sum(cell.calls for cell in cells) == sum(lm.engine.calls.values())
    found = {mode.name: mode.cost for mode in summarize(cells)[0].modes}
    texts = len(Judged.of(cells[0]).groups)
    paid = {cell.key.get("mode"): cell.ledger for cell in cells}
    tested = {
        mode: sum(r["calls"] for r in rows if r["role"] == "test") for mode, rows in paid.items()
    }
    assert (tested["SSC"], tested["ST"]) == (texts, 2 * texts)
    assert "test" not in found["SSC"].calls
    assert found["SSC"].calls["critic"] == 3 * 2
    assert found["seed"].calls == {}
    runs = cells[-1].result["runs"]
    assert [run["criterion"] for run in runs] == ["coherence", "fluency"]
    assert all(list(run["sections"]) == [run["criterion"]] for run in runs)


def test_the_prompt_for_one_criterion_is_that_of_a_separate_judge(tmp_path):
    setting = setting_in(tmp_path)
    rubric = planted_rubric("fluency")
    one = MultiCriteriaJudge(rubric).named_predictors()[0][1]
    parts = dict(setting.judge("separate").named_predictors())
    (two,) = (each for each in parts.values() if each.criteria == ("fluency",))
    formatted = [
        dspy.ChatAdapter().format(each.signature, [], {"output": "a text"}) for each in (one, two)
    ]
    assert formatted[0] == formatted[1]


@pytest.mark.slow
def test_a_run_that_the_cap_cut_short_is_no_cell_and_goes_on(tmp_path):
    short, whole = tmp_path / "short", tmp_path / "whole"
    setting = setting_in(short, max_calls=45)
    with pytest.raises(BudgetExhausted):
        measured(setting, "SSS")
    assert [cell.benchmark for cell in setting.grid.cells] == ["noise"]
    first = measured(setting_in(short, lm=setting.lms["judge"]), "SSS")[-1]
    other = measured(setting_in(whole), "SSS")[-1]
    assert first.calls == other.calls
    assert first.result["runs"][0]["sections"] == other.result["runs"][0]["sections"]


def test_the_volume_is_that_of_a_run_and_does_not_grow_with_their_number(cells):
    (found,) = summarize(cells)
    seeds = [cell.key.get("seed", cell.key.get("repeat")) for cell in cells]
    one, other = (
        summarize([c for c, seed in zip(cells, seeds, strict=True) if seed == place])[0]
        for place in (0, 1)
    )
    for mode, first, second in zip(found.modes, one.modes, other.modes, strict=True):
        assert mode.volume == pytest.approx((first.volume + second.volume) / 2)


def test_dilution_that_was_planted_shows(cells):
    cues = {
        name: [
            sum(len(cues_in(text)) for text in cell.result["runs"][0]["sections"].values())
            for cell in cells
            if cell.key.get("mode") == name
        ]
        for name in ("SSS", "CCC")
    }
    assert max(cues["CCC"]) == 0 < max(cues["SSS"])
    (found,) = summarize(cells)
    by_name = {claim.name: claim.estimate for claim in (*found.against_seed, *found.pairs)}
    assert by_name["SSS minus seed"] > 0 > by_name["CCC minus SSS"]


def test_fewer_than_three_runs_recommend_no_mode(cells):
    said = finding(summarize(cells)[0])
    assert said.claim is None
    assert "--seeds" in said.action
    assert "2 runs" in said.sentence
    assert not any("(" in value for row in said.table.rows for value in row[2:5])  # no interval


@pytest.mark.parametrize(
    ("verdict", "estimate", "taken"),
    [
        ("established", -0.1, "Take SSS"),
        ("established", 0.1, "Take CCC"),
        ("equivalent", 0.0, "Take CCC"),
        ("not established", -0.1, "Take CCC, the cheapest"),
    ],
)
def test_the_primary_claim_decides_which_mode_is_recommended(cells, verdict, estimate, taken):
    (summary,) = summarize(cells)
    ends = (estimate - 0.02, estimate + 0.02)
    claim = Claim("CCC minus SSS", estimate, *ends, 0.01, 12, verdict, bound=0.03)
    modes = tuple(replace(mode, seeds=(0, 1, 2)) for mode in summary.modes)
    said = finding(replace(summary, modes=modes, pairs=(claim,)))
    assert said.claim == claim
    assert said.action.startswith(taken)
    assert said.answers["mode"] == said.sentence and said.action not in said.sentence
    assert bool(said.limits) == (verdict == "not established")
    assert not any(said.sentence in limit for limit in said.limits)
    assert f"{estimate:+.2f}" in said.sentence
    assert [row[0] for row in said.table.rows] == ["SSS", "CCC"]


def test_a_mode_that_beats_the_initial_instructions_is_named_and_recommended(cells):
    (summary,) = summarize(cells)
    mode = next(mode for mode in summary.modes if mode.name == "CCC")
    start = next(mode for mode in summary.modes if mode.name == "seed")
    alone = replace(mode, name="ST", layout="separate")
    apart = replace(start, layout="separate", test={**start.test, MEAN: Estimate(0.123)})
    modes = tuple(replace(it, seeds=(0, 1, 2)) for it in (*summary.modes, apart, alone))
    told = Claim("CCC minus SSS", -0.1, -0.3, 0.1, 0.3, 12, "not established", bound=0.03)
    gain = Claim("ST minus seed", 0.26, 0.1, 0.42, 0.01, 12, "established", bound=0.03)
    better = Claim("ST minus CCC", 0.2, 0.13, 0.3, 0.01, 12, "established", bound=0.03)
    changes = {"modes": modes, "against_seed": (gain,), "pairs": (told, better)}
    said = finding(replace(summary, **changes))
    assert said.claim == told
    assert "ST agrees more than the initial instructions" in said.sentence
    assert "+0.26" in said.sentence and "CCC (by 0.13 to 0.30)" in said.sentence
    assert said.action.startswith("Take ST")
    rows = {row[0]: row for row in said.table.rows}
    assert rows["ST"][1:3] == ["separate calls", "0.123"]  # the start of its own layout
    cheap = replace(gain, name="CCC minus seed")
    said = finding(replace(summary, **{**changes, "against_seed": (cheap,)}))
    assert said.action.count("CCC") == 1
    worse = replace(gain, estimate=-0.26, low=-0.42, high=-0.1)
    said = finding(replace(summary, **{**changes, "against_seed": (worse,)}))
    assert "ST agrees less" in said.sentence and said.action.startswith("Take CCC")


def test_settings_stand_apart_and_side_by_side(cells):
    models = cells[0].setting["models"]
    hotter = {**models, "judge": {**models["judge"], "temperature": 0.5}}
    others = [replace(cell, setting={**cell.setting, "models": hotter}) for cell in cells]
    found = summarize([*cells, *others])
    assert len(found) == 2
    assert [each.setting["models"]["judge"]["temperature"] for each in found] == [0.0, 0.5]
    names = ["SSS minus seed", "CCC minus seed", "CCC minus SSS"]
    claims = [claim for each in found for claim in (*each.against_seed, *each.pairs)]
    assert [claim.name for claim in claims] == names * 2
    assert summarize(list(reversed([*cells, *others])))[1] == found[0]


def test_the_claim_that_was_named_beforehand_is_not_adjusted_for_the_others(cells):
    def as_mode(cell, name, seed):
        return replace(cell, key={**cell.key, "mode": name, "seed": seed})

    runs = {c.key["mode"]: c for c in cells if c.key.get("seed") == 0}
    two = [as_mode(runs[name], name, seed) for name in ("SSS", "CCC") for seed in range(3)]
    others = [as_mode(runs["CCC"], name, seed) for name in ("SSC", "SCC") for seed in range(3)]
    (alone,), (beside,) = summarize(two), summarize([*two, *others])
    (claim,) = alone.pairs
    by_name = {of.name: of for of in beside.pairs}
    assert claim == by_name["CCC minus SSS"] == finding(beside).claim
    assert 0 < claim.p_value < 0.5 and len(by_name) == 6


def test_edits_are_read_from_events_and_told_twice_count_once():
    def step(number, text, *, accepted):
        return [
            {"event": "GradientWritten", "step": number, "criteria": ["fluency"], "text": text},
            {"event": "SectionRewritten", "step": number, "criterion": "fluency", "text": text},
            {"event": "GateDecided", "step": number, "accepted": accepted},
        ]

    events = [
        *step(1, "a", accepted=True),
        *step(2, "lost", accepted=True)[:2],
        {"event": "RunResumed", "steps": 1},
        *step(2, "b", accepted=False),
        *step(3, "c", accepted=True),
        {"event": "RunEnded"},
    ]
    edits = edits_of(events, {"fluency": "seed", "coherence": "seed"})
    assert [edit["before"]["fluency"] for edit in edits] == ["seed", "a", "a"]
    assert [edit["after"]["fluency"] for edit in edits] == ["a", "b", "c"]
    assert [[each["text"] for each in edit["gradients"]] for edit in edits] == [["a"], ["b"], ["c"]]


@pytest.mark.slow
def test_a_rater_rates_each_rewritten_section_of_a_run_once(tmp_path):
    asked = []

    def rate(request):
        inputs = inputs_of(request.messages[-1].text)
        asked.append(inputs)
        followed = inputs["criterion"] in inputs["advice"]
        return fields({"adherence": 9 if followed else "no idea"})

    rater = fake_lm(FunctionEngine(rate)).copy(cache=True)
    setting = setting_in(tmp_path, seeds=(0, 1))
    setting = replace(setting, lms={**setting.lms, "rater": rater})
    measured(setting, "SSC")
    cells = runs_of(setting, PLAN, ["SSC"])
    for _ in range(2):
        with in_setting(setting):
            rate_edits(setting, cells)
    (found,) = summarize(setting.grid.cells)
    (mode,) = found.adherence
    edits = [edit for cell in cells for edit in cell.result["runs"][0]["edits"]]
    assert mode.n + mode.unrated == sum(len(edit["after"]) for edit in edits) > 0
    assert mode.mean == 9
    assert len({tuple(each.values()) for each in asked}) <= mode.n + 3 * mode.unrated
    assert asked[0]["old_instructions"] == "Rate from 1 to 5."


def judged(scores, human, groups):
    empty = {"systems": [], "scales": {"coherence": [1, 5]}}
    return Judged({"coherence": scores}, {"coherence": human}, groups, **empty)


def noisy(human, sd, seed):
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(human + sd * rng.standard_normal(len(human))), 1, 5).tolist()


@pytest.fixture
def texts():
    human = np.random.default_rng(0).integers(1, 6, 400).astype(float)
    return human, [f"{place // 8}" for place in range(400)]


def arms(texts, **sds):
    human, groups = texts
    return {
        name: {
            seed: judged(noisy(human, sd, 10 * ord(name) + seed), human.tolist(), groups)
            for seed in range(5)
        }
        for name, sd in sds.items()
    }


def verdict(found, pair):
    (claim,) = differences(found, {"a minus b": pair})
    return claim.verdict


def test_a_claim_is_established_equivalent_or_neither(texts):
    found = arms(texts, a=0.8, b=1.6)
    assert verdict(found, ("a", "b")) == "established"
    assert verdict(arms(texts, a=0.8, c=0.8), ("a", "c")) == "equivalent"


def test_values_without_spread_are_not_equivalent(texts):
    (found,) = arms(texts, a=0.8).values()
    (claim,) = differences({"a": found, "b": found}, {"a minus b": ("a", "b")})
    assert (claim.verdict, claim.estimate, claim.p_value) == ("not established", 0.0, 1.0)


@pytest.mark.parametrize(
    ("runs", "note"),
    [(1, "one run: holds for this run alone; 3 are needed"), (2, "2 runs; 3 are needed")],
)
def test_few_runs_establish_nothing(texts, runs, note):
    found = {
        name: {seed: of[seed] for seed in range(runs)}
        for name, of in arms(texts, a=0.8, b=1.6).items()
    }
    (claim,) = differences(found, {"a minus b": ("a", "b")})
    assert (claim.verdict, claim.note, claim.n) == ("not established", note, 50)
    assert claim.low < claim.estimate < claim.high


@pytest.mark.parametrize("run_sd", [0.0, 0.1])
def test_the_test_has_its_size_whatever_the_spread_of_runs(run_sd):
    rng = np.random.default_rng(0)
    tables, runs, documents = 8000, 5, 20
    values = run_sd * rng.standard_normal((tables, runs, 1))
    values = values + 0.3 * rng.standard_normal((tables, 1, documents))
    found = two_way(values + 0.3 * rng.standard_normal((tables, runs, documents)))
    low, high = found.bounds(0.95)
    assert np.array_equal(found.p_value < 0.05, low * high > 0)
    assert 0.02 <= (found.p_value < 0.05).mean() <= 0.08


def test_values_that_differ_by_document_alone_have_students_interval():
    values = np.random.default_rng(0).standard_normal(12)
    found, student = two_way(np.tile(values, (3, 1))), cluster_test(values)
    assert found.bounds(0.95) == pytest.approx((student.low, student.high))


def test_no_claim_where_texts_or_runs_are_missing(texts):
    human, groups = texts
    found = arms(texts, a=0.8, b=0.8)
    lost = [None] * 20 + noisy(human, 0.8, 1)[20:]
    found["c"] = {seed: judged(lost, human.tolist(), groups) for seed in range(5)}
    found["d"] = {7: found["a"][0]}
    claims = differences(found, {"a": ("a", "c"), "b": ("a", "d"), "c": ("a", "b")})
    assert [claim.verdict for claim in claims[:2]] == ["cannot be tested"] * 2
    assert "coverage from 95.0%" in claims[0].note
    assert claims[2].estimate is not None


def test_a_gain_is_the_difference_of_paired_runs(texts):
    found = arms(texts, a=0.8, b=1.6)
    gain = gains(found["a"], found["b"])
    assert gain["mean"] == gain["coherence"]
    assert gain["mean"].low < gain["mean"].value < gain["mean"].high


def by_inclusion_and_exclusion(points):
    """Add the boxes of all points, take off those of all pairs, and so on."""
    total = 0.0
    for chosen in range(1, 2 ** len(points)):
        members = [point for place, point in enumerate(points) if chosen >> place & 1]
        sign = 1 if len(members) % 2 else -1
        total += sign * np.prod(np.min(members, axis=0))
    return total


@given(
    st.integers(1, 4).flatmap(
        lambda k: st.lists(st.tuples(*[st.floats(-0.5, 1, width=32)] * k), min_size=1, max_size=6)
    )
)
def test_the_volume_is_that_of_the_union_of_boxes(points):
    floored = np.maximum(0, np.array(points, dtype=float))
    assert hypervolume(points) == pytest.approx(by_inclusion_and_exclusion(floored), abs=1e-9)


def test_what_has_no_agreement_adds_no_volume():
    assert hypervolume([(None, 0.5), (-0.2, 1.0)]) == 0
    assert hypervolume([(0.5, 0.5), (0.4, 0.4)]) == pytest.approx(0.25)


def test_programs_of_single_criteria_are_put_together():
    def part(name, *values):
        steps = [{"proposed": {name: value, "mean": value}} for value in values]
        return {"criterion": name, "trajectory": [*steps, {"proposed": None}]}

    parts = [part("coherence", 0.2, 0.5), part("fluency", 0.4, None)]
    assert validation_volume(parts, ("coherence", "fluency")) == pytest.approx(0.2)


def test_the_gain_is_that_of_the_two_agreements_beside_it(cells):
    once = [c for c in cells if c.benchmark == "noise" or c.key["seed"] == 0]
    (summary,) = summarize(once)
    start = next(mode for mode in summary.modes if mode.name == "seed")
    assert start.seeds == (0,)  # the scoring beside the run alone
    for mode in summary.optimized:
        assert mode.gain[MEAN].value == pytest.approx(
            mode.test[MEAN].value - start.test[MEAN].value
        )


def test_one_criterion_has_one_mode_and_nothing_to_choose(tmp_path, monkeypatch):
    rubric = planted_rubric("fluency")
    examples = planted_examples(rubric, documents=10, systems=3)
    lms = dict.fromkeys(ROLES, planted_lm(PlantedWorld()))
    setting = setting_of(tmp_path, rubric, examples, lms, seeds=(0,), smoke=True)
    monkeypatch.setattr("benchmarks.harness.options.smoke_setting", lambda *_, **__: setting)
    run = CliRunner().invoke(main, ["modes", "--smoke", "--steps", "1"])
    assert run.exit_code == 0, run.output
    measured = [cell.key["mode"] for cell in setting.cells if cell.benchmark == "modes"]
    assert measured == ["SSS"]
    assert "--seeds" not in run.output and "one criterion" in run.output


def test_unknown_modes_and_gates_are_refused(tmp_path):
    with pytest.raises(SetupError, match="no mode"):
        measure(setting_in(tmp_path), PLAN, ["SCS"])
    for wrong in (["--modes", "SCS"], ["--tolerance", "0.1"]):
        run = CliRunner().invoke(main, ["modes", "--smoke", "--out", str(tmp_path), *wrong])
        assert run.exit_code == 1
        assert run.output.startswith("Error: ")
        assert len(run.output.splitlines()) == 1


@pytest.mark.parametrize(("critics", "status"), [(4, 0), (5, 1)])
def test_the_cost_benchmark_fails_where_calls_are_not_as_the_formula(critics, status, monkeypatch):
    @contextmanager
    def no_server(latency: float):
        yield None

    def row(server: object, mode: str) -> cost.Row:
        return cost.Row(mode, {"critic": critics}, {"critic": 4}, 1.0, 1)

    monkeypatch.setattr(cost, "serving_apart", no_server)
    monkeypatch.setattr(cost, "measure", row)
    monkeypatch.setattr(cost, "ratio_by_default", lambda server, mode, proposals: 1.0)
    monkeypatch.setattr(cost, "import_seconds", lambda: (1.0, 0.1))
    done = CliRunner().invoke(cost.command)
    assert done.exit_code == status
    assert ("CCC" in done.stderr) == bool(status)


@pytest.mark.slow
def test_the_cost_benchmark_times_what_the_package_does_on_import(monkeypatch):
    monkeypatch.setattr(cost, "IMPORT_RUNS", 1)
    sent: list[str] = []
    words = (
        "import sys; exec(sys.argv[1]); print('mogradjudge.optimize.teleprompter' in sys.modules)"
    )
    monkeypatch.setattr(
        cost.subprocess, "check_output", lambda code: sent.append(code[-1]) or b"1 2"
    )
    assert cost.import_seconds() == (1.0, 2.0)
    monkeypatch.undo()
    done = subprocess.run([sys.executable, "-c", words, sent[0]], capture_output=True, check=True)
    assert done.stdout.split()[-1] == b"True"
