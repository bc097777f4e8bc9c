"""On which criteria a rating may be believed, and what is said where it may not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmarks.dilution.calibration import UNCALIBRATED, Calibration
from mogradjudge.criteria import Group

UNTESTED = "untested rating"


@dataclass(frozen=True)
class Trust:
    """The criteria that are rated, and those of them on which the rating passed its test.

    ``mark`` goes before what is said of the others. They are left out of means, unless none passed:
    then the mean is over all, and marked.
    """

    criteria: Group
    passed: Group
    mark: str = UNCALIBRATED

    @property
    def counted(self) -> Group:
        """The criteria that a mean is over."""
        return self.passed or self.criteria

    @property
    def note(self) -> str:
        """Which criteria a mean leaves out, and why; ``""`` if none."""
        left_out = [name for name in self.criteria if name not in self.counted]
        return f"without {', '.join(left_out)} ({self.mark})" if left_out else ""

    @property
    def marks(self) -> dict[str, str]:
        """What goes before single criteria, where something does."""
        return {name: self.mark for name in self.criteria if name not in self.passed}

    def among(self, criteria: Iterable[str]) -> Trust:
        """Leave out all other criteria."""
        names = tuple(criteria)
        return replace(
            self, criteria=names, passed=tuple(name for name in names if name in self.passed)
        )

    def named(self, name: str) -> str:
        """Put the mark before the name of a claim on the mean, if no criterion passed."""
        return name if self.passed else marked(name, self.mark)


def marked(name: str, mark: str) -> str:
    """Put a mark before a name, if there is one."""
    return f"{mark}: {name}" if mark else name


def trust_in(
    calibrations: Iterable[Calibration | None], criteria: Group, *, yields: bool = False
) -> Trust:
    """Trust raters on what all of them passed on; None stands for one that was not tested."""
    tested = list(calibrations)
    passed = tuple(
        name
        for name in criteria
        if all(
            calibration is not None and calibration.passes(name, yields=yields)
            for calibration in tested
        )
    )
    return Trust(criteria, passed)
