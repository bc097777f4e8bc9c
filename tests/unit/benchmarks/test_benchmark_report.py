"""The report is written from cells alone, the same for the same ones, and shows texts as texts."""

import html
import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmarks.__main__ import main
from benchmarks.dilution.calibration import Calibration, Line
from benchmarks.dilution.findings import Contrast, Dilution, Figures
from benchmarks.harness.cells import CELLS, Cell
from benchmarks.report import peers
from benchmarks.report.dilution import named, parts_of
from benchmarks.report.markdown import escape, fenced, table
from benchmarks.report.pictures import svg
from benchmarks.report.section import Section, in_words
from benchmarks.report.settings import Settings
from benchmarks.report.write import write_report
from mogradjudge import SetupError
from mogradjudge.agreement.claims import Claim, refused
from mogradjudge.files import to_json

HOSTILE = "a|b `c` <img src=x> [d](e)\n## f @g $h$ | *i*"


def judged(shift):
    human = [1 + (n * 3 + n // 7) % 5 for n in range(60)]
    scores = [min(5, max(1, h + (n * shift) % 3 - 1)) for n, h in enumerate(human)]
    return {
        "human": {"coherence": human, "fluency": human[::-1]},
        "scores": {"coherence": scores, "fluency": scores[::-1]},
        "groups": [str(n // 6) for n in range(60)],
        "systems": [],
        "scales": {"coherence": [1, 5], "fluency": [1, 5]},
    }


def setting(model):
    roles = ("judge", "critic", "coach", "editor", "rater")
    return {
        "models": {role: {"model": model, "temperature": 0.0} for role in roles},
        "rubric": 'inputs = ["output"]\n[[criteria]]\nname = "coherence"\ndefinition = "?"\n',
        "data": "0123456789abcdef",
        "texts": {"training": 20, "validation": 20, "test": 60},
        "documents": 20,
        "score_rule": "integer",
    }


def cell(mode, seed, model="some/model", **result):
    key = {"layout": "combined", "repeat": seed}
    if mode != "seed":
        key = {"mode": mode, "seed": seed, "layout": "combined"}
        key |= {"steps": 2, "batch_size": 3, "gate": "mean", "tolerance": 0.0}
    row = {"role": "judge", "criteria": ["coherence"], "calls": 60, "cached": 0, "failed": 0}
    row |= {"prompt_tokens": 9000, "completion_tokens": 600, "cost": 0.01}
    shift = 2 if mode == "seed" else 1 + seed % 3
    return Cell(
        benchmark="noise" if mode == "seed" else "modes",
        key=key,
        setting=setting(model),
        result={"judged": judged(shift), **result},
        ledger=[row],
        calls=60,
        seconds=1.5,
        versions={"dspy": "3.4.1"},
    )


def run_cell(mode, seed, model="some/model", text="Rate from 1 to 5."):
    def step(number, value):
        values = {"coherence": value, "fluency": None, "mean": value}
        return {"step": number, "accepted": True, "agreement": values, "proposed": values}

    part = {
        "criterion": None,
        "sections": {"coherence": text, "fluency": "Rate."},
        "stop_reason": "steps",
        "seed_kept": False,
        "final_agreement": {},
        "trajectory": [step(0, 0.2), step(1, 0.3), step(2, None)],
    }
    return cell(mode, seed, model, runs=[part])


def interference_cells():
    """Make two whole repeats of all arms, with the instructions of one run."""
    arms = ["S1", "J1", "N", "P", "O", "J+coherence", "J+fluency"]
    return [
        *(
            replace(
                cell("seed", repeat),
                key={"layout": layout, "repeat": repeat},
                result={"judged": judged(2 + repeat)},
            )
            for layout in ("combined", "separate")
            for repeat in range(2)
        ),
        *(
            replace(
                cell("seed", repeat),
                benchmark="interference",
                key={"part": "score", "arm": arm, "run": "0", "repeat": repeat},
                result={"judged": judged(1 + place % 4)},
            )
            for repeat in range(2)
            for place, arm in enumerate(arms)
        ),
    ]


def folder_of(path, cells):
    path.mkdir(exist_ok=True)
    lines = [to_json(vars(each), indent=None) for each in cells]
    (path / CELLS).write_text("\n".join(lines) + "\n", "utf-8")
    return path


def some_cells(model="some/model"):
    modes = [run_cell(mode, seed, model) for mode in ("SSS", "CCC") for seed in range(2)]
    return [cell("seed", 0, model), cell("seed", 1, model), *modes]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != CELLS}


@pytest.mark.slow
def test_equal_cells_give_equal_files(tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("a report sends no call")

    monkeypatch.setattr("dspy.BaseLM.__call__", never)
    cells = [*some_cells(), *interference_cells()[2:]]
    one, two = (folder_of(tmp_path / name, cells) for name in ("one", "two"))
    write_report(one)
    first = contents(one)
    write_report(one)
    write_report(two)
    assert contents(one) == first == contents(two)
    assert set(first) == {
        *("report.md", "report.html", "interference.json", "noise-1.svg"),
        *(f"interference-1-{name}.svg" for name in ("effects", "criteria", "matrix")),
        *(f"modes-1-{name}.svg" for name in ("differences", "steps", "cost")),
    }


def test_every_picture_is_there_and_says_no_date(tmp_path):
    text = write_report(folder_of(tmp_path / "x", some_cells())).read_text("utf-8")
    linked = re.findall(r"\]\(([\w-]+\.svg)\)", text)
    assert len(linked) == 4
    for name in linked:
        picture = (tmp_path / "x" / name).read_text("utf-8")
        assert picture.rstrip().endswith("</svg>")
        assert "<dc:date>" not in picture


def test_two_settings_stand_apart_and_side_by_side(tmp_path):
    cells = [*some_cells("one/model"), *some_cells("other/model")]
    text = write_report(folder_of(tmp_path / "x", cells)).read_text("utf-8")
    assert text.count("## Modes, setting 1\n") == 2  # its verdicts and its figures
    assert text.count("## Modes, setting 2\n") == 2
    (swapped,) = re.findall(r"## Models\n\n.*?\n\n(\| effect.*?)\n\n", text, re.DOTALL)
    assert len(swapped.splitlines()) == 2 + 2 * 3
    assert swapped.count("other/model") == 3 * 3


def test_the_parts_of_interference_are_told(tmp_path):
    text = write_report(folder_of(tmp_path / "x", interference_cells())).read_text("utf-8")
    short, verdicts = text.split("## Verdicts\n")
    verdicts, figures = verdicts.split("## Noise, setting 1\n")
    assert re.search(r"^- \*\*[a-z ]+\*\* \(Interference, setting 1\): interf", short, re.MULTILINE)
    for effect in ("interference", "joint-call cost", "length"):
        assert re.search(rf"^- {effect}, mean: \*\*[+-]", verdicts, re.MULTILINE)
        assert re.search(rf"^\| {effect} \(", figures, re.MULTILINE)
    assert re.search(r"^- interference, fluency: ", verdicts, re.MULTILINE)
    assert "Modes" not in text


def test_interference_that_was_cut_short_says_so(tmp_path):
    text = write_report(folder_of(tmp_path / "x", interference_cells()[:6])).read_text("utf-8")
    assert "There is nothing to say yet: no repeat is whole yet." in text


def peers_cell(method, **result):
    ran = {"notes": "", "calls": {"judge": 48}, "tokens": 900, "seconds": 0.5, "seed_kept": False}
    ran |= {"validation": 0.4, "seed_validation": 0.2, "agreement": 0.3, "seed_agreement": 0.2}
    ran |= {"printed": None, "printed_truth": None, "confirmed": False}
    known = {"model": "a-model", "world": "planted", "data": "0", "rubric": setting("x")["rubric"]}
    return replace(
        cell("seed", 0),
        benchmark="peers",
        key={"method": method, "threads": 1, "seed": 0, "cap": 60, "reference": "SSC"},
        setting=known,
        result=ran | result,
        ledger=[{"role": "judge", "criteria": [], "calls": 48, "failed": 0, "cost": None}],
    )


def test_peers_stand_in_one_table_those_that_could_not_run_too(tmp_path):
    cells = [peers_cell("SSC"), peers_cell("GEPA"), peers_cell("TextGrad", status="not | here")]
    text = write_report(folder_of(tmp_path / "x", cells)).read_text("utf-8")
    assert "| GEPA | 0.300 | +0.000 | +0.100 |" in text
    assert "not &#124; here" in text
    assert "a-model, planted world" in text
    assert (tmp_path / "x" / "peers-1-60.svg").exists()


def test_peers_begin_with_a_finding_and_show_times_from_cells_of_their_own(tmp_path):
    timed = replace(peers_cell("SSC"), benchmark="times", setting={"world": "planted"})
    (section,) = peers.sections("peers", cells := [peers_cell("SSC"), timed], Settings(cells))
    assert section.finding.claim.name == "SSC - GEPA"
    assert section.lead in section.figures
    assert "time by SSC's, 1 thread" in section.finding.table.columns


def dilution_found(rater, *, calibrated):
    claim = Claim("a name", 0.4, 0.2, 0.6, 0.01, 8, "established", bound=0.1)
    contrast = Contrast(
        *("yield, S less C-long (x)", "yield", ("S", "C-long"), rater, calibrated),
        *(claim, claim, {"fluency": claim}, (0.4,) * 8),
    )
    return contrast, [
        Figures(arm, rater, None, calibrated, 8, 20.0, 0.4, 0.3, 1.0, value, None, 0.5, None)
        for arm, value in (("S", 2.0), ("C-long", 1.0))
    ]


def test_dilution_is_told_for_each_rater():
    line = Line(0.9, 0.0, 1.0, 10, 0.05)
    calibration = Calibration(
        *("one | rater", ("fluency",), line, {}, {0.0: 0.1, 1.0: 0.9}, True, 0.1),
        *(0.9, line, {}),
    )
    found = [dilution_found(name, calibrated=name != "two") for name in ("one | rater", "two")]
    record = Dilution(
        *({}, ("fluency",), (0, 1), 8, 2, 40, ("one | rater", "two")),
        calibrations={"one | rater": calibration},
        figures=tuple(each for _, figures in found for each in figures),
        holistic={"S": {"fluency": 9.0}, "C-long": {}},
        off_target={"fluency": 1.0},
        adherence={},
        leakage={name: {"S": {"fluency": {"fluency": 0.9}}} for name in ("one | rater", "two")},
        contrasts=tuple(contrast for contrast, _ in found),
        causal=(),
        unrated={"one | rater": 0.0},
        notes=("*one*",),
    )
    figures = {}
    text = "\n".join(parts_of(record, 1, figures))
    assert set(figures) == {f"dilution-1-{name}.svg" for name in ("arms", "yield", "focus")}
    assert "| two (uncalibrated) |" in text
    assert "- &#42;one&#42;" in text
    assert named(found[0][0]).name == "one | rater: a name"
    assert all(svg(figure).startswith(b"<?xml") for figure in figures.values())


def test_foreign_texts_do_not_break_out(tmp_path):
    cells = [
        cell("seed", 0, HOSTILE),
        run_cell("SSS", 0, HOSTILE, "````\n</details>\n| # x\n" + HOSTILE),
    ]
    text = write_report(folder_of(tmp_path / "x", cells)).read_text("utf-8")
    assert "`````text\n````\n</details>" in text
    assert "@g" not in re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    parts = [*tokens, *(child for token in tokens for child in token.children or ())]
    markup = {each.content.strip() for each in parts if each.type.startswith("html")}
    summary = "<details>\n<summary>Final instructions of SSS, run 0</summary>"
    assert markup == {summary, "</details>"}
    assert {each.attrs["src"] for each in parts if each.type == "image"} <= set(
        contents(tmp_path / "x")
    )
    assert not [each for each in parts if each.type == "link_open"]
    (row,) = [t for t in tokens if t.type == "inline" and t.content == "setting 1"]
    cell_texts = [t.content for t in tokens[tokens.index(row) :] if t.type == "inline"][1:4]
    shown = " ".join(HOSTILE.split()) + " (temperature 0.0)"
    assert [html.unescape(each) for each in cell_texts] == [shown] * 3


@given(st.text(max_size=40))
def test_an_escaped_text_means_nothing(text):
    shown = escape(text)
    assert not set("|<>[]`*_\n\r") & set(shown)
    assert not re.match(r"\s|[-+=]|\d+[.)]", shown)


@given(st.text(alphabet="`~ax\n", max_size=30))
def test_a_block_ends_at_its_own_fence_only(text):
    lines = fenced(text).split("\n")
    fence = lines[-1]
    assert lines[0] == fence + "text"
    assert not any(line.strip().startswith(fence) for line in lines[1:-1])


def test_a_table_has_a_line_for_each_row():
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| :-- | --: |\n| 1 | 2 |"
    assert table(("a", "b"), [("1", "x")]) == "| a | b |\n| :-- | :-- |\n| 1 | x |"


def test_verdicts_come_in_words_and_in_order():
    claims = [
        refused("d", "no texts"),
        Claim("c", 0.1, -0.1, 0.3, 0.2, 9, "not established"),
        Claim("b", 0.001, -0.01, 0.01, 0.9, 9, "equivalent", bound=0.03),
        Claim("a", -0.1, -0.2, -0.05, 0.0001, 9, "established", note="5 runs"),
    ]
    assert in_words(claims[0]) == "d: no texts"
    assert "within ±0.03" in in_words(claims[2])
    assert "p < 0.001; n 9; 5 runs" in in_words(claims[3])
    text = Section("X", claims, []).verdicts()
    names = re.findall(r"^- (\w):", text, re.MULTILINE)
    assert names == ["a", "b", "c", "d"]


def test_a_folder_without_cells_is_an_error_of_one_line(tmp_path):
    run = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert run.exit_code == 1
    assert run.output.splitlines() == [
        f"Error: {tmp_path} holds no measured cells. Run a benchmark with --out first."
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_benchmark_without_cells_has_no_section(tmp_path):
    other = replace(cell("seed", 0), benchmark="something else", result={})
    folder = folder_of(tmp_path / "x", [other])
    assert json.loads((folder / CELLS).read_text("utf-8"))["benchmark"] == "something else"
    text = write_report(folder).read_text("utf-8")
    assert "Modes" not in text
    assert "| something else | 1 | 60 |" in text


def test_a_setting_that_lacks_a_role_or_a_part_has_a_dash(tmp_path):
    poor = {"models": {"judge": {"model": "some/model"}}, "texts": {"test": 12}}
    cells = [replace(each, setting=poor) for each in some_cells()]
    text = write_report(folder_of(tmp_path, cells)).read_text("utf-8")
    assert "| setting 1 | some/model | - | - | - | 12 test | - |" in text


@pytest.mark.parametrize("part", ["judged", "runs"])
def test_a_cell_of_another_format_is_named_with_its_versions(tmp_path, part):
    cells = some_cells()
    old = {name: value for name, value in cells[-1].result.items() if name != part}
    if part == "runs":
        old["runs"] = [{}]
    folder = folder_of(tmp_path, [*cells[:-1], replace(cells[-1], result=old)])
    with pytest.raises(SetupError, match=r"A cell of modes holds no .*dspy 3.4.1"):
        write_report(folder)
