"""A local OpenAI-compatible server over a simulated world, with a latency, faults and counters.

`benchmarks.worlds.serve` is its command. ``GET /calls`` tells what it has counted, ``DELETE
/calls`` starts the counting anew, and with it the faults.
"""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import TemporaryFile
from typing import Any, TypeAlias

from benchmarks.worlds.fault_plan import STATUS, FaultPlan
from benchmarks.worlds.foreign import is_ours
from benchmarks.worlds.world import NotOfThisWorldError, reply, role_of
from mogradjudge import SetupError

World: TypeAlias = Callable[[str, str], str]
"""Answers a prompt, given as its system and its user text."""

_ERRORS = {
    429: ("rate_limit_exceeded", "Rate limit reached. Please try again later."),
    500: ("server_error", "The server had an error while processing your request."),
    401: ("invalid_api_key", "Incorrect API key provided."),
    400: ("invalid_request_error", "{reason}"),
    404: ("model_not_found", "The model `{model}` does not exist or you do not have access to it."),
}
_UNREADABLE = "I am sorry, but I would rather talk about the weather."


class ToyServer(ThreadingHTTPServer):
    """Answers chat completions, and fails as its plan says.

    ``calls`` counts the answered ones by role, ``served`` all attempts by what became of them,
    ``answers`` how often each distinct request was answered (more than once is paid more than
    once), ``tokens`` those of the answered ones, and ``peak`` the attempts in flight at once.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        port: int = 0,
        latency: float = 0.0,
        faults: FaultPlan | None = None,
        world: World = reply,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.latency = latency
        self.world = world
        self.faults = faults or FaultPlan()
        self.calls: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.tokens = 0
        self.peak = 0
        self._seen: Counter[str] = Counter()
        self._in_flight = 0
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()

    @property
    def url(self) -> str:
        """The API base that a client is given."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @contextmanager
    def counted(self, role: str) -> Iterator[None]:
        """Count a call that will be answered, and hold it for the latency."""
        with self._lock:
            self.calls[role] += 1
        with self.held():
            yield

    @contextmanager
    def held(self) -> Iterator[None]:
        """Count an attempt as in flight, and hold it for the latency."""
        with self._lock:
            self._in_flight += 1
            self.peak = max(self.peak, self._in_flight)
        try:
            time.sleep(self.latency)
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def fate(self, request: str) -> str:
        """Say what becomes of a request's next attempt, and count it."""
        with self._lock:
            number = self._seen[request]
            self._seen[request] += 1
            kind = self.faults.attempt(request, number)
            if kind is None:
                kind = self.faults.reply(request) or "ok"
                self.answers[request] += 1
            self.served[kind] += 1
            return kind

    def spend(self, tokens: int) -> None:
        """Count the tokens of an answered call."""
        with self._lock:
            self.tokens += tokens

    def counts(self) -> dict[str, Any]:
        """Give all that was counted."""
        with self._lock:
            counters = {name: dict(getattr(self, name)) for name in ("calls", "served", "answers")}
            return {**counters, "tokens": self.tokens, "peak": self.peak}

    def reset(self) -> None:
        """Forget the counts."""
        with self._lock:
            for counter in (self.calls, self.served, self.answers, self._seen):
                counter.clear()
            self.tokens = self.peak = 0

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Close, and end the threads that wait for a client."""
        super().server_close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(
    port: int = 0, latency: float = 0.0, faults: FaultPlan | None = None, world: World = reply
) -> Iterator[ToyServer]:
    """Run a server in a thread while the block runs; port 0 takes a free one."""
    server = ToyServer(port, latency, faults, world)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class RemoteServer:
    """A server in a process of its own, so that its work does not count as the client's."""

    root: str

    @property
    def url(self) -> str:
        """The API base that a client is given."""
        return f"{self.root}/v1"

    def counts(self) -> dict[str, Any]:
        """Give calls by role, attempts by fate, answers by request, and the peak in flight."""
        with urllib.request.urlopen(f"{self.root}/calls") as reply:
            counted: dict[str, Any] = json.load(reply)
            return counted

    def reset(self) -> None:
        """Forget the counts."""
        request = urllib.request.Request(f"{self.root}/calls", method="DELETE")
        urllib.request.urlopen(request).close()


@contextmanager
def serving_apart(
    latency: float = 0.0,
    faults: str = "",
    seed: int = 0,
    retry_after: float = 1.0,
    world: str = "toy",
    world_seed: int = 0,
) -> Iterator[RemoteServer]:
    """Run a server in a process of its own while the block runs; options as on its command.

    Raises:
        SetupError: If the process ends before it serves.
    """
    command = [
        sys.executable,
        "-m",
        "benchmarks.worlds.serve",
        "0",
        str(latency),
        "--faults",
        faults,
    ]
    command += ["--world", world, "--world-seed", str(world_seed)]
    command += ["--seed", str(seed), "--retry-after", str(retry_after)]
    with (
        TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            if not (line := process.stdout.readline().split()):
                process.wait()
                said.seek(0)
                lines = said.read().strip().splitlines() or [f"exit code {process.returncode}"]
                raise SetupError(f"The simulated server did not start: {lines[-1]}")
            yield RemoteServer(line[-1].removesuffix("/v1"))
        finally:
            process.terminate()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each reply waits for the client's delayed ACK
    wbufsize = -1  # head and body leave in one piece
    server: ToyServer

    def do_GET(self) -> None:
        self._send(self.server.counts())

    def do_DELETE(self) -> None:
        self.server.reset()
        self._send({})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = self.server.fate(_identity(body))
        if kind in STATUS:
            with self.server.held():
                self._fail(STATUS[kind], body["model"])
        elif kind == "hang":
            with self.server.held():
                self._hang()
        elif kind == "dropped":
            with self.server.held():
                self._send({"id": "toy", "choices": []}, missing=100)
        else:
            self._answer(body, kind)

    def _answer(self, body: dict[str, Any], kind: str) -> None:
        system, user = _texts(body)
        with self.server.counted(role_of(system) if is_ours(system) else "other"):
            try:
                text = _UNREADABLE if kind == "unreadable" else self.server.world(system, user)
            except NotOfThisWorldError as error:
                self._send(_failure(400, body["model"], str(error)), 400)
                return
        cut = kind == "cut"
        text = text[: len(text) // 2] if cut else text
        reason = "length" if cut else "stop"
        completion = _completion(body["model"], system + user, text, reason)
        self.server.spend(completion["usage"]["total_tokens"])
        self._send(completion)

    def _fail(self, status: int, model: str) -> None:
        wait = {"Retry-After": str(self.server.faults.retry_after)} if status == 429 else {}
        self._send(_failure(status, model), status, wait)

    def _hang(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            # It comes back when the client gives up, or when the server closes the connection.
            self.connection.recv(1, socket.MSG_PEEK)

    def _send(
        self,
        payload: dict[str, Any],
        status: int = 200,
        headers: dict[str, str] | None = None,
        missing: int = 0,
    ) -> None:
        """Send a reply; with ``missing`` the connection closes so many bytes before its end."""
        data = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data) + missing))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # a client that gave up
            self.wfile.write(data)
            self.wfile.flush()
        self.close_connection = self.close_connection or missing > 0

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


def _identity(body: Mapping[str, Any]) -> str:
    """Name a request by what it asks, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def _texts(body: Mapping[str, Any]) -> tuple[str, str]:
    """Give a request's system and user text."""
    by_role = {message["role"]: _text(message["content"]) for message in body["messages"]}
    return by_role.get("system", ""), by_role.get("user", "")


def _completion(model: str, prompt: str, text: str, finish_reason: str = "stop") -> dict[str, Any]:
    """Give a reply's body."""
    tokens = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
    return {
        "id": "toy",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {**tokens, "total_tokens": sum(tokens.values())},
    }


def _failure(status: int, model: str, reason: str = "") -> dict[str, Any]:
    """Give an error's body."""
    code, message = _ERRORS[status]
    message = message.format(model=model, reason=reason)
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content)
