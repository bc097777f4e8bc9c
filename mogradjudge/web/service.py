"""A judge as a service: ``POST /rate`` with one text or a list of them."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import dspy
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mogradjudge.criteria import Rubric
from mogradjudge.errors import InputError, SetupError
from mogradjudge.judge.inputs import Inputs, read_inputs
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.rate import Rating, added_by
from mogradjudge.lm.images import LARGEST_IMAGE
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import booked
from mogradjudge.lm.quoting import reason_of
from mogradjudge.web.server import body_of


@dataclass(frozen=True)
class Limits:
    """What a service takes.

    ``items`` in a request, ``characters`` in an input, ``calls`` in flight and ``rpm``: calls in 60
    seconds, and ``waiting``: texts of all requests together; more are refused.
    """

    items: int = 100
    characters: int = 100_000
    calls: int = 8
    waiting: int = 1000
    rpm: int | None = None


@dataclass
class Service:
    """Answers with a judge and the LM of the context that it is made in; keeps no text."""

    judge: MultiCriteriaJudge
    limits: Limits = field(default_factory=Limits)
    waiting: int = 0

    def __post_init__(self) -> None:
        """Take the LM and the adapter, without a cache and a history of prompts."""
        lm = dspy.settings.lm.copy(cache=False)
        self._settings = {"lm": lm, "adapter": dspy.settings.adapter, "disable_history": True}
        self._free = asyncio.Semaphore(self.limits.calls)
        self._ledger = Ledger(None, self.limits.calls, self.limits.rpm)

    @property
    def routes(self) -> list[Route]:
        """The service's addresses."""
        return [
            Route("/rate", self.rate, methods=["POST"]),
            Route("/health", self.health),
            Route("/openapi.json", self.openapi),
        ]

    async def health(self, request: Request) -> JSONResponse:
        """Say that the service answers, and what with."""
        names = list(self.judge.rubric.names)
        return JSONResponse({"status": "ok", "criteria": names, "version": version("mogradjudge")})

    async def openapi(self, request: Request) -> JSONResponse:
        """Describe the service."""
        return JSONResponse(description(self.judge, self.limits))

    async def rate(self, request: Request) -> JSONResponse:
        """Rate one text, or each of a list."""
        names, limits = self.judge.rubric.inputs, self.limits
        # A character takes at most 6 bytes of JSON (\\uXXXX), or 12 as two surrogates.
        most = limits.items * (len(names) * (limits.characters * 12 + 100) + 100)
        most += LARGEST_IMAGE * 4 // 3 if self.judge.rubric.images else 0  # of all as base64
        body = await body_of(request, most)
        rows = self._rows(body if isinstance(body, list) else [body])
        if self.waiting + len(rows) > limits.waiting:
            raise HTTPException(503, f"{self.waiting} texts are waiting. Send these later.")
        self.waiting += len(rows)
        try:
            with dspy.context(**self._settings), self._booked():
                cells = await Rating(self.judge, [{} for _ in rows], "", rows).awaited(self._free)
        except dspy.LMError as failure:
            reason = reason_of(failure, self._settings["lm"])
            raise HTTPException(502, f"The provider failed: {reason}") from failure
        finally:
            self.waiting -= len(rows)
        return JSONResponse(cells if isinstance(body, list) else cells[0])

    def _booked(self) -> AbstractContextManager[None]:
        return booked(self._ledger, "judge", self.judge.rubric.names)

    def _rows(self, items: list[Any]) -> list[Inputs]:
        if not 1 <= len(items) <= self.limits.items:
            raise HTTPException(
                413 if items else 422,
                f"A list must have 1 to {self.limits.items} items, got {len(items)}.",
            )
        return [self._row(number, item) for number, item in enumerate(items, 1)]

    def _row(self, number: int, item: Any) -> Inputs:
        if not isinstance(item, dict):
            raise HTTPException(422, f"Item {number} must be an object with the judge's inputs.")
        try:
            row = read_inputs(item, self.judge.rubric, local=False)  # no file of this machine
        except (InputError, SetupError) as fault:
            raise HTTPException(422, f"Item {number}: {fault}") from fault
        for name, text in row.items():
            if isinstance(text, str) and len(text) > self.limits.characters:
                raise HTTPException(
                    413,
                    f"Item {number}: {name!r} must have at most {self.limits.characters} "
                    f"characters, got {len(text)}.",
                )
        return row


def description(judge: MultiCriteriaJudge, limits: Limits) -> dict[str, Any]:
    """Return the OpenAPI description of a judge's service."""
    item, scores = _item(judge.rubric, limits), _scores(judge)
    refused = {"description": "What is wrong, in one line", "content": _json(_object("error"))}
    answers = {str(status): refused for status in (400, 401, 403, 413, 422, 500, 502, 503)}
    rate = {
        "summary": "Rate one text, or each of a list",
        "requestBody": {"required": True, "content": _json(_one_or_many(item, limits.items))},
        "responses": {
            "200": {"description": "Scores", "content": _json(_one_or_many(scores))},
            **answers,
        },
    }
    health = {"responses": {"200": {"description": "The service answers"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "mogradjudge", "version": version("mogradjudge")},
        "paths": {"/rate": {"post": rate}, "/health": {"get": health}},
    }


def _item(rubric: Rubric, limits: Limits) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": limits.characters}
    image = {"type": "string", "format": "uri", "description": "An http(s) address or a data URI"}
    kinds = {name: image if name in rubric.images else text for name in rubric.inputs}
    return {"type": "object", "properties": kinds, "required": list(kinds)}


def _scores(judge: MultiCriteriaJudge) -> dict[str, Any]:
    kinds = {
        column.name: {"type": ["number" if str(column.type) == "double" else "string", "null"]}
        for column in added_by(judge).schema()
    }
    return {"type": "object", "properties": kinds}


def _one_or_many(schema: dict[str, Any], most: int | None = None) -> dict[str, Any]:
    many = {"type": "array", "items": schema, **({"maxItems": most} if most else {})}
    return {"oneOf": [schema, many]}


def _object(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
