"""A judge as a service: what it answers, what it refuses, and what it never tells."""

import asyncio
import json
import socket

import dspy
import pytest
from dspy.lm15 import ServerError
from starlette.testclient import TestClient

from engines import AsyncEngine, FunctionEngine, fake_lm, in_chat, user
from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.errors import SetupError
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.web.server import application, run
from mogradjudge.web.service import Limits, Service, description

RUBRIC = Rubric(["reply"], [Criterion("tone", "Is it kind?"), Criterion("style", "Good?")])
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/rate",
    "query_string": b"",
    "headers": [(b"host", b"localhost")],
}
SECRET = "sk-secret-key-0123456789abcdef"


def replied(request):
    if "DOWN" in user(request):
        raise ServerError(f"no server for {SECRET}")
    return in_chat({"tone": 4, "style": "x" if "ODD" in user(request) else 2})


def service(limits=None, reply=replied):
    engine = FunctionEngine(reply)
    with dspy.context(lm=fake_lm(engine)):
        return Service(MultiCriteriaJudge(RUBRIC), limits or Limits()), engine


def client(limits=None, token=None, host="127.0.0.1", reply=replied):
    answering, _ = service(limits, reply)
    app = application(answering.routes, host, token)
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def test_one_text_is_answered_with_an_object_and_a_list_with_a_list():
    web = client()
    one = web.post("/rate", json={"reply": "Yes."}).json()
    assert (one["tone"], one["style"], one["style_unscored"]) == (4, 2, None)
    many = web.post("/rate", json=[{"reply": "Yes."}, {"reply": "ODD", "id": 3}])
    assert [row["style"] for row in many.json()] == [2, None]
    assert "style" in many.json()[1]["style_unscored"]
    assert many.headers["cache-control"] == "no-store"


def test_items_that_cannot_be_read_do_not_keep_the_others_from_their_scores():
    items = [{"reply": "Yes."}, {"reply": " "}, 3, {"other": ""}, {"reply": "x" * 13}]
    rows = client(Limits(characters=12)).post("/rate", json=items).json()
    assert [row["tone"] for row in rows] == [4, None, None, None, None]
    assert rows[0]["tone_unscored"] is None
    for number, row in enumerate(rows[1:], 2):
        assert row.keys() == rows[0].keys() and str(number) in row["style_unscored"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"{", 400, "JSON"),
        (b"3", 422, "object"),
        (b"[]", 422, "0"),
        (b"{}", 422, "reply"),
        (b'[{"other": "Yes."}, {"reply": " "}]', 422, "1"),
        (b'{"reply": ["Yes."]}', 422, "reply"),
        (b'{"reply": "1234567890123"}', 413, "13"),
        (json.dumps([{"reply": "Yes."}] * 4).encode(), 413, "4"),
        (b" " * 100_000, 413, "bytes"),
    ],
)
def test_what_cannot_be_rated_is_refused_in_one_line_of_json(body, status, word):
    answering, engine = service(Limits(items=3, characters=12))
    web = TestClient(application(answering.routes, "127.0.0.1", None), "http://127.0.0.1")
    answer = web.post("/rate", content=body)
    assert answer.status_code == status
    assert word in answer.json()["error"] and "\n" not in answer.json()["error"]
    assert engine.requests == []


def test_a_name_that_is_nearly_an_input_is_asked_for_and_one_text_has_no_number():
    line = client().post("/rate", json={"Reply": "Yes."}).json()["error"]
    assert "in place of 'Reply'" in line and "Item" not in line
    for body in (3, {"reply": " "}, {"reply": "x" * 200_000}):
        assert "Item" not in client().post("/rate", json=body).json()["error"]
        assert "Item 1" in client().post("/rate", json=[body]).json()["error"]


def test_a_token_is_asked_for_but_not_for_health():
    web = client(token="open sesame")
    assert web.post("/rate", json={"reply": "Yes."}).status_code == 401
    wrong = {"Authorization": "Bearer wrong"}
    assert web.post("/rate", json={"reply": "Yes."}, headers=wrong).status_code == 401
    assert web.get("/openapi.json?token=open sesame").status_code == 401  # for pages alone
    right = {"Authorization": "Bearer open sesame"}
    assert web.post("/rate", json={"reply": "Yes."}, headers=right).status_code == 200
    assert web.get("/health").json()["status"] == "ok"


def test_a_local_service_does_not_answer_to_another_name():
    hostile = {"host": "attacker.example"}
    refused = client().get("/health", headers=hostile)
    assert refused.status_code == 400 and "Host" in refused.json()["error"]
    assert client(host="0.0.0.0").get("/health", headers=hostile).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_behind_a_proxy_only_the_names_that_it_passes_on_are_answered(host):
    answering, _ = service()
    app = application(answering.routes, host, None, names=["Judge.example"])
    web = TestClient(app, "http://127.0.0.1:8000")
    for name, status in {"judge.example": 200, "localhost:1": 200, "x.judge.example": 400}.items():
        assert web.get("/health", headers={"host": name}).status_code == status
    sent = {"host": "judge.example", "origin": "https://judge.example"}
    assert web.post("/rate", json={"reply": "Yes."}, headers=sent).status_code == 200


@pytest.mark.parametrize("name", ["x/health?", "x/health#", "x@y", "", "a b", "[::1]:8000"])
def test_a_name_that_is_none_opens_nothing(name):
    web = client(token="sesame", host="0.0.0.0")
    answer = web.post("/rate", json={"reply": "Yes."}, headers={"host": name})
    assert answer.status_code == (401 if name.startswith("[") else 400)


@pytest.mark.parametrize(("host", "token"), [("127.0.0.1", None), ("0.0.0.0", "sesame")])
@pytest.mark.parametrize(
    "origin",
    ["http://evil.com", "null", "", "http://127.0.0.1:9000", "http://127.0.0.1:8000.evil.com"],
)
def test_a_page_of_another_origin_has_no_text_rated(origin, host, token):
    answering, engine = service()
    web = TestClient(application(answering.routes, host, token), "http://127.0.0.1:8000")
    headers = {"Origin": origin, "Authorization": "Bearer sesame"}
    answer = web.post("/rate", json={"reply": "Yes."}, headers=headers)
    assert answer.status_code == 403 and "\n" not in answer.json()["error"]
    assert web.get("/health", headers=headers).status_code == 403
    assert engine.requests == []


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "https://127.0.0.1:8000"])
def test_a_page_of_the_same_host_is_answered(origin):
    answer = client().post("/rate", json={"reply": "Yes."}, headers={"Origin": origin})
    assert answer.status_code == 200


def test_a_failing_provider_is_an_error_without_the_key():
    answer = client().post("/rate", json={"reply": "DOWN"})
    assert answer.status_code == 502
    assert "no server" in answer.json()["error"] and SECRET not in answer.text


def test_an_error_of_the_program_tells_nothing_of_the_text():
    def broken(request):
        raise RuntimeError(user(request))

    answer = client(reply=broken).post("/rate", json={"reply": "private words"})
    assert answer.status_code in (500, 502)
    assert "error" in answer.json()


def test_unknown_addresses_and_methods_are_json_too():
    assert "error" in client().get("/nothing").json()
    assert client().get("/rate").status_code == 405


def test_texts_of_all_requests_share_the_limits():
    answering, _ = service(Limits(calls=2, waiting=3))
    web = TestClient(application(answering.routes, "127.0.0.1", None), "http://127.0.0.1")
    refused = web.post("/rate", json=[{"reply": str(number)} for number in range(4)])
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert web.post("/rate", json=[{"reply": str(number)} for number in range(3)]).is_success
    assert answering.waiting == 0
    assert sum(row.calls for row in answering._ledger.rows) == 3  # what --max-rpm counts


def test_the_description_names_inputs_scores_and_limits():
    description = client(Limits(items=7)).get("/openapi.json").json()
    rate = description["paths"]["/rate"]["post"]
    one, many = rate["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert one["required"] == ["reply"] and many["maxItems"] == 7
    scores = rate["responses"]["200"]["content"]["application/json"]["schema"]["oneOf"][0]
    assert set(scores["properties"]) >= {"tone", "style", "tone_unscored"}


def test_the_description_has_the_scores_that_each_criterion_can_get():
    rate = client().get("/openapi.json").json()["paths"]["/rate"]["post"]
    scores = rate["responses"]["200"]["content"]["application/json"]["schema"]["oneOf"][0]
    assert scores["properties"]["tone"]["enum"] == [1, 2, 3, 4, 5, None]
    with dspy.context(lm=fake_lm(FunctionEngine(replied))):
        expected = MultiCriteriaJudge(RUBRIC, score_rule="expected")
    scores = description(expected, Limits())["paths"]["/rate"]["post"]["responses"]["200"]
    tone = scores["content"]["application/json"]["schema"]["oneOf"][0]["properties"]["tone"]
    assert (tone["minimum"], tone["maximum"]) == (1, 5) and "enum" not in tone


def test_health_names_the_model_and_tells_one_judge_from_another():
    def health(judge):
        with dspy.context(lm=fake_lm(FunctionEngine(replied))):
            routes = Service(judge).routes
        return TestClient(application(routes, "localhost", None), "http://localhost").get("/health")

    first, other = MultiCriteriaJudge(RUBRIC), MultiCriteriaJudge(RUBRIC)
    (predictor,) = other.judges.values()
    predictor.signature = predictor.signature.with_instructions("Rate it.")
    one, again, new = (health(judge).json() for judge in (first, first, other))
    assert one["model"] == fake_lm(FunctionEngine(replied)).model
    assert one["judge"] == again["judge"] != new["judge"]


def test_a_client_that_has_hung_up_is_paid_no_further_call(monkeypatch):
    async def complete(engine, request):
        engine.engine.requests.append(request)
        await asyncio.sleep(60)

    monkeypatch.setattr(AsyncEngine, "complete", complete)

    async def hang_up():
        answering, engine = service(Limits(calls=2))
        app = application(answering.routes, "localhost", None)
        body = json.dumps([{"reply": str(number)} for number in range(5)]).encode()
        messages = [{"type": "http.request", "body": body}]
        sent = []

        async def receive():
            if messages:
                return messages.pop()
            while not engine.requests:
                await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await app(dict(SCOPE), receive, send)
        return answering, len(engine.requests)

    answering, calls = asyncio.run(asyncio.wait_for(hang_up(), 5))
    assert calls <= 2 and answering.waiting == 0 and answering._free._value == 2


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("mogradjudge.web.server._BODY_SECONDS", 0.05)

    async def wait():
        answering, _ = service()
        sent = []

        async def receive():
            await asyncio.sleep(60)

        async def send(message):
            sent.append(message)

        app = application(answering.routes, "localhost", None)
        await app(dict(SCOPE), receive, send)
        return sent[0]["status"]

    assert asyncio.run(asyncio.wait_for(wait(), 5)) == 408


def test_few_bodies_are_read_at_a_time_and_few_wait(monkeypatch):
    monkeypatch.setattr("mogradjudge.web.service._MOST_BODIES", 2)

    async def ask():
        come = asyncio.Event()
        answering, _ = service(Limits(waiting=3))
        app = application(answering.routes, "localhost", None)
        reading, statuses = [], []

        async def receive():
            reading.append(1)
            await come.wait()
            return {"type": "http.request", "body": b"[]"}

        async def send(message):
            statuses.append(message.get("status"))

        asked = [asyncio.create_task(app(dict(SCOPE), receive, send)) for _ in range(5)]
        await asyncio.sleep(0.05)
        read_first, refused_first = len(reading), list(filter(None, statuses))
        come.set()
        await asyncio.gather(*asked)
        return read_first, refused_first, sorted(filter(None, statuses)), answering.bodies

    read, refused, statuses, waiting = asyncio.run(asyncio.wait_for(ask(), 5))
    assert (read, refused) == (2, [503, 503])
    assert (statuses, waiting) == ([422, 422, 422, 503, 503], 0)


def test_health_shows_no_folder_of_the_machine():
    engine = FunctionEngine(replied)
    lm = fake_lm(engine)
    lm.model = "local//home/ann/private/judge.gguf"
    with dspy.context(lm=lm):
        health = Service(MultiCriteriaJudge(RUBRIC))._health
    assert health["model"] == "local/judge.gguf"


def test_no_prompt_is_kept():
    answering, _ = service()
    lm = answering._settings["lm"]
    web = TestClient(application(answering.routes, "127.0.0.1", None), "http://127.0.0.1")
    web.post("/rate", json={"reply": "private words"})
    assert "private words" not in repr(lm.history)
    assert lm.cache is False


IMAGES = Rubric(["photo"], [Criterion("tone", "Is it kind?")], images=["photo"])
PNG = "data:image/png;base64,iVBORw0KGgo="


def test_an_image_is_sent_on_but_no_file_of_this_machine_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    engine = FunctionEngine(lambda _: in_chat({"tone": 4}))
    with dspy.context(lm=fake_lm(engine)):
        answering = Service(MultiCriteriaJudge(IMAGES), Limits(characters=5))
    web = TestClient(application(answering.routes, "127.0.0.1", None), "http://127.0.0.1")
    for stranger in (
        str(tmp_path / "a.png"),
        "../a.png",
        f"file://{tmp_path}/a.png",
        {"bytes": "a"},
    ):
        answer = web.post("/rate", json={"photo": stranger})
        assert (answer.status_code, engine.requests) == (422, [])
        assert "photo" in answer.json()["error"]
    assert web.post("/rate", json={"photo": PNG}).json()["tone"] == 4
    assert len(engine.requests) == 1
    assert all("image" in [part.type for part in it.messages[0].parts] for it in engine.requests)
    item = web.get("/openapi.json").json()["paths"]["/rate"]["post"]["requestBody"]
    schema = json.dumps(item["content"]["application/json"]["schema"]["oneOf"][0])
    assert "maxLength" not in schema and "address" not in schema


@pytest.mark.parametrize("address", ["http://169.254.169.254/a.png", "HTTPS://example.org/a.png"])
@pytest.mark.parametrize("allowed", [False, True])
def test_addresses_of_images_are_taken_only_if_they_are_allowed(address, allowed):
    engine = FunctionEngine(lambda _: in_chat({"tone": 4}))
    with dspy.context(lm=fake_lm(engine)):
        answering = Service(MultiCriteriaJudge(IMAGES), Limits(image_urls=allowed))
    web = TestClient(application(answering.routes, "127.0.0.1", None), "http://127.0.0.1")
    answer = web.post("/rate", json=[{"photo": address}])
    assert (answer.status_code, len(engine.requests)) == ((200, 1) if allowed else (422, 0))
    assert "path" not in answer.text
    assert ("address" in web.get("/openapi.json").text) is allowed
    assert "path" not in web.post("/rate", json={"photo": 3}).json()["error"]


@pytest.mark.parametrize("flag", [True, False])
def test_a_boolean_is_no_text(flag):
    assert client().post("/rate", json={"reply": flag}).status_code == 422
    rows = client().post("/rate", json=[{"reply": flag}, {"reply": 3}]).json()
    assert [row["tone"] for row in rows] == [None, 4] and "reply" in rows[0]["tone_unscored"]


@pytest.mark.parametrize("key", ["messages", "conversations"])
def test_what_the_description_allows_of_conversations_is_taken(key):
    web = client()
    turns = [{"role": "user", "content": "Hi"}]
    assert web.post("/rate", json={"reply": {key: turns}}).json()["tone"] == 4
    rate = web.get("/openapi.json").json()["paths"]["/rate"]["post"]["requestBody"]
    (reply,) = rate["content"]["application/json"]["schema"]["oneOf"][0]["properties"].values()
    assert set(reply["type"]) == {"string", "number", "array", "object"}
    assert {"required": [key]} in reply["anyOf"] and reply["properties"][key]["type"] == "array"


def test_a_host_that_is_none_is_told_by_its_option(monkeypatch):
    def unknown(address, family):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_server", unknown)
    with pytest.raises(SetupError, match="--host"):
        run(application([], "nowhere", None), "nowhere", 8000, print)


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_both_families_of_local_addresses_are_bound(monkeypatch, host):
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    urls = []
    run(application([], host, None), host, 0, urls.append)
    assert urls[0].startswith(f"http://{f'[{host}]' if ':' in host else host}:")
