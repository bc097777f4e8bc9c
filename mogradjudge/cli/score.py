"""``mogradjudge score`` and ``mogradjudge evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from mogradjudge.cli.options import (
    FILE,
    Names,
    agreement_options,
    cap_options_for,
    data_argument,
    fallback_option,
    keep_going_option,
    lm_options,
    reading_of,
    reading_options,
)
from mogradjudge.cli.output import (
    RESUME,
    Loudness,
    Work,
    how_to_resume,
    loudness,
    note,
    option_of,
    output_options,
)
from mogradjudge.cli.tables import print_evaluation, print_scored, scored_as_dict
from mogradjudge.display.terminal import tell
from mogradjudge.errors import BudgetExhausted, MogradError, ReplyError, RunStopped, SetupError
from mogradjudge.files import to_json

if TYPE_CHECKING:
    import dspy

    from mogradjudge.judge.judge import MultiCriteriaJudge
    from mogradjudge.lm.budget import Budget

judge_argument = click.argument("judge", type=FILE, metavar="JUDGE")


@click.command("score", cls=Work, short_help="Score a table with a saved judge.")
@judge_argument
@data_argument
@lm_options
@reading_options
@cap_options_for()
@keep_going_option
@fallback_option
@click.option(
    "--out", type=FILE, required=True, metavar="FILE", help="A .parquet, .csv or .jsonl file."
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@click.option(
    "--prefix",
    metavar="TEXT",
    help="What the names of the added columns begin with  [default: `judge_` if DATA has a column "
    "of such a name]",
)
@click.option(
    "--estimate",
    type=FILE,
    metavar="LABELLED",
    help="A table with human ratings of some texts: estimate each criterion's mean over DATA, with "
    "an interval. Its texts are judged and paid for, too.",
)
@click.option(
    "--ray",
    type=Names("auto", "local"),
    metavar="ADDRESS",
    help="Judge on a Ray cluster: `auto` or HOST:PORT joins one, from one of its machines; `local` "
    "starts one on this machine. --num-threads then counts per CPU.",
)
@output_options
def score_command(judge: str, out: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Score every text of DATA with the saved judge JUDGE; ratings are not needed.

    JUDGE is a judge.json, or the folder of a run. All columns of DATA are kept. DATA may be of any
    length. Until the end, finished parts and paid replies are in FILE.parts; run the same command
    again to resume.

    \b
    mogradjudge score run/judge.json texts.csv --lm openai/gpt-4o-mini --out scores.parquet
    mogradjudge score run texts.csv --lm openai/gpt-4o-mini --out s.csv --estimate rated.csv
    mogradjudge score run/judge.json texts.csv --lm openai/gpt-4o-mini --out s.parquet --ray auto
    """
    from mogradjudge.scoring.options import ScoringOptions
    from mogradjudge.scoring.table import score_table

    budget, saved = _budget(options), _judge(judge, options["fallback"])
    reading = reading_of(options)
    with (
        _failing_at_a_cap(as_json=as_json),
        _lm(options),
        _resumable(out),
        _progress("rows") as watch,
    ):
        scored = score_table(
            saved,
            options["data"],
            out,
            ScoringOptions(
                num_threads=options["num_threads"],
                limit=options["limit"],
                overwrite=options["overwrite"],
                max_rpm=options["max_rpm"],
                ray=options["ray"],
                budget=budget,
                keep_going=options["keep_going"],
                reading=reading,
                prefix=options["prefix"],
                estimate=options["estimate"],
            ),
            watch=watch,
        )
    if as_json:
        click.echo(to_json(scored_as_dict(scored)))
    else:
        print_scored(scored)


@contextmanager
def _resumable(out: str) -> Iterator[None]:
    """Tell the user how to resume if paid work is interrupted."""
    import dspy

    from mogradjudge.scoring.ray import ClusterFailed

    folder = Path(f"{out}.parts")
    try:
        yield
    except (RunStopped, KeyboardInterrupt) as stop:
        if folder.exists():
            note(_kept_in(folder))
        if isinstance(stop, RunStopped):
            raise click.Abort from stop
        raise
    except dspy.LMConfigurationError:
        raise
    except (BudgetExhausted, ReplyError, ClusterFailed, dspy.LMError) as error:
        raise _with_advice(error, folder) from error


def _kept_in(folder: Path, caps: Collection[str] = ()) -> str:
    return f"Finished work is kept in {folder}. {how_to_resume(caps)}"


def _with_advice(error: Exception, folder: Path) -> MogradError:
    """Add to an error where paid work is kept and how to go on."""
    import dspy

    if isinstance(error, ReplyError):
        return ReplyError(
            f"{error} The replies are kept in {folder}: delete it to send the calls again, or "
            "continue with --keep-going."
        )
    caps = [error.cap] if isinstance(error, BudgetExhausted) and error.cap else []
    advice = f" {_kept_in(folder, caps)}" if folder.exists() else ""
    if isinstance(error, MogradError):
        return type(error)(f"{error}{advice}")
    if isinstance(error, dspy.LMInvalidRequestError):
        replies = f" The paid replies are kept in {folder}." if folder.exists() else ""
        return MogradError(f"The provider refused the call: {error}{replies}")
    return MogradError(f"The provider failed ({type(error).__name__}): {error}{advice}")


@contextmanager
def _failing_at_a_cap(*, as_json: bool) -> Iterator[None]:
    """Report a spent budget as an error: unlike compile, there is no result to give."""
    try:
        yield
    except BudgetExhausted as error:
        if as_json:
            click.echo(to_json({"stop_reason": "budget", "cap": str(error)}))
        raise BudgetExhausted(
            f"The budget ran out before the end, so there is no result. {error}"
        ) from error


def _budget(options: Mapping[str, Any]) -> Budget:
    from mogradjudge.lm.budget import Budget

    caps = ("max_calls", "max_total_tokens", "max_cost", "max_seconds")
    return Budget(*(options[name] for name in caps))


@click.command("evaluate", cls=Work, short_help="Measure a saved judge against human ratings.")
@judge_argument
@data_argument
@lm_options
@reading_options
@cap_options_for()
@keep_going_option
@fallback_option
@agreement_options
@click.option(
    "--held-out",
    is_flag=True,
    help="Take only the texts that the judge's run held out (--test-share) or did not know; of "
    "these, none of whose group the run read a text.",
)
@output_options
def evaluate_command(judge: str, data: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Measure how well the saved judge JUDGE agrees with the human columns of DATA.

    JUDGE is a judge.json, or the folder of a run. Agreement is measured as in the run, unless
    --measure or --level say otherwise.

    \b
    mogradjudge evaluate run ratings.csv --held-out --lm openai/gpt-4o-mini
    """
    from mogradjudge.data import load_examples
    from mogradjudge.scoring.evaluate import evaluation_report

    budget, saved = _budget(options), _judge(judge, options["fallback"])
    options |= _of_the_run(_folder_of(judge))
    reading = reading_of(options)
    rated = load_examples(data, saved.rubric, options["limit"], options=reading)
    examples, read = _unread(_folder_of(judge), rated, held_out=options["held_out"])
    cache, model = _reply_cache(options["api_base"]), _lm(options)
    with _failing_at_a_cap(as_json=as_json), cache, model, _counted(examples):
        try:
            report = evaluation_report(
                *(saved, examples, options["num_threads"], options["level"], options["max_rpm"]),
                budget=budget,
                keep_going=options["keep_going"],
                measure=options["measure"],
            )
        except RunStopped as stop:
            raise click.Abort from stop
        except BudgetExhausted as error:
            raise BudgetExhausted(f"{error} {_advice(error, options['api_base'])}") from error
        except ReplyError as error:
            raise ReplyError(f"{error} Continue with --keep-going.") from error
    if as_json:
        click.echo(to_json({**report, "read_by_run": read}))
    else:
        print_evaluation(report)


def _folder_of(judge: str) -> Path:
    path = Path(judge)
    return path if path.is_dir() else path.parent


def _of_the_run(folder: Path) -> dict[str, str]:
    """Return how a run measured agreement, as far as the command's options do not say it."""
    from click.core import ParameterSource

    from mogradjudge.files import read_json
    from mogradjudge.optimize.directory import RESULT

    context, path = click.get_current_context(), folder / RESULT
    config = read_json(path, "Remove it to do without.").get("config", {}) if path.exists() else {}
    return {
        name: config[name]
        for name in ("measure", "level")
        if name in config and context.get_parameter_source(name) is ParameterSource.DEFAULT
    }


def _unread(
    folder: Path, examples: Sequence[dspy.Example], *, held_out: bool
) -> tuple[Sequence[dspy.Example], int | None]:
    """Return the texts to evaluate on, and how many of them the judge's run has read.

    The number is None where no run has written its parts beside the judge.

    Raises:
        SetupError: If held-out texts are wanted, and there are none or they are not known.
    """
    from mogradjudge.optimize.parts import PARTS, Parts

    parts = Parts.read_from(folder)
    if parts is None:
        if held_out:
            raise SetupError(
                f"--held-out needs a run's {PARTS}, and {folder} has none. Give the folder of a "
                "run, or leave --held-out out."
            )
        return examples, None
    if held_out:
        examples = parts.held_out(examples)
    if read := len(parts.read(examples)):
        others = "" if read == len(examples) else " --held-out takes the others."
        tell(
            f"{read} of these {len(examples)} texts were used by the compile; on them agreement is "
            f"optimistic.{others}"
        )
    return examples, read


def _lm(options: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Return the context in which the chosen model speaks."""
    import dspy

    from mogradjudge.lm.models import adapter_for, make_lm

    names = ("lm", "api_base", "temperature", "max_tokens", "timeout")
    lm = make_lm(*(options[name] for name in names))
    context: AbstractContextManager[None] = dspy.context(lm=lm, adapter=adapter_for(lm))
    return context


@contextmanager
def _counted(examples: Sequence[dspy.Example]) -> Iterator[None]:
    """Show how many distinct texts are judged."""
    import dspy

    from mogradjudge.data import inputs_key
    from mogradjudge.optimize.progress import JudgedTexts

    with _progress("texts") as watch:
        if watch is None:
            yield
            return
        counting = JudgedTexts(len({inputs_key(example) for example in examples}), watch)
        with dspy.context(callbacks=[*dspy.settings.callbacks, counting]):
            yield


def _progress(what: str) -> AbstractContextManager[Callable[[int, int], None] | None]:
    """Return the display of the rows or texts that are done; none with --quiet."""
    from mogradjudge.optimize.progress import row_progress

    return nullcontext() if loudness() is Loudness.QUIET else row_progress(what=what)


def _reply_cache(api_base: str | None) -> AbstractContextManager[None]:
    """Choose the reply cache; DSPy's own does not tell one server from another."""
    from mogradjudge.lm.reply_cache import replies_kept_in

    return nullcontext() if api_base is None else replies_kept_in(None)


def _advice(error: BudgetExhausted, api_base: str | None) -> str:
    """Say how to go on; a reply from the cache does not count again."""
    if api_base is None:
        return f"The paid replies are in DSPy's cache. {RESUME}"
    raised = f"raise {option_of(error.cap)}; " if error.cap else ""
    return f"With --api-base no reply is kept: {raised}a second run pays for all of them again."


def _judge(path: str, fallback: Literal["integer"] | None) -> MultiCriteriaJudge:
    """Load a judge without the model that its file names."""
    from mogradjudge.judge.judge import MultiCriteriaJudge

    judge = MultiCriteriaJudge.from_saved(path)
    judge.set_lm(None)
    if fallback is not None:
        judge.settings = replace(judge.settings, fallback=fallback)
        for part in judge.judges.values():
            part.manifest["settings"] = asdict(judge.settings)
    return judge
