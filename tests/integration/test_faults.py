"""A provider that fails: the run's result and its books hold, and what cannot hold is said."""

import asyncio
import errno
import json
import os
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dspy
import pytest
from dspy.lm15 import AuthError, InvalidRequestError, Request, Response, TransportError

from benchmarks.self_tests.faults import CRITERIA, optimize
from benchmarks.worlds.fault_plan import FaultPlan
from benchmarks.worlds.server import ToyServer, serving
from benchmarks.worlds.world import ToyEngine, reply, toy_examples, toy_rubric
from engines import AsyncEngine
from mogradjudge import MOGrad, MultiCriteriaJudge, Objective, ReplyError
from mogradjudge.cli import main
from mogradjudge.errors import ResourceError
from mogradjudge.files import resource_error
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import booked
from mogradjudge.scoring.evaluate import evaluation_report
from mogradjudge.scoring.options import ScoringOptions
from mogradjudge.scoring.table import score_table

pytestmark = pytest.mark.slow

# A client must not give up on a busy machine, so what hangs in these tests is rare.
SMALL = {"texts": 20, "timeout": 1.5, "num_threads": 16}


def server_with(faults: str, seed: int = 0) -> ToyServer:
    return serving(faults=FaultPlan.parse(faults, seed, retry_after=0.05))


@pytest.mark.parametrize("seed", [4, 5])
def test_transient_faults_change_nothing_but_the_time(seed):
    with server_with("") as server:
        faultless = optimize(server, "SSC", 2, **SMALL)
        assert faultless.served.keys() == {"ok"} and faultless.books_agree
    with server_with("429=0.2,500=0.1,hang=0.01,dropped=0.05", seed) as server:
        faulty = optimize(server, "SSC", 2, **SMALL)
    assert faulty.served.keys() == {"ok", "429", "500", "hang", "dropped"}
    assert faulty.found_as(faultless)
    assert faulty.books_agree
    assert (faulty.paid_twice, faulty.answers) == (0, faultless.answers)


@pytest.mark.parametrize(["kind", "reason"], [("unreadable", "the weather"), ("cut", "[[ ##")])
def test_a_spoiled_reply_is_unscored_with_its_reason_and_counted(kind, reason):
    with server_with(f"{kind}=0.3") as server:
        outcome = optimize(server, "SSC", 1, **SMALL)
        seed = outcome.result.seed_agreement
        assert sum(seed.unscored.values()) > 0
        assert all(seed.scored[name] + seed.unscored[name] == 10 for name in CRITERIA)
        assert outcome.books_agree and outcome.served[kind] > 0
    judge = outcome.result.program
    with server_with(kind) as server:
        lm = dspy.LM("openai/toy", api_base=server.url, api_key="none", cache=False, num_retries=0)
        with dspy.context(lm=lm):
            made = judge(output="a text")
    lost = [made[name] for name in CRITERIA if isinstance(made[name], Unscored)]
    assert lost and all(reason in each.reason for each in lost)


def test_a_candidate_that_leaves_more_unscored_is_not_accepted_on_the_rest():
    texts = {example.output for example in toy_examples(toy_rubric(*CRITERIA), 20)[:10]}
    unlucky = sorted(texts)[0]

    def spoiled(system: str, user: str) -> str:
        # Every rewritten judge fails on one validation text, and is better on all the others.
        return "?" if "BIAS=" in system and unlucky in user else reply(system, user)

    with serving(world=spoiled) as server:
        outcome = optimize(server, "SSC", 2, **SMALL)
    result = outcome.result
    assert result.seed_kept and not any(step.accepted for step in result.steps)
    seed = result.seed_agreement
    assert result.steps[0].proposed is not None
    assert result.steps[0].proposed.mean > seed.mean  # on the rest
    assert sum(result.steps[0].proposed.unscored.values()) == len(CRITERIA)


@pytest.fixture
def words(tmp_path):
    rubric = toy_rubric("coherence", "fluency")
    (tmp_path / "rubric.toml").write_text(rubric.to_toml())
    rows = [json.dumps(example.toDict()) for example in toy_examples(rubric, 24)]
    (tmp_path / "ratings.jsonl").write_text("\n".join(rows))

    def compile_words(server: ToyServer) -> list[str]:
        given = [tmp_path / "ratings.jsonl", "--rubric", tmp_path / "rubric.toml"]
        given += ["--lm", "openai/gpt-4o-mini", "--api-base", server.url, "--steps", 2]
        return ["compile", *map(str, given), "--timeout", "20", "--out", str(tmp_path / "run")]

    return compile_words


def call(words: list[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        main(words)
    return int(stop.value.code or 0)


@pytest.mark.parametrize(
    ["faults", "hopeless", "word"],
    [
        ("down", False, "The provider failed (LMServerError)"),
        ("hang", False, "The provider failed (LMTransportError)"),
        ("unauthorized", True, "The model cannot be used: [openai/gpt-4o-mini] Incorrect API key"),
        ("unknown-model", True, "The model cannot be used: [openai/gpt-4o-mini] The model"),
    ],
)
def test_a_failure_that_stays_ends_the_run_and_leaves_a_folder_to_take_up(
    faults, hopeless, word, words, tmp_path, capsys
):
    with server_with(faults) as server:
        assert call([*words(server), "--timeout", "0.3" if faults == "hang" else "20"]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"Error: {word}")
        before = sum(server.served.values())
        if hopeless:  # no other attempt can help
            assert before <= 10  # so no validation text was tried twice
        server.faults = FaultPlan()
        server.reset()
        assert call(words(server)) == 0
        result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["stop_reason"] == "steps"
    assert sum(server.served.values()) == sum(server.answers.values())
    assert result["calls"] == before + sum(server.answers.values())


def test_a_longer_timeout_takes_the_same_run_up_and_its_replies(words, tmp_path):
    with server_with("") as server:
        cut = [*words(server), "--max-calls", "40"]
        assert call(cut) in (0, 3)
        server.reset()
        assert call([*words(server), "--timeout", "5"]) == 0
        result = json.loads((tmp_path / "run" / "result.json").read_text())
        assert result["stop_reason"] == "steps"
        assert result["calls"] == 40 + server.calls.total()
        assert set(server.answers.values()) == {1}


@pytest.mark.parametrize("timeout", ["0", "-1", "soon", "inf"])
def test_a_timeout_is_a_number_of_seconds(timeout, words, capsys):
    with server_with("") as server:
        assert call([*words(server), "--timeout", timeout]) == 2
    assert "timeout" in capsys.readouterr().err


def test_a_provider_that_is_down_lets_no_waiting_call_try_once_more(words):
    with server_with("down") as server:
        assert call(words(server)) == 1
        # Ten failures in a row; after each, half of the eight places are left.
        assert sum(server.served.values()) <= 8 + 4 + 2 + 7


def test_a_text_that_the_provider_refuses_is_unscored_and_the_others_are_not():
    unlucky = toy_examples(toy_rubric("coherence", "fluency"), 24)[5].output
    engine = Filtering({unlucky})
    with dspy.context(lm=dspy.LM("toy/x", engine=engine, temperature=0.0)):
        rubric = toy_rubric("coherence", "fluency")
        examples = toy_examples(rubric, 24)
        result = MOGrad(steps=1).optimize(
            MultiCriteriaJudge(rubric), trainset=examples[12:], valset=examples[:12]
        )
    assert result.seed_agreement.unscored == {"coherence": 1, "fluency": 1}
    assert result.seed_agreement.scored == {"coherence": 11, "fluency": 11}


def test_where_every_text_is_refused_it_is_not_their_fault():
    rubric = toy_rubric("coherence")
    examples = toy_examples(rubric, 12)
    engine = Filtering({each.output for each in examples})
    with (
        dspy.context(lm=dspy.LM("toy/x", engine=engine, temperature=0.0)),
        pytest.raises(dspy.LMInvalidRequestError, match="content_filter"),
    ):
        MOGrad(steps=1).optimize(
            MultiCriteriaJudge(rubric), trainset=examples[6:], valset=examples[:6]
        )
    assert engine.calls.total() == 0


def test_a_judge_that_nobody_can_read_ends_the_run_before_more_is_paid():
    class Silent(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            return "{}"

    rubric, engine = toy_rubric("coherence"), Silent()
    examples = toy_examples(rubric, 12)
    with (
        dspy.context(lm=dspy.LM("toy/x", engine=engine, temperature=0.0)),
        pytest.raises(ReplyError, match=r"None of the 6 validation texts has a score.*'\{\}'"),
    ):
        MOGrad(steps=1).optimize(
            MultiCriteriaJudge(rubric), trainset=examples[6:], valset=examples[:6]
        )
    assert engine.calls.total() == 6


class Refusing(ToyEngine):
    """Refuses what one role asks."""

    def __init__(self, role: str, said: str) -> None:
        super().__init__()
        self.role, self.said = role, said

    def complete(self, request: Request) -> Response:
        if _ROLE_OF[self.role] in str(request.system):
            raise InvalidRequestError(self.said)
        return super().complete(request)


_ROLE_OF = {
    "judge": "Rate each criterion on its own",
    "critic": "`critique`",
    "coach": "1. `advice`",
    "editor": "`new_instructions`",
}
TEMPERATURE = "Unsupported value: 'temperature' does not support 0.3 with this model."


def compiled(engine: ToyEngine, mode: str = "SSC", steps: int = 2, **changes: object):
    rubric = toy_rubric("coherence", "fluency")
    examples = toy_examples(rubric, 12)
    with dspy.context(lm=dspy.LM("toy/x", engine=engine, temperature=0.0, cache=False)):
        return MOGrad(mode=mode, steps=steps, **changes).optimize(
            MultiCriteriaJudge(rubric), trainset=examples[6:], valset=examples[:6]
        )


@pytest.mark.parametrize("mode", ["SSS", "SSC", "SCC", "CCC"])
@pytest.mark.parametrize("role", ["critic", "coach", "editor"])
def test_a_role_whose_setting_is_refused_ends_the_run_with_the_option_to_change(role, mode):
    with pytest.raises(dspy.LMInvalidRequestError) as caught:
        compiled(Refusing(role, TEMPERATURE), mode)
    for word in (TEMPERATURE, role, f"--{role}-temperature none", f"{role}_temperature=None"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ["said", "option"],
    [
        ("'max_tokens' is not supported with this model", "--max-tokens"),
        ("response_format is not supported", "ChatAdapter"),
        ("Developer instruction is not enabled for this model", "--prompt-lm"),
    ],
)
def test_each_refused_setting_has_its_option(said, option):
    with pytest.raises(dspy.LMInvalidRequestError, match=option):
        compiled(Refusing("critic", said))


@pytest.mark.parametrize(
    "said",
    [
        "Please contact your system administrator",
        "Unknown field, see the developer docs",
        "It is not in our ecosystem",
    ],
)
def test_a_word_that_is_no_setting_is_not_taken_for_one(said):
    with pytest.raises(dspy.LMInvalidRequestError) as caught:
        compiled(Refusing("critic", said))
    assert "system message" not in str(caught.value) and f"{said}. " in str(caught.value)


def test_a_role_that_sends_no_temperature_is_not_told_to_send_none():
    with pytest.raises(dspy.LMInvalidRequestError) as caught:
        compiled(Refusing("critic", TEMPERATURE), critic_temperature=None)
    assert "--critic-temperature" not in str(caught.value)


@pytest.mark.parametrize("role", ["judge", "critic", "coach", "editor"])
def test_a_403_that_names_a_setting_ends_with_its_option(role):
    class Forbidding(Refusing):
        def complete(self, request: Request) -> Response:
            try:
                return super().complete(request)
            except InvalidRequestError as error:
                raise AuthError(str(error)) from error

    with pytest.raises(dspy.LMInvalidRequestError) as caught:
        compiled(Forbidding(role, "temperature not allowed"))
    option = "--temperature none" if role == "judge" else f"--{role}-temperature none"
    assert option in str(caught.value)


def test_a_text_that_is_refused_for_what_it_says_ends_no_run_at_once():
    with pytest.raises(ReplyError, match="critic") as caught:
        compiled(Refusing("critic", "content_filter"), steps=4)
    assert "content_filter" in str(caught.value)
    assert "''" not in str(caught.value)  # there is no reply to show
    assert compiled(Refusing("critic", "content_filter"), steps=1).stop_reason == "steps"


class Unusable(ToyEngine):
    """An editor that never gives what it is asked for."""

    def answer(self, system: str, user: str) -> str:
        if _ROLE_OF["editor"] in system:
            self.calls["editor"] += 1
            return "I would rather talk of the weather. " * 20 + "The end."
        return super().answer(system, user)


def test_an_editor_that_is_never_of_use_ends_the_run_after_two_steps_with_its_reply():
    engine = Unusable()
    with pytest.raises(ReplyError, match="editor") as caught:
        compiled(engine, steps=6)
    assert "The end." in str(caught.value)
    assert engine.calls["editor"] == 2 * 3


def test_a_run_goes_on_in_its_folder_once_the_roles_setting_is_changed(tmp_path):
    rubric = toy_rubric("coherence")
    examples = toy_examples(rubric, 12)

    def run(engine: ToyEngine, temperature: float | None):
        with dspy.context(lm=dspy.LM("toy/x", engine=engine, temperature=0.0)):
            return MOGrad(steps=1, critic_temperature=temperature, run_dir=tmp_path / "r").optimize(
                MultiCriteriaJudge(rubric), trainset=examples[6:], valset=examples[:6]
            )

    refusing, willing = Refusing("critic", TEMPERATURE), ToyEngine()
    with pytest.raises(dspy.LMInvalidRequestError):
        run(refusing, 0.3)
    assert run(willing, None).stop_reason == "steps"
    # The seed, the pool and the batch of it were judged before; what is new is the candidate.
    assert (refusing.calls["judge"], willing.calls["judge"]) == (6 + 6, 6)


@pytest.mark.parametrize("keep_going", [False, True])
def test_an_evaluation_ends_after_the_first_texts_that_nobody_can_read(keep_going):
    class Silent(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            self.calls["judge"] += 1
            return "the weather"

    rubric, engine = toy_rubric("coherence"), Silent()

    def evaluate():
        lm = dspy.LM("toy/x", engine=engine, temperature=0.0, cache=False)
        with dspy.context(lm=lm):
            return evaluation_report(
                MultiCriteriaJudge(rubric), toy_examples(rubric, 40), 4, keep_going=keep_going
            )

    before = engine.calls["judge"]
    if keep_going:
        assert evaluate()["criteria"]["coherence"]["unscored"] == 40
        return
    with pytest.raises(ReplyError, match=r"first 20.*the weather"):
        evaluate()
    assert 20 <= engine.calls["judge"] - before <= 20 + 3


WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
}
BODY = json.dumps(WHOLE).encode()
GARBLED = {
    "cut": (200, BODY[:60]),
    "a page": (200, b"<html>Please log in</html>"),
    "empty": (200, b""),
    "a stream": (200, b'data: {"choices": []}\n\ndata: [DONE]\n\n'),
    "no UTF-8": (200, BODY.replace(b"yes", b"\xff\xfe")),
    "moved": (302, b"moved"),
    "not modified": (304, b""),
    "no content": (204, b""),
    "a list": (200, b"[]"),
    "null": (200, b"null"),
    "a text": (200, b'"hi"'),
    "deep": (200, b"[" * 100_000),
    "choices are a text": (200, json.dumps({**WHOLE, "choices": "x"}).encode()),
    "queued": (200, b'{"status": "queued"}'),
    "a detail": (200, b'{"detail": [{"loc": ["body"], "msg": "x"}]}'),
    "no choices": (200, json.dumps({**WHOLE, "choices": []}).encode()),
    "no message": (200, json.dumps({**WHOLE, "choices": [{"index": 0}]}).encode()),
}


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[str]:
    """Serve these answers in turn, the last one for ever; gives the URL."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def metered(url: str) -> Iterator[tuple[dspy.BaseLM, Ledger]]:
    ledger = Ledger()
    with booked(ledger, "judge", ("fluency",)):
        yield (
            dspy.LM("openai/m", api_base=url, api_key="none", temperature=0.0, cache=False),
            ledger,
        )


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("kind", [*GARBLED, "a failure"])
def test_a_garbled_answer_is_asked_for_again_and_booked_as_a_failure(kind, awaited):
    garbled = GARBLED.get(kind, (500, b"{}"))
    with answering(garbled, (200, BODY)) as url, metered(url) as (lm, ledger):
        assert (asyncio.run(lm.acall("x")) if awaited else lm("x")) == ["yes"]
    (row,) = ledger.rows
    assert (row.calls, row.failed, row.prompt_tokens, row.completion_tokens) == (1, 1, 5, 1)


@pytest.mark.parametrize(
    "usage",
    [
        *(None, {}, [], [1], "x", 3, {"total_tokens": 7}, {"prompt_tokens": None}),
        *({"prompt_tokens": "many"}, {"prompt_tokens": -5}, {"prompt_tokens_details": "x"}),
    ],
    ids=repr,
)
def test_a_reply_without_usage_is_a_reply_whose_tokens_are_unknown(usage):
    with (
        answering((200, json.dumps({**WHOLE, "usage": usage}).encode())) as url,
        metered(url) as (lm, ledger),
    ):
        assert lm("x") == ["yes"]
    (row,) = ledger.rows
    assert (row.calls, row.failed, row.cost) == (1, 0, None)


def test_a_provider_that_sends_nothing_but_garbage_is_down(monkeypatch):
    monkeypatch.setattr("mogradjudge.lm.rate_limiter.LONGEST_PAUSE", 0.0)
    monkeypatch.setattr("mogradjudge.lm.rate_limiter.FIRST_PAUSE", 0.0)
    refused = pytest.raises(dspy.LMProviderError, match="not JSON")
    with answering(GARBLED["a page"]) as url, metered(url) as (lm, ledger), refused:
        lm("x")
    assert ledger.rows[0].failed == 10


class Filtering(ToyEngine):
    """Takes no prompt that holds one of these texts."""

    def __init__(self, refused: set[str]) -> None:
        super().__init__()
        self.refused = refused

    def complete(self, request: Request) -> Response:
        if any(text in (request.messages[-1].text or "") for text in self.refused):
            raise InvalidRequestError("content_filter")
        return super().complete(request)


class NoFileLeft(ToyEngine):
    """Can open no connection, as a client under `ulimit -n` says it: in an error of its own."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.answers, self.attempts = answers, 0

    def complete(self, request: Request) -> Response:
        self.attempts += 1
        if self.attempts <= self.answers:
            return super().complete(request)
        try:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        except OSError as error:
            raise TransportError("failed to connect to the provider") from error


class Asking(dspy.Module):
    """A program that makes nothing of an error."""

    def __init__(self) -> None:
        super().__init__()
        self.ask = dspy.Predict("output -> fluency: int")

    def forward(self, output: str) -> dspy.Prediction:
        try:
            return self.ask(output=output)
        except Exception:  # noqa: BLE001
            return dspy.Prediction(fluency=1)


class AskingLater(Asking):
    forward = None

    async def aforward(self, output: str) -> dspy.Prediction:
        return await self.ask.acall(output=output)


class Opening(Asking):
    """A program that opens files of its own."""

    def forward(self, output: str) -> dspy.Prediction:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def a_run(folder):
    examples = toy_examples(toy_rubric("fluency"), 12)
    MOGrad(steps=1, num_threads=2, run_dir=folder / "run").optimize(
        MultiCriteriaJudge(toy_rubric("fluency")), trainset=examples[:6], valset=examples[6:]
    )


def a_table(folder):
    rows = [json.dumps({"output": each.output}) for each in toy_examples(toy_rubric("x"), 12)]
    (folder / "texts.jsonl").write_text("\n".join(rows))
    judge = MultiCriteriaJudge(toy_rubric("fluency"))
    score_table(judge, folder / "texts.jsonl", folder / "s.jsonl", ScoringOptions(2))


def an_evaluation(folder):
    judge, examples = MultiCriteriaJudge(toy_rubric("fluency")), toy_examples(toy_rubric("x"), 12)
    rated = [dspy.Example(each, human_fluency=n % 5 + 1) for n, each in enumerate(examples)]
    evaluation_report(judge, [each.with_inputs("output") for each in rated], 2)


def a_program(kind):
    def work(folder):
        examples = toy_examples(toy_rubric("fluency"), 12)
        objective = Objective("right", "Is it right?", score=lambda example, made: 0.5)
        MOGrad(steps=1, num_threads=2, objectives=[objective]).optimize(
            kind(), trainset=examples[:6], valset=examples[6:]
        )

    return work


@pytest.mark.parametrize(
    "work",
    [a_run, a_table, an_evaluation, *map(a_program, (Asking, AskingLater, Opening))],
    ids=["run", "table", "evaluation", "program", "async program", "program's own files"],
)
def test_a_machine_without_a_file_left_is_named_and_nothing_is_tried_again(work, tmp_path):
    engine = NoFileLeft(0)
    with (
        dspy.context(
            lm=dspy.LM("toy/x", engine=engine, async_engine=AsyncEngine(engine), temperature=0.0)
        ),
        pytest.raises(ResourceError, match=r"Too many open files.*num_threads.*ulimit -n"),
    ):
        work(tmp_path)
    assert engine.attempts <= 4  # one of each thread, and of one that had begun the next


@pytest.mark.parametrize("error", [sqlite3.OperationalError("unable to open database file"), None])
def test_it_is_named_where_the_client_does_not_say_so_itself(error, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    vague = error or socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    assert resource_error(vague) is None
    monkeypatch.setattr(os, "open", refuse)
    assert isinstance(resource_error(vague), ResourceError)
    assert resource_error(ValueError("unable to open database file")) is None


def test_errors_that_came_from_each_other_are_looked_at_once():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__context__ = second, first
    assert resource_error(first) is None


def test_what_a_run_paid_before_the_files_ran_out_is_not_paid_again(tmp_path):
    def paid(engine):
        with dspy.context(lm=dspy.LM("toy/x", engine=engine, temperature=0.0)):
            a_run(tmp_path)

    with pytest.raises(ResourceError):
        paid(NoFileLeft(4))
    paid(later := ToyEngine())
    (tmp_path / "run").rename(tmp_path / "before")
    paid(whole := ToyEngine())
    assert 4 + later.calls.total() == whole.calls.total()
