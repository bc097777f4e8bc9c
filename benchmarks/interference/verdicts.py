"""From the arms' scorings to claims in words."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import TypeVar

from benchmarks.harness.scored import BOUND, MEAN, level_of, unequal_coverage
from benchmarks.interference.scorings import Scorings
from mogradjudge.agreement import TestOptions, contrast_criteria, holm
from mogradjudge.agreement.claims import Claim, claim, refused

K = TypeVar("K", bound=Hashable)

_ENOUGH = 5  # runs; with fewer the interval over runs is too narrow


def judged(
    by_arm: Mapping[str, Scorings], name: str, weights: Mapping[str, int]
) -> dict[str, Claim]:
    """Judge a weighted sum of arms, each averaged over its runs and repeats.

    It gives a claim for ``"mean"`` and each criterion; no p-value is adjusted.
    """
    scored = {(arm, *run): scoring for arm in weights for run, scoring in by_arm[arm].items()}
    first = next(iter(scored.values()))
    names = list(first.scores)
    if lost := [
        why for criterion in names if (why := unequal_coverage([*scored.values()], criterion))
    ]:
        return {
            key: refused(f"{name}, {key}", f"the arms score other texts: {'; '.join(lost)}")
            for key in (MEAN, *names)
        }
    family = contrast_criteria(
        first.human,
        {
            str(key): {criterion: j.filled(criterion) for criterion in names}
            for key, j in scored.items()
        },
        {str(key): weights[key[0]] / len(by_arm[key[0]]) for key in scored},
        first.groups,
        TestOptions(level=level_of(first)),
    )
    comparisons = {MEAN: family.mean, **family.by_criterion}
    return {
        criterion: claim(f"{name}, {criterion}", of, bound=BOUND)
        for criterion, of in comparisons.items()
    }


def of_effect(
    by_arm: Mapping[str, Scorings], name: str, weights: Mapping[str, int]
) -> dict[str, Claim]:
    """Judge an effect: the mean as it is, and the criteria adjusted for their number."""
    claims = judged(by_arm, name, weights)
    mean = claims.pop(MEAN)
    return {MEAN: mean, **adjusted(claims)}


def adjusted(claims: Mapping[K, Claim]) -> dict[K, Claim]:
    """Adjust claims that are one family, by Holm's method; a refused one does not count."""
    names = {str(place): name for place, name in enumerate(claims)}
    known = {place: p for place, name in names.items() if (p := claims[name].p_value) is not None}
    judged_together = dict(claims)
    for place, p in holm(known).items():
        judged_together[names[place]] = claims[names[place]].adjusted(p)
    return judged_together


def of_other_runs(claim: Claim, runs: int, over_runs: tuple[float, float] | None) -> Claim:
    """Say beside a claim on some runs' instructions what is known of those of other runs."""
    if claim.verdict == "refused":
        return claim
    if over_runs is None:
        return replace(claim, note="1 set of instructions: nothing is known of others")
    low, high = over_runs
    few = ", too few to speak of others" if runs < _ENOUGH else ""
    return replace(claim, note=f"{runs} runs{few}; over new runs [{low:+.3f}, {high:+.3f}]")
