"""Stage 3: the editor rewrites the sections by the advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dspy
import pydantic

from mogradjudge.criteria import Group
from mogradjudge.lm.media import LONGEST_EVIDENCE, for_prompt
from mogradjudge.lm.quoting import quote
from mogradjudge.programs.candidate import Brief, Slot
from mogradjudge.stages.gradient import ALL_TEXTS, TRIED, Gradient, Unit
from mogradjudge.stages.history import EditRecord, history_of
from mogradjudge.stages.hygiene import Hygiene
from mogradjudge.stages.loss import text_of
from mogradjudge.stages.role import Question, Role, Round, Skipped, ask


class RewriteSections(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Rewrite a judge's scoring instructions by the advice that was collected on them.

    Write to the judge, in general terms and no longer than it helps. Each piece of advice stands
    with the number of texts that speak for it and against it. Follow what many support, leave out
    what hardly any does, merge what agrees, and settle what conflicts by what helps on most texts.
    What the advice does not touch stays as it is, word for word; a sentence that only names the
    range of the scale may go, for the range and the output format are set elsewhere. A text may
    describe levels, from the worst to the best, each as a whole and not by counting faults; one on
    which there is no advice is left to the judge. Learn from the edits tried before: what lowered
    the agreement on its criterion needs another idea, and what raised it may come back though its
    step was refused. The criterion's meaning stands beside the text: do not contradict it.
    """

    task: str = dspy.InputField(desc="what the judge is told about its task as a whole; fixed")
    criteria: str = dspy.InputField(desc="what each criterion means")
    current_instructions: str = dspy.InputField(desc="how the judge is told to apply each now")
    advice: str = dspy.InputField(desc="what to change and what to keep, the best supported first")
    edits_tried: str = dspy.InputField(desc=f"what earlier edits changed, and {TRIED}")
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
    hygiene: Hygiene,
    preambles: Sequence[Slot] = (),
    history: Sequence[EditRecord] = (),
) -> Round[Edit]:
    """Rewrite the sections of each group that units of the gradients want to change.

    The other sections are shown and stay, and a group without such a section costs no call. A reply
    is an error if its keys are not those of the sections to rewrite, or if a text is empty; it
    cannot change others. A text that `Hygiene` refuses is asked for once more, with the reason;
    if it is refused again, the section keeps its text, which counts as skipped.
    """
    task = _Rewriting(gradients, brief, label, hygiene, preambles, history)
    first = ask(editor, [task.question(group) for group in groups if task.slots(group)], task.read)
    faults = {edit.criteria: task.faults(edit) for edit in first.records}
    refused = [edit for edit in first.records if faults[edit.criteria]]
    again = [task.repair(edit, faults[edit.criteria]) for edit in refused]
    repaired = {edit.criteria: edit for edit in ask(editor, again, task.read).records}
    edits = [
        task.mended(edit, repaired.get(edit.criteria, edit)) if edit in refused else edit
        for edit in first.records
    ]
    left_out = [
        Skipped(
            editor.name,
            (slot.criterion,) if slot.criterion else edit.criteria,
            f"{label}/{slot.label}",
            faults[edit.criteria][slot],
        )
        for edit in edits
        for slot in faults[edit.criteria]
        if slot not in edit.texts
    ]
    return Round(tuple(edits), (*first.skipped, *left_out))


@dataclass(frozen=True)
class _Rewriting:
    gradients: Sequence[Gradient]
    brief: Brief
    label: str
    hygiene: Hygiene
    preambles: Sequence[Slot]
    history: Sequence[EditRecord]

    def slots(self, group: Group) -> tuple[Slot, ...]:
        """Return the sections of a group that units want to change."""
        changed = self._changed(group)
        slots = tuple(slot for slot in self.brief.slots_of(group) if slot.criterion in changed)
        return (*self.preambles, *slots) if slots else ()

    def _changed(self, group: Group) -> Group:
        changed = {unit.criterion for unit in self.units(group) if unit.change != "keep"}
        return tuple(name for name in group if name in changed)

    def units(self, group: Group) -> list[Unit]:
        """Return the units that name a criterion of a group, the best supported first."""
        everything = (unit for gradient in self.gradients for unit in gradient.units)
        units = [unit for unit in everything if unit.criterion in group]
        return sorted(units, key=lambda unit: len(unit.against) - len(unit.support))

    def question(self, group: Group) -> Question:
        units = self.units(group)
        advice = {
            name: [_counted(unit) for unit in units if unit.criterion == name] or "none: it stays"
            for name in group
        }
        inputs = {
            **self.brief.shared_inputs(group),
            "advice": for_prompt(advice, LONGEST_EVIDENCE),
            "edits_tried": history_of(self.history, self._changed(group), self.brief.objectives),
        }
        if self.preambles:
            preambles = {slot.label: self.brief.candidate.text(slot) for slot in self.preambles}
            inputs["current_instructions"] = {**preambles, **self.brief.current(group)}
        signature = _signature(self.slots(group), self.hygiene.max_chars)
        return Question(group, "", signature, inputs, f"{self.label}/{'+'.join(group)}")

    def read(self, question: Question, reply: dspy.Prediction) -> Edit:
        # The texts go into the judge's system message, and the model that wrote them has read
        # untrusted texts.
        new = {
            slot: quote(text_of(getattr(reply.new_instructions, _field(slot))), headings=False)
            for slot in self.slots(question.criteria)
        }
        return Edit(question.criteria, new)

    def faults(self, edit: Edit) -> dict[Slot, str]:
        known = [str(text) for text in self.brief.meanings(edit.criteria).values()]
        known += [self.brief.candidate.text(slot) for slot in self.preambles]
        reasons = {
            slot: self.hygiene.fault(text, self._former(slot), known)
            for slot, text in edit.texts.items()
        }
        return {slot: reason for slot, reason in reasons.items() if reason}

    def _former(self, slot: Slot) -> list[str]:
        """Return the current text and those that are not to come back."""
        edits = [record for record in self.history if record.criterion == slot.criterion]
        helped = {it.after for it in edits if it.has_helped}
        tried = {text for it in edits for text in (it.before, it.after)} - helped
        return [self.brief.candidate.text(slot), *sorted(tried)]

    def repair(self, edit: Edit, faults: Mapping[Slot, str]) -> Question:
        """Ask again, with the texts that cannot be used and the reason."""
        question = self.question(edit.criteria)
        refused = {slot.label: f"{why}:\n{edit.texts[slot]}" for slot, why in faults.items()}
        field = dspy.InputField(desc="what you wrote first and why it is no use; write another")
        return replace(
            question,
            signature=question.signature.insert(-1, "refused", field, str),
            inputs={**question.inputs, "refused": for_prompt(refused, LONGEST_EVIDENCE)},
            label=f"{question.label}/again",
        )

    def mended(self, edit: Edit, repaired: Edit) -> Edit:
        """Put the repaired texts in the place of the refused ones, and leave out the bad ones."""
        refused, still = self.faults(edit), self.faults(repaired)
        texts = {
            slot: repaired.texts[slot] if slot in refused else text
            for slot, text in edit.texts.items()
            if slot not in refused or slot not in still
        }
        return replace(edit, texts=texts)


def _counted(unit: Unit) -> str:
    against = f", {len(unit.against)} against it" if unit.against else ""
    texts = [name for name in unit.support if name != ALL_TEXTS]
    figures = ", the errors over all texts too" if len(texts) < len(unit.support) else ""
    return f"{unit.change} ({len(texts)} for it{figures}{against}): {unit.rule}"


def _signature(slots: Sequence[Slot], max_chars: int) -> Any:
    """Narrow the reply's type to the keys of these slots.

    Models that follow a schema then cannot miss a key, and a missing or unknown key of any other
    model does not parse.
    """
    # A field's own name must not hide an attribute of pydantic's model; a label may be any word.
    keys = {_field(slot): (str, pydantic.Field(alias=slot.label)) for slot in slots}
    kind = pydantic.create_model(  # type: ignore[call-overload]  # its fields are known at run time
        "NewInstructions", __config__=pydantic.ConfigDict(extra="forbid"), **keys
    )
    labels = ", ".join(slot.label for slot in slots)
    desc = f"a JSON object: the new text of {labels}, each of at most {max_chars} characters"
    return RewriteSections.with_updated_fields("new_instructions", type_=kind, desc=desc)


def _field(slot: Slot) -> str:
    return f"text_of_{slot.label}"
