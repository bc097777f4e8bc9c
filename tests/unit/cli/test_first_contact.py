"""``init`` and ``check``: from a table of ratings to a rubric that fits."""

import csv
import io
import json

import pytest

from mogradjudge import Rubric
from mogradjudge.cli import main

COLUMNS = ("doc", "article", "summary", "human_tone", "clarity_1", "clarity_2", "note on tone")


def rows(count=120):
    for n in range(count):
        texts = (f"d{n // 2}", f"The long article number {n // 2}", f"The short summary {n}")
        yield (*texts, 1 + n * 7 % 5, 1 + n * 3 % 5, 1 + n * 3 % 4, "Why it is so.")


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ratings.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows()])
    return path


def call(*words):
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_init_writes_a_rubric_that_check_and_python_read(table, capsys):
    assert call("init", table, "--yes", "--json") == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert (card["texts"], card["documents"], card["confirming"]) == (120, 60, 18)
    assert sum(card["use"]["tone"].values()) == 120
    rubric = Rubric.from_toml("rubric.toml")
    assert (rubric.names, rubric.group) == (("tone", "clarity"), "doc")
    assert rubric["clarity"].raters == ("clarity_1", "clarity_2")
    assert call("check", table, "--rubric", "rubric.toml") == 0
    assert "clarity_1, clarity_2" in capsys.readouterr().out


def test_each_guess_can_be_answered_on_a_terminal(table, monkeypatch, capsys):
    answers = [
        "summary, nothing",
        "summary",
        "tone=human_tone",
        "none",
        "",
        "one",
        "1 to 7",
        "none",
    ]
    monkeypatch.setattr("sys.stdin", Terminal("\n".join([*answers, ""])))
    assert call("init", table) == 0
    rubric = Rubric.from_toml("rubric.toml")
    assert (rubric.inputs, rubric.names, rubric.group) == (("summary",), ("tone",), None)
    assert (str(rubric["tone"].scale), rubric["tone"].comment) == ("1 to 7", None)
    assert "'nothing'" in capsys.readouterr().err


def test_the_names_of_levels_can_be_answered(table, monkeypatch):
    answers = ["", "tone=human_tone", "", "", "one", "a, b, c, d, e", ""]
    monkeypatch.setattr("sys.stdin", Terminal("\n".join([*answers, ""])))
    assert call("init", table) == 0
    tone = Rubric.from_toml("rubric.toml")["tone"]
    assert (tone.names, str(tone.scale)) == (("a", "b", "c", "d", "e"), "1 to 5")


def test_enter_takes_every_guess(table, monkeypatch, capsys):
    assert call("init", table, "--yes", "--out", "taken.toml") == 0
    monkeypatch.setattr("sys.stdin", Terminal("\n" * 20))
    assert call("init", table) == 0
    assert Rubric.from_toml("rubric.toml") == Rubric.from_toml("taken.toml")


def test_options_say_what_is_not_guessed(table, capsys):
    options = ["--inputs", "summary", "--human", "calm=human_tone", "--human", "clarity_1"]
    assert call("init", table, "--yes", *options, "--group", "none") == 0
    rubric = Rubric.from_toml("rubric.toml")
    assert (rubric.inputs, rubric.group) == (("summary",), None)
    assert [(it.name, it.human) for it in rubric.criteria] == [
        ("calm", "human_tone"),
        ("clarity_1", "clarity_1"),
    ]


def test_a_rubric_that_is_there_is_kept_and_off_a_terminal_yes_is_needed(table, capsys):
    assert call("init", table) == 2
    assert "--yes" in capsys.readouterr().err
    (table.parent / "rubric.toml").write_text("mine")
    assert call("init", table, "--yes") == 2
    assert "--force" in capsys.readouterr().err
    assert (table.parent / "rubric.toml").read_text() == "mine"
    assert call("init", table, "--yes", "--force") == 0


@pytest.mark.slow
def test_each_column_is_said_what_it_is_taken_for(table, capsys):
    assert call("init", table, "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["columns"].keys() == {*COLUMNS}
    assert call("init", table, "--yes", "--force") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*COLUMNS, "group", "comment on tone"))


def test_a_table_or_a_folder_that_is_not_there_is_said_first(table, capsys):
    (table.parent / "rubric.toml").write_text("mine")
    assert call("init", "nope.csv", "--yes") == 2
    assert "nope.csv" in (error := capsys.readouterr().err)
    assert "--force" not in error
    assert call("init", table, "--yes", "--out", "nowhere/x.toml") == 2
    error = capsys.readouterr().err
    assert "nowhere" in error
    assert "removed" not in error


def test_check_says_all_that_is_wrong_at_once(table, capsys):
    with table.open("a", newline="") as file:
        csv.writer(file).writerows([("d", "An article", "", "nine", 1, 1, ""), ("d", "A", "B", 9)])
    rubric = table.parent / "rubric.toml"
    rubric.write_text(
        'inputs = ["summary", "sumary"]\ngroups = "doc"\n'
        '[[criteria]]\nname = "tone"\ndefinition = "Is it kind?"\nscale = [1, 5]\n'
        '[[criteria]]\nname = "clarity"\nscale = [5, 1]\nlevel = 3\n'
        '[[criteria]]\nname = "wit"\ndefinition = "Is it witty?"\nscale = [5, 1]\n'
    )
    assert call("check", table, "--rubric", rubric) == 2
    lines = capsys.readouterr().err.splitlines()
    for wrong in ("'groups'", "'level'", "definition", "(5, 1)", "'sumary'", "'nine'", "'summary'"):
        assert any(wrong in line for line in lines), wrong
    with pytest.raises(ValueError, match="'groups'"):
        Rubric.from_toml(rubric)


ALL_WRONG = """
group = "document"
inputs = ["article", "summary"]
[[criteria]]
name = "tone"
scale = [5, 1]
human = "human_tone"
[[criteria]]
definition = "Is it witty?"
human = "wit"
[[criteria]]
name = "clarity"
raters = ["clarity_1", "clarity_3"]
grade = 3
measure = "nothing"
definition = ""
"""


def test_a_rubric_without_a_right_criterion_hides_nothing_of_the_data(table, capsys):
    with table.open("a", newline="") as file:
        csv.writer(file).writerows([("d", "An article", "", "nine", "ten", 1, "")])
    rubric = table.parent / "rubric.toml"
    rubric.write_text(ALL_WRONG)
    assert call("check", table, "--rubric", rubric, "--json") == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    of_rubric = ("definition", "(5, 1)", "name", "'grade'", "'nothing'", "''")
    of_data = ("'document'", "'wit'", "'clarity_3'", "'nine'", "'ten'", "'summary'")
    for wrong in (*of_rubric, *of_data):
        assert any(wrong in line for line in problems), wrong
    assert len(problems) == len(set(problems))


def test_a_broken_scale_hides_no_names_of_levels_and_is_no_other_scale(table, capsys):
    with table.open("a", newline="") as file:
        csv.writer(file).writerows([("d", "An article", "A text", 900, "ten", 1, "")])
    rubric = table.parent / "rubric.toml"
    rubric.write_text(
        'inputs = ["summary"]\n'
        '[[criteria]]\nname = "tone"\ndefinition = "Is it kind?"\nscale = [5, 1]\n'
        'levels = ["sole"]\nhuman = "human_tone"\n'
        '[[criteria]]\nname = "clarity"\ndefinition = "Clear?"\nscale = "x"\n'
        'levels = {9 = "good"}\nhuman = "clarity_1"\n'
    )
    assert call("check", table, "--rubric", rubric, "--json") == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert any("levels" in line and "'sole'" in line for line in problems)
    assert any("'ten'" in line for line in problems)
    assert not any(wrong in line for line in problems for wrong in ("500", "900", "9 =", "'x' "))


@pytest.mark.parametrize("text", ["inputs = 3", "no toml", "inputs = ['a']\ncriteria = 3"])
def test_a_rubric_that_cannot_be_read_does_not_hide_a_missing_table(text, tmp_path, capsys):
    rubric = tmp_path / "rubric.toml"
    rubric.write_text(text)
    assert call("check", tmp_path / "nope.csv", "--rubric", rubric) == 2
    error = capsys.readouterr().err
    assert "nope.csv" in error
    assert "rubric.toml" in error


def test_bad_cells_hide_neither_the_card_nor_what_a_run_lacks(table, capsys):
    assert call("init", table, "--yes") == 0
    with table.open("w", newline="") as file:
        bad = ("d", "An article", "A summary", "nine", 1, 1, "")
        csv.writer(file).writerows([COLUMNS, *([*it[:3], 3, 3, 3, ""] for it in rows()), bad])
    capsys.readouterr()
    assert call("check", table, "--rubric", "rubric.toml", "--json") == 2
    report = json.loads(capsys.readouterr().out)
    assert report["card"]["texts"] >= 120
    assert any("'nine'" in problem for problem in report["problems"])
    assert any("equal" in problem for problem in report["problems"])


@pytest.mark.slow
def test_check_says_what_compile_with_the_same_options_will_do(table, capsys):
    assert call("init", table, "--yes") == 0
    command = [table, "--rubric", "rubric.toml", "--test-share", "0.3"]
    model = ["--lm", "openai/none", "--api-base", "http://127.0.0.1:9/v1", "--out", "run"]
    call("compile", *command, *model, "--steps", 1, "--batch-size", 1, "--max-seconds", 0.01)
    said = [it for it in capsys.readouterr().err.splitlines() if it.startswith(("Texts", "Too"))]
    assert call("check", *command) == 0
    assert " ".join(said) in (card := capsys.readouterr().out)
    assert card.count("--test-share") == 1


def test_check_takes_what_decides_the_split(table, capsys):
    assert call("init", table, "--yes") == 0
    command = ["check", table, "--rubric", "rubric.toml"]
    for options in ((), ("--confirm", "off"), ("--protocol", "paper")):
        capsys.readouterr()
        assert call(*command, *options) == 0
        assert ("to confirm the result" in capsys.readouterr().out) == (not options)
    assert call(*command, "--test-share", "0.999") == 2
    assert "--test-share" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["1", "nan", "-0.2"])
def test_a_share_that_cannot_be_is_refused_before_the_card(share, table, capsys):
    assert call("init", table, "--yes") == 0
    capsys.readouterr()
    assert call("check", table, "--rubric", "rubric.toml", "--test-share", share) == 2
    printed = capsys.readouterr()
    assert not printed.out and "--test-share" in printed.err


def test_check_says_what_would_stop_a_run_later(table, capsys):
    assert call("init", table, "--yes") == 0
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *([*row[:3], 3, 3, 3, ""] for row in rows())])
    capsys.readouterr()
    assert call("check", table, "--rubric", "rubric.toml", "--json") == 2
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert any("equal" in problem for problem in problems)


def test_check_reads_ratings_by_hand_with_the_rubric_of_init(table, capsys):
    assert call("init", table, "--yes") == 0
    header = ("doc", "article", "summary", "rater", "human_tone", "human_clarity", COLUMNS[-1])
    texts = [(*row[:3], "ann", *row[3:5], "") for row in rows()]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([header, *texts])
    capsys.readouterr()
    assert call("check", table, "--rubric", "rubric.toml") == 0
    out = capsys.readouterr().out
    assert "human_clarity" in out and "clarity_1" not in out


def test_label_leaves_no_lock_behind(table, monkeypatch, capsys):
    assert call("init", table, "--yes") == 0
    monkeypatch.setattr("mogradjudge.web.server.run", lambda *_: None)
    command = ["label", table, "--rubric", "rubric.toml"]
    assert call(*command) == 0
    table.with_name("ratings.labels.csv").write_text("a,b\n")
    assert call(*command) == 2
    assert not list(table.parent.glob("*.lock"))


@pytest.fixture
def of_raters(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ratings.csv"
    header = ("Received", "Reply", "Tone (Anna)", "Tone (Ben)", "Wit (Anna)", "Wit (Ben)")
    scored = ((n % 5 + 1, (n * 3) % 5 + 1, n % 3 + 1, n % 4 + 1) for n in range(80))
    table = [
        (f"{n % 9 + 1}.10.2026", f"The short reply {n}", *own, "so it is")
        for n, own in enumerate(scored)
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([(*header, "Comment Anna"), *table])
    return path


def test_what_columns_are_taken_for_stands_before_the_questions(of_raters, monkeypatch):
    output = io.StringIO()
    monkeypatch.setattr("sys.stdin", Terminal("\n\n\n\n\nsense\nwit\n\n\n"))
    monkeypatch.setattr("sys.stdout", output)
    monkeypatch.setattr("sys.stderr", output)
    assert call("init", of_raters) == 0
    shown = output.getvalue()
    assert shown.index("by anna") < shown.index("The judge reads")
    assert shown.count("left out: dates") == 1  # the answers changed no column
    assert "column of raters" not in shown
    rubric = Rubric.from_toml("rubric.toml")
    assert [it.comment for it in rubric.criteria] == [None, "Comment Anna"]


@pytest.mark.slow
def test_an_answer_keeps_the_raters_names_and_json_is_one_document(of_raters, monkeypatch, capsys):
    answers = ["", "calm=Tone (Anna),Tone (Ben)"]
    monkeypatch.setattr("sys.stdin", Terminal("\n".join([*answers, *[""] * 9])))
    assert call("init", of_raters) == 0
    assert "rating of calm by anna" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", Terminal("\n" * 20))
    assert call("init", of_raters, "--json", "--force") == 0
    assert json.loads(capsys.readouterr().out)["doubts"] == {"tone": [], "wit": []}


def test_a_rubric_that_was_written_is_named_though_the_data_would_stop_a_run(of_raters, capsys):
    with of_raters.open("a", newline="") as file:
        csv.writer(file).writerow(["1.10.2026", "One more reply", "4-5", 1, 1, 1, ""])
    assert call("init", of_raters, "--yes") == 2
    printed = capsys.readouterr()
    assert "rubric.toml" in printed.out
    assert all(part in printed.out for part in ("80 of 81", "'4-5'", "line 82"))
    assert "'4-5'" in printed.err


def test_a_single_rater_is_counted_as_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ratings.csv"
    with path.open("w", newline="") as file:
        cells = ((f"The short reply {n}", n % 5 + 1) for n in range(80))
        csv.writer(file).writerows([("reply", "tone"), *cells])
    assert call("init", path, "--yes") == 0
    assert "1 rater a text" in capsys.readouterr().out
