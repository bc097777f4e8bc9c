"""One limiter for all threads: places, pauses that everyone keeps, calls per minute."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mogradjudge.errors import BudgetExhausted, RunStopped, SetupError
from mogradjudge.lm import rate_limiter as module
from mogradjudge.lm.rate_limiter import Limiter
from mogradjudge.lm.stop import StopSignal


@pytest.fixture(autouse=True)
def usual_pauses(short_pauses, monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 5.0)


class Clock:
    """A clock that the tests move; waiting moves it too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)

    def wait_in(self, limiter: Limiter) -> None:
        def wait(seconds: float) -> None:
            self.now += seconds

        limiter._changed.wait = wait


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_places_are_given_out_and_come_back():
    limiter = Limiter(2)
    assert limiter.take_now() == limiter.take_now() == 0
    assert limiter.take_now() is None
    limiter.answered()
    assert limiter.take_now() == 0


def test_a_failure_lets_everyone_pause_as_long_as_the_provider_asks(clock):
    limiter = Limiter(8)
    limiter.failed(limiter.take(), 7.0)
    assert limiter.take_now() is None
    clock.now += 6.9
    assert limiter.take_now() is None
    clock.now += 0.2
    assert limiter.take_now() is not None


def test_pauses_double_with_each_failure_up_to_a_limit_and_an_answer_ends_them(clock):
    limiter, pauses = Limiter(8), []
    for _ in range(8):
        before = clock.now
        clock.wait_in(limiter)
        limiter.failed(limiter.take(), None)
        pauses.append(round(limiter._resume_at - clock.now, 3))
        clock.now = max(before, limiter._resume_at)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert limiter.failures == 8
    limiter.take()
    limiter.answered()
    assert limiter.failures == 0


def test_calls_that_were_in_flight_together_fail_as_one(clock):
    limiter = Limiter(8)
    waves = [limiter.take() for _ in range(8)]
    for wave in waves:
        limiter.failed(wave, None)
    assert limiter.failures == 1
    assert limiter._resume_at == pytest.approx(clock.now + 0.1)


def test_a_longer_hint_of_the_same_wave_is_kept_and_a_senseless_one_is_cut(clock):
    limiter = Limiter(8)
    waves = [limiter.take() for _ in range(3)]
    for wave, hint in zip(waves, (1.0, 5.0, 2.0), strict=True):
        limiter.failed(wave, hint)
    assert limiter._resume_at == clock.now + 5
    clock.now += 6
    limiter.failed(limiter.take(), 86_400.0)
    assert limiter._resume_at == clock.now + 60


def test_places_are_halved_by_a_failure_and_come_back_one_by_one(clock):
    limiter = Limiter(8)
    limiter.failed(limiter.take(), None)
    clock.now += 1
    taken = 0
    while limiter.take_now() is not None:
        taken += 1
    assert taken == 4
    limiter.answered()  # gives its place back, and one more
    assert (limiter.take_now(), limiter.take_now(), limiter.take_now()) == (1, 1, None)


def test_no_more_calls_than_max_rpm_go_out_in_any_minute(clock):
    limiter, sent = Limiter(8, max_rpm=5), []
    clock.wait_in(limiter)
    for _ in range(23):
        limiter.take()
        sent.append(clock.now)
        limiter.answered()
    assert all(later - earlier >= 60 for earlier, later in zip(sent, sent[5:], strict=False))
    assert sent[4] == sent[0]  # the first five need not wait
    assert sent[-1] - sent[0] == pytest.approx(240, abs=1)


def test_a_call_that_waits_for_its_place_is_let_go_when_the_run_is_to_stop():
    stop_signal = StopSignal()
    limiter = Limiter(1, stop_signal=stop_signal)
    limiter.take()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(limiter.take)
        time.sleep(0.02)
        assert not waiting.done()
        stop_signal.set("interrupted")
        with pytest.raises(RunStopped, match="interrupted"):
            waiting.result(5)


def test_time_and_a_stop_file_let_no_more_calls_out(tmp_path):
    with pytest.raises(BudgetExhausted, match=r"max_seconds=0\.001"):
        Limiter(1, stop_signal=spent(0.001)).take()
    stop = tmp_path / "stop"
    stop_signal = StopSignal(stop_file=stop)
    stop_signal.check()
    stop.touch()
    stop_signal._look_again = 0.0
    with pytest.raises(RunStopped) as caught:
        stop_signal.check()
    assert caught.value.reason == "stop_file"


def spent(seconds: float) -> StopSignal:
    stop_signal = StopSignal(seconds)
    time.sleep(2 * seconds)
    return stop_signal


@pytest.mark.parametrize(
    ("limits", "message"), [((0,), "max_in_flight"), ((1, 0), "max_rpm"), ((2.5,), "max_in_flight")]
)
def test_a_limit_that_lets_nothing_through_is_refused(limits, message):
    with pytest.raises(SetupError, match=f"`{message}` must be a whole number >= 1"):
        Limiter(*limits)


def test_a_provider_that_asks_for_no_wait_at_all_gets_the_usual_one(clock):
    limiter = Limiter(8)
    limiter.failed(limiter.take(), 0.0)
    assert limiter._resume_at == pytest.approx(clock.now + 0.1)


def test_many_threads_share_the_places_and_none_is_lost(short_pauses, monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    limiter, peak, now, lock = Limiter(3), [0], [0], threading.Lock()

    def call(number: int) -> None:
        wave = limiter.take()
        with lock:
            now[0] += 1
            peak[0] = max(peak[0], now[0])
        time.sleep(0.001)
        with lock:
            now[0] -= 1
        if number % 7:
            limiter.answered()
        else:
            limiter.failed(wave, None)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(call, range(200)))
    assert 1 <= peak[0] <= 3
    assert limiter._in_flight == 0


def test_a_provider_is_down_after_so_many_failures_in_a_row_or_three_that_take_long(clock):
    limiter = Limiter(4)
    clock.wait_in(limiter)
    for _ in range(9):
        limiter.failed(limiter.take(), None)
    assert not limiter.is_down(9)
    limiter.failed(limiter.take(), None)
    assert limiter.is_down(9)
    limiter.take()
    limiter.answered()
    assert not limiter.is_down(0)
    for _ in range(3):
        wave = limiter.take()
        clock.now += 160  # it hangs
        limiter.failed(wave, None)
    assert limiter.is_down(9)


def test_a_provider_that_says_to_come_back_next_year_is_down_after_some_minutes(clock):
    limiter = Limiter(4)
    clock.wait_in(limiter)
    started, attempts = clock.now, 0
    while not limiter.is_down(9):
        limiter.failed(limiter.take(), 3e7)
        attempts += 1
    assert attempts <= 7
    assert clock.now - started < 400


def test_a_provider_that_says_when_to_come_back_is_not_down_for_the_time_it_takes(clock):
    limiter = Limiter(4)
    clock.wait_in(limiter)
    for _ in range(9):
        limiter.failed(limiter.take(), 60.0)
    assert not limiter.is_down(9)
