"""The report of a search, and `search.json` read back."""

import dataclasses
import json
import math

import dspy
import pytest

from benchmarks.worlds.world import ToyEngine, toy_examples, toy_rubric
from mogradjudge import MOGradConfig, MultiCriteriaJudge, SetupError, Undefined
from mogradjudge.files import read_json, to_json
from mogradjudge.report import write_report
from mogradjudge.search import SearchSpace, search
from mogradjudge.search.analysis.load import read_search
from mogradjudge.search.analysis.verdict import best_minus_default, verdict
from report_runs import Parsed


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    out = tmp_path_factory.mktemp("search") / "found"
    rubric = toy_rubric("coherence", "fluency")
    examples = toy_examples(rubric, 36)
    parts = examples[:12], examples[12:20], examples[20:]
    space = SearchSpace(batch_size=(1, 3), gate=None, tolerance=None, editor_temperature=None)
    lm = dspy.LM("toy/world", engine=ToyEngine(), temperature=0.0, cache=True)
    with dspy.context(lm=lm):
        found = search(
            MultiCriteriaJudge(rubric),
            *parts,
            space,
            trials=4,
            base=MOGradConfig(steps=2),
            out=out,
        )
    return out, found


@pytest.mark.slow
def test_a_result_reads_back_as_it_was_written(searched):
    out, found = searched
    again = read_search(out / "search.json")
    assert to_json(again.as_dict()) == to_json(read_json(out / "search.json"))
    assert type(again.selected) is type(found.selected)
    assert verdict(again) == verdict(dataclasses.replace(found, program=None))


def test_an_effect_without_a_standard_error_reads_back(searched, tmp_path):
    out, _ = searched
    plain = read_json(out / "search.json")
    effect = {"value": 0.1, "interval": {"undefined": "few"}, "run_error": None}
    effect |= {"document_error": None}
    level = {"level": "SSC", "n": 2, "effect": effect, "difference": effect}
    plain["effects"] = {"factor": "mode", "levels": [level], "reference": None, "freedom": 0}
    plain["effects"] |= {"adjusted_for": ["steps"], "dropped": {}, "unadjusted": None}
    (tmp_path / "search.json").write_text(json.dumps(plain))
    again = read_search(tmp_path / "search.json")
    assert to_json(again.as_dict()) == to_json(plain)
    assert again.effects.levels[0].effect.interval == Undefined("few")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("best", 99), ("trials", 3), ("texts", "9"), ("stop_reason", "rain"), ("front", [0.5])),
        *(("hypervolume", math.nan), ("spent", {"calls": "1"}), ("selected", {})),
    ],
)
def test_a_damaged_result_names_its_file(name, value, searched, tmp_path):
    plain = read_json(searched[0] / "search.json") | {name: value}
    (tmp_path / "search.json").write_text(json.dumps(plain))
    with pytest.raises(SetupError, match=r"search\.json is damaged .*Give another") as caught:
        read_search(tmp_path / "search.json")
    assert len(str(caught.value).splitlines()) == 1


def test_the_report_of_a_search_has_its_verdict_trials_and_figures(searched):
    out, found = searched
    path = write_report(out)
    page = Parsed(path.read_text("utf-8"))
    assert verdict(found) in page.text
    claim = best_minus_default(found)
    is_tested = not found.confirmation.seed and claim.estimate is not None
    assert (claim.verdict if is_tested else "not confirmed").capitalize() in page.text
    assert page.text.index("Verdict") < page.text.index("Trials")
    assert {each.name for each in (out / "figures").iterdir()} >= {"front.svg", "effects.svg"}
    rows = sum(each.get("scope") == "row" and each.get("class") == "n" for _, each in page.tags)
    assert rows == len(found.trials)
    for text in found.best.instructions.values():
        assert text in page.text
    assert "optimistic" in page.text


def test_the_page_has_no_p_value_and_says_where_effects_hold(searched, tmp_path):
    plain = read_json(searched[0] / "search.json")
    ends = {"low": 0.01, "high": 0.2, "p_value": 0.03, "groups": 12}
    plain["fresh"] = {"best": 0.5, "default": 0.4, "difference": {"difference": 0.1, **ends}}
    (tmp_path / "search.json").write_text(json.dumps(plain))
    page = Parsed(write_report(tmp_path).read_text("utf-8"))
    assert "0.01 to +0.20" in page.text
    assert "0.030" not in page.text
    assert "settings tried" in page.text


def test_a_best_trial_that_is_the_default_is_compared_with_nothing(searched, tmp_path):
    plain = read_json(searched[0] / "search.json")
    reason = "the default is the best trial"
    plain["fresh"] = {"best": 0.5, "default": 0.5, "difference": {"undefined": reason}}
    (tmp_path / "search.json").write_text(json.dumps(plain))
    page = Parsed(write_report(tmp_path).read_text("utf-8"))
    assert reason in page.text and "best minus default" not in page.text


def test_a_damaged_search_is_one_clear_line(searched, tmp_path):
    out, _ = searched
    plain = read_json(out / "search.json")
    del plain["trials"][0]["state"]
    (tmp_path / "search.json").write_text(json.dumps(plain))
    with pytest.raises(SetupError, match="is damaged"):
        write_report(tmp_path)
