"""Stage 3: the editor rewrites the sections by the advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy
import pydantic

from mogradjudge.criteria import Group
from mogradjudge.criteria.decomposition import inside
from mogradjudge.errors import ReplyError
from mogradjudge.lm.media import LONGEST_EVIDENCE, for_prompt
from mogradjudge.lm.quoting import quote
from mogradjudge.programs.candidate import Brief, Slot
from mogradjudge.stages.gradient import Gradient
from mogradjudge.stages.loss import text_of
from mogradjudge.stages.role import Question, Role, Round, ask


class RewriteSections(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Rewrite a judge's scoring instructions by the advice that was collected on them.

    Return the full new text for each key of the current instructions, and no other key. Each text
    tells the judge how to score that criterion: keep what the advice praises or leaves alone, merge
    pieces of advice that agree, and settle those that conflict by what helps on most texts. Write
    to the judge, briefly and in general terms. The scale and the output format are set elsewhere
    and must not be changed or described.
    """

    task: str = dspy.InputField(desc="what the judge is told about its task as a whole; fixed")
    criteria: dict[str, str] = dspy.InputField(desc="what each criterion means")
    current_instructions: dict[str, str] = dspy.InputField(desc="the texts to rewrite, by key")
    advice: list[str] = dspy.InputField(desc="what to change and what to keep")
    new_instructions: dict[str, str] = dspy.OutputField(desc="a JSON object: the new text by key")


@dataclass(frozen=True)
class Edit:
    """New texts for the sections of a group."""

    criteria: Group
    texts: Mapping[Slot, str]


def rewrite_sections(
    gradients: Sequence[Gradient],
    groups: Sequence[Group],
    brief: Brief,
    editor: Role,
    *,
    label: str,
    max_chars: int,
    preambles: Sequence[Slot] = (),
) -> Round[Edit]:
    """Rewrite the sections of each group by all gradients inside it.

    A group without a gradient costs no call, and its sections stay. A reply is an error if its keys
    are not those of the group's sections, or if a text is empty or longer than ``max_chars``; it
    cannot change sections outside the group.
    """
    editable = {group: (*preambles, *brief.slots_of(group)) for group in groups}
    questions = [
        Question(
            criteria=group,
            example_id="",
            signature=_signature(editable[group]),
            inputs={
                **brief.shared_inputs(group),
                "current_instructions": {
                    slot.label: brief.candidate.text(slot) for slot in editable[group]
                },
                "advice": for_prompt([gradient.text for gradient in read], LONGEST_EVIDENCE),
            },
            label=f"{label}/{'+'.join(group)}",
        )
        for group in groups
        if (read := [gradient for gradient in gradients if inside(gradient.criteria, group)])
    ]

    def read_edit(question: Question, reply: dspy.Prediction) -> Edit:
        slots = editable[question.criteria]
        return Edit(question.criteria, _texts(reply.new_instructions, slots, max_chars))

    return ask(editor, questions, read_edit)


def _signature(slots: Sequence[Slot]) -> Any:
    """Narrow the reply's type to the keys of these slots.

    Models that follow a schema then cannot miss a key, and a missing or unknown key of any other
    model does not parse.
    """
    # A field's own name must not hide an attribute of pydantic's model; a label may be any word.
    keys = {_field(slot): (str, pydantic.Field(alias=slot.label)) for slot in slots}
    kind = pydantic.create_model(  # type: ignore[call-overload]  # its fields are known at run time
        "NewInstructions", __config__=pydantic.ConfigDict(extra="forbid"), **keys
    )
    return RewriteSections.with_updated_fields("new_instructions", type_=kind)


def _field(slot: Slot) -> str:
    return f"text_of_{slot.label}"


def _texts(reply: pydantic.BaseModel, slots: Sequence[Slot], max_chars: int) -> dict[Slot, str]:
    # They go into the judge's system message, and the model that wrote them has read untrusted
    # texts.
    new = {slot: quote(text_of(getattr(reply, _field(slot))), headings=False) for slot in slots}
    for slot, text in new.items():
        if len(text) > max_chars:
            raise ReplyError(
                f"Expected at most {max_chars} characters for {slot.label!r}, got {len(text)}."
            )
    return new
