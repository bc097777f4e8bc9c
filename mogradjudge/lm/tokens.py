"""How many tokens a text has, by litellm's counter, without asking the network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

LOCAL_MAX_TOKENS = 512
"""The longest reply of a model in this process, where the caller does not say."""

_LOCAL_TABLE = "LITELLM_LOCAL_MODEL_COST_MAP"


class TokenCounter:
    """Counts for one model.

    A model whose tokenizer does not come with litellm (Llama, say) is counted by OpenAI's, for its
    own would have to be downloaded.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._litellm = _litellm()
        self.text = lru_cache(maxsize=1024)(self._text)

    def messages(self, messages: list[dict[str, Any]]) -> int:
        """Count a prompt."""
        return sum(self.text(message["content"]) for message in messages) + self.frame(
            tuple(message["role"] for message in messages)
        )

    def frame(self, roles: tuple[str, ...]) -> int:
        """Count what a prompt has besides the text of its messages."""
        empty = [{"role": role, "content": ""} for role in roles]
        with self._local_tokenizers():
            return int(self._litellm.token_counter(model=self.model, messages=empty))

    def _text(self, text: str) -> int:
        with self._local_tokenizers():
            return int(self._litellm.token_counter(model=self.model, text=text))

    @contextmanager
    def _local_tokenizers(self) -> Iterator[None]:
        before = self._litellm.disable_hf_tokenizer_download
        self._litellm.disable_hf_tokenizer_download = True
        try:
            yield
        finally:
            self._litellm.disable_hf_tokenizer_download = before


def _litellm() -> Any:
    """Import litellm, which takes seconds, and would first ask the network for newer prices."""
    before = os.environ.get(_LOCAL_TABLE)
    os.environ[_LOCAL_TABLE] = "True"
    try:
        import litellm
    finally:
        if before is None:
            del os.environ[_LOCAL_TABLE]
        else:
            os.environ[_LOCAL_TABLE] = before
    return litellm
