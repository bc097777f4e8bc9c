"""A model for any program, in any adapter: it repeats the question, in capitals once it is told to.

What it is told is ``Shout.``, and the toy editor writes that into every section. A question is
``is it``, a blank and a letter; a judge's scores are planted in its text, as in ``fluency=4``.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping

import dspy
from dspy.lm15 import Request, TextPart

from benchmarks.worlds.world import unit_on
from mogradjudge import MOGrad, Objective, OptimizationResult
from tests.engines import FORMATS, FunctionEngine, fake_lm, system

QUESTIONS = [
    dspy.Example(question=f"is it {word}", answer=f"IS IT {word.upper()}").with_inputs("question")
    for word in "abcdefg"
]
TRAIN, VALIDATION = QUESTIONS[:4], QUESTIONS[4:]
LOUD = Objective("loudness", "Is it in capitals?", lambda example, made: is_loud(example, made))
BRIEF = Objective("brevity", "Is it short?", lambda example, made: len(made.answer) < 99)
ROLES = {"critique": "critic", "advice": "coach", "new_instructions": "editor"}


class LoudEngine(FunctionEngine):
    """Answers by the names of the fields that it is asked for; keeps every request."""

    def __init__(self, **answers: str) -> None:
        super().__init__(self.answer)
        self.answers = answers

    @property
    def calls(self) -> Counter[str]:
        return Counter(role_of(request) for request in self.requests)

    def sent(self, role: str) -> list[Request]:
        return [request for request in self.requests if role_of(request) == role]

    def answer(self, request: Request) -> str:
        told, asked = system(request), last(request)
        if "Your outputs must contain" in told:  # a two-step adapter's first step
            return asked.upper() if "Shout." in told else asked
        values = {name: self.value(name, kind, told, asked) for name, kind in outputs(told)}
        return in_format(told, values)

    def value(self, name: str, kind: str, told: str, asked: str) -> object:
        if name in self.answers:
            return self.answers[name]
        if name in ROLES:
            if name == "critique":
                return "Not in capitals."
            if name == "advice":  # a dict is what `dspy.Refine` asks for
                return {} if kind.startswith("dict") else units_on(asked)
            return dict.fromkeys(labels(told, asked), "Shout.")
        if name == "next_tool_name":
            return "finish" if "observation_0" in asked else "look"
        if name == "next_tool_args":
            return {} if "observation_0" in asked else {"word": "it"}
        if planted := re.search(rf"\b{name}=(\d)", asked):
            return int(planted.group(1))
        found = re.findall(r"is it \w", asked, re.IGNORECASE)
        text = found[-1] if found else "is it nothing"
        return text.upper() if "Shout." in told else text


def is_loud(example: dspy.Example, made: dspy.Prediction, trace: object = None) -> float:
    return float(made.answer == example.answer)


def role_of(request: Request) -> str:
    return next((ROLES[name] for name, _ in outputs(system(request)) if name in ROLES), "program")


def last(request: Request) -> str:
    parts = request.messages[-1].parts
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def outputs(told: str) -> list[tuple[str, str]]:
    """Give the names and types of the fields that a prompt asks for."""
    _, _, listed = told.partition("Your output fields are:")
    listed = listed or told.partition("Your outputs must contain:")[2]
    listed = listed.split("All interactions")[0].split("You should lay out")[0]
    return re.findall(r"^\s*\d+\. `(\w+)` \((.*?)\):?", listed, re.MULTILINE)


def labels(told: str, asked: str) -> list[str]:
    """Give the keys of the texts that the editor is asked for, or their XML tags."""
    if tags := re.findall(r"<(text_of_\w+)>", asked):
        return tags
    schema = told.replace('\\"', '"').partition("JSON schema: ")[2]
    return list(json.JSONDecoder().raw_decode(schema)[0]["properties"])


def units_on(asked: str) -> list[dict[str, object]]:
    """Give a unit of advice on each criterion that the coach is asked about."""
    criteria = re.search(r"criteria\W+((?:- \w+: .*\n?)+)", asked)
    assert criteria is not None
    return [unit_on(name, "Use capitals.") for name in re.findall(r"- (\w+):", criteria.group(1))]


def in_format(told: str, values: Mapping[str, object]) -> str:
    name = "chat" if "[[ ## " in told.split("All interactions")[1] else "xml"
    name = "json" if "Outputs will be a JSON object" in told else name
    if name != "json":
        write = nested if name == "xml" else json.dumps
        values = {key: v if isinstance(v, str) else write(v) for key, v in values.items()}
    return FORMATS[name][1](values)


def nested(value: object) -> str:
    if not isinstance(value, Mapping):
        return json.dumps(value)
    return "".join(f"<{tag}>{text}</{tag}>" for tag, text in value.items())


def loud_lm(engine: LoudEngine | None = None, **settings: object) -> dspy.LM:
    return fake_lm(engine or LoudEngine(), **settings)


def optimize(
    program: dspy.Module, engine: LoudEngine | None = None, **changes: object
) -> OptimizationResult:
    """Optimize a program for `LOUD`, in one step unless the changes say otherwise."""
    sets = {"trainset": TRAIN, "valset": VALIDATION}
    sets |= {key: changes.pop(key) for key in ("trainset", "valset") if key in changes}
    settings = {"objectives": [LOUD], "steps": 1, "protocol": "paper", **changes}
    with dspy.context(lm=loud_lm(engine)):
        return MOGrad(**settings).optimize(program, **sets)


def instructions(program: dspy.Module) -> dict[str, str]:
    return {path: each.signature.instructions for path, each in program.named_predictors()}


class Steps(dspy.Module):
    """Predictors in a list, a dict and a module, one of them twice; two have one signature."""

    def __init__(self) -> None:
        super().__init__()
        self.drafts = [dspy.Predict("question -> draft") for _ in range(2)]
        self.by_name = {"a b": dspy.ChainOfThought("draft -> prose"), "c": dspy.Predict("a -> b")}
        self.last = dspy.Predict("prose -> answer")
        self.again = self.last

    def forward(self, question: str) -> dspy.Prediction:
        first, second = (each(question=question).draft for each in self.drafts)
        prose = self.by_name["a b"](draft=f"{first} and {second}").prose
        return self.again(prose=self.last(prose=prose).answer)


PATHS = ["drafts[0]", "drafts[1]", "by_name['a b'].predict", "by_name['c']", "last"]


def look(word: str) -> str:
    """Look a word up."""
    return f"{word} is a word"


def trace_of(engine: LoudEngine, number: int = 0) -> dict[str, object]:
    found = re.search(r"## trace ## \]\]\n(.*)\n", last(engine.sent("critic")[number]))
    return json.loads(found.group(1))
