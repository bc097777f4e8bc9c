"""What a model's tokens cost, from the price table that the installed litellm carries."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_TABLE = "model_prices_and_context_window_backup.json"


@dataclass(frozen=True)
class Price:
    """US dollars per token."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Cost of so many tokens, in US dollars; discounts for cached prompts are not modelled."""
        return prompt_tokens * self.prompt + completion_tokens * self.completion


def price(model: str) -> Price | None:
    """Look up a model by its litellm name (``"openai/gpt-4o-mini"``); None if it is unknown."""
    entry = _entry(model)
    prompt, completion = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if prompt is None or completion is None:
        return None
    return Price(prompt, completion)


def reply_limit(model: str) -> int | None:
    """Look up a model's longest reply in tokens; None if it is unknown."""
    limit = _entry(model).get("max_output_tokens")
    return limit if isinstance(limit, int) else None


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
    path = Path(spec.origin).parent / _TABLE
    if not path.exists():
        return {}
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table
