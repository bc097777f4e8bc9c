"""What a benchmark is run on, and the options that say so."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
import dspy

from benchmarks.harness.cells import Cell
from benchmarks.harness.grid import Grid
from benchmarks.harness.workers import Workers, storage_option, workers_of
from benchmarks.worlds.planted import PlantedWorld, planted_examples, planted_lm, planted_rubric
from mogradjudge import (
    MogradError,
    MultiCriteriaJudge,
    Rubric,
    SetupError,
    load_examples,
    split_by_group,
)
from mogradjudge.cli.options import together
from mogradjudge.data import group_of
from mogradjudge.data.examples import unnested
from mogradjudge.data.tables import read_table
from mogradjudge.lm.models import adapter_for, make_lm
from mogradjudge.objectives.rubric import check_ratings
from mogradjudge.programs.identity import describe_lm, digest_of
from mogradjudge.secrets import redact
from mogradjudge.settings import SCORE_RULES, Layout, ScoreRule

LAYOUTS: tuple[Layout, ...] = ("combined", "separate")
ROLES = ("judge", "critic", "coach", "editor", "rater")
SPLIT = (0.3, 0.2, 0.5)  # of the documents: training, validation, test
SYSTEM = "system_id"  # a column of the table; who wrote a text is kept from the judge


@dataclass(frozen=True)
class Setting:
    """Models, texts and sizes.

    Claims about agreement are made on ``test``, which decides nothing.
    ``lms`` has an LM for each of `ROLES`. ``seeds`` are the runs that an optimizer is given,
    ``repeats`` how often the same texts are scored afresh. ``stays`` says whether the folder does.
    """

    grid: Grid
    rubric: Rubric
    lms: Mapping[str, dspy.BaseLM]
    training: Sequence[dspy.Example]
    validation: Sequence[dspy.Example]
    test: Sequence[dspy.Example]
    score_rule: ScoreRule = "integer"
    seeds: Sequence[int] = (0,)
    repeats: int = 3
    num_threads: int = 8
    smoke: bool = False
    stays: bool = True

    def say_where(self, more: str = "") -> None:
        """Print where the cells are, if they stay."""
        if self.stays:
            print(f"Cells: {self.grid.folder}{more}")

    @property
    def cells(self) -> list[Cell]:
        """The folder's cells that were measured in this setting."""
        return [cell for cell in self.grid.cells if cell.setting == self.grid.setting]

    def judge(
        self, layout: Layout = "combined", rubric: Rubric | None = None
    ) -> MultiCriteriaJudge:
        """Make a judge with the seed instructions."""
        return MultiCriteriaJudge(rubric or self.rubric, layout, self.score_rule)


def setting_of(
    folder: Path,
    rubric: Rubric,
    examples: Sequence[dspy.Example],
    lms: Mapping[str, dspy.BaseLM],
    *,
    max_calls: int | None = None,
    workers: Workers | None = None,
    num_threads: int = 8,
    score_rule: ScoreRule = "integer",
    **sizes: Any,
) -> Setting:
    """Split the texts by document and open the folder.

    Raises:
        SetupError: If a text has no rating on the rubric's scales, or there are too few documents.
    """
    check_ratings(examples, rubric, "benchmark")
    training, validation, test = split_by_group(examples, SPLIT, seed=0)
    described = {
        "models": {role: describe_lm(lms[role]) for role in ROLES},
        "rubric": rubric.to_toml(),
        "data": digest_of(examples),
        "texts": {"training": len(training), "validation": len(validation), "test": len(test)},
        "documents": len({group_of(example, place) for place, example in enumerate(examples)}),
        "score_rule": score_rule,
    }
    grid = Grid(folder, described, num_threads, max_calls, workers)
    return Setting(
        *(grid, rubric, lms, training, validation, test, score_rule),
        num_threads=num_threads,
        **sizes,
    )


def smoke_setting(folder: Path, **sizes: Any) -> Setting:
    """Give a small setting in the planted world, which needs no model."""
    rubric = planted_rubric("coherence", "fluency")
    lm = planted_lm(PlantedWorld(dilution=0.4, interference=0.6))
    sizes = {"seeds": (0, 1), "repeats": 2, **sizes}
    examples = planted_examples(rubric, documents=16, systems=5)
    return setting_of(folder, rubric, examples, dict.fromkeys(ROLES, lm), smoke=True, **sizes)


def drawn(
    examples: Sequence[dspy.Example], documents: int | None, per_document: int | None
) -> list[dspy.Example]:
    """Draw so many documents, and so many texts of each, always the same ones."""
    rng = random.Random(0)
    members: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        members.setdefault(group_of(example, place), []).append(place)
    names = list(members)
    if documents is not None:
        names = rng.sample(names, min(documents, len(names)))
    chosen = []
    for name in names:
        size = len(members[name])
        chosen += rng.sample(members[name], min(per_document or size, size))
    return [examples[place] for place in sorted(chosen)]


def load_rated(source: str, rubric: Rubric) -> list[dspy.Example]:
    """Read a table of rated texts; who wrote each comes along, if the table says so.

    Two systems that wrote the same text keep one each.

    Raises:
        SetupError: If the table does not fit the rubric.
    """
    scores = tuple(criterion.human for criterion in rubric.criteria)
    table = read_table(source, (SYSTEM, *rubric.columns, *scores), None)
    table = unnested(table, rubric.columns, scores)
    examples = load_examples(source, rubric, merge=SYSTEM not in table.columns)
    if SYSTEM in table.columns:
        for example, system in zip(examples, table.column(SYSTEM), strict=True):
            example[SYSTEM] = str(system)
    return examples


_SMOKE = (
    "Small, in a planted world, without a model. What is said of models, data and texts is then "
    "ignored: all options from --lm to --max-tokens. Without --out nothing is kept."
)

setting_options = together(
    click.option("--lm", metavar="MODEL", help="The judge's model, as in `mogradjudge compile`."),
    click.option("--api-base", metavar="URL", help="The server of --lm."),
    click.option("--prompt-lm", metavar="MODEL", help="For critic, coach, editor; else --lm."),
    click.option("--prompt-api-base", metavar="URL", help="The server of --prompt-lm."),
    click.option("--rater-lm", metavar="MODEL", help="Rates gradients; else --prompt-lm."),
    click.option("--rater-api-base", metavar="URL", help="The server of --rater-lm."),
    click.option("--data", metavar="TABLE", help="Rated texts, as in `mogradjudge compile`."),
    click.option("--rubric", metavar="TOML", help="Their rubric; its `group` is the document."),
    click.option("--documents", type=click.IntRange(3), help="Draw only so many documents."),
    click.option("--per-document", type=click.IntRange(1), help="Draw only so many texts of each."),
    click.option("--score-rule", type=click.Choice(SCORE_RULES[:2]), default="integer"),
    click.option("--temperature", type=click.FloatRange(0), default=0.1, show_default=True),
    click.option("--max-tokens", type=click.IntRange(1), help="The longest reply."),
    click.option("--seeds", type=click.IntRange(1), help="Seeds of an optimizer  [default: 5]"),
    click.option("--repeats", type=click.IntRange(1), help="Scorings of a text  [default: 3]"),
    click.option("--num-threads", type=click.IntRange(1), default=8, show_default=True),
    click.option("--max-calls", type=click.IntRange(1), help="Cap on all calls for --out."),
    click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        help="A folder: cells that it holds are not measured again. Needed but for --smoke.",
    ),
    storage_option,
    click.option("--smoke", is_flag=True, help=_SMOKE),
)


def with_setting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options above, and hand it a `Setting` first; its errors are one line.

    Who calls the command with a folder that is to be removed says so with ``stays``.
    """

    @setting_options
    @wraps(command)
    def run(out: Path | None, *, smoke: bool, stays: bool = True, **arguments: Any) -> None:
        names = [*_NAMES, "max_calls", "num_threads", "seeds", "repeats", "storage"]
        options = {name: arguments.pop(name) for name in names}
        with errors_in_one_line(), ExitStack() as stack:
            if smoke and out is None:
                out, stays = stack.enter_context(passing_folder()), False
            setting = replace((_smoke if smoke else _real)(out, options), stays=stays)
            with in_setting(setting):
                command(setting, **arguments)

    return run


@contextmanager
def passing_folder() -> Iterator[Path]:
    """Give a folder that is removed at the end of the block."""
    with tempfile.TemporaryDirectory(
        prefix="mogradjudge-smoke-", ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Tell a user what went wrong: with a setting, with a provider, or with a disk that is full."""
    try:
        yield
    except (MogradError, dspy.LMError, OSError) as error:
        raise click.ClickException(" ".join(redact(str(error)).split())) from error


def in_setting(setting: Setting) -> AbstractContextManager[None]:
    """Give the DSPy context that a setting's calls are made in."""
    judge = setting.lms["judge"]
    context: AbstractContextManager[None] = dspy.context(
        lm=judge, adapter=adapter_for(judge), disable_history=True
    )
    return context


_NAMES = (
    *("lm", "api_base", "prompt_lm", "prompt_api_base", "rater_lm", "rater_api_base"),
    *("data", "rubric", "documents", "per_document", "score_rule", "temperature", "max_tokens"),
)


def _smoke(out: Path | None, options: Mapping[str, Any]) -> Setting:
    assert out is not None
    sizes = {name: options[name] for name in ("max_calls", "num_threads")}
    sizes["workers"] = workers_of(options["storage"])
    if options["repeats"]:
        sizes["repeats"] = options["repeats"]
    if options["seeds"]:
        sizes["seeds"] = range(options["seeds"])
    return smoke_setting(out, **sizes)


def _real(out: Path | None, options: Mapping[str, Any]) -> Setting:
    for name, value in {"lm": options["lm"], "data": options["data"], "out": out}.items():
        if value is None:
            raise SetupError(f"--{name} is needed, or --smoke for a trial without a model.")
    if options["rubric"] is None:
        raise SetupError("--rubric is needed: it names the table's columns and the criteria.")
    assert out is not None
    rubric = Rubric.from_toml(options["rubric"])
    examples = drawn(
        load_rated(options["data"], rubric), options["documents"], options["per_document"]
    )
    return setting_of(
        out,
        rubric,
        examples,
        _lms(options),
        max_calls=options["max_calls"],
        workers=workers_of(options["storage"]),
        num_threads=options["num_threads"],
        score_rule=options["score_rule"],
        seeds=range(options["seeds"] or 5),
        repeats=options["repeats"] or 3,
    )


def _lms(options: Mapping[str, Any]) -> dict[str, dspy.BaseLM]:
    most = options["max_tokens"]
    judge: dspy.BaseLM = make_lm(options["lm"], options["api_base"], options["temperature"], most)
    prompts, rater = judge, judge
    if options["prompt_lm"] is not None:
        prompts = make_lm(options["prompt_lm"], options["prompt_api_base"], 0.0, most)
        rater = prompts
    if options["rater_lm"] is not None:
        rater = make_lm(options["rater_lm"], options["rater_api_base"], 0.0, most)
    return {"judge": judge, "critic": prompts, "coach": prompts, "editor": prompts, "rater": rater}
