"""What a run would use, before it is paid: calls, tokens and dollars by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from random import Random
from typing import Any

import dspy

from mogradjudge.candidate import Brief, Candidate, find_slots
from mogradjudge.config import MOGradConfig, batches
from mogradjudge.criteria import Group
from mogradjudge.decomposition import inside
from mogradjudge.gradient import WriteGradient
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.loss import WriteCritique
from mogradjudge.objectives import rubric_objectives
from mogradjudge.optimizer import RewriteSections
from mogradjudge.prices import price

_CHARS_PER_TOKEN = 4.2  # English text, the usual tokenizers
_SCORE_TOKENS = 12  # a score with its field's marker
_PARAGRAPH_TOKENS = 90  # what a critic, a coach or an editor writes on one criterion
_PARAGRAPH = "word " * round(_PARAGRAPH_TOKENS * _CHARS_PER_TOKEN / len("word "))
_SAMPLE = 20  # examples whose length stands for all


@dataclass(frozen=True)
class RoleEstimate:
    """What one role would use; ``cost`` is in US dollars, None if the model's price is not known.

    Calls are exact when nothing fails or is asked again, every proposal is scored and no reply
    comes from a cache.
    Tokens are a guess from the length of the prompts.
    """

    role: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    def as_dict(self) -> dict[str, Any]:
        """Give the row as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class _Calls:
    """Equal calls: how many, and the tokens of one."""

    count: int
    prompt: float
    completion: float


def estimate(
    config: MOGradConfig,
    judge: MultiCriteriaJudge,
    train: Sequence[dspy.Example],
    validation: Sequence[dspy.Example],
    models: Mapping[str, str],
    test: Sequence[dspy.Example] = (),
) -> tuple[RoleEstimate, ...]:
    """Estimate what `MOGrad.optimize` would use.

    Args:
        config: The run's settings.
        judge: The judge to optimize.
        train: The examples that critiques are written on.
        validation: The examples that decide about candidates.
        models: The model of each role, for its price.
        test: The examples that the seed and the final instructions are scored on at the end.
    """
    batch = min(config.batch_size, len(train))
    sample = [*train, *validation][:_SAMPLE]
    names = judge.rubric.names
    brief = Brief(rubric_objectives(judge.rubric), Candidate.of(judge), find_slots(judge, names))
    loss, gradient, optimizer = (
        scope.groups(names)
        for scope in (config.mode.loss, config.mode.gradient, config.mode.optimizer)
    )
    drawn = islice(batches(train, config.batch_size, Random(config.seed)), config.steps)
    per_example = sum(len(each) for each in drawn)
    texts = len(validation) * (config.steps + 1) + per_example + 2 * len(test)
    used = {
        "judge": _judge_calls(judge, sample, texts),
        "critic": [_critic_call(brief, group, sample, per_example) for group in loss],
        "coach": [_coach_call(brief, group, loss, per_example) for group in gradient],
        "editor": [
            _editor_call(brief, group, gradient, batch, config.steps) for group in optimizer
        ],
    }
    return tuple(_total(role, calls, models[role]) for role, calls in used.items())


def _judge_calls(
    judge: MultiCriteriaJudge, sample: Sequence[dspy.Example], texts: int
) -> list[_Calls]:
    reasons = _PARAGRAPH_TOKENS if judge.settings.rationale else 0
    return [
        _Calls(
            count=texts * judge.settings.n,
            prompt=_mean([_tokens(p.signature, dict(each.inputs())) for each in sample]),
            completion=_SCORE_TOKENS * len(p.criteria) + reasons,
        )
        for p in judge.judges.values()
    ]


def _critic_call(brief: Brief, group: Group, sample: Sequence[dspy.Example], count: int) -> _Calls:
    prompts = [
        _tokens(
            WriteCritique,
            {
                **_standing(brief, group),
                "example": dict(example.inputs()),
                "results": dict.fromkeys(group, "judge score 4, human score 3.67, error none"),
            },
        )
        for example in sample
    ]
    return _Calls(count, _mean(prompts), _PARAGRAPH_TOKENS * len(group))


def _coach_call(brief: Brief, group: Group, loss: Sequence[Group], count: int) -> _Calls:
    critiques = [_PARAGRAPH * len(each) for each in loss if inside(each, group)]
    prompt = _tokens(WriteGradient, {**_standing(brief, group), "critiques": critiques})
    return _Calls(count, prompt, _PARAGRAPH_TOKENS * len(group))


def _editor_call(
    brief: Brief, group: Group, gradient: Sequence[Group], batch: int, count: int
) -> _Calls:
    advice = [_PARAGRAPH * len(each) for each in gradient if inside(each, group)] * batch
    prompt = _tokens(RewriteSections, {**_standing(brief, group), "advice": advice})
    return _Calls(count, prompt, _PARAGRAPH_TOKENS * len(group))


def _standing(brief: Brief, group: Group) -> dict[str, object]:
    # Sections grow from their seed text to about a paragraph each.
    sections = dict.fromkeys(brief.current(group), _PARAGRAPH)
    return {**brief.standing(group), "current_instructions": sections}


def _total(role: str, calls: Sequence[_Calls], model: str) -> RoleEstimate:
    prompt = round(sum(each.count * each.prompt for each in calls))
    completion = round(sum(each.count * each.completion for each in calls))
    known = price(model)
    cost = None if known is None else known.of(prompt, completion)
    return RoleEstimate(role, sum(each.count for each in calls), prompt, completion, cost)


def _tokens(signature: type[dspy.Signature], inputs: Mapping[str, object]) -> float:
    messages = dspy.ChatAdapter().format(signature, [], dict(inputs))
    return sum(len(message["content"]) for message in messages) / _CHARS_PER_TOKEN


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
