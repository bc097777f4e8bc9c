"""Every arm scored afresh on the same held-out texts."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.harness.scored import scoring
from benchmarks.harness.setting import LAYOUTS, Setting
from benchmarks.harness.tasks import Task
from benchmarks.interference.arms import OPTIMIZED, Sections, one_optimized
from benchmarks.interference.choose import BENCHMARK
from benchmarks.noise import seed_scoring
from mogradjudge import MultiCriteriaJudge
from mogradjudge.hashing import digest

MATRIX = "J+"
"""Begins the name of an arm with one optimized section; the criterion's name follows."""


def measure(setting: Setting, sections: Mapping[str, Sections]) -> None:
    """Score all arms, repeat by repeat, so that a run that is cut short has whole repeats.

    The seed's two arms are the cells of the noise benchmark.

    Args:
        setting: What is measured on.
        sections: The optimized sections, by the name of the run that they come from.
    """
    tasks: list[Task] = []
    for repeat in range(setting.repeats):
        tasks += [seed_scoring(setting, layout, repeat) for layout in LAYOUTS]
        for run, texts in sections.items():
            for name, judge in judges(setting, texts, repeat).items():
                key = {"arm": name, "run": run, "repeat": repeat, **identity(texts)}
                tasks.append(scoring(setting, BENCHMARK, {"part": "score", **key}, judge))
    setting.grid.measure(tasks)


def judges(setting: Setting, sections: Sections, repeat: int) -> dict[str, MultiCriteriaJudge]:
    """Make the judges of all arms with optimized sections, and those of the matrix."""
    arms = {name: arm(setting, sections, repeat) for name, arm in OPTIMIZED.items()}
    return arms | {f"{MATRIX}{name}": one_optimized(setting, sections, name) for name in sections}


def identity(sections: Sections) -> dict[str, str]:
    """Name the instructions in the keys of the cells that score them."""
    return {"instructions": digest(dict(sections))[:16]}
