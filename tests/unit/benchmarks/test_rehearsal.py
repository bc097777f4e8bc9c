"""What a benchmark costs is told before it is paid, and what was paid is shown in any case."""

import json
import re
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner

from benchmarks import noise
from benchmarks.__main__ import main
from benchmarks.harness import paying
from benchmarks.harness.cells import CELLS
from benchmarks.harness.paying import agreed, estimated
from benchmarks.harness.rehearsal import Estimate, Used
from benchmarks.harness.setting import ROLES, in_setting, setting_of
from benchmarks.interference.choose import Effort, chosen_sections
from benchmarks.interference.measure import measure as score_arms
from benchmarks.modes.measure import Plan
from benchmarks.modes.measure import measure as run_modes
from benchmarks.worlds.planted import PlantedWorld, planted_examples, planted_lm, planted_rubric
from mogradjudge.lm.models import make_lm


def interference(setting):
    score_arms(setting, chosen_sections(setting, Effort(steps=1, batch_size=2)))


def modes(setting):
    run_modes(setting, Plan(steps=1), ("SSS", "CCC", "ST"))


@pytest.fixture
def setting(tmp_path):
    rubric = planted_rubric("coherence", "fluency")
    examples = planted_examples(rubric, documents=10, systems=4)
    lms = dict.fromkeys(ROLES, planted_lm(PlantedWorld(interference=0.6)))
    return setting_of(tmp_path, rubric, examples, lms, seeds=range(2), repeats=2)


def sent_by(setting):
    return sum(setting.lms["judge"].engine.calls.values())


@pytest.mark.parametrize(
    "measure",
    [
        noise.measure,
        pytest.param(interference, marks=pytest.mark.slow),
        pytest.param(modes, marks=pytest.mark.slow),
    ],
)
def test_as_many_calls_as_are_told_are_sent_or_some_fewer(setting, measure):
    counted = Estimate()
    estimated("it", measure, setting, counted)
    assert sent_by(setting) == 0
    assert setting.cells == []
    with in_setting(setting):
        measure(setting)
    told = counted.used["it"].calls
    assert 0.8 * told <= sent_by(setting) <= told
    assert counted.used["it"].dollars is None  # nobody knows what a planted world costs


@pytest.mark.slow
def test_what_is_measured_costs_nothing_and_what_two_need_is_paid_once(setting):
    counted = Estimate()
    estimated("first", noise.measure, setting, counted)
    estimated("second", interference, setting, counted)
    alone = Estimate()
    estimated("second", interference, setting, alone)
    assert alone.used["second"].calls - counted.used["second"].calls == counted.used["first"].calls
    with in_setting(setting):
        noise.measure(setting)
    left = Estimate()
    estimated("first", noise.measure, setting, left)
    assert left.used["first"] == Used()


def test_known_prices_make_dollars(setting):
    lms = dict.fromkeys(ROLES, make_lm("openai/gpt-4o-mini"))
    counted = Estimate()
    estimated("it", interference, replace(setting, lms=lms), counted)
    used = counted.used["it"]
    assert used.dollars == pytest.approx(
        used.prompt_tokens * 0.15e-6 + used.completion_tokens * 0.6e-6
    )
    assert counted.table().rows[0][-1] == f"{used.dollars:.2f}"


def test_a_price_that_is_unknown_makes_the_sum_unknown():
    estimate = Estimate({"a": Used(1, 2, 3, 0.5), "b": Used(1, 2, 3, None)})
    assert [row[-1] for row in estimate.table().rows] == ["0.50", "n/a", "n/a"]


def test_the_command_estimate_takes_the_options_and_measures_nothing(tmp_path):
    folder = tmp_path / "out"
    run = CliRunner().invoke(
        main, ["estimate", "noise", "--smoke", "--repeats", "1", "--out", str(folder)]
    )
    assert run.exit_code == 0, run.output
    assert "noise" in run.output
    assert not (folder / CELLS).exists()


def test_a_rubric_of_one_criterion_has_a_price_without_what_needs_two(tmp_path):
    rubric = planted_rubric("fluency")
    (tmp_path / "rubric.toml").write_text(rubric.to_toml(), "utf-8")
    rows = [dict(example) for example in planted_examples(rubric, documents=10, systems=2)]
    (tmp_path / "rated.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    options = {"lm": "openai/toy", "data": tmp_path / "rated.jsonl", "seeds": "1", "repeats": "1"}
    options |= {"rubric": tmp_path / "rubric.toml", "out": tmp_path / "out"}
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    run = CliRunner().invoke(main, ["estimate", "all", *arguments])
    assert run.exit_code == 0, run.output
    assert re.search(r"noise.*\d", run.output) and re.search(r"modes.*\d", run.output)
    assert "left out" in run.output


@pytest.mark.parametrize(
    ("terminal", "yes", "answer", "expected"),
    [
        (False, False, None, True),
        (True, True, None, True),
        (True, False, False, False),
        (True, False, True, True),
    ],
)
def test_a_price_is_confirmed_on_a_terminal_only(monkeypatch, terminal, yes, answer, expected):
    monkeypatch.setattr(paying, "_is_asked", lambda: terminal)
    monkeypatch.setattr(click, "confirm", lambda _: answer)
    assert agreed(Estimate({"noise": Used(1)}), yes=yes) is expected


@pytest.mark.slow
def test_what_a_cap_has_cut_short_is_summed_up_in_part(tmp_path):
    arguments = ["noise", "--smoke", "--out", str(tmp_path)]
    run = CliRunner().invoke(main, [*arguments, "--max-calls", "130"])
    assert run.exit_code == 1
    assert "Partial. noise: 2 of 4 cells" in run.output
    assert "repeat 1" in run.output
    assert "coherence" in run.output  # what is there is shown
    assert "noise" in json.loads((tmp_path / "unfinished.json").read_text("utf-8"))
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert json.loads((tmp_path / "unfinished.json").read_text("utf-8")) == {}


def test_what_a_first_cell_has_paid_is_told_and_not_priced_again(tmp_path):
    arguments = ["noise", "--smoke", "--repeats", "1", "--out", str(tmp_path)]
    price = re.compile(r"noise +(\d+)")
    full = int(price.search(CliRunner().invoke(main, ["estimate", *arguments]).output)[1])
    run = CliRunner().invoke(main, [*arguments, "--max-calls", "30"])
    assert run.exit_code == 1
    assert "Partial. noise: 0 of 2 cells" in run.output
    assert not read_cells_of(tmp_path)
    run = CliRunner().invoke(main, ["estimate", *arguments, "--max-calls", "50"])
    assert int(price.search(run.output)[1]) == full - 30
    assert f"leaves 20 of the {full - 30} calls" in run.output
    run = CliRunner().invoke(main, ["estimate", *arguments, "--max-calls", str(full)])
    assert "leaves" not in run.output  # it is enough


def read_cells_of(folder):
    path = folder / CELLS
    return path.read_text("utf-8") if path.exists() else ""


def test_modes_without_a_run_say_that_there_is_too_little(tmp_path):
    run = CliRunner().invoke(
        main, ["modes", "--smoke", "--out", str(tmp_path), "--max-calls", "130"]
    )
    assert run.exit_code == 1
    assert "Partial. modes" in run.output and "too little" in run.output
