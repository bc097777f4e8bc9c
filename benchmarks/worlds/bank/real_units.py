"""Real units of gradients that were labelled twice; their file lies beside this one, if any.

Each line is JSON: ``{"unit": str, "arm": str, "labels": [[str, ...], [str, ...]], "actionable":
[bool, bool]}``, the labels and the answers of the first and of the second labelling.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.worlds.bank import label_of
from benchmarks.worlds.ratings import REST
from mogradjudge import SetupError
from mogradjudge.criteria import Group

FILE = Path(__file__).parent / "real_units.jsonl"
SUMMEVAL = ("coherence", "consistency", "fluency", "relevance")


class RealUnit(BaseModel):
    """A unit that a model wrote, with what both labellings say that it is about.

    ``arm`` tells where it comes from; ``actionable`` is theirs, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: str
    arm: str
    labels: tuple[tuple[str, ...], tuple[str, ...]]
    actionable: tuple[bool, bool]


def read_real_units(path: Path) -> tuple[RealUnit, ...]:
    """Read units, one JSON line each; none if there is no such file.

    Raises:
        SetupError: If a line is no unit, or names an unknown label.
    """
    if not path.exists():
        return ()
    return tuple(
        _real_unit(line, f"{path}, line {number}")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
    )


def _real_unit(line: str, where: str) -> RealUnit:
    try:
        unit = RealUnit.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))} ({first['msg']})"
        raise SetupError(f"{where}, is no labelled unit: {what}.") from error
    if unknown := {*unit.labels[0], *unit.labels[1]} - {*SUMMEVAL, *REST}:
        raise SetupError(f"{where}, has an unknown label: {min(unknown)!r}.")
    return unit


def real_units_for(criteria: Group, path: Path = FILE) -> tuple[RealUnit, ...]:
    """Give the real units that raters of these criteria are tested on: those of SummEval alone.

    Their labels are the rubric's names.
    """
    names = {label_of(name): name for name in criteria}
    if set(names) != set(SUMMEVAL):
        return ()
    return tuple(
        unit.model_copy(
            update={"labels": tuple(tuple(names.get(it, it) for it in of) for of in unit.labels)}
        )
        for unit in read_real_units(path)
    )
