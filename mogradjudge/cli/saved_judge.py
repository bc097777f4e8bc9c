"""What the commands that use a saved judge have in common: its model, its caps, its errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from mogradjudge.cli.options import (
    FILE,
    cap_options_for,
    data_argument,
    keep_going_option,
    reading_options,
    saved_lm_options,
    together,
)
from mogradjudge.cli.output import RESUME, Loudness, loudness, note, option_of
from mogradjudge.display.terminal import tell
from mogradjudge.errors import BudgetExhausted, ReplyError, RunStopped, SetupError
from mogradjudge.files import to_json

if TYPE_CHECKING:
    import dspy

    from mogradjudge.judge.judge import MultiCriteriaJudge
    from mogradjudge.lm.budget import Budget

judging_options = together(
    data_argument, saved_lm_options, reading_options, cap_options_for(), keep_going_option
)
"""What texts a saved judge reads, with which model, and at what price at most."""

judge_argument = click.argument("judge", type=FILE, metavar="JUDGE")
raw_option = click.option(
    "--raw", is_flag=True, help="Leave a calibrated judge's scores as they are."
)

held_out_option = click.option(
    "--held-out",
    is_flag=True,
    help="Take only the texts that the judge's run held out (--test-share) or did not know; of "
    "these, none of whose group the run read a text.",
)


@contextmanager
def judging(
    options: Mapping[str, Any],
    judge: MultiCriteriaJudge,
    examples: Sequence[dspy.Example],
    *,
    as_json: bool,
    whose: str = "The judge",
) -> Iterator[None]:
    """Let the chosen model judge rated examples; say how to go on where it ends early."""
    model = model_of(options, judge, whose=whose, advice="")  # this measures it
    cache = _reply_cache(options["api_base"])
    with failing_at_a_cap(as_json=as_json), cache, model, _counted(examples):
        try:
            yield
        except RunStopped as stop:
            raise click.Abort from stop
        except BudgetExhausted as error:
            raise BudgetExhausted(f"{error} {_advice(error, options['api_base'])}") from error
        except ReplyError as error:
            raise ReplyError(f"{error} Continue with --keep-going.") from error


@contextmanager
def failing_at_a_cap(*, as_json: bool) -> Iterator[None]:
    """Report a spent budget as an error: unlike compile, there is no result to give."""
    try:
        yield
    except BudgetExhausted as error:
        if as_json:
            click.echo(to_json({"stop_reason": "budget", "cap": str(error)}))
        raise BudgetExhausted(
            f"The budget ran out before the end, so there is no result. {error}"
        ) from error


def budget_of(options: Mapping[str, Any]) -> Budget:
    """Return the caps on the calls."""
    from mogradjudge.lm.budget import Budget

    caps = ("max_calls", "max_total_tokens", "max_cost", "max_seconds")
    return Budget(*(options[name] for name in caps))


def model_of(
    options: Mapping[str, Any],
    *judges: MultiCriteriaJudge,
    whose: str = "The judge",
    advice: str = " `mogradjudge evaluate` measures it.",
) -> AbstractContextManager[None]:
    """Return the context in which the chosen model speaks, or else the judges' own.

    Args:
        options: The options of the model.
        judges: The saved judges.
        whose: What the judge is called, if there is one.
        advice: What to do where the model is another one.

    Raises:
        SetupError: If none is chosen, and the judges do not name one, and the same, or had a server
            of their own that is not given.
    """
    import dspy

    from mogradjudge.lm.models import adapter_for, make_lm

    names = ("api_base", "temperature", "max_tokens", "timeout")
    saved = [*dict.fromkeys(judge.model for judge in judges)]
    if not (options["lm"] or options["api_base"]):
        _check_no_server(judges)
    model = _model(options["lm"], saved, whose if len(judges) == 1 else "Each judge", advice)
    lm = make_lm(model, *(options[name] for name in names))
    context: AbstractContextManager[None] = dspy.context(lm=lm, adapter=adapter_for(lm))
    return context


def _check_no_server(judges: Iterable[MultiCriteriaJudge]) -> None:
    """Check that no text goes to a provider in place of the server that a judge was made with."""
    from mogradjudge.lm.models import names_server

    for judge in judges:
        if judge.own_server and not names_server(judge.model or ""):
            raise SetupError(
                f"The judge was made with {judge.model} on a server of its own, whose address is "
                "not saved. Give --api-base URL, or --lm to use another model."
            )


def _model(chosen: str | None, saved: Sequence[str | None], whose: str, advice: str) -> str:
    from mogradjudge.lm.models import RECORDED

    named = list(filter(None, saved))
    if chosen is None:
        if len(saved) > 1:
            models = ", ".join(it or "unknown" for it in saved)
            raise SetupError(f"The judges were saved with different models ({models}). Give --lm.")
        if not named:
            raise SetupError("The judge's file does not name its model. Give --lm PROVIDER/MODEL.")
        if named[0].startswith(RECORDED):
            raise SetupError(
                "The judge was made with recorded replies, which answer no other text. Give "
                "--lm PROVIDER/MODEL."
            )
        note(f"{whose} was saved with the model {named[0]}, which is used.")
    elif others := [it for it in named if it != chosen]:
        tell(
            f"{whose} was saved with {' or '.join(others)} and is used with {chosen}: what was "
            f"measured with one model may not hold for the other.{advice}"
        )
    return chosen or named[0]


@contextmanager
def _counted(examples: Sequence[dspy.Example]) -> Iterator[None]:
    """Show how many texts are judged."""
    from mogradjudge.programs.counting import texts_counted

    with progress_of("texts") as watch:
        if watch is None:
            yield
            return
        with texts_counted(len(examples), watch):
            yield


def progress_of(what: str) -> AbstractContextManager[Callable[[int, int], None] | None]:
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


def saved_judge(path: str, fallback: Literal["integer"] | None, *, raw: bool) -> MultiCriteriaJudge:
    """Load a judge without the model that its file names."""
    from mogradjudge.judge.judge import MultiCriteriaJudge
    from mogradjudge.programs.structure import uncalibrated

    judge = MultiCriteriaJudge.from_saved(path)
    judge = uncalibrated(judge) if raw else judge
    judge.set_lm(None)
    if fallback is not None:
        judge.settings = replace(judge.settings, fallback=fallback)
        for part in judge.judges.values():
            part.manifest["settings"] = asdict(judge.settings)
    return judge


def check_new_folder(out: str) -> None:
    """Check, before any call is paid, that a folder can be written.

    Raises:
        SetupError: If there is something at its path.
    """
    if Path(out).exists():
        raise SetupError(f"`--out` must be a new folder, but {out} exists. Give another one.")


def folder_of(judge: str) -> Path:
    """Return the folder that a judge is in."""
    path = Path(judge)
    return path if path.is_dir() else path.parent


def unread_texts(
    judge: str, examples: Sequence[dspy.Example], *, held_out: bool
) -> tuple[Sequence[dspy.Example], int | None]:
    """Return the texts to evaluate on, and how many of them the judge's run has read.

    The number is None where no run has written its parts beside the judge.

    Raises:
        SetupError: If held-out texts are wanted, and there are none or they are not known.
    """
    from mogradjudge.optimize.parts import PARTS, Parts

    folder = folder_of(judge)
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
            f"{read} of these {len(examples)} texts were used by the compile in {folder}; on them "
            f"agreement is optimistic.{others}"
        )
    return examples, read
