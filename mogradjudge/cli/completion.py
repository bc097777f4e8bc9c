"""``mogradjudge completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "mogradjudge"
SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_MOGRADJUDGE_COMPLETE"  # click's own name for it


@click.command("completion", short_help="Print the script for shell completion.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print a script that lets SHELL complete commands, options, values and file names.

    Put it where your shell looks for it, then start a new shell:

    \b
    mogradjudge completion bash > ~/.local/share/bash-completion/completions/mogradjudge
    mogradjudge completion zsh > "${fpath[1]}/_mogradjudge"
    mogradjudge completion fish > ~/.config/fish/completions/mogradjudge.fish

    Or only in this shell:

    \b
    eval "$(mogradjudge completion bash)"    # bash 4.4 or newer; also zsh
    mogradjudge completion fish | source     # fish
    """
    completion = get_completion_class(shell)
    assert completion is not None  # click has all of SHELLS
    click.echo(completion(ctx.find_root().command, {}, PROGRAM, _VARIABLE).source(), nl=False)
