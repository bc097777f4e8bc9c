"""A call is sent only where the cache has no reply, and one request is paid once."""

import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import dspy
import pytest
from dspy._vendor.lm15.types import TokenLogprob
from dspy.clients.cache import Cache
from dspy.clients.call_result import CallResult
from dspy.clients.legacy_outputs import plain
from dspy.lm15 import (
    Message,
    Request,
    Response,
    ServerError,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    Usage,
)
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.worlds.world import ToyEngine, toy_examples, toy_rubric
from mogradjudge import MOGrad, MultiCriteriaJudge, SetupError
from mogradjudge.concurrency import in_parallel
from mogradjudge.errors import BudgetExhausted, RunStopped
from mogradjudge.lm import rate_limiter as limiter
from mogradjudge.lm import reply_cache as replies
from mogradjudge.lm.budget import Budget
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.reply_cache import replies_kept_in, single_flight
from mogradjudge.scoring.options import ScoringOptions
from mogradjudge.scoring.table import score_table
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
    together = threading.Barrier(8, timeout=60)  # breaks, and fails the calls, unless all arrive
    engine, ledger = Slow(fail=lambda number: together.wait() and None), Ledger()
    in_parallel(meter(source(engine, cache=False), ledger, "judge", ("x",)), ["same"] * 8, 8)
    assert len(engine.asked) == ledger.calls == 8


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
        ledger.stop_signal.set("interrupted")
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
    monkeypatch.setattr(replies._Router, "get", lambda *args: None)  # it tells nobody any more
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


RUBRIC = toy_rubric("fluency", "coherence")
TEXTS = toy_examples(RUBRIC, 10)


def call_in(place: Path) -> None:
    with replies_kept_in(place / "cache"):
        source(Slow(0))("a")


def optimize_in(place: Path) -> None:
    with dspy.context(lm=dspy.LM("toy/world", engine=ToyEngine(), temperature=0.0)):
        MOGrad(steps=1, mode="CCC", batch_size=2, num_threads=1, run_dir=place).optimize(
            MultiCriteriaJudge(RUBRIC), trainset=TEXTS[:5], valset=TEXTS[5:]
        )


def score_in(place: Path) -> None:
    rows = [json.dumps({"output": example.output}) for example in TEXTS]
    (place.parent / "texts.jsonl").write_text("\n".join(rows))
    out = place.with_suffix("")

    def stop(done: int, total: int) -> None:
        if done:
            raise InterruptedError

    with dspy.context(lm=dspy.LM("toy/world", engine=ToyEngine(), temperature=0.0)):
        judge = MultiCriteriaJudge(RUBRIC)
        score_table(
            judge, place.parent / "texts.jsonl", out, ScoringOptions(1, part_rows=100), watch=stop
        )


DOORS = pytest.mark.parametrize("work", [call_in, optimize_in, score_in])


def keys_of(cache: Path) -> list[str]:
    """Read the requests in a folder of this version or of an earlier one."""
    keys = []
    for file in [*cache.glob("replies.sqlite3"), *cache.glob("*/cache.db")]:
        column, table = ("request", "replies") if file.parent == cache else ("key", "Cache")
        with closing(sqlite3.connect(file)) as database:
            keys += [key for (key,) in database.execute(f"SELECT {column} FROM {table}")]
    return keys


def code(marker: Path) -> bytes:
    """Give a pickle that makes a file, by names that DSPy's restricted unpickler lets through."""
    words = ["litellm.types.utils", "json.codecs.builtins.exec", f"open({str(marker)!r}, 'w')"]
    module, name, text = (b"\x8c" + bytes([len(word)]) + word.encode() for word in words)
    return b"\x80\x04" + module + name + b"\x93" + text + b"\x85R."


@DOORS
@pytest.mark.parametrize("attack", ["code", "file"])
def test_a_strangers_folder_runs_no_code_and_touches_no_file_outside(attack, work, tmp_path):
    place, marker, outside = (
        tmp_path / "x.jsonl.parts",
        tmp_path / "marker",
        tmp_path / "outside.txt",
    )
    outside.write_text("mine")
    with suppress(InterruptedError):
        work(place)
    keys = keys_of(place / "cache")
    assert keys
    for name in ("cache", "state.json", "result.json"):
        shutil.rmtree(place / name) if name == "cache" else (place / name).unlink(missing_ok=True)
    with Cache(True, False, str(place / "cache")).disk_cache as cache:
        for key in keys:
            cache.set(key, 0)
    row = {
        "code": (None, code(marker)),
        "file": (os.path.relpath(outside, place / "cache/000"), None),
    }
    for file in place.glob("cache/*/cache.db"):
        with closing(sqlite3.connect(file)) as database, database:
            database.execute("UPDATE Cache SET mode = 4, filename = ?, value = ?", row[attack])
    with suppress(Exception):
        work(place)
    assert not marker.exists()
    assert outside.read_text() == "mine"
    with pytest.raises(SetupError, match="earlier version"):
        work(place)


@DOORS
@pytest.mark.parametrize("name", ["cache/replies.sqlite3", "cache/replies.sqlite3-wal", "cache"])
def test_a_link_in_a_strangers_folder_is_not_followed(name, work, tmp_path):
    place, outside = tmp_path / "x.jsonl.parts", tmp_path / "outside"
    (place / name).parent.mkdir(parents=True)
    (place / name).symlink_to(outside)
    outside.mkdir() if name == "cache" else outside.write_text("")
    before = sorted(tmp_path.rglob("outside*"))
    with pytest.raises(SetupError, match="symbolic link"):
        work(place)
    assert sorted(tmp_path.rglob("outside*")) == before
    assert name == "cache" or not outside.read_bytes()


@DOORS
def test_a_folder_that_is_a_link_is_refused_before_anything_is_written(work, tmp_path):
    place, outside = tmp_path / "x.jsonl.parts", tmp_path / "outside"
    outside.mkdir()
    linked = place / "cache" if work is call_in else place
    linked.parent.mkdir(exist_ok=True)
    linked.symlink_to(outside)
    with pytest.raises(SetupError, match="symbolic link"):
        work(place)
    assert not list(outside.iterdir())


@DOORS
@pytest.mark.parametrize("end", ["", "-journal", "-wal", "-shm", ".lock"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_beside_the_replies_costs_none_of_them(make, end, work, tmp_path):
    place = tmp_path / "x.jsonl.parts"
    with suppress(InterruptedError):
        work(place)
    file, replies = place / f"cache/replies.sqlite3{end}", place / "cache/replies.sqlite3"
    kept = replies.read_bytes()
    file.unlink(missing_ok=True)
    make(file)
    with pytest.raises(SetupError, match=rf"replies\.sqlite3{end}\W") as caught:
        work(place)
    assert "pay" not in str(caught.value) and "Remove" in str(caught.value)
    assert not end or replies.read_bytes() == kept


def test_a_journal_that_names_a_file_outside_is_not_opened(tmp_path):
    call_in(tmp_path)
    journal = tmp_path / "cache/replies.sqlite3-journal"
    journal.write_bytes(b"/home/me/thesis.tex" + bytes.fromhex("d9d505f920a163d7"))
    with pytest.raises(SetupError, match="journal"):
        call_in(tmp_path)


def test_a_database_with_more_than_replies_is_refused(tmp_path):
    call_in(tmp_path)
    with closing(sqlite3.connect(tmp_path / "cache/replies.sqlite3")) as database:
        database.execute("CREATE TRIGGER t AFTER INSERT ON replies BEGIN DELETE FROM replies; END")
    with pytest.raises(SetupError, match="other tables"):
        call_in(tmp_path)


DEEP = "[" * 99_999 + "]" * 99_999
NATIVE = '{"value": {"_dspy_format": "dspy-lm15-result-v1", "responses": [], "outputs": %s, %s}}'
REST = '"usage": {}, "cost": null, "response_model": null'


@pytest.mark.parametrize(
    "kept",
    [
        *(b"", b"\xff", b"\x80\x04N.", "text", 5, 10**17, 0.5),
        *(b"null", b"5", b"[]", b"{}", DEEP.encode(), b'{"value": null}', b'{"value": 5}'),
        *(b'{"value": {}}', b'{"value": "text"}', b'{"value": [[0.5]]}', b'{"value": {"a": 1}}'),
        ('{"value": %s}' % ('{"a":' * 150 + "1" + "}" * 150)).encode(),
        (NATIVE % ("5", REST)).encode(),
        (NATIVE % ("[5]", REST)).encode(),
        (NATIVE % ("[]", REST)).encode(),
        (NATIVE % ('["text"]', REST)).encode(),
        *(b'{"sdk": 5, "cost": null}', b'{"sdk": {}, "cost": null}'),
        b'{"sdk": {"choices": 5}, "cost": null}',
        b'{"sdk": {"choices": [5]}, "cost": null}',
        b'{"sdk": {"choices": [{"message": {"content": 5}}]}, "cost": null}',
        b'{"sdk": {"choices": [{"message": {"content": "a"}}]}, "cost": "much"}',
        b'{"sdk": {"usage": 5, "choices": [{"message": {"content": "a"}}]}, "cost": null}',
        b'{"sdk": {"__deepcopy__": 5, "choices": [{"message": {"content": "a"}}]}, "cost": null}',
    ],
    ids=lambda kept: str(kept)[:40],
)
def test_what_is_kept_and_is_no_reply_is_a_miss_with_one_warning(kept, tmp_path, caplog):
    asked = ["a", "b"]
    with replies_kept_in(tmp_path):
        in_parallel(source(Slow(0)), asked, 2)
    with closing(sqlite3.connect(tmp_path / "replies.sqlite3")) as database, database:
        assert database.execute("UPDATE replies SET reply = ?", [kept]).rowcount == 2
    for calls in (2, 0):
        engine = Slow(0)
        with replies_kept_in(tmp_path):
            outputs = in_parallel(source(engine), asked, 1)
        assert outputs == [["reply to a"], ["reply to b"]]
        assert len(engine.asked) == calls
    assert len([each for each in caplog.records if each.name.startswith("mogradjudge")]) == 1


texts = st.text(max_size=20)
names = st.text("abc", min_size=1, max_size=3)
logprobs = st.lists(
    st.builds(
        lambda token, value: TokenLogprob(token=token, logprob=value, bytes=tuple(token.encode())),
        names,
        st.floats(max_value=0.0, allow_nan=False),
    ),
    max_size=3,
).map(tuple)
parts = st.lists(
    st.one_of(
        st.builds(TextPart, st.text(min_size=1, max_size=20)),
        st.builds(ThinkingPart, st.text(min_size=1, max_size=20)),
        st.builds(
            lambda name, value: ToolCallPart(id="c", name=name, input={name: value}),
            names,
            st.one_of(texts, st.integers(), st.booleans(), st.none(), st.lists(texts)),
        ),
    ),
    min_size=1,
    max_size=4,
)


def kept_and_read(tmp_path: Path, request: dict, value: object) -> object:
    """Keep a value in a folder and read it in another store, as another process would."""
    with replies_kept_in(tmp_path):
        dspy.cache.put(request, value)
    with replies_kept_in(tmp_path):
        return dspy.cache.get(request)


REQUEST = {"_fn_identifier": "dspy.clients.lm15.complete", "request": "a"}


@given(parts=parts, logprobs=logprobs, cost=st.one_of(st.none(), st.floats(0, 1)))
def test_a_reply_comes_back_as_it_was_put(tmp_path_factory, parts, logprobs, cost):
    usage = Usage(input_tokens=2, output_tokens=1, reasoning_tokens=1)
    message = Message.assistant(parts)
    response = Response(
        id="r",
        model="m",
        message=message,
        finish_reason="stop",
        usage=usage,
        logprobs=logprobs or None,
        provider_data={"raw": {"choices": [parts[0].type]}},
    )
    result = CallResult.native(response, logprobs=True, provider="openai")
    result.cost = cost
    folder = tmp_path_factory.mktemp("replies")
    record = kept_and_read(folder, REQUEST, result.dump())
    assert repr(record) == repr(result.dump())
    assert CallResult.load(record) == CallResult.load(result.dump())
    shutil.rmtree(folder)


choices = st.fixed_dictionaries(
    {"finish_reason": st.sampled_from(["stop", "length", "tool_calls", "content_filter"])},
    optional={
        "logprobs": st.builds(
            lambda value: {
                "content": [{"token": "a", "logprob": value, "bytes": [97], "top_logprobs": []}]
            },
            st.floats(max_value=0.0, allow_nan=False),
        ),
    },
)
messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.one_of(st.none(), texts)},
    optional={
        "reasoning_content": texts,
        "tool_calls": st.builds(
            lambda name, text: [
                {"id": "c", "type": "function", "function": {"name": name, "arguments": text}}
            ],
            names,
            texts,
        ),
        "provider_specific_fields": st.builds(
            lambda text: {"citations": [[{"text": text}]]}, texts
        ),
    },
)


@given(choice=choices, message=messages, cost=st.one_of(st.none(), st.floats(0, 1)))
def test_a_reply_of_litellm_comes_back_as_dspy_reads_it(tmp_path_factory, choice, message, cost):
    import litellm  # here, since it takes seconds

    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    body = {"id": "i", "model": "m", "choices": [{"index": 0, **choice, "message": message}]}
    put = litellm.ModelResponse(**body, usage=usage)
    put._hidden_params = {"response_cost": cost, "api_base": "http://secret"}
    folder = tmp_path_factory.mktemp("replies")
    back = kept_and_read(folder, {"_fn_identifier": "dspy.clients.lm.litellm_completion"}, put)
    assert back is not None
    lm = dspy.LM("openai/m", logprobs=True)
    for read in (lambda reply: CallResult.legacy(lm, reply), lambda reply: plain(reply)["choices"]):
        left, right = read(put), read(back)
        if isinstance(left, CallResult):
            assert (
                (left.cost, left.response_model)
                == (right.cost, right.response_model)
                == (cost, "m")
            )
            left, right = plain(left.outputs), plain(right.outputs)
        assert repr(left) == repr(right)
    assert back.usage == {} and back.cache_hit  # no call was made
    shutil.rmtree(folder)


def test_replies_of_the_other_apis_come_back_as_dspy_reads_them(tmp_path):
    import litellm

    choice = {"text": "five", "index": 0, "finish_reason": "stop", "logprobs": None}
    text = litellm.TextCompletionResponse(id="i", model="m", choices=[choice])
    part = {"type": "output_text", "text": "five", "annotations": []}
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    response = litellm.ResponsesAPIResponse(
        id="i", created_at=1, model="m", output=[{**item, "content": [part]}]
    )
    for kind, put in [("text", text), ("responses", response)]:
        lm = dspy.LM("openai/m", model_type=kind)
        request = {"_fn_identifier": f"dspy.clients.lm.alitellm_{kind}_completion"}
        back = kept_and_read(tmp_path, request, put)
        outputs = plain(CallResult.legacy(lm, put).outputs)
        assert plain(CallResult.legacy(lm, back).outputs) == outputs
        assert "five" in str(outputs)


class Own:
    def __str__(self) -> str:
        return "own"

    __repr__ = __str__


@pytest.mark.parametrize(
    "value", [Own(), {1: "a"}, (1, 2), {"a": {1}}, b"bytes", [Own()], 1 + 2j], ids=str
)
def test_what_is_no_json_is_kept_in_memory_alone(value, tmp_path):
    with replies_kept_in(tmp_path):
        dspy.cache.put({"x": 1}, value)
        assert dspy.cache.get({"x": 1}) is not None
    with replies_kept_in(tmp_path):
        assert dspy.cache.get({"x": 1}) is None


@pytest.mark.parametrize(
    "value", [[[0.5, -1.0]], "text", 5, {"a": ["b", None, True, 1e300]}], ids=str
)
def test_plain_values_of_others_come_back_as_they_were(value, tmp_path):
    assert repr(kept_and_read(tmp_path, {"x": 1}, value)) == repr(value)


def test_a_folder_that_vanishes_is_one_warning_and_the_run_goes_on(tmp_path, caplog):
    engine, folder = Slow(0), tmp_path / "cache"
    with replies_kept_in(folder):
        lm = source(engine)
        lm("a")
        shutil.rmtree(folder)
        assert in_parallel(lm, list("abcabc"), 1) == [[f"reply to {text}"] for text in "abcabc"]
    assert sorted(engine.asked) == ["a", "b", "c"]
    ours = [record for record in caplog.records if record.name.startswith("mogradjudge")]
    assert [str(folder) in record.getMessage() for record in ours] == [True]
    assert not folder.exists()


def test_a_full_disk_is_one_warning_and_the_run_goes_on(tmp_path, caplog):
    engine = Slow(0)
    with replies_kept_in(tmp_path):
        lm = source(engine)
        dspy.cache.disk_cache._run("PRAGMA max_page_count=1")
        assert [lm(text)[0][-1] for text in ("a", "b" * 99_999, "c" * 99_999, "a")] == list("abca")
    assert len(engine.asked) == 3
    assert len([each for each in caplog.records if each.name.startswith("mogradjudge")]) == 1


def test_a_reply_outlives_a_process_that_is_killed_and_a_fork_may_share_the_store(tmp_path):
    with replies_kept_in(tmp_path):
        source(Slow(0))("a")
        if not (child := os.fork()):
            dspy.cache.put(REQUEST, {"from": "child"})
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert dspy.cache.disk_cache.get(dspy.cache.cache_key(REQUEST)) == {"from": "child"}
        source(Slow(0))("b")
    engine = Slow(0)
    with replies_kept_in(tmp_path):
        source(engine)("a"), source(engine)("b")
    assert not engine.asked


@pytest.mark.parametrize("place", ["folder", "dspy"])
def test_open_files_do_not_grow_with_threads(place, tmp_path):
    counts: list[int] = []

    def count() -> None:
        counts.append(len(os.listdir("/proc/self/fd")))

    # One thread counts while all the others wait: to list the folder opens a file as well.
    barrier = threading.Barrier(32, action=count)

    def ask(lm: dspy.LM, text: str) -> None:
        lm(text)
        barrier.wait(60)

    count()
    if place == "dspy":
        dspy.configure_cache(disk_cache_dir=str(tmp_path))
    with replies_kept_in(tmp_path) if place == "folder" else single_flight(None):
        lm = source(Slow(0))
        in_parallel(lambda text: ask(lm, text), [str(number) for number in range(32)], 32)
    before, during = counts
    assert during - before < (32 if place == "folder" else 100)  # less than one each


def test_the_cache_is_put_back_after_the_last_of_nested_and_parallel_runs(tmp_path):
    before = dspy.cache
    begun, end = threading.Event(), threading.Event()

    def run() -> None:
        with replies_kept_in(None):
            begun.set()
            end.wait(60)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run)
        begun.wait(60)
        with pytest.raises(ZeroDivisionError), replies_kept_in(None):
            with replies_kept_in(tmp_path):
                assert dspy.cache is not before
            meter(source(Slow(0)), Ledger(), "judge", ("x",))("a")
            assert dspy.cache is not before
            1 / 0  # noqa: B018
        assert dspy.cache is not before
        end.set()
        other.result(60)
    assert dspy.cache is before


@pytest.mark.parametrize("work", [optimize_in, score_in])
def test_a_run_puts_the_cache_back(work, tmp_path):
    before = dspy.cache
    with suppress(InterruptedError):
        work(tmp_path / "x.jsonl.parts")
    assert dspy.cache is before


def test_a_cache_that_was_chosen_in_mid_run_stays():
    with replies_kept_in(None):
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
        chosen = dspy.cache
        with replies_kept_in(None):
            assert dspy.cache is not chosen
    assert dspy.cache is chosen


def test_a_cache_that_dspy_has_not_opened_yet_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("DSPY_CACHEDIR", str(tmp_path / "dspy"))
    monkeypatch.delitem(vars(dspy), "cache")
    with replies_kept_in(tmp_path / "cache"):
        source(Slow(0))("a")
    assert "cache" not in vars(dspy)
    assert not (tmp_path / "dspy").exists()
