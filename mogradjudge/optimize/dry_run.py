"""Runs the steps without a model: every prompt gets a reply of the usual length."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import dspy

from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.objectives import rubric_objectives
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.teleprompter import MOGrad
from mogradjudge.programs.candidate import Candidate
from mogradjudge.settings import FREE
from mogradjudge.stages.gate import AlwaysAccept
from mogradjudge.stages.gradient import WriteGradient
from mogradjudge.stages.loss import WriteCritique
from mogradjudge.stages.optimizer import RewriteSections

PARAGRAPH_TOKENS = 90
"""A guess: what a critic, a coach or an editor writes on one criterion."""
REASON_TOKENS = 25
"""A guess: the sentence on one criterion in a judge's rationale."""

_ROLES = {
    WriteCritique.instructions: "critic",
    WriteGradient.instructions: "coach",
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
    """The writing roles' calls, and the current instructions: the initial ones, then each step's.

    A step whose batch has no human scores changes nothing.
    """

    role_calls: tuple[RoleCall, ...]
    candidates: tuple[Candidate, ...]


def dry_run(
    config: MOGradConfig,
    judge: MultiCriteriaJudge,
    train: Sequence[dspy.Example],
    adapter: dspy.Adapter,
) -> DryRun:
    """Take a run's steps, on its own batches, with every proposal accepted.

    The judge's scores are invented, so no critique is skipped because of a close score.
    """
    replying = copy.copy(adapter)
    replying.__class__ = type("Replying", (_Replying, type(adapter)), {})
    replying.role_calls, replying.max_chars = [], config.max_section_chars
    names = [field.name for field in fields(config) if field.name not in FREE]
    settings = {name: getattr(config, name) for name in names}
    settings |= {"gate": AlwaysAccept(), "race": "off", "confirm": "off"}
    settings |= {"skip_tolerance": None, "num_threads": 1}
    objectives = rubric_objectives(judge.rubric)  # explicit, so that no validation texts are needed
    optimizer = MOGrad(**settings, objectives=objectives, display_progress=False)
    no_model = dspy.LM("dry-run/none", engine=_NoModel())
    with dspy.context(lm=no_model, adapter=replying, trace=[]):
        result = optimizer.optimize(_plain(judge), trainset=train, valset=[_unrated(judge)])
    candidates = [result.measured[0].candidate]
    proposed = {measured.step: measured.candidate for measured in result.measured}
    for step in range(1, config.steps + 1):
        candidates.append(proposed.get(step, candidates[-1]))
    return DryRun(tuple(replying.role_calls), tuple(candidates))


def usual_scores(signature: type[dspy.Signature]) -> dict[str, Any]:
    """Return a typical judge's reply: the scale's middle score and short reasons."""
    scales = {name: get_args(field.annotation) for name, field in signature.output_fields.items()}
    reasons = _words(REASON_TOKENS * sum(map(bool, scales.values())))
    return {name: scale[len(scale) // 2] if scale else reasons for name, scale in scales.items()}


class _Replying:
    """Turns an adapter into one that replies in place of the model."""

    role_calls: list[RoleCall]
    max_chars: int

    def __call__(
        self,
        lm: dspy.BaseLM,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[dict[str, Any]],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        role = _ROLES.get(signature.instructions)
        if role is None:
            return [usual_scores(signature)]
        outputs = _written(signature, inputs, self.max_chars)
        messages = self.format(signature, demos, inputs)  # type: ignore[attr-defined]
        reply = self.format_assistant_message_content(signature, outputs)  # type: ignore[attr-defined]
        self.role_calls.append(RoleCall(role, messages, reply))
        return [outputs]


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
    signature: type[dspy.Signature], inputs: Mapping[str, Any], max_chars: int
) -> dict[str, Any]:
    (name,) = signature.output_fields
    if signature.instructions != RewriteSections.instructions:
        return {name: _words(PARAGRAPH_TOKENS * len(inputs["criteria"]))}
    text = _words(PARAGRAPH_TOKENS)[:max_chars].strip()
    current = inputs["current_instructions"]
    # Every proposal must differ from the last one.
    new = {key: text.capitalize() if old == text else text for key, old in current.items()}
    return {name: signature.output_fields[name].annotation.model_validate(new)}


def _words(count: int) -> str:
    return " ".join(["word"] * count)  # a token each


def _plain(judge: MultiCriteriaJudge) -> MultiCriteriaJudge:
    """Make a judge with the same prompts whose scores need neither samples nor logprobs."""
    settings = judge.settings
    plain = MultiCriteriaJudge(judge.rubric, layout=settings.layout, rationale=settings.rationale)
    written: MultiCriteriaJudge = Candidate.of(judge).written_into(plain)
    return written


def _unrated(judge: MultiCriteriaJudge) -> dspy.Example:
    """Make a validation text without human scores: it costs nothing and has no effect."""
    inputs = dict.fromkeys(judge.rubric.inputs, "(validation text of the dry run)")
    return dspy.Example(**inputs, group="(dry run)").with_inputs(*judge.rubric.inputs)
