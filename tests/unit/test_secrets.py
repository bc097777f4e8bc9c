"""No key in a file, a log, an event, an error or a saved judge: canaries are looked for in all."""

import asyncio
import base64
import collections
import gc
import html
import json
import logging
import threading
import time
import traceback
import urllib.parse
import warnings
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.worlds.server import serving
from benchmarks.worlds.world import reply, role_of, toy_examples, toy_rubric
from mogradjudge import MOGrad, MultiCriteriaJudge, Objective
from mogradjudge.cli import main
from mogradjudge.files import to_json
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import booked
from mogradjudge.lm.reply_cache import replies_kept_in
from mogradjudge.optimize.event_log import as_json
from mogradjudge.secrets import (
    redact,
    redact_error,
    redact_reply,
    secrets_in,
    secrets_known,
    secrets_of,
    without_secrets,
)
from tests.engines import FunctionEngine, fake_lm
from tests.loud import LOUD, TRAIN, VALIDATION, Steps, instructions, loud_lm

RUBRIC = toy_rubric("coherence", "fluency")
ENVIRONMENT, GIVEN, USER, PASSWORD, QUERY, HEADER = CANARIES = (
    *("sk-canary-enviro7-1", "canary.given.2", "canaryuser3", "canarypassword4"),
    *("canaryquery5", "canaryheader6"),
)


class Leaky(BaseHTTPRequestHandler):
    """Refuses every call, in an error's text that tells all that it was sent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        told = f"Refused {ENVIRONMENT} {GIVEN} {HEADER} {self.path} {dict(self.headers)}"
        status, code = self.server.refusal
        data = json.dumps({"error": {"message": told, "code": code, "type": code}}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def leaking(status: int, code: str):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Leaky)
    server.refusal = (status, code)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def with_query(url: str) -> str:
    return f"{url}?token={QUERY}"


def with_credentials(url: str) -> str:
    return with_query(url.replace("://", f"://{USER}:{PASSWORD}@"))


def leaks(text: str) -> list[str]:
    """Find the canaries that a text holds any eight characters of: a reason is cut within one."""
    return [
        canary
        for canary in CANARIES
        if any(canary[at : at + 8] in text for at in range(len(canary) - 7))
    ]


def leaks_in_files(folder) -> dict[str, list[str]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    found = {path.name: leaks(path.read_bytes().decode("latin-1")) for path in files}
    return {name: canaries for name, canaries in found.items() if canaries}


@pytest.fixture(autouse=True)
def key_in_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", ENVIRONMENT)
    # The command line is never given these two; a provider may know them from elsewhere.
    monkeypatch.setenv("OTHER_SECRET", GIVEN)
    monkeypatch.setenv("OTHER_TOKEN", HEADER)


@pytest.fixture
def work(tmp_path):
    (tmp_path / "rubric.toml").write_text(RUBRIC.to_toml())
    rows = [example.toDict() for example in toy_examples(RUBRIC, 12)]
    (tmp_path / "ratings.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    MultiCriteriaJudge(RUBRIC).save(tmp_path / "judge.json")
    return tmp_path


def run(work, url: str, command: str, *more: object) -> int:
    table, model = work / "ratings.jsonl", ["--lm", "openai/gpt-4o-mini", "--api-base", url]
    words = {
        "compile": [table, "--rubric", work / "rubric.toml", *model, "--out", work / "run"],
        "evaluate": [work / "judge.json", table, *model],
        "score": [work / "judge.json", table, *model, "--out", work / "scores.jsonl"],
    }[command]
    steps = ["--steps", 1] if command == "compile" else []
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in [*more, command, *words, *steps]])
    return int(stop.value.code or 0)


@pytest.mark.parametrize("command", ["compile", "evaluate", "score"])
def test_a_command_that_works_leaves_no_key(command, work, capfd, caplog):
    caplog.set_level(logging.INFO, "mogradjudge")
    with serving() as server:
        assert run(work, with_query(server.url), command) == 0
    assert leaks_in_files(work) == {}
    assert leaks("".join(capfd.readouterr()) + caplog.text) == []


@pytest.mark.parametrize("refusal", [(401, "invalid_api_key"), (400, "context_length_exceeded")])
@pytest.mark.parametrize("command", ["compile", "evaluate", "score"])
@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["", "debug"])
def test_a_provider_that_tells_the_key_is_not_repeated(
    debug, command, refusal, work, capfd, caplog
):
    with leaking(*refusal) as url:
        status = run(work, with_query(url), command, *debug)
    shown = "".join(capfd.readouterr())
    if refusal[0] == 401:
        assert (status, "Refused" in shown) == (1, True)
        assert ("Traceback" in shown) == bool(debug)
    assert leaks(shown + caplog.text) == []
    assert leaks_in_files(work) == {}


@pytest.mark.slow
@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["", "debug"])
def test_a_server_that_is_not_reached_is_named_without_its_password(
    debug, work, capfd, monkeypatch
):
    monkeypatch.setattr("mogradjudge.lm.rate_limiter.LONGEST_PAUSE", 0.0)
    assert run(work, with_credentials("http://127.0.0.1:1/v1"), "compile", *debug) == 1
    shown = "".join(capfd.readouterr())
    assert "127.0.0.1" in shown
    assert leaks(shown) == []
    assert leaks_in_files(work) == {}


def lm_at(url: str) -> dspy.LM:
    return dspy.LM(
        "openai/gpt-4o-mini",
        api_base=with_credentials(url),
        api_key=GIVEN,
        extra_headers={"X-Api-Key": HEADER},
        temperature=0.0,
        num_retries=0,
    )


@pytest.fixture
def nothing_else_in_the_environment(monkeypatch):
    for name in ("OTHER_SECRET", "OTHER_TOKEN"):
        monkeypatch.delenv(name)
    yield
    # litellm, which is asked where there are headers, leaves its connections to the collector.
    import litellm

    litellm.in_memory_llm_clients_cache.flush_cache()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.usefixtures("nothing_else_in_the_environment")
@pytest.mark.parametrize("pinned", [False, True])
def test_a_run_in_python_leaves_no_key(pinned, tmp_path):
    examples, told = toy_examples(RUBRIC, 12), []
    judge = MultiCriteriaJudge(RUBRIC)
    with serving() as server:
        lm = lm_at(server.url)
        judge.set_lm(lm if pinned else None)
        with dspy.context(lm=lm):
            optimizer = MOGrad(steps=1, observers=[told.append], run_dir=tmp_path / "run")
            outcome = optimizer.optimize(judge, trainset=examples[:6], valset=examples[6:])
            outcome.program(output="A text.")
    assert leaks_in_files(tmp_path) == {}
    assert leaks(to_json([as_json(event) for event in told]) + repr(outcome.as_dict())) == []
    assert leaks(repr(outcome.program)) == []


def rating(system: str, user: str) -> str:
    return "[[ ## fluency ## ]]\n3" if role_of(system) == "judge" else reply(system, user)


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_else_in_the_environment")
def test_a_run_of_any_program_leaves_no_key(tmp_path):
    examples = toy_examples(RUBRIC, 12)
    objective = Objective("right", "Is it right?", lambda example, made: made.fluency / 5)
    program = dspy.Predict("source, output -> fluency: int")
    folder = tmp_path / "run"
    with serving(world=rating) as server, dspy.context(lm=lm_at(server.url)):
        program.lm = lm_at(server.url)
        MOGrad(objectives=[objective], steps=1, run_dir=folder).optimize(
            program, trainset=examples[:6], valset=examples[6:]
        )
    assert leaks_in_files(tmp_path) == {}
    saved = json.loads((folder / "program.json").read_text())["lm"]
    assert (saved["model"], saved["temperature"]) == ("openai/gpt-4o-mini", 0.0)


def test_a_program_with_an_lm_that_cannot_be_saved_is_saved_without_it(tmp_path):
    program = Steps()
    program.set_lm(loud_lm(cache=True))
    folder = tmp_path / "run"
    with dspy.context(lm=loud_lm(cache=True)):
        found = MOGrad(objectives=[LOUD], steps=1, run_dir=folder).optimize(
            program, trainset=TRAIN, valset=VALIDATION
        )
    loaded = Steps()
    loaded.load(folder / "program.json")
    assert instructions(loaded) == instructions(found.program) != instructions(program)
    assert {each.lm for each in loaded.predictors()} == {None}
    assert all(each.lm is program.last.lm for each in found.program.predictors())


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_else_in_the_environment")
@pytest.mark.parametrize("pinned", [False, True])
def test_reasons_in_python_hold_no_key(pinned):
    judge = MultiCriteriaJudge(RUBRIC)
    with leaking(400, "context_length_exceeded") as url:
        lm = lm_at(url)
        judge.set_lm(lm if pinned else None)
        with dspy.context(lm=None if pinned else lm):
            reading = judge(output="A text.").readings["coherence"]
    assert "no readable reply" in reading.score.reason
    assert leaks(repr(reading)) == []


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_else_in_the_environment")
def test_a_skipped_question_holds_no_key():
    told = []
    examples = toy_examples(RUBRIC, 12)
    with serving() as server, leaking(400, "context_length_exceeded") as url:
        writer = lm_at(url)
        with dspy.context(lm=dspy.LM("openai/gpt-4o-mini", api_base=server.url)):
            MOGrad(steps=1, prompt_lm=writer, observers=[told.append]).optimize(
                MultiCriteriaJudge(RUBRIC), trainset=examples[:6], valset=examples[6:]
            )
    assert "QuestionSkipped" in {type(event).__name__ for event in told}
    assert leaks(repr(told)) == []


@pytest.mark.usefixtures("nothing_else_in_the_environment")
def test_an_error_is_freed_of_keys_with_all_that_led_to_it():
    with leaking(401, "invalid_api_key") as url:
        lm = lm_at(url)
        with pytest.raises(dspy.LMError) as caught:
            lm("Hello")
    error = caught.value
    before = "".join(traceback.format_exception(error))
    assert {ENVIRONMENT, GIVEN, HEADER} <= set(leaks(before))
    redact_error(error, secrets_of(lm.kwargs))
    after = "".join(traceback.format_exception(error))
    assert leaks(after + repr(error) + str(vars(error))) == []
    assert "Refused" in str(error)


LOGIN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def telling(system: str, user: str) -> str:
    """Answer as the toy world does, with all that the provider was sent."""
    told = f"{ENVIRONMENT} {GIVEN} {HEADER} {QUERY} Basic {LOGIN} {USER}:{PASSWORD} {GIVEN[:-3]}"
    if role_of(system) == "critic":
        return reply(system, user).replace("]]\n", f"]]\nI was sent {told}. ", 1)
    if role_of(system) == "coach":
        return reply(system, user).replace('"rule": "', f'"rule": "I was sent {told}. ')
    return f"I was sent {told}" if "Text 1:" in user else reply(system, user)


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_else_in_the_environment")
@pytest.mark.parametrize("headers", [{}, {"X-Api-Key": HEADER}], ids=["lm15", "litellm"])
def test_a_reply_that_tells_what_it_was_sent_is_kept_without_it(headers, tmp_path):
    examples, told, outcomes = toy_examples(RUBRIC, 12), [], []
    with serving(world=telling) as server:
        for _ in range(2):  # the second time from the replies that were kept
            lm = lm_at(server.url)
            lm.kwargs["extra_headers"] = headers
            with dspy.context(lm=lm):
                optimizer = MOGrad(steps=1, observers=[told.append], run_dir=tmp_path / "run")
                judge = MultiCriteriaJudge(RUBRIC)
                outcome = optimizer.optimize(judge, trainset=examples[:6], valset=examples[6:])
            outcomes.append((to_json(outcome.final_agreement.as_dict()), repr(outcome.program)))
            asked = server.served.total()
        assert server.served.total() == asked
    assert outcomes[0] == outcomes[1]
    words = to_json([as_json(event) for event in told])
    assert words.count("I was sent [redacted]") > 1
    canaries = [HEADER] if not headers else []  # an LM that has no such header knows of none
    assert set(leaks(words)) <= set(canaries)
    files = leaks_in_files(tmp_path)
    assert {each for found in files.values() for each in found} <= set(canaries)
    assert not any(
        LOGIN in path.read_text("latin-1") for path in tmp_path.rglob("*") if path.is_file()
    )


@pytest.mark.slow
def test_a_reply_that_a_command_gets_is_kept_without_keys(work, capfd):
    world = telling
    with serving(world=world) as server:
        assert run(work, server.url, "compile") == 0
        assert run(work, server.url, "score") == 0
    ours = {ENVIRONMENT, GIVEN, HEADER}
    for found in (leaks("".join(capfd.readouterr())), *leaks_in_files(work).values()):
        assert not ours & set(found)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_reply_is_the_same_when_it_was_kept(asynchronous, tmp_path):
    engine = FunctionEngine(lambda _: f"The key is {GIVEN}, the rest is {GIVEN[:10]}")
    lm = fake_lm(engine, cache=True)
    said = []
    for _ in range(2):
        with replies_kept_in(tmp_path / "cache"), booked(Ledger(), "judge", ("fluency",)):
            said += asyncio.run(lm.acall("Hi")) if asynchronous else lm("Hi")
    assert said == ["The key is [redacted], the rest is [redacted]"] * 2
    assert len(engine.requests) == 1
    assert leaks_in_files(tmp_path) == {}


def test_what_a_model_says_of_a_text_is_no_key():
    said = "Bearer bonds, basic income, sk-learn-models, key=value12345, http://a.b/c?d=efghijkl"
    with secrets_known(frozenset({"local", "abc.12345.xyz"})):
        assert redact_reply([said, "a local paper"]) == [said, "a local paper"]


SPELLED = 'a+b/c=d"e&f-1234'
WORDLESS = ["AbCdEfGhIjKlMnOpQrStUvWx", "correct-horse-battery", "my_horse", "correcthorsebatterys"]


@pytest.mark.parametrize("key", [*WORDLESS, "hf_AbCdEfGhIjKlMnOpQr"])
def test_a_key_without_a_digit_is_blanked_in_a_reply(key, monkeypatch):
    monkeypatch.setenv("MY_PASSWORD", key)
    assert redact_reply({"text": f"I was sent {key}."}) == {"text": "I was sent [redacted]."}


def test_a_word_is_no_key_in_a_reply(monkeypatch):
    monkeypatch.setenv("MY_PASSWORD", "coherence")
    monkeypatch.setenv("OTHER_SECRET", "correct-horse-battery")
    said = "Its coherence is correct-ish, its password AbC."
    assert redact_reply([said]) == [said]


@pytest.mark.parametrize(
    "said",
    ["Bearer aB3dE5fG7hI9jK1lM3nO5", "key sk-proj-aB3dE5fG7hI9jK1lM3", "AIza" + "SyA1b2C3" * 3],
)
def test_what_can_only_be_a_key_is_blanked_in_a_reply(said):
    (left,) = redact_reply([f"I was sent {said} as it was."])
    assert (said.split()[-1] in left, "[redacted] as it was." in left) == (False, True)


@pytest.mark.parametrize("before", ["api:", "Bearer ", "user-1:"])
def test_a_key_is_found_within_base64(before):
    encoded = base64.b64encode(f"{before}{SPELLED} and more".encode()).decode()
    cores = [base64.b64encode(b"x" * at + SPELLED.encode()).decode()[4:-6] for at in range(3)]
    for left in (redact(encoded, {SPELLED}), blanked_in_a_reply(encoded)):
        assert "[redacted]" in left
        assert not any(core in left for core in cores)


def blanked_in_a_reply(reply):
    with secrets_known(frozenset({SPELLED})):
        return redact_reply(reply)


def test_a_key_is_found_in_the_keys_of_a_dictionary():
    assert blanked_in_a_reply({"sent": {SPELLED: 1}}) == {"sent": {"[redacted]": 1}}
    error = ValueError("refused")
    error.body = {SPELLED: 1}
    redact_error(error, {SPELLED})
    assert error.body == {"[redacted]": 1}


def test_the_tokens_of_a_key_are_emptied_and_the_others_stay():
    texts = ["5", " is", " ", SPELLED[:7], SPELLED[7:], "."]
    tokens = [
        {
            "token": text,
            "bytes": [*text.encode()],
            "top_logprobs": [{"token": text, "logprob": 0.0}],
        }
        for text in texts
    ]
    reply = blanked_in_a_reply({"text": "".join(texts), "logprobs": {"content": tokens}})
    (*before, first, second, after) = reply["logprobs"]["content"]
    assert [*before, after] == [*tokens[:3], tokens[5]]
    assert first == second
    assert first == {"token": "", "bytes": [], "top_logprobs": [{"token": "", "logprob": 0.0}]}


class Slotted(Exception):
    __slots__ = ("body",)


class Sealed(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


Pair = collections.namedtuple("Pair", "one other")


def test_an_error_is_freed_of_keys_whatever_it_keeps():
    looped: dict[str, object] = {"key": GIVEN}
    looped["again"] = looped
    bodies = [Pair(GIVEN, 1), collections.defaultdict(list, a=[GIVEN]), looped]
    bodies += [collections.Counter([GIVEN]), collections.OrderedDict(a=GIVEN)]
    for body in bodies:
        error = Slotted("refused")
        error.body = body
        other = RuntimeError("refused")
        other.body = body
        other.__cause__ = error
        redact_error(other, {GIVEN})
        assert leaks(repr(error.body) + repr(other.body)) == []
    pair = Slotted()
    pair.body = Pair(GIVEN, 1)
    redact_error(pair, {GIVEN})
    assert (pair.body.one, pair.body.other) == ("[redacted]", 1)


def test_an_error_is_freed_of_keys_in_its_members_and_in_what_python_keeps():
    group = ExceptionGroup("both", [ValueError(GIVEN), OSError(2, f"no {GIVEN}", GIVEN)])
    redact_error(group, {GIVEN})
    assert leaks("".join(traceback.format_exception(group))) == []
    redact_error(Sealed(GIVEN), {GIVEN})


def test_an_error_is_freed_of_keys_in_its_notes_and_arguments():
    error = ValueError({"header": [GIVEN]}, (GIVEN,))
    error.add_note(f"sent {GIVEN}")
    redact_error(error, {GIVEN})
    assert leaks("".join(traceback.format_exception(error)) + repr(error.args)) == []


@pytest.mark.parametrize(
    "spelled",
    [
        *(SPELLED, json.dumps(SPELLED)[1:-1], json.dumps(json.dumps(SPELLED))[3:-3], repr(SPELLED)),
        *(SPELLED.replace("/", "\\/"), SPELLED.replace("+", "\\u002b"), html.escape(SPELLED)),
        *(SPELLED.replace("+", "\\u002B").replace("&", "\\u0026"), urllib.parse.quote(SPELLED)),
        *(urllib.parse.quote(SPELLED, safe=""), urllib.parse.quote(SPELLED, safe="").lower()),
        *(urllib.parse.quote(urllib.parse.quote(SPELLED, safe="")), SPELLED[:8], SPELLED[:-1]),
        *(base64.b64encode(SPELLED.encode()).decode(), SPELLED[:9] + "...", SPELLED[:12] + "****"),
    ],
)
def test_a_key_is_found_in_every_spelling(spelled):
    left = redact(f"It was {spelled}", {SPELLED}).strip("'.*=")
    assert left == "It was [redacted]" or left == "It was '[redacted]"


def test_a_login_is_found_as_it_is_sent():
    known = secrets_of({"api_base": "https://user-7:pass-word-8@host/v1"})
    login = base64.b64encode(b"user-7:pass-word-8").decode()
    assert redact(f"header {login}", known).startswith("header [redacted]")


@pytest.mark.parametrize("key", ["ab1c", "hunter", "k-1", "s3cr3t!"])
def test_a_short_key_is_blanked_as_a_word(key):
    known = secrets_of({"api_key": key, "extra_headers": {"Authorization": f"Bearer {key}"}})
    expected = "[redacted]" if len(key) > 3 else key
    assert redact(f"no {key}, x{key}y, ({key})", known) == f"no {expected}, x{key}y, ({expected})"


@pytest.mark.parametrize("key", ["EMPTY", "none", "test", "x"])
def test_what_stands_for_no_key_is_an_ordinary_word(key):
    assert redact(f"is {key} here", secrets_of({"api_key": key})) == f"is {key} here"


def test_a_password_that_begins_with_a_word_does_not_blank_that_word():
    known = {"passwordhunter"}
    assert redact("The password of the server", known) == "The password of the server"
    assert redact("It was passwordhun", known) == "It was [redacted]"


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_CREDENTIAL", "MY_SESSION", "DB_PASSWD", "BASIC_AUTH", "SSH_PASSPHRASE", "DB_PASS"),
        *("MYSQL_PWD", "api_key", "SESSION_COOKIE"),
    ],
)
def test_a_variable_named_as_a_secret_is_one(name, monkeypatch):
    monkeypatch.setenv(name, "between-us-7")
    assert redact("say between-us-7") == "say [redacted]"
    monkeypatch.setenv(name, "s3cr3t")
    assert redact("say s3cr3t") == "say [redacted]"


@pytest.mark.parametrize(
    "name",
    [
        *("PWD", "OLDPWD", "GIT_AUTHOR_NAME", "XDG_SESSION_DESKTOP", "DESKTOP_SESSION", "COMPASS"),
        *("SSH_AUTH_SOCK", "GOOGLE_APPLICATION_CREDENTIALS", "XAUTHORITY"),
    ],
)
def test_a_variable_that_says_where_or_who_is_no_secret(name, monkeypatch):
    monkeypatch.setenv(name, "/home/me/work")
    assert redact("in /home/me/work") == "in /home/me/work"


def test_a_header_that_everybody_sends_is_no_secret():
    headers = {
        "Content-Type": "application/json",
        "X-Title": "Our judge",
        "X-Mine": "mine-mine-mine",
    }
    assert secrets_of({"extra_headers": headers}) == {"mine-mine-mine"}


def test_a_terminal_is_sent_no_orders(capfd, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("red \x1b[31m and \u202ebackwards")

    monkeypatch.setattr("mogradjudge.cli.cli.main", fail)
    with pytest.raises(SystemExit):
        main(["demo"])
    assert "red [31m and backwards" in capfd.readouterr().err


def test_a_judge_is_saved_without_what_its_lm_was_given(tmp_path):
    judge = MultiCriteriaJudge(RUBRIC)
    judge.set_lm(lm_at("http://127.0.0.1:1/v1"))
    judge.save(tmp_path / "judge.json")
    assert leaks_in_files(tmp_path) == {}
    saved = json.loads((tmp_path / "judge.json").read_text())["judges['all']"]["lm"]
    assert saved["api_base"].startswith("http://127.0.0.1:1/v1")
    assert saved["model"] == "openai/gpt-4o-mini"


@pytest.mark.parametrize(
    ["text", "expected"],
    [
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("'Authorization': 'Basic dXNlcg=='}", "'Authorization': 'Basic [redacted]'}"),
        ("Incorrect API key: sk-proj-abcdefgh12.", "Incorrect API key: [redacted]"),
        ("at https://me:pass@host:8/v1?key=a&b=c.", "at https://host:8/v1?key=[redacted]&b=[red"),
        ('{"api_key": "0123456789"}', '{"api_key": "[redacted]"}'),
        ("max_tokens=12345678 and 1234567890 tokens", "max_tokens=12345678 and 1234567890 tokens"),
        ("The prompt has 9000 tokens, it may have 8192.", "The prompt has 9000 tokens, it may "),
    ],
)
def test_what_looks_like_a_key_is_blanked(text, expected):
    assert redact(text).startswith(expected)


def test_a_key_within_a_key_leaves_no_rest(monkeypatch):
    monkeypatch.setenv("A_KEY", "12345678")
    monkeypatch.setenv("B_KEY", "1234567890abc")
    monkeypatch.setenv("SHORT_KEY", "the")
    assert redact("the 1234567890abc") == "the [redacted]"


def test_a_quoted_password_is_found_as_it_is_sent():
    assert {"p%40ssword", "p@ssword"} <= secrets_in("https://me:p%40ssword@host/v1")


def test_settings_keep_what_is_no_secret():
    settings = {"model": "openai/x", "max_tokens": 9, "api_key": "k", "nested": [{"token": "t"}]}
    assert without_secrets(settings) == {"model": "openai/x", "max_tokens": 9, "nested": [{}]}
    assert without_secrets(None) is None
    assert without_secrets("http://h/v1") == "http://h/v1"


@given(st.text())
def test_blanking_twice_is_blanking_once(text):
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "part", ["a", "://", "sk-", "key=", "Bearer ", "?a=", "-", "@", "api_", "\\", "%2"]
)
def test_blanking_takes_linear_time(part):
    started = time.process_time()
    redact(part * (1_000_000 // len(part)), {SPELLED, part * 9})
    assert time.process_time() - started < 1.0
