"""A program's instructions as a value: read them, edit them, write them into a copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import dspy

from mogradjudge.criteria import Group
from mogradjudge.judge.instructions import Instructions
from mogradjudge.judge.predictor import ScorePredict
from mogradjudge.objectives import Objective
from mogradjudge.programs.structure import clone, key_of


@dataclass(frozen=True)
class Slot:
    """The place of one criterion's section; ``label`` is its name in prompts and replies.

    ``criterion`` is None for a predictor's preamble, which belongs to all criteria.
    """

    label: str
    predictor: str
    criterion: str | None


@dataclass(frozen=True)
class Candidate:
    """The instructions of every predictor of a program, by the predictor's path.

    >>> program = dspy.Predict("question -> answer")
    >>> candidate = Candidate.of(program)
    >>> (slot,) = preamble_slots(program)
    >>> edited = candidate.replace({slot: "Answer in one word."})
    >>> edited.written_into(program).signature.instructions
    'Answer in one word.'
    """

    instructions: Mapping[str, Instructions]

    def __hash__(self) -> int:
        return hash(frozenset(self.instructions.items()))

    @classmethod
    def of(cls, program: dspy.Module) -> Self:
        """Read a program's instructions."""
        return cls(
            {
                path: Instructions.parse(predictor.signature.instructions)
                for path, predictor in program.named_predictors()
            }
        )

    def text(self, slot: Slot) -> str:
        """Return the text of a slot, ``""`` if there is none yet."""
        instructions = self.instructions[slot.predictor]
        if slot.criterion is None:
            return instructions.preamble
        return instructions.section(slot.criterion)

    def replace(self, texts: Mapping[Slot, str]) -> Candidate:
        """Return a copy with new texts in these slots; all others stay as they are."""
        edited = dict(self.instructions)
        for slot, text in texts.items():
            old = edited[slot.predictor]
            if slot.criterion is None:
                edited[slot.predictor] = Instructions(text, old.sections)
            else:
                edited[slot.predictor] = old.replace({slot.criterion: text})
        return Candidate(edited)

    def written_into(self, program: dspy.Module) -> dspy.Module:
        """Return a copy of a program with these instructions and the program's own LMs."""
        copied = clone(program)
        for path, predictor in copied.named_predictors():
            # Unchanged instructions stay as they were written, to the last blank.
            if self.instructions[path] != Instructions.parse(predictor.signature.instructions):
                text = self.instructions[path].render()
                predictor.signature = predictor.signature.with_instructions(text)
        return copied


@dataclass(frozen=True)
class Brief:
    """What every stage knows about the program and its current instructions.

    Args:
        objectives: What is maximized.
        candidate: All instructions of the program.
        slots: The sections that may be edited.
        names_predictors: Whether each preamble is shown with its predictor's name.
    """

    objectives: tuple[Objective, ...]
    candidate: Candidate
    slots: tuple[Slot, ...]
    names_predictors: bool = False

    @property
    def predictors(self) -> tuple[str, ...]:
        """The predictors whose sections may be edited."""
        return tuple(dict.fromkeys(slot.predictor for slot in self.slots))

    def shared_inputs(self, group: Group) -> dict[str, object]:
        """Return the inputs that all roles have in common."""
        preambles = {
            path: instructions.preamble
            for path, instructions in self.candidate.instructions.items()
        }
        if self.names_predictors and len(preambles) > 1:
            tasks = [f"{key_of(path)}: {preamble}" for path, preamble in preambles.items()]
        else:
            tasks = list(dict.fromkeys(preambles.values()))
        return {
            "task": "\n\n".join(tasks),
            "criteria": self.meanings(group),
            "current_instructions": self.current(group),
        }

    def meanings(self, group: Group) -> dict[str, str]:
        """Return what each criterion of a group means."""
        return {
            objective.name: objective.description
            for objective in self.objectives
            if objective.name in group
        }

    def current(self, group: Group) -> dict[str, str]:
        """Return the full current sections of a group, by label."""
        return {slot.label: self.candidate.text(slot) for slot in self.slots_of(group)}

    def slots_of(self, group: Group) -> tuple[Slot, ...]:
        """Return the slots whose criterion is in a group."""
        return tuple(slot for slot in self.slots if slot.criterion in group)


def find_slots(program: dspy.Module, criteria: Group) -> tuple[Slot, ...]:
    """Find a program's sections: a judge's predictors have their own, others all criteria.

    >>> slots = find_slots(dspy.Predict("question -> answer"), ("fluency", "coherence"))
    >>> [slot.label for slot in slots]
    ['fluency', 'coherence']
    """
    places = [
        (path, name)
        for path, predictor in program.named_predictors()
        for name in criteria
        if name in (predictor.criteria if isinstance(predictor, ScorePredict) else criteria)
    ]
    counts = Counter(name for _, name in places)
    return tuple(Slot(_label(path, name, counts[name]), path, name) for path, name in places)


def preamble_slots(program: dspy.Module) -> tuple[Slot, ...]:
    """Return a slot for the preamble of every predictor."""
    paths = [path for path, _ in program.named_predictors()]
    return tuple(Slot(_label(path, "preamble", len(paths)), path, None) for path in paths)


def _label(path: str, name: str, count: int) -> str:
    return name if count == 1 else key_of(f"{path}_{name}")
