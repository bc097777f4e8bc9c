"""An LM from its name on the command line."""

from __future__ import annotations

import math
import os

import dspy

from mogradjudge.errors import SetupError
from mogradjudge.lm.pricing import LOCAL_MAX_TOKENS
from mogradjudge.settings import TIMEOUT

_LOCAL = "local/"


def make_lm(
    model: str,
    api_base: str | None = None,
    temperature: float | None = 0.0,
    max_tokens: int | None = None,
    timeout: float = TIMEOUT,
) -> dspy.LM:
    """Make the LM that a name stands for; a key is read from the environment alone.

    Args:
        model: ``local/PATH.gguf``, ``local/smollm2`` or ``local/hf:REPO/FILE`` for a model inside
            this process; else a litellm name, as ``openai/gpt-4o-mini``.
        api_base: The URL of an OpenAI-compatible server.
        temperature: Sampling temperature; None sends none, and reasoning models keep their own.
        max_tokens: The longest reply; None leaves it to the provider, and is 512 for a local model.
        timeout: Seconds to wait for the next bytes of a reply; a call that hangs longer has failed,
            and is tried again. A local model takes as long as it takes.

    Raises:
        SetupError: If the name stands for no model.
    """
    if model.startswith(_LOCAL):
        from mogradjudge.lm.local import local_lm

        if api_base is not None:
            raise SetupError(f"`--api-base` has no meaning for a local model, got {api_base!r}.")
        return local_lm(
            model, temperature=temperature or 0.0, max_tokens=max_tokens or LOCAL_MAX_TOKENS
        )
    if temperature is not None and not 0 <= temperature < math.inf:
        raise SetupError(f"`temperature` must be a number >= 0, got {temperature!r}.")
    if not model.partition("/")[2]:
        raise SetupError(
            f"A model must be PROVIDER/MODEL, as openai/gpt-4o-mini, or local/..., got {model!r}."
        )
    if not 0 < timeout < math.inf:
        raise SetupError(f"`timeout` must be a number of seconds above 0, got {timeout!r}.")
    connection: dict[str, object] = {"timeout": timeout}
    if api_base is not None:
        connection["api_base"] = api_base
    own = api_base is not None and model.startswith("openai/")
    if own and not os.environ.get("OPENAI_API_KEY"):
        connection["api_key"] = "none"  # clients insist on one; servers of one's own do not
    lm = dspy.LM(model, max_tokens=max_tokens, **connection)
    takes_temperature = "max_completion_tokens" not in lm.kwargs
    return lm.copy(temperature=temperature) if takes_temperature else lm


def adapter_for(lm: dspy.LM) -> dspy.Adapter:
    """Choose how replies are formatted: a schema for models in this process, else DSPy's chat."""
    return adapter_named(lm.model)


def adapter_named(model: str) -> dspy.Adapter:
    """Choose as `adapter_for` does, by the model's name."""
    if model.startswith(_LOCAL):
        return dspy.JSONAdapter()
    return dspy.ChatAdapter(use_json_adapter_fallback=False)
