"""Whether an LM's rating of a whole text follows the planted share of its sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.dilution.calibration import RHO_NEEDED, level_means, rises, spearman
from benchmarks.dilution.lm_rater import FocusQuestion, LMRater
from benchmarks.dilution.planted import plant
from benchmarks.dilution.trust import UNTESTED, Trust
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored


def probe_ratings(rater: LMRater, *, n: int, seed: int = 0) -> dict[str, Any]:
    """Have planted texts rated from 1 to 10, each on its target; ``n`` per target and level."""
    texts = plant(rater.criteria, n=n, seed=seed)
    ratings = rater.rate_focus([FocusQuestion(text.target, text.text) for text in texts])
    points = [
        (text.target, text.share, rating)
        for text, rating in zip(texts, ratings, strict=True)
        if not isinstance(rating, Unscored)
    ]
    targets = dict.fromkeys(text.target for text in texts)
    return {
        **_told_apart([(share, rating) for _, share, rating in points]),
        "by_criterion": {
            name: _told_apart(
                [(share, rating) for target, share, rating in points if target == name]
            )
            for name in targets
        },
    }


def _told_apart(points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    levels = level_means(points)
    return {
        "rho": spearman(points),
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
