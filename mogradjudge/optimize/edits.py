"""The edits that a run has tried so far, read from its state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mogradjudge.optimize.archive import archive
from mogradjudge.optimize.result import StepRecord
from mogradjudge.optimize.state import State
from mogradjudge.programs.candidate import Slot
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
    parents = archive(state)
    for record in state.steps:
        if record.proposed is None:
            continue
        current, proposed = parents[record.parent].candidate, proposals[record.step]
        for slot in slots:
            before, after = current.text(slot), proposed.text(slot)
            if before != after:
                edit = (record.step, slot.criterion, before, after)
                read = texts if record.texts is None else record.texts
                yield EditRecord(*edit, _effect(record), _is_accepted(record, slot), read)


def _is_accepted(record: StepRecord, slot: Slot) -> bool:
    is_left_out = bool(record.sections) and slot.criterion not in record.sections
    return record.accepted and not is_left_out


def _effect(record: StepRecord) -> dict[str, float | None]:
    """Return the change of agreement by criterion, on the texts that were read of both."""
    if record.proposed is None or record.current is None:
        return {}
    pairs = {
        name: (before, record.proposed.by_criterion[name])
        for name, before in record.current.by_criterion.items()
    }
    return {
        name: after - before if isinstance(before, float) and isinstance(after, float) else None
        for name, (before, after) in pairs.items()
    }
