"""Estimates what a run would use, before it is paid: calls, tokens and dollars by role."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import dspy

from mogradjudge.data import example_key
from mogradjudge.errors import SetupError
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.predictor import ScorePredict
from mogradjudge.judge.reply import as_a_whole
from mogradjudge.lm.dspy_internals import messages_of
from mogradjudge.lm.ledger import ROLES
from mogradjudge.lm.models import adapter_named
from mogradjudge.lm.pricing import TokenCounter, price
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.datasets import examples_of
from mogradjudge.optimize.dry_run import DryRun, dry_run, usual_scores
from mogradjudge.optimize.sampling import pool_of
from mogradjudge.optimize.sections import is_split
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import name_examples
from mogradjudge.stages.gate import limits_of

RACE_READS = 0.5
"""The share of the validation texts that a race reads, about: fewer where rewrites do harm."""
MIXED = 0.25
"""The share of rewrites, about, that are clearly better on some criteria and worse on others."""


@dataclass(frozen=True)
class RoleEstimate:
    """What one role would use; ``cost`` is in US dollars, None if the model's price is unknown.

    ``likely_calls`` is what ``calls`` would be if each race read `RACE_READS` of the texts, and
    the sections of `MIXED` of the rewrites were mixed with the former ones.

    Calls are an upper estimate: they are exact if no call fails or is repeated, every proposal is
    new, accepted and scored on all validation texts, as is its mix, the initial instructions are
    not the result, no reply comes from a cache, no `skip_tolerance` saves a critique and every text
    is rated on all criteria. The texts that are drawn by disagreement are others than in a run, so
    tokens are those of texts like them.

    Prompts are those that the run would send, and a judge's replies have the expected form, both
    counted by the model's tokenizer if it is available. How much critic, coach, editor and a
    judge's rationale write is a guess, which `dry_run` holds.
    """

    role: str
    calls: int
    likely_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain values."""
        return asdict(self)


@dataclass
class _Sum:
    calls: int = 0
    likely: float = 0.0
    prompt: int = 0
    completion: int = 0

    def add(self, prompt: int, completion: int, calls: int = 1, share: float = 1.0) -> None:
        self.calls += calls
        self.likely += share * calls
        self.prompt += prompt * calls
        self.completion += completion * calls


def estimate(
    config: MOGradConfig,
    judge: MultiCriteriaJudge,
    trainset: Iterable[dspy.Example],
    valset: Iterable[dspy.Example] | None,
    models: Mapping[str, str],
    testset: Iterable[dspy.Example] = (),
) -> tuple[RoleEstimate, ...]:
    """Estimate what `MOGrad.optimize` would use.

    Args:
        config: The run's settings.
        judge: The judge to optimize.
        trainset: As for `MOGrad.optimize`.
        valset: As for `MOGrad.optimize`.
        models: The model of each role, for its tokenizer and its price.
        testset: As for `MOGrad.optimize`.

    Raises:
        SetupError: If the program is no judge.
    """
    _check_judge(judge)
    parts = examples_of(config, None, trainset, valset, testset).parts
    adapter = as_a_whole(adapter_named(models["judge"]))
    counters = {model: TokenCounter(model) for model in set(models.values())}
    sums = {role: _Sum() for role in ROLES}
    run = dry_run(config, judge, parts["training"], adapter)
    for call in run.role_calls:
        counter = counters[models[call.role]]
        sums[call.role].add(counter.messages(call.messages), counter.text(call.reply))
    prompts = _JudgePrompts(judge, adapter, counters[models["judge"]])
    for candidate, examples, share in _rounds(config, judge, run, parts):
        # A round judges equal texts once.
        for example in {example_key(example): example for example in examples}.values():
            for path in prompts.predictors:
                used = prompts.tokens(path, candidate, example)
                sums["judge"].add(*used, calls=judge.settings.n, share=share)
    return tuple(_estimate(role, sums[role], models[role]) for role in ROLES)


def tokens_per_text(
    judge: MultiCriteriaJudge, examples: Sequence[dspy.Example], model: str
) -> float:
    """Return the mean tokens of judging one text, prompts and replies, counted as in `estimate`.

    Args:
        judge: The judge with its instructions.
        examples: The texts, at least one.
        model: The judge's model, for its tokenizer.
    """
    adapter = as_a_whole(adapter_named(model))
    prompts, candidate = _JudgePrompts(judge, adapter, TokenCounter(model)), Candidate.of(judge)
    texts = {example_key(example): example for example in examples}.values()
    used = [
        sum(prompts.tokens(path, candidate, text)) for text in texts for path in prompts.predictors
    ]
    return judge.settings.n * sum(used) / len(texts)


def _check_judge(judge: object) -> None:
    if not isinstance(judge, MultiCriteriaJudge):
        raise SetupError(
            f"`judge` must be a MultiCriteriaJudge, got a {type(judge).__name__}: what another "
            "program sends is known only when it runs. Cap its calls with a Budget."
        )


def _rounds(
    config: MOGradConfig,
    judge: MultiCriteriaJudge,
    run: DryRun,
    parts: Mapping[str, Sequence[dspy.Example]],
) -> Iterator[tuple[Candidate, Sequence[dspy.Example], float]]:
    """Yield each candidate, the examples that it is scored on, and how many of them are likely."""
    has_limits = limits_of(config.gate, judge.rubric.names) is not None
    raced = RACE_READS if config.race != "off" and has_limits else 1.0
    is_mixed = config.mix == "race" and has_limits and not is_split(judge)
    mixed = MIXED * raced if is_mixed and len(judge.rubric.names) > 1 else None
    candidates, train = run.candidates, parts["training"]
    yield candidates[0], parts["validation"], 1.0
    yield candidates[0], pool_of(config, train), 1.0
    by_name = dict(zip(name_examples(train), train, strict=True))
    for current, proposed, batch in zip(candidates, candidates[1:], run.batches, strict=False):
        yield current, [by_name[name] for name in batch], 1.0
        if proposed != current:
            yield proposed, parts["validation"], raced
            if mixed is not None:
                yield proposed, parts["validation"], mixed
    final = candidates[-1]
    yield candidates[0], parts["test"], 1.0
    if final != candidates[0]:
        yield final, parts["test"], 1.0
        yield candidates[0], parts["confirmation"], 1.0
        yield final, parts["confirmation"], 1.0


class _JudgePrompts:
    """Counts the tokens of a judge's prompts; each text once, and the instructions once."""

    def __init__(
        self, judge: MultiCriteriaJudge, adapter: dspy.Adapter, counter: TokenCounter
    ) -> None:
        self.predictors: dict[str, ScorePredict] = dict(judge.named_predictors())
        self.adapter = adapter
        self.counter = counter
        self.reply = cache(self._reply)
        self._instructions: dict[tuple[str, int], int] = {}
        self._texts: dict[tuple[str, str], int] = {}

    def tokens(self, path: str, candidate: Candidate, example: dspy.Example) -> tuple[int, int]:
        """Count the tokens of one call's prompt and of its reply."""
        return self._before(path, candidate) + self._text(path, example), self.reply(path)

    def _before(self, path: str, candidate: Candidate) -> int:
        key = (path, id(candidate))
        if key not in self._instructions:
            instructions = candidate.instructions[path].render()
            signature = self.predictors[path].signature.with_instructions(instructions)
            blank = dict.fromkeys(signature.input_fields, "")
            *messages, last = messages_of(
                self.adapter, signature, self.predictors[path].demos, blank
            )
            frame = self.counter.frame((*(message["role"] for message in messages), last["role"]))
            words = sum(self.counter.content(message["content"]) for message in messages)
            self._instructions[key] = frame + words
        return self._instructions[key]

    def _text(self, path: str, example: dspy.Example) -> int:
        key = (path, example_key(example))
        if key not in self._texts:
            signature, inputs = self.predictors[path].signature, dict(example.inputs())
            last = messages_of(self.adapter, signature, [], inputs)[-1]
            self._texts[key] = self.counter.content(last["content"])
        return self._texts[key]

    def _reply(self, path: str) -> int:
        signature = self.predictors[path].signature
        scores = usual_scores(signature)
        return self.counter.text(self.adapter.format_assistant_message_content(signature, scores))


def _estimate(role: str, used: _Sum, model: str) -> RoleEstimate:
    known = price(model)
    mean = [tokens / max(1, used.calls) for tokens in (used.prompt, used.completion)]
    cost = None if known is None else used.calls * known.of(*mean)
    return RoleEstimate(role, used.calls, round(used.likely), used.prompt, used.completion, cost)
