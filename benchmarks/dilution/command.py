"""Whether a gradient for all criteria at once says less about each than separate ones do.

Gradients are written of the same judgements and the same critiques under every scope, told how long
to be, and rated by an LM and by a classifier that is none; both are tested first on texts whose
focus is known. See `benchmarks.dilution.arms` for the arms and `benchmarks.dilution.measures` for
what is measured. A (seed, step) pair is one cell and one cluster, with documents of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import click

from benchmarks.dilution.calibration import CALIBRATION, calibrate
from benchmarks.dilution.causal import Tried, chosen, try_gradient
from benchmarks.dilution.classifier import bank_classifier
from benchmarks.dilution.findings import Dilution
from benchmarks.dilution.lm_rater import warning_about
from benchmarks.dilution.planted import plantable
from benchmarks.dilution.steps import batches_of, measure_step, open_raters
from benchmarks.dilution.summary import BENCHMARK, CAUSAL, RATERS, STEP, summarize
from benchmarks.dilution.tables import arms_table, raters_table, ratings_table
from benchmarks.dilution.whole_texts import probe_ratings
from benchmarks.harness.cells import Cell
from benchmarks.harness.options import with_setting
from benchmarks.harness.scored import Judged
from benchmarks.harness.setting import Setting
from benchmarks.harness.tasks import Task
from benchmarks.noise import seed_scoring
from mogradjudge import SetupError
from mogradjudge.display.terminal import number
from mogradjudge.lm.ledger import Ledger

_MOST_WHOLE = 5  # texts per criterion and level: each is a call


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        steps: Steps per seed; each is a batch of its own.
        batch_size: Examples per step.
        words: How long the coach is told to be about one criterion.
        planted: Planted texts per criterion and level that the raters are tested on.
        causal: How many gradients to take apart; 0 for none.
    """

    steps: int = 2
    batch_size: int = 3
    words: int = 120
    planted: int = 15
    causal: int = 0


SMOKE = Sizes(steps=4, batch_size=2, words=20, planted=3, causal=6)


def measure(setting: Setting, sizes: Sizes) -> None:
    """Measure what is not measured yet.

    Raises:
        SetupError: If the rubric has one criterion, or there are too few documents.
    """
    if len(setting.rubric.names) < 2:
        raise SetupError("Dilution needs a rubric with two criteria or more.")
    batches = batches_of(setting, setting.seeds, sizes.steps, sizes.batch_size)
    seeds = len(setting.seeds)
    dealt = {"batch_size": sizes.batch_size, "seeds": seeds, "steps": sizes.steps}
    tasks = [_rater_test(setting, sizes.planted)]
    for (seed, step), batch in batches.items():
        place: dict[str, Any] = {"seed": seed, "step": step, "words": sizes.words}
        work = partial(measure_step, setting, batch=batch, **place)
        tasks.append(setting.grid.task(BENCHMARK, {"part": STEP, **place, **dealt}, work))
    if not sizes.causal:
        setting.grid.measure(tasks)
        return
    about, *steps, before = setting.grid.measure([*tasks, seed_scoring(setting, "combined", 0)])
    best = _best_rater(about)
    gradients = chosen(steps, best, sizes.causal)
    setting.grid.measure(_causal(setting, best, gradients, Judged.of(before)))


def _rater_test(setting: Setting, planted: int) -> Task:
    key = {"part": RATERS, "planted": planted}
    return setting.grid.task(BENCHMARK, key, lambda ledger: _test_raters(setting, ledger, planted))


def _test_raters(setting: Setting, ledger: Ledger, planted: int) -> dict[str, Any]:
    raters = open_raters(setting, ledger)
    can_be_tested = bool(plantable(setting.rubric.names))
    whole = min(planted, _MOST_WHOLE)
    warning = warning_about(setting.lms["rater"], setting.lms["coach"])
    return {
        "lm": raters.lm.name,
        "raters": [rater.name for rater in raters.plain],
        "masked": {plain.name: masked.name for plain, masked in raters.pairs},
        "unknown": list(bank_classifier(setting.rubric.names).unknown),
        "warnings": [] if warning is None else [warning],
        "calibrations": {
            rater.name: asdict(calibrate(rater, n=planted))
            for rater in (raters.all if can_be_tested else ())
        },
        **({"holistic": probe_ratings(raters.lm, n=whole)} if can_be_tested else {}),
    }


def _causal(setting: Setting, best: str, gradients: Sequence[Tried], before: Judged) -> list[Task]:
    def try_one(ledger: Ledger, tried: Tried, seed: float | None) -> dict[str, Any]:
        raters = {rater.name: rater for rater in open_raters(setting, ledger).plain}
        return {**try_gradient(setting, ledger, raters[best], tried), "seed": seed}

    return [
        setting.grid.task(
            BENCHMARK,
            {**tried.key, "part": CAUSAL, "rater": best},
            partial(try_one, tried=tried, seed=before.agreement(tried.key["criterion"])),
        )
        for tried in gradients
    ]


def _best_rater(about: Cell) -> str:
    """Choose the rater that did best on planted texts; the LM if none could be tested."""
    rhos = {
        name: CALIBRATION.validate_python(entry).overall.rho or 0.0
        for name, entry in about.result["calibrations"].items()
        if name in about.result["raters"]
    }
    return max(rhos, key=lambda name: rhos[name]) if rhos else str(about.result["lm"])


def print_dilution(dilution: Dilution) -> None:
    """Print the findings: the raters' test, the arms, the claims."""
    for note in dilution.notes:
        print(note)
    for table in (raters_table(dilution), arms_table(dilution), ratings_table(dilution)):
        table.print()
    _print_contrasts(dilution)


def _print_contrasts(dilution: Dilution) -> None:
    for contrast in (*dilution.contrasts, *dilution.causal):
        print(f"{contrast.rater}: {contrast.mean}")
        if contrast.relative is not None:
            print(f"    {contrast.relative}")
        singles = [
            f"{criterion} {number(claim.estimate, 2)} {contrast.verdict_on(criterion)}"
            for criterion, claim in contrast.by_criterion.items()
            if claim.estimate is not None
        ]
        if singles:
            print(f"    {'; '.join(singles)}")


def show(setting: Setting) -> None:
    """Print what the cells of a setting say."""
    print_dilution(summarize(setting.cells))
    setting.say_where()


@click.command("dilution")
@click.option("--steps", type=click.IntRange(1), help="Steps per seed  [default: 2]")
@click.option("--batch-size", type=click.IntRange(1), help="Examples per step  [default: 3]")
@click.option("--words", type=click.IntRange(10), help="Words per criterion  [default: 120]")
@click.option("--planted", type=click.IntRange(1), help="Planted texts per level  [default: 15]")
@click.option("--causal", type=click.IntRange(0), help="Gradients to take apart  [default: 0]")
@with_setting(show)
def command(setting: Setting, **sizes: int | None) -> None:
    """Whether joint gradients are diluted, with the controls that tell it from arithmetic.

    A step of B texts and K criteria takes up to B (K^2 + 5 K + 3) + 4 K + 2 calls, and 2 per
    sentence of its gradients; benchmarks/README.md has the calls of all parts.
    """
    chosen_sizes = {name: size for name, size in sizes.items() if size is not None}
    measure(setting, replace(SMOKE if setting.smoke else Sizes(), **chosen_sizes))
