"""Measuring the modes: a cell for each run of an optimizer.

A cell keeps the judge's scores of every test text, so that a reader can compute all figures anew.
The seed prompt's scores are cells of the noise benchmark, one repeat beside each run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmarks.harness.cells import Cell, Values, identity_of
from benchmarks.harness.optimized import optimized
from benchmarks.harness.scored import score_texts
from benchmarks.harness.setting import Setting
from benchmarks.harness.tasks import Means, Task
from benchmarks.modes.edits import edits_of
from benchmarks.noise import seed_scoring
from mogradjudge import (
    Budget,
    BudgetExhausted,
    MOGrad,
    MultiCriteriaJudge,
    OptimizationResult,
    Rubric,
    SetupError,
)
from mogradjudge.files import LineLog
from mogradjudge.hashing import digest
from mogradjudge.lm.ledger import Ledger, LedgerRow
from mogradjudge.lm.stop import interruptible
from mogradjudge.optimize.directory import EVENTS, RunDirectory
from mogradjudge.programs.candidate import Candidate
from mogradjudge.settings import Layout
from mogradjudge.stages.gate import make_gate

BENCHMARK = "modes"
SEED = "seed"  # stands for the seed prompt in the place of a mode
SINGLE = "ST"  # single-task: an optimizer, and a judge, for each criterion
MODES = ("SSS", "SSC", "SCC", "CCC", SINGLE)
TEST = "test"  # the role under which the scoring of test texts is booked: no mode pays for it


@dataclass(frozen=True)
class Plan:
    """How every mode is run."""

    steps: int | None = None
    batch_size: int = 3
    layout: Layout = "combined"
    gate: Literal["mean", "criterion", "none"] = "mean"
    tolerance: float = 0.0

    def key(self, mode: str, seed: int) -> dict[str, Any]:
        """Name the cell of one run."""
        return {
            "mode": mode,
            "seed": seed,
            "steps": MOGrad(**self.options("SSS", seed)).config.steps,
            "batch_size": self.batch_size,
            "layout": self.layout_of(mode),
            "gate": self.gate,
            "tolerance": self.tolerance,
        }

    def layout_of(self, mode: str) -> Layout:
        """Give the layout that a mode's judge scores in."""
        return "separate" if mode == SINGLE else self.layout

    def options(self, mode: str, seed: int) -> dict[str, Any]:
        """Give the optimizer's options of one run; with one criterion all modes are the same."""
        return {
            "mode": "SSS" if mode == SINGLE else mode,
            "protocol": "paper",
            "steps": self.steps,
            "batch_size": self.batch_size,
            "seed": seed,
            "gate": make_gate(self.gate, tolerance=self.tolerance),
        }


def measure(setting: Setting, plan: Plan, modes: Sequence[str] = MODES) -> None:
    """Measure what is not measured yet.

    Raises:
        SetupError: If a mode is unknown.
        BudgetExhausted: At the folder's cap on calls.
        RunStopped: If somebody stopped a run.
    """
    if unknown := set(modes) - set(MODES):
        raise SetupError(f"There is no mode {sorted(unknown)}; there are {', '.join(MODES)}.")
    layouts = dict.fromkeys(plan.layout_of(mode) for mode in modes)
    # Seed by seed, so that a campaign that is cut short has all modes on its first seeds.
    tasks: list[Task] = []
    for seed in setting.seeds:
        tasks += [seed_scoring(setting, layout, seed) for layout in layouts]
        tasks += [_run(setting, plan, mode, seed) for mode in modes]
    setting.grid.measure(tasks)


def runs_of(setting: Setting, plan: Plan, modes: Sequence[str]) -> list[Cell]:
    """Give the cells of a plan's runs that are measured."""
    keys = [plan.key(mode, seed) for seed in setting.seeds for mode in modes]
    names = {identity_of(BENCHMARK, key, setting.grid.setting) for key in keys}
    return [cell for cell in setting.grid.cells if cell.identity in names]


def _run(setting: Setting, plan: Plan, mode: str, seed: int) -> Task:
    def run(means: Means) -> tuple[Values, Sequence[Values]]:
        parts = _parts(setting.rubric, mode)
        results: dict[str | None, OptimizationResult] = {}
        rows: list[LedgerRow] = []
        edits: list[list[dict[str, Any]]] = []
        for number, (name, rubric) in enumerate(parts.items()):
            folder = means.folder / f"run-{number}"
            judge = setting.judge(plan.layout_of(mode), rubric)
            results[name] = optimized(
                *(setting, means, folder, judge, (setting.training, setting.validation)),
                budget=_left(means.budget, rows),
                **plan.options(mode, seed),
            )
            rows += results[name].ledger
            edits.append(edits_of(LineLog(folder / EVENTS).entries(), _sections(judge)))
        judges = [result.program for result in results.values()]
        judged, tested = _tested(setting, judges, means, _left(means.budget, rows))
        runs = [
            {"criterion": name, "edits": edits[number], **_run_dict(result)}
            for number, (name, result) in enumerate(results.items())
        ]
        return {"runs": runs, "judged": judged}, [row.as_dict() for row in (*rows, *tested)]

    return Task(BENCHMARK, plan.key(mode, seed), run)


def _parts(rubric: Rubric, mode: str) -> dict[str | None, Rubric]:
    """Give the rubrics that a mode optimizes for, each in a run of its own."""
    if mode != SINGLE:
        return {None: rubric}
    return {criterion.name: replace(rubric, criteria=(criterion,)) for criterion in rubric.criteria}


def _left(budget: Budget, rows: Sequence[LedgerRow]) -> Budget:
    if budget.max_calls is None:
        return budget
    left = budget.max_calls - sum(row.calls + row.failed for row in rows)
    if left < 1:
        raise BudgetExhausted("The cap on calls is reached between two runs. Raise --max-calls.")
    return replace(budget, max_calls=left)


def _tested(
    setting: Setting, judges: Sequence[MultiCriteriaJudge], means: Means, budget: Budget
) -> tuple[Values, Sequence[LedgerRow]]:
    """Score the test texts afresh: no reply of the run answers here."""
    ledger = Ledger(budget, setting.num_threads, purse=means.purse)
    place = RunDirectory(means.folder / "test")
    texts = [_sections(judge) for judge in judges]
    with ExitStack() as stack:
        stack.enter_context(place.at_work({"judges": digest(texts)}, ledger))
        stack.enter_context(interruptible(ledger.stop_signal))
        judged = score_texts(setting, judges, setting.test, ledger)
    return judged, [replace(row, role=TEST) for row in ledger.rows]


def _run_dict(result: OptimizationResult) -> dict[str, Any]:
    """Keep a run's way: step 0 is the seed."""
    seed = {"step": 0, "accepted": True, "agreement": result.seed_agreement.as_dict()}
    return {
        "sections": _sections(result.program),
        "stop_reason": result.stop_reason,
        "seed_kept": result.seed_kept,
        "final_agreement": result.final_agreement.as_dict(),
        "trajectory": [seed | {"proposed": seed["agreement"]}]
        + [
            {
                "step": step.step,
                "accepted": step.accepted,
                "agreement": step.agreement.as_dict(),
                "proposed": None if step.proposed is None else step.proposed.as_dict(),
            }
            for step in result.steps
        ],
    }


def _sections(judge: MultiCriteriaJudge) -> dict[str, str]:
    """Give each criterion's section; other text of the instructions stays as it was."""
    candidate = Candidate.of(judge)
    return {
        name: candidate.instructions[path].section(name)
        for path, predictor in judge.named_predictors()
        for name in predictor.criteria
    }
