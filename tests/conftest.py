import gc
import os
import re
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# DSPy is imported where it is used: the process that only hands out tests does without it.

# Shared machines stall now and then; a law is checked by its examples and not by their speed.
# They are the same in each run: twice as many might find something once, and cost twice for ever.
settings.register_profile(
    "mogradjudge",
    max_examples=50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("few", settings.get_profile("mogradjudge"), max_examples=10)
settings.load_profile("mogradjudge")


TESTS = Path(__file__).parent
MEMORY = Path("/dev/shm")
ALL_SLOW = re.compile(r"^pytestmark = (?:\[[^]]*)?pytest\.mark\.slow", re.MULTILINE)

# Without bytecode each process compiles all that it imports, and litellm alone takes seconds.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_configure():
    """Keep the files of all tests in memory, and every process away from the network.

    Tests write many small files and wait for the disk at each; DSPy and litellm ask for newer
    prices in each process that imports them.
    """
    if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK):
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Use all processors for many tests, and start no process for a test, a file or a room.

    There is one process more, since some tests wait: for a server, for another process, for a file.
    """
    few = config.getoption("keyword") or config.getoption("lf", False)
    many = {TESTS, TESTS / "unit", TESTS / "integration"} & named(config)
    return (os.cpu_count() or 1) + 1 if many and not few else 0


def named(config):
    """Give the files and folders that were asked for."""
    return {(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args}


def pytest_ignore_collect(collection_path, config):
    """Import no file for a run that would deselect all of its tests: mlflow alone takes seconds."""
    if collection_path.suffix != ".py" or collection_path in named(config):
        return None
    text, chosen = collection_path.read_text("utf-8"), config.getoption("markexpr")
    is_vain = "mark.slow" not in text if chosen == "slow" else not chosen and ALL_SLOW.search(text)
    return True if is_vain else None


def pytest_collection_modifyitems(config, items):
    """Leave slow tests to `-m slow` and to whoever names their file; put processes first.

    Each worker takes the tests from its half in this order, and others steal from its end: most of
    what starts a server or a process of its own runs in one worker, which imports for it once.
    """
    items.sort(key=lambda item: not starts_processes(item))
    if config.getoption("markexpr"):
        return
    asked_for = named(config)
    slow = [
        item for item in items if item.get_closest_marker("slow") and item.path not in asked_for
    ]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


def pytest_collection_finish():
    """Spare each collection of garbage the millions of objects that imports have left."""
    gc.collect()
    gc.freeze()


def starts_processes(item):
    """Tell whether a test starts a database server, a cluster, or a process by `processes`."""
    servers = {"postgres", "two_workers"} & {*getattr(item, "fixturenames", ())}
    return bool(servers) or hasattr(getattr(item, "module", None), "processes")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """Let nobody wait for a server that fails on purpose."""
    from mogradjudge.lm import rate_limiter

    monkeypatch.setattr(rate_limiter, "FIRST_PAUSE", 0.005)
    monkeypatch.setattr(rate_limiter, "LONGEST_PAUSE", 0.05)


@pytest.fixture(autouse=True, scope="session")
def no_replies_on_disk():
    """Keep what is made for many tests away from the replies of an earlier run."""
    import dspy

    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)


@pytest.fixture(autouse=True, scope="session")
def migrations_read_once():
    """Let Optuna read the history of its tables once: it takes 0.1 s whenever a study is opened."""
    if "optuna" not in sys.modules:
        yield
        return
    from alembic.script import ScriptDirectory

    read, scripts = ScriptDirectory.from_config, {}

    def once(config):
        place = config.get_main_option("script_location")
        return scripts.get(place) or scripts.setdefault(place, read(config))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", once)
        yield


@pytest.fixture(autouse=True)
def replies_of_no_other_test():
    """Give each test a cache of its own, so that its calls are its own."""
    import dspy

    before = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    yield
    dspy.cache = before


@pytest.fixture(scope="session")
def postgres():
    """Give the URL of a real PostgreSQL database; a socket's path must be short."""
    from tests.postgres import postgres_server

    with tempfile.TemporaryDirectory(prefix="pg") as folder, postgres_server(Path(folder)) as url:
        yield url
