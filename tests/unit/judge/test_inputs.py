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
from click.testing import CliRunner
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
from mogradjudge.cli import cli
from mogradjudge.data import draft_rubric, survey
from mogradjudge.data.conversations import transcript
from mogradjudge.errors import InputError, SetupError
from mogradjudge.judge.inputs import read_inputs
from mogradjudge.optimize.events import BatchJudged
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
        {"messages": TURNS},
        json.dumps({"id": 7, "messages": TURNS}),
        np.array(TURNS, dtype=object),
        [{"from": turn["role"], "value": turn["content"]} for turn in TURNS],
        [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in TURNS],
        {"conversations": [{"from": turn["role"], "value": turn["content"]} for turn in TURNS]},
    ],
)
def test_a_conversation_is_read_as_a_transcript(value):
    rubric = Rubric(["talk"], [Criterion("tone", "Is it kind?")])
    with dspy.context(lm=DummyLM([{"tone": "4"}])):
        judge = MultiCriteriaJudge(rubric)
        assert judge(talk=value).tone == 4
        prompt = dspy.settings.lm.history[-1]["messages"][-1]["content"]
    assert SHOWN in prompt


CALL = {"id": "c1", "type": "function", "function": {"name": "track", "arguments": '{"n": 7}'}}


@pytest.mark.parametrize(
    ("turn", "line"),
    [
        ({"content": None, "tool_calls": [CALL]}, 'assistant: track({"n": 7})'),
        ({"tool_calls": np.array([CALL, CALL])}, 'assistant: track({"n": 7})\n  track({"n": 7})'),
        ({"content": "So:", "tool_calls": [CALL]}, 'assistant: So:\n  track({"n": 7})'),
        (
            {"content": "", "tool_calls": [{"name": "track", "arguments": {"n": 7}}]},
            'assistant: track({"n": 7})',
        ),
        ({"content": "Hi", "tool_calls": None}, "assistant: Hi"),
    ],
)
def test_calls_of_tools_are_words_of_a_turn(turn, line):
    talk = [{"role": "user", "content": "Where?"}, {"role": "assistant", **turn}]
    assert transcript(talk) == f"user: Where?\n{line}"


@pytest.mark.parametrize("words", ["", " ", "\u200b"])
def test_a_conversation_without_words_is_an_empty_text_at_every_door(words, tmp_path):
    talk = [{"role": "user", "content": words}]
    for value in (talk, json.dumps(talk), {"messages": talk}, dspy.History(messages=talk)):
        with pytest.raises(InputError, match="'talk'"):
            MultiCriteriaJudge(TALKS)(talk=value)
    path = written(tmp_path / "talks.jsonl", [TURNS, talk, json.dumps(talk)])
    for read in (load_examples, lambda path, rubric: survey(path, rubric.columns, None)):
        with pytest.raises(SetupError, match="line 2"):
            read(path, TALKS)


@pytest.mark.parametrize(
    "value", ["a\ud800", [{"role": "a\udfff", "content": "b\ud800"}], '[{"a":"\ud800"}]']
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_lone_surrogate_is_replaced_wherever_a_text_is_read(value, as_json, tmp_path):
    value = json.dumps(value) if as_json and not isinstance(value, str) else value
    path = tmp_path / "talks.jsonl"
    row = {"talk": value, "human_tone": 3, "group": "g\ud800", "note": "n\ud800"}
    path.write_text(json.dumps(row))
    rubric = Rubric(["talk"], [Criterion("tone", "Is it kind?", comment="note")], group="group")
    (example,) = load_examples(path, rubric)
    read = [example.talk, example.group, example.note, read_inputs({"talk": value}, TALKS)["talk"]]
    assert all("?" in text and text.encode() for text in read)


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


TALKS = Rubric(["talk"], [Criterion("tone", "Is it kind?")])
BROKEN = [json.dumps(TURNS), '[{"role": "user", "con', '[{"role": "user"}]', "[sic] Hello."]


def written(path, talks):
    rows = [{"talk": talk, "human_tone": 1 + n % 5} for n, talk in enumerate(talks)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.parametrize("door", ["load", "score", "check", "init"])
def test_what_looks_like_a_conversation_but_is_none_is_said_by_row(door, tmp_path, caplog):
    path = written(tmp_path / "talks.jsonl", BROKEN)
    rubric = tmp_path / "rubric.toml"
    rubric.write_text(TALKS.to_toml())
    if door == "load":
        assert load_examples(path, TALKS)[1].talk == BROKEN[1]
    elif door == "score":
        survey(path, TALKS.columns, None)
    else:
        options = ["check", str(path), "--rubric", str(rubric)]
        if door == "init":
            options = ["init", str(path), "--yes", "--force", "--out", str(rubric)]
            options += ["--inputs", "talk"]
        CliRunner().invoke(cli, options)
    lines = [line for line in caplog.messages if "'talk'" in line]
    assert ["line 2, line 4" in line for line in lines].count(True) == 1
    assert ["line 3:" in line for line in lines].count(True) == 1
    assert len(lines) == 2


@pytest.mark.parametrize(
    "talks", [["[sic] Hello.", "{a} is", "[1]", "5"], [json.dumps(TURNS), "Hello", "It is [so]."]]
)
def test_texts_in_brackets_are_no_broken_conversations(talks, tmp_path, caplog):
    load_examples(written(tmp_path / "talks.jsonl", talks), TALKS)
    assert not caplog.messages


def test_turns_of_an_unknown_shape_are_said_even_where_all_have_it(tmp_path, caplog):
    load_examples(written(tmp_path / "talks.jsonl", [json.dumps([{"user": "Hi"}])] * 5), TALKS)
    (line,) = [line for line in caplog.messages if "'talk'" in line]
    assert "line 1, line 2, line 3 and 2 more" in line


@pytest.mark.parametrize("value", [[{"user": "Hi"}], {"messages": ["Hi"]}, [TURNS[0], "b"]])
def test_python_doors_say_what_is_wrong_with_turns(value):
    with pytest.raises(InputError, match=r"'talk'.*turn"):
        MultiCriteriaJudge(TALKS)(talk=value)
    with pytest.raises(InputError, match=r"example 1: .*'talk'.*turn"):
        compiled(MultiCriteriaJudge(TALKS), trainset=[dspy.Example(talk=value).with_inputs("talk")])


@pytest.mark.parametrize("as_object", [False, True])
def test_parquet_and_frames_may_hold_turns(as_object, tmp_path):
    talk = {"messages": TURNS} if as_object else TURNS
    frame = pd.DataFrame({"talk": [talk, talk], "human_tone": [4, 2]})
    frame.to_parquet(tmp_path / "talks.parquet")
    examples = load_examples(tmp_path / "talks.parquet", TALKS)
    assert [example.talk for example in examples] == [SHOWN]
    read = pd.read_parquet(tmp_path / "talks.parquet")  # arrays of dicts
    assert draft_rubric(read).inputs == ("talk",)
    engine = FunctionEngine(lambda _: in_chat({"tone": 4}))
    with dspy.context(lm=fake_lm(engine)):
        assert MultiCriteriaJudge(TALKS).rate(read).tone.tolist() == [4, 4]
    assert all(SHOWN in request.messages[0].text for request in engine.requests)


def test_the_critic_and_the_report_read_turns_not_json():
    examples = [
        dspy.Example(
            talk=[{"role": "user", "content": f"Hi {n}"}], human_tone=1.0 + n % 5
        ).with_inputs("talk")
        for n in range(12)
    ]
    engine = FunctionEngine(
        lambda request: in_chat(
            {"tone": 3} if "`talk`" in str(request.system) else {"critique": "."}
        )
    )
    events = []
    with dspy.context(lm=fake_lm(engine)):
        MOGrad(steps=1, observers=[events.append]).optimize(
            MultiCriteriaJudge(TALKS), trainset=examples[:6], valset=examples[6:]
        )
    prompts = [it.messages[0].text for it in engine.requests if "critique" in str(it.system)]
    assert prompts and all("user: Hi" in prompt for prompt in prompts)
    (batch,) = [event for event in events if isinstance(event, BatchJudged)]
    assert all(inputs["talk"].startswith("user: Hi") for inputs in batch.inputs)
