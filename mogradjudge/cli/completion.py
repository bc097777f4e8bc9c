"""``mogradjudge completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "mogradjudge"
SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_MOGRADJUDGE_COMPLETE"  # click's own name for it


@click.command("completion", short_help="Let a shell complete commands, options and values.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands, options, values and file names.

    It takes effect in shells that are started after it was put where they look for it:

    \b
    mogradjudge completion bash > ~/.local/share/bash-completion/completions/mogradjudge
    mogradjudge completion zsh > "${fpath[1]}/_mogradjudge"
    mogradjudge completion fish > ~/.config/fish/completions/mogradjudge.fish

    Or in this shell alone:

    \b
    eval "$(mogradjudge completion bash)"    # bash 4.4 or newer; zsh alike
    mogradjudge completion fish | source     # fish
    """
    found = get_completion_class(shell)
    assert found is not None  # click has all of SHELLS
    click.echo(found(ctx.find_root().command, {}, PROGRAM, _VARIABLE).source(), nl=False)
