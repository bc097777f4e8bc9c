"""How a critic, coach or editor is asked: its LM, its retries, and one round of questions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import dspy
from dspy.adapters.utils import serialize_for_json

from mogradjudge.concurrency import in_parallel
from mogradjudge.criteria import Group
from mogradjudge.errors import ReplyError
from mogradjudge.fields import as_a_whole, reason_of
from mogradjudge.ledger import Ledger
from mogradjudge.media import name_of_media
from mogradjudge.metering import booked
from mogradjudge.quoting import quote

R = TypeVar("R")

_RETRY_TEMPERATURE = 0.3  # at 0 another try would bring the same reply


@dataclass(frozen=True)
class Role:
    """One of the three writing roles, as the stages see it.

    Args:
        name: ``"critic"``, ``"coach"`` or ``"editor"``.
        lm: The LM that speaks.
        temperature: Sampling temperature; None leaves the LM's own.
        retries: Further tries after a reply that cannot be used.
        takes_seed: Whether the LM may be sent a sampling seed.
        num_threads: The most questions to ask at one time.
        ledger: Books the calls, each for the criteria that it is about; its own if not given.
    """

    name: str
    lm: dspy.BaseLM
    temperature: float | None
    retries: int = 2
    takes_seed: bool = False
    num_threads: int = 8
    ledger: Ledger = field(default_factory=Ledger)


@dataclass(frozen=True)
class Question:
    """One call of a stage, about one group of criteria.

    ``label`` tells it from every other question of the run, so that its sampled reply is its own:
    DSPy's cache would answer two equal questions alike. ``example_id`` is empty where the question
    is about no single example.
    """

    criteria: Group
    example_id: str
    signature: type[dspy.Signature]
    inputs: Mapping[str, object]
    label: str


@dataclass(frozen=True)
class Skipped:
    """A question without a usable reply: the run goes on without its record."""

    role: str
    criteria: Group
    label: str
    reason: str


@dataclass(frozen=True)
class Round(Generic[R]):
    """What one round of questions brought, in the order of the questions."""

    records: tuple[R, ...]
    skipped: tuple[Skipped, ...]


def ask(
    role: Role, questions: Sequence[Question], read: Callable[[Question, dspy.Prediction], R]
) -> Round[R]:
    """Ask all questions of a round together.

    Args:
        role: Who is asked.
        questions: What is asked.
        read: Makes a record of a reply; raises `ReplyError` for one that cannot be used, which is
            then asked for again.

    Raises:
        dspy.LMError: If the provider fails.
    """
    adapter = as_a_whole(dspy.settings.adapter)
    with dspy.context(lm=role.lm, adapter=adapter, trace=[], disable_history=True):
        replies = in_parallel(lambda each: _ask(role, each, read), questions, role.num_threads)
    return Round(
        records=tuple(reply for reply in replies if not isinstance(reply, Skipped)),
        skipped=tuple(reply for reply in replies if isinstance(reply, Skipped)),
    )


def _ask(
    role: Role, question: Question, read: Callable[[Question, dspy.Prediction], R]
) -> R | Skipped:
    predict = dspy.Predict(question.signature)
    # In XML a field is a tag; elsewhere the roles may write of tags as they like.
    fields = question.signature.fields if isinstance(dspy.settings.adapter, dspy.XMLAdapter) else ()
    inputs = {name: _quoted(value, fields) for name, value in question.inputs.items()}
    reason = ""
    for attempt in range(role.retries + 1):
        config = _sampling(role, question, attempt)
        try:
            with booked(role.ledger, role.name, question.criteria), dspy.context(trace=[]):
                return read(question, predict(**inputs, config=config))
        except dspy.LMInvalidRequestError as error:  # a text too long, or one that is refused
            if isinstance(error, dspy.LMUnsupportedModelError):
                raise
            return Skipped(role.name, question.criteria, question.label, reason_of(error, role.lm))
        except (dspy.AdapterParseError, ReplyError) as error:
            reason = reason_of(error, role.lm)
    return Skipped(role.name, question.criteria, question.label, reason)


def _sampling(role: Role, question: Question, attempt: int) -> dict[str, Any]:
    """Choose temperature and cache key, so that each question and each try draws its own reply."""
    config: dict[str, Any] = {}
    # DSPy gives this parameter to reasoning models alone, and those take no temperature.
    takes_temperature = "max_completion_tokens" not in role.lm.kwargs
    temperature = role.temperature if takes_temperature else None
    if temperature is None:
        temperature = role.lm.kwargs.get("temperature")
    if temperature == 0 and attempt:
        temperature = _RETRY_TEMPERATURE
    if takes_temperature and temperature is not None:
        config["temperature"] = temperature
    if temperature != 0:
        draw = hashlib.sha256(f"{role.name}/{question.label}/{attempt}".encode()).digest()
        config["rollout_id"] = int.from_bytes(draw[:4]) >> 1
        if role.takes_seed:
            config["seed"] = config["rollout_id"]
    return config


def _quoted(value: object, fields: Iterable[str]) -> object:
    """Make every text inert; what the stages pass on was written by people or by models."""
    if isinstance(value, str):
        return quote(value, fields)
    if isinstance(value, Mapping):
        return {_quoted(key, fields): _quoted(item, fields) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_quoted(item, fields) for item in value]
    if value is None or isinstance(value, (bool, int, float)) or name_of_media(value):
        return value
    return _quoted(serialize_for_json(value), fields)  # as DSPy would write it
