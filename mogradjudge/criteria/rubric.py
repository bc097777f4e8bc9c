"""A rubric: the criteria, and the inputs that the judge reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mogradjudge.criteria.criterion import Criterion, Group, check_length, check_name
from mogradjudge.criteria.toml import fields_from_toml, fields_to_toml
from mogradjudge.errors import SetupError

_MOST_FIELDS = 200  # of inputs, and of criteria: each is a field of a prompt


@dataclass(frozen=True, init=False)
class Rubric:
    """An ordered set of criteria, and the names of the inputs that the judge reads.

    Example:
        >>> rubric = Rubric(["reply"], [Criterion("clarity", "Is easy to read.")])
        >>> rubric.names
        ('clarity',)
    """

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
        """Check and store the fields.

        Args:
            inputs: The columns that the judge reads, in this order; at least one.
            criteria: What it rates, in this order; at least one, each name once.
            group: The column that names a row's group (a document, for example); a split keeps
                groups together. Without one every row is a group of its own.
            task: One or two sentences that say what the judge rates.

        Raises:
            SetupError: If a field breaks one of these rules.
        """
        if isinstance(inputs, str):
            raise SetupError(f"`inputs` must be a list of names, got the text {inputs!r}.")
        put = object.__setattr__  # the dataclass is frozen
        put(self, "inputs", tuple(inputs))
        put(self, "criteria", tuple(criteria))
        if isinstance(group, str):
            group = group.strip()  # as the columns' names are
        put(self, "group", group)
        if not isinstance(task, str | None):
            raise SetupError(f"`task` must be a text, got {task!r}.")
        if not isinstance(group, str | None) or group == "":
            raise SetupError(f"`group` must name a column, got {group!r}.")
        check_length(task or "", "`task`")
        put(self, "task", (task or "").strip() or None)
        self._check()

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read a rubric from a TOML file.

        Raises:
            SetupError: If the file is missing, is not TOML or describes no valid rubric.

        Example:
            >>> from mogradjudge import demo
            >>> Rubric.from_toml(Path(demo.__file__).parent / "rubric.toml").names
            ('resolution', 'courtesy', 'clarity')
        """
        text = _read(Path(path))
        try:
            return cls(**fields_from_toml(text))
        except SetupError as error:
            raise SetupError(f"{path}: {error}") from error

    def to_toml(self) -> str:
        """Write the rubric as TOML that `from_toml` reads back to an equal rubric."""
        return fields_to_toml(self.inputs, self.criteria, self.group, self.task)

    @property
    def names(self) -> Group:
        """The criteria's names, in order."""
        return tuple(criterion.name for criterion in self.criteria)

    # Without this, Python would iterate by __getitem__(0), (1), ...; DSPy's MIPROv2 tries to.
    __iter__ = None

    def __getitem__(self, name: str) -> Criterion:
        return {criterion.name: criterion for criterion in self.criteria}[name]

    def _check(self) -> None:
        if not self.inputs:
            raise SetupError("`inputs` must name at least one column, got none.")
        if not self.criteria:
            raise SetupError("`criteria` must have at least one criterion, got none.")
        for name, count in (("inputs", len(self.inputs)), ("criteria", len(self.criteria))):
            if count > _MOST_FIELDS:
                raise SetupError(f"`{name}` must have at most {_MOST_FIELDS}, got {count}.")
        if strange := [item for item in self.criteria if not isinstance(item, Criterion)]:
            raise SetupError(f"`criteria` must hold criteria, got {strange[0]!r}.")
        for name in self.inputs:
            check_name(name, "an input name")
        _check_unique(self.inputs, "input")
        _check_unique(self.names, "criterion")
        for criterion in self.criteria:
            _check_apart(criterion, self.inputs)


def _check_apart(criterion: Criterion, inputs: Group) -> None:
    """Check that a criterion shares no field with the inputs."""
    if criterion.name in inputs:
        raise SetupError(
            f"A criterion must not share its name with an input, got {criterion.name!r}."
        )
    if criterion.human in inputs:
        raise SetupError(
            f"The human column of {criterion.name!r} must not be an input: "
            f"the judge would read the answer, got {criterion.human!r}."
        )


def _check_unique(names: Group, what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise SetupError(f"Each {what} name must be used once, got {name!r} twice.")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SetupError(f"{path} is not UTF-8 text: byte {error.start} is invalid.") from error
    except OSError as error:
        raise SetupError(f"Cannot read {path}: {error.strerror}.") from error
