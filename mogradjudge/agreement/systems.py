"""Resampling documents and systems together, so that a conclusion holds for new ones of both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mogradjudge.agreement.arms import Arms, arms_of, contrast_of
from mogradjudge.agreement.coefficients import (
    FEWEST,
    Array,
    Codes,
    Options,
    Scores,
    Undefined,
    blocks,
)
from mogradjudge.agreement.columns import Groups, check_lengths
from mogradjudge.agreement.flips import Comparison
from mogradjudge.agreement.intervals import draw, percentiles, ratio
from mogradjudge.agreement.weighted import weighted_values

_ROUNDING = 1e-12  # a difference that is 0 on paper lies on both sides


def two_way(
    human: Scores,
    arms: Mapping[str, Scores],
    weights: Mapping[str, float],
    documents: Groups,
    systems: Groups,
    options: Options,
    resamples: int,
    seed: int,
    confidence: float,
) -> Comparison | Undefined:
    """Give the percentile interval of a contrast, and twice the smaller tail beyond 0 as p-value.

    A text counts as often as its document was drawn times as often as its system was.
    """
    if min(len(documents), len(systems)) < FEWEST:
        return Undefined(
            f"{len(documents)} documents and {len(systems)} systems, and resampling both needs "
            f"{FEWEST} of each"
        )
    check_lengths({"human": human, "systems": systems.codes})
    table = arms_of(human, arms, documents.codes, len(documents))
    # The same texts are left out of the systems' column.
    kept = arms_of(human, arms, systems.codes, len(systems)).codes
    found = contrast_of(table, weights, options)
    draws = [np.random.default_rng((seed, number)) for number in (0, 1)]
    values = np.empty(resamples)
    for rows in blocks(resamples, len(table.human)):
        of_documents, of_systems = (
            draw(rng, len(side), rows.stop - rows.start)
            for rng, side in zip(draws, (documents, systems), strict=True)
        )
        values[rows] = _resampled(table, kept, weights, options, of_documents, of_systems)
    interval = percentiles(values, confidence)
    if isinstance(interval, Undefined) or not np.isfinite(found.difference):
        return Undefined("most resamples have no correlation")
    values = values[np.isfinite(values)]
    beyond = 1 + min((values <= _ROUNDING).sum(), (values >= -_ROUNDING).sum())
    return Comparison(
        found.difference,
        interval.low,
        interval.high,
        float(min(1.0, 2 * beyond / (len(values) + 1))),
        int(np.isfinite(found.values).sum()),
        "documents+systems",
        float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
        confidence,
    )


def _resampled(
    table: Arms,
    systems: Codes,
    weights: Mapping[str, float],
    options: Options,
    of_documents: Array,
    of_systems: Array,
) -> Array:
    if options.level == "group":
        return _by_document(table, systems, weights, options, of_documents, of_systems)
    often = of_documents[:, table.codes] * of_systems[:, systems]
    return _weighted(table, np.arange(len(table.human)), weights, options, often)


def _by_document(
    table: Arms,
    systems: Codes,
    weights: Mapping[str, float],
    options: Options,
    of_documents: Array,
    of_systems: Array,
) -> Array:
    sums, counts = np.zeros((2, len(of_documents)))
    for document in range(table.documents):
        mine = np.flatnonzero(table.codes == document)
        if not len(mine):
            continue
        values = _weighted(table, mine, weights, options, of_systems[:, systems[mine]])
        often = np.where(np.isfinite(values), of_documents[:, document], 0.0)
        sums += often * np.nan_to_num(values)
        counts += often
    return ratio(sums, counts)


def _weighted(
    table: Arms, texts: Codes, weights: Mapping[str, float], options: Options, often: Array
) -> Array:
    """Give the contrast on some texts, each counted as often as ``often`` (samples, texts) says."""
    human, alone = table.human[texts], np.arange(len(texts))
    return np.asarray(
        sum(
            weight
            * weighted_values(
                human, table.judges[name][texts], alone, often, options.method, options.constant
            )
            for name, weight in weights.items()
        )
    )
