"""Asks a critic, coach or editor: its LM, its retries, and one round of questions."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
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
_LONGEST_LINE = 240  # characters of an entry that has no heading
_DEEPEST_HEADING = 6
_HEADING = re.compile(r"^(?=[ ]{0,3}#{1,6}(?:\s|$))", re.MULTILINE)
_SILENT_ROUNDS = 2  # without any usable reply; then the role's settings or its model are wrong


@dataclass(frozen=True)
class Role:
    """One of the three writing roles: an LM and how it is called.

    Args:
        name: ``"critic"``, ``"coach"`` or ``"editor"``.
        lm: The LM of the role.
        temperature: Sampling temperature; None leaves the LM's own.
        retries: Further tries after a reply that cannot be used.
        takes_seed: Whether the LM takes a sampling seed.
        num_threads: The most questions to ask at the same time.
        ledger: Books the calls, each for the criteria that it is about; its own by default.
        thinks: Whether each reply begins with a field for reasoning, which nobody reads.

    >>> Role("critic", dspy.LM("openai/gpt-4o-mini"), temperature=0.7).retries
    2
    """

    name: str
    lm: dspy.BaseLM
    temperature: float | None
    retries: int = 2
    takes_seed: bool = False
    num_threads: int = 8
    ledger: Ledger = field(default_factory=Ledger)
    thinks: bool = False


@dataclass(frozen=True)
class Question:
    """One call of a stage, about one group of criteria.

    ``label`` is unique in the run, so that each question gets its own sampled reply: DSPy's cache
    would answer two equal questions alike. ``example_id`` is empty if the question is not about a
    single example.
    """

    criteria: Group
    example_id: str
    signature: type[dspy.Signature]
    inputs: Mapping[str, object]
    label: str


@dataclass(frozen=True)
class Skipped:
    """A question without a usable reply: the run goes on without its record.

    ``reply`` is the last reply in full, if there was one; ``refusal`` is the provider's error, if
    it refused the question.
    """

    role: str
    criteria: Group
    label: str
    reason: str
    reply: str = field(default="", compare=False)
    refusal: dspy.LMInvalidRequestError | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Round(Generic[R]):
    """The records of one round of questions, in the order of the questions."""

    records: tuple[R, ...]
    skipped: tuple[Skipped, ...]


@dataclass
class RoleMonitor:
    """Stops a run if a role never gives a usable reply."""

    _answered: set[str] = field(default_factory=set)
    _silent_rounds: Counter[str] = field(default_factory=Counter)

    def check(self, role: Role, answers: Round[Any]) -> None:
        """Check the replies of one round.

        Raises:
            dspy.LMInvalidRequestError: If the provider refuses all questions of a role that never
                got a reply: a setting is wrong then.
            ReplyError: If no reply was usable in two rounds.
        """
        name, skipped = role.name, answers.skipped
        if answers.records:
            self._answered.add(name)
        if name in self._answered or not skipped:
            return
        refusals = [question.refusal for question in skipped if question.refusal is not None]
        if len(refusals) == len(skipped) and not any(map(concerns_the_text, refusals)):
            raise with_remedy(refusals[0], name, temperature=role.temperature)
        self._silent_rounds[name] += 1
        if self._silent_rounds[name] == _SILENT_ROUNDS:
            raise _unusable(skipped[-1], thinks=role.thinks)


def ask(
    role: Role, questions: Sequence[Question], read: Callable[[Question, dspy.Prediction], R]
) -> Round[R]:
    """Ask all questions of a round together.

    Args:
        role: The role to ask.
        questions: The questions of the round.
        read: Makes a record from a reply; raises `ReplyError` for an unusable reply, and then the
            question is asked again.

    Raises:
        dspy.LMError: If the provider fails.

    >>> from dspy.utils import DummyLM
    >>> critic = Role("critic", DummyLM([{"critique": "Too strict."}]), temperature=None)
    >>> signature = dspy.Signature("text -> critique")
    >>> question = Question(("fluency",), "a", signature, {"text": "A text."}, "0/1/a")
    >>> ask(critic, [question], lambda question, reply: reply.critique).records
    ('Too strict.',)
    """
    adapter = of_roles(dspy.settings.adapter)
    if role.thinks:
        questions = [replace(it, signature=_with_reasoning(it.signature)) for it in questions]
    with dspy.context(lm=role.lm, adapter=adapter, trace=[], disable_history=True):
        replies = in_parallel(
            lambda question: _ask(role, question, read), questions, role.num_threads
        )
    return Round(
        records=tuple(reply for reply in replies if not isinstance(reply, Skipped)),
        skipped=tuple(reply for reply in replies if isinstance(reply, Skipped)),
    )


def _with_reasoning(signature: Any) -> Any:
    field = dspy.OutputField(desc="think here first; nobody reads it")
    return signature.prepend("reasoning", field, str)


def _ask(
    role: Role, question: Question, read: Callable[[Question, dspy.Prediction], R]
) -> R | Skipped:
    predict = dspy.Predict(question.signature)
    inputs = _quoted_inputs(question)
    last = Skipped(role.name, question.criteria, question.label, "")
    room = 0  # as much as the LM has
    for attempt in range(role.retries + 1):
        config = _sampling(role, question, attempt, room)
        ending = Ending(_tags(question), values_may_hold_tags=True)
        booking = booked(role.ledger, role.name, question.criteria)
        try:
            with booking, dspy.context(trace=[]), reading(ending):
                reply = predict(**inputs, config=config)
                if ending.fault:
                    raise ReplyError(ending.reason)
                return read(question, reply)
        except (dspy.LMInvalidRequestError, dspy.LMAuthError) as error:
            refusal = as_refusal(error)  # of a text that is too long, for example
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


def _quoted_inputs(question: Question) -> dict[str, object]:
    quoting = partial(quote, fields=_xml_fields(question))
    if isinstance(dspy.settings.adapter, dspy.TwoStepAdapter):
        quoting = partial(quote, fields=question.signature.fields, labels=True)
    quoted = {name: _quoted(value, quoting) for name, value in question.inputs.items()}
    texts = [name for name, field in question.signature.fields.items() if field.annotation is str]
    return quoted | {name: in_markdown(quoted[name]) for name in texts if name in quoted}


def in_markdown(value: object, level: int = 3) -> str:
    """Write a value as the roles read it: short entries in lines, long ones under headings.

    A line of a text that looks like a heading gets a backslash: it opens no entry.

    >>> print(in_markdown({"fluency": "Rate from 1 to 5.", "style": "Is it plain?"}))
    - fluency: Rate from 1 to 5.
    - style: Is it plain?
    """
    match value:
        case Mapping():
            # Below a heading, a line would be an entry of what stands there.
            lines = dict(takewhile(_fits_a_line, value.items()))
            parts = ["\n".join(f"- {key}: {in_markdown(item)}" for key, item in lines.items())]
            mark = "#" * min(level, _DEEPEST_HEADING)
            long = [item for item in value.items() if item[0] not in lines]
            parts += [f"{mark} {key}\n{_below(item, level + 1)}" for key, item in long]
            return "\n\n".join(filter(None, parts))
        case list():
            return "\n".join(f"{n}. {_below(item, level)}" for n, item in enumerate(value, 1))
        case str():
            return value
        case float():
            return f"{value:g}"
    return "none" if value is None else str(value)


def _below(item: object, level: int) -> str:
    text = in_markdown(item, level)
    return _HEADING.sub(r"\\", text) if isinstance(item, str) else text


def _fits_a_line(entry: tuple[object, object]) -> bool:
    _, item = entry
    if isinstance(item, (Mapping, list)):
        return False
    text = in_markdown(item)
    return len(text) <= _LONGEST_LINE and len(text.splitlines()) <= 1


def _xml_fields(question: Question) -> tuple[str, ...]:
    """Return the fields that are tags: those of XML; elsewhere the roles may write any tag."""
    is_xml = isinstance(dspy.settings.adapter, dspy.XMLAdapter)
    return tuple(question.signature.fields) if is_xml else ()


def _tags(question: Question) -> tuple[str, ...]:
    fields = _xml_fields(question)
    return (*fields, *question.criteria) if fields else ()


def _unusable(skipped: Skipped, *, thinks: bool) -> ReplyError:
    who = skipped.role
    reply = f" The last reply, in full: {skipped.reply!r}" if skipped.reply.strip() else ""
    return ReplyError(
        f"No reply of the {who} could be used in {_SILENT_ROUNDS} steps: {skipped.reason}. Give "
        f"another model (--prompt-lm; {who}_lm= in Python) or more room (--max-tokens; a longer "
        f"section: --max-section-chars){', or leave out --thinking' if thinks else ''}.{reply}"
    )


def _sampling(role: Role, question: Question, attempt: int, room: int) -> dict[str, Any]:
    """Choose temperature and cache key: each question and each try samples its own reply.

    ``room`` is the longest reply in tokens, 0 for what the LM has.
    """
    config: dict[str, Any] = {"max_tokens": room} if room else {}
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
    """Choose the next try's `max_tokens`: twice a cut reply's, unless the user set a limit."""
    if ending.fault != "length" or "max_completion_tokens" in lm.kwargs:
        return room
    limit = lm.kwargs.get("max_tokens")
    is_users = limit is not None and (
        limit != LOCAL_MAX_TOKENS or not lm.model.startswith("local/")
    )
    # A server may report too few tokens; few texts have more than one in four bytes.
    length = max(ending.tokens, len(ending.text.encode(errors="replace")) // 4, _LEAST_ROOM)
    return 0 if is_users else 2 * (room or limit or length)


def _quoted(value: object, quoting: Callable[[str], str], around: tuple[int, ...] = ()) -> object:
    """Quote every text: what the stages pass on was written by people or by models.

    ``around`` holds the ids of the values that contain this one: it may be one of them, or too deep
    to show.
    """
    if isinstance(value, str):
        return quoting(value)
    if id(value) in around or len(around) == DEEPEST:
        return CUT
    around = (*around, id(value))
    match value:
        case Mapping():
            return {
                _quoted(key, quoting): _quoted(item, quoting, around) for key, item in value.items()
            }
        case list() | tuple():
            return [_quoted(item, quoting, around) for item in value]
        case None | bool() | int() | float():
            return value
    if name_of_media(value):
        return value
    return _quoted(serialize_for_json(value), quoting, around)  # as DSPy would write it
