"""What a shell is offered, by click's own machinery and in a bash that a terminal talks to."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from mogradjudge.cli import cli, main
from mogradjudge.cli.completion import SHELLS

ROOT = Path(__file__).parents[3]
BASH = "/bin/bash"


def offered(*words: str) -> list[str]:
    *before, incomplete = words
    found = ShellComplete(cli, {}, "mogradjudge", "_MOGRADJUDGE_COMPLETE")
    return [
        each.value if each.type == "plain" else each.type
        for each in found.get_completions(before, incomplete)
    ]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["comp"], ["compare", "compile", "completion", "compose"]),
        (["compile", "--mode", ""], ["SSS", "SSC", "SCC", "CCC"]),
        (["compile", "--layout", "s"], ["separate"]),
        (["compile", "--score-rule", ""], ["integer", "expected", "mean_of_n"]),
        (["estimate", "--gate", "m"], ["mean"]),
        (["search", "--auto", ""], ["light", "medium", "heavy"]),
        (["search", "--sampler", ""], ["tpe", "nsga2", "random", "grid"]),
        (["search", "--values", "agree"], ["agreement"]),
        (["compile", "--fallback", ""], ["integer", "none"]),
        (["compile", "--critic-temperature", "n"], ["none"]),
        (["compile", "--lm", "local"], ["local/smollm2", "local/hf:"]),
        (["score", "--ray", ""], ["auto", "local"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["compile", ""], ["file"]),
        (["compile", "--rubric", ""], ["file"]),
        (["compile", "--config", ""], ["file"]),
        (["score", "run/judge.json", ""], ["file"]),
        (["compile", "--out", ""], ["dir"]),
        (["search", "--space", ""], ["file"]),
        (["evaluate", "--q"], ["--quiet"]),
    ],
)
def test_what_is_known_is_offered(words, values):
    assert offered(*words) == values


def test_every_option_with_choices_offers_them():
    for name, command in cli.commands.items():
        for option in command.params:
            if known := getattr(option.type, "choices", None):
                words = [name, option.opts[-1], ""] if option.opts[0][0] == "-" else [name, ""]
                assert offered(*words) == list(known)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_names_the_program_and_its_variable(shell, capfd):
    with pytest.raises(SystemExit) as stop:
        main(["completion", shell])
    script = capfd.readouterr().out
    assert not stop.value.code
    assert "_MOGRADJUDGE_COMPLETE=" in script and f"{shell}_complete" in script
    assert {"bash": "complete -o", "zsh": "#compdef mogradjudge", "fish": "complete "}[
        shell
    ] in script


def test_a_missing_shell_is_said_in_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["completion"])
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert line.startswith("Error: Missing argument") and line.endswith("bash, zsh, fish")


@pytest.fixture
def path(tmp_path):
    """Give a PATH on which the program lies, and that knows this code."""
    program = tmp_path / "bin" / "mogradjudge"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom mogradjudge.cli import main\nmain()\n")
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


@pytest.mark.skipif(not Path(BASH).exists(), reason="no bash")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("mogradjudge evalu\t", "mogradjudge evaluate "),
        ("mogradjudge compile --mode SS\t\t", "SSS  SSC"),
        ("mogradjudge compile --rubric rub\t", "mogradjudge compile --rubric rubric.toml "),
        ("mogradjudge compile --out ru\t", "mogradjudge compile --out runs/"),
    ],
)
def test_a_bash_completes(typed, completed, path, tmp_path):
    (tmp_path / "rubric.toml").touch()
    (tmp_path / "runs").mkdir()
    environment = {"PATH": path, "PYTHONPATH": str(ROOT), "TERM": "dumb", "PS1": "$ "}
    main_end, bash_end = pty.openpty()
    words = [BASH, "--noprofile", "--norc", "-i"]
    with subprocess.Popen(
        words,
        cwd=tmp_path,
        env=environment,
        stdin=bash_end,
        stdout=bash_end,
        stderr=bash_end,
        start_new_session=True,
    ) as bash:
        os.close(bash_end)
        try:
            os.write(main_end, b'eval "$(mogradjudge completion bash)"; echo ready"y"\n')
            assert "readyy\r\n" in shown(main_end, "readyy\r\n")
            os.write(main_end, typed.encode())
            said = shown(main_end, completed)
        finally:
            bash.kill()
            os.close(main_end)
    assert completed in said


def shown(terminal: int, until: str) -> str:
    """Read what bash writes until a text is there; a shell that hangs ends the test."""
    said, end = "", time.monotonic() + 60
    while until not in said.replace("\x07", "") and time.monotonic() < end:
        if select.select([terminal], [], [], 1)[0]:
            said += os.read(terminal, 65536).decode()
    return said.replace("\x07", "")
