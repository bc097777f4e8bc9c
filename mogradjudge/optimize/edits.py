"""The edits that a run has tried so far, read from its state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mogradjudge.optimize.archive import by_step
from mogradjudge.optimize.result import StepRecord
from mogradjudge.optimize.state import State
from mogradjudge.programs.candidate import Slot
from mogradjudge.programs.evaluation import Agreement
from mogradjudge.stages.history import EditRecord


def edits_tried(state: State, slots: Sequence[Slot], *, texts: int) -> tuple[EditRecord, ...]:
    """Return each edit of a section that was scored, in the order of the steps.

    Args:
        state: The run so far.
        slots: The sections.
        texts: How many validation texts there are.

    >>> edits_tried(State(), (), texts=20)
    ()
    """
    return tuple(_edits(state, slots, texts))


def _edits(state: State, slots: Sequence[Slot], texts: int) -> Iterator[EditRecord]:
    everyone = (*state.measured, *state.rejected)
    proposals = {it.step: it.candidate for it in everyone if not it.sections}
    candidates = by_step(state)
    for record in state.steps:
        if record.proposed is None:
            continue
        parent, proposed = candidates[record.parent], proposals[record.step]
        for slot in slots:
            before, after = parent.candidate.text(slot), proposed.text(slot)
            if before != after:
                edit = (record.step, slot.criterion, before, after)
                yield EditRecord(*edit, **_outcome(record, slot, parent.agreement, texts))


def _outcome(record: StepRecord, slot: Slot, parent: Agreement, texts: int) -> dict[str, Any]:
    """Return what became of an edit; one that a mix kept did what the mix did, on all texts."""
    if record.sections and slot.criterion in record.sections:
        return {"effect": _effect(parent, record.mixed), "verdict": "kept", "texts": texts}
    verdict = "left out" if record.sections else "kept" if record.accepted else "refused"
    read = texts if record.texts is None else record.texts
    return {"effect": _effect(record.current, record.proposed), "verdict": verdict, "texts": read}


def _effect(current: Agreement | None, proposed: Agreement | None) -> dict[str, float | None]:
    """Return the change of agreement by criterion, on the texts that were read of both."""
    if proposed is None or current is None:
        return {}
    pairs = {
        name: (before, proposed.by_criterion[name]) for name, before in current.by_criterion.items()
    }
    return {
        name: after - before if isinstance(before, float) and isinstance(after, float) else None
        for name, (before, after) in pairs.items()
    }
