"""The demo table shows what its docstring says."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import spearmanr

from mogradjudge.criteria import Rubric, Scale

DEMO = Path(str(files("mogradjudge.demo")))

RUBRIC = Rubric.from_toml(DEMO / "rubric.toml")
RAW = (DEMO / "replies.jsonl").read_bytes()
ROWS: list[dict[str, Any]] = [json.loads(line) for line in RAW.decode("utf-8").splitlines()]
NAMES = ("resolution", "courtesy", "clarity")

GREETING = re.compile(r"(Hello|Good morning)\b")
THANKS = re.compile(r"\b(thanks?|sorry|apologize)\b", re.IGNORECASE)
INSULT = re.compile(r"\b(fools?|dim|idiot|stupid|silly|lazy|halfwit)\b", re.IGNORECASE)
CODE = re.compile(r"\b([A-Z]{2,}|P-tag)\b")


def ratings(name: str) -> list[int]:
    return [row[f"human_{name}"] for row in ROWS]


def plan(row: dict[str, Any]) -> str:
    return "-".join([row["ticket"], *(str(row[f"human_{name}"]) for name in NAMES)])


def tickets() -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in ROWS:
        groups.setdefault(row["ticket"], []).append(row)
    return groups


def rho(left: list[int], right: list[int]) -> float:
    return float(spearmanr(left, right).statistic)


def longest_sentence(text: str) -> int:
    return max(len(sentence.split()) for sentence in re.split(r"(?<=[.!?])\s+", text))


def test_rubric_names_the_columns_of_the_table() -> None:
    columns = ["ticket", "question", "reply", *(f"human_{name}" for name in NAMES)]
    assert RUBRIC.inputs == ("question", "reply")
    assert RUBRIC.group == "ticket"
    assert RUBRIC.task
    assert RUBRIC.names == NAMES
    assert [criterion.human for criterion in RUBRIC.criteria] == columns[3:]
    assert all(list(row) == columns for row in ROWS)


def test_rubric_survives_a_round_trip(tmp_path: Path) -> None:
    copy = tmp_path / "rubric.toml"
    copy.write_text(RUBRIC.to_toml(), encoding="utf-8")
    assert Rubric.from_toml(copy) == RUBRIC


def test_table_is_plain_ascii_and_ends_with_a_line_feed() -> None:
    assert RAW.isascii()
    assert RAW.endswith(b"\n")
    assert b"\r" not in RAW


def test_twelve_questions_have_three_replies_each() -> None:
    groups = tickets()
    assert list(groups) == [f"t{number:02d}" for number in range(1, 13)]
    assert {len(rows) for rows in groups.values()} == {3}
    assert all(len({row["question"] for row in rows}) == 1 for rows in groups.values())
    assert len({row["question"] for row in ROWS}) == 12


def test_no_reply_occurs_twice() -> None:
    assert len({row["reply"].casefold() for row in ROWS}) == len(ROWS) == 36


def test_texts_are_short_and_trimmed() -> None:
    assert all(15 <= len(row["reply"].split()) <= 60 for row in ROWS)
    assert all(5 <= len(row["question"].split()) <= 30 for row in ROWS)
    assert all(row[name] == " ".join(row[name].split()) for row in ROWS for name in RUBRIC.inputs)


@pytest.mark.parametrize("name", NAMES)
def test_ratings_spread_over_the_whole_scale(name: str) -> None:
    assert RUBRIC[name].scale == Scale(1, 5)
    assert all(type(score) is int for score in ratings(name))
    assert Counter(ratings(name)) == {1: 7, 2: 7, 3: 8, 4: 7, 5: 7}


@pytest.mark.parametrize("name", NAMES)
def test_replies_to_one_question_differ_in_every_criterion(name: str) -> None:
    for rows in tickets().values():
        assert len({row[f"human_{name}"] for row in rows}) == 3


def test_no_combination_of_levels_occurs_twice() -> None:
    assert len(set(zip(*map(ratings, NAMES), strict=True))) == len(ROWS)


@pytest.mark.parametrize(("left", "right"), list(combinations(NAMES, 2)))
def test_criteria_are_independent(left: str, right: str) -> None:
    assert abs(rho(ratings(left), ratings(right))) < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_neither_length_nor_position_gives_a_rating_away(name: str) -> None:
    words = [len(row["reply"].split()) for row in ROWS]
    characters = [len(row["reply"]) for row in ROWS]
    position = [index % 3 for index in range(len(ROWS))]
    for trivial in (words, characters, position):
        assert abs(rho(trivial, ratings(name))) < 0.25


@pytest.mark.parametrize("row", ROWS, ids=plan)
def test_reply_shows_its_level_of_courtesy(row: dict[str, Any]) -> None:
    reply, level = row["reply"], row["human_courtesy"]
    assert bool(GREETING.match(reply)) == (level == 5)
    assert reply.endswith("!") == (level == 5)
    assert bool(THANKS.search(reply)) == (level >= 4)
    assert bool(INSULT.search(reply)) == (level == 1)


@pytest.mark.parametrize("row", ROWS, ids=plan)
def test_reply_shows_its_level_of_clarity(row: dict[str, Any]) -> None:
    reply, level = row["reply"], row["human_clarity"]
    longest = longest_sentence(reply)
    codes = set(CODE.findall(reply)) - {"ID"}
    if level in (2, 3):
        assert longest > {2: 35, 3: 30}[level]
        assert len(codes) >= {2: 1, 3: 2}[level]
    else:
        assert longest <= 20
        assert not codes
