"""Guesses the scale of scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mogradjudge.data.rater_columns import NAMED_SCALE

_SCALES = (
    *((0, 1), (1, 3), (0, 2), (0, 3), (1, 4), (1, 5), (0, 4), (0, 5), (1, 7), (1, 10)),
    *((0, 10), (0, 100), (-1, 1), (-2, 2), (-3, 3)),
)
_FEWEST = 20  # scores of which one may be a slip
_STRAY = 0.02  # of the scores


def usual_scale(column: str, low: float, high: float) -> tuple[int, int]:
    """Return the scale that the column names, or the narrowest usual one that holds all scores.

    Example:
        >>> usual_scale("tone", 2, 4), usual_scale("tone (1-7)", 2, 4)
        ((1, 4), (1, 7))
    """
    if (said := NAMED_SCALE.search(column)) and int(said[1]) <= low <= high <= int(said[2]):
        return int(said[1]), int(said[2])
    fitting = [scale for scale in _SCALES if scale[0] <= low and high <= scale[1]]
    if not fitting:
        return int(low // 1), max(int(-(-high // 1)), int(low // 1) + 1)
    return min(fitting, key=lambda scale: (scale[1] - scale[0], -scale[0]))


def strays(column: str, scores: Sequence[float], scale: tuple[int, int]) -> Iterator[str]:
    """Say which rare score alone makes a scale so wide, as a clause.

    Example:
        >>> next(strays("tone", [0] + 40 * [1, 5], (0, 5)))[:44]
        '1 of 81 scores is 0; the others fit 1 to 5: '
    """
    for end in {min(scores), max(scores)} if len(scores) >= _FEWEST else ():
        others = [score for score in scores if score != end]
        count = len(scores) - len(others)
        narrow = usual_scale(column, min(others), max(others)) if others else scale
        if count <= _STRAY * len(scores) and narrow != scale:
            yield (
                f"{count} of {len(scores)} scores {'is' if count == 1 else 'are'} {end:g}; the "
                f"others fit {narrow[0]} to {narrow[1]}: if it is a slip, correct it and the scale"
            )
