"""The llama.cpp engines of a ``dspy.LM``, and the LM itself."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import dspy
from dspy import lm15

from mogradjudge.errors import SetupError
from mogradjudge.lm.engines import AsyncEngine, Engine
from mogradjudge.lm.local.messages import payload_of, response_of
from mogradjudge.lm.local.model import Model, Settings, shared
from mogradjudge.lm.local.weights import INSTALL, find_weights, fingerprint


def local_lm(
    spec: str,
    *,
    temperature: float = 0.0,
    max_tokens: int = 512,
    cache: bool = True,
    context_size: int = 8192,
    threads: int | None = None,
    slots: int = 1,
    prompt_cache_mib: int = 2048,
) -> dspy.LM:
    """Build a `dspy.LM` that runs a GGUF file.

    Its model name is ``local/``, the file's stem and a short hash of the file, so that saved
    programs contain no path and two files never share entries of DSPy's cache.

    Args:
        spec: What `find_weights` reads, with or without a leading ``local/``.
        temperature: Sampling temperature; 0 always takes the likeliest token.
        max_tokens: The longest answer in tokens.
        cache: Whether DSPy caches the answers.
        context_size: Tokens that one call may use, as in `LlamaCppEngine`.
        threads: CPU threads.
        slots: How many calls the model works on at a time.
        prompt_cache_mib: Memory for prompts that were read before, in MiB.

    Raises:
        SetupError: If a parameter is out of range, the file is not found or is not GGUF, or the
            library that runs it is missing.
    """
    if not Path(spec).is_file():
        spec = spec.removeprefix("local/")
    engine = LlamaCppEngine(
        spec,
        context_size=context_size,
        threads=threads,
        slots=slots,
        prompt_cache_mib=prompt_cache_mib,
    )
    path = find_weights(spec)
    if importlib.util.find_spec("xllamacpp") is None:
        raise SetupError(f"{path.name} needs xllamacpp, which is not installed. {INSTALL}")
    return dspy.LM(
        f"local/{path.stem}-{fingerprint(path)}",
        engine=engine,
        async_engine=AsyncLlamaCppEngine(engine),
        temperature=temperature,
        max_tokens=max_tokens,
        cache=cache,
    )


class LlamaCppEngine(Engine):
    """Answers DSPy's requests with llama.cpp, in this process.

    The model is loaded at the first call; engines with the same file and settings share it. Any
    number of threads may call at once; those beyond ``slots`` wait.

    A request without a temperature is answered greedily, so that a judge repeats itself. Log
    probabilities are the model's own: temperature, sampling and a JSON schema change which token
    is taken, never the numbers.

    >>> LlamaCppEngine("smollm2", threads=2).dump_state()["threads"]
    2
    """

    supported_params = (
        "temperature",
        "max_tokens",
        "top_p",
        "seed",
        "stop",
        "logprobs",
        "top_logprobs",
        "response_format",
    )

    def __init__(
        self,
        weights: str | Path,
        *,
        context_size: int = 8192,
        threads: int | None = None,
        slots: int = 1,
        prompt_cache_mib: int = 2048,
    ) -> None:
        """Check and store the settings; nothing is read or loaded yet.

        Args:
            weights: What `find_weights` reads.
            context_size: Tokens that one call may use, prompt and answer together.
            threads: CPU threads; as many as this process may use if it is not given.
            slots: How many calls the model works on at a time, each with its own context in memory.
            prompt_cache_mib: Memory for prompts that were read before, in MiB. A call whose prompt
                begins like one of them reads only the rest. 0 keeps the last prompt of each slot.

        Raises:
            SetupError: If a setting is out of range.
        """
        _check_at_least("context_size", context_size, 1)
        _check_at_least("slots", slots, 1)
        _check_at_least("prompt_cache_mib", prompt_cache_mib, 0)
        if threads is not None:
            _check_at_least("threads", threads, 1)
        self.weights = str(weights)
        self.context_size = context_size
        self.threads = threads
        self.slots = slots
        self.prompt_cache_mib = prompt_cache_mib
        self._model: Model | None = None

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request.

        Raises:
            SetupError: If the model cannot be loaded.
            lm15.ContextLengthError: If the prompt is longer than ``context_size``.
            lm15.InvalidRequestError: If the request is refused for another reason.
            lm15.UnsupportedFeatureError: If it holds more than text.
            lm15.ServerError: If llama.cpp fails.
        """
        payload = payload_of(request)
        return response_of(request, self._loaded().chat(payload))

    def close(self) -> None:
        """Release the model; it is freed when no other engine has it. A later call reloads it."""
        self._model = None

    def dump_state(self) -> dict[str, Any]:
        return {
            "weights": self.weights,
            "context_size": self.context_size,
            "threads": self.threads,
            "slots": self.slots,
            "prompt_cache_mib": self.prompt_cache_mib,
        }

    def _loaded(self) -> Model:
        model = self._model
        if model is None:
            settings = Settings(
                str(find_weights(self.weights).resolve()),
                self.context_size,
                self.threads or _usable_cpus(),
                self.slots,
                self.prompt_cache_mib,
            )
            model = self._model = shared(settings)
        return model


class AsyncLlamaCppEngine(AsyncEngine):
    """Answers as a `LlamaCppEngine` does, in a thread."""

    of = LlamaCppEngine


def _check_at_least(name: str, value: object, least: int) -> None:
    if type(value) is not int or value < least:
        raise SetupError(f"`{name}` must be an integer of at least {least}, got {value!r}.")


def _usable_cpus() -> int:
    # llama.cpp's own default is many times slower on a machine with few CPUs.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
