"""``mogradjudge search``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mogradjudge.cli.config_file import config_option, with_precedence
from mogradjudge.cli.options import (
    FILE,
    FOLDER,
    Names,
    call_options,
    cap_options_for,
    config_options,
    judge_options,
    lm_option_that,
    reading_options,
    rubric_option_that,
    test_share_option_with,
    together,
)
from mogradjudge.cli.output import (
    RESUME,
    Loudness,
    NothingScored,
    Work,
    how_to_resume,
    loudness,
    note,
    output_options,
)
from mogradjudge.display.terminal import say, tell
from mogradjudge.errors import MogradError
from mogradjudge.files import to_json
from mogradjudge.secrets import redact
from mogradjudge.settings import PRUNERS, SAMPLERS, VALUES

if TYPE_CHECKING:
    import dspy

    from mogradjudge.cli.job import Options, Texts
    from mogradjudge.optimize.events import Observer
    from mogradjudge.search.analysis.result import SearchResult

_USES = {
    "training": "to write critiques on",
    "validation": "for the gates",
    "selection": "to compare trials on",
    "confirmation": "to confirm the best on",
}

_SAME_CALLS = ("rubric", "lm", "api_base", "temperature", "max_tokens", "timeout", "prompt_lm")
# Options that compile needs for the same judge, and that are not in `best.toml`.

_CAPS = ("max_calls", "max_total_tokens", "max_cost", "max_seconds")

study_options = together(
    click.option(
        "--space",
        type=FILE,
        metavar="TOML",
        help="Values to try, e.g. batch_size = [1, 4]; see examples/README.md.",
    ),
    click.option(
        "--trials",
        type=click.IntRange(1),
        default=20,
        show_default=True,
        help="Trials of the study, by all workers together; raise it to continue.",
    ),
    click.option(
        "--storage",
        metavar="URL",
        envvar="MOGRADJUDGE_STORAGE",
        show_envvar=True,
        help="Study database, e.g. postgresql://USER@HOST/NAME; several workers can share it. "
        " [default: an SQLite file in DIR]",
    ),
    click.option(
        "--study", default="search", show_default=True, help="The study's name in the database."
    ),
    click.option(
        "--sampler",
        type=click.Choice(SAMPLERS),
        help="How to choose configurations  [default: tpe; nsga2 with several --values]",
    ),
    click.option(
        "--pruner",
        type=click.Choice(PRUNERS),
        default="none",
        show_default=True,
        help="Whether to stop a trial early that does worse than the median.",
    ),
    click.option(
        "--values",
        type=Names(*VALUES),
        multiple=True,
        default=("agreement",),
        show_default=True,
        metavar=f"[{'|'.join(VALUES)}]",
        help="What to optimize: agreement is maximized, costs are minimized; several with commas.",
    ),
    click.option(
        "--heartbeat",
        type=click.IntRange(1),
        default=10,
        show_default=True,
        metavar="SECONDS",
        help="Time between heartbeats; a worker that sends none for 3 times as long is dead.",
    ),
)


@click.command("search", cls=Work, short_help="Search for the mode and settings of the best judge.")
@click.argument("data", type=FILE, required=False)
@rubric_option_that(is_required=False)
@lm_option_that(is_required=False)
@study_options
@call_options
@judge_options
@config_options
@cap_options_for(" in all trials together")
@test_share_option_with("`compile --config` with the same --seed holds out the same ones.")
@config_option
@reading_options
@click.option("--out", type=FOLDER, metavar="DIR", help="The search's folder.")
@click.option("--show", is_flag=True, help="Show the results so far; changes nothing.")
@click.option("--figures", is_flag=True, help="Draw figures into DIR/figures; needs matplotlib.")
@output_options
def search_command(
    data: str | None,
    out: str | None,
    show: bool,  # noqa: FBT001 - click's
    figures: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Search for the configuration that makes the best judge, on the rated texts of DATA.

    Each trial is a compile. The first one takes the options as they are; --target and --patience
    apply to each. DATA is split into texts to write critiques on, texts for the gates, texts to
    compare trials on, and texts to confirm the best on. Run the same command again to resume. Any
    number of workers can run it at the same time with the same --storage. The exit status is 3 if
    no trial has a result.

    \b
    mogradjudge search ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --out search
    mogradjudge search --show --out search
    """
    from mogradjudge.cli.search_output import check_figures, draw_figures

    ctx = click.get_current_context()
    if figures:
        check_figures(out)
    if show:
        result = _read(out, options["storage"], options["study"])
        next_command, caps = None, []
    else:
        chosen = _options(ctx, data, options)
        if out is None:
            raise click.UsageError("Missing option '--out'.")
        result = _search(chosen, options, out)
        caps = [name for name in _CAPS if getattr(chosen, name) is not None]
        next_command = _compile_command(ctx, chosen, out)
    files = draw_figures(result, Path(out)) if out is not None and (figures or not show) else []
    if as_json:
        click.echo(to_json(result.as_dict()))
    else:
        _print(result, out, files, next_command)
    _advise(result, caps)
    if not show:
        _check_best(result, caps)


def _options(ctx: click.Context, data: str | None, options: Mapping[str, Any]) -> Options:
    from mogradjudge.cli.job import Options

    if data is None:
        raise click.UsageError("Missing argument 'DATA'.")
    for name in ("rubric", "lm"):
        if options[name] is None:
            raise click.UsageError(f"Missing option '--{name}'.")
    return Options.of({**with_precedence(ctx, options), "data": data})


def _search(chosen: Options, options: Mapping[str, Any], out: str) -> SearchResult:
    import dspy

    from mogradjudge.cli.job import make_judge, make_optimizer, read_texts
    from mogradjudge.lm.budget import Budget
    from mogradjudge.lm.models import adapter_for, make_lm
    from mogradjudge.search import SearchSpace, search
    from mogradjudge.search.monitor import watching
    from mogradjudge.search.parts import parted

    space = None if options["space"] is None else SearchSpace.from_toml(options["space"])
    texts = read_texts(chosen)
    lm = make_lm(chosen.lm, chosen.api_base, chosen.temperature, chosen.max_tokens, chosen.timeout)
    base = make_optimizer(chosen)
    budget = base.config.budget
    parts = parted(base.config, texts.rubric, texts.rest).parts
    _note_split(texts, parts)
    with _advice_on_failure(), dspy.context(lm=lm, adapter=adapter_for(lm)):
        return search(
            make_judge(chosen, texts.rubric),
            texts.rest,
            space=space,
            trials=options["trials"],
            storage=options["storage"],
            budget=budget,
            sampler=options["sampler"],
            pruner=options["pruner"],
            seed=chosen.seed,
            base=replace(base.config, budget=Budget()),
            values=_names(options["values"]),
            out=out,
            study=options["study"],
            prompt_lm=base.prompt_lm,
            heartbeat=options["heartbeat"],
            observers=_observers(),
            watch=None if loudness() is Loudness.QUIET else watching(budget),
        )


@contextmanager
def _advice_on_failure() -> Iterator[None]:
    """Say how to resume if the provider fails."""
    import dspy

    try:
        yield
    except dspy.LMConfigurationError:
        raise
    except dspy.LMError as error:
        failed = f"The provider failed ({type(error).__name__}): {error}"
        raise MogradError(f"{failed} {RESUME}") from error


def _observers() -> list[Observer]:
    """Return what prints each trial's events with --verbose."""
    from mogradjudge.optimize.progress import event_lines

    return [event_lines(headlines=True, others=True)] if loudness() > Loudness.USUAL else []


def _names(values: Sequence[str]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",")]


def _note_split(texts: Texts, parts: Mapping[str, Sequence[dspy.Example]]) -> None:
    split = ", ".join(f"{len(part)} {_USES[name]}" for name, part in parts.items() if part)
    held = f"; {len(texts.test)} are held out" if texts.test else ""
    note(f"{len(texts.rest)} texts: {split}{held}.")


def _read(out: str | None, storage: str | None, study: str) -> SearchResult:
    from mogradjudge.search.analysis.summary import kept_summary, summarize
    from mogradjudge.search.analysis.verdict import exhaustion
    from mogradjudge.search.read_only import to_read

    with to_read(storage, None if out is None else Path(out), study) as (queue, shared):
        result = kept_summary(shared, queue.stage()) or summarize(queue, shared)
    return replace(result, stop_reason="space") if exhaustion(result) else result


def _print(
    result: SearchResult, out: str | None, figures: Sequence[Path], next_command: str | None
) -> None:
    """Print the result and its files; after a search also how to use the best configuration."""
    from mogradjudge.cli.search_output import print_result

    print_result(result)
    has_best = next_command is not None and result.best is not None
    if has_best:
        whose = "the initial" if result.confirmation.takes_back else "its"
        say(
            f"The best configuration is in {out}/best.toml, {whose} judge in {out}/judge.json, all "
            f"numbers in {out}/search.json."
        )
    for path in figures:
        say(f"Drawn: {path}")
    if has_best:
        click.echo(next_command)


def _advise(result: SearchResult, caps: Sequence[str]) -> None:
    """Say on stderr how to continue a search that is not complete; ``caps`` are those it had.

    Raises:
        click.Abort: If the user stopped it.
    """
    if result.stop_reason == "failed":
        tell(
            "Some trials failed because their worker died or the provider was down. Run the same "
            "command again to retry them."
        )
    elif result.stop_reason in ("budget", "interrupted") and result.unfinished:
        trials = "1 trial is" if result.unfinished == 1 else f"{result.unfinished} trials are"
        note(f"{trials} not finished. {_how_to_resume(result, caps)}")
    if result.stop_reason == "interrupted":
        raise click.Abort


def _how_to_resume(result: SearchResult, caps: Sequence[str]) -> str:
    return how_to_resume(caps if result.stop_reason == "budget" else [])


def _check_best(result: SearchResult, caps: Sequence[str]) -> None:
    """Check that a search that ended has a result.

    Raises:
        NothingScored: If it has none.
    """
    if result.best is None:
        how = _how_to_resume(result, caps) if result.unfinished else "Each trial has its reason."
        raise NothingScored(f"No trial has a result, so there is no best configuration. {how}")


def _compile_command(ctx: click.Context, chosen: Options, out: str) -> str:
    """Write the command that compiles the best configuration, with the same held-out texts."""
    words = ["mogradjudge", "compile", chosen.data]
    for name in (*_SAME_CALLS, "limit", "sep", "encoding"):
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            value = getattr(chosen, name)
            words += [f"--{name.replace('_', '-')}", "none" if value is None else str(value)]
    words += ["--skip-bad"] if chosen.skip_bad else []
    words += ["--config", f"{out}/best.toml"]
    if chosen.test_share:
        words += ["--test-share", str(chosen.test_share), "--seed", str(chosen.seed)]
    return redact(shlex.join([*words, "--out", f"{out}/compiled"]))
