"""What an event of a run is; an observer is a function.

A kind of event is a subclass of `Event`. Its class defines the sentence that is printed, the
figures that a tracker logs, and by its fields what `events.jsonl` holds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias


@dataclass(frozen=True)
class Event(ABC):
    """Something that happened in a run, of the kind that its class names.

    Subclasses are frozen dataclasses whose fields JSON can hold.

    Args:
        headline: Whether the event gets a line in a log.
        quotes: Whether its sentence ends in a model's text, which a log cuts to one line.

    >>> from mogradjudge.optimize.events import StepStarted
    >>> StepStarted(2, example_ids=("a", "b", "c")).describe()
    'Step 2: a batch of 3 texts.'
    """

    kinds: ClassVar[dict[str, type[Event]]] = {}
    headline: ClassVar[bool] = False
    quotes: ClassVar[bool] = False

    def __init_subclass__(cls, *, headline: bool = False, quotes: bool = False) -> None:
        super().__init_subclass__()
        cls.headline, cls.quotes = headline, quotes
        Event.kinds[cls.__name__] = cls

    @abstractmethod
    def describe(self) -> str:
        """Describe the event in a sentence."""

    def figures(self) -> Mapping[str, float]:
        """Return the figures that a tracker logs with the step, by name; none by default."""
        return {}


Observer: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True)
class StepEvent(Event):
    """An event within a step."""

    step: int
