"""Counts tokens and their cost with files of the installed litellm.

Importing litellm itself takes seconds and downloads a newer price table.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tiktoken

from mogradjudge.lm.dspy_internals import PRICES, TOKENIZERS, litellm_folder

_TIER = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")
_TOKENIZERS_FOLDER = "TIKTOKEN_CACHE_DIR"
# OpenAI's models since gpt-4o; all others are counted by the tokenizer before it, as litellm does.
_NEWER = re.compile(
    r"(ft:)?(chatgpt-4o|chat-latest|codex-|computer-use-|o[1-9]\d*([-.]|$)"
    r"|gpt-(?!3|4(?![o.])|oss|realtime|image))"
)
IMAGE_TOKENS = 1000
"""A rough figure: an image of a million pixels takes 258 to 1600, by model and provider."""
_CHUNK = 1024  # characters; a long run of one character takes time quadratic in its length
_PER_MESSAGE, _PER_PROMPT = 3, 3


@dataclass(frozen=True)
class Price:
    """US dollars per token; ``above`` holds higher prices for prompts above a number of tokens.

    >>> Price(0.001, 0.002).of(prompt_tokens=1000, completion_tokens=500)
    2.0
    """

    prompt: float
    completion: float
    above: tuple[tuple[int, Price], ...] = ()

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return the cost of one call in US dollars, without discounts for cached prompts."""
        for least, dearer in reversed(self.above):
            if prompt_tokens > least:
                return dearer.of(prompt_tokens, completion_tokens)
        return prompt_tokens * self.prompt + completion_tokens * self.completion


def price(model: str) -> Price | None:
    """Look up a model by its litellm name (``"openai/gpt-4o-mini"``); None if it is unknown.

    A price of 0 counts as unknown: the table also has it where the price is not public.

    >>> price("openai/gpt-4o-mini") is not None, price("openai/no-such-model") is None
    (True, True)
    """
    entry = _entry(model)
    base = _pair(entry, "")
    if base is None or not any(base):
        return None
    tiers = sorted(int(tier[1]) for key in entry if (tier := _TIER.fullmatch(key)))
    above = [(1000 * least, _pair(entry, f"_above_{least}k_tokens")) for least in tiers]
    return Price(*base, tuple((least, Price(*pair)) for least, pair in above if pair is not None))


def reply_limit(model: str) -> int | None:
    """Look up a model's longest reply in tokens; None if it is unknown.

    >>> reply_limit("openai/gpt-4o-mini")
    16384
    """
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
    folder = litellm_folder()
    path = None if folder is None else folder / PRICES
    if path is None or not path.exists():
        return {}
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


class TokenCounter:
    """Counts the tokens of one model as litellm's own counter does.

    A model whose tokenizer does not come with litellm (Llama, for example) is counted with
    OpenAI's, as its own would have to be downloaded.

    >>> TokenCounter("openai/gpt-4o-mini").text("one two three")
    3
    """

    def __init__(self, model: str) -> None:
        newer = _NEWER.match(model.rpartition("/")[2])
        self._encoding = _encoding("o200k_base" if newer else "cl100k_base")
        self.text = lru_cache(maxsize=1024)(self._text)

    def messages(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """Count the tokens of a prompt."""
        return sum(self.content(message["content"]) for message in messages) + self.frame(
            tuple(message["role"] for message in messages)
        )

    def content(self, content: str | Sequence[Mapping[str, Any]]) -> int:
        """Count the tokens of a message's text, and `IMAGE_TOKENS` for each image in it."""
        if isinstance(content, str):
            return self.text(content)
        return sum(
            self.text(part["text"]) if part["type"] == "text" else IMAGE_TOKENS for part in content
        )

    def frame(self, roles: tuple[str, ...]) -> int:
        """Count the tokens of a prompt besides the text of its messages."""
        return _PER_PROMPT + sum(_PER_MESSAGE + self.text(role) for role in roles)

    def _text(self, text: str) -> int:
        chunks = (text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK))
        return sum(len(self._encoding.encode_ordinary(chunk)) for chunk in chunks)


@cache
def _encoding(name: str) -> tiktoken.Encoding:
    """Load a tokenizer from litellm's folder; otherwise tiktoken would download it."""
    import tiktoken

    folder, before = litellm_folder(), os.environ.get(_TOKENIZERS_FOLDER)
    if folder is not None:
        os.environ[_TOKENIZERS_FOLDER] = str(folder / TOKENIZERS)
    try:
        return tiktoken.get_encoding(name)
    finally:
        if before is not None:
            os.environ[_TOKENIZERS_FOLDER] = before
        else:
            os.environ.pop(_TOKENIZERS_FOLDER, None)
