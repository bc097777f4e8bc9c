"""Whether an LM's rating of a whole text follows the planted share of its sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.dilution.calibration import RHO_NEEDED, level_means, rises, spearman
from benchmarks.dilution.planted import PlantedText
from benchmarks.dilution.trust import UNTESTED, Trust
from mogradjudge.criteria import Group


def told_apart(texts: Sequence[PlantedText], ratings: Sequence[float | None]) -> dict[str, Any]:
    """Compare ratings from 1 to 10 of planted texts, each on its target, with what was planted."""
    points = [
        (text, rating) for text, rating in zip(texts, ratings, strict=True) if rating is not None
    ]
    return {
        **_told_apart(points),
        "by_criterion": {
            name: _told_apart([point for point in points if point[0].target == name])
            for name in dict.fromkeys(text.target for text in texts)
        },
    }


def _told_apart(points: Sequence[tuple[PlantedText, float]]) -> dict[str, Any]:
    levels = level_means([(text.level, rating) for text, rating in points])
    return {
        "rho": spearman([(text.share, rating) for text, rating in points]),
        "monotone": rises(levels),
        "levels": {f"{share:g}": mean for share, mean in levels.items()},
        "n": len(points),
    }


def trust_in_ratings(test: Mapping[str, Any] | None, criteria: Group) -> Trust:
    """Trust the ratings where they passed; None stands for no test."""
    if test is None:
        return Trust(criteria, (), UNTESTED)
    whole = test["monotone"] and _passes(test)
    own = test["by_criterion"]
    return Trust(criteria, tuple(n for n in criteria if whole and n in own and _passes(own[n])))


def _passes(test: Mapping[str, Any]) -> bool:
    return test["rho"] is not None and test["rho"] >= RHO_NEEDED
