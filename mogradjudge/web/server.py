"""A server on one address: its token, its headers, its errors as JSON, and its end."""

from __future__ import annotations

import asyncio
import re
import secrets
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mogradjudge.errors import MogradError, SetupError

LOCAL = ("127.0.0.1", "localhost", "::1")
_GRACE = 30  # seconds for the requests in flight at the end
_BODY_SECONDS = 30  # for a request's body to arrive
_HOST = re.compile(r"([\w.-]+|\[[\da-f:.]+\])(?::\d*)?", re.ASCII | re.IGNORECASE)
_COOKIE, _QUERY = "mogradjudge-token", "token"
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


def application(
    routes: Sequence[Route],
    host: str,
    token: str | None,
    *,
    pages: bool = False,
    names: Sequence[str] = (),
) -> Starlette:
    """Make an application.

    Args:
        routes: What it answers; ``/health`` is open to everybody.
        host: The address that it is bound to. On a local one it answers only requests that name it,
            so that no page from elsewhere reaches it by a name of its own. On any, a request that a
            browser sends for a page of another origin is refused.
        token: What a request must carry; None for no token.
        pages: Whether the token may come in the URL, and is kept in a cookie.
        names: Further names that requests may give it, as those that a proxy passes on. With some,
            it answers to no others on any address.
    """
    hosts = {*LOCAL, *map(str.lower, names)} if names or host in LOCAL else None
    return Starlette(
        routes=list(routes),
        middleware=[
            Middleware(_Guard, hosts=hosts, token=token, pages=pages),
        ],
        exception_handlers={HTTPException: _refused, MogradError: _failed, Exception: _failed},
    )


def run(app: ASGIApp, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Answer until Ctrl-C or SIGTERM; requests in flight are answered before the end.

    Args:
        app: The application.
        host: The address to bind to.
        port: The port; 0 takes a free one.
        announce: Called with the server's URL once it is bound.

    Raises:
        SetupError: If the address cannot be bound.
    """
    family, shown = (socket.AF_INET6, f"[{host}]") if ":" in host else (socket.AF_INET, host)
    try:
        bound = socket.create_server((host, port), family=family)
    except OSError as error:
        option = "--host" if isinstance(error, socket.gaierror) else "--port"
        raise SetupError(
            f"Cannot listen on {shown}:{port}: {error.strerror}. Give another {option}."
        ) from error
    # No log: it would hold addresses with tokens, and errors that quote texts.
    config = uvicorn.Config(app, log_config=None, log_level="critical", access_log=False)
    config.timeout_graceful_shutdown = _GRACE
    signal.signal(signal.SIGTERM, _stop)
    with bound:
        announce(f"http://{shown}:{bound.getsockname()[1]}")
        try:
            uvicorn.Server(config).run(sockets=[bound])
        except KeyboardInterrupt:  # uvicorn has answered what was in flight
            return


def _stop(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def error(status: int, line: str) -> JSONResponse:
    """Make the answer to a request that is refused or has failed."""
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}
    return JSONResponse({"error": " ".join(line.split())}, status, headers.get(status))


async def _refused(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, HTTPException)
    return error(refusal.status_code, refusal.detail)


async def _failed(request: Request, failure: Exception) -> Response:
    if isinstance(failure, MogradError):
        return error(422 if isinstance(failure, SetupError) else 500, str(failure))
    return error(500, f"The request failed ({type(failure).__name__}).")


class _Guard:
    """Refuses other names and other pages' requests, asks for the token, adds privacy headers."""

    def __init__(
        self, app: ASGIApp, hosts: set[str] | None, token: str | None, *, pages: bool
    ) -> None:
        self.app, self.hosts, self.token, self.pages = app, hosts, token, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        answer = self._answer(Request(scope)) or self.app
        await answer(scope, receive, with_headers)

    def _answer(self, request: Request) -> Response | None:
        """Return the answer if the request gets no further: it lacks the token, or brings it."""
        name = _HOST.fullmatch(request.headers.get("host", ""))
        if not name or (self.hosts and name[1].strip("[]").lower() not in self.hosts):
            return error(400, "Host names another service. A proxy needs: --allowed-host NAME.")
        if _is_of_another_page(request):
            return error(403, "A page of another origin sent the request.")
        # The path of the URL would be made of the header Host, too.
        if self.token is None or request.scope["path"] == "/health":
            return None
        if self.pages and self._is_token(request.query_params.get(_QUERY)):
            # The token leaves the address, which a browser keeps and shows.
            moved = RedirectResponse(request.scope["path"], 303)
            moved.set_cookie(self._cookie(request), self.token, httponly=True, samesite="strict")
            return moved
        scheme, _, word = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(word):
            return None
        if self.pages and self._is_token(request.cookies.get(self._cookie(request))):
            return None
        return error(401, "The token is missing or wrong.")

    def _is_token(self, word: str | None) -> bool:
        return word is not None and secrets.compare_digest(word.encode(), str(self.token).encode())

    def _cookie(self, request: Request) -> str:
        return f"{_COOKIE}-{request.url.port}"  # cookies do not tell ports apart


def _is_of_another_page(request: Request) -> bool:
    # The scheme is not compared: a proxy may speak TLS with the browser.
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    return origin is not None and origin.partition("://")[2].lower() != host.lower()


async def body_of(request: Request, most_bytes: int) -> Any:
    """Read a request's JSON.

    Raises:
        HTTPException: If it is too long, too slow or no JSON.
    """
    import orjson

    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    raise HTTPException(413, f"The body must have at most {most_bytes} bytes.")
    except TimeoutError as late:
        raise HTTPException(408, f"The body must come in {_BODY_SECONDS} seconds.") from late
    try:
        return orjson.loads(bytes(body))
    except ValueError as fault:
        raise HTTPException(400, f"The body must be JSON: {fault}.") from fault
