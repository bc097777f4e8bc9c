"""A rubric: the criteria, and the inputs that the judge reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from mogradjudge.criteria.criterion import (
    Criterion,
    Group,
    check_input_name,
    check_length,
    identifier_of,
)
from mogradjudge.criteria.toml import fields_from_toml, fields_to_toml
from mogradjudge.errors import SetupError, SetupErrors, together

_MOST_FIELDS = 200  # of inputs, and of criteria: each is a field of a prompt


@dataclass(frozen=True, init=False)
class Rubric:
    """An ordered set of criteria, and the names of the inputs that the judge reads.

    ``columns`` are the inputs' columns in a table, in the inputs' order; ``images`` are the inputs
    that are images.

    Example:
        >>> rubric = Rubric(["reply"], [Criterion("clarity", "Is easy to read.")])
        >>> rubric.names
        ('clarity',)
        >>> rubric = Rubric(["User Query", "reply"], rubric.criteria)
        >>> rubric.inputs, rubric.columns
        (('user_query', 'reply'), ('User Query', 'reply'))
    """

    inputs: tuple[str, ...]
    columns: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    group: str | Literal[False] | None
    rater: str | None
    task: str | None
    images: tuple[str, ...]

    def __init__(
        self,
        inputs: Iterable[str] | Mapping[str, str],
        criteria: Iterable[Criterion],
        group: str | Literal[False] | None = None,
        task: str | None = None,
        rater: str | None = None,
        columns: Iterable[str] | None = None,
        images: Iterable[str] | None = None,
    ) -> None:
        """Check and store the fields.

        Args:
            inputs: What the judge reads, in this order; at least one. Names of columns, or a
                mapping from names to columns. An input is called by its name in Python; a column
                that is no identifier, as ``"User Query"``, gives the name ``user_query``.
            criteria: What it rates, in this order; at least one, each name once.
            group: The column that names a row's group (a document, for example); a split keeps
                groups together. With None, an input that many rows share is found, if there is one
                (`found_groups`); with False, every row is a group of its own.
            task: One or two sentences that say what the judge rates.
            rater: The column that names who gave a row's ratings, if a text has several rows.
            columns: The inputs' columns, if ``inputs`` does not say.
            images: The inputs, or their columns, that are images: paths, addresses or data URIs.

        Raises:
            SetupError: If a field breaks one of these rules.
        """
        if isinstance(inputs, str):
            raise SetupError(f"`inputs` must be a list of names, got the text {inputs!r}.")
        names, columns = _named_columns(inputs, columns)
        put = object.__setattr__  # the dataclass is frozen
        put(self, "inputs", names)
        put(self, "columns", columns)
        put(self, "criteria", tuple(criteria))
        put(self, "group", group if group is False else _column(group, "group"))
        put(self, "rater", _column(rater, "rater"))
        if self.rater in columns:
            raise SetupError(f"`rater` must not be an input, got {self.rater!r}.")
        if not isinstance(task, str | None):
            raise SetupError(f"`task` must be a text, got {task!r}.")
        check_length(task or "", "`task`")
        put(self, "task", (task or "").strip() or None)
        put(self, "images", _image_names(images or (), names, columns))
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
        text = read_text(Path(path))
        try:
            return cls(**fields_from_toml(text))
        except SetupErrors as errors:
            raise together(str(path), str(errors).splitlines()[1:]) from errors
        except SetupError as error:
            raise SetupError(f"{path}: {error}") from error

    def to_toml(self) -> str:
        """Write the rubric as TOML that `from_toml` reads back to an equal rubric."""
        columns = dict(zip(self.inputs, self.columns, strict=True))
        others: dict[str, Any] = {"group": self.group, "rater": self.rater, "task": self.task}
        others["images"] = list(self.images) or None
        written = {name: value for name, value in others.items() if value is not None}
        return fields_to_toml(columns, self.criteria, written)

    @property
    def image_columns(self) -> Group:
        """The columns of images, in the inputs' order."""
        pairs = zip(self.inputs, self.columns, strict=True)
        return tuple(column for name, column in pairs if name in self.images)

    @property
    def names(self) -> Group:
        """The criteria's names, in order."""
        return tuple(criterion.name for criterion in self.criteria)

    @property
    def weights(self) -> dict[str, float]:
        """The criteria's weights in means over them, by name."""
        return {criterion.name: criterion.weight for criterion in self.criteria}

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
        for name, column in zip(self.inputs, self.columns, strict=True):
            check_input_name(name, column)
        _check_unique(self.inputs, "input", self.columns)
        _check_unique(self.names, "criterion")
        for criterion in self.criteria:
            _check_apart(criterion, self.inputs, self.columns)
        _check_weights(self.weights)
        _check_no_scores({"rater": self.rater, "group": self.group}, self.criteria)

    def part(self, criteria: Iterable[Criterion]) -> Rubric:
        """Return the rubric with some of its criteria; if all weigh 0, each weighs 1 there.

        >>> tone, wit = Criterion("tone", "Is kind.", weight=0), Criterion("wit", "Is funny.")
        >>> Rubric(["reply"], [tone, wit]).part([tone]).weights
        {'tone': 1.0}
        """
        some = tuple(criteria)
        if not any(it.weight for it in some):  # alone, a weight decides nothing
            some = tuple(replace(it, weight=1.0) for it in some)
        return replace(self, criteria=some)


def _check_weights(weights: Mapping[str, float]) -> None:
    if not any(weights.values()):
        raise SetupError(
            "`weight` must be > 0 for at least one criterion, got 0 for "
            f"{', '.join(map(repr, weights))}."
        )


def _check_no_scores(labels: Mapping[str, object], criteria: Iterable[Criterion]) -> None:
    for criterion in criteria:
        for name, column in labels.items():
            if column in (criterion.human, *criterion.columns):
                raise SetupError(f"`{name}` must not be a column of scores, got {column!r}.")
        if labels["rater"] and criterion.raters:
            raise SetupError(
                f"Criterion {criterion.name!r} has `raters`, so the rubric must have no `rater`, "
                f"got {labels['rater']!r}."
            )


def _named_columns(
    inputs: Iterable[str] | Mapping[str, str], columns: Iterable[str] | None
) -> tuple[Group, Group]:
    """Return the inputs' names and columns."""
    names = _stripped(inputs)
    if isinstance(inputs, Mapping):
        columns = inputs.values()
    columns = names if columns is None else _stripped(columns)
    if len(names) != len(columns):
        raise SetupError(f"`columns` must have one for each of {names!r}, got {columns!r}.")
    for column in columns:
        _column(column, "inputs")
    return tuple(map(_field_name, names)), columns


def _image_names(images: Iterable[str], names: Group, columns: Group) -> Group:
    """Return the names of the inputs that are images, in the inputs' order."""
    if isinstance(images, str) or not isinstance(images, Iterable):
        raise SetupError(f"`images` must be a list of names, got {images!r}.")
    chosen = _stripped(images)
    if unknown := [name for name in chosen if name not in (*names, *columns)]:
        raise SetupError(f"`images` must name inputs ({', '.join(names)}), got {unknown[0]!r}.")
    return tuple(
        name
        for name, column in zip(names, columns, strict=True)
        if name in chosen or (column in chosen and column not in names)
    )


def _stripped(names: Iterable[str]) -> Group:
    """Strip names, as a table's headers are stripped."""
    return tuple(name.strip() if isinstance(name, str) else name for name in names)


def _field_name(column: str) -> str:
    """Make a name of a column that is no identifier: ``user_query`` of ``User Query``."""
    if not isinstance(column, str) or column.isidentifier():
        return column
    name = identifier_of(column)
    return name if name.isidentifier() or not name else f"input_{name}"


def _column(column: str | None, what: str) -> str | None:
    if not isinstance(column, str | None) or (column is not None and not column.strip()):
        raise SetupError(f"`{what}` must name a column, got {column!r}.")
    return None if column is None else column.strip()  # as the columns' names are


def _check_apart(criterion: Criterion, inputs: Group, columns: Group) -> None:
    """Check that a criterion shares no field and no column with the inputs."""
    if criterion.name in inputs:
        raise SetupError(
            f"A criterion must not share its name with an input, got {criterion.name!r}."
        )
    scores = (criterion.human, *criterion.columns)
    if read := [score for score in scores if score in (*inputs, *columns)]:
        raise SetupError(
            f"The human column of {criterion.name!r} must not be an input: "
            f"the judge would read the answer, got {read[0]!r}."
        )
    if criterion.comment in (*inputs, *columns, *scores):
        raise SetupError(
            f"The comment column of {criterion.name!r} must be one of its own, got "
            f"{criterion.comment!r}, which is an input or a score."
        )


def _check_unique(names: Group, what: str, columns: Group = ()) -> None:
    for name in names:
        if names.count(name) > 1:
            same = [column for column, other in zip(columns, names, strict=False) if other == name]
            of = f" (of {' and '.join(map(repr, same))})" if len(set(same)) > 1 else ""
            raise SetupError(f"Each {what} name must be used once, got {name!r} twice{of}.")


def read_text(path: Path) -> str:
    """Read a rubric's text.

    Raises:
        SetupError: If the file is missing or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SetupError(f"{path} is not UTF-8 text: byte {error.start} is invalid.") from error
    except OSError as error:
        raise SetupError(f"Cannot read {path}: {error.strerror}.") from error
