"""Estimates the effect of the decomposition mode, or another parameter, on a trial's value.

The trials of a search differ in many parameters at once, so a level's mean also holds what the
other parameters did. Least squares takes that out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mogradjudge.agreement import FEWEST_DOCUMENTS, Interval, Undefined
from mogradjudge.agreement.coefficients import FEWEST, Array
from mogradjudge.agreement.options import check_options
from mogradjudge.errors import SetupError
from mogradjudge.search.analysis.linear_model import Model, Setting, adjusted, of_levels

_FREEDOM = 2  # the t of 1 degree of freedom is 13 errors wide and says nothing


@dataclass(frozen=True)
class Estimate:
    """A difference of agreements with its interval.

    ``run_error`` says how far another run of the same configurations would move it, and
    ``document_error`` how far other documents would; both are standard errors, and None where they
    are not known.
    """

    value: float
    interval: Interval | Undefined
    run_error: float | None
    document_error: float | None


@dataclass(frozen=True)
class LevelEffect:
    """One level of the factor: its ``n`` trials, and its value minus the mean of the levels.

    In a `SearchResult`, ``n`` counts distinct configurations.

    ``difference`` is to the reference level, None without one and for that level itself.
    """

    level: Setting
    n: int
    effect: Estimate
    difference: Estimate | None


@dataclass(frozen=True)
class Effects:
    """The effects of the levels of one parameter, which sum to 0.

    ``adjusted_for`` names the parameters whose part was taken out, ``dropped`` those whose part
    cannot be, with the reason. ``unadjusted`` is None, or says why none was taken out.
    """

    factor: str
    levels: tuple[LevelEffect, ...]
    reference: Setting
    adjusted_for: tuple[str, ...]
    dropped: Mapping[str, str]
    freedom: int
    unadjusted: Undefined | None


def mode_effects(
    params: Sequence[Mapping[str, Setting]],
    values: Sequence[float | None] | Array,
    resampled: Array | None = None,
    *,
    factor: str = "mode",
    reference: Setting = None,
    documents: int | None = None,
    confidence: float = 0.95,
) -> Effects | Undefined:
    """Estimate what each level of a parameter adds to a trial's value, all else being equal.

    >>> params = [{"mode": mode} for mode in ("SSS", "CCC") for _ in range(3)]
    >>> effects = mode_effects(params, [0.70, 0.72, 0.74, 0.60, 0.62, 0.64])
    >>> {level.level: round(level.effect.value, 2) for level in effects.levels}
    {'CCC': -0.05, 'SSS': 0.05}

    Trials count as independent runs. One whose replies are another's, as those of a repeated
    configuration are, must be left out, or intervals are far too narrow.

    Least squares over all trials that have a value. A number is taken as linear, anything else as
    categories. A parameter that some trials lack is adjusted for where it is, about its mean there,
    and its absence may shift a value. The effect of a level is its value minus the plain mean of
    all levels. A parameter that does not vary, or that cannot be told from the factor or from the
    parameters before it in the order of names, is dropped.

    The interval is Student's. Its variance is that of least squares plus, with ``resampled``, that
    of the effect estimated anew on each resample; it is rather too wide, since luck with single
    documents is in both. Its degrees of freedom are Satterthwaite's (1946, "An approximate
    distribution of estimates of variance components"). The variance of least squares takes all runs
    to scatter alike. In simulations (``python -m benchmarks search-statistics``) it held planted
    effects in .96 to .99 of the cases with 12 to 48 trials, and one of a mode whose runs scatter
    2.5 times as far in .91 to .96; robust errors (HC3) were a third wider at 12 trials. A sampler
    that leaves what did badly at first can make it look worse than it is (Nie, Tian, Taylor and Zou
    2017, "Why adaptively collected data have negative bias and how to correct for it", arXiv
    1708.01977); with Optuna's TPE that was less than .005 here. Where the factor interacts with
    another parameter, say the mode with the steps, the effect is that at the settings tried, which
    such a sampler chooses, and not that over the whole space.

    Args:
        params: The parameters of each trial, by name.
        values: The value of each trial, higher is better; None or nan for a trial without one,
            which is left out.
        resampled: The trials' values on resampled documents, shape (resamples, trials), as by
            `resampled_means`. Without it the interval is for these documents only.
        factor: The parameter in question; every trial with a value has it.
        reference: The level that the others are compared with; None compares with none.
        documents: How many documents were resampled. With it the interval allows for their number,
            and there is none for fewer than 8.
        confidence: Of each interval by itself, between 0 and 1.

    Returns:
        The effects, levels sorted by name. Where the trials leave fewer than 2 degrees of freedom
        the other parameters are not taken out, and ``unadjusted`` says so. Undefined if only one
        level was tried.

    Raises:
        SetupError: If lengths do not fit, a trial lacks the factor, no trial has the reference, or
            an option is out of its range.
    """
    check_options(confidence=confidence)
    outcome = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    _check(params, outcome, resampled, documents)
    has_value = np.isfinite(outcome)
    trials = [trial for trial, keep in zip(params, has_value, strict=True) if keep]
    levels = _levels(trials, factor, reference)
    if len(levels) < 2:
        tried = f"all trials with a value have one {factor}" if levels else "no trial has a value"
        return Undefined(tried)
    rows = None if resampled is None else resampled[:, has_value]
    data = _Data(outcome[has_value], rows, documents, confidence)
    model, adjusted_for, dropped = adjusted(of_levels(trials, factor, levels), trials, factor)
    reason = None
    if model.freedom < _FREEDOM and adjusted_for:
        reason = Undefined(
            f"{len(trials)} trials leave {_freedom(model)} beside "
            f"{len(adjusted_for)} other parameters, and an adjusted effect needs {_FREEDOM}"
        )
        model, adjusted_for = of_levels(trials, factor, levels), ()
    effects = _level_effects(data, model, levels, reference)
    return Effects(factor, effects, reference, adjusted_for, dropped, model.freedom, reason)


def _freedom(model: Model) -> str:
    return f"{model.freedom} degree{'' if model.freedom == 1 else 's'} of freedom"


def _level_effects(
    data: _Data, model: Model, levels: Sequence[Setting], reference: Setting
) -> tuple[LevelEffect, ...]:
    weights = model.level_weights()
    base = None if reference is None else levels.index(reference)
    effects = []
    for place, level in enumerate(levels):
        effect = data.estimate(weights[place] - weights.mean(axis=0), model)
        difference = None
        if base is not None and base != place:
            difference = data.estimate(weights[place] - weights[base], model)
        count = int(model.columns[:, 1 + place].sum())
        effects.append(LevelEffect(level, count, effect, difference))
    return tuple(effects)


@dataclass(frozen=True)
class _Data:
    """The values that effects are estimated from."""

    values: Array
    resampled: Array | None
    documents: int | None
    confidence: float

    def estimate(self, weights: Array, model: Model) -> Estimate:
        """Estimate a weighted sum of the trials' values."""
        value, of_documents = float(weights @ self.values), self._document_variance(weights)
        if model.freedom < 1:
            too_few = Undefined(f"{len(self.values)} trials leave no degree of freedom")
            return Estimate(value, too_few, None, _root(of_documents))
        spread = float((model.residuals(self.values) ** 2).sum()) / model.freedom
        of_runs = spread * float(weights @ weights)
        errors = _root(of_runs), _root(of_documents)
        if (none := self._none(model, of_documents)) is not None:
            return Estimate(value, none, *errors)
        half = self._t(of_runs, of_documents, model) * np.sqrt(of_runs + of_documents)
        ends = float(value - half), float(value + half)
        return Estimate(value, Interval(*ends, self.confidence), *errors)

    def _none(self, model: Model, of_documents: float) -> Undefined | None:
        """Say why there is no interval; None if there is one."""
        if model.freedom < _FREEDOM:
            return Undefined(f"{_freedom(model)}, and an interval needs 2")
        if not np.isfinite(of_documents):
            return Undefined("a trial has no value in most resamples")
        if self.documents is not None and self.documents < FEWEST_DOCUMENTS:
            return Undefined(
                f"{self.documents} documents, and an interval needs {FEWEST_DOCUMENTS}"
            )
        return None

    def _document_variance(self, weights: Array) -> float:
        if self.resampled is None:
            return 0.0
        complete = self.resampled[np.isfinite(self.resampled).all(axis=1)]
        if len(complete) < max(2, len(self.resampled) / 2):
            return np.nan
        # A resample's variance is that of the documents over their number, not over one less.
        inflation = 1.0 if self.documents is None else self.documents / (self.documents - 1)
        return float((complete @ weights).var(ddof=1)) * inflation

    def _t(self, of_runs: float, of_documents: float, model: Model) -> float:
        from scipy.special import stdtrit  # slow to import

        parts = of_runs**2 / model.freedom
        if self.documents is not None:
            parts += of_documents**2 / (self.documents - 1)
        # No part at all: resamples alone vary, and there are many of them.
        freedom = (of_runs + of_documents) ** 2 / parts if parts > 0 else np.inf
        return float(stdtrit(freedom, (1 + self.confidence) / 2))


def _root(variance: float) -> float | None:
    """Give a standard error, None where the variance is not known."""
    return float(np.sqrt(variance)) if np.isfinite(variance) else None


def _levels(
    trials: Sequence[Mapping[str, Setting]], factor: str, reference: Setting
) -> list[Setting]:
    for place, trial in enumerate(trials):
        if factor not in trial:
            raise SetupError(
                f"Every trial must have {factor!r}, and number {place} of those with a value has "
                f"only {sorted(trial)}."
            )
    levels = sorted({trial[factor] for trial in trials}, key=str)
    if reference is not None and reference not in levels:
        raise SetupError(
            f"`reference` must be a level of {factor!r} that was tried, one of {levels}, got "
            f"{reference!r}."
        )
    return levels


def _check(
    params: Sequence[object], values: Array, resampled: Array | None, documents: int | None
) -> None:
    if len(params) != len(values):
        raise SetupError(
            f"`params` and `values` must have one length, got {len(params)} and {len(values)}."
        )
    if resampled is not None and (resampled.ndim != 2 or resampled.shape[1] != len(values)):
        raise SetupError(
            f"`resampled` must have a column for each of the {len(values)} trials, got shape "
            f"{resampled.shape}."
        )
    if documents is not None and documents < FEWEST:
        raise SetupError(f"`documents >= {FEWEST}` must hold, got {documents!r}.")
