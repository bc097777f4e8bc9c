"""A setting that one more line in settings/fields.py declares is found wherever settings are used.

The line is added to the source before anything else of the package is imported: this file is the
test, and the process that it starts.
"""

import inspect
import json
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

LINE = '    made_up: int = default(7, Setting("Made up by a test.", low=1, tried=(7, 8)))\n'
BEFORE = "    max_section_chars: int"


def test_a_setting_that_one_line_declares_is_found_everywhere(tmp_path):
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, __file__, tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    places = json.loads(done.stdout)
    assert [place for place, is_there in places.items() if not is_there] == []
    assert {"the config", "the optimizer", "compile --help", "--config"} <= set(places)
    assert {"search --help", "the search space", "the fingerprint", "the report"} <= set(places)


def add_the_line() -> None:
    of_the_file = SourceFileLoader.get_code

    def with_the_line(loader: SourceFileLoader, name: str) -> CodeType:
        if name != "mogradjudge.settings.fields":
            return of_the_file(loader, name)
        source = Path(loader.path).read_text(encoding="utf-8")
        assert source.count(BEFORE) == 1
        return compile(source.replace(BEFORE, LINE + BEFORE), loader.path, "exec")

    SourceFileLoader.get_code = with_the_line


def refuses(function) -> bool:
    from mogradjudge import SetupError

    try:
        function()
    except SetupError as error:
        return "`made_up` must be a whole number >= 1, got 0." in str(error)
    return False


def found_in_python() -> dict[str, bool]:
    from mogradjudge import MOGrad, MOGradConfig
    from mogradjudge.search import SearchSpace

    return {
        "the config": MOGradConfig().made_up == 7 and MOGradConfig(made_up=9).made_up == 9,
        "the config's checks": refuses(lambda: MOGradConfig(made_up=0)),
        "the config's help": "made_up: Made up by a test." in MOGradConfig.__doc__,
        "the optimizer": MOGrad(made_up=9).config.made_up == 9,
        "the optimizer's signature": "made_up" in inspect.signature(MOGrad).parameters,
        "the search space": SearchSpace().made_up == (7, 8) and bool(SearchSpace(made_up=(3,))),
        "the search space's checks": refuses(lambda: SearchSpace(made_up=(0, 1))),
    }


def found_on_the_command_line(folder: Path) -> dict[str, bool]:
    from click.shell_completion import ShellComplete
    from click.testing import CliRunner

    from mogradjudge.cli import cli
    from mogradjudge.cli.compile import estimate_command
    from mogradjudge.cli.job import Options, make_optimizer

    def options(*words: object) -> Options:
        needed = ["ratings.csv", "--rubric", "rubric.toml", "--lm", "openai/gpt-4o-mini"]
        return Options.of(estimate_command.make_context("it", [*needed, *map(str, words)]).params)

    def helps(command: str) -> bool:
        text = CliRunner().invoke(cli, [command, "--help"]).output
        return "--made-up INTEGER" in text and "Made up by a test.  [default: 7" in text

    (folder / "it.toml").write_text("made_up = 5\n")
    offered = ShellComplete(cli, {}, "it", "_IT").get_completions(["compile"], "--made")
    return {
        "compile --help": helps("compile"),
        "search --help": helps("search"),
        "an option": make_optimizer(options("--made-up", 9)).config.made_up == 9,
        "--config": make_optimizer(options("--config", folder / "it.toml")).config.made_up == 5,
        "completion": [item.value for item in offered] == ["--made-up"],
    }


def found_in_files(folder: Path) -> dict[str, bool]:
    from benchmarks.worlds.world import toy_rubric
    from mogradjudge import MOGradConfig, MultiCriteriaJudge
    from mogradjudge.judge.scores import JudgeSettings
    from mogradjudge.programs.identity import fingerprint
    from mogradjudge.report.about import facts
    from mogradjudge.report.run_data import read_run
    from mogradjudge.search import SearchSpace
    from mogradjudge.search.config_file import config_toml
    from report_runs import told, written

    config = MOGradConfig(made_up=9)
    asked = fingerprint(config.as_dict(), MultiCriteriaJudge(toy_rubric("fluency")), [], {}, {})
    run = written(folder / "run", told(1, ("fluency",), "x", texts=6))
    (run / "asked.json").write_text(json.dumps(asked))
    (folder / "space.toml").write_text("made_up = [1, 2]\n")
    return {
        "the fingerprint": asked["made_up"] == 9,
        "the result": config.as_dict()["made_up"] == 9,
        "the report": ("made up", "9") in facts(read_run(run)),
        "the search's best.toml": "made_up = 9\n" in config_toml(config, JudgeSettings()),
        "a space's file": SearchSpace.from_toml(folder / "space.toml").made_up == (1, 2),
    }


if __name__ == "__main__":
    add_the_line()
    folder = Path(sys.argv[1])
    places = found_in_python() | found_on_the_command_line(folder) | found_in_files(folder)
    sys.stdout.write(json.dumps(places))
