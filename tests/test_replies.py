"""A call is sent only where the cache has no reply, and one request is paid once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import dspy
import pytest
from dspy.lm15 import Message, Request, Response, ServerError, Usage
from hypothesis import given
from hypothesis import strategies as st

from mogradjudge import limiter
from mogradjudge.budget import Budget
from mogradjudge.concurrency import in_parallel
from mogradjudge.errors import BudgetExhausted, RunStopped
from mogradjudge.ledger import Ledger
from mogradjudge.replies import replies_kept_in
from tests.engines import meter


class Slow:
    """Takes a moment for each request, and counts how often it was asked for each text."""

    supports_response_schema = supports_function_calling = supports_reasoning = False
    supported_params = ("temperature", "max_tokens")

    def __init__(self, seconds: float = 0.01, fail=lambda number: None) -> None:
        self.seconds, self.fail = seconds, fail
        self.asked: list[str] = []
        self._lock = threading.Lock()

    def complete(self, request: Request) -> Response:
        text = request.messages[-1].text
        with self._lock:
            self.asked.append(text)
            number = len(self.asked)
        time.sleep(self.seconds)
        if error := self.fail(number):
            raise error
        usage = Usage(input_tokens=2, output_tokens=1)
        message = Message.assistant(f"reply to {text}")
        return Response(id=None, model="x", message=message, finish_reason="stop", usage=usage)


def source(engine: Slow, **settings: object) -> dspy.LM:
    return dspy.LM("toy/slow", engine=engine, temperature=0.0, **settings)


@given(texts=st.lists(st.sampled_from("abcd"), min_size=1, max_size=24), threads=st.integers(1, 12))
def test_each_request_is_paid_once_for_any_number_of_threads(texts, threads):
    engine, ledger = Slow(0.001), Ledger(max_in_flight=threads)
    with replies_kept_in(None):
        replies = in_parallel(meter(source(engine), ledger, "judge", ("x",)), texts, threads)
    assert [reply[0] for reply in replies] == [f"reply to {text}" for text in texts]
    assert sorted(engine.asked) == sorted(set(texts))
    (row,) = ledger.rows
    assert (row.calls, row.cached, row.failed) == (len(set(texts)), len(texts) - row.calls, 0)


def test_where_the_first_of_two_equal_calls_fails_the_second_is_sent(monkeypatch):
    monkeypatch.setattr(limiter, "FIRST_PAUSE", 0.0)
    engine = Slow(fail=lambda number: ServerError("down") if number == 1 else None)
    ledger = Ledger()
    with replies_kept_in(None):
        calls = in_parallel(
            lambda text: attempt(
                meter(source(engine, num_retries=0), ledger, "judge", ("x",)), text
            ),
            ["same", "same"],
            2,
        )
    assert sorted(map(str, calls)) == ["LMServerError", "reply to same"]
    assert len(engine.asked) == 2


def attempt(lm: dspy.LM, text: str) -> str:
    try:
        return str(lm(text)[0])
    except dspy.LMServerError:
        return "LMServerError"


def test_without_a_cache_equal_calls_are_all_sent_and_do_not_wait_for_each_other():
    engine, ledger = Slow(0.05), Ledger()
    started = time.monotonic()
    in_parallel(meter(source(engine, cache=False), ledger, "judge", ("x",)), ["same"] * 8, 8)
    assert len(engine.asked) == ledger.calls == 8
    assert time.monotonic() - started < 8 * 0.05


def test_a_cached_reply_takes_no_place_no_turn_and_no_budget():
    engine = Slow()
    with replies_kept_in(None):
        in_parallel(source(engine), ["a", "b", "c"], 3)
        ledger = Ledger(Budget(max_calls=1), max_in_flight=1, max_rpm=1)
        metered = meter(source(engine), ledger, "judge", ("x",))
        ledger.limiter.take()  # the only place, and the only turn of this minute
        assert [metered(text)[0] for text in "abcabc"] == [f"reply to {text}" for text in "abcabc"]
        assert (ledger.calls, ledger.rows[0].cached) == (0, 6)


def test_at_the_cap_the_cache_still_answers():
    engine = Slow()
    with replies_kept_in(None):
        ledger = Ledger(Budget(max_calls=2))
        metered = meter(source(engine), ledger, "judge", ("x",))
        metered("a"), metered("b")
        with pytest.raises(BudgetExhausted):
            metered("c")
        assert metered("a")[0] == "reply to a"


def test_a_call_that_waits_for_an_equal_one_is_let_go_when_the_run_is_to_stop():
    engine, ledger = Slow(0.5), Ledger()
    metered = meter(source(engine), ledger, "judge", ("x",))
    with replies_kept_in(None), ThreadPoolExecutor() as pool:
        first = pool.submit(metered, "same")
        while not engine.asked:
            time.sleep(0.001)
        second = pool.submit(metered, "same")
        time.sleep(0.05)
        ledger.brake.pull("interrupted")
        with pytest.raises(RunStopped):
            second.result(5)
        assert first.result(5) == ["reply to same"]  # what is in flight ends


def test_the_cache_of_the_program_around_us_is_as_usable_as_before():
    before = dspy.cache
    engine, ledger = Slow(), Ledger()
    meter(source(engine), ledger, "judge", ("x",))("a")
    assert source(engine)("a") == ["reply to a"]
    assert len(engine.asked) == 1
    assert len(dspy.cache.memory_cache) == len(before.memory_cache) == 1
    dspy.cache.reset_memory_cache()
    source(engine)("a")
    assert len(engine.asked) == 2


def test_a_setting_of_the_cache_still_reaches_it():
    meter(source(Slow()), Ledger(), "judge", ("x",))("a")
    dspy.cache.enable_memory_cache = False
    try:
        engine = Slow()
        for _ in range(2):
            source(engine)("b")
        assert len(engine.asked) == 2
    finally:
        dspy.cache.enable_memory_cache = True


def test_another_cache_in_mid_run_is_used_from_then_on():
    engine, ledger = Slow(), Ledger()
    metered = meter(source(engine), ledger, "judge", ("x",))
    metered("a")
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    metered("a"), metered("a")
    assert len(engine.asked) == ledger.calls == 2


def test_a_call_that_nobody_was_told_of_is_booked_all_the_same(monkeypatch):
    engine, ledger = Slow(), Ledger()
    metered = meter(source(engine), ledger, "judge", ("x",))
    metered("a")
    monkeypatch.setattr(type(dspy.cache), "get", lambda *args: None)  # it tells nobody any more
    metered("b")
    assert len(engine.asked) == ledger.calls == ledger.rows[0].calls == 2


def test_an_lm_that_dspy_does_not_cache_is_held_to_the_cap_as_well():
    class Own(dspy.LM):
        def forward(self, prompt=None, messages=None, **kwargs):
            return super().forward(prompt, messages, **kwargs)

    engine = Slow()
    ledger = Ledger(Budget(max_calls=2))
    lm = meter(Own("toy/slow", engine=engine, temperature=0.0), ledger, "judge", ("x",))
    with pytest.raises(BudgetExhausted), pytest.warns(DeprecationWarning):
        in_parallel(lm, ["a", "b", "c"], 1)
    assert len(engine.asked) == 2
