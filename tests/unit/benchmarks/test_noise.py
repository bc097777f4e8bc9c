"""The noise floor: what scoring the same texts again does."""

import json
import random
import re
import statistics
import tempfile
from dataclasses import asdict, replace

import pytest
from click.testing import CliRunner

from benchmarks import noise
from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import Judged
from benchmarks.harness.setting import in_setting, smoke_setting


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    setting = smoke_setting(tmp_path_factory.mktemp("cells"), repeats=3)
    with in_setting(setting):
        noise.measure(setting)
    return setting.cells


@pytest.mark.slow
def test_a_row_per_layout_and_criterion_and_the_mean(cells):
    found = noise.summarize(cells)
    assert {(row.layout, row.criterion) for row in found.rows} == {
        (layout, name)
        for layout in ("combined", "separate")
        for name in ("coherence", "fluency", "mean")
    }
    assert found.repeats == 3
    assert json.dumps(asdict(found), allow_nan=False)


def test_figures_are_those_of_the_scorings(cells):
    row = next(r for r in noise.summarize(cells).rows if r.criterion == "coherence")
    judged = [Judged.of(cell) for cell in cells if cell.key["layout"] == row.layout]
    agreements = [each.agreement("coherence") for each in judged]
    assert row.agreement == pytest.approx(statistics.fmean(agreements))
    assert row.run_sd == pytest.approx(statistics.stdev(agreements))
    pairs = [
        a != b
        for first, second in [(0, 1), (0, 2), (1, 2)]
        for a, b in zip(
            judged[first].scores["coherence"], judged[second].scores["coherence"], strict=True
        )
    ]
    assert row.changed == pytest.approx(sum(pairs) / len(pairs))


def test_a_judge_that_repeats_itself_has_no_noise_between_runs(cells):
    same = [Cell(**{**vars(cell), "result": cells_of(cells, cell)[0].result}) for cell in cells]
    for row in noise.summarize(same).rows:
        assert row.run_sd == 0.0
        assert row.changed == 0.0
        assert row.least_paired is None
        assert row.half_width > 0
        assert row.least_unpaired > row.half_width


def cells_of(cells, cell):
    return [each for each in cells if each.key["layout"] == cell.key["layout"]]


def test_a_smoke_run_without_a_folder_leaves_none_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = CliRunner().invoke(noise.command, ["--smoke", "--repeats", "1"])
    assert done.exit_code == 0
    assert "Cells: " not in done.output
    assert list(tmp_path.glob("mogradjudge-smoke-*")) == []


def test_the_finding_says_what_these_texts_can_show(cells):
    said = noise.finding(noise.summarize(cells))
    mean = next(row for row in noise.summarize(cells).rows if row.criterion == "mean")
    assert said.claim is None
    assert f"{mean.least_paired:.2f}" in said.sentence
    assert str(mean.needed_unpaired) in said.action
    assert f"{mean.least_unpaired:.2f}" in said.action  # smaller ones are chance
    assert str(mean.needed_paired) not in said.action
    assert mean.needed_unpaired > 8  # for 8 show a far larger one
    assert said.answers["texts"]
    assert "ceiling" in said.limits[-1]


def test_the_judge_is_a_share_of_the_ceiling_where_single_ratings_are_known(cells):
    first, *rest = cells
    human = first.result["judged"]["human"]
    ratings = [
        [
            (rater, name, min(5.0, max(1.0, human[name][text] + (text * step) % 3 - 1)))
            for name in human
            for rater, step in (("ann", 1), ("bob", 2), ("cy", 5))
        ]
        for text in range(len(human["fluency"]))
    ]
    rated = Cell(**{**vars(first), "result": {**first.result, "ratings": ratings}})
    summary = noise.summarize([rated, *rest])
    share = summary.ceilings["fluency"].share
    assert 0 < share < 1.5
    (row,) = (row for row in noise.finding(summary).table.rows if row[0] == "fluency")
    assert row[-1].startswith(f"{share:.0%}")


def test_one_scoring_says_nothing_about_runs(cells):
    once = [cell for cell in cells if cell.key["repeat"] == 0]
    for row in noise.summarize(once).rows:
        assert row.run_sd is row.changed is row.least_paired is None
        assert row.half_width is not None


@pytest.mark.parametrize("documents", [0, 1, 3, 5])
def test_few_documents_show_nothing_and_no_figure_is_missing(cells, documents):
    said = noise.finding(noise.summarize([on_few(cell, documents) for cell in cells]))
    text = " ".join([said.sentence, said.action, *said.limits])
    assert "6" in said.limits[0]
    assert not re.search(r"None| - |\b1 documents|\b0 documents|nan", text)


def on_few(cell, documents):
    """Leave the texts of so many documents; of none, texts that people rate alike."""
    judged = cell.result["judged"]
    groups = judged["groups"]
    some = sorted(set(groups))[: documents or None]
    places = [place for place, group in enumerate(groups) if group in some]
    few = {
        kind: {name: [judged[kind][name][place] for place in places] for name in judged[kind]}
        for kind in ("scores", "human")
    }
    if not documents:
        few["human"] = {name: [3.0 for _ in places] for name in few["human"]}
    few["groups"] = [groups[place] for place in places]
    return replace(cell, result={"judged": {**judged, **few}})


def test_a_difference_that_no_judge_could_reach_is_no_figure(cells):
    rng = random.Random(0)
    wild = [
        replace(cell, result={"judged": {**cell.result["judged"], "scores": noisy}})
        for cell in cells
        for judged in [cell.result["judged"]]
        for noisy in [
            {n: [rng.choice((1.0, 5.0)) for _ in of] for n, of in judged["scores"].items()}
        ]
    ]
    summary = noise.summarize([on_few(cell, 6) for cell in wild])
    (mean,) = (row for row in summary.rows if (row.layout, row.criterion) == ("combined", "mean"))
    assert mean.documents == 6
    assert mean.least_unpaired is None
    assert f"{mean.needed_unpaired:,}" in noise.finding(summary).action
