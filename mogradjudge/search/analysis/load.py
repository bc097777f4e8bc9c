"""`search.json` read back as the result that it was written from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mogradjudge.agreement import Comparison, Interval, Undefined
from mogradjudge.errors import SetupError
from mogradjudge.files import read_json
from mogradjudge.lm.budget import Spent
from mogradjudge.search.analysis.effects import Effects, Estimate, LevelEffect
from mogradjudge.search.analysis.result import Fresh, SearchResult, TrialRecord
from mogradjudge.search.analysis.selection_bias import Corrected


def read_search(path: Path) -> SearchResult:
    """Read a search's result; its program is not part of the file.

    Raises:
        SetupError: If the file is none, or damaged.
    """
    plain = read_json(path)
    try:
        return _result(plain)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SetupError(f"{path} is damaged ({error!r}). Give another folder.") from error


def _result(plain: Mapping[str, Any]) -> SearchResult:
    trials = tuple(_trial(each) for each in plain["trials"])
    by_number = {each.number: each for each in trials}
    return SearchResult(
        study=plain["study"],
        value_names=tuple(plain["values"]),
        trials=trials,
        best=None if plain["best"] is None else by_number[plain["best"]],
        default=None if plain["default"] is None else by_number[plain["default"]],
        selected=_unless_undefined(plain["selected"]) or Corrected(**plain["selected"]),
        fresh=None if plain["fresh"] is None else _fresh(plain["fresh"]),
        front=tuple(plain["front"]),
        hypervolume=plain["hypervolume"],
        importances=plain["importances"],
        effects=_unless_undefined(plain["effects"]) or _effects(plain["effects"]),
        spent=Spent(**plain["spent"]),
        unfinished=plain["unfinished"],
        texts=plain["texts"],
        documents=plain["documents"],
        stop_reason=plain["stop_reason"],
    )


def _trial(plain: Mapping[str, Any]) -> TrialRecord:
    values = plain["values"]
    return TrialRecord(**{**plain, "values": None if values is None else tuple(values)})


def _fresh(plain: Mapping[str, Any]) -> Fresh:
    difference = plain["difference"]
    found = _unless_undefined(difference) or Comparison(**difference)
    return Fresh(plain["best"], plain["default"], found)


def _effects(plain: Mapping[str, Any]) -> Effects:
    levels = tuple(
        LevelEffect(
            *(each["level"], each["n"], _estimate(each["effect"])),
            None if each["difference"] is None else _estimate(each["difference"]),
        )
        for each in plain["levels"]
    )
    unadjusted = plain["unadjusted"]
    return Effects(
        **{
            **plain,
            "levels": levels,
            "adjusted_for": tuple(plain["adjusted_for"]),
            "unadjusted": None if unadjusted is None else _unless_undefined(unadjusted),
        }
    )


def _estimate(plain: Mapping[str, Any]) -> Estimate:
    interval = plain["interval"]
    found = _unless_undefined(interval) or Interval(**interval)
    return Estimate(plain["value"], found, plain["run_error"], plain["document_error"])


def _unless_undefined(plain: Mapping[str, Any]) -> Undefined | None:
    return Undefined(plain["undefined"]) if set(plain) == {"undefined"} else None
