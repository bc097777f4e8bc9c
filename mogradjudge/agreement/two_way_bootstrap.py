"""Resamples documents and systems, so that a conclusion holds for new ones of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import numpy as np

from mogradjudge.agreement.arms import Arms, Contrast
from mogradjudge.agreement.bootstrap import draw, percentiles, ratio
from mogradjudge.agreement.checks import Groups
from mogradjudge.agreement.coefficients import (
    FEWEST,
    Array,
    Codes,
    Undefined,
    blocks,
)
from mogradjudge.agreement.options import TestOptions
from mogradjudge.agreement.permutation import Comparison
from mogradjudge.agreement.weighted_correlation import weighted_values

# From texts and their weights, (samples, texts), to the contrast, (samples,).
_Contrast: TypeAlias = Callable[[Codes, Array], Array]

_ROUNDING = 1e-12  # a difference that is exactly 0 counts on both sides


def two_way(
    table: Arms,
    observed: Contrast,
    systems: Groups,
    weights: Mapping[str, float],
    options: TestOptions,
) -> Comparison | Undefined:
    """Return a contrast's percentile interval, and twice the smaller tail beyond 0 as p-value.

    The weight of a text is the number of draws of its document times that of its system.
    """
    documents = table.documents
    if min(documents, len(systems)) < FEWEST:
        return Undefined(
            f"{documents} documents and {len(systems)} systems, and resampling both needs {FEWEST} "
            "of each"
        )
    contrast = partial(_contrast, table, weights, options)
    over = _over_all if options.level == "pooled" else _by_document
    codes = systems.codes[table.chosen]
    rngs = [np.random.default_rng((options.seed, number)) for number in (0, 1)]
    values = np.empty(options.flips)
    for rows in blocks(options.flips, len(table.human)):
        of_documents, of_systems = (
            draw(rng, size, rows.stop - rows.start)
            for rng, size in zip(rngs, (documents, len(systems)), strict=True)
        )
        values[rows] = over(contrast, table.codes, codes, of_documents, of_systems)
    interval = percentiles(values, options.confidence)
    if isinstance(interval, Undefined) or not np.isfinite(observed.difference):
        return Undefined("most resamples have no agreement")
    values = values[np.isfinite(values)]
    beyond = 1 + min((values <= _ROUNDING).sum(), (values >= -_ROUNDING).sum())
    return Comparison(
        observed.difference,
        interval.low,
        interval.high,
        float(min(1.0, 2 * beyond / (len(values) + 1))),
        int(np.isfinite(observed.values).sum()),
        "documents+systems",
        float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
        options.confidence,
    )


def _over_all(
    contrast: _Contrast, documents: Codes, systems: Codes, of_documents: Array, of_systems: Array
) -> Array:
    often = of_documents[:, documents] * of_systems[:, systems]
    return contrast(np.arange(len(documents)), often)


def _by_document(
    contrast: _Contrast, documents: Codes, systems: Codes, of_documents: Array, of_systems: Array
) -> Array:
    sums, counts = np.zeros((2, len(of_documents)))
    for document in np.unique(documents):
        texts = np.flatnonzero(documents == document)
        values = contrast(texts, of_systems[:, systems[texts]])
        often = np.where(np.isfinite(values), of_documents[:, document], 0.0)
        sums += often * np.nan_to_num(values)
        counts += often
    return ratio(sums, counts)


def _contrast(
    table: Arms, weights: Mapping[str, float], options: TestOptions, texts: Codes, often: Array
) -> Array:
    """Return the contrast on some texts with the weights ``often`` (samples, texts)."""
    human, alone = table.human[texts], np.arange(len(texts))
    total = np.zeros(len(often))
    for name, weight in weights.items():
        judge = table.judges[name][texts]
        total += weight * weighted_values(human, judge, alone, often, options)
    return total
