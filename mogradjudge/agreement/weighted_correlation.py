"""The pooled agreement of many weighted samples at once; nan where undefined.

Resampling, leaving a document out and exchanging two judges' scores are all weights on documents.
A sample costs a small matrix product instead of a sort.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mogradjudge.agreement.coefficients import (
    CELLS,
    Array,
    Codes,
    Sums,
    blocks,
    coefficient,
    unit_scale,
)
from mogradjudge.agreement.moments import MOMENTS, document_sums, value_of
from mogradjudge.agreement.options import TestOptions
from mogradjudge.errors import SetupError

_TABLE = 4096  # cells up to which counting score pairs beats ranking the texts
MOST_PAIRED = 5000
"""Documents that Kendall's tau may resample; their pairs take 3 x 200 MB."""
_Sum: TypeAlias = Callable[[Array], Sums]


def weighted_values(
    human: Array, judge: Array, codes: Codes, weights: Array, options: TestOptions
) -> Array:
    """Measure the agreement over all texts, once per row of weights.

    A text counts as often as its document's weight says, and copies of it are tied. Spearman's rho
    of scores with few levels comes from each document's table of score pairs: the tables are
    summed by weight, and mid-ranks read off the margins. Scores of many levels are sorted once and
    ranked by running sums of weights.

    Args:
        human: Shape (texts,), finite.
        judge: Shape (texts,), finite.
        codes: The document of each text, 0 to documents - 1.
        weights: Shape (samples, documents), whole and not negative.
        options: How agreement is measured.

    Returns:
        Shape (samples,), in [-1, 1], nan where undefined.

    Raises:
        SetupError: If there are too many documents for Kendall's tau, which compares all pairs.
    """
    if not len(human):
        return np.full(len(weights), np.nan)
    if options.method in MOMENTS:
        moments = document_sums(human, judge, codes, weights.shape[1], options)
        return value_of(moments @ weights.T, options)
    kernels = {"spearman": _spearman, "kendall": _kendall, "pearson": _pearson}
    sums = kernels[options.method](human, judge, codes, weights.shape[1])
    width = max(len(human), weights.shape[1], _TABLE)
    parts = [sums(weights[rows]) for rows in blocks(len(weights), width)]
    return np.concatenate([coefficient(part, options.constant) for part in parts])


def _spearman(human: Array, judge: Array, codes: Codes, documents: int) -> _Sum:
    of_human, x = np.unique(human, return_inverse=True)
    of_judge, y = np.unique(judge, return_inverse=True)
    cells = len(of_human) * len(of_judge)
    if cells <= _TABLE and cells * documents <= 4 * CELLS:
        return _by_tables(x, len(of_human), y, len(of_judge), codes, documents)
    return _by_ranks(x, y, codes)


def _by_tables(x: Codes, width: int, y: Codes, height: int, codes: Codes, documents: int) -> _Sum:
    cells = width * height
    flat = np.bincount(codes * cells + x * height + y, minlength=documents * cells)
    tables = flat.reshape(documents, cells).astype(np.float64)

    def sums(weights: Array) -> Sums:
        counts = (weights @ tables).reshape(-1, width, height)
        of_x, of_y = counts.sum(axis=2), counts.sum(axis=1)
        ranks_x, ranks_y = _level_ranks(of_x), _level_ranks(of_y)
        return Sums(
            shared=(np.einsum("bxy,by->bx", counts, ranks_y) * ranks_x).sum(axis=1),
            human=(of_x * ranks_x**2).sum(axis=1),
            judge=(of_y * ranks_y**2).sum(axis=1),
            texts=of_x.sum(axis=1),
        )

    return sums


def _by_ranks(x: Codes, y: Codes, codes: Codes) -> _Sum:
    orders = [np.argsort(levels, kind="stable") for levels in (x, y)]
    starts = [
        np.flatnonzero(np.diff(levels[order], prepend=-1))
        for levels, order in zip((x, y), orders, strict=True)
    ]

    def sums(weights: Array) -> Sums:
        texts = weights[:, codes]
        deviations = [
            _level_ranks(np.add.reduceat(texts[:, order], start, axis=1))[:, levels]
            for levels, order, start in zip((x, y), orders, starts, strict=True)
        ]
        human, judge = deviations
        return Sums(
            shared=np.einsum("bt,bt,bt->b", texts, human, judge),
            human=np.einsum("bt,bt,bt->b", texts, human, human),
            judge=np.einsum("bt,bt,bt->b", texts, judge, judge),
            texts=texts.sum(axis=1),
        )

    return sums


def _level_ranks(counts: Array) -> Array:
    """Return each level's mid-rank minus the mean rank; exactly 0 if only one level occurs."""
    below_or_at: Array = counts.cumsum(axis=1)
    return below_or_at - (counts + below_or_at[:, -1:]) / 2


def _kendall(human: Array, judge: Array, codes: Codes, documents: int) -> _Sum:
    if documents > MOST_PAIRED:
        raise SetupError(
            f"Resampling with method='kendall' takes at most {MOST_PAIRED} documents, got "
            f"{documents}. Use 'spearman'."
        )
    # Pairs of texts from documents d and e count weight(d) x weight(e) times: a quadratic form.
    shared, of_x, of_y = np.zeros((3, documents, documents))
    for document in range(documents):
        mine = codes == document
        x = np.sign(human[mine, None] - human)
        y = np.sign(judge[mine, None] - judge)
        for target, product in ((shared, x * y), (of_x, x * x), (of_y, y * y)):
            target[document] = np.bincount(codes, product.sum(axis=0), minlength=documents)
    sizes = np.bincount(codes, minlength=documents)

    def sums(weights: Array) -> Sums:
        return Sums(
            weights @ sizes,
            *(((weights @ form) * weights).sum(axis=1) for form in (shared, of_x, of_y)),
        )

    return sums


def _pearson(human: Array, judge: Array, codes: Codes, documents: int) -> _Sum:
    human, judge = unit_scale(human), unit_scale(judge)
    x, y = human - human.mean(), judge - judge.mean()  # sums of squares lose no digits then
    columns = (np.ones_like(x), x, y, x * y, x * x, y * y)
    totals = np.stack(
        [np.bincount(codes, column, minlength=documents) for column in columns], axis=1
    )
    ends = [_ends(scores, codes, documents) for scores in (human, judge)]

    def sums(weights: Array) -> Sums:
        texts, sum_x, sum_y, xy, xx, yy = (weights @ totals).T
        per_text = 1 / np.maximum(1, texts)
        # Rounding leaves a constant sample some spread, so constancy is looked up.
        flat_x, flat_y = (_constant(weights, lowest, highest) for lowest, highest in ends)
        return Sums(
            shared=xy - sum_x * sum_y * per_text,
            human=np.where(flat_x, 0.0, np.maximum(0.0, xx - sum_x**2 * per_text)),
            judge=np.where(flat_y, 0.0, np.maximum(0.0, yy - sum_y**2 * per_text)),
            texts=texts,
        )

    return sums


def _ends(scores: Array, codes: Codes, documents: int) -> tuple[Array, Array]:
    lowest, highest = np.full(documents, np.inf), np.full(documents, -np.inf)
    np.minimum.at(lowest, codes, scores)
    np.maximum.at(highest, codes, scores)
    return lowest, highest


def _constant(weights: Array, lowest: Array, highest: Array) -> npt.NDArray[np.bool_]:
    drawn = weights > 0
    low = np.where(drawn, lowest, np.inf).min(axis=1)
    return np.asarray(np.where(drawn, highest, -np.inf).max(axis=1) <= low)
