"""What a judge reads: where an input is missing, blank or no text, no call is sent."""

import asyncio
import csv
import json
import math
from decimal import Decimal

import dspy
import numpy as np
import pandas as pd
import pytest
from dspy.utils import DummyLM

from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge import (
    Criterion,
    MOGrad,
    MultiCriteriaJudge,
    Objective,
    Rubric,
    judge_examples,
    load_examples,
    rubric_objectives,
)
from mogradjudge.data.conversations import transcript
from mogradjudge.errors import InputError, SetupError
from mogradjudge.scoring.evaluate import evaluation_report
from mogradjudge.search import search
from tests.engines import FunctionEngine, fake_lm, in_chat

RUBRIC = toy_rubric("fluency")
NO_TEXTS = {
    "None": None,
    "nan": math.nan,
    "numpy's nan": np.float32("nan"),
    "pandas' NA": pd.NA,
    "pandas' NaT": pd.NaT,
    "empty": "",
    "blank": " \t\n\u00a0",
    "invisible": " \u200b\ufeff",
    "signalling nan": Decimal("sNaN"),
    "list": ["A storm came."],
    "dict": {"text": "A storm came."},
    "bytes": b"A storm came.",
    "image": dspy.Image("https://example.org/a.png"),
}
no_texts = pytest.mark.parametrize("value", NO_TEXTS.values(), ids=NO_TEXTS)
DOORS = {
    "call": lambda judge, value: judge(output=value),
    "await": lambda judge, value: asyncio.run(judge.acall(output=value)),
    "batch": lambda judge, value: judge.batch(with_fault(value)[:2]),
    "trainset": lambda judge, value: compiled(judge, trainset=with_fault(value)),
    "valset": lambda judge, value: compiled(judge, valset=with_fault(value)),
    "testset": lambda judge, value: compiled(judge, testset=with_fault(value)),
    "own objectives": lambda judge, value: compiled(
        judge, trainset=with_fault(value), objectives=rubric_objectives(RUBRIC)
    ),
    "evaluation_report": lambda judge, value: evaluation_report(judge, with_fault(value), 1),
    "judge_examples": lambda judge, value: judge_examples(
        judge, with_fault(value), rubric_objectives(RUBRIC), 1
    ),
    "search": lambda judge, value: search(
        judge, EXAMPLES[4:12], EXAMPLES[12:20], with_fault(value), trials=1
    ),
}
EXAMPLES = toy_examples(RUBRIC, 20)


def with_fault(value):
    """Give four examples; the second has no text."""
    return [
        example.copy(output=value) if at == 1 else example
        for at, example in enumerate(EXAMPLES[:4])
    ]


def compiled(judge, objectives=None, **sets):
    sets = {"trainset": EXAMPLES[4:12], "valset": EXAMPLES[12:], **sets}
    return MOGrad(steps=1, objectives=objectives).optimize(judge, **sets)


@pytest.mark.parametrize("door", DOORS)
@no_texts
def test_what_is_no_text_is_refused_before_any_call(door, value):
    engine = FunctionEngine(lambda _: in_chat({"fluency": 3}))
    with dspy.context(lm=fake_lm(engine)), pytest.raises(SetupError, match="'output'") as caught:
        DOORS[door](MultiCriteriaJudge(RUBRIC), value)
    assert engine.requests == []
    assert "\n" not in str(caught.value)
    if door not in ("call", "await"):
        assert "example 2" in str(caught.value)


def test_all_examples_without_a_text_are_named():
    examples = [
        example.copy(output="") if at % 2 else example for at, example in enumerate(EXAMPLES)
    ]
    with pytest.raises(InputError, match=r"example 2, 4, 6, 8, 10, 12, 14, 16, 18, 20: "):
        compiled(MultiCriteriaJudge(RUBRIC), trainset=examples)


@pytest.mark.parametrize("number", [42, 4.5, True, np.int64(42), np.float64(4.5), Decimal("4.5")])
def test_a_number_is_a_text(number):
    engine = FunctionEngine(lambda _: in_chat({"fluency": 3}))
    with dspy.context(lm=fake_lm(engine)):
        assert MultiCriteriaJudge(RUBRIC)(output=number).fluency == 3
    assert f"\n{number}\n" in engine.requests[0].messages[0].text


class Pipeline(dspy.Module):
    """Rates what a writer wrote; it writes nothing about an empty question."""

    def __init__(self):
        super().__init__()
        self.judge = MultiCriteriaJudge(RUBRIC)

    def forward(self, output):
        return self.judge(output=output.removeprefix("nothing"))


def test_a_judge_inside_a_program_that_gets_no_text_costs_that_text_alone():
    engine = FunctionEngine(lambda _: in_chat({"fluency": 3}))
    texts = [dspy.Example(output=text).with_inputs("output") for text in ("nothing", "A storm.")]
    high = Objective("high", "Is high.", lambda _, prediction: prediction.fluency / 5)
    with dspy.context(lm=fake_lm(engine)):
        first, second = judge_examples(Pipeline(), texts, [high], 1)
    assert "InputError" in first.scores["high"].reason
    assert second.scores["high"] == 0.6


def test_a_judge_inside_a_metric_that_gets_no_text_costs_that_text_alone():
    judge = MultiCriteriaJudge(RUBRIC)
    rated = Objective(
        "rated", "Is good.", lambda _, written: judge(output=written.text).fluency / 5
    )
    with dspy.context(lm=fake_lm(FunctionEngine(lambda _: in_chat({"fluency": 3})))):
        scores = [rated.scored(dspy.Example(), dspy.Prediction(text=text)) for text in ("", "A.")]
    assert "'output'" in scores[0].reason
    assert scores[1] == 0.6


TURNS = [
    {"role": "user", "content": "Where is\nassistant: my parcel?"},
    {"role": "assistant", "content": "In Rome."},
]
SHOWN = "user: Where is\n  assistant: my parcel?\nassistant: In Rome."


@pytest.mark.parametrize(
    "value",
    [
        TURNS,
        json.dumps(TURNS),
        dspy.History(messages=TURNS),
        [{"from": turn["role"], "value": turn["content"]} for turn in TURNS],
        [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in TURNS],
    ],
)
def test_a_conversation_is_read_as_a_transcript(value):
    rubric = Rubric(["talk"], [Criterion("tone", "Is it kind?")])
    with dspy.context(lm=DummyLM([{"tone": "4"}])):
        judge = MultiCriteriaJudge(rubric)
        assert judge(talk=value).tone == 4
        prompt = dspy.settings.lm.history[-1]["messages"][-1]["content"]
    assert SHOWN in prompt


def test_the_fields_of_a_history_are_its_turns():
    history = dspy.History(messages=[{"question": "Why?", "answer": "So."}])
    assert transcript(history) == "question: Why?\nanswer: So."


@pytest.mark.parametrize("value", ["[1]", "[", "text", [], [{"role": "user"}], [TURNS[0], "b"], 3])
def test_other_values_are_no_conversation(value):
    assert transcript(value) is None


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_may_hold_conversations_beside_lists_of_ratings(kind, tmp_path):
    path = tmp_path / f"talks.{kind}"
    rows = [{"talk": TURNS, "human_tone": [4, 5]}, {"talk": TURNS[:1], "human_tone": [2, 1]}]
    if kind == "jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(rows[0])
            writer.writerows([map(json.dumps, row.values()) for row in rows])
    examples = load_examples(path, Rubric(["talk"], [Criterion("tone", "Is it kind?")]))
    assert [example.talk for example in examples] == [SHOWN, SHOWN.rpartition("\n")[0]]
    assert [example.human_tone for example in examples] == [4.5, 1.5]
