"""What is rated: a scale, a criterion, a rubric, and the TOML file that holds one."""

from __future__ import annotations

import keyword
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

import dspy

from mogradjudge.errors import SetupError

Group: TypeAlias = tuple[str, ...]
"""The criteria, by name, that one call speaks about."""

# Names that an example, a prediction, a predictor's call or an adapter uses for something else.
RESERVED = frozenset(
    {"base", "completed", "config", "demos", "group", "lm", "logprobs", "new_signature"}
    | {"prediction", "rationale", "readings", "self"}
)


@dataclass(frozen=True)
class Scale:
    """Consecutive integers from ``low`` to ``high``, both included; higher is better."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not all(type(bound) is int for bound in (self.low, self.high)):
            raise SetupError(f"`scale` must hold two integers, got {(self.low, self.high)!r}.")
        if self.low >= self.high:
            raise SetupError(f"`scale` must rise, low < high, got {(self.low, self.high)!r}.")

    @property
    def width(self) -> int:
        """The largest possible difference between two scores."""
        return self.high - self.low

    @property
    def values(self) -> range:
        """Every score on the scale, ascending."""
        return range(self.low, self.high + 1)

    def covers(self, score: float) -> bool:
        """Say whether a score, or a mean of scores, lies on the scale."""
        return self.low <= score <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


@dataclass(frozen=True, init=False)
class Criterion:
    """One thing that the judge rates."""

    name: str
    definition: str
    scale: Scale
    levels: tuple[tuple[int, str], ...]
    human: str

    def __init__(
        self,
        name: str,
        definition: str,
        scale: Scale | tuple[int, int] = (1, 5),
        levels: Mapping[int, str] | Iterable[tuple[int, str]] | None = None,
        human: str | None = None,
    ) -> None:
        """Check the fields and keep them.

        Args:
            name: A Python identifier; it names the judge's output field.
            definition: What the criterion means. It stays fixed; the optimizer never edits it.
            scale: Lowest and highest score, two integers.
            levels: What single scores mean, by score. Not every score needs one.
            human: The column with the human score; ``human_<name>`` if it is not given.

        Raises:
            SetupError: If a field breaks one of these rules.
        """
        _check_name(name, "a criterion name")
        if not isinstance(definition, str) or not definition.strip():
            raise SetupError(
                f"`definition` of criterion {name!r} must be a text, got {definition!r}."
            )
        scale = _scale(name, scale)
        put = object.__setattr__  # the dataclass is frozen
        put(self, "name", name)
        put(self, "definition", definition.strip())
        put(self, "scale", scale)
        put(self, "levels", _levels(name, scale, levels))
        put(self, "human", f"human_{name}" if human is None else human)
        if not isinstance(self.human, str) or not self.human:
            raise SetupError(f"`human` of criterion {name!r} must name a column, got {human!r}.")
        if self.human == "group":
            raise SetupError(f"`human` of criterion {name!r} must not be 'group': it is reserved.")

    @property
    def description(self) -> str:
        """Say what to rate, on which scale and what the levels mean, in one line."""
        levels = "; ".join(f"{score} = {text}" for score, text in self.levels)
        return f"{self.definition} Scale: {self.scale}." + (f" Levels: {levels}." if levels else "")


@dataclass(frozen=True, init=False)
class Rubric:
    """An ordered set of criteria, and the names of the inputs that the judge reads."""

    inputs: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    group: str | None
    task: str | None

    def __init__(
        self,
        inputs: Iterable[str],
        criteria: Iterable[Criterion],
        group: str | None = None,
        task: str | None = None,
    ) -> None:
        """Check the fields and keep them.

        Args:
            inputs: The columns that the judge reads, in this order; at least one.
            criteria: What it rates, in this order; at least one, each name once.
            group: The column that tells which rows belong together (a document, say), so that a
                split keeps them together. Without one every row is a group of its own.
            task: One or two sentences that tell the judge what it rates.

        Raises:
            SetupError: If a field breaks one of these rules.
        """
        if isinstance(inputs, str):
            raise SetupError(f"`inputs` must be a list of names, got the text {inputs!r}.")
        put = object.__setattr__  # the dataclass is frozen
        put(self, "inputs", tuple(inputs))
        put(self, "criteria", tuple(criteria))
        put(self, "group", group)
        if not isinstance(task, str | None):
            raise SetupError(f"`task` must be a text, got {task!r}.")
        if not isinstance(group, str | None) or group == "":
            raise SetupError(f"`group` must name a column, got {group!r}.")
        put(self, "task", (task or "").strip() or None)
        self._check()

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read a rubric from a TOML file.

        Raises:
            SetupError: If the file is missing, is not TOML or describes no valid rubric.
        """
        text = _read(Path(path))
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SetupError(f"{path} is not valid TOML: {error}.") from error
        try:
            return cls._from_table(table)
        except SetupError as error:
            raise SetupError(f"{path}: {error}") from error

    def to_toml(self) -> str:
        """Write the rubric as TOML that `from_toml` reads back to an equal rubric."""
        import tomli_w

        table: dict[str, Any] = {"inputs": list(self.inputs)}
        if self.group is not None:
            table["group"] = self.group
        if self.task is not None:
            table["task"] = self.task
        table["criteria"] = [_criterion_table(criterion) for criterion in self.criteria]
        return tomli_w.dumps(table)

    @property
    def names(self) -> Group:
        """The criteria's names, in order."""
        return tuple(criterion.name for criterion in self.criteria)

    def __getitem__(self, name: str) -> Criterion:
        return self.criteria[self.names.index(name)]

    @classmethod
    def _from_table(cls, table: Mapping[str, Any]) -> Self:
        _check_keys(table, {"inputs", "group", "task", "criteria"}, "the rubric")
        entries = table.get("criteria", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SetupError("`criteria` must be tables, each under a line [[criteria]].")
        return cls(
            inputs=_names(table.get("inputs", [])),
            criteria=[_criterion(entry) for entry in entries],
            group=table.get("group"),
            task=table.get("task"),
        )

    def _check(self) -> None:
        if not self.inputs:
            raise SetupError("`inputs` must name at least one column, got none.")
        if not self.criteria:
            raise SetupError("`criteria` must hold at least one criterion, got none.")
        for name in self.inputs:
            _check_name(name, "an input name")
        _check_unique(self.inputs, "input")
        _check_unique(self.names, "criterion")
        for criterion in self.criteria:
            if criterion.name in self.inputs:
                raise SetupError(
                    f"A criterion must not share its name with an input, got {criterion.name!r}."
                )
            if criterion.human in self.inputs:
                raise SetupError(
                    f"The human column of {criterion.name!r} must not be an input: "
                    f"the judge would read the answer, got {criterion.human!r}."
                )


def _check_unique(names: Group, what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise SetupError(f"Each {what} name must be used once, got {name!r} twice.")


def _check_name(name: object, what: str) -> None:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise SetupError(f"{what.capitalize()} must be a Python identifier, got {name!r}.")
    # A field of a signature must not hide one of the signature's own attributes.
    if name in RESERVED or name.startswith("_") or hasattr(dspy.Signature, name):
        raise SetupError(f"{what.capitalize()} must not be reserved or start with _, got {name!r}.")


def _scale(name: str, scale: object) -> Scale:
    if isinstance(scale, Scale):
        return scale
    if not isinstance(scale, (tuple, list)) or len(scale) != 2:
        raise SetupError(f"`scale` of criterion {name!r} must be (low, high), got {scale!r}.")
    try:
        return Scale(*scale)
    except SetupError as error:
        raise SetupError(f"Criterion {name!r}: {error}") from error


def _levels(
    name: str, scale: Scale, levels: Mapping[int, str] | Iterable[tuple[int, str]] | None
) -> tuple[tuple[int, str], ...]:
    pairs = dict(levels or {})
    for score, text in pairs.items():
        if type(score) is not int or score not in scale.values:
            raise SetupError(
                f"`levels` of criterion {name!r} must lie on its scale {scale}, got {score!r}."
            )
        if not isinstance(text, str) or not text.strip():
            raise SetupError(f"Level {score} of criterion {name!r} must be a text, got {text!r}.")
    return tuple(sorted((score, text.strip()) for score, text in pairs.items()))


def _criterion(entry: Mapping[str, Any]) -> Criterion:
    name = entry.get("name", "without a name")
    _check_keys(entry, {"name", "definition", "scale", "levels", "human"}, f"criterion {name!r}")
    if missing := [key for key in ("name", "definition") if key not in entry]:
        raise SetupError(f"`{missing[0]}` is missing in criterion {name!r}.")
    levels = entry.get("levels")
    return Criterion(**{**entry, "levels": levels and _toml_levels(name, levels)})


def _toml_levels(name: str, levels: object) -> dict[int, str]:
    """Turn TOML's keys, which are always texts, into scores."""
    if not isinstance(levels, dict):
        raise SetupError(f"`levels` of criterion {name!r} must be a table, got {levels!r}.")
    try:
        return {int(score): text for score, text in levels.items()}
    except ValueError:
        raise SetupError(
            f"`levels` of criterion {name!r} must have integer keys, got {list(levels)!r}."
        ) from None


def _criterion_table(criterion: Criterion) -> dict[str, Any]:
    table: dict[str, Any] = {
        "name": criterion.name,
        "definition": criterion.definition,
        "scale": [criterion.scale.low, criterion.scale.high],
        "human": criterion.human,
    }
    if criterion.levels:
        table["levels"] = {str(score): text for score, text in criterion.levels}
    return table


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise SetupError(f"`inputs` must be a list of names, got {value!r}.")
    return tuple(value)


def _check_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(table) - known):
        raise SetupError(
            f"Unknown key {unknown[0]!r} in {where}. Known keys: {', '.join(sorted(known))}."
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SetupError(f"{path} is not UTF-8 text: byte {error.start} is invalid.") from error
    except OSError as error:
        raise SetupError(f"Cannot read {path}: {error.strerror}.") from error
