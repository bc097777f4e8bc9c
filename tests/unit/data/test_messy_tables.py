"""Tables as spreadsheets, data frames and people write them."""

import csv
import json
from datetime import date

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from drawn import is_shown
from mogradjudge import Criterion, ReadOptions, Rubric, SetupError, load_examples
from mogradjudge.data.scores import read_scores
from mogradjudge.data.tables import Table, stream_table
from workbooks import workbook

SCORED = Rubric(["text"], [Criterion("tone", "Is it polite?")])
TRUTH = Rubric(["text"], [Criterion("tone", "Is it polite?", scale=(0, 1))])
HEADER = ("text", "human_tone")
KINDS = ["csv", "jsonl", "parquet", "xlsx"]


def write(path, rows, header=HEADER):
    """Write a table of the kind that its suffix names."""
    if path.suffix == ".xlsx":
        return workbook(path, [header, *rows])
    if path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(header, row, strict=True))) for row in rows]
        path.write_text("\n".join(lines))
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = zip(*rows, strict=True)
        pq.write_table(pa.table(list(map(list, columns)), names=list(header)), path)
    else:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    return path


def put(path, text: str | bytes):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path, rubric=SCORED, **options):
    examples = load_examples(path, rubric, options=ReadOptions(**options))
    return [(example.text, example.human_tone) for example in examples]


def refused(path, rubric=SCORED, **options) -> str:
    with pytest.raises(SetupError) as caught:
        load_examples(path, rubric, options=ReadOptions(**options))
    return str(caught.value)


class TestSeparators:
    CELLS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(is_shown)

    @pytest.mark.parametrize("kind", ["csv", "tsv"])
    @settings(
        max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6),
        separator=st.sampled_from(",;\t|"),
        quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        end=st.sampled_from(["\n", "\r\n"]),
        encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    )
    def test_what_a_writer_wrote_is_read(
        self, kind, rows, separator, quoting, end, encoding, tmp_path
    ):
        # Before Python 3.13 the writer puts no quotes around a line end that is not its own.
        assume(end == "\r\n" or "\r" not in "".join(map("".join, rows)))
        path, header = tmp_path / f"a.{kind}", ("id", "a text", "note")
        with path.open("w", newline="", encoding=encoding) as file:
            form = {"delimiter": separator, "quoting": quoting, "lineterminator": end}
            csv.writer(file, **form).writerows([header, *rows])
        [batch] = stream_table(str(path), header)
        assert batch.columns == header
        assert [tuple(row.values()) for row in batch.rows] == rows

    def test_the_rows_decide_where_the_header_leaves_it_open(self, tmp_path):
        path = put(tmp_path / "a.csv", "text;human_tone;a, b\nhi, you;4;x\nho;3;y\n")
        assert read(path) == [("hi, you", 4), ("ho", 3)]

    def test_one_column_needs_no_separator(self, tmp_path):
        path = put(tmp_path / "a.csv", "text\nhi; you\n")
        assert load_examples(path, SCORED, require_human=False)[0].text == "hi; you"

    def test_the_wanted_columns_decide_where_the_rows_leave_it_open(self, tmp_path):
        path = put(tmp_path / "a.csv", "text;human_tone;a, b\nhi;4;x, y\nho;3;y, z\n")
        assert read(path) == [("hi", 4), ("ho", 3)]

    def test_a_header_that_was_not_cut_leads_to_the_option(self, tmp_path):
        path = put(tmp_path / "a.csv", "text~human_tone\nhi~4\n")
        assert "--sep" in refused(path)
        path = put(path, "text;human_tone;a, b, c\nhi;4;x, y, z\nho, ho, ho;3\n")
        assert "--sep" in refused(path)
        assert "--sep" not in refused(put(path, "text id,human tone\nhi,4\n"))

    @pytest.mark.parametrize("kind", ["csv", "xlsx"])
    def test_a_title_above_the_header_is_no_header(self, kind, tmp_path):
        path = write(tmp_path / f"a.{kind}", [("", ""), HEADER, ("hi", 4)], ("Ratings", ""))
        message = refused(path)
        assert "remove what is above it" in message
        assert "--sep" not in message

    @pytest.mark.parametrize("kind", ["parquet", "xlsx"])
    def test_options_without_effect_are_said(self, kind, tmp_path, caplog):
        path = write(tmp_path / f"a.{kind}", [("hi", "4")])
        assert read(path, separator=";", encoding="cp1252") == [("hi", 4)]
        assert "--sep" in caplog.text
        assert "--encoding" in caplog.text

    @pytest.mark.parametrize("first", ["sep= ;", "sep=; ", '"sep= ;"'])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_the_line_that_names_it_may_have_blanks_and_any_end(self, first, end, tmp_path):
        path = put(tmp_path / "a.csv", end.join([first, "text;human_tone", "a, b;4", ""]))
        assert read(path) == [("a, b", 4)]

    @pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
    def test_the_first_line_may_name_it(self, first, tmp_path):
        path = put(tmp_path / "a.csv", f"{first}\r\ntext;human_tone\r\na, b;4\r\n")
        assert read(path) == [("a, b", 4)]
        assert "line 4 has 1" in refused(put(path, path.read_bytes() + b"x\r\n"))

    @pytest.mark.parametrize("name", ["tab", "\\t", "\t"])
    def test_the_caller_may_name_it(self, name, tmp_path):
        path = put(tmp_path / "a.csv", "text\thuman_tone\na;b,c\t4\n")
        assert read(path, separator=name) == [("a;b,c", 4)]
        path = put(tmp_path / "b.csv", "text~human_tone\na~4\n")
        assert read(path, separator="~") == [("a", 4)]

    @pytest.mark.parametrize("separator", ["", ";;", '"', "\n"])
    def test_a_wrong_one_is_refused(self, separator):
        with pytest.raises(SetupError, match="--sep"):
            ReadOptions(separator=separator)

    def test_a_long_row_is_no_obstacle(self, tmp_path):
        path = put(tmp_path / "a.csv", f'text;human_tone\n"{"long, " * 50_000}";4\n')
        assert len(read(path)[0][0]) == 300_000


@pytest.mark.parametrize("text", ["\u200b", "\ufeff \u2060"])
def test_a_text_that_shows_nothing_is_none(text, tmp_path):
    path = put(tmp_path / "a.csv", f"text,human_tone\na,4\n{text},4\n")
    assert "'text'" in refused(path)


class TestEncodings:
    @pytest.mark.parametrize(
        ["encoding", "option"],
        [("cp1252", "cp1252"), ("utf-16", None), ("utf-16-le", "utf-16-le"), ("utf-8-sig", None)],
    )
    @pytest.mark.parametrize("kind", ["csv", "jsonl"])
    def test_it_is_found_or_named(self, kind, encoding, option, tmp_path):
        path = write(tmp_path / f"a.{kind}", [("Grüße", "4")])
        text = json.dumps({"text": "Grüße", "human_tone": "4"}, ensure_ascii=False)
        put(path, (text if kind == "jsonl" else "text,human_tone\nGrüße,4\n").encode(encoding))
        assert read(path, encoding=option) == [("Grüße", 4)]

    def test_an_error_names_the_option(self, tmp_path):
        path = put(tmp_path / "a.csv", "text,human_tone\nGrüße,4\n".encode("cp1252"))
        assert "--encoding" in refused(path)
        assert "instead of 'ascii'" in refused(path, encoding="ascii")

    @pytest.mark.parametrize("name", ["no-such", "base64", ""])
    def test_an_unknown_one_is_refused(self, name):
        with pytest.raises(SetupError, match="--encoding"):
            ReadOptions(encoding=name)


class TestHeaders:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("padded", [" text", "text ", "\xa0text\xa0", "text\n"])
    def test_blanks_around_names_are_no_part_of_them(self, kind, padded, tmp_path):
        path = write(tmp_path / f"a.{kind}", [("hi", "4")], (padded, " human_tone "))
        assert read(path) == [("hi", 4)]

    @pytest.mark.parametrize("kind", KINDS)
    def test_names_that_become_equal_are_refused(self, kind, tmp_path):
        path = write(tmp_path / f"a.{kind}", [("hi", "ho", "4")], ("text", "text ", "human_tone"))
        message = refused(path)
        assert "'text" in message
        assert "\n" not in message

    @pytest.mark.parametrize("kind", ["csv", "xlsx"])
    def test_columns_without_name_and_values_are_dropped(self, kind, tmp_path):
        rows = [("hi", "", "4", " "), ("", "", "", ""), ("ho", "", "3", ""), ("", "", "", "")]
        path = write(tmp_path / f"a.{kind}", rows, ("text", " ", "human_tone", ""))
        assert read(path) == [("hi", 4), ("ho", 3)]
        [batch] = stream_table(str(path), HEADER)
        assert batch.columns == HEADER

    def test_a_column_of_values_needs_a_name(self, tmp_path):
        path = put(tmp_path / "a.csv", "text;;human_tone\nhi;;4\nho;x;4\n")
        message = refused(path)
        assert "line 3 has 'x' in column 2" in message
        assert "\n" not in message

    def test_the_index_of_a_data_frame_is_a_column(self, tmp_path):
        path = put(tmp_path / "a.csv", ",text,human_tone\n0,hi,4\n7,ho,3\n")
        assert read(path) == [("hi", 4), ("ho", 3)]
        [batch] = stream_table(str(path), HEADER, whole=True)
        assert batch.columns == ("", *HEADER)

    def test_a_rubric_that_names_a_padded_column_finds_it(self, tmp_path):
        path = put(tmp_path / "a.csv", "text,Tone \nhi,4\n")
        criterion = Criterion("tone", "Is it polite?", human="Tone ")
        [example] = load_examples(path, Rubric(["text"], [criterion]))
        assert example[criterion.human] == 4

    def test_advice_on_a_name_can_be_followed(self, tmp_path):
        path = put(tmp_path / "a.csv", " Summary ,human_tone\nhi,4\n")
        message = refused(path, Rubric(["summary"], SCORED.criteria))
        assert "'Summary'" in message
        assert len(load_examples(path, Rubric(["Summary"], SCORED.criteria))) == 1


class TestScores:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        "word", ["N/A", "n.a.", "-", "\u2013", "\u2014", "missing", "?", "#N/A", " "]
    )
    def test_many_words_mean_that_there_is_none(self, kind, word, tmp_path):
        path = write(tmp_path / f"a.{kind}", [("hi", word), ("ho", "4")])
        assert read(path) == [("hi", None), ("ho", 4)]

    @pytest.mark.parametrize("word", ["Not applicable", "does not apply"])
    def test_a_cell_that_does_not_apply_is_told_the_rubrics_key(self, word, tmp_path):
        path = write(tmp_path / "a.csv", [("hi", word), ("ho", "4")])
        assert "`na = true`" in refused(path)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_mark_that_shows_nothing_is_no_part_of_a_score(self, kind, tmp_path):
        path = write(
            tmp_path / f"a.{kind}", [("hi", "\u200b"), ("ho", "\u200b4"), ("ha", "\ufeff4 ")]
        )
        assert read(path) == [("hi", None), ("ho", 4), ("ha", 4)]

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_group_or_rater_that_shows_nothing_is_empty(self, kind, tmp_path):
        path = write(tmp_path / f"a.{kind}", [("hi", "4", "\u200b")], (*HEADER, "who"))
        for label in ("group", "rater"):
            assert "'who'" in refused(path, Rubric(["text"], SCORED.criteria, **{label: "who"}))

    @pytest.mark.parametrize("kind", KINDS)
    def test_true_and_false_are_scores_from_0_to_1(self, kind, tmp_path):
        path = write(tmp_path / f"a.{kind}", [("hi", True), ("ho", False)])
        assert read(path, TRUTH) == [("hi", 1), ("ho", 0)]
        message = refused(path).lower()
        assert "true" in message
        assert "0 to 1" in message

    @pytest.mark.parametrize(
        "label",
        ["4 - good", "4 (good)", "4: good", "4 \u2013 so, so", "4. Good", "4=good", "4) good"],
    )
    def test_a_number_with_its_label_is_the_number(self, label, tmp_path, caplog):
        path = write(tmp_path / "a.csv", [("hi", label), ("ho", 3), ("ha", label), ("hu", "N/A")])
        assert [score for _, score in read(path)] == [4, 3, 4, None]
        [note] = caplog.messages
        assert repr(label) in note
        assert "2 cells" in note

    def test_a_note_shows_different_cells(self, tmp_path, caplog):
        labels = ["4 - good", "4 - good", "3: fair", "2 (poor)", "1 = bad"]
        read(write(tmp_path / "a.csv", [(f"t{n}", label) for n, label in enumerate(labels)]))
        [note] = caplog.messages
        assert "5 cells" in note
        assert [label for label in dict.fromkeys(labels) if repr(label) in note] == [
            "4 - good",
            "3: fair",
            "2 (poor)",
        ]

    @pytest.mark.parametrize(
        "date",
        ["4-May", "04-May", "4-MAY", "5. Mai", "4 - May", "3-Mrz", "1 (août)", "2-ene", "5mai"],
    )
    def test_what_a_spreadsheet_made_a_date_is_no_score(self, date, tmp_path):
        message = refused(write(tmp_path / "a.csv", [("hi", date)]))
        assert repr(date) in message
        assert "date" in message

    @pytest.mark.parametrize(
        "label", ["0 (N/A)", "0 - not rated", "0: n.a.", "0 = none", "0. Missing"]
    )
    def test_a_label_that_says_there_is_no_score_is_refused(self, label, tmp_path):
        message = refused(write(tmp_path / "a.csv", [("hi", label)]), TRUTH)
        assert repr(label) in message
        assert "label" in message

    def test_a_comma_that_may_separate_thousands_is_refused(self, tmp_path):
        wide = Rubric(["text"], [Criterion("tone", "Is it polite?", scale=(0, 1000))])
        path = put(tmp_path / "a.tsv", "text\thuman_tone\nhi\t1,000\n")
        assert "'1,000'" in refused(path, wide)
        assert read(path) == [("hi", 1)]
        assert read(put(path, "text\thuman_tone\nhi\t12,5\nho\t0,500\n"), wide) == [
            ("hi", 12.5),
            ("ho", 0.5),
        ]

    @pytest.mark.parametrize(
        "text",
        [
            "4/5",
            "4-5",
            "4-good",
            "4 -good",
            "3.5 of 5",
            "4 (of 5)",
            "4 good",
            "good",
            "4 -",
            "4 - 5 stars",
            "4,5",
        ],
    )
    def test_what_could_be_two_numbers_or_none_is_refused(self, text, tmp_path, caplog):
        message = refused(write(tmp_path / "a.csv", [("hi", text)]))
        assert repr(text) in message
        assert "'human_tone'" in message
        assert ("decimal comma" in message) == (text == "4,5")
        assert not caplog.messages

    @pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.xlsx"])
    def test_a_decimal_comma_is_read_where_it_separates_no_fields(self, name, tmp_path, caplog):
        path = tmp_path / name
        if name in ("a.csv", "a.tsv"):
            text = "text;human_tone\nhi;4,5\n"
            put(path, text if name == "a.csv" else text.replace(";", "\t"))
        else:
            write(path, [("hi", "4,5")])
        assert read(path) == [("hi", 4.5)]
        [note] = caplog.messages
        assert "'4,5'" in note
        assert "4.5" in note

    def test_a_score_that_is_read_lies_on_the_scale(self, tmp_path):
        path = put(tmp_path / "a.csv", "text;human_tone\nhi;45,5\nho;7 - great\n")
        message = refused(path)
        assert "'45,5' in line 2, '7 - great' in line 3" in message


class TestSpreadsheets:
    def test_a_sheet_is_read_as_people_see_it(self, tmp_path):
        rows = [(4, 4.5), ("007", 3.0), (True, "#N/A"), (date(2024, 1, 2), None)]
        path = workbook(tmp_path / "a.xlsx", [(), HEADER, *rows])
        assert read(path) == [("4", 4.5), ("007", 3), ("TRUE", None), ("2024-01-02", None)]

    def test_only_the_first_sheet_is_read_and_that_is_said(self, tmp_path, caplog):
        path = workbook(tmp_path / "a.xlsx", [HEADER, ("hi", 4)], ["Notes"])
        assert read(path) == [("hi", 4)]
        [note] = caplog.messages
        assert "'Ratings'" in note

    @pytest.mark.parametrize("content", [b"", b"PK nonsense", b"text,human_tone\nhi,4\n"])
    def test_what_is_no_spreadsheet_is_refused(self, content, tmp_path):
        assert "a.xlsx" in refused(put(tmp_path / "a.xlsx", content))

    def test_an_empty_sheet_is_refused(self, tmp_path):
        assert "is empty" in refused(workbook(tmp_path / "a.xlsx", []))


BAD = """text,human_tone
a,4
,3
b,good
c,9
d
e,5
f,bad
"""


class TestProblems:
    def test_all_are_told_at_once(self, tmp_path):
        lines = refused(put(tmp_path / "a.csv", BAD)).splitlines()
        assert "4 problems" in lines[0]
        assert len(lines) == 5
        problems = ["line 3", "'good' in line 4, 'bad' in line 8", "'9' in line 5", "line 6"]
        for problem in problems:
            assert [line for line in lines if problem in line], problem

    @pytest.mark.parametrize(
        ["text", "places", "rule"],
        [
            (
                "a,4\nb\nc\nd\ne\nf\n",
                "line 3 has 1, line 4 has 1, line 5 has 1 and 2 more",
                "header",
            ),
            ("a,4\nb,3,x\nc,3,x,y\n", "line 3 has 3, line 4 has 4", "header"),
        ],
    )
    def test_rows_of_another_length_share_a_rule(self, text, places, rule, tmp_path):
        message = refused(put(tmp_path / "a.csv", f"text,human_tone\n{text}"))
        assert places in message
        assert message.count(rule) == 1

    def test_lines_that_are_no_objects_share_a_rule(self, tmp_path):
        message = refused(put(tmp_path / "a.jsonl", "[1]\n[2]\n"))
        assert "'[1]' in line 1, '[2]' in line 2" in message

    def test_lists_of_other_lengths_share_a_rule(self, tmp_path):
        row = json.dumps({"text": ["a", "b"], "human_tone": [1]})
        message = refused(put(tmp_path / "a.jsonl", f"{row}\n{row}\n"))
        assert message.count("one length") == 1

    def test_a_short_row_may_be_one_that_excel_cut(self, tmp_path):
        path = tmp_path / "a.csv"
        short = refused(put(path, "text,human_tone,note\na,4,x\nb,3\n"))
        long = refused(put(path, "text,human_tone,note\na,4,x\nb,3,x,y\n"))
        assert "Excel" in short
        assert "quotes" in short
        assert "Excel" not in long

    @pytest.mark.parametrize(
        ["name", "above", "between", "place"],
        [
            ("a.csv", "", "", "line 3"),
            ("a.csv", "sep=,\n\n", ' ,\n"of\ntwo lines",4\n', "line 8"),
            ("a.jsonl", "", "", "line 2"),
            ("a.jsonl", "\n", "\n\n", "line 5"),
        ],
    )
    def test_a_row_is_named_by_its_line(self, name, above, between, place, tmp_path):
        rows = {"a.csv": ["text,human_tone\na,4\n", "b,good\n"]}
        rows["a.jsonl"] = [json.dumps({"text": "a", "human_tone": n}) + "\n" for n in (4, "good")]
        first, second = rows[name]
        path = put(tmp_path / name, above + first + between + second)
        assert f"'good' in {place}." in refused(path)

    def test_a_row_of_a_sheet_is_named_by_its_number_there(self, tmp_path):
        rows = [(), HEADER, ("a", 4), (), ("b", "good"), ("c", 4, "x"), ("", 4)]
        message = refused(workbook(tmp_path / "a.xlsx", rows))
        assert "'good' in row 5" in message
        assert "row 6 has 3" in message or "row 6 has 'x' in column 3" in message
        assert "is empty in row 7" in message

    def test_a_missing_column_hides_no_other_problem(self, tmp_path):
        rubric = Rubric(["txt"], SCORED.criteria, group="doc")
        lines = refused(put(tmp_path / "a.csv", BAD), rubric).splitlines()
        assert [line for line in lines if "'txt', 'doc'" in line]
        assert [line for line in lines if "'good' in line 4" in line]

    def test_bad_rows_are_left_out_and_counted(self, tmp_path, caplog):
        path = put(tmp_path / "a.csv", BAD)
        assert read(path, skip_bad=True) == [("a", 4), ("e", 5)]
        [note] = caplog.messages
        assert "5 of 7 rows" in note
        assert "'good' in line 4" in note

    def test_lines_that_are_no_json_are_left_out(self, tmp_path, caplog):
        one, other = (json.dumps({"text": text, "human_tone": 4}) for text in "ab")
        path = put(tmp_path / "a.jsonl", f'{one}\n{{"text\n[1]\n{other}\n')
        lines = refused(path)
        assert "line 2 is not valid JSON" in lines
        assert "'[1]' in line 3" in lines
        assert read(path, skip_bad=True) == [("a", 4), ("b", 4)]
        assert "2 of 4 rows" in caplog.text

    def test_a_list_of_another_length_is_left_out(self, tmp_path):
        rows = [{"text": ["a", "b"], "human_tone": [1]}, {"text": ["c", "d"], "human_tone": [1, 9]}]
        path = put(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
        assert "9 in line 2" in refused(path)
        assert read(path, skip_bad=True) == [("c", 1)]

    def test_a_quote_that_nothing_closes_is_never_left_out(self, tmp_path):
        path = put(tmp_path / "a.csv", 'text,human_tone\na,4\n"b,3\nc,2\n')
        assert "line 4 is not valid CSV" in refused(path, skip_bad=True)

    def test_nothing_left_is_an_error(self, tmp_path):
        path = put(tmp_path / "a.csv", "text,human_tone\na,good\n")
        assert "'good'" in refused(path, skip_bad=True)

    def test_a_clean_table_is_read_without_a_word(self, tmp_path, caplog):
        path = put(tmp_path / "a.csv", "text,human_tone\na,4\n")
        assert read(path, skip_bad=True) == [("a", 4)]
        assert not caplog.messages

    @given(bad=st.sets(st.integers(0, 9), max_size=9), limit=st.integers(1, 12))
    @settings(
        deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def test_what_is_left_is_the_table_without_the_bad_rows(self, bad, limit, tmp_path):
        rows = [f"t{n},x" if n in bad else f"t{n},4" for n in range(10)]
        path = put(tmp_path / "a.csv", "\n".join(["text,human_tone", *rows]))
        good = [f"t{n}" for n in range(min(limit, 10)) if n not in bad]
        assume(good)
        examples = load_examples(path, SCORED, limit, options=ReadOptions(skip_bad=True))
        assert [example.text for example in examples] == good


@pytest.mark.parametrize(
    ["levels", "scale", "cell", "score"],
    [
        (["fail", "pass"], None, "pass", 1.0),
        (["fail", "pass"], None, " Fail ", 0.0),
        (["fail", "pass"], None, "1", 1.0),
        (["no", "n/a"], None, "n/a", 1.0),
        (["bad", "so so", "good"], None, "So  so", 2.0),
        (["bad", "good"], (3, 4), "4 - good", 4.0),
        (["false", "true"], (4, 5), "true", 5.0),
    ],
)
def test_a_cell_may_hold_the_name_of_its_level(levels, scale, cell, score):
    criterion = Criterion("tone", "Is it kind?", scale, levels)
    read = read_scores(Table("a.csv", ("human_tone",), [{"human_tone": cell}]), criterion)
    assert (read.values, read.faults) == ([score], [])


@pytest.mark.parametrize("cell", ["passed", "0 - pass"])
def test_a_name_that_no_level_has_or_that_contradicts_its_number_is_a_fault(cell):
    criterion = Criterion("tone", "Is it kind?", levels=["fail", "pass"])
    read = read_scores(Table("a.csv", ("human_tone",), [{"human_tone": cell}]), criterion)
    assert read.values == [None]
    assert cell in read.faults[0].instance
