"""An LM whose replies were written before, looked up by the prompt."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dspy
from dspy import lm15

from mogradjudge.errors import SetupError
from mogradjudge.files import to_json
from mogradjudge.hashing import digest
from mogradjudge.lm.engines import AsyncEngine, Engine


def recorded_lm(path: str | Path, *, cache: bool = True) -> dspy.LM:
    """Build a `dspy.LM` that answers from a file of recorded replies.

    Its model name is ``recorded/``, the file's stem and a short hash of the file.

    Args:
        path: JSON lines, as `write_replies` writes them.
        cache: Whether DSPy caches the replies.

    Raises:
        SetupError: If the file is missing, or a line holds no reply.
    """
    engine = RecordedEngine(path)
    return dspy.LM(
        f"recorded/{Path(path).stem}-{engine.fingerprint}",
        engine=engine,
        async_engine=AsyncRecordedEngine(engine),
        cache=cache,
    )


def prompt_digest(messages: Iterable[Mapping[str, Any]]) -> str:
    """Name a prompt by its messages' roles and texts; how it is sampled is no part of the name.

    >>> prompt_digest([{"role": "user", "content": "Hello"}])
    '1d9f4feaa9db000b'
    """
    return digest([[message["role"], _text(message["content"])] for message in messages])[:16]


def write_replies(path: Path, exchanges: Iterable[tuple[str, str]]) -> None:
    """Write recorded replies, one line each; the prompts themselves are not kept.

    Args:
        path: The file.
        exchanges: `prompt_digest` and reply. Several replies to one prompt are given in this order
            to those who ask again.
    """
    lines = (to_json({"prompt": name, "reply": reply}, indent=None) for name, reply in exchanges)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


class RecordedEngine(Engine):
    """Answers DSPy's requests with the replies of a file; any number of threads may ask at once."""

    supported_params = ("temperature", "max_tokens", "response_format")

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._replies = _read(Path(path))
        self.fingerprint = digest(self._replies)[:8]
        self._asked: dict[str, int] = {}
        self._lock = threading.Lock()

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request; the last reply to a prompt also serves whoever asks later.

        Raises:
            SetupError: If the prompt was not recorded.
        """
        name = prompt_digest(_messages(request))
        if name not in self._replies:
            raise SetupError(
                f"{Path(self.path).name} holds no reply to prompt {name}: other texts, settings or "
                "versions ask other questions. Use those of the recording, or a model with --lm."
            )
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message.assistant([lm15.TextPart(self._next(name))]),
            finish_reason="stop",
            usage=lm15.Usage(),
        )

    def dump_state(self) -> dict[str, Any]:
        """Return what the constructor was given."""
        return {"path": self.path}

    def _next(self, name: str) -> str:
        replies = self._replies[name]
        with self._lock:
            place = self._asked.get(name, 0)
            self._asked[name] = place + 1
        return replies[min(place, len(replies) - 1)]


class AsyncRecordedEngine(AsyncEngine):
    """Answers as a `RecordedEngine` does, in a thread."""

    of = RecordedEngine


def _read(path: Path) -> dict[str, list[str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SetupError(f"The recording {path} cannot be read: {error.strerror}.") from error
    replies: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        try:
            exchange = json.loads(line)
            replies.setdefault(exchange["prompt"], []).append(str(exchange["reply"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SetupError(f"{path}, line {number}: no recorded reply ({error}).") from error
    return replies


def _messages(request: lm15.Request) -> list[dict[str, Any]]:
    system = [] if request.system is None else [{"role": "system", "content": request.system}]
    return system + [{"role": m.role, "content": m.text or ""} for m in request.messages]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = (part["text"] if isinstance(part, Mapping) else part.text for part in content)
    return "".join(texts)
