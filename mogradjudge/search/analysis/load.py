"""`search.json` read back as the result that it was written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from mogradjudge.errors import SetupError
from mogradjudge.files import decoded, read_json
from mogradjudge.search.analysis.result import SearchResult

T = TypeVar("T")


def read_search(path: Path) -> SearchResult:
    """Read a search's result; its program is not part of the file.

    Raises:
        SetupError: If the file is none, or damaged.
    """
    plain = read_json(path)
    try:
        return result_of(plain)
    except (KeyError, TypeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise SetupError(f"{path} is damaged ({why}). Give another folder.") from error


def result_of(plain: Mapping[str, Any]) -> SearchResult:
    """Give the result that was written as `SearchResult.as_dict`, without its program."""
    result = record_from(SearchResult, _by_fields(plain))
    trials = {None: None} | {trial.number: trial for trial in result.trials}
    return replace(result, best=trials[plain["best"]], default=trials[plain["default"]])


def record_from(kind: type[T], plain: Mapping[str, Any]) -> T:
    """Give the record that was written as `plain`."""
    return decoded(kind, _with_reasons(plain))


def _by_fields(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Name what the file holds by the result's fields, which hold trials and not their numbers."""
    trials = {None: None} | {trial["number"]: trial for trial in plain["trials"]}
    ends = {name: trials[plain[name]] for name in ("best", "default")}
    spent = dict(plain["spent"])
    spent["cost"] = spent.get("cost") or 0.0
    return {**plain, **ends, "value_names": plain["values"], "spent": spent}


def _with_reasons(value: Any) -> Any:
    """Give what is undefined the name of its field: the file says ``undefined``."""
    if isinstance(value, dict):
        if set(value) == {"undefined"}:
            return {"reason": value["undefined"]}
        return {name: _with_reasons(part) for name, part in value.items()}
    return [_with_reasons(part) for part in value] if isinstance(value, list) else value
