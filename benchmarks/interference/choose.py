"""The instructions that are put together: for each criterion the best ones found on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dspy

from benchmarks.harness.cells import Cell, Values
from benchmarks.harness.optimized import optimized
from benchmarks.harness.setting import Setting
from benchmarks.harness.tasks import Means, Task
from benchmarks.interference.arms import Sections, seed_sections
from mogradjudge import AlwaysAccept, MultiCriteriaJudge, SetupError
from mogradjudge.optimize.result import OptimizationResult
from mogradjudge.programs.candidate import Candidate

BENCHMARK = "interference"


@dataclass(frozen=True)
class Effort:
    """How long each criterion's instructions are optimized."""

    steps: int = 6
    batch_size: int = 3


def optimized_alone(setting: Setting, effort: Effort) -> list[Cell]:
    """Optimize each criterion alone, once for each seed; a cell keeps every proposal of a run."""
    names = setting.rubric.names
    return setting.grid.measure(
        [_run(setting, name, seed, effort) for seed in setting.seeds for name in names]
    )


def chosen_sections(setting: Setting, effort: Effort) -> dict[str, Sections]:
    """Optimize each criterion alone, and take what did best on the validation texts, by seed.

    Every proposal is the next step's start, and what is chosen is the best of the proposals: it may
    be worse than the seed prompt, whose figures stand beside it in every table.
    """
    sections: dict[str, dict[str, str]] = {}
    for cell in optimized_alone(setting, effort):
        run = sections.setdefault(str(cell.key["seed"]), {})
        run[cell.key["criterion"]] = cell.result["section"]
    return dict(sections)


def given_sections(setting: Setting, path: Path) -> dict[str, str]:
    """Take the sections of a saved judge.

    Raises:
        SetupError: If it has none for a criterion, or only the seed's.
    """
    judge = MultiCriteriaJudge.from_saved(path)
    sections: dict[str, str] = {}
    for instructions in Candidate.of(judge).instructions.values():
        sections |= dict(instructions.sections)
    if missing := [name for name in setting.rubric.names if not sections.get(name)]:
        raise SetupError(f"{path} has no section for {', '.join(missing)}.")
    sections = {name: sections[name] for name in setting.rubric.names}
    if sections == seed_sections(setting):
        raise SetupError(f"{path} holds the seed instructions; there is nothing to compare.")
    return sections


def _run(setting: Setting, name: str, seed: int, effort: Effort) -> Task:
    rubric = replace(setting.rubric, criteria=(setting.rubric[name],))
    key = {"part": "choose", "criterion": name, "seed": seed, **vars(effort)}

    def optimize(means: Means) -> tuple[Values, Sequence[Values]]:
        column = rubric[name].human
        result = optimized(
            *(setting, means, means.folder, setting.judge("separate", rubric)),
            (_rated(setting.training, column), _rated(setting.validation, column)),
            mode="SSS",
            protocol="paper",
            seed=seed,
            gate=AlwaysAccept(),
            **vars(effort),
        )
        return _best(result, name), [row.as_dict() for row in result.ledger]

    return Task(BENCHMARK, key, optimize)


def _rated(examples: Sequence[dspy.Example], column: str) -> list[dspy.Example]:
    return [example for example in examples if example[column] is not None]


def _best(result: OptimizationResult, name: str) -> dict[str, Any]:
    measured: list[dict[str, Any]] = []
    for program in result.measured:
        (instructions,) = program.candidate.instructions.values()
        validation = program.agreement.as_dict()[name]
        section = instructions.section(name)
        measured.append({"step": program.step, "section": section, "validation": validation})
    edited = [program for program in measured if program["section"] != measured[0]["section"]]
    # The first of equals; one that cannot be measured comes last.
    best = max(
        edited or measured, key=lambda e: -2.0 if e["validation"] is None else e["validation"]
    )
    chosen = {kind: best[kind] for kind in ("section", "validation")}
    return {**chosen, "edited": bool(edited), "measured": measured}
