"""The calls that benchmarks/README.md announces, beside those that are sent."""

import re
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from benchmarks import noise
from benchmarks.dilution import command as dilution
from benchmarks.dilution.planted import plant
from benchmarks.harness.setting import ROLES, in_setting, setting_of
from benchmarks.interference.choose import Effort, chosen_sections
from benchmarks.interference.measure import measure as score_arms
from benchmarks.interference.paper import measure_paper
from benchmarks.modes.measure import Plan
from benchmarks.modes.measure import measure as run_modes
from benchmarks.worlds.planted import PlantedWorld, planted_examples, planted_lm, planted_rubric

README = (Path(__file__).parents[3] / "benchmarks/README.md").read_text("utf-8")
S, T, B, R, K = 2, 2, 2, 2, 2
STAGES = {"SSS": 2 * B * K + K, "CCC": 2 * B + 1}


def bounds(command, **sizes):
    """Compute the formulas of a row of the table; the letters' values are sizes."""
    row = next(line for line in README.splitlines() if line.startswith(f"| `{command}` |"))
    formulas = re.findall(r"`([SRPGn] [^`]*)`", row.split("|")[3])
    products = (re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", text) for text in formulas)
    return [eval(text.replace("^", "**"), {}, sizes) for text in products]


@pytest.fixture
def setting(tmp_path):
    examples = planted_examples(planted_rubric("coherence", "fluency"), documents=10, systems=4)
    return setting_of(
        *(tmp_path, planted_rubric("coherence", "fluency"), examples),
        dict.fromkeys(ROLES, planted_lm(PlantedWorld(dilution=0.4, interference=0.6))),
        seeds=range(S),
        repeats=R,
    )


def measured(setting, measure):
    """Return the calls by benchmark, part and mode, and the sizes of the formulas."""
    with in_setting(setting):
        measure()
    calls = Counter()
    for cell in setting.cells:
        calls[cell.benchmark, cell.key.get("part") or cell.key.get("mode")] += cell.calls
    assert sum(calls.values()) == sum(setting.lms["judge"].engine.calls.values())
    return calls, {
        "S": S,
        "T": T,
        "B": B,
        "R": R,
        "K": K,
        "n": len(setting.test),
        "V": len(setting.validation),
    }


def test_the_calls_of_noise(setting):
    calls, sizes = measured(setting, lambda: noise.measure(setting))
    assert [calls["noise", None]] == bounds("noise", **sizes)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["batch", "example"])
def test_the_calls_of_dilution(pool, setting, monkeypatch):
    rules = count()

    def advice(world, names, read, words=None):  # no two texts are equal
        about = ((name, f"{name} by rule {next(rules)}") for name in names)
        return "\n\n".join(f"{name}: Judge {it}. For {it} the judge is fair." for name, it in about)

    monkeypatch.setattr(PlantedWorld, "advice", advice)
    sizes = dilution.Sizes(steps=T, batch_size=B, pool=pool, planted=3, causal=1)
    calls, known = measured(setting, lambda: dilution.measure(setting, sizes))
    texts = plant(setting.rubric.names, n=3)
    planted = {sentence.text for text in texts for sentence in text.sentences}
    read = B if pool == "example" else 1  # gradients of an arm on a criterion
    units = 2 * read * 5 * K  # S and each of the four joint arms have as many
    known |= {"G": 1, "U": units, "P": len(planted)}
    whole, by_text, test, causal = bounds("dilution", **known)
    parts = {part: calls["dilution", part] for part in ("step", "units", "whole texts")}
    tests = calls["dilution", "test of units"] + calls["dilution", "test of whole texts"]
    assert test / 2 < tests <= test
    if pool == "batch":
        assert whole / 2 < sum(parts.values()) <= whole
        return
    assert sum(parts.values()) == by_text
    assert causal / 4 < calls["dilution", "causal"] <= causal


@pytest.mark.slow
def test_the_calls_of_interference(setting):
    effort = Effort(steps=T, batch_size=B)

    def measure():
        score_arms(setting, chosen_sections(setting, effort))
        measure_paper(setting, effort)

    calls, sizes = measured(setting, measure)
    choose, score, paper = bounds("interference", **sizes)
    assert choose / 2 < calls["interference", "choose"] <= choose
    assert calls["interference", "score"] == score
    assert (
        paper / 2 < calls["interference", "evaluate"] + calls["interference", "stitched"] <= paper
    )


@pytest.mark.slow
def test_the_calls_of_modes(setting):
    plan = Plan(steps=T, batch_size=B)
    calls, sizes = measured(setting, lambda: run_modes(setting, plan, ("SSS", "CCC", "ST")))
    for mode, stages in STAGES.items():
        most, *_ = bounds("modes", **sizes, C=stages)
        assert most / 2 < calls["modes", mode] <= most
    _, single, seed = bounds("modes", **sizes, C=0)
    assert single / 2 < calls["modes", "ST"] <= single
    assert calls["noise", None] == seed
