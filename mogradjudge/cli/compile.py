"""``mogradjudge compile`` and ``mogradjudge estimate``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click
import dspy

from mogradjudge.agreement import Level
from mogradjudge.cli.options import (
    data_argument,
    json_option,
    judge_options,
    limit_option,
    lm_options,
    rubric_option,
    run_options,
)
from mogradjudge.config import Auto
from mogradjudge.criteria import Rubric
from mogradjudge.data import load_examples, split_by_group
from mogradjudge.errors import SetupError
from mogradjudge.estimate import estimate
from mogradjudge.events import Event, Observer, describe
from mogradjudge.gate import AlwaysAccept, Gate, NoCriterionRegression, NoMeanRegression
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.ledger import ROLES
from mogradjudge.models import adapter_for, make_lm
from mogradjudge.progress import HEADLINES
from mogradjudge.result import OptimizationResult
from mogradjudge.runs import RunDirectory, digest_of, to_json
from mogradjudge.scores import Layout, ScoreRule
from mogradjudge.scoring import agreement_on
from mogradjudge.tables import print_estimate, print_run
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
    return make_lm(options.prompt_lm, base, max_tokens=options.max_tokens)


def asked_of(options: Options, job: Job) -> dict[str, Any]:
    """Give all that decides the result; a run is taken up only if it is unchanged."""
    from importlib.metadata import version

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
        "prompt_lm": options.prompt_lm,
        "temperature": options.temperature,
        "max_tokens": options.max_tokens,
        "versions": {name: version(name) for name in ("dspy", "mogradjudge")},
    }


_JUDGE_KEYS = ("layout", "score_rule", "n", "rationale", "fallback")


def run(options: Options, job: Job, folder: RunDirectory) -> dict[str, Any]:
    """Optimize into a run's folder; gives what `result.json` holds."""
    lm = make_lm(options.lm, options.api_base, options.temperature, options.max_tokens)
    with (
        folder.recording() as observer,
        dspy.context(lm=lm, adapter=adapter_for(lm)),
    ):
        optimizer = make_optimizer(options, [observer, _tell])
        outcome = optimizer.optimize(job.judge, trainset=job.train, valset=job.validation)
        result = outcome.as_dict()
        if job.test:
            result["test"] = _on_test(options, job, outcome)
    folder.finish(outcome.program, job.rubric, result)
    return result


def _tell(event: Event) -> None:
    """Write a line to a log; on a terminal the progress bar does."""
    if isinstance(event, HEADLINES) and not sys.stderr.isatty():
        click.echo(describe(event), err=True)


def _on_test(options: Options, job: Job, outcome: OptimizationResult) -> dict[str, Any]:
    """Score both ends of the run on the texts that it never saw."""
    seed = agreement_on(job.judge, job.test, options.num_threads, options.level)
    final = seed
    if not outcome.seed_kept:
        final = agreement_on(outcome.program, job.test, options.num_threads, options.level)
    return {"n": len(job.test), "seed": seed.as_dict(), "final": final.as_dict()}


@click.command("compile", short_help="Optimize a judge on rated texts.")
@data_argument
@rubric_option
@lm_options
@judge_options
@run_options
@limit_option
@click.option("--out", required=True, metavar="RUN_DIR", help="The run's folder.")
@json_option
def compile_command(out: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001 - click's
    r"""Optimize a judge on the rated texts of DATA, and save it in RUN_DIR.

    Running it again with the same RUN_DIR takes the run up where it was cut short.

    \b
    mogradjudge compile ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --out run
    """
    chosen = Options(**options)
    job = prepare(chosen)
    folder = RunDirectory(out, asked_of(chosen, job))
    result = folder.result()
    if result is not None:
        click.echo(f"{out} holds this run already, finished.", err=True)
    else:
        result = run(chosen, job, folder)
    if as_json:
        click.echo(to_json(result))
        return
    print_run(result)
    click.echo(verdict(result))
    click.echo(f"{out}/judge.json holds the judge, {out}/result.json all figures.")


def verdict(result: Mapping[str, Any]) -> str:
    """Say in a sentence how the run ended."""
    ended = {"steps": "All steps were taken", "budget": "The budget ran out"}
    reason = ended.get(result["stop_reason"], "The run was interrupted")
    if result["seed_kept"]:
        return f"{reason}. Nothing beat the seed instructions on the validation texts: they stay."
    return f"{reason}. The rewritten instructions did best on the validation texts."


@click.command("estimate", short_help="What compile would use, before paying.")
@data_argument
@rubric_option
@lm_options
@judge_options
@run_options
@limit_option
@json_option
def estimate_command(as_json: bool, **options: Any) -> None:  # noqa: FBT001 - click's
    r"""Say which calls, tokens and dollars `compile` would use at the most; sends no call.

    \b
    mogradjudge estimate ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --steps 12
    """
    chosen = Options(**options)
    job = prepare(chosen)
    writer = chosen.prompt_lm or chosen.lm
    models = {role: chosen.lm if role == "judge" else writer for role in ROLES}
    config = make_optimizer(chosen).config
    rows = estimate(config, job.judge, job.train, job.validation, models)
    if as_json:
        click.echo(to_json([row.as_dict() for row in rows]))
    else:
        print_estimate(rows)
