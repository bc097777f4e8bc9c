"""A fake transport: the model behind `dspy.LM(engine=...)` is a function of the request."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import dspy
from dspy.lm15 import Message, Request, Response, TokenLogprob, TopLogprob, Usage

from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import booked

Reply = str | Sequence[TokenLogprob] | Response


class FunctionEngine:
    """Answers a request with what ``reply`` gives for it, and keeps every request it was sent."""

    supports_response_schema = False
    supports_function_calling = False
    supports_reasoning = False
    supported_params = ("temperature", "max_tokens", "logprobs", "top_logprobs", "seed")

    def __init__(self, reply: Callable[[Request], Reply]) -> None:
        self.reply = reply
        self.requests: list[Request] = []

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def complete(self, request: Request) -> Response:
        self.requests.append(request)
        reply = self.reply(request)
        if isinstance(reply, Response):
            return reply
        scored = not isinstance(reply, str)
        text = "".join(token.token for token in reply) if scored else reply
        return Response(
            id=None,
            model="fake",
            message=Message.assistant(text),
            finish_reason="stop",
            usage=Usage(input_tokens=1, output_tokens=1),
            logprobs=tuple(reply) if scored else None,
        )


class AsyncEngine:
    """The same model, awaited."""

    def __init__(self, engine: FunctionEngine) -> None:
        self.engine = engine

    def __deepcopy__(self, memo: object) -> Self:
        return self

    async def complete(self, request: Request) -> Response:
        return self.engine.complete(request)


def fake_lm(engine: FunctionEngine, **settings: object) -> dspy.LM:
    """Give an LM that sends to ``engine``, uncached unless the settings say otherwise."""
    settings = {"cache": False, "num_retries": 0, "temperature": 0.0, **settings}
    return dspy.LM("fake/model", engine=engine, async_engine=AsyncEngine(engine), **settings)


@dataclass(frozen=True)
class meter:
    """An LM, each of whose calls is made in a context that books it."""

    lm: dspy.BaseLM
    ledger: Ledger
    role: str
    criteria: tuple[str, ...]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        with booked(self.ledger, self.role, self.criteria):
            return self.lm(*inputs, **options)

    async def acall(self, *inputs: Any, **options: Any) -> Any:
        with booked(self.ledger, self.role, self.criteria):
            return await self.lm.acall(*inputs, **options)


def system(request: Request) -> str:
    return str(request.system)


def user(request: Request) -> str:
    (message,) = request.messages
    return message.text or ""


def in_chat(fields: Mapping[str, object]) -> str:
    blocks = [f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items()]
    return "\n\n".join([*blocks, "[[ ## completed ## ]]"])


def in_json(fields: Mapping[str, object]) -> str:
    return json.dumps(dict(fields), indent=2)


def in_xml(fields: Mapping[str, object]) -> str:
    return "\n\n".join(f"<{name}>\n{value}\n</{name}>" for name, value in fields.items())


FORMATS: dict[str, tuple[type[dspy.Adapter], Callable[[Mapping[str, object]], str]]] = {
    "chat": (dspy.ChatAdapter, in_chat),
    "json": (dspy.JSONAdapter, in_json),
    "xml": (dspy.XMLAdapter, in_xml),
}


def ended(text: str, reason: str = "length", tokens: int = 1) -> Response:
    """Make a reply that ended for another reason than that it was complete."""
    return Response(
        id=None,
        model="fake",
        message=Message.assistant(text),
        finish_reason=reason,
        usage=Usage(input_tokens=1, output_tokens=tokens),
    )


def token(text: str, alternatives: Mapping[str, float] | None = None) -> TokenLogprob:
    """Make one token of a reply, with the probabilities of all that could stand there."""
    alternatives = {text: 1.0} if alternatives is None else alternatives
    top = tuple(TopLogprob(other, math.log(p)) for other, p in alternatives.items() if p > 0)
    return TokenLogprob(text, math.log(alternatives.get(text, 1.0)), top=top)
