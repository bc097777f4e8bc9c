"""Digests of any value that an example may hold, the same in every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import chain


def digest(value: object) -> str:
    """Return the SHA-256 of a value, 64 hexadecimal digits.

    An object that JSON cannot hold is hashed by its pickled bytes, as in the caches of `datasets`:
    its repr may leave out a part, or contain its address in memory. One that cannot be pickled,
    such as a generator, is hashed by the name of its type. A value may contain itself.

    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    try:
        text = json.dumps(value, sort_keys=True, default=_by_content)
    except (
        RecursionError,
        TypeError,
        ValueError,
    ):  # it contains itself, is very deep, has odd keys
        text = "\n".join(_parts(value))
    return hashlib.sha256(text.encode()).hexdigest()


def _parts(value: object) -> Iterator[str]:
    """Write a value of any depth part by part; a part that came before by its number."""
    numbers: dict[int, int] = {}
    left = [value]
    while left:
        part = left.pop()
        if not isinstance(part, (dict, list, tuple)):
            yield _as_text(part)
        elif id(part) in numbers:
            yield f"part {numbers[id(part)]}"
        else:
            numbers[id(part)] = len(numbers)
            yield f"{type(part).__name__} of {len(part)}"
            left += (
                part if not isinstance(part, dict) else chain(*sorted(part.items(), key=_by_key))
            )


def _as_text(part: object) -> str:
    try:
        return json.dumps(part, default=_by_content)
    except ValueError:  # Python writes no number of more than 4300 digits
        return _by_content(part)


def _by_key(item: tuple[object, object]) -> str:
    return f"{type(item[0]).__name__} {item[0]}"


def _by_content(value: object) -> str:
    from datasets.fingerprint import Hasher  # slow to import, and rarely needed

    name = type(value).__qualname__
    try:
        return f"{name} {Hasher.hash(value)}"
    except Exception:  # noqa: BLE001 - what cannot be pickled, a generator say, fails with any error
        return name
