"""Maps from a judge's scores to the human scale, one per criterion, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np

from mogradjudge.criteria import Rubric
from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import Reading, Unscored

_MOST_KNOTS = 2000  # a scale has at most 1001 whole scores

MapKind: TypeAlias = Literal["none", "flat", "linear", "isotonic"]


@dataclass(frozen=True)
class ScoreMap:
    """A map that never falls, from a judge's score on one criterion to the human scale.

    Args:
        kind: How it was fitted. Scores stay as they are if it is ``"none"``, as no map lowers the
            error by more than chance would, or ``"flat"``, as the best one gives every text the
            same score.
        knots: Its corners, (judge's score, mapped score), both in points of the scale and
            ascending: straight lines in between, constant outside.
        raw_error: The mean absolute error of the judge's scores, in points of the scale.
        mapped_error: That of the mapped ones, on documents that the map was not fitted to; for
            both of these, of the best map that was tried. Both are None with too few documents.
        documents: How many documents were used.

    >>> score_map = ScoreMap("linear", ((1.0, 2.0), (5.0, 4.0)), 1.0, 0.5, 40)
    >>> score_map(3), score_map(4.0)
    (3.0, 3.5)
    """

    kind: MapKind
    knots: tuple[tuple[float, float], ...]
    raw_error: float | None
    mapped_error: float | None
    documents: int

    def __call__(self, score: float) -> float:
        """Map a score."""
        judge, human = zip(*self.knots, strict=True) if self.knots else ((score,), (score,))
        return float(np.interp(score, judge, human))

    def applied_to(self, reading: Reading) -> Reading:
        """Return a reading with the mapped score, and the raw one beside it."""
        if isinstance(reading.score, Unscored) or not self.knots:
            return reading
        return replace(reading, score=self(reading.score), raw=reading.score)


@dataclass(frozen=True)
class Calibration:
    """The maps of one predictor's criteria.

    Args:
        prompt: The digest of what the predictor sent when the maps were fitted; they hold for it
            alone.
        model: The name of the judge's model then.
        maps: The map of each criterion.
    """

    prompt: str
    model: str
    maps: Mapping[str, ScoreMap]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as `from_saved` reads it."""
        return asdict(self)

    @classmethod
    def from_saved(cls, saved: object, rubric: Rubric) -> Self:
        """Read what `as_dict` gave.

        Raises:
            SetupError: If it is not of that form, or a map falls or leaves its criterion's scale.

        >>> from mogradjudge.criteria import Criterion
        >>> rubric = Rubric(["text"], [Criterion("tone", "Is it kind?")])
        >>> Calibration.from_saved({"prompt": "a1", "model": "m", "maps": {}}, rubric).model
        'm'
        """
        match saved:
            case {"prompt": str(prompt), "model": str(model), "maps": dict(maps)}:
                return cls(
                    prompt, model, {name: _map(it, name, rubric) for name, it in maps.items()}
                )
        raise SetupError("The saved judge's calibration cannot be read. Calibrate the judge again.")


def _map(saved: object, name: str, rubric: Rubric) -> ScoreMap:
    try:
        score_map = ScoreMap(**saved)  # type: ignore[arg-type]  # checked below
        knots = tuple((float(judge), float(human)) for judge, human in score_map.knots)
        figures = (score_map.raw_error, score_map.mapped_error, score_map.documents)
        is_sound = score_map.kind in get_args(MapKind) and all(
            isinstance(figure, int | float | None) for figure in figures
        )
    except (TypeError, ValueError):
        knots, is_sound = (), False
    if not (is_sound and name in rubric.names and _rises(knots, rubric, name)):
        raise SetupError(
            f"The saved judge's calibration of {name!r} is no map that rises on the criterion's "
            "scale. Calibrate the judge again."
        )
    return replace(score_map, knots=knots)


def _rises(knots: Sequence[tuple[float, float]], rubric: Rubric, name: str) -> bool:
    judge, human = [knot[0] for knot in knots], [knot[1] for knot in knots]
    return (
        len(knots) <= _MOST_KNOTS
        and all(map(math.isfinite, judge))
        and all(map(rubric[name].scale.covers, human))
        and all(low < high for low, high in pairwise(judge))
        and human == sorted(human)
    )
