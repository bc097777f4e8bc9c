"""Runs a GGUF model inside this process: a DSPy language model without a server or a key."""

from mogradjudge.lm.local.engine import AsyncLlamaCppEngine, LlamaCppEngine, local_lm
from mogradjudge.lm.local.weights import find_weights

__all__ = ["AsyncLlamaCppEngine", "LlamaCppEngine", "find_weights", "local_lm"]
