"""Between coach and editor: finds advice on different criteria that undoes each other."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import dspy
import pydantic

from mogradjudge.criteria import Group
from mogradjudge.errors import ReplyError
from mogradjudge.lm.media import LONGEST_EVIDENCE, for_prompt
from mogradjudge.programs.candidate import Brief
from mogradjudge.settings import Resolve
from mogradjudge.stages.gradient import Gradient, Unit
from mogradjudge.stages.role import Question, Role, Skipped, ask

_MOST_CALLS: Mapping[Resolve, int] = {"none": 0, "project": 2, "prioritize": 1}


class Pair(pydantic.BaseModel):
    """Two units, by their numbers, and why they conflict."""

    model_config = pydantic.ConfigDict(
        frozen=True,
        json_schema_extra=lambda schema: schema.pop("description"),  # the prompt says it
    )

    one: int
    other: int
    reason: str = ""


class NewRule(pydantic.BaseModel):
    """The new text of a unit, by its number; empty if nothing is left of it."""

    model_config = Pair.model_config

    number: int
    rule: str


class FindConflicts(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Find advice on a judge's scoring instructions that undoes other advice in the same prompt.

    The judge reads the instructions on several criteria together, so a rule on one of them can
    sway its scores on another. Each numbered piece of advice is meant for one criterion. Name each
    pair of pieces on different criteria of which one, once it is followed, would undo what the
    other is for, and say why in a sentence. Pieces that only differ, or say the same, are no
    conflict. Where there is none, return an empty list.
    """

    task: str = dspy.InputField(desc="what the judge is told about its task as a whole; fixed")
    criteria: str = dspy.InputField(desc="what each criterion means")
    current_instructions: str = dspy.InputField(desc="how the judge is told to apply each now")
    advice: str = dspy.InputField(desc="what to change and what to keep, by number")
    conflicts: list[Pair] = dspy.OutputField(desc="a JSON list of pairs of numbers, with reasons")


class ProjectUnits(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Rewrite advice on a judge's scoring instructions so that it harms no other criterion.

    Each numbered piece of advice is meant for one criterion, and stands with the advice on other
    criteria that it would undo in the same prompt. Take out of each piece the part that does this
    harm, or narrow it to where it does none. What it does for its own criterion stays, and nothing
    is added for the others: their advice is kept as well. Where nothing would be left of a piece,
    write an empty text.
    """

    task: str = dspy.InputField(desc="what the judge is told about its task as a whole; fixed")
    criteria: str = dspy.InputField(desc="what each criterion means")
    current_instructions: str = dspy.InputField(desc="how the judge is told to apply each now")
    advice: str = dspy.InputField(desc="each piece by number, and what it would undo")
    rewritten: list[NewRule] = dspy.OutputField(desc="a JSON list: each number with its new text")


@dataclass(frozen=True)
class Side:
    """One of two units in conflict; ``after`` is the rule that the editor gets, None for none."""

    criterion: str
    rule: str
    after: str | None


@dataclass(frozen=True)
class Conflict:
    """Two units of different criteria that would undo each other, and what became of them."""

    one: Side
    other: Side
    reason: str


@dataclass(frozen=True)
class Resolution:
    """The gradients that go on to the editors, the conflicts between them, and what failed."""

    gradients: tuple[Gradient, ...]
    conflicts: tuple[Conflict, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def resolve_conflicts(
    gradients: Sequence[Gradient],
    brief: Brief,
    coach: Role,
    *,
    label: str,
    resolve: Resolve,
    shortfall: Mapping[str, float],
) -> Resolution:
    """Find the units of a step that would undo each other, and resolve that.

    The coach is asked once for the pairs. ``"project"`` asks it once more to rewrite both units of
    each pair without their harm, all against the original ones and in a random order, after PCGrad
    (Yu et al. 2020, arXiv 2001.06782). ``"prioritize"`` drops a unit that conflicts with one of a
    criterion farther below its ceiling, in the spirit of MGDA (Sener & Koltun 2018, arXiv
    1810.04650). A reply that cannot be used changes nothing. Advice on criteria that no prompt has
    together is in no conflict.

    Args:
        gradients: The advice of the step.
        brief: What the stages know of the program.
        coach: The role that is asked.
        label: The step's label; it also seeds the random order.
        resolve: What becomes of a conflict; nothing is asked with ``"none"``.
        shortfall: How far each criterion is below its ceiling, where that can be measured.
    """
    task = _Resolving(tuple(gradients), brief, coach, label)
    if resolve == "none" or not task.together:
        return Resolution(task.gradients)
    pairs, skipped = task.find()
    rules: dict[int, str | None] = {}
    if pairs and resolve == "prioritize":
        rules = dict.fromkeys(_outranked(task.units, pairs, shortfall))
    elif pairs:
        rules, failed = task.project(pairs)
        skipped = (*skipped, *failed)
    conflicts = tuple(task.conflict(pair, rules) for pair in pairs)
    return Resolution(task.with_rules(rules), conflicts, skipped)


def most_calls(resolve: Resolve, criteria: Group) -> int:
    """Return the most calls of a step that conflicts take.

    >>> most_calls("project", ("tone", "style"))
    2
    """
    return _MOST_CALLS[resolve] if len(criteria) > 1 else 0


@dataclass(frozen=True)
class _Resolving:
    gradients: tuple[Gradient, ...]
    brief: Brief
    coach: Role
    label: str

    @property
    def units(self) -> list[Unit]:
        """All units; their places, from 1, are their numbers."""
        return [unit for gradient in self.gradients for unit in gradient.units]

    @property
    def together(self) -> set[frozenset[str]]:
        """The pairs of advised criteria that stand in one prompt."""
        advised = {unit.criterion for unit in self.units}
        prompts: dict[str, list[str]] = {}
        for slot in self.brief.slots_of(tuple(advised)):
            prompts.setdefault(slot.predictor, []).append(str(slot.criterion))
        return {frozenset(it) for names in prompts.values() for it in combinations(names, 2)}

    def find(self) -> tuple[list[Pair], tuple[Skipped, ...]]:
        names = set[str]().union(*self.together)
        numbered = enumerate(self.units, 1)
        advice = {str(number): str(unit) for number, unit in numbered if unit.criterion in names}
        question = self._question(FindConflicts, advice, "conflicts")
        answers = ask(self.coach, [question], lambda _, reply: reply.conflicts)
        pairs = [pair for replied in answers.records for pair in replied]
        fits = {frozenset((it.one, it.other)): it for it in pairs if self._is_conflict(it)}
        wrong = [pair for pair in pairs if not self._is_conflict(pair)]
        reason = "a conflict is not between units of two criteria of one prompt"
        failed = partial(Skipped, self.coach.name, question.criteria, question.label, reason)
        return list(fits.values()), (*answers.skipped, *(failed(str(pair)) for pair in wrong))

    def _is_conflict(self, pair: Pair) -> bool:
        units = dict(enumerate(self.units, 1))
        one, other = units.get(pair.one), units.get(pair.other)
        if one is None or other is None:
            return False
        return frozenset((one.criterion, other.criterion)) in self.together

    def project(self, pairs: Sequence[Pair]) -> tuple[dict[int, str | None], tuple[Skipped, ...]]:
        """Rewrite each unit of a pair against the original ones that it conflicts with."""
        sides = [side for it in pairs for side in ((it.one, it.other), (it.other, it.one))]
        harms: dict[int, list[int]] = {}
        for number, harmed in random.Random(self.label).sample(sides, len(sides)):
            harms.setdefault(number, []).append(harmed)
        reasons = {frozenset((it.one, it.other)): it.reason for it in pairs}
        advice = {
            str(number): {
                "advice": str(self.units[number - 1]),
                "would undo": [
                    f"{self.units[place - 1]} ({reasons[frozenset((number, place))]})"
                    for place in harmed
                ],
            }
            for number, harmed in harms.items()
        }
        question = self._question(ProjectUnits, advice, "projection")
        answers = ask(self.coach, [question], partial(_new_rules, set(harms)))
        rules = {number: rule for replied in answers.records for number, rule in replied.items()}
        return rules, answers.skipped

    def _question(
        self, signature: type[dspy.Signature], advice: Mapping[str, object], name: str
    ) -> Question:
        advised = {unit.criterion for unit in self.units}
        group = tuple(it.name for it in self.brief.objectives if it.name in advised)
        inputs = {
            **self.brief.shared_inputs(group),
            "advice": for_prompt(advice, LONGEST_EVIDENCE),
        }
        return Question(group, "", signature, inputs, f"{self.label}/{name}")

    def conflict(self, pair: Pair, rules: Mapping[int, str | None]) -> Conflict:
        def side(number: int) -> Side:
            unit = self.units[number - 1]
            return Side(unit.criterion, unit.rule, rules.get(number, unit.rule))

        return Conflict(side(pair.one), side(pair.other), pair.reason)

    def with_rules(self, rules: Mapping[int, str | None]) -> tuple[Gradient, ...]:
        """Return the gradients with new rules; a unit whose rule is None is left out."""
        numbered = iter(enumerate(self.units, 1))
        changed = []
        for gradient in self.gradients:
            own = [next(numbered) for _ in gradient.units]
            new = [(unit, rules.get(number, unit.rule)) for number, unit in own]
            units = (unit.model_copy(update={"rule": rule}) for unit, rule in new if rule)
            changed.append(replace(gradient, units=tuple(units)))
        return tuple(changed)


def _new_rules(numbers: set[int], _: Question, reply: dspy.Prediction) -> dict[int, str | None]:
    rules = {new.number: new.rule.strip() or None for new in reply.rewritten}
    if set(rules) != numbers:
        raise ReplyError(f"It rewrites the units {sorted(rules)} in place of {sorted(numbers)}.")
    return rules


def _outranked(
    units: Sequence[Unit], pairs: Sequence[Pair], shortfall: Mapping[str, float]
) -> list[int]:
    """Return the units that conflict with one of a criterion that is worse off."""
    conflicting = {frozenset((pair.one, pair.other)) for pair in pairs}

    def need(number: int) -> float:
        return shortfall.get(units[number - 1].criterion, float("-inf"))

    served: list[int] = []
    outranked: list[int] = []
    for number in sorted(range(1, len(units) + 1), key=need, reverse=True):
        clashes = any(frozenset((number, it)) in conflicting for it in served)
        (outranked if clashes else served).append(number)
    return outranked
