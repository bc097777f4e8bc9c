"""The section "Settings": settings, models, data and versions of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mogradjudge.files import to_json
from mogradjudge.report.edits import cut
from mogradjudge.report.numbers import counted
from mogradjudge.report.run_data import RunData
from mogradjudge.report.section import Findings, Limits, Section
from mogradjudge.settings import FREE, RUN_SETTINGS

_LONGEST = 300
_GATES = {
    "AlwaysAccept": "accepts every rewrite",
    "NoMeanRegression": "accepts a rewrite if the mean does not fall",
    "NoCriterionRegression": "accepts a rewrite if no criterion falls by more than the tolerance",
}
_OTHERS = ("mode", *FREE)  # shown on a line of its own, or without effect on the result


def section(findings: Findings) -> Section:
    """Make the section."""
    return Section(
        anchor="about",
        title="Settings",
        template="run_about.html.j2",
        values={"facts": facts(findings.run)},
    )


def facts(run: RunData) -> tuple[tuple[str, str], ...]:
    """List the run's folder, settings, models, data and versions as names and values."""
    started, request = run.started, run.request
    rows = [
        ("run", run.path.name),
        ("mode", run.mode),
        ("criteria", ", ".join(run.criteria)),
        (
            "texts",
            f"{counted(started.train, 'training text')}, "
            f"{counted(started.validation, 'validation text')}, "
            f"{counted(started.confirmation, 'confirmation text')}",
        ),
    ]
    if run.begun:
        rows.append(("begun", run.begun))
    names = [name for name in RUN_SETTINGS if name in request and name not in _OTHERS]
    rows += [(name.replace("_", " "), _short(request[name])) for name in names]
    models = request.get("models", {})
    rows += [
        (f"{role}'s model", _model(_with_role_temperature(request, role, of)))
        for role, of in models.items()
    ]
    if "judge" in request:
        rows.append(("judge settings", _short(request["judge"])))
    rows += [(f"version of {name}", str(v)) for name, v in request.get("versions", {}).items()]
    return tuple(rows)


def _with_role_temperature(request: Mapping[str, Any], role: str, model: Any) -> Any:
    """Return a model's settings with the temperature of its role, which overrides its own."""
    temperature = request.get(f"{role}_temperature")
    # As where a role asks: DSPy gives this parameter to reasoning models, which take none.
    if temperature is None or not isinstance(model, Mapping) or "max_completion_tokens" in model:
        return model
    return {**model, "temperature": temperature}


def _model(model: Any) -> str:
    if not isinstance(model, Mapping):
        return _short(model)
    settings = {key: value for key, value in model.items() if key != "model" and value is not None}
    words = ", ".join(f"{key} {value}" for key, value in settings.items())
    return _short(f"{model.get('model')}{f' ({words})' if words else ''}")


def _short(value: Any) -> str:
    """Write a setting on one line; a setting that has a name begins with it."""
    if isinstance(value, Mapping):
        settings = ", ".join(f"{key} {_short(it)}" for key, it in value.items() if key != "name")
        if "name" in value:
            name = _GATES.get(value["name"], str(value["name"]))
            return _cut(f"{name} ({settings})" if settings else name)
        return _cut(settings)
    words = {None: "none", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    text = value if isinstance(value, str) else to_json(value, indent=None)
    return _cut(text)


def _cut(text: str) -> str:
    shown = cut(text, Limits(_LONGEST))
    return f"{shown.text} ... ({shown.left_out} further characters)" if shown.left_out else text
