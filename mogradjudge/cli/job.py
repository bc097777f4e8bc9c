"""What ``compile`` is asked to do, made ready: rubric, texts, judge, optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import dspy

from mogradjudge.agreement import Level
from mogradjudge.config import Auto
from mogradjudge.criteria import Rubric
from mogradjudge.data import check_disjoint, load_examples, split_by_group
from mogradjudge.errors import SetupError
from mogradjudge.events import Observer
from mogradjudge.gate import AlwaysAccept, Gate, NoCriterionRegression, NoMeanRegression
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.models import make_lm
from mogradjudge.runs import digest_of
from mogradjudge.scores import Layout, ScoreRule
from mogradjudge.teleprompter import MOGrad

_VALIDATION_SHARE = 0.4  # of the texts that are not held out


@dataclass(frozen=True)
class Options:
    """What the caller asked for; the names are those of the options."""

    data: str
    rubric: str
    lm: str
    api_base: str | None
    temperature: float
    max_tokens: int | None
    num_threads: int
    timeout: float
    layout: Layout
    score_rule: ScoreRule
    n: int
    rationale: bool
    fallback: Literal["integer"] | None
    mode: str
    auto: Auto | None
    steps: int | None
    batch_size: int
    seed: int
    gate: str
    tolerance: float
    skip_tolerance: float | None
    level: Level
    edit_preamble: bool
    max_calls: int | None
    prompt_lm: str | None
    test_share: float
    limit: int | None

    def gate_value(self) -> Gate:
        """Make the gate."""
        if self.gate != "criterion" and self.tolerance:
            raise SetupError(f"`--tolerance` goes with `--gate criterion`, got {self.gate!r}.")
        match self.gate:
            case "criterion":
                return NoCriterionRegression(self.tolerance)
            case "none":
                return AlwaysAccept()
            case _:
                return NoMeanRegression()


@dataclass(frozen=True)
class Job:
    """An optimization that is ready to start."""

    rubric: Rubric
    judge: MultiCriteriaJudge
    train: list[dspy.Example]
    validation: list[dspy.Example]
    test: list[dspy.Example]


def prepare(options: Options) -> Job:
    """Read rubric and data, and split the texts."""
    rubric = Rubric.from_toml(options.rubric)
    examples = load_examples(options.data, rubric, options.limit)
    judge = MultiCriteriaJudge(
        rubric,
        layout=options.layout,
        score_rule=options.score_rule,
        n=options.n,
        rationale=options.rationale,
        fallback=options.fallback,
    )
    if not 0 <= options.test_share < 1:
        raise SetupError(f"`--test-share` must lie in [0, 1), got {options.test_share!r}.")
    rest = 1 - options.test_share
    shares = [rest * (1 - _VALIDATION_SHARE), rest * _VALIDATION_SHARE]
    if not options.test_share:
        train, validation = split_by_group(examples, shares, options.seed)
        return Job(rubric, judge, train, validation, [])
    train, validation, test = split_by_group(examples, [*shares, options.test_share], options.seed)
    check_disjoint([*train, *validation], test, ("training or validation", "test"))
    return Job(rubric, judge, train, validation, test)


def make_optimizer(options: Options, observers: Sequence[Observer] = ()) -> MOGrad:
    """Make the optimizer; LMs are given to it where they differ from the judge's."""
    return MOGrad(
        mode=options.mode,
        auto=options.auto,
        steps=options.steps,
        batch_size=options.batch_size,
        seed=options.seed,
        gate=options.gate_value(),
        skip_tolerance=options.skip_tolerance,
        prompt_lm=_prompt_lm(options),
        edit_preamble=options.edit_preamble,
        level=options.level,
        max_calls=options.max_calls,
        num_threads=options.num_threads,
        observers=observers,
    )


def _prompt_lm(options: Options) -> dspy.LM | None:
    if options.prompt_lm is None:
        return None
    # The server speaks for its own provider; another one has its usual address.
    same = options.prompt_lm.partition("/")[0] == options.lm.partition("/")[0]
    base = options.api_base if same else None
    return make_lm(options.prompt_lm, base, max_tokens=options.max_tokens, timeout=options.timeout)


def asked_of(options: Options, job: Job) -> dict[str, Any]:
    """Give all that decides the result; a run is taken up only if it is unchanged."""
    config = make_optimizer(options).config.as_dict()
    # These two change how long a run takes and where it ends, not what it finds on the way.
    free = ("num_threads", "max_calls")
    return {
        **{key: value for key, value in config.items() if key not in free},
        "judge": {key: getattr(options, key) for key in _JUDGE_KEYS},
        "rubric": job.rubric.to_toml(),
        "training data": digest_of(job.train),
        "validation data": digest_of(job.validation),
        "test data": digest_of(job.test),
        "lm": options.lm,
        "api_base": options.api_base,
        "prompt_lm": options.prompt_lm,
        "temperature": options.temperature,
        "max_tokens": options.max_tokens,
        "versions": {name: version(name) for name in ("dspy", "mogradjudge")},
    }


_JUDGE_KEYS = ("layout", "score_rule", "n", "rationale", "fallback")
