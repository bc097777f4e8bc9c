"""Hypervolume: how much of the space of agreements a set of programs attains."""

from __future__ import annotations

from collections.abc import Sequence


def hypervolume(points: Sequence[Sequence[float | None]]) -> float:
    """Give the volume that points dominate above 0 agreement on each criterion, in [0, 1].

    A negative agreement counts as 0, and so does an undefined one. With K criteria the volume is of
    the order of an agreement to the power of K: compare it with that of the same criteria only.

    Source: Zitzler and Thiele 1998, "Multiobjective optimization using evolutionary algorithms";
    computed exactly by moocore.

    Args:
        points: One agreement per criterion, for each program; at least one program.
    """
    import moocore  # slow to import

    floored = [[max(0.0, value or 0.0) for value in point] for point in points]
    return float(moocore.hypervolume(floored, ref=[0.0] * len(floored[0]), maximise=True))
