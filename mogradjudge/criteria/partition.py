"""Which criteria share a call: one in each, all in one, or groups in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from mogradjudge.criteria.criterion import Group
from mogradjudge.errors import SetupError

_LETTERS = ("S", "C")


@dataclass(frozen=True)
class Scope:
    """A partition of the criteria into the groups that share a call.

    ``"S"`` (separate) puts each criterion in a call of its own, and ``"C"`` (combined) all in one.
    Between these two ends, a text names the groups; order and spaces in it mean nothing.

    Raises:
        SetupError: If the text is neither a letter nor names two criteria or more, each once.

    >>> Scope("S").groups(("clarity", "courtesy"))
    (('clarity',), ('courtesy',))
    >>> Scope("relevance | fluency+coherence").value
    'coherence+fluency | relevance'
    """

    value: str

    SEPARATE: ClassVar[Scope]
    COMBINED: ClassVar[Scope]

    def __post_init__(self) -> None:
        if self.value in _LETTERS:
            return
        if fault := _fault(self.value):
            raise SetupError(f"A partition must {fault}, got {self.value!r}.")
        parts = sorted(sorted(part) for part in _parts(self.value))
        object.__setattr__(self, "value", " | ".join("+".join(part) for part in parts))

    @property
    def names(self) -> Group:
        """The criteria that it names; none if it is one of the two ends."""
        return () if self.value in _LETTERS else sum(_parts(self.value), ())

    @property
    def layout(self) -> str:
        """Its name as the layout of a judge.

        >>> Scope("C").layout
        'combined'
        """
        return {"S": "separate", "C": "combined"}.get(self.value, self.value)

    def groups(self, criteria: Group) -> tuple[Group, ...]:
        """Split the criteria into the groups that share a call, in the criteria's order.

        Args:
            criteria: The names, each once; names of the partition that are not among them have
                no group.

        Raises:
            SetupError: If the partition leaves one of them out.
        """
        if self == Scope.COMBINED:
            return (criteria,)
        if self == Scope.SEPARATE:
            return tuple((name,) for name in criteria)
        self.check((*criteria, *self.names), "scope")
        parts = {name: place for place, part in enumerate(_parts(self.value)) for name in part}
        groups: dict[int, Group] = {}
        for name in criteria:
            groups[parts[name]] = (*groups.get(parts[name], ()), name)
        return tuple(groups.values())

    def check(self, criteria: Group, setting: str) -> None:
        """Check that the partition is one of these criteria.

        Args:
            criteria: The names, each once.
            setting: What the error calls the partition.

        Raises:
            SetupError: If it leaves one of them out, or names another.
        """
        if not self.names:
            return
        if unknown := set(self.names) - set(criteria):
            raise SetupError(
                f"`{setting}` must name criteria of {', '.join(criteria)}, got {_quoted(unknown)} "
                f"in {self.value!r}."
            )
        if left_out := set(criteria) - set(self.names):
            raise SetupError(
                f"`{setting}` must name each criterion, got none of {_quoted(left_out)} in "
                f"{self.value!r}."
            )

    def __str__(self) -> str:
        return self.value


Scope.SEPARATE, Scope.COMBINED = Scope("S"), Scope("C")


def scope_named(text: object, setting: str, words: Mapping[str, Scope]) -> Scope:
    """Return the scope of a word, or the one that a text describes.

    Raises:
        SetupError: If it is neither; the line names the setting and the words.
    """
    if isinstance(text, str) and text in words:
        return words[text]
    if fault := _fault(text):
        raise SetupError(
            f"`{setting}` must be one of {', '.join(words)}, got {text!r}; or {fault}."
        )
    return Scope(str(text))


def inside(inner: Group, outer: Group) -> bool:
    """Say whether the call for ``outer`` reads a record about ``inner``: if it is a subset."""
    return set(inner) <= set(outer)


def nests(inner: Scope, outer: Scope, criteria: Group) -> bool:
    """Say whether each group of one scope lies inside a group of the other.

    >>> nests(Scope("a | b+c"), Scope("a+b | c"), ("a", "b", "c"))
    False
    """
    wider = outer.groups(criteria)
    return all(any(inside(group, it) for it in wider) for group in inner.groups(criteria))


def _parts(text: str) -> list[Group]:
    return [tuple(name.strip() for name in part.split("+")) for part in text.split("|")]


def _fault(text: object) -> str:
    """Say what a text must do to be a partition; "" if it is one."""
    names = sum(_parts(text), ()) if isinstance(text, str) else ()
    if len(names) < len(_LETTERS) or not all(name.isidentifier() for name in names):
        return "name each criterion once, as 'fluency+style | relevance'"
    twice = [name for name, count in Counter(names).items() if count > 1]
    return f"name each criterion once, not {_quoted(twice)} twice" if twice else ""


def _quoted(names: set[str] | list[str]) -> str:
    return ", ".join(map(repr, sorted(names)))
