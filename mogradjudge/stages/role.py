"""How a critic, coach or editor is asked: its LM, its retries, and one round of questions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

import dspy

from mogradjudge.concurrency import in_parallel
from mogradjudge.criteria import Group
from mogradjudge.errors import ReplyError
from mogradjudge.judge.finish_reason import Ending, reading
from mogradjudge.judge.reply import of_roles
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.media import name_of_media
from mogradjudge.lm.metering import booked
from mogradjudge.lm.models import LOCAL_MAX_TOKENS
from mogradjudge.lm.quoting import CUT, DEEPEST, quote, reason_of
from mogradjudge.lm.refusals import as_refusal, concerns_the_text, with_remedy
from mogradjudge.programs.dspy_internals import serialize_for_json
from mogradjudge.secrets import redact, secrets_of

R = TypeVar("R")

_RETRY_TEMPERATURE = 0.3  # at 0 another try would bring the same reply
_LEAST_ROOM = 256  # tokens
_SILENT_ROUNDS = 2  # of a role that was never heard; then its settings or its model are at fault


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
    """A question without a usable reply: the run goes on without its record.

    ``reply`` is the last reply as a whole, if one came; ``refusal`` is the provider's, if it took
    none.
    """

    role: str
    criteria: Group
    label: str
    reason: str
    reply: str = field(default="", compare=False)
    refusal: dspy.LMInvalidRequestError | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Round(Generic[R]):
    """What one round of questions brought, in the order of the questions."""

    records: tuple[R, ...]
    skipped: tuple[Skipped, ...]


@dataclass
class Hearing:
    """Notes which roles were heard, and ends a run in which one never is."""

    _heard: set[str] = field(default_factory=set)
    _silent: Counter[str] = field(default_factory=Counter)

    def note(self, asked: Role, answers: Round[Any]) -> None:
        """Note what a round brought.

        Raises:
            dspy.LMInvalidRequestError: If the provider refuses all that a role asks, as no text of
                it was ever taken: a setting is wrong then.
            ReplyError: If no reply could be used, in two rounds.
        """
        role = asked.name
        if answers.records:
            self._heard.add(role)
        if role in self._heard or not answers.skipped:
            return
        refusals = [each.refusal for each in answers.skipped if each.refusal is not None]
        if len(refusals) == len(answers.skipped) and not any(map(concerns_the_text, refusals)):
            raise with_remedy(refusals[0], role, temperature=asked.temperature)
        self._silent[role] += 1
        if self._silent[role] == _SILENT_ROUNDS:
            raise _unusable(answers.skipped[-1])


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
    adapter = of_roles(dspy.settings.adapter)
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
    inert = partial(quote, fields=fields)
    if isinstance(dspy.settings.adapter, dspy.TwoStepAdapter):
        inert = partial(quote, fields=question.signature.fields, labels=True)
    inputs = {name: _quoted(value, inert) for name, value in question.inputs.items()}
    last = Skipped(role.name, question.criteria, question.label, "")
    room = 0  # as much as the LM has
    for attempt in range(role.retries + 1):
        config = _sampling(role, question, attempt) | ({"max_tokens": room} if room else {})
        names = (*fields, *question.criteria) if fields else ()
        ending = Ending(names, values_may_hold_tags=True)
        booking = booked(role.ledger, role.name, question.criteria)
        try:
            with booking, dspy.context(trace=[]), reading(ending):
                reply = predict(**inputs, config=config)
                if ending.fault:
                    raise ReplyError(ending.reason)
                return read(question, reply)
        except (dspy.LMInvalidRequestError, dspy.LMAuthError) as error:
            refusal = as_refusal(error)  # of a text too long, say
            if isinstance(refusal, (dspy.LMUnsupportedModelError, dspy.LMAuthError)):
                raise
            if room:  # it was refused more room, so it stays cut
                return last
            return replace(last, reason=reason_of(refusal, role.lm), refusal=refusal)
        except (dspy.AdapterParseError, ReplyError) as error:
            text = redact(ending.text, secrets_of(role.lm.kwargs))
            reason = ending.reason or reason_of(error, role.lm)
            last = replace(last, reason=reason, reply=text)
            room = _room_after(ending, role.lm, room)
    return last


def _unusable(skipped: Skipped) -> ReplyError:
    who = skipped.role
    reply = f" The last reply, in full: {skipped.reply!r}" if skipped.reply.strip() else ""
    return ReplyError(
        f"No reply of the {who} could be used in {_SILENT_ROUNDS} steps: {skipped.reason}. Give "
        f"another model (--prompt-lm; {who}_lm= in Python) or more room (--max-tokens; a longer "
        f"section: --max-section-chars).{reply}"
    )


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


def _room_after(ending: Ending, lm: dspy.BaseLM, room: int) -> int:
    """Choose the longest reply of the next try: twice a cut one's, where the user set none."""
    if ending.fault != "length" or "max_completion_tokens" in lm.kwargs:
        return room
    limit = lm.kwargs.get("max_tokens")
    is_users = limit is not None and (
        limit != LOCAL_MAX_TOKENS or not lm.model.startswith("local/")
    )
    # A server may tell too few tokens; few texts have more than one in four bytes.
    length = max(ending.tokens, len(ending.text.encode(errors="replace")) // 4, _LEAST_ROOM)
    return 0 if is_users else 2 * (room or limit or length)


def _quoted(value: object, inert: Callable[[str], str], around: tuple[int, ...] = ()) -> object:
    """Make every text inert; what the stages pass on was written by people or by models.

    ``around`` names the values that hold this one: it may be one of them, or too deep to show.
    """
    if isinstance(value, str):
        return inert(value)
    if id(value) in around or len(around) == DEEPEST:
        return CUT
    around = (*around, id(value))
    if isinstance(value, Mapping):
        return {_quoted(key, inert): _quoted(item, inert, around) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_quoted(item, inert, around) for item in value]
    if value is None or isinstance(value, (bool, int, float)) or name_of_media(value):
        return value
    return _quoted(serialize_for_json(value), inert, around)  # as DSPy would write it
