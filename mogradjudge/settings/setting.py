"""One setting: its help, type, range and default, when it has an effect, and its check."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, replace
from numbers import Real
from sys import float_info
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

from mogradjudge.errors import SetupError

Value: TypeAlias = str | int | float | bool | None
Part: TypeAlias = Literal["run", "writers", "gate", "judge", "free"]

T = TypeVar("T")


@dataclass(frozen=True)
class Condition:
    """When a setting has an effect: while the setting ``parent`` has one of ``values``.

    A value that ends in ``ending`` is one of them, too. Otherwise the setting's only allowed value
    is ``otherwise``.

    >>> from mogradjudge.settings import JUDGE_SETTINGS
    >>> JUDGE_SETTINGS["n"].condition
    Condition(parent='score_rule', values=('mean_of_n',), otherwise=1, ending=None)
    """

    parent: str
    values: tuple[str, ...]
    otherwise: Value
    ending: str | None = None

    def holds(self, value: object) -> bool:
        """Say whether the parent's value gives the setting an effect."""
        ends = self.ending is not None and isinstance(value, str) and value.endswith(self.ending)
        return ends or value in self.values


@dataclass(frozen=True)
class Setting:
    """One setting; its name, type and default are those of its field.

    Args:
        help: Its meaning, in a line or two.
        low: The smallest value; None for no limit.
        high: The largest value; None for no limit.
        names: All values of a text, or those that may stand for a number; for a `Literal` they
            are taken from the type.
        other: What a text may be besides its names, in a word; its own class checks that.
        part: What it affects: the whole ``"run"``; only the ``"writers"`` (critic, coach and
            editor); the ``"gate"``; the ``"judge"``; or, for ``"free"``, only how fast a run is and
            when it ends.
        option: Whether the command line has an option for it.
        searched: Whether a search may try several values.
        tried: A search's default choices; none for the base configuration's value alone.
        between: In place of choices, the ends of a search's default range.
        condition: When it has an effect; None for always.

    >>> from mogradjudge.settings import RUN_SETTINGS
    >>> RUN_SETTINGS["batch_size"].default
    8
    >>> RUN_SETTINGS["batch_size"].check(0)
    Traceback (most recent call last):
    mogradjudge.errors.SetupError: `batch_size` must be a whole number >= 1, got 0.
    """

    help: str
    low: int | float | None = None
    high: int | float | None = None
    names: tuple[str, ...] = ()
    other: str = ""
    part: Part = "run"
    option: bool = True
    searched: bool = True
    tried: tuple[Value, ...] = ()
    between: tuple[float, float] | None = None
    condition: Condition | None = None

    name: str = ""
    kind: type = object
    """str, int, float or bool; object for any other type."""
    optional: bool = False
    is_object: bool = False
    """Whether a `MOGradConfig` holds the object that its name stands for."""
    default: Any = None

    def check(self, value: Any) -> None:
        """Check that the setting can have a value.

        Raises:
            SetupError: If it cannot; the line names the setting.
        """
        if not self._allows(value):
            raise SetupError(f"`{self.name}` must {self._rule()}, got {reprlib.repr(value)}.")

    def _allows(self, value: Any) -> bool:
        if value is None:
            return self.optional
        if isinstance(value, str) and self.names:
            return value in self.names or bool(self.other)
        if self.kind is float:
            right = isinstance(value, Real) and not isinstance(value, bool)
            right = right and abs(value) <= float_info.max  # an integer may be larger
        else:
            right = type(value) is self.kind
        low, high = self.low, self.high
        return right and (low is None or value >= low) and (high is None or value <= high)

    def _rule(self) -> str:
        or_none = " or None" if self.optional else ""
        if self.kind is str and self.names:
            others = [self.other] * bool(self.other) + ["None"] * self.optional
            return f"be one of {', '.join([*self.names, *others])}"
        if self.low is None:
            nouns = {str: "a text", bool: "True or False", int: "a whole number"}
            return f"be {nouns.get(self.kind, 'a number')}{or_none}"
        if self.kind is int:
            ends = f">= {self.low}" if self.high is None else f"from {self.low} to {self.high}"
            return f"be a whole number {ends}"
        if self.high is None:
            return f"be >= {self.low}{or_none}"
        names = "".join(f", be {name!r}" for name in self.names) + or_none * bool(self.names)
        return f"lie in [{self.low}, {self.high}]{names}"


def default(value: T, setting: Setting) -> T:
    """Declare a field with its default and its setting.

    >>> default(3, Setting("Texts per step.", low=1)).default
    3
    """
    return field(default=value, metadata={"setting": setting})


def completed(own: Field[Any], hint: Any) -> Setting:
    """Return a field's setting, completed by the field's name, type and default."""
    setting: Setting = own.metadata["setting"]
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    literals = [part for part in parts if get_origin(part) is Literal]
    kinds = set(parts) - {NoneType, *literals} or {str}
    is_plain = len(kinds) == 1 and kinds < {str, int, float, bool}
    names = get_args(literals[0]) if literals and is_plain else setting.names
    kind = kinds.pop() if is_plain else str if names else object
    return replace(
        setting,
        name=own.name,
        kind=kind,
        names=names,
        optional=NoneType in parts,
        is_object=hint is Any or kind is object,
        default=own.default,
    )


def with_arguments(settings: Mapping[str, Setting]) -> Callable[[type[T]], type[T]]:
    """Add the settings' help to a class's docstring, as its ``Args:``.

    >>> from mogradjudge.settings import JUDGE_SETTINGS
    >>> class Judge:
    ...     pass
    >>> "n: Samples per text" in with_arguments({"n": JUDGE_SETTINGS["n"]})(Judge).__doc__
    True
    """

    def add(owner: type[T]) -> type[T]:
        own = {name: setting for name, setting in settings.items() if setting.part != "gate"}
        lines = [f"    {name}: {setting.help}" for name, setting in own.items()]
        owner.__doc__ = "\n".join([inspect.cleandoc(owner.__doc__ or ""), "", "Args:", *lines])
        return owner

    return add
