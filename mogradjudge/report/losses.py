"""The section "Unscored replies": replies without a score, and calls without a usable reply."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mogradjudge.optimize.events import QuestionSkipped
from mogradjudge.report.run_data import RunData
from mogradjudge.report.section import Findings, Section

_SHOWN = 20  # reasons; more are counted


@dataclass(frozen=True)
class Loss:
    """Texts of one scoring that have no usable score on a criterion, and the reason."""

    where: str
    criterion: str
    reason: str
    texts: int
    of: int


@dataclass(frozen=True)
class Losses:
    """The replies without a score, the most frequent first, and the calls without a usable reply.

    ``more`` counts the reasons that are not shown.
    """

    unscored: tuple[Loss, ...]
    more: int
    missing: tuple[tuple[str, int], ...]
    skipped: int


def section(findings: Findings) -> Section:
    """Show the texts that are missing in the figures."""
    return Section(
        anchor="losses",
        title="Unscored replies",
        template="run_losses.html.j2",
        values={"losses": losses(findings.run)},
    )


def losses(run: RunData) -> Losses:
    """Count the texts without a usable score in all scorings of a run."""
    counts: Counter[tuple[int, str, str, str]] = Counter()
    for (step, split), texts in run.scored.items():
        for text in texts:
            for name, reason in text.unscored.items():
                counts[step, split, name, reason] += 1
    rows = [
        Loss(_where(step, split), name, reason, count, len(run.scored[step, split]))
        for (step, split, name, reason), count in sorted(
            counts.items(), key=lambda item: (-item[1], item[0])
        )
    ]
    missing = {} if run.seeded is None else run.seeded.missing
    return Losses(
        unscored=tuple(rows[:_SHOWN]),
        more=max(0, len(rows) - _SHOWN),
        missing=tuple((name, count) for name, count in missing.items() if count),
        skipped=sum(len(step.all(QuestionSkipped)) for step in run.steps),
    )


def _where(step: int, split: str) -> str:
    return f"{'initial instructions' if step == 0 else f'step {step}'}, {split} texts"
