"""How often a judge orders two texts as humans do, ties included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mogradjudge.agreement.checks import check_lengths, finite, group_codes
from mogradjudge.agreement.coefficients import Array, Numbers, Undefined, blocks
from mogradjudge.errors import SetupError

_NO_PAIR = Undefined("there is no pair of scored texts in one group")


def pair_accuracy(
    human: Numbers,
    judge: Numbers,
    groups: Sequence[str] | None = None,
    *,
    epsilon: float = 0.0,
) -> float | Undefined:
    """Return the share of pairs that judge and humans order alike, in [0, 1].

    A pair is right if both tie it, or both order it the same way. Every pair within a group counts
    once. Human ties make it high even for a constant judge: compare it with
    `pair_accuracy_constant`.

    Source: acc_eq of Deutsch, Foster and Freitag 2023, "Ties Matter" (arXiv 2305.14324); they
    average over groups, which is the same for groups of one size.

    >>> pair_accuracy([1, 2, 3, 4, 5, 5], [1, 2, 2, 4, 5, 4])
    0.8

    Args:
        human: Human scores, shape (n,).
        judge: Judge scores, shape (n,).
        groups: The group of each text, length n; without it all pairs are compared.
        epsilon: Judge scores that differ by no more are tied, 0 or more (`calibrate_epsilon`).

    Returns:
        The share, or why there is none: no pair.

    Raises:
        SetupError: If the lengths differ, a score is not finite, or ``epsilon`` is below 0.
    """
    if not epsilon >= 0:
        raise SetupError(f"`epsilon` must be >= 0, got {epsilon!r}.")
    right = pairs = 0
    for x, y in _differences(human, judge, groups):
        tied = np.abs(y) <= epsilon
        right += int(np.where(tied, x == 0, np.sign(x) == np.sign(y)).sum())
        pairs += len(x)
    return right / pairs if pairs else _NO_PAIR


def pair_accuracy_constant(
    human: Numbers, groups: Sequence[str] | None = None
) -> float | Undefined:
    """Return the `pair_accuracy` of a constant judge: the share of human ties.

    >>> round(pair_accuracy_constant([1, 2, 3, 4, 5, 5]), 3)
    0.067

    Args:
        human: Human scores, shape (n,).
        groups: The group of each text, length n.

    Raises:
        SetupError: If the lengths differ, or a score is not finite.
    """
    return pair_accuracy(human, np.zeros(len(human)), groups)


def calibrate_epsilon(
    human: Numbers,
    judge: Numbers,
    groups: Sequence[str] | None = None,
) -> float:
    """Find the ``epsilon`` with the best `pair_accuracy`; the smallest of equally good ones.

    Use other texts than the reported ones. All pairs are in memory at once.

    Source: tie calibration, Deutsch, Foster and Freitag 2023 "Ties Matter" (arXiv 2305.14324).

    >>> epsilon = calibrate_epsilon([1, 2, 2], [1.0, 1.75, 2.0])
    >>> epsilon, pair_accuracy([1, 2, 2], [1.0, 1.75, 2.0], epsilon=epsilon)
    (0.25, 1.0)

    Args:
        human: Human scores, shape (n,).
        judge: Judge scores, shape (n,).
        groups: The group of each text, length n.

    Returns:
        A difference in points of the judge's scale; 0 if there is no pair.

    Raises:
        SetupError: If the lengths differ, or a score is not finite.
    """
    pairs = list(_differences(human, judge, groups))
    if not sum(len(x) for x, _ in pairs):
        return 0.0
    x, y = (np.concatenate(side) for side in zip(*pairs, strict=True))
    # Tying a pair is right where humans tie it, and no longer right where it was ordered well.
    gain = (x == 0).astype(int) - ((y != 0) & (np.sign(x) == np.sign(y)))
    sizes, place = np.unique(np.abs(y), return_inverse=True)
    totals = np.cumsum(np.bincount(place, gain))
    if sizes[0] > 0:
        sizes, totals = np.append(0.0, sizes), np.append(0.0, totals)
    return float(sizes[np.argmax(totals)])


def _differences(
    human: Numbers, judge: Numbers, groups: Sequence[str] | None
) -> Iterator[tuple[Array, Array]]:
    """Yield the differences of human and judge scores over all pairs, in blocks."""
    groups = [""] * len(human) if groups is None else groups
    check_lengths({"human": human, "judge": judge, "groups": groups})
    x, y = finite("human", human), finite("judge", judge)
    codes = group_codes(groups).codes
    order = np.argsort(codes, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        places = np.arange(len(members))
        for rows in blocks(len(members), len(members)):
            first, second = np.meshgrid(places[rows], places, indexing="ij")
            above = second > first
            one, other = members[first[above]], members[second[above]]
            yield x[one] - x[other], y[one] - y[other]
