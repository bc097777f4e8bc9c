"""The command line: ``mogradjudge`` and its commands.

What takes long to import, DSPy above all, is imported by a command when it runs: help, version and
completion wait for nothing. A test holds that.
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

from mogradjudge.cli.compile import compile_command, estimate_command
from mogradjudge.cli.completion import PROGRAM, completion_command
from mogradjudge.cli.demo import demo_command
from mogradjudge.cli.output import Secrets
from mogradjudge.cli.report import report_command
from mogradjudge.cli.score import evaluate_command, score_command
from mogradjudge.cli.search import search_command
from mogradjudge.concurrency import WORKERS
from mogradjudge.display.terminal import one_line
from mogradjudge.errors import MogradError, SetupError
from mogradjudge.secrets import redact, secrets_in

__all__ = ["cli", "main", "run_command"]

# A database's URL: its user and password, which may hold any character but the "@" that ends it.
_DATABASE = re.compile(r"\b(?:postgres|mysql|mariadb|oracle|mssql)[\w+]*://([^:/@]*)(?::([^@]*))?@")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mogradjudge")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Compile, score with and measure LLM judges that rate text on several criteria.

    \b
    mogradjudge demo
    mogradjudge compile ratings.csv --rubric rubric.toml --lm openai/gpt-4o-mini --out run
    """


for command in (
    *(demo_command, compile_command, search_command, score_command),
    *(evaluate_command, estimate_command, report_command, completion_command),
):
    cli.add_command(command)


def main(args: Sequence[str] | None = None) -> None:
    """Run what the arguments ask for, as `run_command` does, and exit."""
    run_command(cli, args, PROGRAM)


def run_command(
    command: click.Command, args: Sequence[str] | None = None, program: str | None = None
) -> NoReturn:
    """Run a click command and exit; an error is one line on stderr, after a traceback if --debug.

    The status is 0; 2 for what the caller must change; 1 for a failed run, or if nobody reads the
    result to its end; 130 after Ctrl-C.

    Args:
        command: also one of a script of your own.
        args: its words; those that Python was started with, if not given.
        program: the name that the help shows; the script's, if not given.
    """
    given = list(sys.argv[1:] if args is None else args)
    words = [word for word in given if word != "--debug"]  # it may stand anywhere
    texts = [*words, os.environ.get("MOGRADJUDGE_STORAGE", "")]
    known = frozenset(secret for text in texts for secret in _secrets(text))
    # Both would fetch newer prices, which are not needed here, and say so where they cannot.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    logging.getLogger("dspy.clients.model_metadata").setLevel(logging.ERROR)
    try:
        command.main(words, program, standalone_mode=False, obj=Secrets(known))
        sys.stdout.flush()  # a pipe that is closed is noticed here, if not before
        status = 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        status = error.exit_code
    except click.ClickException as error:
        click.echo(f"Error: {redact(one_line(error.format_message()), known)}", err=True)
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        status = 130
        _leave_now(status)
    except Exception as error:  # noqa: BLE001 - the last door: whatever it is becomes one line
        status = _status(error)
        if not (isinstance(error, BrokenPipeError) and _nobody_reads()):
            if "--debug" in given:
                click.echo(redact(traceback.format_exc(), known), err=True, nl=False)
            click.echo(f"Error: {redact(_line(error), known)}", err=True)
    sys.exit(status)


def _secrets(text: str) -> set[str]:
    """Give what is secret in a word of the command line."""
    found = _DATABASE.search(text)
    if found is None:
        return secrets_in(text)
    # A database's user is often called like the database, and no secret.
    user, password = found.groups(default="")
    others = secrets_in(text) - {user, unquote(user)}
    return others | {each for each in (password, unquote(password)) if each}


def _leave_now(status: int) -> None:
    """End the process without the wait for calls in flight that Python's own exit would make."""
    if any(thread.name.startswith(WORKERS) for thread in threading.enumerate()):
        sys.stdout.flush()
        os._exit(status)


def _nobody_reads() -> bool:
    """Say whether stdout or stderr is a closed pipe; Python's own exit then writes to nobody."""
    closed = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            closed = True
            nobody = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nobody, stream.fileno())
            os.close(nobody)
    return closed


def _line(error: Exception) -> str:
    text = one_line(str(error))  # a provider's words may hold what a terminal would obey
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
            return f"The provider refuses: {text}"
        if isinstance(error, dspy.LMError):
            return f"The provider failed ({type(error).__name__}): {text}"
    return f"{type(error).__name__}: {text} (--debug shows where)"


def _status(error: Exception) -> int:
    if isinstance(error, SetupError):
        return 2
    if "dspy" in sys.modules:
        import dspy

        # Without a key no call can be made; a wrong key or name comes to light in the run.
        return 2 if isinstance(error, dspy.LMConfigurationError) else 1
    return 1
