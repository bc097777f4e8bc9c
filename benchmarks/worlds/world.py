"""A toy world with a known answer: models that are functions of the prompt they are sent.

The judge's bias on a criterion is written in its section (``BIAS=2``; a section that says nothing
has the bias 2). A text's true score is written in it (``coherence=4``); a text that says nothing
gets one from its hash. The critic reports the signed error, the coach passes on the largest error
that it was shown, and the editor moves each bias that the advice names one step. So every mode
reaches ``BIAS=0`` and perfect agreement, SSS and SSC in fewer steps than SCC and CCC. This checks
which text reaches which call, and says nothing about real models.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import dspy
from dspy.lm15 import Message, Request, Response, Usage

from mogradjudge import Criterion, Rubric

SEED_BIAS = 2
_ERROR = re.compile(r"(\w+): judge ([\d.]+) too (high|low)")


class NotOfThisWorldError(ValueError):
    """A prompt is about texts or criteria that a world does not know; the text says which."""


def reply(system: str, user: str) -> str:
    """Answer a prompt that DSPy's `ChatAdapter` made, in the format that it reads."""
    return fields(_answers(system, user))


class ToyEngine:
    """The toy world behind DSPy's engine seam; keeps every prompt it was sent, by role."""

    supports_response_schema = False
    supports_function_calling = False
    supports_reasoning = False
    supported_params = ("temperature", "max_tokens", "seed")

    def __init__(self) -> None:
        self.prompts: list[tuple[str, str, str]] = []  # role, system, user

    def __deepcopy__(self, memo: object) -> ToyEngine:
        return self

    @property
    def calls(self) -> Counter[str]:
        """Calls by role."""
        return Counter(role for role, _, _ in self.prompts)

    def complete(self, request: Request) -> Response:
        system, user = str(request.system), request.messages[-1].text or ""
        self.prompts.append((role_of(system), system, user))
        text = self.answer(system, user)
        usage = Usage(input_tokens=len(system + user) // 4, output_tokens=len(text) // 4)
        return Response(
            id=None,
            model="toy",
            message=Message.assistant(text),
            finish_reason="stop",
            usage=usage,
        )

    def answer(self, system: str, user: str) -> str:
        return reply(system, user)


def toy_lm(engine: ToyEngine | None = None) -> dspy.LM:
    """Give an LM that lives in the toy world, uncached, so that each call is seen."""
    return dspy.LM("toy/world", engine=engine or ToyEngine(), temperature=0.0, cache=False)


def toy_rubric(*names: str) -> Rubric:
    """Make a rubric of criteria on a scale from 1 to 5."""
    return Rubric(
        inputs=("output",),
        criteria=[Criterion(name, f"How good is the text's {name}?") for name in names],
    )


def toy_examples(rubric: Rubric, count: int) -> list[dspy.Example]:
    """Make texts whose true scores run through the scale, on each criterion in another order."""
    examples = []
    for number in range(count):
        scores = {
            name: 1 + (number * (place + 1) + number // 5) % 5
            for place, name in enumerate(rubric.names)
        }
        text = f"Text {number}: " + ", ".join(f"{name}={score}" for name, score in scores.items())
        human = {rubric[name].human: float(score) for name, score in scores.items()}
        examples.append(dspy.Example(output=text, group=str(number), **human).with_inputs("output"))
    return examples


def role_of(system: str) -> str:
    """Tell a role by the field that its prompt asks for."""
    # A rater is shown what other roles wrote, so its own fields are looked for first.
    markers = dict.fromkeys(("can_be_acted_on", "focus", "adherence"), "rater")
    markers |= {"new_instructions": "editor", "advice": "coach", "critique": "critic"}
    for field, role in markers.items():
        if f"[[ ## {field} ## ]]" in system:
            return role
    return "judge"


def _answers(system: str, user: str) -> Mapping[str, object]:
    role, inputs = role_of(system), inputs_of(user)
    if role == "judge":
        return _scores(system, inputs)
    if role == "critic":
        results = parts_of(inputs["results"])
        lines = [
            f"{name}: {parts_of(result).get('error', 'none')}." for name, result in results.items()
        ]
        return {"critique": "\n".join(lines)}
    if "[[ ## conflicts ## ]]" in system:
        return {"conflicts": "[]"}
    if role == "coach":
        return {"advice": json.dumps(_advice(inputs["critiques"], parts_of(inputs["criteria"])))}
    return {"new_instructions": json.dumps(_rewrite(inputs, labels_of(system)))}


def critique_or_advice(user: str, critique: str, rule: str) -> dict[str, str]:
    """Answer a critic or a coach: with a text, or with a unit on each criterion."""
    units = [unit_on(name, rule) for name in parts_of(inputs_of(user)["criteria"])]
    return {"critique": critique, "advice": json.dumps(units)}


def _advice(critiques: str, criteria: Mapping[str, str]) -> list[dict[str, object]]:
    errors = [error for error in _ERROR.findall(critiques) if error[0] in criteria]
    worst = max(errors, key=lambda error: float(error[1]), default=None)
    if worst is None:
        return []
    support = [number for number, text in texts_of(critiques).items() if worst[0] in text]
    rule = f"{'lower' if worst[2] == 'high' else 'raise'} the scores."
    return [unit_on(worst[0], rule, support)]


def unit_on(criterion: str, rule: str, support: Sequence[str] = ("1",)) -> dict[str, object]:
    """Write a unit of a coach's advice."""
    return {"criterion": criterion, "change": "add", "rule": rule, "support": list(support)}


def _scores(system: str, inputs: Mapping[str, str]) -> dict[str, object]:
    text = "\n".join(inputs.values())
    scores: dict[str, object] = {}
    asked = r"`(\w+)` \(Literal\[(-?\d+), .*?(-?\d+)(?:, 'n/a')?\]\)"
    for name, low, high in re.findall(asked, system):
        section = re.search(rf"### Criterion: {name}\n(.*?)(?=\n\s*### |\Z)", system, re.DOTALL)
        bias = re.search(r"BIAS=(-?\d+)", section.group(1) if section else "")
        shifted = _truth(name, text, int(low), int(high)) + int(
            bias.group(1) if bias else SEED_BIAS
        )
        says_na = f"{name}=n/a" in text
        scores[name] = "n/a" if says_na else min(int(high), max(int(low), shifted))
    if not scores:  # no judge, but some other program
        listed = system.partition("Your output fields are:")[2].partition("All interactions")[0]
        return dict.fromkeys(re.findall(r"`(\w+)` \(str\)", listed), "So it is.")
    return scores


def _truth(name: str, text: str, low: int, high: int) -> int:
    if planted := re.search(rf"\b{name}=(\d+)", text):
        return int(planted.group(1))
    digest = hashlib.sha256(f"{name}|{text}".encode()).digest()
    return low + digest[0] % (high - low + 1)


def _rewrite(inputs: Mapping[str, str], labels: Sequence[str]) -> dict[str, str]:
    texts, advice = parts_of(inputs["current_instructions"]), parts_of(inputs["advice"])
    new = {}
    for name in labels:
        text, said = texts[name], advice.get(name, "")
        bias = re.search(r"BIAS=(-?\d+)", text)
        votes = said.count("raise the") - said.count("lower the")
        move = (votes > 0) - (votes < 0)
        moved = int(bias.group(1) if bias else SEED_BIAS) + move
        new[name] = f"Rate from 1 to 5. BIAS={moved}" if move or bias else text or "No rule yet."
    return new


def inputs_of(user: str) -> dict[str, str]:
    """Read the input fields out of a prompt that DSPy's `ChatAdapter` made."""
    parts = re.split(r"^\[\[ ## (\w+) ## \]\]$", user, flags=re.MULTILINE)
    fields = dict(zip(parts[1::2], parts[2::2], strict=True))
    # The last field is followed by DSPy's reminder of the reply's format.
    return {k: v.split("\n\nRespond with the corresponding")[0].strip() for k, v in fields.items()}


def parts_of(table: str, level: int = 3) -> dict[str, str]:
    """Read a table out of a prompt field: its entries are lines, then stand under headings."""
    lines, *parts = re.split(rf"^{'#' * level} (.+)\n", table, flags=re.MULTILINE)
    short = dict(re.findall(r"^- (.+?): ?(.*)$", lines, re.MULTILINE))
    return short | dict(zip(parts[::2], map(str.strip, parts[1::2]), strict=True))


def texts_of(critiques: str) -> dict[str, str]:
    """Read what a coach over a whole batch is shown: the critique of each text, by its number."""
    return {
        name.removeprefix("text "): parts_of(part, level=4).get("critique", "")
        for name, part in parts_of(critiques).items()
    }


def labels_of(system: str) -> list[str]:
    """Read the keys of the texts that an editor is asked for."""
    asked = re.search(r"the new text of (.*?), each of at most", system)
    assert asked is not None
    return asked.group(1).split(", ")


def fields(answers: Mapping[str, object]) -> str:
    """Write a reply in the format that DSPy's `ChatAdapter` reads."""
    blocks = [f"[[ ## {name} ## ]]\n{value}" for name, value in answers.items()]
    return "\n\n".join([*blocks, "[[ ## completed ## ]]"])
