"""Caps on calls, tokens, dollars and time: never passed, never silently without effect."""

import threading
import time

import dspy
import pytest
from dspy.lm15 import Message, Request, Response, Usage
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.worlds.world import ToyEngine, toy_examples, toy_lm, toy_rubric
from mogradjudge import Budget, MOGrad, MultiCriteriaJudge, SetupError
from mogradjudge.concurrency import in_parallel
from mogradjudge.errors import BudgetExhausted
from mogradjudge.lm.budget import largest, longest_reply
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.pricing import price
from tests.engines import meter

RUBRIC = toy_rubric("coherence", "fluency")
EXAMPLES = toy_examples(RUBRIC, 14)
MODEL = "openai/gpt-4o-mini"


class Talker:
    """Answers each request with as many tokens as ``talk`` says, and adds up what it charged."""

    supports_response_schema = supports_function_calling = supports_reasoning = False
    supported_params = ("temperature", "max_tokens")

    def __init__(self, talk=lambda number: 20) -> None:
        self.talk = talk
        self.tokens = self.calls = 0
        self.cost = 0.0
        self._lock = threading.Lock()

    def complete(self, request: Request) -> Response:
        with self._lock:
            self.calls += 1
            sent, told = len(request.messages[-1].text), self.talk(self.calls)
            self.tokens += sent + told
            self.cost += price(MODEL).of(sent, told)
        time.sleep(0.0005)
        usage = Usage(input_tokens=sent, output_tokens=told)
        message = Message.assistant("yes")
        return Response(id=None, model="x", message=message, finish_reason="stop", usage=usage)


def talking(engine: Talker, **changes: object) -> dspy.LM:
    options = {"cache": False, "temperature": 0.0, "max_tokens": 50} | changes
    return dspy.LM(MODEL, engine=engine, **options)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    cap=st.integers(200, 6000),
    threads=st.integers(1, 8),
    talk=st.lists(st.integers(0, 50), min_size=5, max_size=5),
)
def test_the_cap_on_tokens_is_never_passed_and_used_but_for_one_call(cap, threads, talk):
    engine = Talker(lambda number: talk[number % 5])
    ledger = Ledger(Budget(max_tokens=cap), max_in_flight=threads)
    lm = talking(engine)
    question = "how many? " * 3
    with pytest.raises(BudgetExhausted, match=f"max_tokens={cap}"):
        in_parallel(meter(lm, ledger, "judge", ("a",)), [question] * 2000, threads)
    assert engine.tokens <= cap
    weight = largest(lm, [question, lm.kwargs, {}], None).tokens
    assert engine.tokens > cap - weight


@pytest.mark.parametrize("threads", [1, 8])
def test_the_cap_on_dollars_is_never_passed(threads):
    engine, cap = Talker(), 0.002
    ledger = Ledger(Budget(max_cost=cap), max_in_flight=threads)
    with pytest.raises(BudgetExhausted, match=r"max_cost=0\.002"):
        in_parallel(meter(talking(engine), ledger, "judge", ("a",)), ["q" * 40] * 2000, threads)
    assert 0.9 * cap < engine.cost <= cap
    assert ledger.rows[0].cost == pytest.approx(engine.cost)


def test_a_call_that_may_have_been_billed_counts_as_large_as_it_can_be():
    class Hanging(Talker):
        def complete(self, request: Request) -> Response:
            super().complete(request)
            raise dspy.LMTimeoutError("no answer")

    engine = Hanging()
    ledger = Ledger(Budget(max_tokens=1000))
    with pytest.raises(dspy.LMTimeoutError):
        meter(talking(engine, num_retries=0), ledger, "judge", ("a",))("q" * 100)
    assert ledger._spent.tokens >= 150
    assert ledger.rows[0].prompt_tokens == 0  # nobody reported any


def test_a_cap_on_dollars_without_a_price_is_refused_at_the_start():
    engine = ToyEngine()
    with (
        dspy.context(lm=toy_lm(engine)),
        pytest.raises(SetupError, match=r"`max_cost` needs each model's price.*'toy/world'"),
    ):
        MOGrad(budget=Budget(max_cost=1.0)).compile(
            MultiCriteriaJudge(RUBRIC), trainset=EXAMPLES[:6], valset=EXAMPLES[6:]
        )
    assert not engine.calls


def test_a_cap_on_tokens_needs_the_longest_reply():
    lm = toy_lm()
    assert longest_reply(lm) is None
    with pytest.raises(SetupError, match="longest reply of 'toy/world'"):
        Budget(max_tokens=10).check(lm)
    Budget(max_tokens=100).check(lm.copy(max_tokens=5))
    Budget(max_tokens=20_000, max_cost=1.0).check(dspy.LM(MODEL))
    assert longest_reply(dspy.LM(MODEL)) == 16384


def test_the_time_ends_a_run_in_order():
    class Slow(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            time.sleep(0.01)
            return super().answer(system, user)

    engine = Slow()
    with dspy.context(lm=toy_lm(engine)):
        result = MOGrad(steps=500, budget=Budget(max_seconds=0.5), num_threads=2).optimize(
            MultiCriteriaJudge(RUBRIC), trainset=EXAMPLES[:6], valset=EXAMPLES[6:]
        )
    assert result.stop_reason == "budget"
    assert result.calls == engine.calls.total()
    assert len(result.steps) < 500


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        ({"max_calls": 0}, "`max_calls` must be a whole number >= 1 or None, got 0"),
        ({"max_calls": True}, "`max_calls`"),
        ({"max_tokens": 2.5}, "`max_tokens` must be a whole number"),
        ({"max_cost": 0}, "`max_cost` must be a number above 0 or None, got 0"),
        ({"max_cost": float("inf")}, "`max_cost`"),
        ({"max_cost": float("nan")}, "`max_cost`"),
        ({"max_seconds": -1}, "`max_seconds`"),
        ({"max_seconds": "1h"}, "`max_seconds` must be a number above 0 or None, got '1h'"),
    ],
)
def test_a_cap_that_is_none_is_refused(caps, message):
    with pytest.raises(SetupError, match=message):
        Budget(**caps)


def test_a_run_ends_at_its_target():
    result = optimize(target=-1.0)
    assert (result.stop_reason, len(result.steps)) == ("target", 0)
    later = optimize(target=1.0)  # the toy judge agrees in all after two steps
    assert (later.stop_reason, len(later.steps)) == ("target", 2)


def test_a_run_ends_when_it_finds_nothing_better_for_a_while():
    class Idle(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            return super().answer(system, user).replace("lower", "keep").replace("raise", "keep")

    result = optimize(Idle(), patience=2)
    assert (result.stop_reason, len(result.steps), result.seed_kept) == ("patience", 2, True)


def optimize(engine: ToyEngine | None = None, **changes: object):
    with dspy.context(lm=toy_lm(engine)):
        return MOGrad(steps=8, **changes).optimize(
            MultiCriteriaJudge(RUBRIC), trainset=EXAMPLES[:6], valset=EXAMPLES[6:]
        )


def test_a_cap_below_one_call_is_refused_at_the_start():
    with pytest.raises(SetupError, match=r"16384 tokens.*max_cost=0\.004"):
        Budget(max_cost=0.004).check(dspy.LM(MODEL))
    Budget(max_cost=0.004).check(dspy.LM(MODEL, max_tokens=100))
    with pytest.raises(SetupError, match=r"max_tokens=50 "):
        Budget(max_tokens=50).check(dspy.LM("toy/x", engine=Talker(), max_tokens=60))


def test_a_price_of_nothing_is_none_and_long_prompts_have_their_own():
    assert price("gigachat/GigaChat-2-Max") is None
    tiered = price("gemini/gemini-2.5-pro")
    assert tiered.of(200_000, 0) == pytest.approx(200_000 * tiered.prompt)
    (least, dearer), *_ = tiered.above
    assert least == 200_000
    assert tiered.of(300_000, 1000) == dearer.of(300_000, 1000) > 300_000 * tiered.prompt


def test_the_cost_is_that_of_each_call_and_not_of_their_sum(monkeypatch):
    engine, ledger = Talker(), Ledger()
    monkeypatch.setattr("mogradjudge.lm.pricing._entry", lambda model: TIERED)
    metered = meter(talking(engine), ledger, "judge", ("a",))
    for _ in range(3):
        metered("q" * 600)  # each below the limit that their sum is above
    assert ledger.rows[0].cost == pytest.approx(3 * (600 * 0.001 + 20 * 0.002))


TIERED = {
    "input_cost_per_token": 0.001,
    "output_cost_per_token": 0.002,
    "input_cost_per_token_above_1k_tokens": 1.0,
    "output_cost_per_token_above_1k_tokens": 1.0,
}
