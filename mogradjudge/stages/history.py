"""The edits that a run has tried so far, as coach and editor read them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from mogradjudge.agreement.methods import named
from mogradjudge.criteria import Group
from mogradjudge.objectives import Objective, measures_of

_SHOWN = 4  # the last edits of a section
_LONGEST = 2_000  # characters of what an edit changed


@dataclass(frozen=True)
class EditRecord:
    """One edit of one section, and what it did.

    Args:
        step: The step that proposed it.
        criterion: The section's criterion; None for the preamble.
        before: The section's text before.
        after: The proposed text.
        effect: The change of agreement by criterion, as it was measured; None where it could not
            be.
        verdict: Whether the edit was kept, left out of a mix that was kept, or refused.
        texts: On how many texts it was measured.

    >>> effect = {"tone": 0.031, "style": None}
    >>> edit = EditRecord(2, "tone", "Be fair.", "Be fair. Be brief.", effect, "kept", texts=24)
    >>> print(edit.describe())
    step 2, kept; agreement changed by tone +0.03, style not measurable, on 24 texts
    + Be brief.
    """

    step: int
    criterion: str | None
    before: str
    after: str
    effect: Mapping[str, float | None]
    verdict: Literal["kept", "left out", "refused"]
    texts: int

    @property
    def has_helped(self) -> bool:
        """Whether the agreement on the section's own criterion rose."""
        return (self.effect.get(self.criterion or "") or 0.0) > 0.0

    def describe(self, measured: str = "") -> str:
        """Say what became of the edit, what it did to each criterion, and what it changed.

        Args:
            measured: How agreement is measured.
        """
        effects = ", ".join(
            f"{name} not measurable" if change is None else f"{name} {change:+.2f}"
            for name, change in self.effect.items()
        )
        verdict = "its step was refused" if self.verdict == "refused" else self.verdict
        how = f" ({measured})" if measured else ""
        measured_on = f"on {self.texts} texts"
        head = f"step {self.step}, {verdict}; agreement{how} changed by {effects}, {measured_on}"
        return "\n".join((head, *_changes(self.before, self.after)))


def history_of(
    records: Sequence[EditRecord], group: Group, objectives: Sequence[Objective]
) -> object:
    """Return the last edits of a group's sections, by criterion; a sentence if there are none."""
    measured = named(measures_of(objectives))
    shown = {
        name: [record.describe(measured) for record in records if record.criterion == name][
            -_SHOWN:
        ]
        for name in group
    }
    return {name: edits for name, edits in shown.items() if edits} or "none yet"


def _changes(before: str, after: str) -> list[str]:
    """List the sentences that an edit took out (-) and put in (+), as far as there is room."""
    lines = difflib.ndiff(_sentences(before), _sentences(after))
    changes = [line for line in lines if line[:2] in ("- ", "+ ")]
    ends = accumulate(len(line) + 1 for line in changes)
    shown = [line for line, end in zip(changes, ends, strict=True) if end <= _LONGEST]
    return shown if len(shown) == len(changes) else [*shown, "[...]"]


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+|\n+", text.strip())
