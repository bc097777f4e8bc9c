"""Where no group is named, texts that share an input stay together, and a line says so."""

import csv
import math

import dspy
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogradjudge import Criterion, MOGradConfig, Rubric, load_examples, split_by_group
from mogradjudge.data import group_of, has_groups, with_groups
from mogradjudge.data.grouping import found_groups
from mogradjudge.errors import SetupError
from mogradjudge.optimize.datasets import examples_of

CLARITY = Criterion("clarity", "Is easy to read.")
RUBRIC = Rubric(("article", "summary"), [CLARITY])
ARTICLES, SUMMARIES = 8, 3
ROWS = [
    (f"Article {n}.", f"Summary {k} of {n}.", 1 + (n + k) % 5)
    for n in range(ARTICLES)
    for k in range(SUMMARIES)
]


def table(path, rows=ROWS, columns=("article", "summary", "human_clarity")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def by_hand(rows=ROWS):
    return [
        dspy.Example(article=article, summary=summary, human_clarity=float(score)).with_inputs(
            "article", "summary"
        )
        for article, summary, score in rows
    ]


def share_an_article(parts):
    """Return the articles that two parts share."""
    articles = [{example.article for example in part} for part in parts if part]
    return {
        one for n, part in enumerate(articles) for one in part for x in articles[:n] if one in x
    }


def test_a_tables_rows_of_one_article_stay_together_and_a_line_says_so(tmp_path, caplog):
    examples = load_examples(table(tmp_path / "a.csv"), RUBRIC)
    assert len({example.group for example in examples}) == ARTICLES
    assert not share_an_article(split_by_group(examples))
    (line,) = caplog.messages
    assert all(part in line for part in ("a.csv", "'article'", "8 groups, 24 rows", "false"))


def test_group_false_turns_it_off(tmp_path, caplog):
    rubric = Rubric(RUBRIC.inputs, RUBRIC.criteria, group=False)
    examples = load_examples(table(tmp_path / "a.csv"), rubric)
    assert len({example.group for example in examples}) == len(ROWS)
    data = examples_of(MOGradConfig(), rubric, by_hand(), None, ()).parts
    assert share_an_article(data.values())
    assert caplog.messages == []


def test_group_false_is_kept_by_toml(tmp_path):
    path = tmp_path / "rubric.toml"
    path.write_text(Rubric(RUBRIC.inputs, RUBRIC.criteria, group=False).to_toml())
    assert Rubric.from_toml(path).group is False
    assert "group" not in RUBRIC.to_toml()
    with pytest.raises(SetupError, match="got True"):
        Rubric(RUBRIC.inputs, RUBRIC.criteria, group=True)


def test_examples_made_by_hand_stay_together_in_every_split(caplog):
    assert not share_an_article(split_by_group(by_hand()))
    data = examples_of(MOGradConfig(), RUBRIC, by_hand(), None, ()).parts
    assert not share_an_article(data.values())
    assert len({example.group for part in data.values() for example in part}) == ARTICLES
    assert all("'article'" in line for line in caplog.messages)


SETS = ("training", "validation", "test")


def test_given_sets_have_groups_found_over_all_of_them():
    sets = by_hand()[:9], by_hand()[9:18], by_hand()[18:]
    data = examples_of(MOGradConfig(), RUBRIC, *sets).parts
    assert [len({example.group for example in data[name]}) for name in SETS] == [3, 3, 2]


def test_another_programs_inputs_are_not_looked_at():
    data = examples_of(MOGradConfig(), None, by_hand(), None, ()).parts
    assert share_an_article(data.values())
    assert not any("group" in example for part in data.values() for example in part)


def test_a_field_that_the_rubric_names_is_the_group():
    rows = [example.copy(doc=number % 4) for number, example in enumerate(by_hand())]
    assert {example.group for example in with_groups(rows, "doc")} == set("0123")


def test_examples_with_a_group_are_left_alone(caplog):
    rows = [example.copy(group=str(n)) for n, example in enumerate(by_hand())]
    assert with_groups(rows) is rows
    assert share_an_article(split_by_group(rows, seed=1))
    assert caplog.messages == []


@pytest.mark.parametrize(
    "missing", [None, "", " ", math.nan, np.float32("nan"), pd.NA, pd.NaT], ids=repr
)
def test_a_missing_group_is_none(missing):
    rows = [example.copy(group=missing, doc=missing) for example in by_hand()]
    assert group_of(rows[3], 3) == group_of(dspy.Example(), 3)
    assert not has_groups(rows)
    rows[0] = rows[0].copy(doc="1")
    named = with_groups(rows, "doc")
    assert len({group_of(example, n) for n, example in enumerate(named)}) == len(rows)
    assert sorted(map(len, split_by_group(named, (0.5, 0.5)))) == [12, 12]
    assert not share_an_article(split_by_group(rows))


def inputs(**columns):
    return {name: [str(value) for value in values] for name, values in columns.items()}


SIXTY = range(60)


@pytest.mark.parametrize(
    ["columns", "chosen"],
    [
        (inputs(a=[0] * 60, b=SIXTY), None),
        (inputs(a=SIXTY, b=SIXTY), None),
        (inputs(a=[n % 2 for n in range(70)], b=range(70)), None),  # 35 rows a value
        (inputs(language=[n % 2 for n in range(40)], b=range(40)), None),
        (inputs(model=[n % 5 for n in SIXTY], b=SIXTY), None),
        (inputs(context=[max(0, n - 40) // 2 for n in SIXTY], b=SIXTY), None),  # 42 of 60 are one
        (inputs(a=[n % 7 for n in SIXTY], b=SIXTY), None),
        (inputs(a=[n % 8 for n in SIXTY], b=SIXTY), "a"),
        (inputs(a=[n % 2 for n in SIXTY], b=[n // 3 for n in SIXTY], c=SIXTY), "b"),
        (inputs(a=[max(0, n - 50) for n in SIXTY], b=[n // 3 for n in SIXTY], c=SIXTY), "b"),
        (inputs(a=[max(0, n - 14) for n in SIXTY], b=SIXTY), "a"),  # 15 of 60 are one
        (inputs(a=[max(0, n - 15) for n in SIXTY], b=SIXTY), None),
        (inputs(a=[0, 0, 1], b=[5, 5, 6]), None),  # the rows are equal
        (inputs(a=[0, 0, 1, 1]), None),
    ],
)
def test_the_input_is_chosen_by_how_its_values_repeat(columns, chosen):
    assert found_groups(columns, "x", "y") == columns.get(chosen)


def test_another_input_that_repeats_as_much_gets_a_word(caplog):
    columns = inputs(a=[n // 3 for n in SIXTY], b=[n % 20 for n in SIXTY], c=SIXTY)
    found_groups(columns, "x", "y")
    found_groups(columns | inputs(b=[max(n, 3) for n in SIXTY]), "x", "y")
    assert ["'b'" in line for line in caplog.messages] == [True, False]


@pytest.mark.parametrize("values", [2, 7])
def test_an_input_of_few_values_forms_no_groups_and_a_line_tells_how_it_would(values, caplog):
    assert found_groups(inputs(model=[n % values for n in SIXTY], b=SIXTY), "x", "y") is None
    (line,) = caplog.messages
    assert "not kept together" in line
    assert "group = 'model'" in line


def test_a_long_value_gives_a_short_group():
    values = ["long " * 99, "long " * 99, *"bcdefgh"]
    groups = found_groups(inputs(a=values, b=range(9)), "x", "y")
    assert groups[0] == groups[1] != groups[2] == "b"
    assert len(groups[0]) < 60


def test_too_few_groups_that_were_found_can_be_turned_off(tmp_path):
    with pytest.raises(SetupError, match="group = false"):
        split_by_group(load_examples(table(tmp_path / "a.csv"), RUBRIC)[:3], (0.5, 0.5))
    with pytest.raises(SetupError) as caught:
        split_by_group(by_hand()[:1], (0.5, 0.5))
    assert "false" not in str(caught.value)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), max_size=30))
def test_no_two_parts_of_a_split_share_a_found_group(rows):
    examples = [dspy.Example(a=a, b=b).with_inputs("a", "b") for a, b in rows]
    places = {id(example): place for place, example in enumerate(examples)}
    groups = [example.get("group", place) for place, example in enumerate(with_groups(examples))]
    try:
        one, other = split_by_group(examples, (0.5, 0.5))
    except SetupError:
        return
    found = [{groups[places[id(example)]] for example in part} for part in (one, other)]
    assert not found[0] & found[1]
