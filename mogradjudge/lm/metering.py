"""Limits and counts all attempts of LM calls during a run.

All of DSPy's LMs send through the same functions, also LMs that a program makes while it runs. Ours
replace them while a run is active; DSPy's own are restored when the last run ends.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, partial, wraps
from typing import Any

import dspy

from mogradjudge.errors import MogradError
from mogradjudge.lm.attempts import (
    Attempt,
    Booking,
    is_under_way,
    pause,
    reading_message,
    reading_usage,
    send_with_retries,
    send_with_retries_async,
)
from mogradjudge.lm.dspy_internals import (
    ATTEMPT,
    ATTEMPT_ASYNC,
    EXECUTE,
    EXECUTE_ASYNC,
    MODEL_INFO,
    READ_MESSAGE,
    READ_USAGE,
    RECORD_HISTORY,
    START_THREAD,
    Exchange,
    Setting,
    asks_cache,
    custom_methods,
    is_from_cache,
    may_be_cached,
    own_settings,
    usage_of,
)
from mogradjudge.lm.dspy_records import History
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.refusals import errors_noted
from mogradjudge.lm.replacements import Function, Place, Replacements
from mogradjudge.lm.reply_cache import InFlight, single_flight
from mogradjudge.secrets import redact_error, redact_reply, secrets_known, secrets_of

logger = logging.getLogger(__name__)

_BOOKING: Setting[Booking] = Setting("booking")
_MOST_MODELS = 256  # whose entries in DSPy's catalogue are remembered


@contextmanager
def booked(ledger: Ledger, role: str, criteria: tuple[str, ...]) -> Iterator[None]:
    """Book all LM calls of the block in a ledger, and enforce its limits.

    This includes the calls of all threads and tasks that the block starts. A judge's predictor is
    booked under its own criteria. The retries are ours, so that each attempt is counted: a call is
    retried until more than `RETRIES` failures of the whole run came in a row (calls in flight
    together fail as one), or more than the LM's ``num_retries`` if that differs from DSPy's
    default.

    Args:
        ledger: Books the calls.
        role: The role that makes them, such as ``"judge"``.
        criteria: The names of the criteria that they are about.

    >>> from dspy.utils import DummyLM
    >>> ledger = Ledger()
    >>> with booked(ledger, "judge", ("tone",)), dspy.context(lm=DummyLM([{"answer": "Yes"}])):
    ...     answer = dspy.Predict("question -> answer")(question="Is it?").answer
    >>> answer, ledger.calls
    ('Yes', 1)
    """
    with _BOOKING.set(Booking(ledger, role, criteria)), layer_held():
        yield


@contextmanager
def layer_held(ledger: Ledger | None = None) -> Iterator[None]:
    """Keep a run active, and our functions in the place of DSPy's, during the block.

    Args:
        ledger: The run's ledger; None for that of the context.
    """
    booking = _BOOKING.get()
    held = booking.ledger if ledger is None and booking is not None else ledger
    _LAYER.take(held)
    try:
        yield
    finally:
        _LAYER.give_back(held)


class _Layer:
    """The functions that replace DSPy's, and the runs that need them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders: Counter[Ledger | None] = Counter()
        self._replacements = Replacements()
        self._has_warned = False
        self.history = History()

    def take(self, ledger: Ledger | None) -> None:
        with self._lock:
            self._holders[ledger] += 1
            if self._holders.total() == 1:
                self._put_ours()

    def give_back(self, ledger: Ledger | None) -> None:
        with self._lock:
            self._holders[ledger] -= 1
            if not self._holders[ledger]:
                del self._holders[ledger]
            if not self._holders:
                self._put_theirs()

    def booking(self) -> Booking | None:
        """Return the context's booking while its run is active; a thread may outlive the run."""
        booking = _BOOKING.get()
        if booking is not None and booking.ledger in self._holders:
            return booking
        if self._holders and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "While a run is active, an LM is called outside of it, for example by a thread "
                "that started before the run. Such calls are not counted or capped. Start the "
                "thread in `forward`."
            )
        return None

    def _put_ours(self) -> None:
        self._has_warned = False
        self._replacements.put(_functions_on_the_way(self.history))

    def _put_theirs(self) -> None:
        self._replacements.put_back()
        self.history.clear()


def _is_in_run() -> bool:
    return _BOOKING.get() is not None


def _functions_on_the_way(history: History) -> Iterator[tuple[Place, Callable[[Any], Function]]]:
    """List the functions of DSPy that a call passes, and what wraps each."""
    yield EXECUTE, _executing
    yield EXECUTE_ASYNC, _executing_async
    yield ATTEMPT, _attempting
    yield ATTEMPT_ASYNC, _attempting_async
    yield READ_MESSAGE, reading_message
    yield READ_USAGE, reading_usage
    yield RECORD_HISTORY, partial(history.recording, _is_in_run)
    yield MODEL_INFO, _remembering
    yield START_THREAD, _starting
    for kind, name in custom_methods():
        yield (kind, name), partial(_custom_method_of, name)


def _remembering(dspys: Function) -> Function:
    """Look each model up once: DSPy does so twice for each reply, to estimate its cost."""
    return partial(_model_info, dspys)


@lru_cache(_MOST_MODELS)
def _model_info(dspys: Function, provider: Any, model: Any, namespaces: Any = None) -> Any:
    return dspys(provider, model, namespaces=namespaces)


def _custom_method_of(name: str, theirs: Any) -> Function:
    function = theirs if inspect.isfunction(theirs) else _as_function(theirs)
    is_async = name.startswith("a") or inspect.iscoroutinefunction(theirs)
    return _custom_method_async(function) if is_async else _custom_method(function)


def _as_function(theirs: Any) -> Function:
    """Call a class attribute as Python does: a static method, a partial one, any object."""

    def call(lm: dspy.BaseLM, *inputs: Any, **options: Any) -> Any:
        bind = getattr(type(theirs), "__get__", None)
        return (bind(theirs, lm, type(lm)) if bind else theirs)(*inputs, **options)

    return call


def _starting(pythons: Function) -> Function:
    """Pass a run's settings on to a plain thread, as DSPy does to the threads that it starts."""

    @wraps(pythons)
    def start(thread: threading.Thread) -> None:
        if _is_in_run():
            run = partial(_run_with, own_settings(), thread.run)
            thread.run = run  # type: ignore[method-assign]
        pythons(thread)

    return start


def _run_with(
    settings: Callable[[], AbstractContextManager[None]], run: Callable[[], None]
) -> None:
    with settings():
        run()


def _executing(dspys: Function) -> Function:
    """Book a call that the cache answers, and send only one of equal calls."""

    @wraps(dspys)
    def execute(lm: dspy.BaseLM, call: Any) -> Any:
        if (booking := _LAYER.booking()) is None:
            return dspys(lm, call)
        with _errors_of_ours(lm):
            check = booking.ledger.stop_signal.check
            with single_flight(check) if may_be_cached(call) else nullcontext():
                result = redact_reply(dspys(lm, call))  # as it is stored
        return _counted(booking, lm, result)

    return execute


def _executing_async(dspys: Function) -> Function:
    @wraps(dspys)
    async def aexecute(lm: dspy.BaseLM, call: Any) -> Any:
        if (booking := _LAYER.booking()) is None:
            return await dspys(lm, call)
        with _errors_of_ours(lm):
            while True:
                try:
                    with single_flight(None) if may_be_cached(call) else nullcontext():
                        result = redact_reply(await dspys(lm, call))
                    return _counted(booking, lm, result)
                except InFlight:
                    await pause(booking.ledger)

    return aexecute


def _counted(booking: Booking, lm: dspy.BaseLM, result: Any) -> Any:
    if is_from_cache(result):
        booking.answered_by_cache(lm)
    return result


@contextmanager
def _errors_of_ours(lm: dspy.BaseLM) -> Iterator[None]:
    """Raise our own errors unwrapped, and a provider's errors without keys."""
    secrets = frozenset(secrets_of(lm.kwargs))
    with errors_noted(), secrets_known(secrets):
        try:
            yield
        except dspy.LMError as error:
            if isinstance(error.__cause__, MogradError):  # DSPy wraps errors that it does not know
                raise error.__cause__ from None
            redact_error(error, secrets)  # a provider may repeat what it was sent
            raise


def _attempting(dspys: Function) -> Function:
    """Send an attempt when it may be sent, and retry where that can help."""

    @wraps(dspys)
    def attempt(*arguments: Any) -> Any:
        if (booking := _LAYER.booking()) is None:
            return dspys(*arguments)
        exchange = Exchange(*arguments)

        def send(ours: Attempt) -> Any:
            with ours.under_way(exchange.usages()), exchange.boundary():
                return dspys(*arguments)

        return send_with_retries(partial(_attempt_of, booking, exchange), send, exchange)

    return attempt


def _attempting_async(dspys: Function) -> Function:
    @wraps(dspys)
    async def aattempt(*arguments: Any) -> Any:
        if (booking := _LAYER.booking()) is None:
            return await dspys(*arguments)
        exchange = Exchange(*arguments)

        async def send(ours: Attempt) -> Any:
            with ours.under_way(exchange.usages()), exchange.boundary():
                return await dspys(*arguments)

        return await send_with_retries_async(
            partial(_attempt_of, booking, exchange), send, exchange
        )

    return aattempt


def _attempt_of(booking: Booking, exchange: Exchange) -> Attempt:
    return booking.attempt(exchange.lm, exchange.texts(), exchange.options(), exchange.replies())


def _custom_method(theirs: Function) -> Function:
    """Book a call of an LM whose class sends in a way of its own, bypassing DSPy's."""

    @wraps(theirs)
    def method(lm: dspy.BaseLM, *inputs: Any, **options: Any) -> Any:
        if (booking := _custom_booking(lm)) is None:
            return theirs(lm, *inputs, **options)

        def send(ours: Attempt) -> Any:
            replies: list[Any] = []
            with ours.under_way(lambda: [usage_of(reply) for reply in replies]):
                replies.append(theirs(lm, *inputs, **options))
            return replies[0]

        with _errors_of_ours(lm):
            return send_with_retries(partial(_custom_attempt, booking, lm, inputs, options), send)

    return method


def _custom_method_async(theirs: Function) -> Function:
    @wraps(theirs)
    async def method(lm: dspy.BaseLM, *inputs: Any, **options: Any) -> Any:
        if (booking := _custom_booking(lm)) is None:
            return await theirs(lm, *inputs, **options)

        async def send(ours: Attempt) -> Any:
            replies: list[Any] = []
            with ours.under_way(lambda: [usage_of(reply) for reply in replies]):
                replies.append(await theirs(lm, *inputs, **options))
            return replies[0]

        with _errors_of_ours(lm):
            return await send_with_retries_async(
                partial(_custom_attempt, booking, lm, inputs, options), send
            )

    return method


def _custom_attempt(
    booking: Booking, lm: dspy.BaseLM, inputs: Sequence[Any], options: Mapping[str, Any]
) -> Attempt:
    settings = {**lm.kwargs, **options}
    return booking.attempt(lm, [inputs, settings], settings, settings.get("n") or 1)


def _custom_booking(lm: dspy.BaseLM) -> Booking | None:
    # A call that asks the cache is booked at `EXECUTE`, and one in flight has been booked.
    return None if asks_cache(lm) or is_under_way(lm) else _LAYER.booking()


_LAYER = _Layer()
