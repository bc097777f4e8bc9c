"""Hard caps on what a run spends, checked before each call and counting the calls in flight."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import dspy

from mogradjudge.errors import SetupError
from mogradjudge.lm.pricing import price, reply_limit

_TEMPLATE_TOKENS = 64  # a generous bound on what a chat template adds to a call
_OPTIONS = {"max_tokens": " (--max-total-tokens)"}  # where the command line has another name
_REPLY_LIMITS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class Budget:
    """Caps on a run; None is no cap.

    A call is sent only if the caps hold even when it and all calls in flight are as large as they
    can be: a prompt has at most as many tokens as bytes, a reply at most the LM's ``max_tokens``
    (or the model's limit in litellm's table). So a cap is never passed, and up to one call's size
    may stay unspent. The caps do not hold for calls that bypass DSPy's LMs, nor for threads that a
    program has started before the run.

    Args:
        max_calls: Calls to the provider, with failed ones and retries, without cached replies.
        max_tokens: Prompt and completion tokens together.
        max_cost: US dollars, by the prices that litellm carries.
        max_seconds: Time since the run was started or resumed; calls in flight then still end.

    Raises:
        SetupError: If a cap is not a number above 0.

    Example:
        >>> Budget(max_calls=200, max_cost=1.5).as_dict()
        {'max_calls': 200, 'max_tokens': None, 'max_cost': 1.5, 'max_seconds': None}
    """

    max_calls: int | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_calls", "max_tokens"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                option = _OPTIONS.get(name, "")
                raise SetupError(
                    f"`{name}` must be a whole number >= 1 or None, got {value!r}{option}."
                )
        for name in ("max_cost", "max_seconds"):
            value = getattr(self, name)
            number = type(value) in (int, float)
            if value is not None and not (number and 0 < value < math.inf):
                raise SetupError(f"`{name}` must be a number above 0 or None, got {value!r}.")

    @property
    def weighs_calls(self) -> bool:
        """Whether the largest size of a call must be known: tokens or dollars are capped."""
        return self.max_tokens is not None or self.max_cost is not None

    @property
    def caps_calls(self) -> bool:
        """Whether there is a cap that a call could pass."""
        return self.max_calls is not None or self.weighs_calls

    def check(self, lm: dspy.BaseLM) -> None:
        """Refuse an LM whose calls these caps cannot bound.

        Raises:
            SetupError: If dollars are capped and the model's price is unknown, if its longest reply
                is unknown, or if one call could pass a cap.
        """
        if not self.weighs_calls:
            return
        if cap := self.weigh(lm, "", None, lm.kwargs.get("n") or 1).passes(self):
            raise SetupError(
                f"One call of {lm.model!r}, with a reply of up to {longest_reply(lm)} tokens, may "
                f"pass the cap of {self.named(cap)}. Raise it, or set `max_tokens` on that LM "
                "(--max-tokens)."
            )

    def weigh(self, lm: dspy.BaseLM, prompt: object, reply: int | None, replies: int) -> Spent:
        """Return the most that a call can spend (`largest`), or one call if only calls are capped.

        Raises:
            SetupError: If dollars are capped and the model's price is unknown, or if its longest
                reply is unknown.
        """
        if not self.weighs_calls:
            return Spent(calls=1)
        if self.max_cost is not None and price(lm.model) is None:
            raise SetupError(
                f"`max_cost` needs each model's price, and litellm has none for {lm.model!r}. "
                "Cap calls or tokens instead."
            )
        if (reply or longest_reply(lm)) is None:
            raise SetupError(
                f"`max_tokens` and `max_cost` need the longest reply of {lm.model!r}, which is "
                "unknown. Set `max_tokens` on that LM (--max-tokens)."
            )
        return largest(lm, prompt, reply, replies)

    def named(self, cap: str) -> str:
        """Name a cap with its value, and its option where that has another name."""
        return f"{cap}={getattr(self, cap)}{_OPTIONS.get(cap, '')}"

    def as_dict(self) -> dict[str, Any]:
        """Return the caps as `result.json` holds them."""
        return asdict(self)


@dataclass(frozen=True)
class Spent:
    """Calls, tokens and US dollars: spent, or the most that calls may spend.

    >>> Spent(1, 100) + Spent(2, 50)
    Spent(calls=3, tokens=150, cost=0.0)
    """

    calls: int = 0
    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.calls + other.calls, self.tokens + other.tokens, self.cost + other.cost)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.calls - other.calls, self.tokens - other.tokens, self.cost - other.cost)

    def passes(self, budget: Budget) -> str | None:
        """Name the first cap that this spending passes, such as ``max_calls``; None if none."""
        caps = {
            "max_calls": (self.calls, budget.max_calls),
            "max_tokens": (self.tokens, budget.max_tokens),
            "max_cost": (self.cost, budget.max_cost),
        }
        for name, (value, cap) in caps.items():
            if cap is not None and value > cap:
                return name
        return None


class Purse(Protocol):
    """What several runs spend together under one budget; thread safe."""

    def take(self, weight: Spent) -> bool:
        """Reserve a call that is about to be sent; False if a cap would be passed."""
        ...

    def settle(self, taken: Spent, spent: Spent) -> None:
        """Replace what was reserved for a call by what it spent."""
        ...


def largest(lm: dspy.BaseLM, prompt: object, reply: int | None = None, replies: int = 1) -> Spent:
    """Return the most that one call can spend.

    Args:
        lm: The model.
        prompt: All texts that are sent; the tokens of an image cannot be known from its URL.
        reply: The longest reply in tokens, if the call sets its own.
        replies: How many replies the call asks for.

    >>> largest(dspy.LM("openai/no-such-model", max_tokens=100), "Hello")
    Spent(calls=1, tokens=169, cost=0.0)
    """
    sent = len(str(prompt).encode("utf-8", "replace")) + _TEMPLATE_TOKENS
    received = (reply or longest_reply(lm) or 0) * replies
    known = price(lm.model)
    return Spent(1, sent + received, 0.0 if known is None else known.of(sent, received))


def longest_reply(lm: dspy.BaseLM) -> int | None:
    """Return an LM's longest reply in tokens: its own limit, else the model's; None if unknown."""
    own = [lm.kwargs[name] for name in _REPLY_LIMITS if lm.kwargs.get(name) is not None]
    return int(own[0]) if own else reply_limit(lm.model)
