"""A local OpenAI-compatible server over the toy world, with a latency and counters.

``python -m benchmarks.server [PORT [LATENCY]]`` serves it until it is interrupted. ``GET /calls``
tells what it has counted, ``DELETE /calls`` starts the counting anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.world import reply, role_of


class ToyServer(ThreadingHTTPServer):
    """Answers chat completions; ``calls`` counts them by role, ``peak`` those in flight at once."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0, latency: float = 0.0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.latency = latency
        self.calls: Counter[str] = Counter()
        self.peak = 0
        self._in_flight = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The API base that a client is given."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @contextmanager
    def counted(self, role: str) -> Iterator[None]:
        """Count a call, and hold it for the latency."""
        with self._lock:
            self.calls[role] += 1
            self._in_flight += 1
            self.peak = max(self.peak, self._in_flight)
        try:
            time.sleep(self.latency)
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def reset(self) -> None:
        """Forget the counts."""
        with self._lock:
            self.calls.clear()
            self.peak = 0


@contextmanager
def serving(port: int = 0, latency: float = 0.0) -> Iterator[ToyServer]:
    """Run a server in a thread while the block runs; port 0 takes a free one."""
    server = ToyServer(port, latency)
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
        """Give calls by role, and the peak in flight."""
        with urllib.request.urlopen(f"{self.root}/calls") as reply:
            counted: dict[str, Any] = json.load(reply)
            return counted

    def reset(self) -> None:
        """Forget the counts."""
        request = urllib.request.Request(f"{self.root}/calls", method="DELETE")
        urllib.request.urlopen(request).close()


@contextmanager
def serving_apart(latency: float = 0.0) -> Iterator[RemoteServer]:
    """Run a server in a process of its own while the block runs."""
    command = [sys.executable, "-m", "benchmarks.server", "0", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            yield RemoteServer(address.removesuffix("/v1"))
        finally:
            process.terminate()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each reply waits for the client's delayed ACK
    server: ToyServer

    def do_GET(self) -> None:
        self._send({"calls": dict(self.server.calls), "peak": self.server.peak})

    def do_DELETE(self) -> None:
        self.server.reset()
        self._send({})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = {message["role"]: _text(message["content"]) for message in body["messages"]}
        system, user = texts.get("system", ""), texts.get("user", "")
        with self.server.counted(role_of(system)):
            text = reply(system, user)
        self._send(_completion(body["model"], system + user, text))

    def _send(self, payload: dict[str, Any]) -> None:
        data = json.dumps(payload).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content)


def _completion(model: str, prompt: str, text: str) -> dict[str, Any]:
    tokens = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
    return {
        "id": "toy",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {**tokens, "total_tokens": sum(tokens.values())},
    }


def main() -> None:
    """Serve until interrupted."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    latency = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    with serving(port, latency) as server:
        print(f"serving the toy world at {server.url}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(dict(server.calls))


if __name__ == "__main__":
    main()
