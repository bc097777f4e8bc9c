"""A table through a judge: what is kept, what is paid, and what is taken up after a cut."""

import csv
import json
import re
import resource
import shutil
import sys
from collections import deque
from pathlib import Path

import dspy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dspy.lm15 import AuthError, InvalidRequestError

from benchmarks.worlds.world import ToyEngine, toy_rubric
from engines import FunctionEngine, fake_lm, in_chat, user
from mogradjudge import (
    Criterion,
    MultiCriteriaJudge,
    ReadOptions,
    Rubric,
    Unscored,
    load_examples,
)
from mogradjudge.concurrency import AHEAD
from mogradjudge.errors import BudgetExhausted, ReplyError, SetupError
from mogradjudge.lm.budget import Budget
from mogradjudge.objectives import rubric_objectives
from mogradjudge.programs.evaluation import judge_examples
from mogradjudge.scoring.checkpoint import open_checkpoint
from mogradjudge.scoring.evaluate import evaluation_report
from mogradjudge.scoring.options import ScoringOptions
from mogradjudge.scoring.table import ScoredTable, score_table
from tests import processes

RUBRIC = Rubric(
    inputs=("output",), criteria=(Criterion("fluency", "?"), Criterion("coherence", "?"))
)
ADDED = [name + end for name in RUBRIC.names for end in ("", "_source", "_unscored")]


def rate(request) -> str:
    """Take the score from the text: "text 7" is 3 on both criteria."""
    number = int(re.search(r"text (\d+)", user(request)).group(1))
    return in_chat({"fluency": number % 5 + 1, "coherence": number % 5 + 1})


class Judged:
    """A judge with a model behind it that counts what is paid."""

    def __init__(self, reply=rate, **judge: object) -> None:
        self.engine = FunctionEngine(reply)
        self.judge = MultiCriteriaJudge(RUBRIC, **judge)
        self.lm = fake_lm(self.engine, cache=True)

    @property
    def paid(self) -> int:
        return len(self.engine.requests)

    def score(
        self, source: Path, out: Path, threads: int = 4, watch=None, **options: object
    ) -> ScoredTable:
        with dspy.context(lm=self.lm):
            settings = ScoringOptions(threads, **{"part_rows": 5} | options)
            return score_table(self.judge, source, out, settings, watch=watch)


def lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def table(tmp_path) -> Path:
    return lines(tmp_path / "t.jsonl", [{"id": n, "output": f"text {n}"} for n in range(23)])


def read(path: Path) -> list[dict[str, object]]:
    return pq.read_table(path).to_pylist()


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_rows_keep_their_order_and_columns(threads, table, tmp_path):
    told = []
    scored = Judged().score(
        table, tmp_path / "s.parquet", threads, watch=lambda *now: told.append(now)
    )
    rows = read(tmp_path / "s.parquet")
    assert [row["id"] for row in rows] == [str(n) for n in range(23)]
    assert [row["fluency"] for row in rows] == [float(n % 5 + 1) for n in range(23)]
    assert {row["fluency_source"] for row in rows} == {"integer"}
    assert {row["coherence_unscored"] for row in rows} == {None}
    assert list(rows[0]) == ["id", "output", *ADDED]
    assert scored.texts == 23
    assert scored.unscored == scored.fallbacks == {"fluency": 0, "coherence": 0}
    assert [row.calls for row in scored.ledger] == [23]
    assert told == [(n, 23) for n in range(24)]
    assert not (tmp_path / "s.parquet.parts").exists()


def test_parquet_columns_keep_their_types(tmp_path):
    schema = pa.schema(
        [
            ("id", pa.int32()),
            ("when", pa.timestamp("ms")),
            ("tags", pa.list_(pa.string())),
            ("output", pa.large_string()),
            ("human_fluency", pa.float32()),
            ("nothing", pa.null()),
        ]
    )
    rows = [
        {"id": n, "when": n, "tags": ["a"] * n, "output": f"text {n}", "human_fluency": None}
        for n in range(12)
    ]
    source = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema), source, row_group_size=3)
    Judged().score(source, tmp_path / "s.parquet")
    made = pq.read_table(tmp_path / "s.parquet")
    assert made.select(schema.names).equals(pq.read_table(source))
    assert made.schema.names == [*schema.names, *ADDED]
    assert made.schema.field("fluency").type == pa.float64()
    for name in ("s.csv", "s.jsonl"):
        Judged().score(source, tmp_path / name)
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert rows[2]["tags"] == ["a", "a"] and rows[2]["fluency"] == 3.0
    with (tmp_path / "s.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["tags"] == "[]"


def test_a_date_that_python_has_no_year_for_is_written_as_text(tmp_path):
    far = pa.array([10_000_000, 0], pa.int32()).cast(pa.date32())
    table = pa.table({"day": far, "output": ["text 1", "text 2"]})
    pq.write_table(table, tmp_path / "t.parquet")
    for name in ("s.jsonl", "s.csv", "s.parquet"):
        Judged().score(tmp_path / "t.parquet", tmp_path / name)
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert rows[1]["day"] == "1970-01-01"
    assert rows[0]["day"].startswith(("+29349", "29349"))
    assert [row["fluency"] for row in rows] == [2.0, 3.0]


def test_a_table_is_not_written_over_what_it_is_read_from(tmp_path):
    path = lines(tmp_path / "t.jsonl", [{"output": "text 1"}])
    with pytest.raises(SetupError, match="`--out` must not be the table"):
        Judged().score(path, path, overwrite=True)


def test_a_table_that_the_provider_refuses_as_a_whole_is_an_error_and_one_text_is_not(tmp_path):
    class Refusing(ToyEngine):
        def complete(self, request):
            if "text 9" in request.messages[-1].text:
                raise InvalidRequestError("content_filter")
            return super().complete(request)

    judge = MultiCriteriaJudge(toy_rubric("fluency"))
    with dspy.context(lm=dspy.LM("toy/x", engine=Refusing(), temperature=0.0)):
        good = lines(tmp_path / "t.jsonl", [{"output": f"text {n}"} for n in (1, 9, 2)])
        score_table(judge, good, tmp_path / "s.parquet")
        scored = read(tmp_path / "s.parquet")
        assert [row["fluency"] is None for row in scored] == [False, True, False]
        assert "content_filter" in scored[1]["fluency_unscored"]
        bad = lines(tmp_path / "u.jsonl", [{"output": f"text 9{n}"} for n in range(3)])
        with pytest.raises(dspy.LMInvalidRequestError):
            score_table(judge, bad, tmp_path / "u.parquet")


def test_texts_stay_as_they_are_in_the_file(tmp_path):
    texts = ["text 1", " text 2\n", 'text 3, "so"', "text 4 é 油", "007 text 5", "text 6\r\nNA"]
    ids = ["007", "NA", "", "1e5", "2024-01-01", "true"]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "output"), *zip(ids, texts, strict=True)])
    for name in ("s.parquet", "s.csv"):
        Judged().score(tmp_path / "t.csv", tmp_path / name)
    rows = read(tmp_path / "s.parquet")
    assert [(row["id"], row["output"]) for row in rows] == list(zip(ids, texts, strict=True))
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        again = list(csv.DictReader(file))
    assert [(row["id"], row["output"]) for row in again] == list(zip(ids, texts, strict=True))
    assert [row["fluency"] for row in again] == ["2", "3", "4", "5", "1", "2"]


def test_json_values_that_are_no_texts_are_kept_as_json(tmp_path):
    values = [1, 0.5, True, None, [1, "é"], {"a": None}]
    rows = [{"id": value, "output": f"text {n}"} for n, value in enumerate(values)]
    rows.append({"output": "text 9", "late": "x"})
    Judged().score(lines(tmp_path / "t.jsonl", rows), tmp_path / "s.parquet")
    made = read(tmp_path / "s.parquet")
    assert [row["id"] for row in made] == [
        "1",
        "0.5",
        "true",
        None,
        '[1, "é"]',
        '{"a": null}',
        None,
    ]
    assert [row["late"] for row in made] == [None] * 6 + ["x"]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ConnectionError])
def test_what_was_cut_short_is_taken_up_and_only_the_rest_is_paid(threads, error, table, tmp_path):
    whole, out = tmp_path / "whole.parquet", tmp_path / "s.parquet"
    Judged().score(table, whole)

    def fail(request) -> str:
        if "text 13" in user(request):
            raise error
        return rate(request)

    cut = Judged(fail)
    with pytest.raises(BaseException) as raised:
        cut.score(table, out, threads)
    assert not isinstance(raised.value, AssertionError)
    assert not out.exists()
    assert len(list((tmp_path / "s.parquet.parts").glob("part-*"))) == 2

    rest = Judged()
    scored = rest.score(table, out, threads)
    assert out.read_bytes() == whole.read_bytes()
    answered = {user(request) for request in cut.engine.requests if "text 13" not in user(request)}
    assert rest.paid == 23 - len(answered)
    assert scored.texts == 23


def test_a_part_that_was_being_written_is_written_anew(table, tmp_path):
    whole, out = tmp_path / "whole.parquet", tmp_path / "s.parquet"
    Judged().score(table, whole)
    parts = tmp_path / "s.parquet.parts"
    with pytest.raises(RuntimeError):
        Judged().score(table, out, watch=stop_at(12))
    (parts / "part-00002.12-34.partial.parquet").write_bytes(b"PAR1 half")
    Judged().score(table, out)
    assert out.read_bytes() == whole.read_bytes()


def stop_at(row: int):
    def watch(done: int, total: int) -> None:
        if done == row:
            raise RuntimeError

    return watch


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_equal_texts_are_paid_once(threads, tmp_path):
    rows = [{"id": n, "output": f"text {n % 4}"} for n in range(60)]
    judged = Judged()
    judged.score(lines(tmp_path / "t.jsonl", rows), tmp_path / "s.parquet", threads)
    assert judged.paid == 4
    assert [row["fluency"] for row in read(tmp_path / "s.parquet")] == [
        n % 4 + 1 for n in range(60)
    ]


@pytest.mark.slow
def test_the_reader_is_never_far_ahead_of_the_writer(tmp_path, monkeypatch):
    import mogradjudge.scoring.shards as module

    read_rows, furthest = 0, 0
    original = module.inputs_of

    def counted(*args: object):
        nonlocal read_rows
        found = original(*args)
        read_rows += len(found)
        return found

    def watch(done: int, total: int) -> None:
        nonlocal furthest
        furthest = max(furthest, read_rows - done)

    monkeypatch.setattr(module, "inputs_of", counted)
    rows = [{"output": f"text {n}"} for n in range(300)]
    Judged().score(lines(tmp_path / "t.jsonl", rows), tmp_path / "s.csv", 2, watch=watch)
    assert read_rows == 300
    assert furthest <= AHEAD * 2 + 5


def test_a_reply_that_cannot_be_read_is_counted_and_told(tmp_path):
    def reply(request) -> str:
        return "no idea" if "text 1" in user(request) else rate(request)

    rows = [{"output": f"text {n}"} for n in range(4)]
    scored = Judged(reply).score(lines(tmp_path / "t.jsonl", rows), tmp_path / "s.parquet")
    assert scored.unscored == {"fluency": 1, "coherence": 1}
    row = read(tmp_path / "s.parquet")[1]
    assert (row["fluency"], row["fluency_source"]) == (None, None)
    assert "no readable fluency" in row["fluency_unscored"]


def test_a_fallback_is_counted(table, tmp_path):
    judged = Judged(score_rule="expected", fallback="integer")
    scored = judged.score(table, tmp_path / "s.parquet")
    assert scored.fallbacks == {"fluency": 23, "coherence": 23}
    assert read(tmp_path / "s.parquet")[0]["fluency_source"] == "fallback"


@pytest.mark.parametrize("name", ADDED)
def test_a_column_in_the_way_gives_all_added_ones_a_prefix(name, tmp_path, caplog):
    out = tmp_path / "s.parquet"
    source = lines(tmp_path / "t.jsonl", [{"output": "text 1", name: "mine"}])
    scored = Judged(fallback="integer", score_rule="expected").score(source, out)
    [row] = read(out)
    assert list(row) == ["output", name, *(f"judge_{added}" for added in ADDED)]
    assert row[name] == "mine"
    assert row["judge_fluency"] == 2.0
    assert scored.fallbacks == {"fluency": 1, "coherence": 1}
    assert f"'{name}'" in caplog.text


@pytest.mark.parametrize(["prefix", "column"], [("", "fluency"), ("x_", "x_coherence_source")])
def test_a_prefix_that_leaves_a_column_in_the_way_is_refused_before_a_call(
    prefix, column, tmp_path
):
    judged, out = Judged(), tmp_path / "s.parquet"
    source = lines(tmp_path / "t.jsonl", [{"output": "text 1", column: "mine"}])
    with pytest.raises(SetupError, match=f"column '{column}'"):
        judged.score(source, out, prefix=prefix)
    assert not judged.paid
    assert not (tmp_path / "s.parquet.parts").exists()
    assert judged.score(source, out, prefix="y_").texts == 1


def test_a_default_prefix_that_is_in_use_too_is_refused(tmp_path):
    row = {"output": "text 1", "fluency": 1, "judge_fluency": 2}
    with pytest.raises(SetupError, match="'judge_fluency'"):
        Judged().score(lines(tmp_path / "t.jsonl", [row]), tmp_path / "s.csv")


@pytest.mark.parametrize(
    "change", [{"prefix": "x_"}, {"reading": ReadOptions(separator=",")}], ids=str
)
def test_parts_with_other_columns_or_rows_are_not_taken_up(change, table, tmp_path):
    out = tmp_path / "s.parquet"
    with pytest.raises(RuntimeError):
        Judged().score(table, out, 1, watch=stop_at(7))
    with pytest.raises(SetupError, match="other settings"):
        Judged().score(table, out, **change)
    assert Judged().score(table, out).texts == 23


def test_rows_that_cannot_be_judged_are_left_out_and_the_others_keep_their_order(tmp_path, caplog):
    judged, out, source = Judged(), tmp_path / "s.parquet", tmp_path / "t.csv"
    bad = {0: ",0", 6: "  ,6", 7: "text 7", 22: ",22"}
    rows = [bad.get(number, f"text {number},{number}") for number in range(23)]
    source.write_text("\n".join(["output,n", *rows]))
    with pytest.raises(SetupError, match="2 problems"):
        judged.score(source, out)
    assert not judged.paid
    good = [number for number in range(23) if number not in bad]
    leaving = {"reading": ReadOptions(skip_bad=True)}
    with pytest.raises(RuntimeError):
        judged.score(source, out, 1, watch=stop_at(7), **leaving)
    scored = judged.score(source, out, **leaving)
    assert scored.texts == 19
    assert [row["n"] for row in read(out)] == list(map(str, good))
    assert [row["fluency"] for row in read(out)] == [number % 5 + 1 for number in good]
    assert judged.paid == 19
    assert "4 of 23 rows" in caplog.text


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_typed_rows_that_cannot_be_judged_are_left_out(kind, tmp_path):
    texts = [None if number % 4 == 1 else f"text {number}" for number in range(23)]
    source, out = tmp_path / f"t.{kind}", tmp_path / "s.parquet"
    if kind == "jsonl":
        lines(source, [{"output": text, "n": n} for n, text in enumerate(texts)])
    else:
        pq.write_table(pa.table({"output": texts, "n": range(23)}), source)
    Judged().score(source, out, reading=ReadOptions(skip_bad=True))
    assert [int(row["n"]) for row in read(out)] == [n for n in range(23) if n % 4 != 1]


def test_the_names_that_are_written_have_no_blanks_around_them(tmp_path):
    source, out = tmp_path / "t.csv", tmp_path / "s.csv"
    source.write_text(" n ;output ;;\n1;text 1;;\n;;;\n")
    assert Judged().score(source, out).texts == 1
    assert out.read_text().splitlines()[0].split(",") == [
        f'"{name}"' for name in ("n", "output", *ADDED)
    ]


def test_a_bad_row_at_the_end_is_found_before_a_call(tmp_path):
    judged = Judged()
    rows = [{"output": f"text {n}"} for n in range(2000)] + [{"output": " "}]
    with pytest.raises(SetupError, match=r"empty in line 2001\."):
        judged.score(lines(tmp_path / "t.jsonl", rows), tmp_path / "s.csv")
    with pytest.raises(SetupError, match="lone surrogate"):
        judged.score(lines(tmp_path / "t.jsonl", [{"output": "\ud800"}]), tmp_path / "s.csv")
    assert not judged.paid


def test_a_file_that_is_there_is_refused_unless_it_may_be_replaced(table, tmp_path):
    judged, out = Judged(), tmp_path / "s.csv"
    out.write_text("mine")
    with pytest.raises(SetupError, match="`--out` must be a new file"):
        judged.score(table, out)
    assert not judged.paid and out.read_text() == "mine"
    assert judged.score(table, out, overwrite=True).texts == 23
    assert len(out.read_text().splitlines()) == 24


def test_another_question_does_not_take_parts_up(table, tmp_path):
    out = tmp_path / "s.parquet"
    with pytest.raises(RuntimeError):
        Judged().score(table, out, watch=stop_at(12))
    for judged, options, part in (
        (Judged(), {"limit": 20}, "limit was None and is 20"),
        (Judged(rationale=True), {}, "judge was"),
        (Judged(), {"part_rows": 7}, "part_rows was 5 and is 7"),
    ):
        with pytest.raises(SetupError, match=part):
            judged.score(table, out, **options)
        assert not judged.paid
    table.write_text(table.read_text().replace("text 1", "text 2"))
    with pytest.raises(SetupError, match="the data differ"):
        Judged().score(table, out)


def test_settings_can_be_mended_while_nothing_is_paid(table, tmp_path):
    def refuse(request) -> str:
        raise ConnectionError

    with pytest.raises(dspy.LMError):
        Judged(refuse).score(table, tmp_path / "s.parquet")
    assert not (tmp_path / "s.parquet.parts").exists()
    assert Judged().score(table, tmp_path / "s.parquet", limit=2).texts == 2


def test_one_process_writes_a_file_at_a_time(table, tmp_path):
    out = tmp_path / "s.parquet"
    with open_checkpoint(out), pytest.raises(SetupError, match="Another process writes"):
        Judged().score(table, out)


def test_a_folder_of_someone_else_is_left_alone(table, tmp_path):
    mine = tmp_path / "s.parquet.parts" / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(SetupError, match=r"thesis\.txt"):
        Judged().score(table, tmp_path / "s.parquet")
    assert mine.read_text() == "mine"


SPARK = ("_SUCCESS", "part-00000-7af3c1.snappy.parquet")


@pytest.mark.parametrize(
    "names",
    [
        *(("part-00000.parquet",), ("part-00000-7af3c1.snappy.parquet",), SPARK),
        *(("calls.jsonl",), ("cache/thesis.txt",), ("source-mine.parquet",), ("a.partial.csv",)),
    ],
)
@pytest.mark.parametrize("linked", [False, True])
def test_parts_of_someone_else_are_neither_ours_nor_removed(linked, names, table, tmp_path):
    folder = tmp_path / ("data" if linked else "s.parquet.parts")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"x": [1]}), folder / name)
    if linked:
        (tmp_path / "s.parquet.parts").symlink_to(folder)
    before = {path: path.is_dir() or path.read_bytes() for path in folder.rglob("*")}
    judged = Judged()
    with pytest.raises(SetupError, match=r"s\.parquet\.parts.*link|of someone else"):
        judged.score(table, tmp_path / "s.parquet")
    assert {path: path.is_dir() or path.read_bytes() for path in folder.rglob("*")} == before
    assert not judged.paid


def test_what_somebody_puts_among_the_parts_is_left_there(table, tmp_path):
    parts = tmp_path / "s.parquet.parts"
    names = ["mine.txt", "cache/mine.txt", "mine/part-00000.parquet"]

    def put(done: int, total: int) -> None:
        if done == total:
            (parts / "mine").mkdir()
            for name in names:
                (parts / name).write_text("mine")

    Judged().score(table, tmp_path / "s.parquet", watch=put)
    assert sorted(str(path.relative_to(parts)) for path in parts.rglob("*.*")) == sorted(names)
    assert len(read(tmp_path / "s.parquet")) == 23


def test_a_data_set_of_the_hub_is_fetched_once(tmp_path, monkeypatch):
    import datasets

    calls = []

    def load_dataset(path: str, name: str | None = None, **options: object) -> object:
        calls.append(path)
        data = datasets.Dataset.from_dict(
            {"n": list(range(12)), "output": [f"text {n}" for n in range(12)]}
        )
        return datasets.IterableDatasetDict({"test": data.to_iterable_dataset()})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    out = tmp_path / "s.parquet"
    with pytest.raises(RuntimeError):
        Judged().score("hf:me/texts", out, watch=stop_at(7))
    Judged().score("hf:me/texts", out)
    assert calls == ["me/texts"]
    assert [row["n"] for row in read(out)] == list(range(12))


@pytest.mark.parametrize("option", ["num_threads", "limit", "part_rows"])
def test_counts_are_checked(option, table, tmp_path):
    with dspy.context(lm=Judged().lm), pytest.raises(SetupError, match=f"`{option}` must be"):
        score_table(Judged().judge, table, tmp_path / "s.csv", ScoringOptions(**{option: 0}))


def test_a_cluster_without_ray_is_one_line_before_a_call(table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    judged = Judged()
    with pytest.raises(SetupError) as raised:
        judged.score(table, tmp_path / "s.csv", ray="local")
    assert str(raised.value) == (
        "`--ray` needs Ray, which is not installed. Install the extra: "
        'pip install "mogradjudge[ray]".'
    )
    assert not judged.paid and not list(tmp_path.glob("*.parts"))


def test_parts_are_finished_in_any_order(table, tmp_path):
    whole, out = tmp_path / "whole.parquet", tmp_path / "s.parquet"
    Judged().score(table, whole)
    with pytest.raises(RuntimeError):
        Judged().score(table, out, watch=stop_at(17))
    (tmp_path / "s.parquet.parts" / "part-00001.parquet").unlink()
    told, rest = [], Judged()
    rest.score(table, out, watch=lambda *now: told.append(now))
    assert out.read_bytes() == whole.read_bytes()
    assert told == [(n, 23) for n in range(10, 24)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_input_is_read_from_its_column(kind, tmp_path):
    source, out = tmp_path / f"t.{kind}", tmp_path / "s.parquet"
    rows = [{"The reply": f"text {n}", "output": "?"} for n in range(7)]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), source)
    elif kind == "jsonl":
        lines(source, rows)
    else:
        source.write_text("The reply,output\n" + "".join(f"text {n},?\n" for n in range(7)))
    judged = Judged()
    judged.judge = MultiCriteriaJudge(Rubric({"output": "The reply"}, RUBRIC.criteria))
    judged.score(source, out)
    assert [row["fluency"] for row in read(out)] == [n % 5 + 1 for n in range(7)]
    assert [row["The reply"] for row in read(out)] == [row["The reply"] for row in rows]


def test_unscored_is_told_apart_from_a_low_score():
    from mogradjudge.judge.cells import cells_of

    cells = cells_of(Unscored("too long"), ("fluency",))
    assert cells == {"fluency": None, "fluency_source": None, "fluency_unscored": "too long"}


@pytest.mark.parametrize("threads", [1, 4])
def test_equal_examples_share_a_prediction_and_keep_their_own_scores(threads):
    judged, objectives = Judged(), rubric_objectives(RUBRIC)
    judged.lm.cache = False
    examples = [
        dspy.Example(output=f"text {n % 3}", human_fluency=n % 5 + 1.0, human_coherence=None)
        for n in range(12)
    ]
    examples = [example.with_inputs("output") for example in examples]
    with dspy.context(lm=judged.lm):
        judgements = judge_examples(judged.judge, examples, objectives, threads)
    assert judged.paid == 3
    assert [each.example for each in judgements] == examples
    assert len({each.example_id for each in judgements}) == 12
    assert judgements[0].scores["fluency"] == 1.0
    assert judgements[3].scores["fluency"] == 1.0 - 3 / 4


@pytest.mark.parametrize("rows", [4, 40])
def test_a_table_that_nobody_can_read_ends_after_its_first_texts_and_keeps_what_was_paid(
    rows, tmp_path
):
    table = lines(tmp_path / "t.jsonl", [{"output": f"text {n}"} for n in range(rows)])
    judged = Judged(lambda _: "the weather")
    out = tmp_path / "s.parquet"
    first = min(rows, 20)
    with pytest.raises(ReplyError, match=rf"first {first} .*the weather"):
        judged.score(table, out, 3, part_rows=1000)
    assert first <= judged.paid <= first + 2
    paid = judged.paid
    scored = judged.score(table, out, 3, part_rows=1000, keep_going=True)
    assert scored.unscored == {"fluency": rows, "coherence": rows}
    assert judged.paid == max(rows, paid)


@pytest.mark.parametrize("part_rows", [1000, 24])
def test_a_table_of_few_texts_that_nobody_can_read_ends_too(part_rows, tmp_path):
    rows = [{"output": f"text {n % 5}"} for n in range(48)]
    table, out = lines(tmp_path / "t.jsonl", rows), tmp_path / "s.parquet"
    judged = Judged(lambda _: "the weather")
    for _ in range(2):
        with pytest.raises(ReplyError, match="the weather"):
            judged.score(table, out, part_rows=part_rows)
    assert judged.paid == 5 and not out.exists()
    scored = judged.score(table, out, part_rows=part_rows, keep_going=True)
    assert scored.unscored == {"fluency": 48, "coherence": 48}


def test_once_a_text_is_read_the_others_may_be_unreadable(table, tmp_path):
    judged = Judged(lambda request: rate(request) if "text 0" in user(request) else "?")
    assert judged.score(table, tmp_path / "s.parquet", 1).unscored["fluency"] == 22


def test_a_cap_ends_a_scoring_which_goes_on_with_a_higher_one(table, tmp_path):
    judged, out = Judged(), tmp_path / "s.parquet"
    for _ in range(2):  # the cap is on all starts together
        with pytest.raises(BudgetExhausted, match="max_calls=9"):
            judged.score(table, out, budget=Budget(max_calls=9))
        assert judged.paid == 9
    assert not out.exists()
    judged.score(table, out, budget=Budget(max_calls=23))
    assert (judged.paid, len(read(out))) == (23, 23)


def test_other_settings_take_up_replies_while_no_part_is_finished(table, tmp_path):
    judged, out = Judged(), tmp_path / "s.parquet"
    with pytest.raises(BudgetExhausted):
        judged.score(table, out, budget=Budget(max_calls=3), part_rows=1000)
    judged.lm = judged.lm.copy(max_tokens=50)
    assert judged.score(table, out, part_rows=1000).texts == 23


def test_caps_are_refused_on_a_cluster_before_it_is_joined(table, tmp_path):
    with pytest.raises(SetupError, match="--max-calls"):
        Judged().score(table, tmp_path / "s.parquet", ray="local", budget=Budget(max_calls=3))


def cut_short(table: Path, out: Path) -> tuple[Judged, Path]:
    """Score until the 18th text's reply fails; gives the judge, able again, and the parts."""

    def failing(request) -> str:
        if "text 17" in user(request):
            raise AuthError("the key has expired")
        return rate(request)

    judged = Judged(failing)
    with pytest.raises(dspy.LMAuthError):
        judged.score(table, out, threads=1)
    judged.engine.reply = rate
    return judged, out.with_name(f"{out.name}.parts")


def other_columns(path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), path)


def too_short(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(1), path)


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"PAR1 no part")),
        *(other_columns, too_short),
    ],
    ids=["empty", "junk", "columns", "rows"],
)
def test_a_damaged_part_is_named_and_is_made_again_for_nothing(damage, table, tmp_path):
    Judged().score(table, tmp_path / "whole.parquet")
    judged, parts = cut_short(table, out := tmp_path / "s.parquet")
    damage(parts / "part-00001.parquet")
    with pytest.raises(SetupError, match=r"part-00001\.parquet is damaged.*Delete it"):
        judged.score(table, out)
    paid = judged.paid
    (parts / "part-00001.parquet").unlink()
    judged.score(table, out)
    assert judged.paid == paid
    assert read(out) == read(tmp_path / "whole.parquet")


def test_parts_whose_settings_are_damaged_are_made_again_for_nothing(table, tmp_path):
    judged, parts = cut_short(table, out := tmp_path / "s.parquet")
    paid = judged.paid
    (parts / "asked.json").write_text("{")
    with pytest.raises(SetupError, match=r"asked\.json is damaged.*Delete it and the parts"):
        judged.score(table, out)
    for path in [parts / "asked.json", *parts.glob("part-*")]:
        path.unlink()
    judged.score(table, out)
    assert judged.paid == paid + 23 - 17
    assert len(read(out)) == 23


@pytest.mark.parametrize("place", ["s.parquet.parts/lock", "s.parquet.parts/asked.json"])
def test_a_directory_in_the_place_of_a_parts_file_is_one_clear_line(place, table, tmp_path):
    (tmp_path / place).mkdir(parents=True)
    with pytest.raises(SetupError, match=f"{Path(place).name}: Is a directory"):
        Judged().score(table, tmp_path / "s.parquet")


def test_a_file_in_the_place_of_the_parts_folder_is_one_clear_line(table, tmp_path):
    (tmp_path / "s.parquet.parts").touch()
    with pytest.raises(SetupError, match=r"s\.parquet\.parts"):
        Judged().score(table, tmp_path / "s.parquet")


def test_the_part_at_hand_outlives_the_folder_of_the_parts(table, tmp_path):
    out, removed = tmp_path / "s.parquet", []

    def removing(request) -> str:
        if "text 7" in user(request) and not removed:
            removed.append(shutil.rmtree(tmp_path / "s.parquet.parts"))
        return rate(request)

    judged = Judged(removing)
    with pytest.raises(SetupError, match=r"s\.parquet\.parts was removed or renamed"):
        judged.score(table, out, threads=1)
    judged.score(table, out, threads=1)
    assert [row["id"] for row in read(out)] == [str(n) for n in range(23)]
    # The first five were lost with the folder; the next five are in the part that was at hand.
    assert judged.paid == 23 + 5


@pytest.mark.parametrize("raters", [1, 2])
def test_an_evaluation_says_how_well_raters_agree_among_themselves(raters, tmp_path):
    rubric = Rubric(("output",), RUBRIC.criteria)
    rows = [
        {"output": f"text {n}", "human_fluency": 1 + (n + rater) % 5, "human_coherence": 1 + n % 5}
        for n in range(9)
        for rater in range(raters)
    ]
    examples = load_examples(lines(tmp_path / "r.jsonl", rows), rubric)
    assert len(examples) == 9
    judged = Judged()
    with dspy.context(lm=judged.lm):
        report = evaluation_report(judged.judge, examples, 2)
    assert report["criteria"]["fluency"]["n"] == 9
    if raters == 1:
        assert report["ceiling"] == {}
    else:
        coherence, fluency = (report["ceiling"][name] for name in ("coherence", "fluency"))
        assert coherence["one_rater"] == coherence["perfect_judge"] == 1.0
        assert coherence["share"] == pytest.approx(report["criteria"]["coherence"]["agreement"])
        assert coherence["share_interval"] is not None
        assert -1 <= fluency["one_rater"] < 1


def write_peak(rows: int, folder: Path) -> None:
    """Score long texts, 10 KB each, and write the peak of this process's memory in MB."""
    folder.mkdir()
    with (source := folder / "t.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(f'{{"output": "text {number} {"word " * 2000}"}}\n')
    judged = Judged()
    judged.engine.requests = deque(maxlen=1)
    judged.score(source, folder / "s.parquet", part_rows=100)
    sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path):
    workers = [  # 1000 prompts stay in memory with their replies, and a batch or two of 1000 rows
        processes.start(tmp_path, write_peak, rows, tmp_path / str(rows)) for rows in (2400, 7200)
    ]
    few, many = (int(worker.ended()[0]) for worker in workers)
    assert many < few + 24  # the texts of the further rows have 48 MB
