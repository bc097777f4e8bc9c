"""Every LM call of a run is booked once, and none is sent above the cap."""

import asyncio
import contextvars
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import dspy
import pytest
from dspy.clients import execution
from dspy.lm15 import (
    AuthError,
    ContextLengthError,
    Message,
    RateLimitError,
    Request,
    Response,
    ServerError,
    Usage,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.worlds.world import ToyEngine
from mogradjudge.concurrency import in_parallel
from mogradjudge.errors import BudgetExhausted
from mogradjudge.lm.budget import Budget, Spent
from mogradjudge.lm.ledger import Ledger, Purpose
from mogradjudge.lm.metering import booked
from mogradjudge.lm.pricing import Price, price
from tests.engines import meter

GROUP = ("fluency",)
PURPOSE, ONE = Purpose("judge", GROUP, "toy/x"), Spent(calls=1)


class Engine:
    """Answers with 10 + 3 tokens, after raising what ``fail`` gives for the number of the call."""

    supports_response_schema = supports_function_calling = supports_reasoning = False
    supported_params = ("temperature", "max_tokens")

    def __init__(self, fail: Callable[[int], BaseException | None] = lambda number: None) -> None:
        self.fail = fail
        self.times: list[float] = []
        self.peak = self.now = 0
        self._lock = threading.Lock()

    def complete(self, request: Request) -> Response:
        with self._lock:
            self.times.append(time.monotonic())
            number = len(self.times)
            self.now += 1
            self.peak = max(self.peak, self.now)
        try:
            time.sleep(0.001)
            if error := self.fail(number):
                raise error
        finally:
            with self._lock:
                self.now -= 1
        message = Message.assistant("[[ ## answer ## ]]\nyes\n\n[[ ## completed ## ]]")
        usage = Usage(input_tokens=10, output_tokens=3)
        return Response(id=None, model="x", message=message, finish_reason="stop", usage=usage)


class AsyncEngine:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def complete(self, request: Request) -> Response:
        return self.engine.complete(request)


def lm(engine: Engine, model: str = "toy/x", **changes: object) -> dspy.LM:
    options = {"cache": False, "num_retries": 0, "temperature": 0.0} | changes
    return dspy.LM(model, engine=engine, async_engine=AsyncEngine(engine), **options)


@pytest.fixture
def fresh_cache() -> Iterator[None]:
    before = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    yield
    dspy.cache = before


def test_rows_come_by_role_and_then_by_criteria():
    ledger, source = Ledger(), lm(Engine())
    for role, group in [
        ("editor", ("b",)),
        ("judge", ("b",)),
        ("critic", ("a", "b")),
        ("judge", ("a",)),
        ("judge", ("b",)),
    ]:
        meter(source, ledger, role, group)("q")
    assert [(row.role, row.criteria, row.calls) for row in ledger.rows] == [
        ("judge", ("a",), 1),
        ("judge", ("b",), 2),
        ("critic", ("a", "b"), 1),
        ("editor", ("b",), 1),
    ]
    assert [(row.prompt_tokens, row.completion_tokens) for row in ledger.rows] == [
        (10, 3),
        (20, 6),
        (10, 3),
        (10, 3),
    ]
    assert ledger.calls == 5


def test_a_row_is_json_as_result_json_holds_it():
    ledger = Ledger()
    meter(lm(Engine()), ledger, "critic", ("a", "b"))("q")
    (row,) = ledger.rows
    assert json.loads(json.dumps(row.as_dict())) == {
        "role": "critic",
        "criteria": ["a", "b"],
        "calls": 1,
        "cached": 0,
        "failed": 0,
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "cost": None,
    }


@pytest.mark.usefixtures("fresh_cache")
def test_a_reply_from_the_cache_is_booked_apart_and_costs_nothing():
    engine, ledger = Engine(), Ledger(Budget(max_calls=2))
    metered = meter(lm(engine, "openai/gpt-4o-mini", cache=True), ledger, "judge", GROUP)
    for _ in range(3):
        metered("the same question")
    (row,) = ledger.rows
    assert (row.calls, row.cached, row.failed) == (1, 2, 0)
    assert (row.prompt_tokens, row.completion_tokens) == (10, 3)
    assert row.cost == pytest.approx(10 * 1.5e-7 + 3 * 6e-7)
    assert len(engine.times) == ledger.calls == 1


@pytest.mark.usefixtures("fresh_cache")
@pytest.mark.parametrize(("model", "cost"), [("openai/no-such-model", None), ("openai/gpt-4o", 0)])
def test_nothing_paid_costs_0_dollars_only_where_there_is_a_price(model, cost):
    source, ledger = lm(Engine(), model, cache=True), Ledger()
    source("the same question")
    meter(source, ledger, "judge", GROUP)("the same question")
    (row,) = ledger.rows
    assert (row.calls, row.cached, row.cost) == (0, 1, cost)


@pytest.mark.usefixtures("fresh_cache")
def test_a_warm_cache_lets_many_threads_pass_a_cap_of_one_call():
    source, questions = lm(Engine(), cache=True), [f"q{number}" for number in range(40)]
    in_parallel(source, questions, 8)
    ledger = Ledger(Budget(max_calls=1), max_in_flight=8)
    in_parallel(meter(source, ledger, "judge", GROUP), questions, 8)
    assert (ledger.calls, ledger.rows[0].cached) == (0, 40)


@pytest.mark.parametrize("cached", [True, False])
def test_at_the_cap_a_call_waits_for_the_one_in_flight_which_the_cache_may_answer(cached):
    ledger = Ledger(Budget(max_calls=1))
    first = ledger.depart(PURPOSE, ONE)
    with ThreadPoolExecutor() as pool:
        second = pool.submit(ledger.depart, PURPOSE, ONE)
        time.sleep(0.02)
        assert not second.done()
        usages = [] if cached else [{"prompt_tokens": 1}]
        ledger.book(first, usages, answered=True, lost=False)
        if cached:
            second.result()
        else:
            with pytest.raises(BudgetExhausted):
                second.result()
    assert ledger.calls == 1


def test_a_failed_call_is_booked_as_failed_and_its_error_passes_through():
    ledger = Ledger()
    metered = meter(lm(Engine(lambda number: AuthError("no such key"))), ledger, "coach", GROUP)
    with pytest.raises(dspy.LMAuthError, match="no such key"):
        metered("q")
    (row,) = ledger.rows
    assert (row.calls, row.failed, row.prompt_tokens, ledger.calls) == (0, 1, 0, 1)


def test_an_interrupted_call_was_sent_and_is_booked():
    ledger = Ledger()
    metered = meter(lm(Engine(lambda number: KeyboardInterrupt())), ledger, "coach", GROUP)
    with pytest.raises(KeyboardInterrupt):
        metered("q")
    assert ledger.rows[0].failed == ledger.calls == 1


def failing_first(times: int, error: Callable[[], Exception]) -> Engine:
    return Engine(lambda number: error() if number <= times else None)


def test_each_retry_of_a_rate_limit_counts_once():
    engine = failing_first(2, lambda: RateLimitError("slow down", retry_after=0.0))
    ledger = Ledger()
    meter(lm(engine, num_retries=3), ledger, "critic", GROUP)("q")
    (row,) = ledger.rows
    assert (row.calls, row.failed, len(engine.times), ledger.calls) == (1, 2, 3, 3)


def test_retries_end_with_the_lms_own_number_of_them():
    engine = failing_first(9, lambda: ServerError("down", retry_after=0.0))
    ledger = Ledger()
    with pytest.raises(dspy.LMServerError):
        meter(lm(engine, num_retries=2), ledger, "critic", GROUP)("q")
    assert (len(engine.times), ledger.rows[0].failed) == (3, 3)


@pytest.mark.parametrize("error", [AuthError, ContextLengthError])
def test_what_another_try_cannot_help_is_sent_once(error):
    engine = failing_first(9, lambda: error("no"))
    with pytest.raises(dspy.LMError):
        meter(lm(engine, num_retries=3), Ledger(), "critic", GROUP)("q")
    assert len(engine.times) == 1


def test_a_retry_waits_as_long_as_the_provider_asks():
    engine = failing_first(1, lambda: RateLimitError("slow down", retry_after=0.2))
    meter(lm(engine, num_retries=1), Ledger(), "critic", GROUP)("q")
    first, second = engine.times
    assert 0.2 <= second - first < 1  # it would be a second without the hint


def test_a_call_that_waits_for_its_retry_does_not_hold_a_place_and_the_others_wait_with_it():
    ledger = Ledger(max_in_flight=1)
    engine = failing_first(1, lambda: RateLimitError("slow down", retry_after=0.3))
    limited = meter(lm(engine, num_retries=1), ledger, "critic", GROUP)
    other = Engine()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(limited, "q")
        while not engine.times:
            time.sleep(0.001)
        meter(lm(other), ledger, "coach", GROUP)("q")
        waiting.result()
    assert min(other.times[0], engine.times[1]) - engine.times[0] >= 0.3


def test_a_retry_is_held_to_the_cap_too():
    engine = failing_first(9, lambda: RateLimitError("slow down", retry_after=0.0))
    ledger = Ledger(Budget(max_calls=2))
    with pytest.raises(BudgetExhausted, match="max_calls=2"):
        meter(lm(engine, num_retries=5), ledger, "critic", GROUP)("q")
    assert len(engine.times) == ledger.calls == ledger.rows[0].failed == 2


def test_sixteen_threads_lose_no_call():
    def fail(number: int) -> Exception | None:
        return RateLimitError("slow", retry_after=0.0) if number % 5 == 0 else None

    engine, ledger = Engine(fail), Ledger(max_in_flight=16)
    source = lm(engine, num_retries=9)
    roles = [("judge", "critic", "coach")[number % 3] for number in range(300)]
    in_parallel(lambda role: meter(source, ledger, role, GROUP)("q"), roles, 16)
    assert {row.role: row.calls for row in ledger.rows} == Counter(roles)
    assert sum(row.prompt_tokens for row in ledger.rows) == 3000
    assert sum(row.calls + row.failed for row in ledger.rows) == ledger.calls == len(engine.times)


@settings(max_examples=15)
@given(cap=st.integers(1, 30), threads=st.integers(1, 16), calls=st.integers(0, 30))
def test_the_cap_is_never_passed_and_is_used_up(cap, threads, calls):
    engine, ledger = Engine(), Ledger(Budget(max_calls=cap), max_in_flight=threads)
    metered = meter(lm(engine), ledger, "judge", GROUP)
    if calls <= cap:
        in_parallel(metered, ["q"] * calls, threads)
    else:
        with pytest.raises(BudgetExhausted):
            in_parallel(metered, ["q"] * calls, threads)
    assert len(engine.times) == ledger.calls == min(calls, cap)


@pytest.mark.parametrize("places", [1, 3])
def test_no_more_calls_are_in_flight_than_there_are_places(places):
    engine, ledger = Engine(), Ledger(max_in_flight=places)
    in_parallel(meter(lm(engine), ledger, "judge", GROUP), ["q"] * 24, 12)
    assert 1 <= engine.peak <= places


def test_a_booked_call_leaves_the_users_lm_and_dspy_as_they_were():
    source = lm(Engine(), num_retries=4)
    state, layer = (source.num_retries, dict(source.kwargs)), dict(vars(execution))
    meter(source, Ledger(), "judge", GROUP)("q", temperature=0.9)
    assert (type(source), source.history) == (dspy.LM, [])
    assert (source.num_retries, source.kwargs) == state
    assert dict(vars(execution)) == layer


def test_asynchronous_calls_are_booked_retried_and_capped_alike():
    engine = failing_first(1, lambda: RateLimitError("slow down", retry_after=0.0))
    ledger = Ledger(Budget(max_calls=4), max_in_flight=2)
    metered = meter(lm(engine, num_retries=1), ledger, "judge", GROUP)

    async def ask(calls: int) -> None:
        await asyncio.gather(*(metered.acall("q") for _ in range(calls)))

    asyncio.run(ask(3))
    assert (ledger.rows[0].calls, ledger.rows[0].failed) == (3, 1)
    with pytest.raises(BudgetExhausted):
        asyncio.run(ask(2))
    assert len(engine.times) == 4


def test_the_cost_comes_from_litellms_table():
    ledger = Ledger()
    metered = meter(lm(Engine(), "openai/gpt-4o-mini"), ledger, "judge", GROUP)
    metered("a")
    metered("b")
    assert ledger.rows[0].cost == pytest.approx(20 * 1.5e-7 + 6 * 6e-7)


def test_the_cost_of_a_model_that_nobody_priced_is_unknown_and_not_zero():
    ledger = Ledger()
    meter(lm(Engine(), "toy/x"), ledger, "judge", GROUP)("q")
    assert ledger.rows[0].cost is None
    meter(lm(Engine(), "openai/gpt-4o-mini"), ledger, "judge", GROUP)("q")
    assert ledger.rows[0].cost is None  # a part of it is unknown


def test_a_price_is_found_with_and_without_the_providers_prefix():
    assert price("openai/gpt-4o-mini") == price("gpt-4o-mini") == Price(1.5e-7, 6e-7)
    assert price("toy/no-such-model") is None
    assert price("") is None


def test_an_outer_usage_tracker_still_sees_the_usage():
    ledger, predict = Ledger(), dspy.Predict("question -> answer")
    predict.lm = lm(Engine())
    with dspy.track_usage() as tracker, booked(ledger, "judge", GROUP):
        in_parallel(lambda question: predict(question=question), ["a", "b", "c"], 3)
    assert tracker.get_total_tokens()["toy/x"]["prompt_tokens"] == 30
    assert ledger.rows[0].prompt_tokens == 30


def test_results_come_in_the_order_of_the_items():
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item

    assert in_parallel(slow_first, range(20), 8) == list(range(20))
    assert in_parallel(slow_first, [], 8) == []


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_the_first_error_in_the_order_of_the_items_is_raised(threads):
    started = threading.Barrier(2, timeout=60)

    def fail(item: int) -> None:
        if threads > 1:
            started.wait()
            time.sleep(0.05 if item == 0 else 0)  # the second one fails first
        raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        in_parallel(fail, [0, 1], threads)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("threads", [1, 2])
def test_after_an_error_no_further_item_is_started(error, threads):
    seen = []

    def work(item: int) -> None:
        seen.append(item)
        if item == 0:
            raise error
        time.sleep(0.02)

    with pytest.raises(error):
        in_parallel(work, range(50), threads)
    assert len(seen) < 10


def test_control_c_drops_the_calls_that_wait_and_waits_for_none():
    seen, main = [], threading.main_thread().ident

    def work(item: int) -> None:
        seen.append(item)
        if item == 3:
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.5)
        time.sleep(0.02)

    with pytest.raises(KeyboardInterrupt):
        in_parallel(work, range(50), 2)
    left = [t for t in threading.enumerate() if t.name.startswith("mogradjudge")]
    assert left  # the call in flight
    for thread in left:
        thread.join(60)
    assert len(seen) < 10


def test_an_error_is_raised_only_when_the_calls_in_flight_have_ended():
    ended = []

    def work(item: int) -> None:
        if item == 0:
            raise ValueError
        time.sleep(0.05)
        ended.append(item)

    with pytest.raises(ValueError):
        in_parallel(work, [0, 1], 2)
    assert ended in ([1], [])
    assert not [t for t in threading.enumerate() if t.name.startswith("mogradjudge")]


@pytest.mark.parametrize("threads", [1, 4])
def test_each_call_runs_in_the_callers_context(threads):
    color = contextvars.ContextVar("color", default="none")
    color.set("red")

    def read(item: int) -> tuple[str, object]:
        return color.get(), dspy.settings.max_errors

    with dspy.context(max_errors=77):
        assert in_parallel(read, range(6), threads) == [("red", 77)] * 6


def test_what_a_call_sets_in_its_context_does_not_reach_the_others():
    color = contextvars.ContextVar("color", default="none")

    def paint(item: int) -> str:
        before = color.get()
        color.set(str(item))
        return before

    assert in_parallel(paint, range(12), 2) == ["none"] * 12


def test_many_asynchronous_calls_share_few_places_without_a_deadlock():
    engine = ToyEngine()
    asynchronous = AsyncToy(engine)
    lm = dspy.LM("toy/x", engine=engine, async_engine=asynchronous, temperature=0.0, cache=False)
    ledger = Ledger(max_in_flight=1)
    metered = meter(lm, ledger, "judge", ("a",))

    async def ask() -> None:
        await asyncio.gather(*(metered.acall(f"question {number}") for number in range(24)))

    asyncio.run(asyncio.wait_for(ask(), timeout=60))
    assert ledger.rows[0].calls == 24


class AsyncToy:
    """Answers as another engine does, in a thread of the loop's own pool."""

    def __init__(self, engine: ToyEngine) -> None:
        self.engine = engine

    async def complete(self, request: Request) -> Response:
        return await asyncio.to_thread(self.engine.complete, request)


def test_asynchronous_calls_at_the_cap_end_and_hold_nobody_up():
    class Waiting(AsyncEngine):
        async def complete(self, request: Request) -> Response:
            await asyncio.sleep(0.05)
            return self.engine.complete(request)

    engine, ledger = Engine(), Ledger(Budget(max_calls=1))
    source = dspy.LM("toy/x", engine=engine, async_engine=Waiting(engine), cache=False)
    metered = meter(source, ledger, "judge", GROUP)

    async def ask() -> list[object]:
        calls = [metered.acall("a"), metered.acall("b")]
        return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)

    replies = asyncio.run(ask())
    assert sorted(type(each).__name__ for each in replies) == ["BudgetExhausted", "list"]
    assert len(engine.times) == ledger.calls == 1


def test_asynchronous_calls_are_paid_once_and_answered_by_the_cache_at_the_cap():
    engine, ledger = Engine(), Ledger(Budget(max_calls=2), max_in_flight=2)
    metered = meter(lm(engine, cache=True), ledger, "judge", GROUP)

    async def ask() -> None:
        await asyncio.gather(*(metered.acall(text) for text in "abababab"))
        await metered.acall("a")

    asyncio.run(asyncio.wait_for(ask(), 20))
    assert len(engine.times) == ledger.calls == 2
    (row,) = ledger.rows
    assert (row.calls, row.cached, row.failed) == (2, 7, 0)


def test_a_call_whose_tokens_nobody_told_has_no_cost():
    ledger = Ledger()
    sent = ledger.depart(Purpose("judge", ("a",), "openai/gpt-4o-mini"), ONE)
    ledger.book(sent, [{}], answered=True, lost=False)
    assert ledger.rows[0].calls == 1
    assert ledger.rows[0].cost is None
