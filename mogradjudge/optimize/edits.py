"""The edits that a run has tried so far, read from its state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mogradjudge.optimize.archive import archive
from mogradjudge.optimize.result import StepRecord
from mogradjudge.optimize.state import State
from mogradjudge.programs.candidate import Slot
from mogradjudge.stages.history import EditRecord


def edits_tried(state: State, slots: Sequence[Slot]) -> tuple[EditRecord, ...]:
    """Return each edit of a section that was scored, in the order of the steps.

    Args:
        state: The run so far.
        slots: The sections.

    >>> edits_tried(State(), ())
    ()
    """
    return tuple(_edits(state, slots))


def _edits(state: State, slots: Sequence[Slot]) -> Iterator[EditRecord]:
    everyone = (*state.measured, *state.rejected)
    proposals = {it.step: it.candidate for it in everyone if not it.sections}
    parents = archive(state)
    for record in state.steps:
        if record.proposed is None:
            continue
        current, proposed = parents[record.parent].candidate, proposals[record.step]
        for slot in slots:
            before, after = current.text(slot), proposed.text(slot)
            if before != after:
                is_kept = record.accepted and (
                    not record.sections or slot.criterion in record.sections
                )
                yield EditRecord(
                    record.step, slot.criterion, before, after, _effect(record), is_kept
                )


def _effect(record: StepRecord) -> dict[str, float]:
    """Return the change of agreement by criterion, on the texts that were read of both."""
    if record.proposed is None or record.current is None:
        return {}
    pairs = {
        name: (before, record.proposed.by_criterion[name])
        for name, before in record.current.by_criterion.items()
    }
    return {
        name: after - before
        for name, (before, after) in pairs.items()
        if isinstance(before, float) and isinstance(after, float)
    }
