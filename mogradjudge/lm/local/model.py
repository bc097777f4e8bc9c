"""Loads llama.cpp models; engines with the same file and settings share one."""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from dspy import lm15

from mogradjudge.errors import SetupError
from mogradjudge.lm.local.weights import INSTALL


class Settings(NamedTuple):
    """The settings of a loaded model; engines with equal ones share it."""

    path: str
    context_size: int
    threads: int
    slots: int
    prompt_cache_mib: int


class Model:
    """A loaded model."""

    def __init__(self, settings: Settings) -> None:
        try:
            import xllamacpp
        except ImportError as error:
            name = Path(settings.path).name
            raise SetupError(
                f"{name} needs xllamacpp, which cannot be imported. {INSTALL}"
            ) from error
        # Silences the JSON-schema library's harmless warnings on stderr.
        os.environ.setdefault("LLGUIDANCE_LOG_LEVEL", "0")
        try:
            self._server = xllamacpp.Server(_parameters(xllamacpp, settings))
        except RuntimeError as error:
            raise SetupError(
                f"llama.cpp cannot load {settings.path} ({error}). The file may be damaged or too "
                "new for this xllamacpp, or memory is full. Give another file."
            ) from error

    def chat(self, payload: dict[str, Any]) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = self._server.handle_chat_completions(payload)
        except ValueError as error:
            raise lm15.InvalidRequestError(_line(error)) from error
        if "error" in reply:
            raise error_of(reply["error"])
        return reply


_models: WeakValueDictionary[Settings, Model] = WeakValueDictionary()
_models_lock = threading.Lock()


def shared(settings: Settings) -> Model:
    """Return the model with these settings; it is loaded if no engine has it."""
    with _models_lock:
        model = _models.get(settings)
        if model is None:
            model = _models[settings] = Model(settings)
        return model


def _parameters(xllamacpp: Any, settings: Settings) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = settings.path
    params.n_ctx = settings.context_size * settings.slots  # llama.cpp divides it among the slots
    params.n_parallel = settings.slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads
    params.cache_ram_mib = settings.prompt_cache_mib
    params.slot_prompt_similarity = 0.5  # prefer a slot with half of the prompt to an idle one
    params.fit_params = False  # True would shrink the context instead of failing
    params.warmup = False
    params.verbosity = -1
    # Its parsers would remove parts of the text, such as a Markdown fence, but not the tokens.
    params.force_pure_content_parser = True
    # xllamacpp always listens on a local port too; the key keeps the machine's other users out.
    params.api_keys = [secrets.token_hex()]
    params.endpoint_slots = False
    params.ui = False
    return params


def error_of(error: dict[str, Any]) -> lm15.LM15Error:
    """Convert llama.cpp's error to DSPy's."""
    message = _line(error.get("message", "llama.cpp gave no reason"))
    if error.get("type") == "exceed_context_size_error":
        return lm15.ContextLengthError(
            f"The prompt has {error.get('n_prompt_tokens')} tokens, but `context_size` allows "
            f"{error.get('n_ctx')}. Raise it."
        )
    code = error.get("code")
    if isinstance(code, int) and 400 <= code < 500:
        return lm15.InvalidRequestError(message)
    return lm15.ServerError(message)


def _line(text: object) -> str:
    return " ".join(str(text).split())
