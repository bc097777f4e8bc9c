"""A saved judge's file: what it says before DSPy loads it, and the model that it names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mogradjudge.errors import SetupError
from mogradjudge.judge.predictor import saved_manifest
from mogradjudge.judge.scores import JudgeSettings

_LARGEST_FILE = 50_000_000  # bytes
_NOTE = "mogradjudge"  # beside DSPy's versions in the metadata, where DSPy ignores it


def saved_judge(path: Path) -> dict[str, Any]:
    """Read the criteria, settings and rubric of a saved judge.

    Raises:
        SetupError: If the file is none.
    """
    state = _saved_state(path)
    metadata = state.get("metadata") if isinstance(state, dict) else None
    versions = metadata.get("dependency_versions") if isinstance(metadata, dict) else None
    if not isinstance(versions, dict):
        return saved_manifest(None)
    predictors = (value for key, value in state.items() if key != "metadata")
    return saved_manifest(next(predictors, None))


def _saved_state(path: Path) -> Any:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise SetupError(f"is larger than {_LARGEST_FILE} bytes; not a judge.")
        return json.loads(path.read_text(encoding="utf-8"))
    except SetupError:  # a ValueError too
        raise
    except OSError as error:
        raise SetupError(f"cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise SetupError(f"is not a JSON file: {error}.") from error


def settings_of(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the judge's settings in what `saved_judge` read."""
    settings = saved["settings"]
    return {
        field.name: settings[field.name]
        for field in fields(JudgeSettings)
        if field.name in settings
    }


def note_model(path: Path, model: str | None, *, own_server: bool = False) -> None:
    """Add the model's name, and this package's version, to a judge that DSPy has saved as JSON.

    Of a server of one's own only that there was one is noted: its address may hold secrets.
    """
    import orjson

    state = orjson.loads(path.read_bytes())
    note = {"model": model, "version": version("mogradjudge")}
    state["metadata"][_NOTE] = {**note, **({"own_server": True} if own_server else {})}
    layout = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE  # as DSPy writes it
    path.write_bytes(orjson.dumps(state, option=layout))


def noted_model(state: Mapping[str, Any]) -> str | None:
    """Return the name of the model that a judge was saved with; None if its file does not say.

    >>> noted_model({"metadata": {"mogradjudge": {"model": "openai/gpt-4o-mini"}}})
    'openai/gpt-4o-mini'
    """
    match state.get("metadata"):
        case {"mogradjudge": {"model": str(model)}} if "://" not in model:  # a name, no address
            return model
    return None


def noted_server(state: Mapping[str, Any]) -> bool:
    """Say whether a judge was saved with a model on a server of one's own.

    >>> noted_server({"metadata": {"mogradjudge": {"model": "openai/judge", "own_server": True}}})
    True
    """
    match state.get("metadata"):
        case {"mogradjudge": {"own_server": True}}:
            return True
    return False
