"""Replaces functions of other libraries for a while, and restores them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Function: TypeAlias = Callable[..., Any]
Place: TypeAlias = tuple[Any, str]
"""A module or class, and the name of a function in it."""

_INHERITED = object()  # marks a function that a class inherits


class Replacements:
    """Replaces functions and restores them.

    >>> import textwrap
    >>> replaced = Replacements()
    >>> replaced.put([((textwrap, "dedent"), lambda theirs: lambda text: theirs(text).upper())])
    >>> textwrap.dedent("  a")
    'A'
    >>> replaced.put_back()
    >>> textwrap.dedent("  a")
    'a'
    """

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, Any, Function]] = []

    def put(self, functions: Iterable[tuple[Place, Callable[[Any], Function]]]) -> None:
        """Replace the function of each place by a function made from it."""
        for (owner, name), make in functions:
            theirs = inspect.getattr_static(owner, name)
            own = theirs if name in vars(owner) else _INHERITED
            self._replaced.append((owner, name, own, make(theirs)))
        for owner, name, _, put in self._replaced:
            setattr(owner, name, put)

    def put_back(self) -> None:
        """Restore all functions except those that somebody else has replaced meanwhile."""
        for owner, name, own, put in self._replaced:
            if vars(owner).get(name) is not put:
                continue
            if own is _INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, own)
        self._replaced.clear()
