"""What a text comes to: its tokens, and their price, by the litellm that is installed."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from mogradjudge.lm.dspy_internals import PRICES, litellm, local_tokenizers

_TIER = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
LOCAL_MAX_TOKENS = 512
"""The longest reply of a model in this process, where the caller does not say."""


@dataclass(frozen=True)
class Price:
    """US dollars per token; for long prompts, above so many tokens, there may be other prices."""

    prompt: float
    completion: float
    above: tuple[tuple[int, Price], ...] = ()

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Cost of one call, in US dollars; discounts for cached prompts are not modelled."""
        for least, dearer in reversed(self.above):
            if prompt_tokens > least:
                return dearer.of(prompt_tokens, completion_tokens)
        return prompt_tokens * self.prompt + completion_tokens * self.completion


def price(model: str) -> Price | None:
    """Look up a model by its litellm name (``"openai/gpt-4o-mini"``); None if it is unknown.

    A price of nothing is none: the table has it where nobody told the price, too.
    """
    entry = _entry(model)
    base = _pair(entry, "")
    if base is None or not any(base):
        return None
    tiers = sorted(int(found[1]) for key in entry if (found := _TIER.fullmatch(key)))
    above = [(1000 * least, _pair(entry, f"_above_{least}k_tokens")) for least in tiers]
    return Price(*base, tuple((least, Price(*pair)) for least, pair in above if pair is not None))


def reply_limit(model: str) -> int | None:
    """Look up a model's longest reply in tokens; None if it is unknown."""
    limit = _entry(model).get("max_output_tokens")
    return limit if isinstance(limit, int) else None


def _pair(entry: dict[str, Any], end: str) -> tuple[float, float] | None:
    prompt, completion = (entry.get(f"{side}_cost_per_token{end}") for side in ("input", "output"))
    return None if prompt is None or completion is None else (prompt, completion)


def _entry(model: str) -> dict[str, Any]:
    table = _price_table()
    entry: dict[str, Any] = table.get(model) or table.get(model.partition("/")[2]) or {}
    return entry


@cache
def _price_table() -> dict[str, Any]:
    # Importing litellm takes seconds and asks the network for a newer table; the file is at hand.
    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        return {}
    path = Path(spec.origin).parent / PRICES
    if not path.exists():
        return {}
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


class TokenCounter:
    """Counts the tokens of a model's texts by litellm, without asking the network.

    A model whose tokenizer does not come with litellm (Llama, say) is counted by OpenAI's, for its
    own would have to be downloaded.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._litellm = litellm()
        self.text = lru_cache(maxsize=1024)(self._text)

    def messages(self, messages: list[dict[str, Any]]) -> int:
        """Count a prompt."""
        return sum(self.text(message["content"]) for message in messages) + self.frame(
            tuple(message["role"] for message in messages)
        )

    def frame(self, roles: tuple[str, ...]) -> int:
        """Count what a prompt has besides the text of its messages."""
        empty = [{"role": role, "content": ""} for role in roles]
        with local_tokenizers():
            return int(self._litellm.token_counter(model=self.model, messages=empty))

    def _text(self, text: str) -> int:
        with local_tokenizers():
            return int(self._litellm.token_counter(model=self.model, text=text))
