"""What a benchmark is run on, and the options that say so."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import dspy

from benchmarks.harness.cells import Cell
from benchmarks.harness.grid import Grid
from benchmarks.harness.workers import Workers
from benchmarks.worlds.planted import PlantedWorld, planted_examples, planted_lm, planted_rubric
from mogradjudge import (
    MogradError,
    MultiCriteriaJudge,
    Rubric,
    load_examples,
    split_by_group,
)
from mogradjudge.data import group_of
from mogradjudge.lm.models import adapter_for
from mogradjudge.objectives.rubric import check_ratings
from mogradjudge.programs.identity import describe_lm, digest_of
from mogradjudge.secrets import redact
from mogradjudge.settings import Layout, ScoreRule

LAYOUTS: tuple[Layout, ...] = ("combined", "separate")
CALLS: Mapping[Layout, str] = {"combined": "one call", "separate": "separate calls"}
"""Layouts as people read them."""
ROLES = ("judge", "critic", "coach", "editor", "rater")
SPLIT = (0.3, 0.2, 0.5)  # of the documents: training, validation, test
PLANTED = {
    "noise": "a tenth of the variance of the judge's error is new in each scoring of a text, a "
    "third is new with each wording of the instructions.",
    "dilution": "a coach that speaks of several criteria at once writes empty words in the place "
    "of 40 % of its advice, however long it writes: at the same total length it says 40 % less.",
    "interference": "in a call about several criteria, what the instructions say of the others "
    "adds up to 0.6 points of the scale to the judge's error.",
    "modes": "joint gradients lose 40 % of their advice, so CCC ends a little below SSS, by less "
    "than these texts show; nothing disturbs the judge's separate calls, so ST ends well above.",
}
"""What the world of `smoke_setting` holds, by the benchmark that should find it."""
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
    planted: Mapping[str, str] | None = None,
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
        **({} if planted is None else {"planted": planted}),
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
    sizes = {"seeds": range(5), "repeats": 2, "planted": PLANTED, **sizes}
    examples = planted_examples(rubric, documents=40, systems=2)
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
    return load_examples(source, rubric, keep=SYSTEM)


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
