"""Whichever way a program calls an LM, each attempt is booked and held to the caps."""

import asyncio
import copy
import functools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import dspy
import pytest
from dspy.clients import base_lm, execution, model_metadata
from dspy.clients.base_lm import GLOBAL_HISTORY
from dspy.lm15 import Config, Message, RateLimitError, Request

from benchmarks.worlds.server import serving
from benchmarks.worlds.world import ToyEngine, toy_examples, toy_rubric
from mogradjudge import Budget, MOGrad, MultiCriteriaJudge
from mogradjudge.errors import BudgetExhausted, SetupError
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import booked
from mogradjudge.lm.models import make_lm
from mogradjudge.scoring.evaluate import judge_table
from tests.engines import fake_lm
from tests.loud import LOUD, QUESTIONS, LoudEngine, loud_lm, optimize


class Anything(LoudEngine):
    """Answers also what asks for no fields, and in pieces."""

    def answer(self, request: Request) -> str:
        return super().answer(request) if request.system else "yes"

    def stream(self, request: Request) -> object:
        return dspy.lm15.response_to_events(self.complete(request))


ENGINE = Anything()
"""Of all LMs that the programs below make, choose or hold."""
OWN = loud_lm(ENGINE)


class Asking(dspy.Module):
    """Has one predictor and does with it what a function says; holds an LM in odd places."""

    def __init__(self, ask: Callable[["Asking", str], object]) -> None:
        super().__init__()
        self.say = dspy.Predict("question -> answer")
        self.ask = ask
        self.plain = SimpleNamespace(lms=[loud_lm(ENGINE)])
        held = loud_lm(ENGINE)
        self.closure = lambda text: held(text)

    def forward(self, question: str) -> dspy.Prediction:
        self.ask(self, question)
        return self.say(question=question)


def made(program: Asking, question: str) -> None:
    program.say(question=question, lm=loud_lm(ENGINE))


def in_context(program: Asking, question: str) -> None:
    with dspy.context(lm=OWN):
        program.say(question=question)


def at_the_call(program: Asking, question: str) -> None:
    program.say(question=question, lm=OWN)


def directly(program: Asking, question: str) -> None:
    OWN(question)


def of_a_copy(program: Asking, question: str) -> None:
    copy.deepcopy(OWN.copy(temperature=1.0))(question)


def of_a_plain_object(program: Asking, question: str) -> None:
    program.plain.lms[0](question)


def of_a_closure(program: Asking, question: str) -> None:
    program.closure(question)


def with_a_request(program: Asking, question: str) -> None:
    OWN(Request(model=OWN.model, messages=(Message.user(question),), config=Config()))


def by_forward(program: Asking, question: str) -> None:
    dspy.settings.lm.forward(question)


def by_aforward(program: Asking, question: str) -> None:
    asyncio.run(dspy.settings.lm.aforward(question))


def by_acall(program: Asking, question: str) -> None:
    asyncio.run(OWN.acall(question))


def by_parallel(program: Asking, question: str) -> None:
    calls = [(program.say, {"question": f"{question} {n}", "lm": OWN}) for n in range(2)]
    dspy.Parallel(num_threads=2, disable_progress_bar=True)(calls)


def by_a_plain_pool(program: Asking, question: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(OWN, [question, f"{question} again"]))


def by_a_plain_thread(program: Asking, question: str) -> None:
    def ask() -> None:
        with suppress(BudgetExhausted):
            OWN(question)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()


def by_asyncify(program: Asking, question: str) -> None:
    asyncio.run(dspy.asyncify(program.say)(question=question, lm=OWN))


def by_streamify(program: Asking, question: str) -> None:
    list(dspy.streamify(program.say, async_streaming=False)(question=question, lm=OWN))


def by_a_two_step_adapter(program: Asking, question: str) -> None:
    with dspy.context(adapter=dspy.TwoStepAdapter(OWN)):
        program.say(question=question)


def by_an_adapter_of_its_own(program: Asking, question: str) -> None:
    class Polite(dspy.ChatAdapter):
        def __call__(self, lm: dspy.BaseLM, *others: object, **options: object) -> object:
            OWN("Please.")
            return super().__call__(lm, *others, **options)

    with dspy.context(adapter=Polite()):
        program.say(question=question)


class Fallback(dspy.BaseLM):
    """Sends in a way of its own: each question to two LMs."""

    def forward(self, prompt: object = None, messages: object = None, **options: object) -> object:
        OWN.forward(prompt, messages)
        return OWN.forward(prompt, messages)


class Wire(dspy.BaseLM):
    """Sends past DSPy."""

    def forward(self, prompt: object = None, messages: object = None, **options: object) -> object:
        reply = ENGINE.complete(Request(model="wire", messages=(Message.user("is it a"),)))
        choice = SimpleNamespace(message=SimpleNamespace(content=reply.message.text))
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        return SimpleNamespace(choices=[choice], usage=usage, model="wire")

    async def aforward(self, *inputs: object, **options: object) -> object:
        return self.forward(*inputs, **options)


class Phone(Wire):
    def __call__(self, prompt: object = None, messages: object = None, **options: object) -> object:
        return [self.forward(prompt, messages).choices[0].message.content]

    async def acall(self, *inputs: object, **options: object) -> object:
        return self(*inputs, **options)


class Mixin:
    """Is no LM's class, and sends for those that are made with it."""

    __call__, acall = Phone.__call__, Phone.acall
    forward, aforward = Wire.forward, Wire.aforward


class Mixed(Mixin, dspy.BaseLM):
    pass


class Told(Mixed):
    pass


class Ringing:
    def __call__(self, prompt: object = None, **options: object) -> object:
        request = Request(model="wire", messages=(Message.user("is it a"),))
        return [ENGINE.complete(request).message.text]


class Partial(dspy.BaseLM):
    __call__ = Ringing()
    forward = functools.partialmethod(Wire.forward)


class Counted(dspy.LM):
    def __call__(self, *inputs: object, **options: object) -> object:
        return super().__call__(*inputs, **options)


def of_an_lm_that_asks_two(program: Asking, question: str) -> None:
    Fallback("own/fallback").forward(question)


def of_an_old_class(program: Asking, question: str) -> None:
    Wire("own/wire").forward(question)
    asyncio.run(Wire("own/wire").aforward(question))


def of_a_class_that_is_called_its_own_way(program: Asking, question: str) -> None:
    Phone("own/phone")(question)
    asyncio.run(Phone("own/phone").acall(question))


def of_a_class_with_a_mixin(program: Asking, question: str) -> None:
    for kind in (Mixed, Told):
        kind("own/mixed")(question)
        asyncio.run(kind("own/mixed").acall(question))
        kind("own/mixed").forward(question)


def of_a_class_with_other_callables(program: Asking, question: str) -> None:
    Partial("own/partial")(question)
    Partial("own/partial").forward(question)


def of_a_class_that_hands_on(program: Asking, question: str) -> None:
    Counted("own/counted", engine=ENGINE, cache=False)(question)


WAYS = [
    made,
    in_context,
    at_the_call,
    directly,
    of_a_copy,
    of_a_plain_object,
    of_a_closure,
    with_a_request,
    by_forward,
    by_aforward,
    by_acall,
    by_parallel,
    by_a_plain_pool,
    by_a_plain_thread,
    by_asyncify,
    by_streamify,
    by_a_two_step_adapter,
    by_an_adapter_of_its_own,
    of_an_lm_that_asks_two,
    of_an_old_class,
    of_a_class_that_is_called_its_own_way,
    of_a_class_with_a_mixin,
    of_a_class_with_other_callables,
    of_a_class_that_hands_on,
]
GIVE_TEXTS = {
    of_a_class_that_is_called_its_own_way,
    of_a_class_with_a_mixin,
    of_a_class_with_other_callables,
}
"""And no usage."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("ask", WAYS)
def test_each_way_to_call_an_lm_is_booked_and_capped(ask):
    ENGINE.requests.clear()
    whole = optimize(Asking(ask), ENGINE, num_threads=2)
    assert whole.calls == sum(row.calls for row in whole.ledger) == len(ENGINE.requests) > 18
    if ask not in GIVE_TEXTS:
        assert sum(row.prompt_tokens for row in whole.ledger) == whole.calls
    ENGINE.requests.clear()
    capped = optimize(Asking(ask), ENGINE, num_threads=2, budget=Budget(max_calls=7))
    assert (capped.stop_reason, capped.calls, len(ENGINE.requests)) == ("budget", 7, 7)


def answered_in_forward(look: Callable[[], object]) -> list[object]:
    """Say what a look at the histories gives in a program, after each of its calls."""
    seen: list[object] = []

    def ask(program: Asking, question: str) -> None:
        OWN(question)
        seen.append(look())

    optimize(Asking(ask), ENGINE, num_threads=1)
    return seen


def test_a_program_may_look_up_its_last_call():
    for history in (lambda: OWN.history, lambda: GLOBAL_HISTORY):
        seen = answered_in_forward(lambda history=history: history()[-1]["prompt"])
        assert set(seen) < {example.question for example in QUESTIONS}
    assert OWN.history == []


def test_histories_keep_the_users_calls_and_the_last_of_a_run_and_are_cleared_of_it(monkeypatch):
    monkeypatch.setattr("mogradjudge.lm.dspy_records.REMEMBERED", 3)
    OWN("before")
    earlier, whole = list(OWN.history), list(GLOBAL_HISTORY)
    lengths = answered_in_forward(lambda: (len(OWN.history), len(GLOBAL_HISTORY) - len(whole)))
    assert max(own for own, _ in lengths) <= 1 + 3
    assert max(of_all for _, of_all in lengths) == 3
    assert (OWN.history, GLOBAL_HISTORY) == (earlier, whole)
    OWN.history.clear()


def test_who_keeps_no_history_keeps_none():
    with dspy.context(disable_history=True):
        assert set(answered_in_forward(lambda: len(OWN.history))) == {0}


def test_a_request_for_several_replies_to_an_engine_is_several_calls():
    engine, ledger = Anything(), Ledger(Budget(max_calls=5))
    lm = fake_lm(engine, n=3)
    with booked(ledger, "judge", ("a",)):
        assert len(lm("is it a")) == 3
        with pytest.raises(BudgetExhausted):
            lm("is it b")
    assert len(engine.requests) == ledger.calls == 5
    assert ledger.rows[0].completion_tokens == 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("cap", [{"max_tokens": 900}, {"max_cost": 900 * 6e-7}])
def test_all_replies_of_one_call_are_weighed_before_it_is_sent(cap):
    sent: list[int] = []

    class Several(dspy.BaseLM):
        def forward(self, prompt=None, messages=None, **options):
            sent.append(options["n"])
            message = SimpleNamespace(content="yes")
            choices = [SimpleNamespace(message=message)] * options["n"]
            usage = {"prompt_tokens": 1, "completion_tokens": 100 * options["n"]}
            return SimpleNamespace(choices=choices, usage=usage, model="several")

    ledger = Ledger(Budget(**cap))
    lm = Several("openai/gpt-4o-mini", max_tokens=100)
    with booked(ledger, "judge", ("a",)):
        assert len(lm("q", n=3)) == 3
        with pytest.raises(BudgetExhausted):
            lm("q", n=8)
    assert sent == [3]
    assert ledger.rows[0].completion_tokens == 300


@pytest.mark.parametrize("cap", [{"max_tokens": 9000}, {"max_cost": 1.0}])
def test_an_lm_that_no_cap_can_hold_is_refused_where_the_program_makes_it(cap):
    def ask(program: Asking, question: str) -> None:
        loud_lm(ENGINE)(question)

    ENGINE.requests.clear()
    lm = fake_lm(LoudEngine(), max_tokens=10)
    lm.model = "openai/gpt-4o-mini"
    settings = {"lm": lm, "adapter": dspy.ChatAdapter()}
    with dspy.context(**settings), pytest.raises(SetupError, match="'fake/model'"):
        MOGrad(objectives=[LOUD], steps=1, budget=Budget(**cap)).optimize(
            Asking(ask), trainset=QUESTIONS[:4], valset=QUESTIONS[4:]
        )
    assert ENGINE.requests == []


def test_our_retries_and_dspys_do_not_multiply():
    def refuse(request: Request) -> str:
        raise RateLimitError("slow down", retry_after=0.0)

    engine, ledger = LoudEngine(), Ledger()
    engine.reply = refuse
    with booked(ledger, "judge", ("a",)), pytest.raises(dspy.LMRateLimitError):
        fake_lm(engine, num_retries=2)("q")
    assert len(engine.requests) == ledger.rows[0].failed == 3
    with pytest.raises(dspy.LMRateLimitError):  # outside, DSPy's own are back
        fake_lm(engine, num_retries=1)("q")
    assert len(engine.requests) == 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("call", [lambda lm: lm("q"), lambda lm: asyncio.run(lm.acall("q"))])
def test_an_lm_of_a_class_of_its_own_is_retried_too(call):
    class Busy(Phone):
        def forward(self, *inputs: object, **options: object) -> object:
            tries.append(1)
            if len(tries) < 3:
                raise dspy.LMRateLimitError("slow down", model=self.model, retry_after=0.0)
            return super().forward(*inputs, **options)

    tries: list[int] = []
    ledger = Ledger()
    with booked(ledger, "judge", ("a",)):
        assert call(Busy("own/busy")) == ["yes"]
    assert (ledger.rows[0].failed, ledger.rows[0].calls, len(tries)) == (2, 1, 3)


def test_dspys_own_is_put_back_when_the_last_run_ends_however_it_ends():
    def places() -> list[object]:
        kinds = (Wire, Phone, Mixed, Told, Partial)
        own = [vars(kind).get(name) for kind in kinds for name in ("forward", "__call__")]
        return [*vars(execution).values(), base_lm.record_history, *own]

    before, inner = places(), threading.Barrier(2, timeout=60)

    def run() -> None:
        with booked(Ledger(), "judge", ("a",)):
            inner.wait()

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ZeroDivisionError), booked(Ledger(), "judge", ("a",)):
            other = pool.submit(run)
            raise ZeroDivisionError
        assert places() != before
        inner.wait()
        other.result()
    assert places() == before


def test_a_call_outside_of_the_run_is_warned_of_once_and_let_be(caplog):
    with ThreadPoolExecutor(1) as pool, caplog.at_level(logging.WARNING, "mogradjudge"):
        pool.submit(OWN, "before").result()
        assert caplog.records == []
        ENGINE.requests.clear()
        result = optimize(Asking(lambda _, question: pool.submit(OWN, question).result()), ENGINE)
    assert [record.name for record in caplog.records] == ["mogradjudge.lm.metering"]
    assert result.calls == len(ENGINE.requests) - 9


def test_a_thread_that_outlives_its_run_is_let_be(caplog):
    ledger = Ledger(Budget(max_calls=1))
    with ThreadPoolExecutor(1) as pool:
        with booked(ledger, "judge", ("a",)):
            pool.submit(OWN, "q").result()
        for _ in range(2):
            pool.submit(OWN, "q").result()
    assert ledger.calls == 1
    assert caplog.records == []


def test_a_judge_in_a_program_is_booked_under_its_own_criteria():
    engine, rubric = ToyEngine(), toy_rubric("a", "b")
    judge, ledger = MultiCriteriaJudge(rubric, layout="separate"), Ledger()
    lm = dspy.LM("toy/x", engine=engine, temperature=0.0, cache=False)
    with dspy.context(lm=lm):
        judge_table(judge, toy_examples(rubric, 4), ledger, 2)
    assert {row.criteria: row.calls for row in ledger.rows} == {("a",): 4, ("b",): 4}


class Catalogue(dict):
    """DSPy's catalogue of models; counts how often it is read from end to end."""

    scans = 0

    def items(self):
        self.scans += 1
        return super().items()


def test_dspys_catalogue_is_not_read_for_each_call(monkeypatch):
    catalogue = Catalogue(model_metadata._snapshot())
    monkeypatch.setattr(model_metadata, "_data", catalogue)
    rubric = toy_rubric("fluency")
    texts = toy_examples(rubric, 6)
    with serving() as server, dspy.context(lm=make_lm("openai/of-my-own", server.url)):
        judge_table(MultiCriteriaJudge(rubric), texts, Ledger(), 1)
        assert server.calls["judge"] == 6
    assert catalogue.scans <= 1
