"""Reads a rubric's fields from TOML, and writes them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from mogradjudge.criteria.criterion import Criterion, Levels, Scale, names_of
from mogradjudge.errors import SetupError, together

_OF_CRITERION = {"name", "definition", "scale", "levels", "names"}
_OF_CRITERION |= {"human", "raters", "comment", "measure", "weight", "na"}
_IN_ORDER = (("name",), ("definition",), ("scale",), ("levels", "names"))
UNKNOWN = Scale(-500, 500)
"""The scale of a criterion whose own cannot be read, which no score is outside of."""
_PLAIN = ("group", "rater", "task", "images")  # the keys that are read as they are


def fields_from_toml(text: str) -> dict[str, Any]:
    """Read the fields that a `Rubric` is built from.

    Raises:
        SetupError: If the text is not TOML, or a key is unknown, missing or of another kind.

    Example:
        >>> fields = fields_from_toml('''
        ... inputs = ["reply"]
        ... [[criteria]]
        ... name = "clarity"
        ... definition = "Is easy to read."
        ... ''')
        >>> fields["inputs"], fields["criteria"][0].name
        (('reply',), 'clarity')
    """
    fields, _, faults = read_fields(text)
    if faults:
        raise together("The rubric", faults) if len(faults) > 1 else SetupError(faults[0])
    return fields


def read_fields(text: str) -> tuple[dict[str, Any], list[Criterion], list[str]]:
    """Read the fields that can be read, and say all that is wrong with the others.

    Returns:
        The fields; criteria of which something cannot be read and has its usual value; the faults.

    Raises:
        SetupError: If the text is not TOML.

    Example:
        >>> read_fields('inputs = ["reply"]')[1:]
        ([], [])
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"This is not valid TOML: {error}.") from error
    except (ValueError, RecursionError) as error:  # a number too long, or nested too deeply
        raise SetupError(f"This TOML cannot be read: {error}.") from error
    faults = _unknown_keys(table, {"inputs", "criteria", *_PLAIN}, "the rubric")
    entries = table.get("criteria", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        faults.append("`criteria` must be tables, each under a line [[criteria]].")
        entries = []
    read = [_criterion(entry) for entry in entries]
    faults += [fault for _, own in read for fault in own]
    fields = {
        "inputs": (),
        "criteria": [criterion for criterion, own in read if criterion and not own],
        **{name: table.get(name) for name in _PLAIN},
    }
    try:
        fields["inputs"] = _names(table.get("inputs", []))
    except SetupError as error:
        faults.append(str(error))
    return fields, [criterion for criterion, own in read if criterion and own], faults


def fields_to_toml(
    columns: Mapping[str, str], criteria: Sequence[Criterion], others: Mapping[str, Any]
) -> str:
    """Write a rubric's fields as TOML that reads back to the same ones.

    Args:
        columns: The column of each input.
        criteria: The criteria.
        others: The fields that are set, besides.
    """
    import tomli_w

    named = list(columns) == list(columns.values())
    table = {
        "inputs": list(columns) if named else dict(columns),
        **others,
        "criteria": [_criterion_table(criterion) for criterion in criteria],
    }
    return tomli_w.dumps(table)


def _criterion(entry: Mapping[str, Any]) -> tuple[Criterion | None, list[str]]:
    """Read a criterion, with usual values for what cannot be read, and say why it cannot.

    It is None if its human column is not known.
    """
    name = entry.get("name", "without a name")
    faults = _unknown_keys(entry, _OF_CRITERION, f"criterion {name!r}")
    missing = [key for key in ("name", "definition") if key not in entry]
    faults += [f"`{key}` is missing in criterion {name!r}." for key in missing]
    values: dict[str, Any] = {"name": "criterion", "definition": "What is rated."}
    values |= {"human": f"human_{name}"} if "name" in entry else {}
    others = sorted(entry.keys() & _OF_CRITERION - {*chain(*_IN_ORDER)})
    for keys in (*_IN_ORDER, *((key,) for key in others)):
        chosen = {key: entry[key] for key in keys if key in entry}
        in_doubt = "levels" in keys and faults and "scale" not in values
        try:
            if "levels" in chosen:
                chosen["levels"] = _toml_levels(name, chosen["levels"])
            if in_doubt and not names_of(chosen.get("levels"))[0]:
                continue  # scores may only seem wrong; names have a scale of their own
            Criterion(**values | chosen)
            values |= {} if in_doubt else chosen
        except SetupError as fault:
            faults.append(str(fault))
    is_known = "name" in entry or "human" in entry or "raters" in entry
    unread = entry.keys() - values.keys() - {*others}  # it may be what the scale follows from
    unknown = {"scale": UNKNOWN} if unread and "scale" not in values else {}
    return (Criterion(**values | unknown) if is_known else None), faults


def _toml_levels(name: str, levels: object) -> Levels:
    """Turn TOML's keys, which are always texts, into scores, unless they are names."""
    if isinstance(levels, list):
        return levels
    if isinstance(levels, dict) and levels and all(key[:1].isalpha() for key in levels):
        return levels
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
    }
    if not criterion.raters or criterion.human != f"human_{criterion.name}":
        table["human"] = criterion.human
    for key in ("comment", "measure"):
        if getattr(criterion, key) is not None:
            table[key] = getattr(criterion, key)
    if criterion.raters:
        table["raters"] = list(criterion.raters)
    if criterion.weight != 1:
        table["weight"] = criterion.weight
    if criterion.na:
        table["na"] = True
    return {**table, **_levels_table(criterion)}


def _levels_table(criterion: Criterion) -> dict[str, Any]:
    meanings = dict(criterion.levels)
    if criterion.names and not meanings:
        return {"levels": list(criterion.names)}
    if len(criterion.names) == len(meanings) > 0:
        return {"levels": dict(zip(criterion.names, meanings.values(), strict=True))}
    if not meanings:
        return {}
    levels = {str(score): text for score, text in meanings.items()}
    return {"levels": levels, **({"names": list(criterion.names)} if criterion.names else {})}


def _names(value: object) -> tuple[str, ...] | dict[str, str]:
    """Read the inputs: a list of names, or a table from names to columns."""
    if isinstance(value, dict):
        _check_below(value)
    if isinstance(value, dict) and all(isinstance(column, str) for column in value.values()):
        return value
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise SetupError(f"`inputs` must be a list of names, got {value!r}.")
    return tuple(value)


def _check_below(inputs: Mapping[str, object]) -> None:
    """Check for the rubric's keys: below a line [inputs], TOML takes them for the table's."""
    is_input = {  # no one writes that for a task, and the key holds a list
        "task": inputs.get("task") == "task",
        "images": isinstance(inputs.get("images"), str),
    }
    keys = [key for key in (*_PLAIN, "criteria") if not is_input.get(key)]
    if below := [key for key in keys if key in inputs]:
        raise SetupError(
            f"{below[0]!r} stands in the table [inputs]: put `{below[0]} = ...` above the line "
            "[inputs]."
        )


def _unknown_keys(table: Mapping[str, Any], known: set[str], where: str) -> list[str]:
    keys = ", ".join(sorted(known))
    return [
        f"Unknown key {key!r} in {where}. Known keys: {keys}." for key in sorted(set(table) - known)
    ]
