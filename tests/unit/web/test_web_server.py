"""The commands that answer over HTTP, as processes: what they print, and how they end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import dspy
import pytest

from benchmarks.worlds.server import serving
from benchmarks.worlds.world import toy_rubric
from mogradjudge import Criterion, MultiCriteriaJudge, Rubric
from tests.processes import PATIENCE

pytestmark = pytest.mark.slow
TEXT = "Text 0: coherence=1, fluency=1"


@contextmanager
def command(*words, cwd=None, **environment):
    process = subprocess.Popen(
        [sys.executable, "-m", "mogradjudge", *map(str, words), "--port", "0", "--json"],
        cwd=cwd,
        env={**os.environ, "OPENAI_API_KEY": "none", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, json.loads(process.stdout.readline())["url"]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def judge(tmp_path):
    with dspy.context(lm=dspy.LM("openai/toy")):
        MultiCriteriaJudge(toy_rubric("coherence", "fluency")).save(tmp_path / "judge.json")
    return tmp_path / "judge.json"


def post(url, body, **headers):
    request = urllib.request.Request(f"{url}/rate", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def test_a_request_in_flight_is_answered_before_the_end_and_no_text_is_printed(judge):
    with serving(latency=2) as server, command("serve", judge, "--api-base", server.url) as running:
        process, url = running
        answers = []
        asking = threading.Thread(target=lambda: answers.append(post(url, {"output": TEXT})))
        asking.start()
        while asking.is_alive() and not server.calls:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert answers[0]["coherence"] is not None
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        assert TEXT not in out + err


def test_the_variables_token_is_asked_for(judge):
    with serving() as server:
        words = ("serve", judge, "--api-base", server.url)
        with command(*words, MOGRADJUDGE_TOKEN="sesame") as (_, url):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                post(url, {"output": TEXT})
            assert post(url, [{"output": TEXT}], Authorization="Bearer sesame")


@pytest.mark.parametrize("name", ["view", "label"])
def test_a_page_has_a_token_in_its_address(name, tmp_path):
    (tmp_path / "texts.csv").write_text("output\nA text.\n")
    rubric = Rubric(["output"], [Criterion("fluency", "Is it fluent?")])
    (tmp_path / "rubric.toml").write_text(rubric.to_toml())
    words = {
        "view": [],
        "label": ["texts.csv", "--rubric", "rubric.toml"],
    }[name]
    with command(name, *words, cwd=tmp_path) as (process, url):
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert "<main" in opener.open(url, timeout=PATIENCE).read().decode()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(url.partition("?")[0], timeout=PATIENCE)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
