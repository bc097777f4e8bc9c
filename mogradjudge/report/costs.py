"""Calls, tokens and cost: by role and criterion, and as they grew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mogradjudge.lm.ledger import LedgerRow


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


@dataclass(frozen=True)
class Costs:
    """What was paid by role and criteria, by role, and in all."""

    rows: tuple[Cost, ...]
    by_role: tuple[Cost, ...]
    total: Cost


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
