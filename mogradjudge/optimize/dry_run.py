"""A run without a model: each prompt is written, and answered with a text of the usual length."""

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
class Spoken:
    """One call of a writing role: the prompt, and the reply that stands for the model's."""

    role: str
    messages: list[dict[str, Any]]
    reply: str


@dataclass(frozen=True)
class Rehearsal:
    """The writing roles' calls, and the instructions in force: the seed's, then each step's.

    A step whose batch has no human scores brings nothing new.
    """

    spoken: tuple[Spoken, ...]
    candidates: tuple[Candidate, ...]


def rehearse(
    config: MOGradConfig,
    judge: MultiCriteriaJudge,
    train: Sequence[dspy.Example],
    adapter: dspy.Adapter,
) -> Rehearsal:
    """Go through a run's steps, on its own batches, with every proposal accepted.

    The judge's scores are made up, so nothing is skipped for being close to the human score.
    """
    cast = copy.copy(adapter)
    cast.__class__ = type("Rehearsing", (_Rehearsing, type(adapter)), {})
    cast.spoken, cast.max_chars = [], config.max_section_chars
    names = [field.name for field in fields(config) if field.name not in FREE]
    settings = {name: getattr(config, name) for name in names}
    settings |= {"gate": AlwaysAccept(), "skip_tolerance": None, "num_threads": 1}
    objectives = rubric_objectives(judge.rubric)  # given, so that no validation texts are needed
    optimizer = MOGrad(**settings, objectives=objectives, display_progress=False)
    nobody = dspy.LM("rehearsal/nobody", engine=_Nobody())
    with dspy.context(lm=nobody, adapter=cast, trace=[]):
        result = optimizer.optimize(_plain(judge), trainset=train, valset=[_unrated(judge)])
    candidates = [result.measured[0].candidate]
    proposed = {each.step: each.candidate for each in result.measured}
    for step in range(1, config.steps + 1):
        candidates.append(proposed.get(step, candidates[-1]))
    return Rehearsal(tuple(cast.spoken), tuple(candidates))


def usual_scores(signature: type[dspy.Signature]) -> dict[str, Any]:
    """Give a judge's reply as it is expected: a score of the scale's middle, short reasons."""
    scales = {name: get_args(field.annotation) for name, field in signature.output_fields.items()}
    reasons = _words(REASON_TOKENS * sum(map(bool, scales.values())))
    return {name: scale[len(scale) // 2] if scale else reasons for name, scale in scales.items()}


class _Rehearsing:
    """Turns an adapter into one that answers in the model's place."""

    spoken: list[Spoken]
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
        self.spoken.append(Spoken(role, messages, reply))
        return [outputs]


class _Nobody:
    """Stands where DSPy wants a model."""

    supports_response_schema = False
    supports_function_calling = False
    supports_reasoning = False
    supported_params = ()

    def __deepcopy__(self, memo: object) -> _Nobody:
        return self

    def complete(self, request: Any) -> Any:
        raise NotImplementedError("A rehearsal sends no call.")


def _written(
    signature: type[dspy.Signature], inputs: Mapping[str, Any], max_chars: int
) -> dict[str, Any]:
    (name,) = signature.output_fields
    if signature.instructions != RewriteSections.instructions:
        return {name: _words(PARAGRAPH_TOKENS * len(inputs["criteria"]))}
    text = _words(PARAGRAPH_TOKENS)[:max_chars].strip()
    current = inputs["current_instructions"]
    # Every proposal has to differ from the one before.
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
    """Make a text to validate on that costs nothing and decides nothing."""
    inputs = dict.fromkeys(judge.rubric.inputs, "(the rehearsal's validation text)")
    return dspy.Example(**inputs, group="(rehearsal)").with_inputs(*judge.rubric.inputs)
