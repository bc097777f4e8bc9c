"""Whether a gradient for all criteria at once says less about each than separate ones do.

Gradients are written of the same judgements and the same critiques under every scope, told how long
to be, and rated by an LM and by a classifier that is none; both are tested first on texts whose
focus is known. See `benchmarks.dilution.arms` for the arms and `benchmarks.dilution.measures` for
what is measured. A (seed, step) pair is one cell and one cluster, with documents of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import click

from benchmarks.dilution.calibration import CALIBRATION, calibrate
from benchmarks.dilution.causal import Tried, chosen, try_gradient
from benchmarks.dilution.findings import Dilution
from benchmarks.dilution.lm_rater import warning_about
from benchmarks.dilution.planted import plantable
from benchmarks.dilution.steps import batches_of, measure_step, open_raters
from benchmarks.dilution.summary import BENCHMARK, CAUSAL, RATERS, STEP, summarize
from benchmarks.dilution.tables import arms_table, raters_table, ratings_table
from benchmarks.dilution.whole_texts import probe_ratings
from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import Judged
from benchmarks.harness.setting import Setting, with_setting
from benchmarks.harness.tasks import Task
from benchmarks.noise import seed_scoring
from mogradjudge import SetupError
from mogradjudge.display.terminal import number
from mogradjudge.lm.ledger import Ledger

_MOST_WHOLE = 5  # texts per criterion and level: each is a call


def measure(
    setting: Setting, *, steps: int, batch_size: int, words: int, planted: int, causal: int
) -> None:
    """Measure what is not measured yet.

    Args:
        setting: What it is measured on.
        steps: Steps per seed; each is a batch of its own.
        batch_size: Examples per step.
        words: How long the coach is told to be about one criterion.
        planted: Planted texts per criterion and level that the raters are tested on.
        causal: How many gradients to take apart; 0 for none.

    Raises:
        SetupError: If the rubric has one criterion, or there are too few documents.
    """
    if len(setting.rubric.names) < 2:
        raise SetupError("Dilution needs a rubric with two criteria or more.")
    batches = batches_of(setting, setting.seeds, steps, batch_size)
    dealt = {"batch_size": batch_size, "seeds": len(setting.seeds), "steps": steps}
    tasks = [_rater_test(setting, planted)]
    for (seed, step), batch in batches.items():
        place: dict[str, Any] = {"seed": seed, "step": step, "words": words}
        work = partial(measure_step, setting, batch=batch, **place)
        tasks.append(setting.grid.task(BENCHMARK, {"part": STEP, **place, **dealt}, work))
    if not causal:
        setting.grid.measure(tasks)
        return
    about, *found, before = setting.grid.measure([*tasks, seed_scoring(setting, "combined", 0)])
    best = _best_rater(about)
    setting.grid.measure(_causal(setting, best, chosen(found, best, causal), Judged.of(before)))


def _rater_test(setting: Setting, planted: int) -> Task:
    key = {"part": RATERS, "planted": planted}
    return setting.grid.task(BENCHMARK, key, lambda ledger: _test_raters(setting, ledger, planted))


def _test_raters(setting: Setting, ledger: Ledger, planted: int) -> dict[str, Any]:
    raters = open_raters(setting, ledger)
    can_be_tested = bool(plantable(setting.rubric.names))
    whole = min(planted, _MOST_WHOLE)
    masked = {raters.lm.name: raters.lm_masked.name}
    if raters.classifier is not None and raters.classifier_masked is not None:
        masked[raters.classifier.name] = raters.classifier_masked.name
    warning = warning_about(setting.lms["rater"], setting.lms["coach"])
    unknown = setting.rubric.names if raters.classifier is None else raters.classifier.unknown
    return {
        "lm": raters.lm.name,
        "raters": [rater.name for rater in raters.plain],
        "masked": masked,
        "unknown": list(unknown),
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


def print_dilution(found: Dilution) -> None:
    """Print the findings: the raters' test, the arms, the claims."""
    for note in found.notes:
        print(note)
    for table in (raters_table(found), arms_table(found), ratings_table(found)):
        table.print()
    _print_contrasts(found)


def _print_contrasts(found: Dilution) -> None:
    for contrast in (*found.contrasts, *found.causal):
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


@click.command("dilution")
@click.option("--steps", type=click.IntRange(1), help="Steps per seed  [default: 2]")
@click.option("--batch-size", type=click.IntRange(1), help="Examples per step  [default: 3]")
@click.option("--words", type=click.IntRange(10), help="Words per criterion  [default: 120]")
@click.option("--planted", type=click.IntRange(1), help="Planted texts per level  [default: 15]")
@click.option("--causal", type=click.IntRange(0), help="Gradients to take apart  [default: 0]")
@with_setting
def command(
    setting: Setting,
    *,
    steps: int | None,
    batch_size: int | None,
    words: int | None,
    planted: int | None,
    causal: int | None,
) -> None:
    """Whether joint gradients are diluted, with the controls that tell it from arithmetic."""
    usual = (4, 2, 20, 3, 6) if setting.smoke else (2, 3, 120, 15, 0)
    given = (steps, batch_size, words, planted, causal)
    sizes = [one if other is None else other for one, other in zip(usual, given, strict=True)]
    names = ("steps", "batch_size", "words", "planted", "causal")
    measure(setting, **dict(zip(names, sizes, strict=True)))
    found = summarize(setting.cells)
    print_dilution(found)
    setting.say_where()
