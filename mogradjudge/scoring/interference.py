"""Which criteria get into each other's way, and the partition that keeps these apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from mogradjudge.agreement import document_values, holm
from mogradjudge.criteria import Criterion, Group, Rubric
from mogradjudge.criteria.partition import Scope
from mogradjudge.errors import SetupError
from mogradjudge.programs.evaluation import Judgement
from mogradjudge.scoring.ceilings import judge_score

_FEWEST = 3  # documents; fewer give no standard error worth the name


@dataclass(frozen=True)
class Interference:
    """What each criterion does to each other one.

    Args:
        criteria: The criteria's names, K of them.
        effects: K rows of K numbers: row j, column k is the change of the agreement on k when j's
            new section comes into the prompt; nan where it is unknown. Below 0, j harms k. The
            diagonal is not read.
        errors: The standard errors of the effects, in the same shape.

    Raises:
        SetupError: If there are no criteria, the shapes do not fit, or an error is below 0.

    >>> Interference(("tone", "style"), [[0, -0.1], [0.02, 0]], [[0, 0.03], [0.03, 0]]).criteria
    ('tone', 'style')
    """

    criteria: Group
    effects: Sequence[Sequence[float]]
    errors: Sequence[Sequence[float]]

    def __post_init__(self) -> None:
        if not self.criteria:
            raise SetupError("`criteria` must name at least one, got none.")
        shape = (len(self.criteria), len(self.criteria))
        for name in ("effects", "errors"):
            if (got := np.shape(getattr(self, name))) != shape:
                raise SetupError(f"`{name}` must have the shape {shape}, got {got}.")
        if (np.asarray(self.errors) < 0).any():
            raise SetupError(f"`errors` must be >= 0, got {self.errors!r}.")

    @classmethod
    def of_judgements(cls, judgements: Sequence[Judgement], rubric: Rubric) -> Self:
        """Read a hint of interference off a judge's errors, without another call.

        The effects are the rank correlations of judge minus human scores between the criteria: a
        judge that errs in opposite directions on two criteria would have to change in two ways at
        once. Their errors are jackknifed over the documents. Measured effects say more.

        Args:
            judgements: Scored texts, as `judge_examples` returns them.
            rubric: The rubric by which they were scored.
        """
        residuals = [[_residual(it, one) for it in judgements] for one in rubric.criteria]
        documents = [str(judgement.group) for judgement in judgements]
        pairs = np.array([[_correlation(x, y, documents) for y in residuals] for x in residuals])
        return cls(rubric.names, pairs[..., 0].tolist(), pairs[..., 1].tolist())


def suggest_partition(interference: Interference, level: float = 0.05) -> Scope:
    """Group the criteria so that no two of a group are shown to conflict, in few groups.

    A conflict is shown if one criterion's effect on the other is below 0 by a one-sided test on a
    normal distribution, adjusted for all pairs by Holm's method. The groups are those of
    hierarchical clustering with complete linkage on the evidence for a conflict, so the criteria
    that do each other most good come together first. Without a shown conflict all share one call.

    Args:
        interference: What each criterion does to each other one.
        level: The chance of any false conflict, between 0 and 1.

    Raises:
        SetupError: If it is no `Interference`, or the level does not lie between 0 and 1.

    >>> effects = [[0, 0.05, -0.2], [0.04, 0, -0.1], [-0.3, -0.2, 0]]
    >>> errors = [[0.02] * 3] * 3
    >>> partition = suggest_partition(Interference(("tone", "style", "facts"), effects, errors))
    >>> partition.layout
    'facts | style+tone'
    """
    if not isinstance(interference, Interference):
        raise SetupError(
            f"`interference` must be an Interference, got a {type(interference).__name__}. Make "
            "one of judgements by Interference.of_judgements(judgements, rubric)."
        )
    if not 0 < level < 1:
        raise SetupError(f"`level` must lie between 0 and 1, got {level!r}.")
    names = interference.criteria
    if len(names) == 1:
        return Scope.COMBINED
    from scipy.cluster.hierarchy import fcluster, linkage  # slow to import

    p_values = _p_values(interference)
    pairs = np.triu_indices(len(names), 1)
    distances = 1.0 - np.minimum(p_values, p_values.T)[pairs]
    adjusted = _adjusted(p_values)
    shown = np.minimum(adjusted, adjusted.T)[pairs] <= level
    cut = distances[~shown].max(initial=-1.0)
    clusters = fcluster(linkage(distances, method="complete"), cut, criterion="distance")
    return _scope([np.array(names)[clusters == number] for number in np.unique(clusters)])


def _residual(judgement: Judgement, criterion: Criterion) -> float | None:
    human = criterion.score_in(judgement.example)
    score = judge_score(judgement, criterion.name)
    return None if score is None or human is None else score - human


def _correlation(
    one: Sequence[float | None], other: Sequence[float | None], documents: Sequence[str]
) -> tuple[float, float]:
    """Return a rank correlation and its standard error; nan where there is none."""
    values = np.array([*document_values(one, other, documents, level="pooled").values()])
    if len(values) < _FEWEST:
        return np.nan, np.nan
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _p_values(interference: Interference) -> Any:
    """Return the one-sided p-value of each harm; 1 where nothing is known."""
    from scipy.special import ndtr  # slow to import

    effects, errors = (np.asarray(it, float) for it in (interference.effects, interference.errors))
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = np.where(errors > 0, ndtr(effects / errors), np.where(effects < 0, 0.0, 1.0))
    p_values[~np.isfinite(effects)] = 1.0
    np.fill_diagonal(p_values, 1.0)
    return p_values


def _adjusted(p_values: Any) -> Any:
    """Adjust the p-values off the diagonal by Holm's method."""
    adjusted = np.ones_like(p_values)
    off = ~np.eye(len(p_values), dtype=bool)
    adjusted[off] = [*holm({str(place): p for place, p in enumerate(p_values[off])}).values()]
    return adjusted


def _scope(groups: Sequence[Any]) -> Scope:
    if len(groups) == 1:
        return Scope.COMBINED
    if all(len(group) == 1 for group in groups):
        return Scope.SEPARATE
    return Scope(" | ".join("+".join(group) for group in groups))
