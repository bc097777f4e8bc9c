"""A row with lists is many texts."""

import json

import pytest

from benchmarks.harness.setting import load_rated
from mogradjudge import Criterion, Rubric, SetupError, load_examples

RUBRIC = Rubric(
    inputs=("text", "summaries"),
    criteria=(Criterion("fluency", "Is it fluent?", human="fluency"),),
    group="id",
)
ROWS = [
    {"id": "a", "text": "A", "summaries": ["a1", "a2", "a3"], "fluency": [1, 2.5, None]},
    {"id": "b", "text": "B", "summaries": ["b1", "b2"], "fluency": [4, 5]},
]


def write(path, rows, kind):
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_each_text_is_an_example_of_its_rows_group(tmp_path, kind):
    examples = load_examples(write(tmp_path / f"rated.{kind}", ROWS, kind), RUBRIC)
    assert [(e.group, e.text, e.summaries, e.fluency) for e in examples] == [
        ("a", "A", "a1", 1.0),
        ("a", "A", "a2", 2.5),
        ("a", "A", "a3", None),
        ("b", "B", "b1", 4.0),
        ("b", "B", "b2", 5.0),
    ]


def test_lists_of_a_row_have_one_length(tmp_path):
    rows = [{**ROWS[0], "fluency": [1, 2]}]
    with pytest.raises(SetupError, match="summaries has 3, fluency has 2") as error:
        load_examples(write(tmp_path / "rated.jsonl", rows, "jsonl"), RUBRIC)
    assert "line 1" in str(error.value)


def test_a_row_without_texts_is_none(tmp_path):
    rows = [*ROWS, {"id": "c", "text": "C", "summaries": [], "fluency": []}]
    examples = load_examples(write(tmp_path / "rated.jsonl", rows, "jsonl"), RUBRIC)
    assert len(examples) == 5


def test_systems_come_along_in_lists(tmp_path):
    rows = [{**row, "system_id": [f"M{n}" for n, _ in enumerate(row["summaries"])]} for row in ROWS]
    examples = load_rated(write(tmp_path / "rated.jsonl", rows, "jsonl"), RUBRIC)
    assert [example.system_id for example in examples] == ["M0", "M1", "M2", "M0", "M1"]
