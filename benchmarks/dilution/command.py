"""Whether a gradient for all criteria at once says less about each than separate ones do.

Gradients are written of the same judgements and the same critiques under every scope, told how long
to be, and rated by an LM and by a classifier that is none; both are tested first on texts whose
focus is known. See `benchmarks.dilution.arms` for the arms and `benchmarks.dilution.measures` for
what is measured. A (seed, step) pair is one cell and one cluster, with documents of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, get_args

import click

from benchmarks.dilution.causal import Tried, chosen, try_gradient
from benchmarks.dilution.finding import finding
from benchmarks.dilution.observed import observe
from benchmarks.dilution.planted import plantable
from benchmarks.dilution.raters import (
    BENCHMARK,
    EDITS,
    STEP,
    Source,
    raters_of,
    tests_of,
    units_of,
    whole_texts_of,
)
from benchmarks.dilution.steps import edit_step, texts_of, write_step
from benchmarks.dilution.summary import CAUSAL, by_size, summarize
from benchmarks.harness.cells import Cell
from benchmarks.harness.options import with_setting
from benchmarks.harness.rehearsal import Rehearsal
from benchmarks.harness.setting import Setting
from benchmarks.harness.tasks import Task
from benchmarks.worlds.bank import labels
from mogradjudge import SetupError
from mogradjudge.criteria import Group
from mogradjudge.display.terminal import say
from mogradjudge.settings import Pooling


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        steps: Steps per seed; each is a batch of its own.
        batch_size: Texts per step.
        pool: Whether the coach reads the batch as a whole, as in a run, or text by text.
        words: How long the coach is told to be about one criterion.
        planted: Planted texts per criterion and level that the raters are tested on.
        causal: How many gradients to take apart; 0 for none.
        holistic: Whether whole texts are rated from 1 to 10.
        masked: Whether units are rated once more with the criteria's names hidden.
        adherence: Whether editors rewrite by the gradients, and are rated.
        embedding_lm: An embedding model that rates units, too.
    """

    steps: int = 2
    batch_size: int = 8
    pool: Pooling = "batch"
    words: int = 120
    planted: int = 15
    causal: int = 0
    holistic: bool = True
    masked: bool = False
    adherence: bool = False
    embedding_lm: str | None = None


_POOL = 3  # texts that are judged for each one of a batch
_POOL_HELP = (
    "The coach reads the batch as a whole, as in a run, or text by text, as in the paper  "
    "[default: batch]"
)
SMOKE = Sizes(steps=4, batch_size=2, words=20, planted=3, causal=6)


def measure(setting: Setting, sizes: Sizes) -> None:
    """Measure what is not measured yet.

    Raises:
        SetupError: If the rubric has one criterion, or there are too few documents.
    """
    if len(setting.rubric.names) < 2:
        raise SetupError("Dilution needs a rubric with two criteria or more.")
    grid, writing = setting.grid, _steps(setting, sizes)
    if isinstance(grid, Rehearsal):  # once, before the price is told
        _warn_of_untested(setting.rubric.names)
    raters = raters_of(setting, masked=sizes.masked, embedding_lm=sizes.embedding_lm)
    grid.measure(tests_of(setting, raters, sizes.planted, holistic=sizes.holistic))
    steps = grid.measure(writing)
    tasks = [units_of(setting, rater, step) for step in steps for rater in raters]
    if sizes.holistic:
        tasks += [whole_texts_of(setting, step) for step in steps]
    if sizes.adherence:
        tasks += [_edits(setting, step) for step in steps]
    grid.measure(tasks)
    if sizes.causal:
        best = _best_rater(setting, raters)
        (ours,) = (cells for cells in by_size(setting.cells) if steps[0] in cells)
        gradients = chosen(observe(ours).steps, best.name, sizes.causal)
        grid.measure(_causal(setting, best, gradients))


def _warn_of_untested(criteria: Group) -> None:
    if untested := [name for name in criteria if name not in plantable(criteria)]:
        say(
            f"Raters cannot be tested on {', '.join(untested)}, so nothing will be said about "
            f"{'it' if len(untested) == 1 else 'them'}: test sentences are there for "
            f"{', '.join(labels())}."
        )


def _steps(setting: Setting, sizes: Sizes) -> list[Task]:
    size, pool = sizes.batch_size, sizes.pool
    most = size if pool == "example" else _POOL * size
    dealt = {"seeds": len(setting.seeds), "steps": sizes.steps}
    tasks = []
    for (seed, step), texts in texts_of(setting, setting.seeds, sizes.steps, size, most).items():
        place: dict[str, Any] = {"seed": seed, "step": step, "words": sizes.words}
        place |= {"batch_size": size, "pool": pool}
        work = partial(write_step, setting, texts=texts, **place)
        tasks.append(setting.grid.task(BENCHMARK, {"part": STEP, **place, **dealt}, work))
    return tasks


def _edits(setting: Setting, step: Cell) -> Task:
    place = {name: step.key[name] for name in ("seed", "step")}
    work = partial(edit_step, setting, gradients=step.result["gradients"], **place)
    return setting.grid.task(BENCHMARK, {**step.key, "part": EDITS}, work)


def _causal(setting: Setting, best: Source, gradients: Sequence[Tried]) -> list[Task]:
    key = {"part": CAUSAL, "rater": best.name}
    return [
        setting.grid.task(
            BENCHMARK, {**tried.key, **key}, partial(try_gradient, setting, best, tried)
        )
        for tried in gradients
    ]


def _best_rater(setting: Setting, raters: Sequence[Source]) -> Source:
    """Choose the rater that did best on planted texts; the LM if none could be tested."""
    tested = observe(setting.cells).calibrations
    rhos = {name: of.shares.overall.rho or 0.0 for name, of in tested.items()}
    return max(raters, key=lambda rater: rhos.get(rater.name, -1.0))


def show(setting: Setting) -> None:
    """Print what the cells of a setting say, a finding for each size of steps."""
    for cells in by_size(setting.cells):
        finding(summarize(cells)).print()
    setting.say_where("; `report` shows what it is made of")


@click.command("dilution")
@click.option("--steps", type=click.IntRange(1), help="Steps per seed  [default: 2]")
@click.option("--batch-size", type=click.IntRange(1), help="Texts per step  [default: 8]")
@click.option("--pool", type=click.Choice(get_args(Pooling)), help=_POOL_HELP)
@click.option("--words", type=click.IntRange(10), help="Words per criterion  [default: 120]")
@click.option("--planted", type=click.IntRange(1), help="Planted texts per level  [default: 15]")
@click.option("--causal", type=click.IntRange(0), help="Gradients to take apart  [default: 0]")
@click.option("--holistic/--no-holistic", default=None, help="Rate whole texts, 1 to 10, too.")
@click.option("--masked", is_flag=True, default=None, help="Rate units with names hidden, too.")
@click.option("--embedding-lm", metavar="MODEL", help="An embedding model that rates units, too.")
@click.option("--adherence", is_flag=True, default=None, help="Rate what editors make of it, too.")
@with_setting(show)
def command(setting: Setting, **sizes: Any) -> None:
    """Whether joint gradients are diluted, with the controls that tell it from arithmetic.

    A step of B texts and K criteria takes up to B (K + 4) + K + 4 calls, one for each different
    sentence of its gradients, and 6 K for ratings of whole texts (not with --no-holistic). --masked
    asks about each sentence once more, --adherence takes up to 6 K + 4 a step. The raters' test
    takes a call for each planted sentence, and 25 K for whole texts.
    """
    chosen_sizes = {name: size for name, size in sizes.items() if size is not None}
    measure(setting, replace(SMOKE if setting.smoke else Sizes(), **chosen_sizes))
