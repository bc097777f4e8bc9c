"""How events write agreement and errors: as figures with names, and as words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from mogradjudge.agreement import Deviation
from mogradjudge.programs.judged_text import Values

Deviations: TypeAlias = Mapping[str, Deviation]
"""Bias and mean error by criterion, in points of its scale."""


def named(what: str, values: Mapping[str, float | None]) -> dict[str, float]:
    """Prefix the names of the defined values, as in ``proposed/fluency``."""
    return {f"{what}/{name}": value for name, value in values.items() if value is not None}


def error_figures(deviations: Deviations) -> dict[str, float]:
    """Return bias and mean error as figures with names, as in ``bias/fluency``.

    >>> error_figures({"fluency": Deviation(-0.5, 0.75, None)})
    {'bias/fluency': -0.5, 'mean_error/fluency': 0.75}
    """
    biases = named("bias", {name: it.bias for name, it in deviations.items()})
    return biases | named("mean_error", {name: it.mean_error for name, it in deviations.items()})


def show_errors(*scorings: Deviations) -> str:
    """Write bias and mean error by criterion, of one scoring or of two; empty if there are none.

    >>> show_errors({"fluency": Deviation(-0.5, 0.75, None)})
    ' Bias (mean error) in points: fluency -0.50 (0.75).'
    """
    shown = [
        f"{name} {' -> '.join(it[name].describe() for it in scorings if name in it)}"
        for name in scorings[0]
    ]
    return f" Bias (mean error) in points: {', '.join(shown)}." if shown else ""


def show(values: Values) -> str:
    """Format agreement in short.

    >>> show({"fluency": 0.2, "coherence": None, "mean": 0.2})
    'mean 0.200 (fluency 0.200, coherence undefined)'
    """
    parts = {
        name: "undefined" if value is None else f"{value:z.3f}" for name, value in values.items()
    }
    mean = parts.pop("mean")
    return f"mean {mean} ({', '.join(f'{name} {value}' for name, value in parts.items())})"
