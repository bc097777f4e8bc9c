"""What a benchmark found, as a reader meets it first: one sentence, one action, a short table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from benchmarks.harness.cells import Values
from benchmarks.harness.tables import Table, signed
from mogradjudge.agreement.claims import Claim
from mogradjudge.display.terminal import number, say

Question: TypeAlias = Literal["mode", "layout", "coach", "texts", "method"]
"""What a reader wants to know of their own judge; see `Finding.answers`."""

MOST_ROWS = 6


@dataclass(frozen=True)
class Finding:
    """One benchmark's result in one setting.

    Args:
        benchmark: The benchmark's name.
        setting: What it was measured on.
        sentence: The result in plain words, with its number and its 95 % interval.
        action: What to do, one sentence in the imperative.
        claim: The primary claim, which was named before anything was measured; None where the
            benchmark describes and claims nothing, or where nothing could be judged.
        table: At most six rows that show where the number comes from.
        limits: What could not be told and what would help, one sentence each.
        answers: What the result says to a reader's questions, as statements: a simulated world
            advises nothing.

    Raises:
        ValueError: If the table is longer.

    >>> from benchmarks.harness.tables import Table
    >>> table = Table(("arm", "units"), [["separate calls", "2.1"]])
    >>> Finding("dilution", {}, "A joint gradient loses half.", "Use S.", None, table).limits
    ()
    """

    benchmark: str
    setting: Values
    sentence: str
    action: str
    claim: Claim | None
    table: Table
    limits: tuple[str, ...] = ()
    answers: Mapping[Question, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.table.rows) > MOST_ROWS:
            raise ValueError(f"A finding shows {MOST_ROWS} rows, got {len(self.table.rows)}.")

    @property
    def is_simulated(self) -> bool:
        """Whether no real model was measured."""
        return is_simulated(self.setting)

    @property
    def to_do(self) -> str:
        """The action, with where it holds."""
        where = " in such a world" if self.is_simulated else ""
        return f"What to do{where}: {self.action}"

    @property
    def planted(self) -> str:
        """What a simulated world holds that this benchmark should find; "" if that is unknown."""
        return str(self.setting.get("planted", {}).get(self.benchmark, ""))

    def print(self) -> None:
        """Write it to stdout."""
        say(self.sentence)
        say(self.to_do)
        if self.planted:
            say(f"Planted in this simulated world: {self.planted}")
        if self.table.rows:
            self.table.print()
        for limit in self.limits:
            say(f"- {limit}")


def is_simulated(setting: Values) -> bool:
    """Say whether a setting has no real model.

    >>> is_simulated({"world": "real"}), is_simulated({"models": {}})
    (True, False)
    """
    return "planted" in setting or "world" in setting


def with_interval(claim: Claim, digits: int = 3) -> str:
    """Write a claim's number with its interval.

    >>> with_interval(Claim("a", 0.2, 0.1, 0.3, 0.01, n=12, verdict="established"), 2)
    '+0.20 (95 % interval +0.10 to +0.30)'
    """
    number = signed(claim.estimate, digits)
    if claim.low is None or claim.high is None:
        return f"{number} (no interval)"
    return f"{number} (95 % interval {signed(claim.low, digits)} to {signed(claim.high, digits)})"


def unconfirmed(claim: Claim, clusters: str) -> str:
    """Say that the test does not confirm what the interval shows; "" where the two agree.

    >>> unconfirmed(Claim("a", 0.6, 0.3, 0.9, 0.062, n=6, verdict="not established"), "steps")
    ', which the sign-flip test over 6 steps does not confirm (p 0.062)'
    """
    shows = claim.low is not None and claim.high is not None and not claim.low <= 0 <= claim.high
    if not shows or claim.verdict != "not established":
        return ""
    tested = f"the sign-flip test over {claim.n} {clusters}"
    return f", which {tested} does not confirm (p {number(claim.p_value, 3)})"
