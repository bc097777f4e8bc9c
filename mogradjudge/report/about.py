"""The section "What was asked": settings, models, data and versions of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mogradjudge.files import to_json
from mogradjudge.report.numbers import counted
from mogradjudge.report.run_data import Run
from mogradjudge.report.section import Findings, Section
from mogradjudge.settings import FREE, RUN_SETTINGS

_LONGEST = 300
_OTHERS = ("mode", *FREE)  # what has a line of its own, or decided nothing


def section(findings: Findings) -> Section:
    """Show what the run was asked to do."""
    return Section(
        anchor="about",
        title="What was asked",
        template="run_about.html.j2",
        values={"facts": facts(findings.run)},
    )


def facts(run: Run) -> tuple[tuple[str, str], ...]:
    """Name the run's folder, settings, models, data and versions."""
    started, asked = run.started, run.asked
    found = [
        ("run", run.path.name),
        ("mode", run.mode),
        ("criteria", ", ".join(run.criteria)),
        (
            "texts",
            f"{counted(started.train, 'training text')}, "
            f"{counted(started.validation, 'validation text')}",
        ),
    ]
    if run.begun:
        found.append(("begun", run.begun))
    names = [name for name in RUN_SETTINGS if name in asked and name not in _OTHERS]
    found += [(name.replace("_", " "), _short(asked[name])) for name in names]
    models = asked.get("models", {})
    found += [
        (f"{role}'s model", _model(_asked_so(asked, role, of))) for role, of in models.items()
    ]
    if "judge" in asked:
        found.append(("judge settings", _short(asked["judge"])))
    found += [(f"version of {name}", str(v)) for name, v in asked.get("versions", {}).items()]
    return tuple(found)


def _asked_so(asked: Mapping[str, Any], role: str, model: Any) -> Any:
    """Give a model with the temperature that the role asks it with, which wins over its own."""
    temperature = asked.get(f"{role}_temperature")
    # As where a role asks: DSPy gives this parameter to reasoning models, which take none.
    if temperature is None or not isinstance(model, Mapping) or "max_completion_tokens" in model:
        return model
    return {**model, "temperature": temperature}


def _model(model: Any) -> str:
    if not isinstance(model, Mapping):
        return _short(model)
    settings = {key: value for key, value in model.items() if key != "model" and value is not None}
    told = ", ".join(f"{key} {value}" for key, value in settings.items())
    return _short(f"{model.get('model')}{f' ({told})' if told else ''}")


def _short(value: Any) -> str:
    """Write a setting in one line; one with a name and no more is that name."""
    if isinstance(value, Mapping):
        if set(value) == {"name"}:
            return str(value["name"])
        pairs = ", ".join(f"{key} {_short(each)}" for key, each in value.items())
        return pairs[:_LONGEST]
    words = {None: "none", True: "yes", False: "no"}
    if value is None or isinstance(value, bool):
        return words[value]
    text = value if isinstance(value, str) else to_json(value, indent=None)
    return text[:_LONGEST]
