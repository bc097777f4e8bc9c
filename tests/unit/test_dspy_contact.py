"""Only two modules go behind the doors of DSPy and litellm, and they use what is listed here.

This is the list to read when a new DSPy comes. Where DSPy goes another way, a name is mended in
`mogradjudge/lm/dspy_internals.py` or `mogradjudge/programs/dspy_internals.py`.
"""

import ast
import importlib
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from mogradjudge.lm import dspy_internals
from mogradjudge.lm.dspy_internals import Exchange

ROOT = Path(__file__).parents[2]
LM = "mogradjudge/lm/dspy_internals.py"
PROGRAMS = "mogradjudge/programs/dspy_internals.py"

IMPORTED = {
    LM: {
        "dspy._vendor.lm15.providers": {"openai_chat"},
        "dspy.adapters.utils": {"parse_value"},
        "dspy.clients": {"_get_dspy_cache", "base_lm", "costs", "execution"},
        "dspy.clients.cache": {"Cache"},
        "dspy.clients.call_result": {"CACHE_FORMAT", "AttributeDict", "CallResult", "attributes"},
        "dspy.clients.errors": {"error_boundary"},
        "dspy.clients.legacy_outputs": {"plain", "responses_outputs", "value"},
        "dspy.dsp.utils.settings": {"thread_local_overrides"},
        "dspy.utils.usage_tracker": {"UsageTracker"},
    },
    PROGRAMS: {
        "dspy.adapters.utils": {"serialize_for_json"},
        "dspy.utils.callback": {"with_callbacks"},
    },
}
"""What is imported from modules that DSPy and litellm do not document."""

REPLACED = {
    "EXECUTE": ("dspy.clients.execution", "execute", "lm call"),
    "EXECUTE_ASYNC": ("dspy.clients.execution", "aexecute", "lm call"),
    "ATTEMPT": (
        *("dspy.clients.execution", "_attempt"),
        "lm call backend request provider state results",
    ),
    "ATTEMPT_ASYNC": (
        *("dspy.clients.execution", "_aattempt"),
        "lm call backend request provider state results",
    ),
    "HAND_OVER": ("dspy.clients.execution", "finalize", "lm call result"),
    "MODEL_INFO": ("dspy.clients.costs", "model_info", "provider model namespaces"),
    "READ_MESSAGE": (
        *("dspy._vendor.lm15.providers.openai_chat", "_response_from_chat_body"),
        "provider data model choice on_error",
    ),
    "READ_USAGE": ("dspy._vendor.lm15.providers.openai_chat", "_usage_from_chat", "usage_data"),
    "RECORD_HISTORY": ("dspy.clients.base_lm", "record_history", "client entry"),
    "START_THREAD": ("Thread", "start", "self"),
}
"""The functions that are replaced while a run is active, with their parameters."""

ATTRIBUTES = {
    LM: {
        *("_cache_lock", "_lock", "_prepare_cached_response", "_process_completion"),
        *("GLOBAL_HISTORY", "caller_modules", "usage_tracker", "json_schema_extra"),
        *("disk_cache", "enable_disk_cache", "enable_memory_cache", "memory_cache"),
        *("cache_hit", "emitted", "finish_reason", "legacy", "managed", "provider_data"),
        "use_json_adapter_fallback",
    },
    PROGRAMS: {"stage"},
}
"""The attributes of DSPy's objects that no documentation names; `_lock` is the cache's."""

TEXTS = {
    LM: {
        *("_dspy_format", "_dspy_lm_class", "_fn_identifier", "_hidden_params"),
        *("_response_headers", "dspy._vendor.lm15.providers"),
        *("dspy.clients.lm", "dspy.clients.lm.", "dspy.clients.lm15."),
        "model_prices_and_context_window_backup.json",
    },
    PROGRAMS: {
        *("candidate_programs", "detailed_results", "mb_candidate_programs", "trial_logs"),
        "extraction_model",
    },
}
"""Names of modules, loggers, fields and files that stand in texts."""

ALLOWED = {
    # DSPy and litellm are imported later, and this must be set before: `--help` takes no seconds.
    "mogradjudge/cli/__init__.py": {"LITELLM_LOCAL_MODEL_COST_MAP", "dspy.clients.model_metadata"},
    # What `MOGrad.compile` leaves on a program is its own promise, by the names of DSPy's others.
    "mogradjudge/optimize/teleprompter.py": {
        *("candidate_programs", "detailed_results", "trial_logs"),
    },
    # It measures another library, which speaks by openai's client and reads litellm's setting.
    "benchmarks/peers/textgrad_methods.py": {
        *("DefaultHttpxClient", "OpenAI", "openai.resources.chat"),
        "LITELLM_LOCAL_MODEL_COST_MAP",
    },
    # An embedding model's failure is litellm's, which is of this kind.
    "benchmarks/dilution/raters.py": {"OpenAIError"},
    # It measures another library, which asks by litellm.
    "benchmarks/peers/autorubric_method.py": {"LITELLM_LOCAL_MODEL_COST_MAP"},
    # It measures DSPy's own cache beside ours, and closes its files at the end.
    "benchmarks/self_tests/scale.py": {"disk_cache"},
}
"""What other modules may name all the same, each for its reason."""

PUBLIC = {
    "dspy.evaluate": {"EvaluationResult"},
    "dspy.teleprompt": {"Teleprompter"},
    "dspy.utils.callback": {"BaseCallback"},
}
"""Documented names outside `dspy` itself and `dspy.lm15`."""

PACKAGES = {"_vendor", "adapters", "clients", "dsp", "predict", "primitives", "propose"} | {
    *("retrievers", "signatures", "streaming", "utils"),
}
"""Parts of `dspy` that its documentation does not send anybody to."""

SETTINGS = {"lm", "adapter", "callbacks", "trace", "track_usage", "disable_history"} | {
    *("num_threads", "max_errors", "async_max_workers", "provide_traceback"),
}
"""The settings that DSPy documents."""

LIBRARIES = ("dspy", "litellm", "openai")
INNER_TEXT = re.compile(
    r"dspy\.(?:clients|dsp|_\w+|adapters|utils)\b[\w.]*|_dspy_\w+|_hidden_params|_response_headers"
    r"|_fn_identifier|LITELLM_\w+|model_prices_and_context_window_backup\.json|extraction_model"
    r"|(?:mb_)?candidate_programs|detailed_results|trial_logs"
)


def modules():
    for folder in ("mogradjudge", "benchmarks"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def inner_imports(tree):
    """Find the imports that go behind a door, by module."""
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] in LIBRARIES and name.name != "dspy":
                    imported.setdefault(name.name, set()).add(name.name)
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in LIBRARIES:
            names = {name.name for name in node.names} - PUBLIC.get(node.module, set())
            if node.module == "dspy":
                names = {name for name in names if name.startswith("_") or name in PACKAGES}
            if names and node.module != "dspy.lm15":
                imported.setdefault(node.module, set()).update(names)
    return imported


def inner_attributes(tree):
    """Find the attributes of `dspy`, its settings and its objects that have no public name."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value)
            inner = node.attr.startswith("_") or node.attr in PACKAGES or is_stored(node)
            if owner == "dspy" and inner and node.attr != "__version__":
                names.add(node.attr)
            if owner == "dspy.settings" and node.attr not in {*SETTINGS, "get"}:
                names.add(node.attr)
            if owner.split(".")[0] in {"litellm", "openai"}:
                names.add(node.attr)
            if node.attr in set().union(*ATTRIBUTES.values()) - {"_lock", "cache", "stage"}:
                names.add(node.attr)
        elif isinstance(node, ast.Call):
            names |= inner_settings(node)
    return names


def is_stored(node):
    return not isinstance(node.ctx, ast.Load)


def inner_settings(call):
    """Find the undocumented settings that a call reads or sets."""
    function = ast.unparse(call.func)
    if function == "dspy.settings.get" and isinstance(call.args[0], ast.Constant):
        return {call.args[0].value} - SETTINGS
    if function in ("dspy.context", "dspy.configure"):
        return {keyword.arg for keyword in call.keywords if keyword.arg} - SETTINGS
    return set()


def inner_texts(tree):
    """Find the texts, docstrings apart, that hold an inner name."""
    texts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts |= {text for text in INNER_TEXT.findall(node.value) if text == node.value}
    return texts


def behind_doors(tree):
    return inner_attributes(tree) | inner_texts(tree) | set().union(*inner_imports(tree).values())


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_only_two_modules_go_behind_dspys_doors():
    strays = {
        name: names
        for path in modules()
        if (name := path.relative_to(ROOT).as_posix()) not in IMPORTED
        and (names := behind_doors(parsed(path)) - ALLOWED.get(name, set()))
    }
    assert strays == {}


@pytest.mark.parametrize("module", [LM, PROGRAMS])
def test_the_list_of_what_they_use_is_complete(module):
    tree = parsed(ROOT / module)
    assert inner_imports(tree) == IMPORTED[module]
    assert inner_texts(tree) == TEXTS[module]
    assert ATTRIBUTES[module] <= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    stored = {"cache"}  # `dspy.cache` may be replaced, its documentation says
    assert inner_attributes(tree) <= ATTRIBUTES[module] | stored


@pytest.mark.parametrize("name", REPLACED)
def test_a_replaced_function_is_the_one_that_we_know(name):
    owner, function = getattr(dspy_internals, name)
    module, known, parameters = REPLACED[name]
    assert (owner.__name__, function) == (module, known)
    assert [*inspect.signature(getattr(owner, function)).parameters] == parameters.split()


def test_no_function_is_replaced_that_is_not_listed():
    places = {
        name
        for name, place in vars(dspy_internals).items()
        if name.isupper() and isinstance(place, tuple) and inspect.ismodule(place[0])
    }
    assert places | {"START_THREAD"} == REPLACED.keys()


def test_an_attempt_has_the_arguments_of_dspys():
    parameters = [field.name for field in fields(Exchange)]
    assert parameters == REPLACED["ATTEMPT"][2].split()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (module, name)
        for names in IMPORTED.values()
        for module in names
        for name in sorted(names[module])
    ],
)
def test_what_is_imported_is_there(module, name):
    assert module == name or hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import dspy.clients.lm", {"dspy.clients.lm"}),
        ("from dspy import clients", {"clients"}),
        ("from dspy.clients.lm import LM", {"LM"}),
        ("from dspy.utils.callback import BaseCallback, with_callbacks", {"with_callbacks"}),
        ("import litellm", {"litellm"}),
        ("dspy.cache = 1", {"cache"}),
        ("del dspy.cache", {"cache"}),
        ("dspy.clients.execution.execute(1)", {"clients"}),
        ("dspy._cache_lock", {"_cache_lock"}),
        ("dspy.settings.get('caller_modules')", {"caller_modules"}),
        ("dspy.settings.usage_tracker", {"usage_tracker"}),
        ("dspy.context(usage_tracker=None, lm=lm)", {"usage_tracker"}),
        ("getLogger('dspy.clients.lm')", {"dspy.clients.lm"}),
        ("reply._hidden_params; getattr(reply, '_hidden_params')", {"_hidden_params"}),
        ("result.provider_data", {"provider_data"}),
        ("import dspy\nfrom dspy import lm15\nfrom dspy.lm15 import Request", set()),
        ("from dspy.teleprompt import Teleprompter", set()),
        ("with dspy.context(lm=lm, trace=[]): dspy.settings.adapter", set()),
    ],
)
def test_a_way_behind_the_doors_is_seen(code, names):
    assert behind_doors(ast.parse(code)) == names
