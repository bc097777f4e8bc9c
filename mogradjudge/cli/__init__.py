"""The command line: ``mogradjudge`` and its commands.

Slow imports, DSPy above all, are made by a command when it runs, so that help, version and
completion are fast. A test checks that.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import unquote

import click

from mogradjudge.cli.compare import compare_command
from mogradjudge.cli.compile import compile_command, estimate_command
from mogradjudge.cli.completion import PROGRAM, completion_command
from mogradjudge.cli.compose import compose_command
from mogradjudge.cli.demo import demo_command
from mogradjudge.cli.evaluate import calibrate_command, evaluate_command
from mogradjudge.cli.first_contact import check_command, init_command
from mogradjudge.cli.output import Secrets
from mogradjudge.cli.report import report_command
from mogradjudge.cli.score import score_command
from mogradjudge.cli.search import search_command
from mogradjudge.cli.show import show_command
from mogradjudge.cli.web import label_command, serve_command, view_command
from mogradjudge.concurrency import WORKERS
from mogradjudge.display.terminal import one_line
from mogradjudge.errors import MogradError, SetupError, SetupErrors
from mogradjudge.secrets import redact, secrets_in

__all__ = ["cli", "main", "run_command"]

_INTERRUPTED = 130  # the exit status
# A database's URL: its user and password, which may hold any character but the "@" that ends it.
_DATABASE = re.compile(r"\b(?:postgres|mysql|mariadb|oracle|mssql)[\w+]*://([^:/@]*)(?::([^@]*))?@")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mogradjudge")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Optimize, measure and use LLM judges that rate text on several criteria.

    \b
    mogradjudge demo
    mogradjudge compile ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --out run
    """


for command in (
    *(demo_command, init_command, check_command, compile_command, search_command, score_command),
    *(
        evaluate_command,
        compare_command,
        calibrate_command,
        compose_command,
        estimate_command,
        show_command,
        report_command,
        completion_command,
    ),
    *(serve_command, view_command, label_command),
):
    cli.add_command(command)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line by `run_command`, and exit.

    >>> main(["score"])
    Traceback (most recent call last):
    SystemExit: 2
    """
    run_command(cli, args, PROGRAM)


def run_command(
    command: click.Command, args: Sequence[str] | None = None, program: str | None = None
) -> NoReturn:
    """Run a click command and exit; an error is one line on stderr, after a traceback if --debug.

    The status is 0 for success, 2 for a mistake of the caller, 1 for a failed run or a closed
    stdout, 3 for a run without a scored proposal, 4 for an agreement below its minimum, and 130
    after Ctrl-C.

    Args:
        command: A click command, also one of a script of your own.
        args: Its arguments; those of the Python process if not given.
        program: The name that the help shows; the script's if not given.

    >>> run_command(click.Command("nothing"), [])
    Traceback (most recent call last):
    SystemExit: 0
    """
    arguments = list(sys.argv[1:] if args is None else args)
    words = [word for word in arguments if word != "--debug"]  # it may stand anywhere
    texts = [*words, os.environ.get("MOGRADJUDGE_STORAGE", "")]
    known = frozenset(secret for text in texts for secret in _secrets(text))
    # Both would fetch newer prices, which are not needed here, and say so where they cannot.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    logging.getLogger("dspy.clients.model_metadata").setLevel(logging.ERROR)
    try:
        command.main(words, program, standalone_mode=False, obj=Secrets(known))
        sys.stdout.flush()  # a pipe that is closed is noticed here, if not before
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - every error becomes one line
        sys.exit(_report(error, known, debug="--debug" in arguments))
    sys.exit(0)


def _report(error: Exception | KeyboardInterrupt, known: frozenset[str], *, debug: bool) -> int:
    """Print an error as one line on stderr, without secrets, and return the exit status."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
            return error.exit_code
        case click.ClickException():
            click.echo(f"Error: {redact(one_line(error.format_message()), known)}", err=True)
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            click.echo("Interrupted.", err=True)
            _leave_now(_INTERRUPTED)
            return _INTERRUPTED
        case BrokenPipeError() if _is_output_closed():
            return 1
    if debug:
        click.echo(redact(traceback.format_exc(), known), err=True, nl=False)
    click.echo(f"Error: {redact(_line(error), known)}", err=True)
    return _status(error)


def _secrets(text: str) -> set[str]:
    """Return the secrets in an argument of the command line."""
    url = _DATABASE.search(text)
    if url is None:
        return secrets_in(text)
    # A database's user often has the database's name, and is no secret.
    user, password = url.groups(default="")
    others = secrets_in(text) - {user, unquote(user)}
    return others | ({password, unquote(password)} - {""})


def _leave_now(status: int) -> None:
    """Exit without waiting for calls in flight, as Python's own exit would."""
    if any(thread.name.startswith(WORKERS) for thread in threading.enumerate()):
        sys.stdout.flush()
        os._exit(status)


def _is_output_closed() -> bool:
    """Return whether stdout or stderr is a closed pipe; if so, redirect it to the null device."""
    closed = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            closed = True
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
    return closed


def _line(error: BaseException) -> str:
    """Say in one line what failed, or in a line each where several things are wrong."""
    if isinstance(error, SetupErrors):
        return str(error)
    text = one_line(str(error))  # a provider's text may hold control characters
    if isinstance(error, MogradError):
        return text
    if "dspy" in sys.modules:
        import dspy

        # A model that does not exist, a key that is missing, wrong or out of funds.
        unusable = (
            *(dspy.LMConfigurationError, dspy.LMAuthError),
            *(dspy.LMBillingError, dspy.LMUnsupportedModelError),
        )
        if isinstance(error, unusable):
            return f"The model cannot be used: {text}"
        if isinstance(error, dspy.LMInvalidRequestError):
            return f"The provider refused the call: {text}"
        if isinstance(error, dspy.LMError):
            return f"The provider failed ({type(error).__name__}): {text}"
    return f"{type(error).__name__}: {text} (--debug shows the traceback)"


def _status(error: BaseException) -> int:
    if isinstance(error, SetupError):
        return 2
    if "dspy" in sys.modules:
        import dspy

        # Without a key no call can be made; a wrong key or name comes to light in the run.
        return 2 if isinstance(error, dspy.LMConfigurationError) else 1
    return 1
