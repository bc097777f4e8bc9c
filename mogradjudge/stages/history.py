"""The edits that a run has tried so far, as coach and editor read them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mogradjudge.criteria import Group

_SHOWN = 4  # the last edits of a section
_LONGEST = 600  # characters of what an edit changed


@dataclass(frozen=True)
class EditRecord:
    """One edit of one section, and what it did.

    Args:
        step: The step that proposed it.
        criterion: The section's criterion; None for the preamble.
        before: The section's text before.
        after: The proposed text.
        effect: The change of agreement by criterion, as it was measured.
        accepted: Whether the edit was kept.

    >>> edit = EditRecord(2, "tone", "Be fair.", "Be fair. Be brief.", {"tone": 0.031}, True)
    >>> print(edit.describe())
    step 2, kept; agreement: tone +0.03
    + Be brief.
    """

    step: int
    criterion: str | None
    before: str
    after: str
    effect: Mapping[str, float]
    accepted: bool

    def describe(self) -> str:
        """Say what became of the edit, what it did to each criterion, and what it changed."""
        effects = ", ".join(f"{name} {change:+.2f}" for name, change in self.effect.items())
        verdict = "kept" if self.accepted else "refused"
        head = f"step {self.step}, {verdict}; agreement: {effects or 'not measured'}"
        return f"{head}\n{_changes(self.before, self.after)[:_LONGEST]}"


def history_of(records: Sequence[EditRecord], group: Group) -> object:
    """Return the last edits of a group's sections, by criterion; a sentence if there are none."""
    shown = {
        name: [record.describe() for record in records if record.criterion == name][-_SHOWN:]
        for name in group
    }
    return {name: edits for name, edits in shown.items() if edits} or "none yet"


def _changes(before: str, after: str) -> str:
    """List the sentences that an edit took out (-) and put in (+)."""
    lines = difflib.ndiff(_sentences(before), _sentences(after))
    return "\n".join(line for line in lines if line[:2] in ("- ", "+ "))


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?:;])\s+|\n+", text.strip())
