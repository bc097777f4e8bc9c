"""What is wrong with the rows of a table: all of it is said at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from mogradjudge.display.terminal import one_line
from mogradjudge.errors import together

logger = logging.getLogger(__name__)

_NAMED = 3  # rows


@dataclass(frozen=True)
class Fault:
    """What makes a row unusable.

    Args:
        place: The index of the row in its table.
        rule: What the row breaks; rows that break the same rule share a line.
        instance: The value and the row, or the whole statement.
        advice: What to do.

    Example:
        >>> Fault(1, "'tone' must hold numbers, got", "'good' in row 2").rule
        "'tone' must hold numbers, got"
    """

    place: int
    rule: str
    instance: str
    advice: str = ""


class Findings:
    """All that is wrong with a table, in little memory however many rows are bad.

    Args:
        source: The table.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.bad_rows = 0
        self._lines: list[str] = []
        self._rules: dict[tuple[str, str], _Broken] = {}

    def add_line(self, line: str) -> None:
        """Add something that is wrong with the table as a whole."""
        self._lines.append(line)

    def add(self, faults: Iterable[Fault]) -> set[int]:
        """Add what is wrong with rows, and return their places."""
        places = set()
        for fault in faults:
            broken = self._rules.setdefault((fault.rule, fault.advice), _Broken())
            broken.add(fault.instance)
            places.add(fault.place)
        self.bad_rows += len(places)
        return places

    def conclude(self, rows: int, *, skip_bad: bool) -> None:
        """Raise if anything is wrong; with ``skip_bad``, say which rows are left out.

        Args:
            rows: How many rows there are.
            skip_bad: Whether bad rows are left out.

        Raises:
            SetupError: If anything is wrong that is not left out, or no row is left.
        """
        faults = [
            (f"{rule} {broken}".lstrip(), advice) for (rule, advice), broken in self._rules.items()
        ]
        if skip_bad and not self._lines and self.bad_rows < rows:
            if faults:
                reasons = "; ".join(what for what, _ in faults)
                left_out = f"{self.bad_rows} of {rows} rows are left out"
                logger.warning("%s: %s: %s.", self.source, left_out, one_line(reasons))
            return
        lines = [
            *self._lines,
            *(" ".join([f"{what}.", advice]).rstrip() for what, advice in faults),
        ]
        if lines:
            raise together(self.source, lines if len(lines) == 1 else [*map(one_line, lines)])


class _Broken:
    """Where a rule is broken: the first places, and a count."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.count = 0

    def add(self, instance: str) -> None:
        self.count += 1
        if self.count <= _NAMED:
            self.first.append(instance)

    def __str__(self) -> str:
        more = self.count - len(self.first)
        return ", ".join(self.first) + (f" and {more} more" if more else "")


def say_notes(source: str, notes: Iterable[str]) -> None:
    """Say how a table was read where that is worth knowing; each note is a clause."""
    for note in notes:
        logger.warning("%s: %s.", source, one_line(note))
