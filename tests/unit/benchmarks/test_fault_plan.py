"""The faulty server itself: what it fails is a function of the requests, whatever their order."""

import http.client
import json
import random
import threading
import time
from collections import Counter

import dspy
import pytest
from dspy.utils.exceptions import LMInvalidRequestError

from benchmarks.worlds.fault_plan import FaultPlan
from benchmarks.worlds.planted import planted_examples, planted_rubric
from benchmarks.worlds.serve import WORLDS
from benchmarks.worlds.server import ToyServer, serving
from mogradjudge import Criterion, MultiCriteriaJudge, Rubric

MIXED = FaultPlan.parse("429=0.2,500=0.1,dropped=0.1,unreadable=0.1,cut=0.1", 7, retry_after=0.25)


def ask(server: ToyServer, text: str, timeout: float = 5.0) -> tuple[int, dict, dict]:
    """Send one attempt; a broken reply has the status 0."""
    connection = http.client.HTTPConnection(*server.server_address, timeout=timeout)
    body = {"model": "toy", "messages": [{"role": "user", "content": text}]}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read()), dict(reply.headers)
    except (http.client.IncompleteRead, TimeoutError):
        return 0, {}, {}
    finally:
        connection.close()


def until_answered(server: ToyServer, text: str) -> tuple[int, str]:
    for attempt in range(100):
        status, body, _ = ask(server, text)
        if status == 200:
            return attempt, body["choices"][0]["message"]["content"]
    raise AssertionError("never answered")


def outcomes(order: list[str]) -> tuple[dict[str, tuple[int, str]], Counter[str]]:
    found = {}
    with serving(faults=MIXED) as server:

        def work(mine: list[str]) -> None:
            for text in mine:
                found[text] = until_answered(server, text)

        threads = [threading.Thread(target=work, args=(order[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(server.answers.values()) == {1} and len(server.answers) == len(order)
        return found, server.served


def test_what_fails_does_not_depend_on_the_order_of_the_attempts():
    texts = [f"text {number}" for number in range(60)]
    shuffled = random.Random(0).sample(texts, len(texts))
    assert outcomes(texts) == outcomes(shuffled)


def test_the_shares_are_those_of_the_plan():
    draws = Counter(MIXED.attempt(f"{number}", 0) for number in range(5000))
    assert draws["429"] / 5000 == pytest.approx(0.2, abs=0.02)
    assert draws["dropped"] / 5000 == pytest.approx(0.1, abs=0.02)
    assert draws[None] / 5000 == pytest.approx(0.6, abs=0.02)
    spoiled = Counter(MIXED.reply(f"{number}") for number in range(5000))
    assert spoiled["cut"] / 5000 == pytest.approx(0.1, abs=0.02)


def test_a_429_says_how_long_to_wait():
    with serving(faults=FaultPlan.parse("429", retry_after=0.25)) as server:
        status, body, headers = ask(server, "text")
    assert (status, headers["Retry-After"]) == (429, "0.25")
    assert body["error"]["code"] == "rate_limit_exceeded"


def test_a_cut_reply_says_so():
    with serving(faults=FaultPlan.parse("cut")) as server:
        _, body, _ = ask(server, "text")
        assert server.served == {"cut": 1}
    assert body["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("gives_up", [True, False])
def test_a_hang_ends_when_client_or_server_does(gives_up):
    before = threading.active_count()
    with serving(faults=FaultPlan.parse("hang")) as server:
        if gives_up:
            assert ask(server, "text", timeout=0.1)[0] == 0
        else:
            thread = threading.Thread(target=lambda: ask_until_closed(server))
            thread.start()
            while not server.served:
                time.sleep(0.01)
    patience = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < patience:
        time.sleep(0.01)
    assert threading.active_count() == before


def ask_until_closed(server: ToyServer) -> None:
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(server, "text", timeout=30)


def test_a_reset_forgets_what_was_seen():
    with serving(faults=MIXED) as server:
        first = until_answered(server, "text")
        server.reset()
        assert (server.served, server.answers) == ({}, {})
        assert until_answered(server, "text") == first


@pytest.mark.parametrize("text", ["weather=0.1", "429=0.6,500=0.6", "429=-0.1"])
def test_a_plan_that_cannot_be_is_refused(text):
    with pytest.raises(ValueError, match=r"must be"):
        FaultPlan.parse(text)


@pytest.mark.parametrize("world", ["planted", "real", "favoured", "steady"])
@pytest.mark.parametrize(
    ["criterion", "text", "part"],
    [
        (Criterion("fluency", "Is it fluent?"), "A text of mine.", "fluency=4"),
        (Criterion("wit", "Is it witty?"), "A text: wit=4", "wit"),
        (Criterion("fluency", "Is it fluent?", scale=(1, 10)), "A text: fluency=4", "from 1 to 5"),
    ],
)
def test_a_text_that_is_not_of_the_world_is_a_bad_request(world, criterion, text, part):
    judge = MultiCriteriaJudge(Rubric(["output"], [criterion]))
    with serving(world=WORLDS[world]()) as server:
        lm = dspy.LM("openai/toy", api_base=server.url, api_key="none", cache=False, num_retries=0)
        with dspy.context(lm=lm), pytest.raises(LMInvalidRequestError, match=part):
            judge(output=text)
        own = planted_examples(planted_rubric("fluency"), 1, 1)[0].output
        with dspy.context(lm=lm):
            rating = MultiCriteriaJudge(planted_rubric("fluency"))(output=own)
        assert rating.fluency in range(1, 6)
