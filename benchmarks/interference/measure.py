"""Every arm scored afresh on the same held-out texts."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.harness.scored import scoring
from benchmarks.harness.setting import LAYOUTS, Setting
from benchmarks.harness.tasks import Task
from benchmarks.interference.arms import EXPLAINING, Sections, judges
from benchmarks.interference.choose import BENCHMARK
from benchmarks.noise import seed_scoring
from mogradjudge import SetupError
from mogradjudge.hashing import digest

GIVEN = "given"
"""The run whose sections nobody optimized here."""


def measure(setting: Setting, sections: Mapping[str, Sections], *, explaining: bool = True) -> None:
    """Score all arms, the core ones first, so that a run that is cut short has whole repeats.

    The seed's two arms are the cells of the noise benchmark.

    Args:
        setting: What is measured on.
        sections: The optimized sections, by the name of the run that they come from.
        explaining: Whether the arms that explain are scored as well.
    """
    core: list[Task] = []
    others: list[Task] = []
    for repeat in range(setting.repeats):
        core += [seed_scoring(setting, layout, repeat) for layout in LAYOUTS]
        for run, texts in sections.items():
            for name, judge in judges(setting, texts, repeat, explaining=explaining).items():
                key = {"arm": name, "run": run, "repeat": repeat, **identity(texts)}
                task = scoring(setting, BENCHMARK, {"part": "score", **key}, judge)
                (others if name in EXPLAINING else core).append(task)
    setting.grid.measure([*core, *others])


def check_kind(setting: Setting, kind: Mapping[str, object]) -> None:
    """Check that a folder holds no instructions of another kind, before any are paid for.

    Args:
        setting: What is measured on.
        kind: The steps and batch size of the optimizer's runs, or the `identity` of given sections.

    Raises:
        SetupError: If it does: runs of several kinds are no sample of any.
    """
    for cell in setting.cells:
        known = {name: cell.key[name] for name in ("steps", "batch_size") if name in cell.key}
        if cell.key.get("run") == GIVEN:
            known = {"instructions": cell.key["instructions"]}
        if cell.benchmark == BENCHMARK and known and known != dict(kind):
            held = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in known.items())
            raise SetupError(
                f"{setting.grid.folder} holds interference between other instructions ({held}). "
                "Measure these with another --out; nothing was sent."
            )


def identity(sections: Sections) -> dict[str, str]:
    """Name the instructions in the keys of the cells that score them."""
    return {"instructions": digest(dict(sections))[:16]}
