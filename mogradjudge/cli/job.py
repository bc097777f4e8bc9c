"""The options of ``compile``, and the rubric, texts, judge and optimizer they describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import dspy

from mogradjudge.cli.options import reading_of
from mogradjudge.criteria import Rubric
from mogradjudge.data import load_examples, places_by_group, split_by_group
from mogradjudge.errors import SetupError
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.budget import Budget
from mogradjudge.lm.models import make_lm
from mogradjudge.optimize.config import MOGradConfig, config_with, resolve_steps
from mogradjudge.optimize.events import Observer
from mogradjudge.optimize.teleprompter import MOGrad
from mogradjudge.settings import (
    JUDGE_SETTINGS,
    RUN_SETTINGS,
    Auto,
    GateFields,
    JudgeFields,
    RunFields,
)

_FEWEST_GROUPS = 2  # one for training, one for validation


@dataclass(frozen=True, kw_only=True)
class Options(RunFields, GateFields, JudgeFields):
    """The options' values, by their names."""

    data: str
    rubric: str
    lm: str
    api_base: str | None
    temperature: float | None
    max_tokens: int | None
    timeout: float
    auto: Auto | None
    steps: int | None = None  # type: ignore[assignment]  # None leaves it to `auto`
    max_calls: int | None
    max_total_tokens: int | None
    max_cost: float | None
    max_seconds: float | None
    prompt_lm: str | None
    test_share: float
    limit: int | None
    sep: str | None = None
    encoding: str | None = None
    skip_bad: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Pick the options from a command's values."""
        return cls(**{own.name: values[own.name] for own in fields(cls) if own.name in values})


@dataclass(frozen=True)
class Job:
    """An optimization that is ready to start."""

    rubric: Rubric
    judge: MultiCriteriaJudge
    examples: list[dspy.Example]
    test: list[dspy.Example]


@dataclass(frozen=True)
class Texts:
    """A rubric and the rated texts: those to optimize on, and the held-out ones."""

    rubric: Rubric
    rest: list[dspy.Example]
    test: list[dspy.Example]


def prepare(options: Options) -> Job:
    """Read rubric and data, and hold out the test texts; the optimizer splits the others."""
    texts = read_texts(options)
    return Job(texts.rubric, make_judge(options, texts.rubric), texts.rest, texts.test)


def read_texts(options: Options) -> Texts:
    """Read rubric and texts, and hold out ``test_share`` of the texts.

    The test texts are split off first, so that all commands hold out the same ones with the same
    seed, however they split the rest.

    Raises:
        SetupError: If a file cannot be read, or a part would be empty.
    """
    rubric = Rubric.from_toml(options.rubric)
    reading = reading_of(vars(options))
    examples = load_examples(options.data, rubric, options.limit, options=reading)
    return Texts(rubric, *hold_out(examples, options.test_share, options.seed))


def hold_out(
    examples: list[dspy.Example], test_share: float, seed: int
) -> tuple[list[dspy.Example], list[dspy.Example]]:
    """Return the texts to optimize on, and the held-out ones.

    Raises:
        SetupError: If a part would be empty.
    """
    if not test_share:
        return examples, []
    rest, test = split_by_group(examples, (1 - test_share, test_share), seed)
    if (groups := len(places_by_group(rest))) < _FEWEST_GROUPS:
        raise SetupError(
            f"--test-share holds out {len(test)} of {len(examples)} texts, and the others are of "
            f"{groups} group, but training and validation need {_FEWEST_GROUPS}. Hold out fewer, "
            "or add data."
        )
    return rest, test


def make_judge(options: Options, rubric: Rubric) -> MultiCriteriaJudge:
    """Build the judge to optimize."""
    return MultiCriteriaJudge(rubric, **{name: getattr(options, name) for name in JUDGE_SETTINGS})


def make_optimizer(
    options: Options,
    observers: Sequence[Observer] = (),
    run_dir: str | None = None,
    *,
    display: bool | None = None,
) -> MOGrad:
    """Build the optimizer, with LMs of its own where they differ from the judge's."""
    values = {name: getattr(options, name) for name in RUN_SETTINGS if RUN_SETTINGS[name].option}
    values |= {
        "steps": resolve_steps(options.auto, options.steps),
        "budget": Budget(
            options.max_calls, options.max_total_tokens, options.max_cost, options.max_seconds
        ),
    }
    return MOGrad.from_config(
        config_with(values, MOGradConfig()),
        prompt_lm=_prompt_lm(options),
        run_dir=run_dir,
        observers=observers,
        display_progress=display,
    )


def _prompt_lm(options: Options) -> dspy.LM | None:
    own = (options.critic_temperature, options.coach_temperature, options.editor_temperature)
    if options.prompt_lm is None and None not in own:
        return None
    model = options.prompt_lm or options.lm
    # The server speaks for its own provider; another one has its usual address.
    same = model.partition("/")[0] == options.lm.partition("/")[0]
    base = options.api_base if same else None
    # A role without a temperature is sent its LM's, so none of them may have one.
    temperature = None if None in own else 0.0
    return make_lm(model, base, temperature, options.max_tokens, options.timeout)
