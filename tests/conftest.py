import tempfile
from pathlib import Path

import dspy
import pytest
from hypothesis import HealthCheck, settings

from mogradjudge import limiter
from tests.postgres import postgres_server

# Shared machines stall now and then; a law is checked by its examples and not by their speed.
settings.register_profile(
    "mogradjudge",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mogradjudge")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """Let nobody wait for a server that fails on purpose."""
    monkeypatch.setattr(limiter, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(limiter, "LONGEST_PAUSE", 0.05)


@pytest.fixture(autouse=True)
def replies_of_no_other_test():
    """Give each test a cache of its own, so that its calls are its own."""
    before = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    yield
    dspy.cache = before


@pytest.fixture(scope="session")
def postgres():
    """Give the URL of a real PostgreSQL database; a socket's path must be short."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder, postgres_server(Path(folder)) as url:
        yield url
