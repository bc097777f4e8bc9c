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
from benchmarks.dilution.arms import JOINED, JOINT, LONG, SEPARATE
from benchmarks.dilution.calibration import UNCALIBRATED, Calibration, Curve, Line
from benchmarks.dilution.contrasts import WHOLE_STEP, YIELD, Decomposition, Loss
from benchmarks.dilution.finding import finding
from benchmarks.dilution.raters import LM_RATER
from benchmarks.dilution.summary import Dilution, Figures
from benchmarks.dilution.tables import arms_table, losses_table
from benchmarks.harness.cells import CELLS, Cell
from benchmarks.harness.finding import Finding
from benchmarks.harness.tables import Table
from benchmarks.report import peers
from benchmarks.report.dilution import parts_of
from benchmarks.report.markdown import escape, fenced, table
from benchmarks.report.meaning import meaning
from benchmarks.report.pictures import svg
from benchmarks.report.section import Section, figures_of
from benchmarks.report.settings import Settings
from benchmarks.report.write import write_report
from mogradjudge import MODES, SetupError
from mogradjudge.agreement.claims import Claim, untestable
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
    modes = [run_cell(mode, seed, model) for mode in ("SSS", "CCC") for seed in range(3)]
    return [*(cell("seed", seed, model) for seed in range(3)), *modes]


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
        *(f"interference-1-{name}.svg" for name in ("parts", "effects", "matrix")),
        *(f"modes-1-{name}.svg" for name in ("differences", "steps", "cost")),
    }


@pytest.mark.slow
def test_every_picture_is_there_and_says_no_date(tmp_path):
    text = write_report(folder_of(tmp_path / "x", some_cells())).read_text("utf-8")
    linked = re.findall(r"\]\(([\w-]+\.svg)\)", text)
    assert len(linked) == 4
    for name in linked:
        picture = (tmp_path / "x" / name).read_text("utf-8")
        assert picture.rstrip().endswith("</svg>")
        assert "<dc:date>" not in picture


@pytest.mark.slow
def test_two_settings_stand_apart_and_side_by_side(tmp_path):
    cells = [*some_cells("one/model"), *some_cells("other/model")]
    text = write_report(folder_of(tmp_path / "x", cells)).read_text("utf-8")
    assert text.count("## Modes, setting 1\n") == text.count("## Modes, setting 2\n") == 1
    (swapped,) = re.findall(r"## Models\n\n.*?\n\n(\| effect.*?)\n\n", text, re.DOTALL)
    assert len(swapped.splitlines()) == 2 + 2  # one primary claim in each setting
    assert swapped.count("CCC minus SSS") == 2
    assert swapped.count("other/model") == 3


@pytest.mark.slow
def test_the_parts_of_interference_are_told(tmp_path):
    text = write_report(folder_of(tmp_path / "x", interference_cells())).read_text("utf-8")
    for effect in ("crowding", "transfer", "one call for all", "length"):
        assert re.search(rf"^\| {effect}, mean \| \*\*[+-]", text, re.MULTILINE)
        assert re.search(rf"^\| {effect}: ", text, re.MULTILINE)
    assert re.search(r"^\| crowding, fluency \| ", text, re.MULTILINE)
    assert "](interference-1-parts.svg)" in text
    assert "## Modes" not in text


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
    assert "simulated: the planted world" in text and "a-model" not in text
    assert (tmp_path / "x" / "peers-1-60.svg").exists()


def test_peers_begin_with_a_finding_and_show_times_from_cells_of_their_own(tmp_path):
    timed = replace(peers_cell("SSC"), benchmark="times", setting={"world": "planted"})
    (section,) = peers.sections("peers", cells := [peers_cell("SSC"), timed], Settings(cells))
    assert section.finding.claim.name == "SSC - GEPA"
    assert section.lead in section.figures
    assert "time by SSC's, 1 thread" in section.finding.table.columns


def dilution_of(*raters):
    """Make a summary in which all raters but the last one passed their test."""
    claim = Claim("a name", 0.4, 0.2, 0.6, 0.01, 8, "established", bound=0.1)
    passed = {name: ("fluency",) if name != raters[-1] else () for name in raters}
    good, bad = (Line(rho, 0.0, 1.0, 10, 0.05) for rho in (0.9, 0.1))
    curves = {
        name: Curve(line, {"fluency": line}, {0.0: 0.1, 1.0: 0.9})
        for name, line in ((True, good), (False, bad))
    }
    return Dilution(
        *({}, ("fluency", "*wit*"), (0, 1), 8, 2, 40),
        raters=dict.fromkeys(raters, ("fluency", "*wit*")),
        passed=passed,
        calibrations={
            name: Calibration(curves[bool(of)], curves[bool(of)], 0.9)
            for name, of in passed.items()
        },
        whole_texts=curves[True],
        figures=tuple(
            Figures(arm, name, bool(of), 20.0, 4.0, 2.0, 77.7)
            for name, of in passed.items()
            for arm in (SEPARATE, LONG)
        ),
        ratings={WHOLE_STEP: {SEPARATE: 9.0, LONG: 3.0}},
        losses=tuple(
            Loss((SEPARATE, LONG), name, of, claim, claim, (0.4,) * 8, (2.0, 1.2))
            for name, of in passed.items()
        ),
        decompositions=tuple(
            Decomposition(measure, name, of, (9.0, 6.0, 5.0, 5.5, 4.0), (claim,) * 4, claim)
            for name, of in passed.items()
            for measure in (WHOLE_STEP, YIELD)
        ),
        masking=(),
        causal=(),
        silence={SEPARATE: 0.0, LONG: 0.0},
        unrated=dict.fromkeys(raters, 0.0),
        note="",
    )


def test_dilution_shows_one_picture_and_folds_all_else():
    figures = {}
    parts = parts_of(dilution_of("one | rater", "two"), 1, figures)
    assert set(figures) == {"dilution-1-parts.svg"}
    assert all(svg(figure).startswith(b"<?xml") for figure in figures.values())
    assert all(part.startswith("<details>") for part in parts[1:])
    text = "\n".join(parts)
    assert f"| two ({UNCALIBRATED}) |" in text and "| one &#124; rater |" in text
    assert "2605.26046 | - | 9.0 |" in text


def test_a_rater_that_failed_gives_no_figure_in_the_first_view():
    first = finding(dilution_of("one", "two"))
    assert first.sentence.count("40 %") == 1 and "two" not in first.sentence
    assert [line for line in first.limits if "The two failed its test" in line]
    assert [line for line in first.limits if "failed its test on *wit*" in line]
    alone = finding(dilution_of("two"))
    assert alone.claim is None and "40" not in alone.sentence
    assert all(set(row[1:4]) == {"-"} for row in alone.table.rows)
    assert any("--embedding-lm" in line for line in alone.limits)
    assert parts_of(dilution_of("two"), 1, {})[0].startswith("<details>")  # no picture of it


def test_a_failed_rater_names_the_figure_that_failed():
    one = dilution_of("one", "two")
    good, bad = one.calibrations["one"], one.calibrations["two"]
    mixed = replace(good, yields=bad.yields, yield_rho=0.7996)
    summary = replace(one, calibrations={"one": good, "two": mixed})
    (line,) = [line for line in finding(summary).limits if "The two failed" in line]
    assert "0.100 with planted yields" in line and "shares" not in line


def test_a_share_outside_of_the_scale_is_marked():
    one = dilution_of("one", "two")
    figures = (replace(one.figures[0], share=16.1), replace(one.figures[1], share=9.4))
    cells = [row[3] for row in arms_table(replace(one, figures=figures)).rows]
    assert cells[0].startswith("16.1 (") and cells[1] == "9.4"


def test_dilution_stands_beside_what_arithmetic_alone_would_take():
    one = dilution_of("one", "two")
    short = replace(one.losses[0], arms=(SEPARATE, JOINT))
    first = finding(replace(one, losses=(*one.losses, short)))
    assert "50 %" in first.sentence  # of 2 criteria
    rows = {row[0]: row for row in first.table.rows}
    assert rows[SEPARATE][2] == "2.00" and rows[LONG][2:4] == ["1.20 of 2.00", "40 % (20 to 60)"]
    assert JOINED not in rows
    assert first.answers["coach"]


def test_a_coach_that_keeps_silent_more_often_apart_is_told():
    one = dilution_of("one", "two")
    assert not [line for line in finding(one).limits if "silent" in line]
    silent = finding(replace(one, silence={SEPARATE: 0.75, LONG: 0.1}))
    assert [line for line in silent.limits if "75%" in line and "10%" in line]


def test_raters_that_disagree_are_both_heard():
    one = dilution_of("one", "two", "three")
    assert "otherwise" not in finding(one).sentence
    first, second, third = one.losses
    none = replace(second.share, estimate=0.0, low=-0.1, high=0.1, verdict="not established")
    other = replace(one, losses=(first, replace(second, share=none), third))
    assert "The two says otherwise" in finding(other).sentence


@pytest.mark.parametrize(
    ["estimate", "low", "high", "verdict", "words"],
    [
        (
            0.57,
            0.53,
            0.61,
            "established",
            "says 57 % less about each criterion (95 % interval 53 to 61)",
        ),
        (
            -0.1,
            -0.15,
            -0.05,
            "established",
            "says 10 % more about each criterion (95 % interval 5 to 15)",
        ),
        (
            -0.02,
            -0.09,
            0.06,
            "not established",
            "nothing that could be shown (-2 %, 95 % interval -9 to +6)",
        ),
        (0.01, -0.02, 0.04, "equivalent", "next to nothing (+1 %, 95 % interval -2 to +4)"),
        (0.57, None, None, "not established", "in 5 steps, too few to tell: it takes 6"),
    ],
)
def test_a_loss_is_told_with_its_number_and_interval(estimate, low, high, verdict, words):
    one = dilution_of("one", "two")
    share = Claim("a", estimate, low, high, 0.01, 5, verdict)
    told = replace(one, losses=(replace(one.losses[0], share=share),))
    assert words in finding(told).sentence


def test_an_interval_apart_from_0_is_no_lack_of_a_loss():
    one = dilution_of("one", "two", "three")
    unsure = Claim("a", 0.61, 0.29, 0.93, 0.062, 6, "not established")
    losses = (replace(one.losses[0], share=unsure), *one.losses[1:])
    first = finding(replace(one, losses=losses))
    assert "61 % less" in first.sentence and "0.062" in first.sentence
    assert "nothing that could be shown" not in first.sentence
    assert "otherwise" not in first.sentence  # the other rater's interval holds losses, too
    assert "--steps" in first.action


def test_the_focus_of_whole_texts_is_that_of_the_picture_and_of_an_lm_that_passed():
    one = dilution_of("one", "two")
    focus = {row[0]: row[4] for row in finding(one).table.rows}
    assert (focus[SEPARATE], focus[LONG]) == ("9.0", "3.0")
    failed = dilution_of("one", LM_RATER)  # on units, which is what the finding stands on
    whole = replace(failed.decompositions[0], rater=LM_RATER, passed=("fluency",))
    failed = replace(failed, decompositions=(whole, *failed.decompositions[1:]))
    assert {row[4] for row in finding(failed).table.rows} == {"-"}
    assert whole not in failed.trusted


def test_what_an_uncalibrated_rater_says_has_no_verdict():
    rows = {row[1]: row for row in losses_table(dilution_of("one", "two")).rows}
    assert rows["one"][4] == "established"
    assert rows[f"two ({UNCALIBRATED})"][4:6] == ["-", "-"]


def test_the_steps_of_the_table_are_those_that_count():
    one = dilution_of("one", "two")
    of_seven = replace(one.losses[0], values=(0.4,) * 7)
    first = finding(replace(one, losses=(of_seven, *one.losses[1:])))
    assert "7 of 8 steps" in first.table.title


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
    folded = {each for each in markup if each != "</details>"}
    assert "<details>\n<summary>Final instructions of SSS, run 0</summary>" in folded
    assert all(re.fullmatch(r"<details>\n<summary>[\w ,:]+</summary>", each) for each in folded)
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


def test_a_list_of_counts_is_words_and_may_be_folded():
    written = table(("", "texts", "calls"), [["setting 1", "40 test, 24 training", "1,057"]])
    assert written.splitlines()[1] == "| :-- | :-- | --: |"


@given(st.text(alphabet="`~ax\n", max_size=30))
def test_a_block_ends_at_its_own_fence_only(text):
    lines = fenced(text).split("\n")
    fence = lines[-1]
    assert lines[0] == fence + "text"
    assert not any(line.strip().startswith(fence) for line in lines[1:-1])


def test_a_table_has_a_line_for_each_row():
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| :-- | --: |\n| 1 | 2 |"
    assert table(("a", "b"), [("1", "x")]) == "| a | b |\n| :-- | :-- |\n| 1 | x |"


def test_claims_that_explain_are_folded_away():
    claims = [
        untestable("d", "no texts"),
        Claim("c", 0.1, -0.1, 0.3, 0.2, 9, "not established"),
        Claim("b", 0.001, -0.01, 0.01, 0.9, 9, "equivalent", bound=0.03),
        Claim("a", -0.1, -0.2, -0.05, 0.0001, 4, "not established", note="5 runs"),
    ]
    assert figures_of(claims[0]) == "no texts"
    assert "could have been found" not in figures_of(claims[1])
    assert "within ±0.03" in figures_of(claims[2])
    assert "n 4; 4 clusters cannot establish anything; it takes 6; 5 runs" in figures_of(claims[3])
    text = Section("X", claims, []).markdown()
    assert text.index("<details>") < text.index("| a |")


def found(benchmark="dilution", claim=None, **more):
    rows = [["separate calls", "2.1"]]
    parts = ("A joint gradient loses a | half.", "Use separate ones.", claim)
    return Finding(benchmark, {}, *parts, Table(("arm", "units"), rows), **more)


def test_a_section_begins_with_its_finding_and_folds_all_else():
    claim = Claim("S - C", 0.4, 0.2, 0.6, 0.01, 12, "established")
    parts = ["About 34 arms.", "![figure](lead.svg)\n\n*figure.*", "![other](other.svg)"]
    section = Section("Dilution", [claim], parts, finding=found(claim=claim), lead="lead.svg")
    first, *behind = section.markdown().split("<details>")
    for part in ("a &#124; half", "Use separate ones.", "](lead.svg)", "| separate calls | 2.1 |"):
        assert part in first
    assert "34 arms" not in first
    assert "other.svg" not in first
    assert "34 arms" in behind[0]
    assert "lead.svg" not in "".join(behind)
    assert section.primary == [claim]


def test_the_first_page_answers_what_was_found_and_says_what_was_not(tmp_path):
    finding = found(limits=("Which coach.",), answers={"coach": "More words do not help."})
    cells = [replace(cell("seed", 0), setting={})]
    page = "\n".join(meaning([Section("D", [], [], finding=finding)], Settings(cells)))
    assert f"More words do not help. What to do: {finding.action}" in page
    assert "- Which coach." in page
    assert "`modes` says nothing" in page
    assert "60 calls" in page and "US$" in page
    assert meaning([Section("D", [], [])], Settings(cells)) == []


def test_a_simulated_world_advises_nobody_and_costs_nothing():
    world = {"world": "real"}
    finding = replace(found(answers={"coach": "More words do not help."}), setting=world)
    cells = [replace(cell("seed", 0), setting=world)]
    page = "\n".join(meaning([Section("D", [], [], finding=finding)], Settings(cells)))
    assert "More words do not help." in page and finding.action not in page
    assert "your judge" not in page.splitlines()[0]
    assert "US$" not in page and "price" not in page
    assert "real world" not in Settings(cells).table()
    assert "some/model" not in Settings(cells).table()


def test_two_benchmarks_give_one_answer_and_the_action_of_its_owner():
    one = found(answers={"mode": "Joint gradients say less."})
    two = replace(
        found("modes", answers={"mode": "No mode is better."}), action="Take the cheapest."
    )
    cells = [replace(cell("seed", 0), setting={})]
    sections = [Section("D", [], [], finding=of) for of in (one, two)]
    page = "\n".join(meaning(sections, Settings(cells)))
    answer = "Joint gradients say less. No mode is better. What to do: Take the cheapest."
    assert f"{answer} (dilution and modes, setting 1)" in page
    assert one.action not in page


def test_the_words_of_first_views_are_explained_once_and_folded():
    cells = [replace(cell("seed", 0), setting={})]
    *_, words = meaning([Section("D", [], [], finding=found())], Settings(cells))
    assert words.startswith("<details>")
    for word in (*MODES, "ST", "same length", "K times the length", "separate calls", "2605.26046"):
        assert word in words


@pytest.mark.slow
def test_an_effect_of_one_setting_is_not_set_beside_itself(tmp_path):
    one = write_report(folder_of(tmp_path / "x", some_cells())).read_text("utf-8")
    assert "## Models" not in one
    both = folder_of(tmp_path / "y", [*some_cells(), *some_cells("other/model")])
    (models,) = re.findall(
        r"## Models\n(.*?)\n## ", write_report(both).read_text("utf-8"), re.DOTALL
    )
    assert "setting 2" in models and "0123456789abcdef" not in models


def test_a_planted_world_says_what_was_planted_beside_what_was_found(capsys):
    planted = replace(found(), setting={"planted": {"dilution": "40 % of all advice."}})
    assert "40 % of all advice." in Section("D", [], [], finding=planted).markdown()
    planted.print()
    assert "40 % of all advice." in capsys.readouterr().out
    assert "lanted" not in Section("D", [], [], finding=found()).markdown()


@pytest.mark.slow
def test_what_was_cut_short_is_told_first(tmp_path):
    folder = folder_of(tmp_path / "x", some_cells())
    (folder / "unfinished.json").write_text('{"modes": "modes: 6 of 9 cells"}', "utf-8")
    text = write_report(folder).read_text("utf-8")
    assert text.index("6 of 9 cells") < text.index("## What this means")


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
    assert "## Modes" not in text
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
    text = write_report(folder).read_text("utf-8")
    assert re.search(r"A cell of modes holds no .*dspy 3.4.1", text)


@pytest.mark.parametrize("broken", [{}, {"judged": None}, {"judged": []}])
@pytest.mark.parametrize("benchmark", ["noise", "interference", "modes", "dilution", "peers"])
def test_a_cell_that_cannot_be_read_is_told_and_stops_no_other_section(tmp_path, benchmark, broken):
    key = {"part": "step", "mode": "SSS", "seed": 0, "layout": "combined", "repeat": 0, "run": "0"}
    key |= {"part": "score", "arm": "S1"} if benchmark == "interference" else {}
    bad = replace(
        cell("seed", 9), benchmark=benchmark, key=key, result=broken, setting={"world": "real"}
    )
    sound = (
        replace(peers_cell("SSC"), benchmark="methods")
        if benchmark == "peers"
        else peers_cell("SSC")
    )
    text = write_report(folder_of(tmp_path, [sound, bad])).read_text("utf-8")
    assert re.search(rf"A cell of {benchmark} .*dspy 3.4.1", text)
    assert "nothing to say yet" not in text
    assert f"## {'Methods' if benchmark == 'peers' else 'Peers'}" in text


@pytest.mark.parametrize("result", [None, [], 3])
def test_a_result_that_is_no_object_is_a_damaged_line(tmp_path, result):
    folder = folder_of(tmp_path, [*some_cells(), replace(cell("seed", 9), result=result)])
    with pytest.raises(SetupError, match=r"line 10 .*result"):
        write_report(folder)


def test_cells_of_an_unknown_benchmark_are_told(tmp_path):
    other = replace(cell("seed", 0), benchmark="something else", result={})
    text = write_report(folder_of(tmp_path, [other])).read_text("utf-8")
    assert "cells of something else" in text
