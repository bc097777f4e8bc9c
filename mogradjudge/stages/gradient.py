"""Stage 2: the coach turns critiques into advice on the scoring instructions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import dspy
import pydantic

from mogradjudge.criteria import Group
from mogradjudge.criteria.partition import inside
from mogradjudge.lm.media import LONGEST_EVIDENCE, for_prompt
from mogradjudge.programs.candidate import Brief
from mogradjudge.programs.evaluation import Judgement
from mogradjudge.stages.errors_made import errors_made
from mogradjudge.stages.history import EditRecord, history_of
from mogradjudge.stages.loss import Critique, result_of
from mogradjudge.stages.role import Question, Role, Round, Skipped, ask

LONGEST_EXAMPLE = 1_500
"""The most characters that the coach reads of a text beside its critique."""
ALL_TEXTS = "errors"
"""What a unit names as its support if the figures of all texts show it."""


class Unit(pydantic.BaseModel):
    """One piece of advice on one criterion.

    ``support`` and ``against`` name the texts that speak for it and those that it would score
    worse; ``"errors"`` among them stands for the errors made over all texts. ``keep`` says what
    must stay, and changes nothing.

    >>> Unit(criterion="fluency", change="add", rule="Count the errors.", support=[1, 3]).support
    ('1', '3')
    """

    model_config = pydantic.ConfigDict(
        frozen=True,
        coerce_numbers_to_str=True,
        json_schema_extra=lambda schema: schema.pop("description"),  # the prompt says it
    )

    criterion: str
    change: Literal["add", "sharpen", "weaken", "drop", "keep"]
    rule: str
    support: tuple[str, ...] = ()
    against: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.criterion}, {self.change}: {self.rule}"


class WriteGradient(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Advise how to change a judge's scoring instructions so that its results match people's.

    Write units of advice. A unit is about one of the criteria. It says what to add to the current
    instructions on it, or which of their rules to sharpen, weaken or drop, in one or two sentences.
    The advice must help with texts that nobody has seen, so copy nothing from what you read. It may
    say what a text of a certain level is like, judged as a whole and not by counting faults.

    Where nothing should change, return an empty list: the results match people's, or people's
    scores look like noise. A unit "keep" says which rule must stay where others of its criterion
    change.
    """

    task: str = dspy.InputField(desc="what the judge is told about its task as a whole; fixed")
    criteria: str = dspy.InputField(desc="what each criterion means")
    current_instructions: str = dspy.InputField(desc="how the judge is told to apply each now")
    critiques: str = dspy.InputField(desc="why its results missed the expected ones, by text")
    advice: list[Unit] = dspy.OutputField(desc="a JSON list of units, the most important first")


TRIED = "what came of each, measured; a few hundredths may be luck"


_BATCH = """
Look for what the errors have in common, and make no rule of what only one text shows. Name in
`support` the texts whose errors a unit would mend, and "errors" where the errors made over all
texts show the same; name in `against` the texts, also of those that are scored well, that it would
score worse. A single text that speaks against many changes nothing.
"""


@lru_cache(8)  # DSPy takes milliseconds to make a signature
def pooled(signature: Any) -> Any:
    """Add what a coach over the whole batch reads: the texts, the errors made, the edits tried."""
    # The texts come first: a prefix cache then serves what the calls on a batch have in common.
    return (
        signature.with_instructions(f"{signature.instructions}\n{_BATCH}")
        .prepend("texts", dspy.InputField(desc="what the judge read, abridged"), str)
        .insert(-1, "errors_made", dspy.InputField(desc="how often, how far and which way"), str)
        .insert(-1, "edits_tried", dspy.InputField(desc=TRIED), str)
    )


@dataclass(frozen=True)
class Gradient:
    """Advice for the criteria it names; ``example_id`` is empty if it is drawn from many texts.

    ``astray`` are further units, which name another criterion, or none: they reach no editor.
    """

    example_id: str
    criteria: Group
    units: tuple[Unit, ...]
    astray: tuple[Unit, ...] = ()

    @property
    def text(self) -> str:
        """The units, each on a line."""
        return "\n".join(map(str, self.units)) or "The coach had no advice."


@dataclass(frozen=True)
class Evidence:
    """What a coach over the whole batch reads beside the critiques.

    Args:
        batch: The batch under the current instructions.
        pool: Other training texts, under the initial instructions.
        history: The edits that were tried so far.
    """

    batch: Sequence[Judgement]
    pool: Sequence[Judgement] = ()
    history: Sequence[EditRecord] = ()


def write_gradients(
    critiques: Sequence[Critique],
    groups: Sequence[Group],
    brief: Brief,
    coach: Role,
    *,
    label: str,
    evidence: Evidence | None = None,
    signature: type[dspy.Signature] = WriteGradient,
) -> Round[Gradient]:
    """Write gradients from the critiques inside each group.

    With ``evidence`` a group has one gradient for the whole batch; without it, one per example, as
    in the paper. Where there is no critique inside a group, there is no call. ``signature`` has the
    fields of `WriteGradient`; another one serves to compare prompts. A unit that names another
    criterion or no known text is left out and counted as skipped.
    """
    write = _Writer(critiques, groups, brief, label, evidence, signature)
    answers = ask(coach, list(write.questions()), partial(write.read, coach.name))
    return Round(
        records=tuple(gradient for gradient, _ in answers.records),
        skipped=(*answers.skipped, *(left for _, all_left in answers.records for left in all_left)),
    )


@dataclass(frozen=True)
class _Writer:
    critiques: Sequence[Critique]
    groups: Sequence[Group]
    brief: Brief
    label: str
    evidence: Evidence | None
    signature: type[dspy.Signature]

    def questions(self) -> Iterator[Question]:
        examples = dict.fromkeys(critique.example_id for critique in self.critiques)
        for example_id in examples if self.evidence is None else ("",):
            for group in self.groups:
                if read := self._read_in(group, example_id):
                    yield self._question(group, example_id, read)

    def _read_in(self, group: Group, example_id: str) -> list[Critique]:
        return [
            critique
            for critique in self.critiques
            if inside(critique.criteria, group) and example_id in ("", critique.example_id)
        ]

    def _question(self, group: Group, example_id: str, read: Sequence[Critique]) -> Question:
        inputs, signature = self.brief.shared_inputs(group), self.signature
        if self.evidence is None:
            texts = [critique.text for critique in read]
            inputs["critiques"] = for_prompt(texts, LONGEST_EVIDENCE)
        else:
            inputs |= _pooled_inputs(self.brief, group, read, self.evidence)
            signature = pooled(signature)  # type: ignore[arg-type]  # a class has a hash
        return Question(
            criteria=group,
            example_id=example_id,
            signature=signature,
            inputs=inputs,
            label="/".join(filter(None, (self.label, example_id, "+".join(group)))),
        )

    def read(
        self, role: str, question: Question, reply: dspy.Prediction
    ) -> tuple[Gradient, list[Skipped]]:
        """Check each unit, and name its texts by their ids."""
        known = (
            {ALL_TEXTS: ALL_TEXTS, **dict(_numbered(self.evidence.batch))} if self.evidence else {}
        )
        units, left_out = [], []
        for unit in reply.advice:
            named = _named(unit, known, question.example_id)
            if reason := _fault(named, question.criteria):
                left_out.append(Skipped(role, question.criteria, question.label, reason, str(unit)))
            else:
                units.append(named)
        astray = tuple(unit for unit in reply.advice if unit.criterion not in question.criteria)
        return Gradient(question.example_id, question.criteria, tuple(units), astray), left_out


def _numbered(batch: Sequence[Judgement]) -> list[tuple[str, str]]:
    """Number the texts of a batch: a model copies short names without errors."""
    return [(str(number), judged.example_id) for number, judged in enumerate(batch, 1)]


def _named(unit: Unit, known: Mapping[str, str], example_id: str) -> Unit:
    def ids(names: Sequence[str]) -> tuple[str, ...]:
        numbers = [
            number for name in names for number in re.findall(rf"\d+|{ALL_TEXTS}", name.lower())
        ]
        return tuple(dict.fromkeys(known[number] for number in numbers if number in known))

    support = (example_id,) if example_id else ids(unit.support)
    names = {"support": support, "against": ids(unit.against), "rule": unit.rule.strip()}
    return unit.model_copy(update=names)


def _fault(unit: Unit, criteria: Group) -> str:
    if unit.criterion not in criteria:
        return f"a unit is about {unit.criterion!r}, which is no criterion of the question"
    if not unit.rule:
        return "a unit says nothing"
    return "" if unit.support or unit.change == "keep" else "no text of the batch supports a unit"


def _pooled_inputs(
    brief: Brief, group: Group, read: Sequence[Critique], evidence: Evidence
) -> dict[str, object]:
    objectives = [objective for objective in brief.objectives if objective.name in group]
    texts, critiques = {}, {}
    for number, example_id in _numbered(evidence.batch):
        judged = evidence.batch[int(number) - 1]
        texts[f"text {number}"] = for_prompt(dict(judged.example.inputs()), LONGEST_EXAMPLE)
        said = [critique.text for critique in read if critique.example_id == example_id]
        results = {
            objective.name: result_of(objective, judged)
            for objective in objectives
            if judged.scores[objective.name] is not None
        }
        critiques[f"text {number}"] = {
            "results": results,
            "critique": "\n\n".join(said) or "none: too close to tell from people's scores",
        }
    return {
        "texts": for_prompt(texts, LONGEST_EVIDENCE),
        "critiques": for_prompt(critiques, LONGEST_EVIDENCE),
        "errors_made": errors_made(objectives, evidence.pool, evidence.batch),
        "edits_tried": history_of(evidence.history, group, objectives),
    }
