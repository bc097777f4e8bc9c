"""Which attempts at a server fail, and how: a function of the request and a seed.

A transient fault is drawn for each attempt, from the request and how often it was seen before; a
spoiled reply is drawn for the request alone, so that asking again brings the same one. Neither
depends on the order in which threads send.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

STATUS = {"429": 429, "500": 500, "down": 500, "unauthorized": 401, "unknown-model": 404}
"""The kinds that are answered with an error, by name."""

TRANSIENT = (*STATUS, "hang", "dropped")
"""The kinds that another attempt may not meet; with the share 1 they are there to stay."""

SPOILED = ("unreadable", "cut")
"""The kinds that are answered, and paid for, with a text that cannot be used."""


@dataclass(frozen=True)
class FaultPlan:
    """How large a share of attempts, or of replies, is spoiled in which way.

    Args:
        shares: Kinds (of `TRANSIENT` and `SPOILED`) and their shares, in the order of the draw.
        seed: Another seed spoils others.
        retry_after: What a 429 tells the client to wait, in seconds.
    """

    shares: tuple[tuple[str, float], ...] = ()
    seed: int = 0
    retry_after: float = 1.0

    @classmethod
    def parse(cls, text: str, seed: int = 0, retry_after: float = 1.0) -> FaultPlan:
        """Read a plan as ``429=0.2,500=0.1``; a kind without a share has the share 1.

        Raises:
            ValueError: If a kind is unknown or the shares are no shares.
        """
        pairs = [entry.partition("=") for entry in text.replace(" ", "").split(",") if entry]
        shares = tuple((kind, float(share or 1)) for kind, _, share in pairs)
        for kind, _ in shares:
            if kind not in (*TRANSIENT, *SPOILED):
                known = ", ".join((*TRANSIENT, *SPOILED))
                raise ValueError(f"A fault must be one of {known}, got {kind!r}.")
        for kinds in (TRANSIENT, SPOILED):
            total = sum(share for kind, share in shares if kind in kinds)
            if min((share for _, share in shares), default=0) < 0 or total > 1:
                raise ValueError(f"Shares must be >= 0 and add up to at most 1, got {text!r}.")
        return cls(shares, seed, retry_after)

    def attempt(self, request: str, number: int) -> str | None:
        """Say how an attempt fails; ``number`` counts the request's earlier attempts."""
        return self._drawn(f"{self.seed}/{request}/{number}", TRANSIENT)

    def reply(self, request: str) -> str | None:
        """Say how the reply to a request is spoiled."""
        return self._drawn(f"{self.seed}/{request}", SPOILED)

    def _drawn(self, what: str, kinds: Iterable[str]) -> str | None:
        if not self.shares:
            return None
        draw = int.from_bytes(hashlib.sha256(what.encode()).digest()[:7]) / 2**56
        for kind, share in self.shares:
            if kind in kinds:
                draw -= share
                if draw < 0:
                    return kind
        return None
