"""Objectives as people write them: objectives, plain metrics, or metrics by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from mogradjudge.errors import SetupError
from mogradjudge.lm.quoting import excerpt_of
from mogradjudge.objectives.record import Objective

Metric: TypeAlias = Callable[..., Any]
"""A DSPy metric: ``metric(example, prediction)``, perhaps with further arguments."""
Objectives: TypeAlias = Iterable[Objective | Metric | Mapping[str, Metric]] | Mapping[str, Metric]

_WRITE = "Objective.from_metric(metric, name, description)"


def listed_objectives(objectives: Objectives) -> tuple[Objective, ...]:
    """Return the objectives as a tuple; a metric becomes one by `Objective.from_metric`.

    Its name is that of the function or class, or its key in a dict; its description is the first
    paragraph of its docstring.

    Raises:
        SetupError: If an item is no objective and none can be made of it.

    Example:
        >>> def brevity(example, prediction):
        ...     '''The answer has at most ten words.'''
        ...     return len(prediction.answer.split()) <= 10
        >>> listed_objectives([brevity])[0].description
        'The answer has at most ten words.'
    """
    if isinstance(objectives, Objective) or callable(objectives):
        raise SetupError(
            f"`objectives` must be a list, got a single one, {excerpt_of(objectives)}. Give [it]."
        )
    items = objectives if isinstance(objectives, Iterable) else (objectives,)
    items = (items,) if isinstance(items, Mapping) else items
    return tuple(objective for item in items for objective in _objectives_in(item))


def _objectives_in(item: object) -> Iterator[Objective]:
    if isinstance(item, Objective):
        yield item
    elif isinstance(item, Mapping):
        for name, metric in item.items():
            if isinstance(metric, Objective):
                raise SetupError(
                    f"`objectives` as a dict must hold metrics, got an Objective at {name!r}, "
                    "which has its own name. Give a list of Objective."
                )
            yield _objective(metric, name)
    else:
        yield _objective(item, getattr(item, "__name__", type(item).__name__))


def _objective(metric: object, name: str) -> Objective:
    if not callable(metric) or isinstance(metric, type):
        raise SetupError(
            f"`objectives` must be a list of Objective or metrics, got {excerpt_of(metric)}. "
            f"{_WRITE} makes one of a metric."
        )
    description = _first_paragraph(metric)
    if description is None:
        raise SetupError(
            f"The metric {name!r} in `objectives` has no docstring, which tells the critic and the "
            f"editor what is good. Write one, or give {_WRITE}."
        )
    return Objective.from_metric(metric, name, description)


def _first_paragraph(metric: Metric) -> str | None:
    """Return the first paragraph of a docstring; None if there is none but a made-up one."""
    documented = metric.func if isinstance(metric, functools.partial) else metric
    text = inspect.getdoc(documented) or ""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    names = (getattr(documented, "__name__", None), type(documented).__name__)
    is_signature = any(paragraph.startswith(f"{name}(") for name in names)  # of a dataclass, say
    return None if is_signature or not paragraph else paragraph
