"""Runs the steps without a model: every prompt gets a reply of the usual length."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import dspy

from mogradjudge.judge.inputs import Inputs
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.images import NamedImage
from mogradjudge.objectives import rubric_objectives
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.events import Event, StepStarted
from mogradjudge.optimize.teleprompter import MOGrad
from mogradjudge.programs.candidate import Candidate
from mogradjudge.settings import FREE, RunFields
from mogradjudge.stages.conflicts import FindConflicts, NewRule, Pair, ProjectUnits
from mogradjudge.stages.gate import AlwaysAccept
from mogradjudge.stages.gradient import Unit, WriteGradient, pooled
from mogradjudge.stages.loss import WriteCritique
from mogradjudge.stages.optimizer import RewriteSections

PARAGRAPH_TOKENS = 90
"""A guess: what a critic, a coach or an editor writes on one criterion."""
REASON_TOKENS = 25
"""A guess: the sentence on one criterion in a judge's rationale."""
THINKING_TOKENS = 250
"""A guess: the reasoning of a critic, a coach or an editor, where it is asked for."""

_WORDS = (
    *("word", "text", "rule", "level", "point", "case", "line", "part", "form", "sign", "note"),
    *("fact", "term", "name", "list", "page", "book", "year", "time", "way", "day", "man", "eye"),
)
"""A token each."""

_ROLES = {
    WriteCritique.instructions: "critic",
    **dict.fromkeys(
        (
            it.instructions
            for it in (WriteGradient, pooled(WriteGradient), FindConflicts, ProjectUnits)
        ),
        "coach",
    ),
    RewriteSections.instructions: "editor",
}


@dataclass(frozen=True)
class RoleCall:
    """One call of a writing role: the prompt, and a reply in place of the model's."""

    role: str
    messages: list[dict[str, Any]]
    reply: str


@dataclass(frozen=True)
class DryRun:
    """The writing roles' calls, each step's batch, and the instructions before and after each.

    A step whose batch has no human scores changes nothing.
    """

    role_calls: tuple[RoleCall, ...]
    batches: tuple[tuple[str, ...], ...]
    candidates: tuple[Candidate, ...]


def dry_run(
    config: MOGradConfig,
    judge: MultiCriteriaJudge,
    train: Sequence[dspy.Example],
    adapter: dspy.Adapter,
) -> DryRun:
    """Take a run's steps, on its own batches, with every proposal accepted.

    The judge's scores are invented, so no critique is skipped because of a close score, and where
    scores decide what is drawn, a run draws other texts.
    """
    # A unit that is dropped for another would save an editor's call.
    replies = _Replies(config.max_section_chars, finds_conflicts=config.resolve == "project")
    names = [field.name for field in fields(config) if field.name not in FREE]
    settings = {name: getattr(config, name) for name in names}
    settings |= {"gate": AlwaysAccept(), "race": "off", "confirm": "off", "proposals": 1}
    # No agreement is defined on the unrated validation text, to choose a parent or the best by.
    settings |= {"skip_tolerance": None, "num_threads": 1, "parent": "last", "choose": "mean"}
    # Explicit, so that no validation texts are needed; such ones have their measure in them.
    objectives = rubric_objectives(judge.rubric, config.level, config.measure)
    settings |= {"measure": RunFields.measure}
    batches: list[tuple[str, ...]] = []

    def note(event: Event) -> None:
        if isinstance(event, StepStarted):
            batches.append(event.example_ids)

    optimizer = MOGrad(**settings, objectives=objectives, observers=[note], display_progress=False)
    no_model = dspy.LM("dry-run/none", engine=_NoModel())
    with dspy.context(lm=no_model, adapter=replying(adapter, replies), trace=[]):
        result = optimizer.optimize(_plain(judge), trainset=train, valset=[_unrated(judge)])
    candidates = [result.measured[0].candidate]
    proposed = {measured.step: measured.candidate for measured in result.measured}
    for step in range(1, config.steps + 1):
        candidates.append(proposed.get(step, candidates[-1]))
    return DryRun(tuple(replies.role_calls), tuple(batches), tuple(candidates))


def usual_scores(signature: type[dspy.Signature]) -> dict[str, Any]:
    """Return a typical judge's reply: the scale's middle score and short reasons."""
    scales = {name: get_args(field.annotation) for name, field in signature.output_fields.items()}
    reasons = _words(REASON_TOKENS * sum(map(bool, scales.values())))
    return {name: scale[len(scale) // 2] if scale else reasons for name, scale in scales.items()}


def replying(adapter: dspy.Adapter, replies: Any) -> dspy.Adapter:
    """Return an adapter with the same prompts that replies in place of the model.

    Args:
        adapter: The adapter.
        replies: Invents the outputs of a call (``reply(lm, signature, inputs)``), and is given what
            would have been sent (``book(model, messages, reply, inputs)``).
    """
    other = copy.copy(adapter)
    other.__class__ = type("Replying", (_Replying, type(adapter)), {})
    other.replies = replies
    return other


class _Replying:
    replies: Any

    def __call__(
        self,
        lm: dspy.BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        outputs = self.replies.reply(lm, signature, inputs)
        messages = self.format(signature, demos, inputs)  # type: ignore[attr-defined]
        reply = self.format_assistant_message_content(signature, outputs)  # type: ignore[attr-defined]
        self.replies.book(lm.model, messages, reply, inputs)
        return [outputs]


class _Replies:
    """Replies of the usual length; the calls of critic, coach and editor are kept."""

    def __init__(self, max_chars: int, *, finds_conflicts: bool) -> None:
        self.role: str | None = None
        self.role_calls: list[RoleCall] = []
        self.max_chars, self.finds_conflicts = max_chars, finds_conflicts

    def reply(
        self, lm: dspy.BaseLM, signature: type[dspy.Signature], inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        begins = signature.instructions.startswith  # over a batch, a coach is told more
        self.role = next((role for words, role in _ROLES.items() if begins(words)), None)
        if self.role is None:
            return usual_scores(signature)
        number, finds = len(self.role_calls), self.finds_conflicts
        return _written(signature, inputs, self.max_chars, number, finds_conflicts=finds)

    def book(self, model: str, messages: list[Any], reply: str, inputs: Mapping[str, Any]) -> None:
        if self.role is not None:
            self.role_calls.append(RoleCall(self.role, messages, reply))


class _NoModel:
    """Fills the place of a model in DSPy; it gets no call."""

    supports_response_schema = False
    supports_function_calling = False
    supports_reasoning = False
    supported_params = ()

    def __deepcopy__(self, memo: object) -> _NoModel:
        return self

    def complete(self, request: Any) -> Any:
        raise NotImplementedError("A dry run sends no call.")


def _written(
    signature: type[dspy.Signature],
    inputs: Mapping[str, Any],
    max_chars: int,
    number: int,
    *,
    finds_conflicts: bool,
) -> dict[str, Any]:
    *thoughts, name = signature.output_fields
    outputs: dict[str, Any] = {thought: _words(THINKING_TOKENS) for thought in thoughts}
    criteria, rule = _names_in(inputs["criteria"]), _words(PARAGRAPH_TOKENS)
    match name:
        case "critique":
            return outputs | {name: _words(PARAGRAPH_TOKENS * len(criteria))}
        case "advice":
            units = [
                Unit(criterion=criterion, change="add", rule=rule, support=("1",))
                for criterion in criteria
            ]
            return outputs | {name: units}
        case "conflicts":
            return outputs | {name: _first_pair(inputs["advice"]) if finds_conflicts else []}
        case "rewritten":
            numbers = map(int, filter(str.isdecimal, _names_in(inputs["advice"])))
            return outputs | {name: [NewRule(number=number, rule=rule) for number in numbers]}
    kind = signature.output_fields[name].annotation
    text = _new_text(number)[:max_chars].strip()
    value = kind.model_validate({own.alias: text for own in kind.model_fields.values()})
    return outputs | {name: value}


def _first_pair(advice: str) -> list[Pair]:
    """Let the first unit conflict with the first one on another criterion."""
    units = re.findall(r"^(?:### |- )(\d+)(?:: |\n)(\w+), ", advice, re.MULTILINE)
    others = [number for number, criterion in units if criterion != units[0][1]]
    reason = _words(REASON_TOKENS)
    return [Pair(one=int(units[0][0]), other=int(it), reason=reason) for it in others[:1]]


def _names_in(criteria: str) -> list[str]:
    """Read the criteria's names as the prompt lists them."""
    return re.findall(r"^(?:### |- )(\w+)", criteria, re.MULTILINE)


def _new_text(number: int) -> str:
    """Make a section that is unlike those of other numbers: a proposal must say something new."""
    first, second = divmod(number, len(_WORDS))
    words = [_WORDS[first % len(_WORDS)]] * (PARAGRAPH_TOKENS // 2)
    return " ".join([*words, *[_WORDS[second]] * (PARAGRAPH_TOKENS // 2)])


def _words(count: int) -> str:
    return " ".join(_WORDS[:1] * count)


def _plain(judge: MultiCriteriaJudge) -> MultiCriteriaJudge:
    """Make a judge with the same prompts whose scores need neither samples nor logprobs."""
    settings = judge.settings
    plain = MultiCriteriaJudge(judge.rubric, layout=settings.layout, rationale=settings.rationale)
    written: MultiCriteriaJudge = Candidate.of(judge).written_into(plain)
    return written


def _unrated(judge: MultiCriteriaJudge) -> dspy.Example:
    """Make a validation text without human scores: it costs nothing and has no effect."""
    inputs: Inputs = dict.fromkeys(judge.rubric.inputs, "(validation text of the dry run)")
    inputs |= dict.fromkeys(judge.rubric.images, NamedImage("data:image/png;base64,", name=""))
    return dspy.Example(**inputs, group="(dry run)").with_inputs(*judge.rubric.inputs)
