"""What engines inside this process have in common: how DSPy calls and copies them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar, Self

from dspy import lm15


class _Shared(ABC):
    """How an engine is copied: a copied program shares it."""

    supports_response_schema = True
    supports_function_calling = False
    supports_reasoning = False
    supported_params: tuple[str, ...] = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).load_state, (self.dump_state(),)

    @abstractmethod
    def dump_state(self) -> dict[str, Any]:
        """Return the settings as they were given to the constructor."""

    @classmethod
    @abstractmethod
    def load_state(cls, state: dict[str, Any]) -> Self:
        """Build the engine from its settings."""


class Engine(_Shared):
    """Answers DSPy's requests one by one, in this process."""

    @abstractmethod
    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request."""

    def stream(self, request: lm15.Request) -> Iterator[Any]:
        """Return the whole answer as a stream of one piece."""
        events: Iterator[Any] = lm15.response_to_events(self.complete(request))
        return events

    def close(self) -> None:
        """Release what the engine holds; a later call takes it again."""

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> Self:
        """Build the engine from its settings."""
        return cls(**state)


class AsyncEngine(_Shared):
    """Answers as another engine does, but in a thread, so that the event loop stays free."""

    of: ClassVar[type[Engine]]

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.supported_params = engine.supported_params

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request."""
        return await asyncio.to_thread(self.engine.complete, request)

    async def stream(self, request: lm15.Request) -> AsyncIterator[Any]:
        """Return the whole answer as a stream of one piece."""
        for event in lm15.response_to_events(await self.complete(request)):
            yield event

    async def aclose(self) -> None:
        """Release what the engine holds."""
        await asyncio.to_thread(self.engine.close)

    def dump_state(self) -> dict[str, Any]:
        """Return the engine's settings."""
        return self.engine.dump_state()

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> Self:
        """Build the engine from its settings."""
        return cls(cls.of.load_state(state))
