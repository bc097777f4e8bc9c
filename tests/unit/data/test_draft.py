"""A first rubric, guessed from a table: inputs, group, raters, scores, scales and comments."""

import csv
import json
from dataclasses import replace
from datetime import date

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mogradjudge import Criterion, Rubric, SetupError, draft_rubric, load_examples
from mogradjudge.criteria import fields_from_toml
from workbooks import workbook


def text(number):
    return f"This is text number {number} of many"


def rows(columns, row_of, count=40):
    return [dict(zip(columns.split(","), row_of(n), strict=True)) for n in range(count)]


def score(n, low=1, high=5):
    return low + n * 13 % (high - low + 1)


def write(path, cells, header):
    table = [dict(zip(header, row, strict=True)) for row in cells]
    match path.suffix:
        case ".xlsx":
            workbook(path, [header, *cells])
        case ".jsonl":
            path.write_text("\n".join(map(json.dumps, table)))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(table), path)
        case _:
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([header, *cells])
    return path


TABLES = {
    "a column a criterion": (
        "doc_id,source,summary,human_tone,human_clarity,gpt4_score,tone_comment",
        lambda n: (f"d{n // 4}", text(n // 4), text(n), score(n), score(n, 1, 3), score(n), "ok"),
        (["source", "summary"], "doc_id", None),
        {"tone": (["human_tone"], "1 to 5", "tone_comment"),
         "clarity": (["human_clarity"], "1 to 3", None)},
    ),
    "a column a rater": (
        "id,Reply,fluency_1,fluency_2,rater1_tone,rater2_tone,word_count",
        lambda n: (n, text(n), score(n), score(n + 1), score(n, 1, 7), 2, 3 + n % 5),
        (["Reply"], None, None),
        {"fluency": (["fluency_1", "fluency_2"], "1 to 5", None),
         "tone": (["rater1_tone", "rater2_tone"], "1 to 7", None)},
    ),
    "a row a rating": (
        "Conversation ID,prompt,answer,annotator,Helpfulness (1-5),Tone rating,why,model",
        lambda n: (f"c{n // 8}", text(n // 8), text(n // 2), "ab"[n % 2], score(n, 2, 4), score(n),
                   "", "gpt-4"),
        (["prompt", "answer"], "Conversation ID", "annotator"),
        {"helpfulness": (["Helpfulness (1-5)"], "1 to 5", None),
         "tone": (["Tone rating"], "1 to 5", None)},
    ),
    "words around numbers": (
        "text,score,note",
        lambda n: (text(n), f"{score(n)} - good", "Nice."),
        (["text"], None, None),
        {"score": (["score"], "1 to 5", "note")},
    ),
    "lists": (
        "text,human_tone,raters_tone",
        lambda n: (text(n), 3.5, f"[{score(n)}, 3]"),
        (["text"], None, None),
        {"tone": (["raters_tone"], "1 to 5", None)},
    ),
    "truths": (
        "text,label", lambda n: (text(n), ["true", "false"][n % 2]), (["text"], None, None),
        {"label": (["label"], "0 to 1", None)},
    ),
    "words": (
        "text,verdict,split", lambda n: (text(n), ["Pass", "fail"][n % 2], "train"),
        (["text"], None, None), {"verdict": (["verdict"], "0 to 1", None)},
    ),
    "raters by column and by row": (
        "class,answer,annotator,answer_1,answer_2,human_wit,human_tact",
        lambda n: (text(n), text(n), "ab"[n % 2], score(n), score(n), score(n, 0, 1),
                   score(n, 0, 2)),
        (["class", "answer"], None, None),
        {"answer_score": (["answer_1", "answer_2"], "1 to 5", None),
         "wit": (["human_wit"], "0 to 1", None), "tact": (["human_tact"], "0 to 2", None)},
    ),
    "raters in brackets": (
        "Ticket ID,Reply,Coherence (Anna),Coherence (Ben),Tone (Anna),Tone (Ben),Channel",
        lambda n: (f"T{n // 2}", text(n), score(n), score(n + 1), score(n), score(n + 1), "mail"),
        (["Reply"], "Ticket ID", None),
        {"coherence": (["Coherence (Anna)", "Coherence (Ben)"], "1 to 5", None),
         "tone": (["Tone (Anna)", "Tone (Ben)"], "1 to 5", None)},
    ),
    "raters behind a criterion": (
        "ticket,reply,tone_anna,tone_ben,tone_mean,clarity_anna",
        lambda n: (f"T{n // 3}", text(n), score(n), score(n + 1), 3, score(n)),
        (["reply"], "ticket", None),
        {"tone": (["tone_anna", "tone_ben"], "1 to 5", None),
         "clarity": (["clarity_anna"], "1 to 5", None)},
    ),
    "raters before a criterion": (
        "ID,reply,anna: tone,ben: tone,anna: wit (1-7),ben: wit (1-7)",
        lambda n: (n, text(n), score(n), score(n + 1), score(n), score(n + 1)),
        (["reply"], None, None),
        {"tone": (["anna: tone", "ben: tone"], "1 to 5", None),
         "wit": (["anna: wit (1-7)", "ben: wit (1-7)"], "1 to 7", None)},
    ),
    "raters alone": (
        "reply,rater 1,rater 2", lambda n: (text(n), score(n), score(n + 1)),
        (["reply"], None, None), {"score": (["rater 1", "rater 2"], "1 to 5", None)},
    ),
    "criteria of one thing": (
        "answer,answer_tone,answer_clarity", lambda n: (text(n), score(n), score(n)),
        (["answer"], None, None),
        {"tone": (["answer_tone"], "1 to 5", None),
         "clarity": (["answer_clarity"], "1 to 5", None)},
    ),
    "words that no list knows, by their scores": (
        "text,zing_x,zang_x,zing_y,zang_y",
        lambda n: (text(n), score(n), score(n, 1, 3), score(n), score(n, 1, 3)),
        (["text"], None, None),
        {"zing": (["zing_x", "zing_y"], "1 to 5", None),
         "zang": (["zang_x", "zang_y"], "1 to 3", None)},
    ),
    "a batch of paid workers": (
        "HITId,AssignmentId,WorkerId,Input.article,Answer.coherence,Answer.fluency",
        lambda n: (f"H{n // 2}", f"A{n}", f"W{n % 7}", text(n // 2), score(n), score(n)),
        (["Input.article"], None, "WorkerId"),
        {"coherence": (["Answer.coherence"], "1 to 5", None),
         "fluency": (["Answer.fluency"], "1 to 5", None)},
    ),
    "a form": (
        "Timestamp,Email,Text,Rate the text [Clarity],Rate the text [Tone]",
        lambda n: (f"2024-01-{n // 2:02}", f"p{n % 5}@x", text(n // 2), score(n), score(n)),
        (["Text"], None, "Email"),
        {"clarity": (["Rate the text [Clarity]"], "1 to 5", None),
         "tone": (["Rate the text [Tone]"], "1 to 5", None)},
    ),
    "questions of a survey": (
        "text,q1,q2", lambda n: (text(n), score(n), score(n, 0, 10)), (["text"], None, None),
        {"q1": (["q1"], "1 to 5", None), "q2": (["q2"], "0 to 10", None)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_the_columns_of_a_table_are_guessed(name):
    columns, row_of, (inputs, group, rater), criteria = TABLES[name]
    draft = draft_rubric(rows(columns, row_of))
    assert (list(draft.inputs), draft.group, draft.rater) == (inputs, group, rater)
    drafted = {it.name: (list(it.columns), str(it.scale), it.comment) for it in draft.criteria}
    assert drafted == criteria


@pytest.mark.parametrize("name", TABLES)
def test_a_draft_is_read_as_it_is_written_and_fits_its_table(name, tmp_path):
    columns, row_of, *_ = TABLES[name]
    path = write(tmp_path / "ratings.csv", [*map(row_of, range(40))], columns.split(","))
    draft = draft_rubric(path)
    written = draft.to_toml()
    rubric = Rubric(**fields_from_toml(written))
    assert rubric == draft.rubric
    assert written.count("#") >= 1 + len(rubric.criteria)
    assert load_examples(path, rubric)


@pytest.mark.parametrize("frame_of", [pd.DataFrame, pa.Table.from_pylist])
def test_a_data_frame_is_a_table(frame_of):
    frame = frame_of(rows("reply,human_tone", lambda n: (text(n), score(n))))
    assert draft_rubric(frame).rubric.names == ("tone",)


@pytest.mark.parametrize("frame_of", [pd.DataFrame, pa.Table.from_pylist, list])
def test_examples_are_read_from_a_table_in_memory(frame_of):
    table = rows("reply,human_tone", lambda n: (text(n), score(n)))
    rubric = draft_rubric(table).rubric
    examples = load_examples(frame_of([*table, {"reply": "More.", "human_tone": None}]), rubric)
    assert [example.human_tone for example in examples] == [*(score(n) for n in range(40)), None]
    assert len(load_examples(frame_of(table), rubric, 3)) == 3


@pytest.mark.parametrize("read", [draft_rubric, lambda it: load_examples(it, RUBRIC)])
def test_a_thing_that_is_no_table_is_refused_shortly(read):
    twice = pd.DataFrame([["a", "b", 3]], columns=["reply", "reply", "human_tone"])
    for wrong, word in ((["a long text"] * 9999, "list"), ("x" * 9999, "xxx"), (twice, "'reply'")):
        with pytest.raises(SetupError, match=word) as refused:
            read(wrong)
        assert len(str(refused.value)) < 300


RUBRIC = Rubric(["reply"], [Criterion("tone", "Is it kind?")])
LEVELS = ["bad", "poor", "fair", "good", "great"]
WRITTEN = {
    "numbers and words": ["{0} - {1}", "{0} ({1})", "{1}", "{0}"],
    "words and numbers of another column": ["{0}. {1}"],
    "words alone": ["{1}"],
}


@pytest.mark.parametrize("forms", WRITTEN.values(), ids=WRITTEN)
def test_named_levels_are_read(forms, tmp_path):
    cells = [
        (text(n), forms[n % len(forms)].format(score(n), LEVELS[score(n) - 1])) for n in range(40)
    ]
    table = [{"reply": reply, "tone": cell} for reply, cell in cells]
    tone = draft_rubric(table).criteria[0]
    assert (list(tone.names), str(tone.scale)) == (LEVELS, "1 to 5")
    path = write(tmp_path / "ratings.csv", cells, ("reply", "tone"))
    read = [example.tone for example in load_examples(path, draft_rubric(path).rubric)]
    assert read == [score(n) for n in range(40)]


def test_levels_that_are_not_all_seen_keep_their_meaning():
    labels = {2: "poor", 3: "fair", 4: "good"}
    cells = rows("reply,tone", lambda n: (text(n), f"{2 + n % 3} - {labels[2 + n % 3]}"))
    tone = draft_rubric(cells).criteria[0]
    assert (str(tone.scale), dict(tone.levels)) == ("1 to 4", labels)


MESSY = ("Ticket ID", "Reply", "Tone (Anna)", "Tone (Ben)", "Tone comment", "Channel")


def messy(n):
    cell = [f"{score(n)} - {LEVELS[score(n) - 1]}", LEVELS[score(n) - 1], "n/a"][n % 3]
    return (f"T{n // 2}", text(n), cell, f"{score(n)}", "why" if n % 2 else "", "mail")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "xlsx", "frame", "arrow"])
def test_each_kind_of_table_gives_the_same_draft(kind, tmp_path):
    cells = list(map(messy, range(40)))
    table = [dict(zip(MESSY, row, strict=True)) for row in cells]
    source = {"frame": pd.DataFrame(table), "arrow": pa.Table.from_pylist(table)}.get(kind)
    draft = draft_rubric(write(tmp_path / f"a.{kind}", cells, MESSY) if source is None else source)
    assert draft.rubric == draft_rubric(table).rubric
    assert draft.criteria[0].raters == ("Tone (Anna)", "Tone (Ben)")
    assert draft.criteria[0].names == tuple(LEVELS)


def test_each_column_is_said_what_it_is_taken_for():
    cells = [dict(zip(MESSY, messy(n), strict=True)) for n in range(40)]
    extra = {"ID": 1, "gpt_tone": 2, "Agent": "Ada", "nothing": None, "mood": "x"}
    table = [{**row, **extra, "ID": n, "mood": "xyz"[n % 3]} for n, row in enumerate(cells)]
    table[3]["Agent"] = "Bob"
    roles = draft_rubric(table).roles
    assert [*roles] == [*table[0]]
    for name, words in {
        "Ticket ID": ("group", "20"),
        "Reply": ("input",),
        "Tone (Anna)": ("tone", "anna"),
        "Tone comment": ("comment", "tone"),
        "Channel": ("left out", "mail"),
        "ID": ("left out", "differ"),
        "nothing": ("left out", "empty"),
        "mood": ("left out", "x, y, z"),
    }.items():
        assert all(word in roles[name] for word in words), roles[name]


def test_a_group_with_gaps_is_left_out_with_the_reason():
    table = rows("Ticket ID,reply,tone", lambda n: (f"T{n // 2}" if n else "", text(n), score(n)))
    draft = draft_rubric(table)
    assert draft.group is None
    assert "1 of 40 rows" in draft.roles["Ticket ID"]


@pytest.mark.parametrize("name", ["group", "single_ratings", "n" * 1001, "lm", "class"])
@pytest.mark.parametrize("cell", [lambda n: f"g{n // 4}", lambda n: n // 4 % 5, text])
def test_a_column_of_any_name_hinders_no_guess(name, cell):
    table = [{name: cell(n), "reply": text(n), "human_tone": score(n)} for n in range(40)]
    draft = draft_rubric(table, inputs=["reply"])
    assert "tone" in draft.rubric.names
    if name == "group" and cell(1) == "g0":
        assert draft.group == "group"
    draft_rubric(table)


def test_scores_between_the_only_two_levels_are_said():
    def drafted(high):
        table = [{"reply": text(n), "human_tone": n % 3 * high} for n in range(40)]
        return draft_rubric(table).to_toml()

    assert "0 or 1" in drafted(0.5) and "say" not in drafted(1)


def test_what_is_said_is_not_guessed():
    table = rows("a,b,x,y", lambda n: (text(n), text(n), score(n), score(n, 0, 2)))
    draft = draft_rubric(table, inputs=["b"], human={"tone": ["y"]}, group="a")
    assert (draft.inputs, draft.rubric.names, draft.group) == (("b",), ("tone",), "a")
    assert str(draft.criteria[0].scale) == "0 to 2"
    assert draft_rubric(table, group=False).rubric.group is None
    named = [{**row, "rater": "ab"[n % 2]} for n, row in enumerate(table)]
    assert draft_rubric(named).rater == "rater"
    assert draft_rubric(named, rater=False).rater is None
    for wrong in ({"inputs": ["c"]}, {"human": {"tone": ["c"]}, "group": "c"}):
        with pytest.raises(SetupError, match="'c'"):
            draft_rubric(table, **wrong)
    with pytest.raises(SetupError, match="'a'"):
        draft_rubric(table, human={"tone": ["a"]})


@pytest.mark.parametrize(
    ["table", "option"],
    [
        (rows("text", lambda n: (text(n),)), "--human"),
        (rows("tone", lambda n: (score(n),)), "--inputs"),
    ],
)
def test_a_table_without_texts_or_scores_names_the_option(table, option):
    with pytest.raises(SetupError, match=option):
        draft_rubric(table)


def test_a_thing_that_is_no_table_is_refused():
    for thing in (3, [1, 2], {"text": "a"}):
        with pytest.raises(SetupError, match="source"):
            draft_rubric(thing)


@pytest.mark.parametrize(
    ["cell", "na"], [("n/a", True), ("Not applicable", True), ("NA", False), ("-", False)]
)
@pytest.mark.parametrize("levels", [None, ("fail", "pass")])
def test_a_word_for_what_does_not_apply_is_found(cell, na, levels):
    cells = [levels[n % 2] if levels else score(n) for n in range(40)]
    table = [
        {"text": text(n), "human_tone": cell if n % 9 == 0 else it} for n, it in enumerate(cells)
    ]
    (criterion,) = draft_rubric(table).rubric.criteria
    assert criterion.na == na
    assert criterion.names == (levels or ())
    assert Rubric(**fields_from_toml(draft_rubric(table).to_toml())).criteria == (criterion,)


TYPED = {
    "numbers": ([1, 2, 3, 4, 5], "4-5"),
    "numbers in texts": (["1", "2", "3.0", "4", "5"], "see comment"),
    "named levels": ([f"{n} - {name}" for n, name in enumerate(LEVELS, 1)], "4/5 or so"),
    "words": (["fail", "pass", "pass", "fail", "pass"], "unsure"),
    "out of any scale": ([1, 2, 3, 4, 5], "9999"),
}  # fmt: skip


@pytest.mark.parametrize(["scores", "slip"], TYPED.values(), ids=TYPED)
def test_a_column_of_scores_stays_one_with_a_few_other_cells(scores, slip):
    cells = [scores[n % 5] for n in range(80)]
    table = [{"reply": text(n), "Tone (Anna)": it, "Tone (Ben)": it} for n, it in enumerate(cells)]
    right = draft_rubric(table).rubric
    for place, cell in ((3, slip), (7, "?"), (9, "-")):
        table[place]["Tone (Anna)"] = cell
    draft = draft_rubric(table)
    assert draft.rubric == replace(right, criteria=draft.rubric.criteria)
    assert draft.criteria[0].raters == ("Tone (Anna)", "Tone (Ben)")
    assert draft.criteria[0].scale == right.criteria[0].scale
    [doubt] = draft.doubts["tone"]
    assert all(part in doubt for part in (repr(slip), "row 4", "79 of 80", "'Tone (Anna)'"))
    assert doubt in draft.to_toml()
    assert not any(draft_rubric(table[10:]).doubts.values())


def test_a_column_that_is_left_out_shows_the_cells_that_do_not_fit():
    table = [{"reply": text(n), "tone": score(n), "wit": score(n)} for n in range(40)]
    for n in range(8):
        table[4 * n]["wit"] = "see mail"
    assert "'see mail' in row 1" in draft_rubric(table).roles["wit"]
    with pytest.raises(SetupError, match="see mail"):
        draft_rubric(table, human={"wit": ["wit"]})


DATES = {
    "German": lambda n: f"{1 + n % 28:02}.10.2026",
    "American": lambda n: f"10/{1 + n % 28}/26 9:30 PM",
    "ISO": lambda n: f"2026-10-{1 + n % 28:02}",
    "ISO with a time": lambda n: f"2026-10-{1 + n % 28:02} {n % 24:02}:07",
    "with a zone": lambda n: f"2026-10-{1 + n % 28:02}T08:07:09.25+02:00",
    "words": lambda n: f"{1 + n % 28} October 2026",
    "days": lambda n: date(2026, 10, 1 + n % 28),
    "times": lambda n: f"{n % 20:02}:15",
}  # fmt: skip


@pytest.mark.parametrize("moment", DATES.values(), ids=DATES)
def test_dates_are_neither_documents_nor_texts_nor_raters(moment):
    table = [{"Received": moment(n), "reply": text(n), "tone": score(n)} for n in range(80)]
    table += [{**row, "tone": 3} for row in table[:5]]
    draft = draft_rubric(table)
    assert (draft.inputs, draft.group, draft.rater) == (("reply",), None, None)
    assert "dates" in draft.roles["Received"]
    named = [{"Document": table[n // 2]["Received"], **row} for n, row in enumerate(table[:80])]
    assert draft_rubric(named).group == "Document"


FALLING = ["tone (1 = best)", "tone (1=best)", "tone, lower is better", "tone (1 = sehr gut)"]


@pytest.mark.parametrize("column", [*FALLING, "tone (1-5, 1 = best)"])
def test_the_direction_of_a_falling_scale_is_not_guessed(column):
    draft = draft_rubric([{"reply": text(n), column: score(n)} for n in range(40)])
    [tone] = draft.criteria
    assert tone.name == "tone"
    assert "higher" not in tone.definition
    [doubt] = draft.doubts["tone"]
    assert "lower" in doubt
    assert "6 minus" in doubt
    assert doubt in draft.to_toml()


@pytest.mark.parametrize("column", ["tone (5 = best)", "tone (1 = bad)", "tone (10 = best)"])
def test_a_rising_scale_is_no_doubt(column):
    draft = draft_rubric([{"reply": text(n), column: score(n)} for n in range(40)])
    assert "higher" in draft.criteria[0].definition
    assert not any(draft.doubts.values())


@pytest.mark.parametrize(["stray", "scale"], [(0, "0 to 5"), (9, "1 to 10"), (99, "0 to 100")])
def test_a_score_that_alone_widens_a_scale_is_said(stray, scale):
    table = [{"reply": text(n), "human_tone": score(n)} for n in range(80)]
    table[3]["human_tone"] = stray
    draft = draft_rubric(table)
    assert str(draft.criteria[0].scale) == scale
    [doubt] = draft.doubts["tone"]
    assert all(part in doubt for part in ("1 of 80", str(stray), "1 to 5"))


@pytest.mark.parametrize("columns", [["Comment Anna"], ["Anna's notes", 'Why "Ben"']])
def test_comments_on_no_single_criterion_are_offered(columns):
    cells = rows("reply,human_tone,human_wit", lambda n: (text(n), score(n), score(n)))
    said = [dict.fromkeys(columns, "so" if n % 2 else "it is") for n in range(40)]
    draft = draft_rubric([row | own for row, own in zip(cells, said, strict=True)])
    written = draft.to_toml()
    assert Rubric(**fields_from_toml(written)) == draft.rubric
    assert all("`comment`" in draft.roles[column] for column in columns)
    for column in columns:
        line = f"comment = {json.dumps(column)}"
        assert written.count(f"# {line}\n") == 2
        chosen = Rubric(**fields_from_toml(written.replace(f"# {line}\n", f"{line}\n")))
        assert [it.comment for it in chosen.criteria] == [column, column]


def test_raters_keep_their_names_where_columns_are_said():
    cells = [dict(zip(MESSY, messy(n), strict=True)) for n in range(40)]
    draft = draft_rubric(cells, human={"warmth": ["Tone (Anna)", "Tone (Ben)"]})
    assert "warmth by anna" in draft.roles["Tone (Anna)"]


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("title", ["Service desk export, October", "Export"])
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_title_above_the_header_is_said(kind, title, separator, tmp_path):
    cells = [("Ticket", "reply", "tone", "wit"), *((f"T{n}", text(n), n % 5, 3) for n in range(9))]
    path = tmp_path / f"a.{kind}"
    if kind == "xlsx":
        workbook(path, [(title,), *cells])
    else:
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter=separator).writerows([(title,), *cells])
    with pytest.raises(SetupError, match="first line"):
        draft_rubric(path)
    rubric = Rubric(["reply"], [Criterion("tone", "Is it kind?", human="tone")])
    with pytest.raises(SetupError, match="above"):
        load_examples(path, rubric)


@pytest.mark.parametrize("cells", [("Hello there", 3), ("Hello, there", 3)])
def test_a_header_is_no_title(cells, tmp_path):
    path = write(tmp_path / "a.csv", [cells] * 9, ("reply", "unknown"))
    with pytest.raises(SetupError) as error:
        load_examples(path, Rubric(["text"], [Criterion("tone", "Is it kind?")]))
    assert "looks like a title" not in str(error.value)


def test_the_sheet_that_was_read_is_said_where_nothing_fits(tmp_path):
    path = tmp_path / "a.xlsx"
    workbook(path, [("Notes",), ("exported by Ben",), ("do not share",)], ["More"])
    with pytest.raises(SetupError, match="first of 2 sheets, 'Ratings'"):
        draft_rubric(path)


FORMS = {
    "percentages": [f"{10 * n} %" for n in range(10)],
    "3/5": [f"{n}/9" for n in range(1, 10)],
    "stars": ["\u2605" * n for n in range(1, 10)],
}


@pytest.mark.parametrize("form", FORMS)
def test_scores_in_another_form_are_no_documents_and_said(form):
    cells = FORMS[form]
    draft = draft_rubric(
        [{"reply": text(n), "tone": score(n), "quality": cells[n % len(cells)]} for n in range(60)]
    )
    assert (draft.inputs, draft.group, draft.rubric.names) == (("reply",), None, ("tone",))
    assert form in draft.roles["quality"]


@pytest.mark.parametrize("cell", ["{:g}", "{:g}|"])
def test_half_points_are_scores(cell):
    cells = [cell.format(1 + n % 9 / 2) for n in range(40)]
    cells = [it.rstrip("|").replace(".", ",") if it.endswith("|") else it for it in cells]
    draft = draft_rubric([{"reply": text(n), "quality": it} for n, it in enumerate(cells)])
    assert str(draft.criteria[0].scale) == "1 to 5"
