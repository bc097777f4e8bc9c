"""Several ratings of a text: one example with their mean, and each of them beside it."""

import csv
import json
import pickle
from statistics import fmean

import dspy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mogradjudge import Criterion, Rubric, SetupError, load_examples
from mogradjudge.criteria import fields_from_toml
from mogradjudge.data import Rating, ReadOptions

CRITERIA = [Criterion("clarity", "Is easy to read."), Criterion("tone", "Is friendly.")]
RUBRIC = Rubric(("text",), CRITERIA)
NAMED = Rubric(("text",), CRITERIA, rater="annotator")
COLUMNS = ("text", "annotator", "human_clarity", "human_tone")
ROWS = [
    ("a", "ann", 4, 1),
    ("b", "bob", 2, ""),
    ("a", "bob", 5, ""),
    ("b", "ann", 3, 5),
    ("a", "ann", 2, 3),
]


def table(path, rows=ROWS, columns=COLUMNS):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def json_lines(path, *rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def scores(examples):
    return [(example.text, example.human_clarity, example.human_tone) for example in examples]


def test_equal_texts_are_one_example_with_the_mean_score(tmp_path, caplog):
    examples = load_examples(table(tmp_path / "a.csv"), RUBRIC)
    assert scores(examples) == [("a", fmean((4, 5, 2)), 2.0), ("b", 2.5, 5.0)]
    assert [rating.score for rating in examples[0].single_ratings] == [4, 1, 5, 2, 3]
    (line,) = caplog.messages
    assert "a.csv" in line
    assert "2 texts have 1 to 3 ratings" in line


def test_a_named_rater_counts_once_for_a_text(tmp_path):
    examples = load_examples(table(tmp_path / "a.csv"), NAMED)
    assert scores(examples) == [("a", 4.0, 2.0), ("b", 2.5, 5.0)]
    assert examples[0].single_ratings == (
        Rating("ann", "clarity", 3.0),
        Rating("ann", "tone", 2.0),
        Rating("bob", "clarity", 5.0),
    )
    assert [rating.rater for rating in examples[1].single_ratings] == ["ann", "ann", "bob"]


def test_the_column_of_raters_is_needed_and_filled(tmp_path):
    with pytest.raises(SetupError, match="'annotator'"):
        load_examples(table(tmp_path / "a.csv", [row[::2] for row in ROWS], COLUMNS[::2]), NAMED)
    with pytest.raises(SetupError, match="'annotator' is empty in line 3"):
        load_examples(table(tmp_path / "a.csv", [ROWS[0], ("b", "", 1, 1)]), NAMED)


def test_a_table_of_mean_scores_needs_no_column_of_raters(tmp_path):
    rows, columns = [("a", 4.5, 1), ("b", 2, "")], ("text", "human_clarity", "human_tone")
    path = table(tmp_path / "a.csv", rows, columns)
    assert scores(load_examples(path, NAMED)) == [("a", 4.5, 1.0), ("b", 2.0, None)]
    for repeated in (("a", 3, 1), ("c", "[4, 5]", 2)):
        with pytest.raises(SetupError, match="'annotator'"):
            load_examples(table(tmp_path / "a.csv", [*rows, repeated], columns), NAMED)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_cell_may_hold_a_list_of_ratings(kind, tmp_path):
    path, row = (
        tmp_path / f"a.{kind}",
        {"text": "a", "human_clarity": [4, None, 5], "human_tone": 2},
    )
    if kind == "csv":
        table(path, [("a", "[4, null, 5]", 2)], tuple(row))
    elif kind == "jsonl":
        json_lines(path, row)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist([row]), path)
    (example,) = load_examples(path, RUBRIC)
    assert (example.human_clarity, example.human_tone) == (4.5, 2.0)
    assert example.single_ratings == (
        Rating("1", "clarity", 4.0),
        Rating("1", "tone", 2.0),
        Rating("3", "clarity", 5.0),
    )


def test_a_list_of_raters_names_those_of_a_list_of_ratings(tmp_path):
    row = {"text": "a", "annotator": ["ann", "bob"], "human_clarity": [4, 5], "human_tone": None}
    (example,) = load_examples(json_lines(tmp_path / "a.jsonl", row), NAMED)
    assert [rating.rater for rating in example.single_ratings] == ["ann", "bob"]


def test_a_list_of_raters_may_be_json_in_a_text(tmp_path):
    path = table(tmp_path / "a.csv", [("a", '["ann", "bob"]', "[4, 1]", "")])
    (example,) = load_examples(path, NAMED)
    assert example.single_ratings == (Rating("ann", "clarity", 4.0), Rating("bob", "clarity", 1.0))


@pytest.mark.parametrize(
    ["raters", "score", "sizes"], [(["ann"], [4, 5], (1, 2)), (["ann", "bob"], 4, (2, 1))]
)
def test_a_list_of_raters_is_as_long_as_that_of_the_scores(raters, score, sizes, tmp_path):
    good = {"text": "b", "annotator": "ann", "human_clarity": 4, "human_tone": None}
    row = {"text": "a", "annotator": raters, "human_clarity": score, "human_tone": None}
    with pytest.raises(SetupError, match="'annotator'.* line 2 .*{} for {}".format(*sizes)):
        load_examples(json_lines(tmp_path / "a.jsonl", good, row), NAMED)


def test_texts_that_one_rater_rated_twice_are_counted(tmp_path, caplog):
    load_examples(table(tmp_path / "a.csv", [("a", "ann", 4, 1), ("a", "ann", 5, "")]), NAMED)
    (line,) = caplog.messages
    assert "1 text was rated more than once" in line
    load_examples(table(tmp_path / "a.csv", [("a", "ann", 4, ""), ("a", "ann", "", 5)]), NAMED)
    assert len(caplog.messages) == 1  # each criterion has a row of its own


@pytest.mark.parametrize(
    ["rows", "part"],
    [
        ("aab", "1 of 2 texts has 2 ratings;"),
        ("aa", "1 text has 2 ratings;"),
        ("aabb", "2 texts have 2 ratings each;"),
    ],
)
def test_the_texts_of_several_ratings_are_counted(rows, part, tmp_path, caplog):
    load_examples(table(tmp_path / "a.csv", [(text, "", 3, 3) for text in rows]), RUBRIC)
    assert part in caplog.text


RATERS = Rubric(["text"], [Criterion("tone", "Is it kind?", raters=["Ann T.", "Ben T."])])
OF_RATERS = ("text", "Ann T.", "Ben T.")


@pytest.mark.parametrize("single", [False, True])
def test_a_row_that_stands_twice_adds_no_rater(single, tmp_path, caplog):
    both = [Criterion("wit", "Is it witty?")] if single else []
    rubric = Rubric(["text"], [*RATERS.criteria, *both])
    rows = [("a", 4, 2, 3), ("b", 1, 5, 3)]
    twice = [*rows, ("a", 5, 2, 3)]
    columns = (*OF_RATERS, "human_wit")
    once = load_examples(table(tmp_path / "a.csv", rows, columns), rubric)
    caplog.clear()
    examples = load_examples(table(tmp_path / "b.csv", twice, columns), rubric)
    assert [it for it in examples[0].single_ratings if it.criterion == "tone"] == [
        Rating("1", "tone", 4.5),
        Rating("2", "tone", 2.0),
    ]
    assert examples[1] == once[1]
    assert "1 text was rated more than once" in caplog.text


def test_rows_are_counted_and_named_as_in_the_file(tmp_path, caplog):
    rows = [("a", 4, 2), ("", 1, 5), ("c", 3, 3), ("d", 2, 2)]
    path = table(tmp_path / "a.csv", rows, OF_RATERS)
    with pytest.raises(SetupError, match=r"empty in line 3\."):
        load_examples(path, RATERS)
    examples = load_examples(path, RATERS, options=ReadOptions(skip_bad=True))
    assert "1 of 4 rows" in caplog.messages[0]
    whole = load_examples(table(tmp_path / "b.csv", [*rows[:1], *rows[2:]], OF_RATERS), RATERS)
    assert [it.group for it in examples] == ["1", "3", "4"]
    assert [it.group for it in whole] == ["1", "2", "3"]
    bare = load_examples(tmp_path / "b.csv", RATERS, require_human=False)
    assert all({*it.keys()} == {"text", "human_tone", "group"} for it in bare)


def test_a_gap_of_a_rater_is_counted_on_its_criterion(tmp_path, caplog):
    wit = Criterion("wit", "Is it witty?", raters=["Ann W.", "Ben W."])
    rubric = Rubric(["text"], [*RATERS.criteria, wit])
    rows = [("a", 3, 4, 3, 3), ("b", 3, "", 2, 2)]
    load_examples(table(tmp_path / "a.csv", rows, (*OF_RATERS, *wit.raters)), rubric)
    assert "2 texts have 1 to 2 ratings" in caplog.text


@pytest.mark.parametrize("cell", ["nine", "9"])
def test_what_is_said_of_a_cell_names_its_raters_column(cell, tmp_path, caplog):
    load_examples(table(tmp_path / "a.csv", [("a", 3, "4 - good")], OF_RATERS), RATERS)
    assert "'Ben T.'" in caplog.messages[0]
    with pytest.raises(SetupError, match=r"'Ann T\.'") as caught:
        load_examples(table(tmp_path / "a.csv", [("a", cell, 4)], OF_RATERS), RATERS)
    assert "human_tone" not in str(caught.value) + caplog.text


def test_a_list_of_texts_with_lists_of_ratings_is_a_text_per_item(tmp_path):
    row = {"text": ["a", "b"], "human_clarity": [[4, 5], [1, 2]], "human_tone": [3, 4]}
    examples = load_examples(json_lines(tmp_path / "a.jsonl", row), RUBRIC)
    assert scores(examples) == [("a", 4.5, 3.0), ("b", 1.5, 4.0)]


@pytest.mark.parametrize(
    ["cell", "value"], [([4, "good"], "'good'"), ([4, 9], "9"), ("[4", "'[4'")]
)
def test_each_score_of_a_list_is_checked(cell, value, tmp_path):
    row = {"text": "a", "human_clarity": cell, "human_tone": None}
    with pytest.raises(SetupError, match="'human_clarity'") as caught:
        load_examples(json_lines(tmp_path / "a.jsonl", row), RUBRIC)
    assert value in str(caught.value)


def test_a_table_with_one_rating_a_text_is_read_as_it_is(tmp_path, caplog):
    (example,) = load_examples(table(tmp_path / "a.csv", ROWS[:1]), NAMED)
    assert "single_ratings" not in example
    assert caplog.messages == []


def test_the_same_words_in_two_groups_are_two_texts(tmp_path):
    rubric = Rubric(("text",), CRITERIA, group="annotator")
    examples = load_examples(table(tmp_path / "a.csv"), rubric)
    texts = {(example.text, example.group) for example in examples}
    assert len(texts) == len(examples)
    assert {group for text, group in texts if text == "a"} == {"ann", "bob"}


def test_rows_that_are_not_rated_yet_stay_rows(tmp_path):
    assert len(load_examples(table(tmp_path / "a.csv"), RUBRIC, require_human=False)) == len(ROWS)


def test_ratings_survive_what_examples_go_through(tmp_path):
    example = load_examples(table(tmp_path / "a.csv"), NAMED)[0]
    for copy in (
        pickle.loads(pickle.dumps(example)),
        example.with_inputs("text"),
        dspy.Example(example),
    ):
        assert copy.single_ratings == example.single_ratings
    assert isinstance(hash(example), int)
    assert json.dumps(example.toDict())


def test_the_field_of_the_ratings_is_reserved():
    with pytest.raises(SetupError, match="single_ratings"):
        Criterion("clarity", "Is easy to read.", human="single_ratings")
    with pytest.raises(SetupError, match="single_ratings"):
        Rubric(["single_ratings"], CRITERIA)


RATINGS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(("ann", "bob", "cat")), st.integers(1, 5)),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[:2],
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(rows=RATINGS, shuffled=st.randoms(), rubric=st.sampled_from([RUBRIC, NAMED]))
def test_the_order_of_rows_does_not_change_a_mean(rows, shuffled, rubric, tmp_path):
    expected = {
        text: fmean(score for other, _, score in rows if other == text) for text, _, _ in rows
    }
    for _ in range(2):
        path = table(tmp_path / "a.csv", [(*row, "") for row in rows])
        examples = load_examples(path, rubric)
        assert {example.text: example.human_clarity for example in examples} == expected
        shuffled.shuffle(rows)


def test_what_people_said_of_a_score_stands_in_the_example_and_is_joined_over_raters(tmp_path):
    clarity = Criterion("clarity", "Is easy to read.", comment="Why clear")
    rubric = Rubric(("text",), [clarity, CRITERIA[1]])
    (tmp_path / "rubric.toml").write_text(rubric.to_toml())
    assert Rubric.from_toml(tmp_path / "rubric.toml") == rubric
    said = ["Short words.", "", "No verb", "Long.", ""]
    rows = [(*row, text) for row, text in zip(ROWS, said, strict=True)]
    examples = load_examples(table(tmp_path / "a.csv", rows, (*COLUMNS, "Why clear")), rubric)
    assert [example["Why clear"] for example in examples] == ["Short words.\nNo verb", "Long."]
    assert "Why clear" not in examples[0].inputs()
    with pytest.raises(SetupError, match="Why clear"):
        load_examples(table(tmp_path / "b.csv"), rubric)
    assert load_examples(table(tmp_path / "b.csv"), rubric, require_human=False)


@pytest.mark.parametrize("column", ["text", "human_clarity", "group", " "])
def test_a_comment_has_a_column_of_its_own(column):
    with pytest.raises(SetupError, match="comment"):
        Rubric(("text",), [Criterion("clarity", "Is easy to read.", comment=column)])


def test_a_criterion_may_have_a_column_for_each_rater(tmp_path):
    criteria = [Criterion("tone", "Is it kind?", raters=["tone_1", "tone_2", "tone_3"])]
    rubric = Rubric(["text"], [*criteria, Criterion("clarity", "Is it clear?")])
    columns = ("text", "tone_1", "tone_2", "tone_3", "human_clarity")
    rows = [("a", "4 - good", "", 2, 5), ("b", 1, 1, "n/a", "")]
    examples = load_examples(table(tmp_path / "a.csv", rows, columns), rubric)
    assert scores(examples) == [("a", 5.0, 3.0), ("b", None, 1.0)]
    assert examples[0].single_ratings == (
        Rating("1", "tone", 4.0),
        Rating("1", "clarity", 5.0),
        Rating("3", "tone", 2.0),
    )
    with pytest.raises(SetupError, match="'tone_3'"):
        load_examples(
            table(tmp_path / "a.csv", [("a", 1, 1, 5)], columns[:3] + columns[4:]), rubric
        )


def test_columns_of_raters_are_written_read_and_checked():
    rubric = Rubric(["text"], [Criterion("tone", "Is it kind?", raters=["t1", "t2"])])
    assert Rubric(**fields_from_toml(rubric.to_toml())) == rubric
    for wrong in ({"inputs": ["t2"]}, {"group": "t2"}, {"rater": "who"}):
        with pytest.raises(SetupError, match=r"t2|who"):
            Rubric(**{"inputs": ["text"], "criteria": rubric.criteria, **wrong})
    with pytest.raises(SetupError, match="t1"):
        Criterion("tone", "Is it kind?", raters=["t1", "t1"])


NA_RUBRIC = Rubric(["text"], [Criterion("tone", "Is it kind?", (1, 5), na=True)], rater="who")


@pytest.mark.parametrize("cell", ["n/a", "N/A", "na", " Not  applicable ", "-", "n.a."])
def test_people_say_that_a_criterion_does_not_apply(cell, tmp_path):
    path = table(tmp_path / "a.csv", [("a", cell), ("b", ""), ("c", "4")], ("text", "human_tone"))
    examples = load_examples(path, NA_RUBRIC)
    assert [it.human_tone for it in examples] == ["n/a", None, 4.0]
    plain = Rubric(["text"], [Criterion("tone", "Is it kind?", (1, 5))])
    if cell.strip() in ("n/a", "-"):
        assert [it.human_tone for it in load_examples(path, plain)] == [None, None, 4.0]


@pytest.mark.parametrize(
    ["cells", "score"],
    [(("n/a", "n/a", "4"), "n/a"), (("n/a", "2", "4"), 3.0), (("n/a", "4"), 4.0),
     (("n/a", "", ""), "n/a"), (("", ""), None)],
)  # fmt: skip
def test_of_several_raters_the_majority_says_whether_it_applies(cells, score, tmp_path):
    rows = [("a", cell, f"r{number}") for number, cell in enumerate(cells)]
    path = table(tmp_path / "a.csv", rows, ("text", "human_tone", "who"))
    (example,) = load_examples(path, NA_RUBRIC)
    assert example.human_tone == score
    lists = table(
        tmp_path / "b.csv", [("a", json.dumps([*cells]), "[]")], ("text", "human_tone", "x")
    )
    (example,) = load_examples(lists, Rubric(["text"], NA_RUBRIC.criteria))
    assert example.human_tone == score
