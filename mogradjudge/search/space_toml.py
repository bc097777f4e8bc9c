"""Reads and writes a search space's values as TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mogradjudge.errors import SetupError
from mogradjudge.search.ranges import Range
from mogradjudge.settings import PARAMETERS

NONE = "none"
"""Stands for None, which TOML does not have, where the parameter may be None."""


def read_table(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        SetupError: If it cannot be read or is not TOML; the line does not name the file.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SetupError(f"This file cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SetupError(f"This is not UTF-8 text: byte {error.start} is invalid.") from error
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"This is not valid TOML: {error}.") from error
    except (ValueError, RecursionError) as error:  # a number, or a nesting, beyond all bounds
        raise SetupError(f"This TOML cannot be read: {error}.") from error


def domains_from_toml(table: Mapping[str, Any]) -> dict[str, tuple[Any, ...] | Range]:
    """Read the values to try, by parameter.

    Raises:
        SetupError: If the table names no parameter or an unknown one, or a value is neither an
            array nor a range. What the choices may be is left to the space.
    """
    known = ", ".join(PARAMETERS)
    if not table:
        raise SetupError(f"This names no parameter to search. Known parameters: {known}.")
    for name in table:
        if name not in PARAMETERS:
            raise SetupError(f"Unknown parameter {name!r}. Known parameters: {known}.")
    return {name: _domain(name, value) for name, value in table.items()}


def domains_to_toml(domains: Mapping[str, tuple[Any, ...] | Range]) -> str:
    """Write the values to try, a line per parameter.

    >>> print(domains_to_toml({"steps": (6, 12), "batch_size": Range(1, 8)}), end="")
    steps = [6, 12]
    batch_size = { low = 1, high = 8, log = false }
    """
    return "".join(f"{name} = {_written(domain)}\n" for name, domain in domains.items())


def value_from_toml(name: str, value: Any) -> Any:
    """Read one value of a parameter: ``"none"`` is None where it may be None."""
    return None if value == NONE and PARAMETERS[name].optional else value


def _domain(name: str, value: object) -> tuple[Any, ...] | Range:
    if isinstance(value, list):
        return tuple(value_from_toml(name, choice) for choice in value)
    if not isinstance(value, dict):
        raise SetupError(
            f"`{name}` must be an array of choices, as [1, 2], or a range, as "
            f"{{ low = 1, high = 8 }}, got {value!r}."
        )
    return _range(name, value)


def _range(name: str, value: dict[str, Any]) -> Range:
    known = ("low", "high", "step", "log")
    if unknown := [key for key in value if key not in known]:
        raise SetupError(
            f"Unknown key {unknown[0]!r} in the range of `{name}`. Known keys: {', '.join(known)}."
        )
    if missing := [key for key in ("low", "high") if key not in value]:
        raise SetupError(f"`{missing[0]}` is missing in the range of `{name}`.")
    try:
        return Range(**value)
    except SetupError as error:
        raise SetupError(f"`{name}`: {error}") from error


def _written(domain: tuple[Any, ...] | Range) -> str:
    # JSON's arrays of names, truth values and finite numbers are TOML's.
    if not isinstance(domain, Range):
        return json.dumps([NONE if value is None else value for value in domain])
    fields = {key: value for key, value in asdict(domain).items() if value is not None}
    return f"{{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in fields.items())} }}"
