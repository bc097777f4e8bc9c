"""What the trials of one search would have been worth on other documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mogradjudge.agreement.bootstrap import draw, ratio
from mogradjudge.agreement.checks import (
    Groups,
    check_lengths,
    check_names,
    check_options,
    gappy,
    group_codes,
)
from mogradjudge.agreement.coefficients import (
    FEWEST,
    Array,
    Level,
    Method,
    Options,
    Scores,
    blocks,
    group_values,
)
from mogradjudge.agreement.weighted_correlation import weighted_values
from mogradjudge.errors import SetupError


def resampled_means(
    human: Mapping[str, Scores],
    judged: Sequence[Mapping[str, Scores]],
    groups: Sequence[str],
    *,
    level: Level,
    method: Method = "spearman",
    resamples: int = 1000,
    seed: int = 0,
) -> Array:
    """Give the mean agreement of every trial on resampled documents.

    Whole documents are drawn with replacement, the same ones for all trials and criteria, so that
    a row compares trials on equal texts. A document drawn twice counts as two. In each resample a
    criterion has the value of `correlate`, and the mean is over the criteria that have one: a
    judge that gives one score has the value 0, and what humans score alike leaves for all trials.

    Args:
        human: Human scores by criterion, each of length n; None where there is none.
        judged: For each trial its judge's scores by criterion, each of length n. A text with None
            is left out of that trial and criterion only.
        groups: The document of each text, length n.
        level: As for `correlate`.
        method: As for `correlate`.
        resamples: How many resamples to draw, at least 1.
        seed: Seeds the draws. Equal seeds and documents give the draws of `bootstrap_criteria`.

    Returns:
        Shape (resamples, trials), in [-1, 1]; nan where no criterion has a value.

    Raises:
        SetupError: If there is no trial or no criterion, names or lengths differ, a score is not
            finite, there are fewer than 3 documents, or an option is out of its range.
    """
    check_options(method=method, level=level, resamples=resamples)
    columns = _columns(human, judged, groups)
    documents, options = group_codes(groups), Options(method, level, "zero")
    if len(documents) < FEWEST:
        raise SetupError(
            f"`groups` must name at least {FEWEST} documents to resample, got {len(documents)}."
        )
    rng, found = np.random.default_rng(seed), np.empty((resamples, len(judged)))
    for rows in blocks(resamples, len(documents)):
        weights = draw(rng, len(documents), rows.stop - rows.start)
        for trial, sides in enumerate(columns):
            values = [_resampled(*pair, documents, weights, options) for pair in sides]
            defined = np.isfinite(values)
            found[rows, trial] = ratio(
                np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0).astype(np.float64)
            )
    return found


def _columns(
    human: Mapping[str, Scores], judged: Sequence[Mapping[str, Scores]], groups: Sequence[str]
) -> list[list[tuple[Array, Array]]]:
    """Give human and judge scores as numbers, by trial and criterion."""
    if not human:
        raise SetupError("`human` must hold the scores of at least one criterion, got none.")
    if not judged:
        raise SetupError("`judged` must hold the scores of at least one trial, got none.")
    people = {name: gappy(f"human {name!r}", scores) for name, scores in human.items()}
    found = []
    for trial, scores in enumerate(judged):
        check_names(f"The scores of trial {trial}", scores, human)
        for name in human:
            check_lengths({"human": human[name], "judged": scores[name], "groups": groups})
        found.append(
            [(people[name], gappy(f"judged[{trial}] {name!r}", scores[name])) for name in human]
        )
    return found


def _resampled(
    human: Array, judge: Array, documents: Groups, weights: Array, options: Options
) -> Array:
    kept = np.isfinite(human) & np.isfinite(judge)
    human, judge, codes = human[kept], judge[kept], documents.codes[kept]
    method, constant = options.method, options.constant
    if options.level == "pooled":
        return weighted_values(human, judge, codes, weights, method, constant)
    values = group_values(human, judge, codes, len(documents), method, constant)
    defined = np.isfinite(values)
    return ratio(weights @ np.where(defined, values, 0.0), weights @ defined.astype(np.float64))
