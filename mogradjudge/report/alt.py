"""What each figure shows, in words and numbers, for those who do not see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mogradjudge.report.confusion import Confusion
from mogradjudge.report.costs import Costs
from mogradjudge.report.estimates import Ends, Estimate, Scoring
from mogradjudge.report.numbers import bounds, number


def of_ends(ends: Ends) -> str:
    """Give seed, final and lengths, criterion by criterion."""
    rows = [
        f"{name}: "
        + ", ".join(
            f"{arm} {_estimate(each.by_criterion[name])}" for arm, each in ends.arms.items()
        )
        for name in ends.seed.by_criterion
    ]
    return f"Values on the {ends.split} texts. {'; '.join(rows)}."


def of_steps(name: str, measured: Sequence[Scoring], outcomes: Mapping[int, str]) -> str:
    """Give a criterion's agreement step by step."""
    rows = [
        f"{'seed' if each.step == 0 else f'step {each.step} {outcomes.get(each.step)}'} "
        f"{_estimate(each.by_criterion[name])}"
        for each in measured
    ]
    return f"Values of proposals on {name}. {'; '.join(rows)}."


def of_spread(each: Confusion) -> str:
    """Give how often each score was given."""
    rows = [
        f"score {name}: human {human}, judge {judge}"
        for name, human, judge in zip(each.bins, each.human, each.judge, strict=True)
    ]
    return f"Texts by score on {each.criterion}. {'; '.join(rows)}."


def of_costs(spent: Costs) -> str:
    """Give calls and tokens by role."""
    rows = [
        f"{each.role}: {each.calls:,} calls, {each.prompt_tokens + each.completion_tokens:,} tokens"
        for each in spent.by_role
    ]
    return f"Calls and tokens by role. {'; '.join(rows)}."


def _estimate(each: Estimate) -> str:
    value = "none" if each.value is None else number(each.value)
    return value if each.interval is None else f"{value} ({bounds(each.interval)})"
