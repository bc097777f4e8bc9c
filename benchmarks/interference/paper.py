"""The paper's own protocol: the best of all evaluations on the *test* texts, put together.

Source: "When Gradients Collide" (arXiv 2605.26046), whose best of 39 evaluations per criterion
agrees by .305 in the mean, and whose prompt of these four, in one call, by .220.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.harness.cells import Cell
from benchmarks.harness.scored import Judged, scoring
from benchmarks.harness.setting import Setting
from benchmarks.harness.tasks import Task
from benchmarks.interference.arms import judges, with_sections
from benchmarks.interference.choose import BENCHMARK, Effort, optimized_alone
from benchmarks.interference.measure import identity

EVALUATE, STITCHED = "evaluate", "stitched"
REPORTED = (0.305, 0.220)
"""The paper's two figures: the mean of the best evaluations, and the stitched prompt's."""
PAPER = "the paper, on other data: best of 39 on its test texts"


def measure_paper(setting: Setting, effort: Effort) -> None:
    """Evaluate every proposal of every run on the test texts, and put the best ones together.

    Each criterion's proposals are scored in calls of its own. The core arms of what is picked are
    then scored once: the stitched prompt, and what takes its loss apart.
    """
    proposals = [
        (cell, program)
        for cell in optimized_alone(setting, effort)
        for program in cell.result["measured"]
    ]
    evaluated = setting.grid.measure([_evaluation(setting, *proposal) for proposal in proposals])
    texts = {
        (cell.key["criterion"], cell.key["instructions"]): program["section"]
        for cell, (_, program) in zip(evaluated, proposals, strict=True)
    }
    picked = {name: instructions for name, (_, instructions) in best_of(evaluated).items()}
    sections = {name: texts[name, picked[name]] for name in setting.rubric.names}
    setting.grid.measure(
        [
            scoring(
                *(setting, BENCHMARK),
                {"part": STITCHED, "arm": arm, "picked": picked, **identity(sections)},
                judge,
            )
            for arm, judge in judges(setting, sections, 0, explaining=False).items()
        ]
    )


def best_of(evaluated: Sequence[Cell]) -> dict[str, tuple[float, str]]:
    """Give each criterion's best agreement on the test texts, and name the instructions.

    The first of equals counts, and one that is undefined for 0.
    """
    best: dict[str, tuple[float, str]] = {}
    for cell in evaluated:
        name = cell.key["criterion"]
        value = Judged.of(cell).agreement(name) or 0.0
        if name not in best or value > best[name][0]:
            best[name] = value, cell.key["instructions"]
    return best


def _evaluation(setting: Setting, run: Cell, program: dict[str, str]) -> Task:
    name = run.key["criterion"]
    sections = {name: program["section"]}
    rubric = replace(setting.rubric, criteria=(setting.rubric[name],))
    key = {"part": EVALUATE, "criterion": name, "run": str(run.key["seed"])}
    key |= {"step": program["step"], **identity(sections)}
    judge = with_sections(setting.judge("separate", rubric), sections)
    return scoring(setting, BENCHMARK, key, judge)
