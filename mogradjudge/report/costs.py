"""The section "Costs": calls, tokens and cost by role and criterion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mogradjudge.display.plotting import COLOURS, panels
from mogradjudge.lm.ledger import LedgerRow
from mogradjudge.report.pictures import Picture
from mogradjudge.report.section import Findings, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 3.7  # inches, which a phone shows without scrolling


@dataclass(frozen=True)
class Cost:
    """What was paid for one role, or in all; ``cost`` in US dollars, None where it is unknown."""

    role: str
    criteria: str
    calls: int
    cached: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None

    @property
    def tokens(self) -> int:
        """All tokens, in and out."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Costs:
    """What was paid by role and criteria, by role, and in all."""

    rows: tuple[Cost, ...]
    by_role: tuple[Cost, ...]
    total: Cost


def section(findings: Findings) -> Section:
    """Show what the run's calls cost."""
    spent = costs(findings.run.ledger)
    picture = _picture(findings, spent) if spent.rows else None
    return Section(
        anchor="costs",
        title="Costs",
        heading="Calls, tokens and cost",
        template="run_costs.html.j2",
        values={"costs": spent, "picture": picture},
        pictures=() if picture is None else (picture,),
    )


def costs(ledger: Sequence[LedgerRow]) -> Costs:
    """Sum up a ledger."""
    roles = dict.fromkeys(row.role for row in ledger)
    return Costs(
        rows=tuple(_sum(row.role, ", ".join(row.criteria), [row]) for row in ledger),
        by_role=tuple(
            _sum(role, "all criteria", [row for row in ledger if row.role == role])
            for role in roles
        ),
        total=_sum("all roles", "all criteria", ledger),
    )


def _sum(role: str, criteria: str, rows: Iterable[LedgerRow]) -> Cost:
    rows = list(rows)
    known = [row.cost for row in rows if row.cost is not None]
    return Cost(
        *(role, criteria),
        *(sum(row.calls for row in rows), sum(row.cached for row in rows)),
        sum(row.failed for row in rows),
        sum(row.prompt_tokens for row in rows),
        sum(row.completion_tokens for row in rows),
        sum(known) if len(known) == len(rows) else None,
    )


def _picture(findings: Findings, spent: Costs) -> Picture | None:
    rows = [
        f"{cost.role}: {cost.calls:,} calls" + (f", {cost.tokens:,} tokens" if cost.tokens else "")
        for cost in spent.by_role
    ]
    caption = "Calls and tokens by role." if spent.total.tokens else "Calls by role."
    alt = f"{caption} {'; '.join(rows)}."
    return findings.picture("costs", caption, alt, partial(_figure, spent))


def _figure(spent: Costs) -> Figure:
    """Draw calls and tokens by role."""
    roles = [cost.role for cost in spent.by_role]
    measures: list[tuple[str, list[float]]] = [("calls", [cost.calls for cost in spent.by_role])]
    if spent.total.tokens:
        measures.append(("1,000 tokens", [cost.tokens / 1000 for cost in spent.by_role]))
    figure, panel = panels(_WIDTH, 0.8 + 0.32 * len(roles), (1,) * len(measures))
    for axes, (label, values) in zip(panel, measures, strict=True):
        axes.barh(range(len(roles)), values, height=0.6, color=COLOURS[0])
        axes.set_ylim(len(roles) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.set_yticks(range(len(roles)), roles if axes is panel[0] else [""] * len(roles))
        axes.locator_params(axis="x", nbins=3)
        axes.set_xlabel(label)
    return figure
