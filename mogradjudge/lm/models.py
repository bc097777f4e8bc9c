"""Makes an LM from its name on the command line."""

from __future__ import annotations

import math
import os
from pathlib import PureWindowsPath
from typing import Any

import dspy

from mogradjudge.errors import SetupError
from mogradjudge.settings import TIMEOUT

_LOCAL, RECORDED = "local/", "recorded/"
LOCAL_MAX_TOKENS = 512
"""The default longest reply of a model in this process, in tokens."""


def make_lm(
    model: str,
    api_base: str | None = None,
    temperature: float | None = 0.0,
    max_tokens: int | None = None,
    timeout: float = TIMEOUT,
) -> dspy.LM:
    """Make an LM from its name; its key is read from the environment.

    Args:
        model: ``local/PATH.gguf``, ``local/smollm2`` or ``local/hf:REPO/FILE`` for a model inside
            this process; ``recorded/PATH.jsonl`` for replies that were recorded; else a litellm
            name, as ``openai/gpt-4o-mini``.
        api_base: The URL of an OpenAI-compatible server.
        temperature: Sampling temperature; None sends none, and reasoning models keep their own.
        max_tokens: The longest reply; None leaves it to the provider, and is 512 for a local model.
        timeout: Seconds to wait for the next bytes of a reply; a call that waits longer has failed
            and is retried. It does not apply to a local model.

    Raises:
        SetupError: If the name is not that of a model, or a parameter is out of range.

    Example:
        >>> lm = make_lm("openai/gpt-4o-mini", temperature=0.5)
        >>> lm.model, lm.kwargs["temperature"]
        ('openai/gpt-4o-mini', 0.5)
    """
    if model.startswith((_LOCAL, RECORDED)):
        _check_no_server(model, api_base)
        return _inside(model, temperature or 0.0, max_tokens)
    _check_remote(model, temperature, timeout)
    connection = {"timeout": timeout, **_server(model, api_base)}
    lm = dspy.LM(model, max_tokens=max_tokens, **connection)
    takes_temperature = "max_completion_tokens" not in lm.kwargs
    return lm.copy(temperature=temperature) if takes_temperature else lm


def _inside(model: str, temperature: float, max_tokens: int | None) -> dspy.LM:
    from mogradjudge.lm.local import local_lm
    from mogradjudge.lm.recorded import recorded_lm

    if model.startswith(RECORDED):
        return recorded_lm(model.removeprefix(RECORDED))
    return local_lm(model, temperature=temperature, max_tokens=max_tokens or LOCAL_MAX_TOKENS)


def _check_no_server(model: str, api_base: str | None) -> None:
    if api_base is not None:
        raise SetupError(f"{model} is inside this process: leave out --api-base, got {api_base!r}.")


def _check_remote(model: str, temperature: float | None, timeout: float) -> None:
    if temperature is not None and not 0 <= temperature < math.inf:
        raise SetupError(f"`temperature` must be a number >= 0, got {temperature!r}.")
    if not model.partition("/")[2]:
        raise SetupError(
            f"A model is PROVIDER/MODEL, e.g. openai/gpt-4o-mini, or local/..., got {model!r}."
        )
    if not 0 < timeout < math.inf:
        raise SetupError(f"`timeout` must be a number of seconds above 0, got {timeout!r}.")


def _server(model: str, api_base: str | None) -> dict[str, str]:
    if api_base is None:
        return {}
    if model.startswith("openai/") and not os.environ.get("OPENAI_API_KEY"):
        # Clients insist on a key; servers of one's own do not.
        return {"api_base": api_base, "api_key": "none"}
    return {"api_base": api_base}


def has_own_server(lm: Any) -> bool:
    """Say whether an LM's calls go to an address that was given, not to its provider's usual one.

    >>> has_own_server(make_lm("openai/judge", "http://localhost:8000/v1"))
    True
    """
    own = getattr(lm, "kwargs", {})
    return bool(own.get("api_base") or own.get("base_url")) or names_server(lm.model)


def names_server(model: str) -> bool:
    """Say whether the environment names a server for a model, in the variables of litellm."""
    provider = model.partition("/")[0].upper()
    return any(os.environ.get(f"{provider}_{end}") for end in ("API_BASE", "BASE_URL"))


def without_folder(model: str) -> str:
    """Return a model's name as strangers may read it: of a file, no folder of this machine.

    >>> without_folder("local//home/ann/judge.gguf"), without_folder("openai/org/judge")
    ('local/judge.gguf', 'openai/org/judge')
    """
    place = next((it for it in (_LOCAL, RECORDED) if model.startswith(it)), "")
    is_file = place and not model.startswith(f"{_LOCAL}hf:")
    return place + PureWindowsPath(model).name if is_file else model  # \ and / part folders


def adapter_for(lm: dspy.LM) -> dspy.Adapter:
    """Choose an LM's adapter: JSON by a schema for models in this process, else DSPy's chat."""
    return adapter_named(lm.model)


def adapter_named(model: str) -> dspy.Adapter:
    """Choose as `adapter_for` does, by the model's name.

    >>> type(adapter_named("local/smollm2")).__name__
    'JSONAdapter'
    """
    if model.startswith(_LOCAL):
        return dspy.JSONAdapter()
    return dspy.ChatAdapter(use_json_adapter_fallback=False)
