"""A judge as a service: ``POST /rate`` with one text or a list of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import count
from typing import Any, TypeVar

import dspy
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.data.conversations import TURNS
from mogradjudge.errors import InputError, SetupError
from mogradjudge.judge.cells import RAW, Cells
from mogradjudge.judge.inputs import Inputs, read_inputs
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.rate import Rating, added_by
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.images import LARGEST_IMAGE
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import booked
from mogradjudge.lm.models import without_folder
from mogradjudge.lm.quoting import reason_of
from mogradjudge.programs.identity import digest_of_program
from mogradjudge.web.server import body_of

T = TypeVar("T")

_MOST_BYTES = 20_000_000  # of a request, which is read into memory
_MOST_BODIES = 16  # that are read at a time
_REFUSALS = (400, 401, 403, 408, 413, 422, 500, 502, 503)


@dataclass(frozen=True)
class Limits:
    """What a service takes.

    ``items`` in a request, ``characters`` in an input, ``calls`` in flight and ``rpm``: calls in 60
    seconds, and ``waiting``: texts of all requests together, and requests whose body is awaited;
    more are refused. An image may be an http(s) address only with ``image_urls``: this machine
    might fetch it.
    """

    items: int = 100
    characters: int = 100_000
    calls: int = 8
    waiting: int = 1000
    rpm: int | None = None
    image_urls: bool = False


@dataclass
class Service:
    """Answers with a judge and the LM of the context that it is made in; keeps no text."""

    judge: MultiCriteriaJudge
    limits: Limits = field(default_factory=Limits)
    waiting: int = 0
    bodies: int = 0

    def __post_init__(self) -> None:
        """Take the LM and the adapter, without a cache and a history of prompts."""
        lm = dspy.settings.lm.copy(cache=False)
        self._settings = {"lm": lm, "adapter": dspy.settings.adapter, "disable_history": True}
        self._reading = asyncio.Semaphore(_MOST_BODIES)
        self._free = asyncio.Semaphore(self.limits.calls)
        self._ledger = Ledger(None, self.limits.calls, self.limits.rpm)
        self._health = {
            "status": "ok",
            "model": without_folder(lm.model),
            "judge": digest_of_program(self.judge),
            "criteria": list(self.judge.rubric.names),
            "version": version("mogradjudge"),
        }

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
        return JSONResponse(self._health)

    async def openapi(self, request: Request) -> JSONResponse:
        """Describe the service."""
        return JSONResponse(description(self.judge, self.limits))

    async def rate(self, request: Request) -> JSONResponse:
        """Rate one text, or each of a list; those that cannot be read have the reason instead."""
        names, limits = self.judge.rubric.inputs, self.limits
        # A character takes at most 6 bytes of JSON (\\uXXXX), or 12 as two surrogates.
        most = limits.items * (len(names) * (limits.characters * 12 + 100) + 100)
        images = LARGEST_IMAGE * 4 // 3 if self.judge.rubric.images else 0  # of all, as base64
        body = await self._body(request, min(most, _MOST_BYTES) + images)
        rows = self._rows(body)
        readable = [row for row in rows if not isinstance(row, HTTPException)]
        if self.waiting + len(readable) > limits.waiting:
            raise HTTPException(503, f"{self.waiting} texts are waiting. Send these later.")
        self.waiting += len(readable)
        try:
            cells = await self._rated(request, rows, readable)
        except dspy.LMError as failure:
            reason = reason_of(failure, self._settings["lm"])
            raise HTTPException(502, f"The provider failed: {reason}") from failure
        finally:
            self.waiting -= len(readable)
        return JSONResponse(cells if isinstance(body, list) else cells[0])

    async def _body(self, request: Request, most_bytes: int) -> Any:
        """Read a request's body when it is its turn: bodies that arrive fill the memory."""
        if self.bodies >= self.limits.waiting:
            raise HTTPException(503, f"{self.bodies} requests are waiting. Send this one later.")
        self.bodies += 1
        try:
            async with self._reading:
                return await body_of(request, most_bytes)
        finally:
            self.bodies -= 1

    async def _rated(
        self, request: Request, rows: Sequence[Inputs | HTTPException], readable: Sequence[Inputs]
    ) -> list[Cells]:
        rating = Rating(self.judge, [{} for _ in readable], "", readable)
        with dspy.context(**self._settings), self._booked():
            scored = iter(await _unless_gone(request, rating.awaited(self._free)))
            return [
                rating.cells(Unscored(row.detail))
                if isinstance(row, HTTPException)
                else next(scored)
                for row in rows
            ]

    def _booked(self) -> AbstractContextManager[None]:
        return booked(self._ledger, "judge", self.judge.rubric.names)

    def _rows(self, body: Any) -> list[Inputs | HTTPException]:
        """Return the items' inputs, or why they cannot be rated; one of them can."""
        is_list = isinstance(body, list)
        items = body if is_list else [body]
        if not 1 <= len(items) <= self.limits.items:
            raise HTTPException(
                413 if items else 422,
                f"A list must have 1 to {self.limits.items} items, got {len(items)}.",
            )
        places = (f"Item {number}: " if is_list else "" for number in count(1))
        rows = list(map(self._row, items, places))
        refused = [row for row in rows if isinstance(row, HTTPException)]
        if len(refused) == len(rows):
            raise refused[0]
        return rows

    def _row(self, item: Any, place: str) -> Inputs | HTTPException:
        if not isinstance(item, dict):
            return HTTPException(422, f"{place}A text is an object with the judge's inputs.")
        if flags := [it for it in self.judge.rubric.inputs if isinstance(item.get(it), bool)]:
            return HTTPException(422, f"{place}{flags[0]!r} must be no boolean.")
        try:
            # No file of this machine, and nothing that only this machine can reach.
            remote = self.limits.image_urls
            row = read_inputs(item, self.judge.rubric, local=False, remote=remote)
        except (InputError, SetupError) as fault:
            return HTTPException(422, f"{place}{fault}")
        most = self.limits.characters
        for name, text in row.items():
            if isinstance(text, str) and len(text) > most:
                line = f"{name!r} must have at most {most} characters, got {len(text)}."
                return HTTPException(413, f"{place}{line}")
        return row


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await the work; no call is paid for a client that has hung up."""
    working, leaving = asyncio.create_task(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HTTPException(499, "The client has hung up.")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()


def description(judge: MultiCriteriaJudge, limits: Limits) -> dict[str, Any]:
    """Return the OpenAPI description of a judge's service."""
    item, scores = _item(judge.rubric, limits), _scores(judge)
    refused = {"description": "What is wrong, in one line", "content": _json(_object("error"))}
    rate = {
        "summary": "Rate one text, or each of a list",
        "requestBody": {"required": True, "content": _json(_one_or_many(item, limits.items))},
        "responses": {
            "200": {
                "description": "Scores, or why there are none",
                "content": _json(_one_or_many(scores)),
            },
            **{str(status): refused for status in _REFUSALS},
        },
    }
    alive = {"description": "The service answers", "content": _json({"type": "object"})}
    return {
        "openapi": "3.1.0",
        "info": {"title": "mogradjudge", "version": version("mogradjudge")},
        "paths": {
            "/rate": {"post": rate},
            "/health": {"get": {"security": [], "responses": {"200": alive}}},
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],  # it is asked for where the service has one
    }


def _item(rubric: Rubric, limits: Limits) -> dict[str, Any]:
    # A number is read as a text, and turns as a conversation.
    turns = {"type": "array", "minItems": 1, "items": {"type": "object"}}
    text = {
        "type": ["string", "number", "array", "object"],
        "minLength": 1,
        "maxLength": limits.characters,
        "minItems": 1,
        "items": {"type": "object"},
        "properties": dict.fromkeys(TURNS, turns),
        "anyOf": [{"not": {"type": "object"}}, *({"required": [key]} for key in TURNS)],
    }
    taken = "An http(s) address or a data URI" if limits.image_urls else "A data URI"
    image = {"type": "string", "format": "uri", "description": taken}
    kinds = {name: image if name in rubric.images else text for name in rubric.inputs}
    return {"type": "object", "properties": kinds, "required": list(kinds)}


def _scores(judge: MultiCriteriaJudge) -> dict[str, Any]:
    names = added_by(judge).schema().names
    texts = {name: {"type": ["string", "null"]} for name in names}
    scores: dict[str, Any] = {}
    for criterion in judge.rubric.criteria:
        scores |= {f"{criterion.name}{end}": _score(criterion) for end in ("", RAW)}
        if judge.settings.score_rule == "integer" and criterion.name not in judge.calibration:
            scores[criterion.name]["enum"] = [*criterion.scale.values, None]
    kinds = {name: scores.get(name, texts[name]) for name in names}
    return {"type": "object", "properties": kinds, "required": names}


def _score(criterion: Criterion) -> dict[str, Any]:
    scale = {"minimum": criterion.scale.low, "maximum": criterion.scale.high}
    return {"type": ["number", "null"], **scale, "description": criterion.description}


def _one_or_many(schema: dict[str, Any], most: int | None = None) -> dict[str, Any]:
    many = {"type": "array", "minItems": 1, "items": schema, **({"maxItems": most} if most else {})}
    return {"oneOf": [schema, many]}


def _object(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
