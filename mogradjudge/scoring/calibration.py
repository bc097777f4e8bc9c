"""Calibrates a finished judge: fits a map from its scores to the human scale, per criterion."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import dspy
import numpy as np
import numpy.typing as npt

from mogradjudge.agreement import FEWEST_DOCUMENTS
from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.criteria.criterion import Scale
from mogradjudge.data import group_of, listed, with_groups
from mogradjudge.errors import SetupError
from mogradjudge.judge.calibration import ScoreMap
from mogradjudge.judge.inputs import check_inputs
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.budget import Budget
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.stop import interruptible
from mogradjudge.objectives.rubric import check_ratings
from mogradjudge.programs.checks import check_scored
from mogradjudge.programs.evaluation import Judgement
from mogradjudge.programs.first_texts import FirstTexts
from mogradjudge.programs.structure import clone, uncalibrated
from mogradjudge.scoring.ceilings import judge_score
from mogradjudge.scoring.evaluate import check_ready, judge_table

logger = logging.getLogger(__name__)

_FOLDS = 5
_DIGITS = 6
_CHANCE = 0.025
"""One-sided: how often a map that does not help is kept."""

Array: TypeAlias = npt.NDArray[np.float64]
_Knots: TypeAlias = tuple[tuple[float, float], ...]
_Fit: TypeAlias = Callable[[Array, Array, Scale], _Knots]


def calibrate(
    judge: MultiCriteriaJudge,
    valset: Iterable[dspy.Example],
    num_threads: int = 8,
    *,
    budget: Budget | None = None,
    max_rpm: int | None = None,
) -> MultiCriteriaJudge:
    """Judge rated examples, and return a copy of the judge whose scores are on the human scale.

    A judge may rank texts well and still be too kind, or use the middle of the scale alone. For
    each criterion a map that never falls is fitted to its scores, linear or isotonic. Five folds
    of whole documents decide: the kind with the lower mean absolute error on the fold that it was
    not fitted to is kept if that error is lower than the raw scores' by more than chance would
    give in 2.5 % of cases (one-sided t test, paired over documents), and if it does not give every
    text the same score; else scores stay as they are.

    The maps are saved with the judge and hold for its present instructions; they are dropped, with
    a warning, once these change. A mapped prediction has the raw score in its reading
    (``prediction.readings["tone"].raw``). Rank correlations are always those of raw scores, which
    a map may tie.

    Args:
        judge: A finished judge; it is not changed. Maps that it has are left aside.
        valset: Examples that did not choose its instructions, with human scores, of at least 8
            documents.
        num_threads: The most calls in flight.
        budget: Caps on the calls.
        max_rpm: The most calls in any 60 seconds.

    Returns:
        The judge; its ``calibration`` has each criterion's `ScoreMap` with both errors.

    Raises:
        SetupError: Before any call is paid, if a score is off its scale, or no criterion is rated
            in 8 documents.
        BudgetExhausted: If a cap is reached.
        ReplyError: If none of the first texts has a score.

    Example:
        >>> from dspy.utils import DummyLM
        >>> judge = MultiCriteriaJudge(Rubric(["text"], [Criterion("tone", "Is it kind?")]))
        >>> rows = [{"text": f"Text {n:02}", "human_tone": 1 + n % 3} for n in range(24)]
        >>> valset = [dspy.Example(row).with_inputs("text") for row in rows]
        >>> lenient = [{"tone": str(row["human_tone"] + 2)} for row in rows]
        >>> with dspy.context(lm=DummyLM(lenient)):
        ...     calibrated = calibrate(judge, valset, num_threads=1)
        >>> calibrated.calibration["tone"].kind, calibrated.calibration["tone"](5)
        ('linear', 3.0)
    """
    ledger = Ledger(budget, num_threads, max_rpm)
    return calibrated(judge, valset, ledger, num_threads)


def calibrated(
    judge: MultiCriteriaJudge,
    valset: Iterable[dspy.Example],
    ledger: Ledger,
    num_threads: int,
    *,
    keep_going: bool = False,
) -> MultiCriteriaJudge:
    """Return what `calibrate` returns, and record the calls in a ledger."""
    check_ready(judge)
    raw = uncalibrated(judge)
    examples: Sequence[dspy.Example] = listed(valset, "valset")
    examples = check_inputs(examples, judge.rubric, "valset")
    check_ratings(examples, judge.rubric, "`valset`")
    examples = with_groups(examples, judge.rubric.group)
    _check_documents(examples, judge.rubric)
    first = None if keep_going else FirstTexts()
    with interruptible(ledger.stop_signal):
        judgements = judge_table(raw, examples, ledger, num_threads, first=first)
    if not keep_going:
        check_scored(judgements, "rated")
    return with_maps(raw, fitted_maps(judgements, judge.rubric))


def with_maps(judge: MultiCriteriaJudge, maps: Mapping[str, ScoreMap]) -> MultiCriteriaJudge:
    """Return a copy of a judge with these maps, for its LM or else the one of the context."""
    mapped: MultiCriteriaJudge = clone(judge)
    for predictor in mapped.judges.values():
        predictor.calibrate(maps, (predictor.lm or dspy.settings.lm).model)
    return mapped


def fitted_maps(judgements: Sequence[Judgement], rubric: Rubric) -> dict[str, ScoreMap]:
    """Fit each criterion's map, as `calibrate` says."""
    return {criterion.name: _of_criterion(judgements, criterion) for criterion in rubric.criteria}


def _of_criterion(judgements: Sequence[Judgement], criterion: Criterion) -> ScoreMap:
    pairs = [
        (score, criterion.score_in(judgement.example), judgement.group)
        for judgement in judgements
        if (score := judge_score(judgement, criterion.name, raw=True)) is not None
    ]
    judge, human, groups = zip(*pairs, strict=True) if pairs else ((), (), ())
    return fitted_map(np.array(judge, float), np.array(human, float), groups, criterion.scale)


def fitted_map(judge: Array, human: Array, groups: Sequence[str], scale: Scale) -> ScoreMap:
    """Fit a map where it helps.

    Args:
        judge: The judge's scores, shape (n,).
        human: The human scores of the same texts, shape (n,).
        groups: The document of each text, length n.
        scale: Both lie on it.

    Returns:
        The map; one of kind ``"none"`` without errors if there are fewer than 8 documents.

    >>> judge = np.tile([3.0, 4.0, 5.0], 8)
    >>> fitted_map(judge, judge - 2, [f"document {n}" for n in range(24)], Scale(1, 5)).knots
    ((1.0, 1.0), (3.0, 1.0), (5.0, 3.0))
    """
    documents = np.unique(np.array(groups, dtype=str), return_inverse=True)[1]
    count = len(set(documents.tolist()))
    if count < FEWEST_DOCUMENTS:
        return ScoreMap("none", (), None, None, count)
    errors = {
        kind: np.abs(_cross_fitted(fit, judge, human, documents, scale) - human)
        for kind, fit in _FITS.items()
    }
    raw = np.abs(judge - human)
    kind = min(errors, key=lambda kind: round(errors[kind].mean(), _DIGITS))  # a line first
    knots = _FITS[kind](judge, human, scale)
    is_flat = len({mapped for _, mapped in knots}) < 2  # it would say nothing of a text
    figures = (float(raw.mean()), float(errors[kind].mean()), count)
    if not _is_lower(errors[kind], raw, documents):
        return ScoreMap("none", (), *figures)
    if is_flat:
        return ScoreMap("flat", (), *figures)
    return ScoreMap(kind, knots, *figures)


def _cross_fitted(
    fit: _Fit, judge: Array, human: Array, documents: npt.NDArray[np.intp], scale: Scale
) -> Array:
    """Map each text's score by a map that was fitted to other documents."""
    from sklearn.model_selection import GroupKFold  # slow to import

    mapped = np.empty_like(judge)
    for others, fold in GroupKFold(_FOLDS).split(judge, groups=documents):
        corners, values = zip(*fit(judge[others], human[others], scale), strict=True)
        mapped[fold] = np.interp(judge[fold], corners, values)
    return mapped


def _isotonic(judge: Array, human: Array, scale: Scale) -> _Knots:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression().fit(judge, human)
    return _as_knots(fitted.X_thresholds_, np.clip(fitted.y_thresholds_, scale.low, scale.high))


def _linear(judge: Array, human: Array, scale: Scale) -> _Knots:
    """Fit a line by least squares, level where it would leave the scale; a mean if it falls."""
    from sklearn.linear_model import LinearRegression

    fitted = LinearRegression().fit(judge[:, None], human)
    slope, start = float(fitted.coef_[0]), float(fitted.intercept_)
    if slope <= 0:
        return ((float(scale.low), float(human.mean())),)
    ends = (scale.low, scale.high)
    bends = np.clip([(end - start) / slope for end in ends], *ends)
    corners = np.unique(np.round([*ends, *bends], _DIGITS))
    return _as_knots(corners, np.clip(start + slope * corners, *ends))


_FITS: Mapping[Literal["linear", "isotonic"], _Fit] = {"linear": _linear, "isotonic": _isotonic}


def _as_knots(judge: Array, human: Array) -> _Knots:
    return tuple(zip(judge.tolist(), human.tolist(), strict=True))


def _is_lower(mapped: Array, raw: Array, documents: npt.NDArray[np.intp]) -> bool:
    """Test whether a mean error is lower, by sums over documents."""
    from scipy.special import stdtrit  # slow to import

    gain = float((raw - mapped).mean())
    residuals = np.bincount(documents, raw - mapped - gain)
    count = len(residuals)
    error = np.sqrt(count / (count - 1) * (residuals**2).sum()) / len(raw)
    return bool(gain > stdtrit(count - 1, 1 - _CHANCE) * error and gain > 0)


def _check_documents(examples: Sequence[dspy.Example], rubric: Rubric) -> None:
    most = max(
        len(
            {
                group_of(example, place)
                for place, example in enumerate(examples)
                if criterion.score_in(example) is not None
            }
        )
        for criterion in rubric.criteria
    )
    if most < FEWEST_DOCUMENTS:
        raise SetupError(
            f"`valset` must have ratings of at least {FEWEST_DOCUMENTS} documents to calibrate on, "
            f"got {most}. Give more rated texts."
        )
