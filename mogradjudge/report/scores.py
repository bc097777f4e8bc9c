"""Agreement with intervals: of each scoring, of text lengths, and of best minus initial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from mogradjudge.agreement import (
    Interval,
    Level,
    TestOptions,
    Undefined,
    agreement_by,
    reported_intervals,
)
from mogradjudge.agreement.claims import Claim
from mogradjudge.agreement.methods import named
from mogradjudge.agreement.moments import MOMENTS
from mogradjudge.agreement.weighted_mean import mean_label, mean_of
from mogradjudge.objectives.human_agreement import agreement_options
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.report.estimates import MEAN, Ends, Estimate, Scoring
from mogradjudge.report.program_scores import own_claims, own_scoring
from mogradjudge.report.run_data import CONFIRMATION, VALIDATION, RunData
from mogradjudge.scoring.paired import claims_between

Column: TypeAlias = Sequence[float | None]
Produced: TypeAlias = Callable[[Sequence[JudgedText], str], list[float | None]]


def level_of(run: RunData) -> Level:
    """Return the level at which the run measures agreement."""
    return "group" if run.request.get("level") == "group" else "pooled"


def options_of(run: RunData) -> TestOptions:
    """Return how the run measures agreement; it has a rubric."""
    assert run.rubric is not None
    return agreement_options(run.rubric, level_of(run), run.request.get("measure", "spearman"))


def measure_of(run: RunData, name: str) -> str:
    """Name the measure of a criterion, or of the mean over all of them."""
    if run.rubric is None:
        return "value"
    options = options_of(run)
    measures = {criterion: options.of(criterion).method for criterion in run.rubric.names}
    if name in measures:
        return named({name: measures[name]})
    return named(measures) if len(set(measures.values())) == 1 else "mean agreement"


def how_taken(run: RunData) -> str:
    """Describe the run's measure of agreement."""
    if run.rubric is None:
        return "by the run's own objectives"
    options = options_of(run)
    measures = {name: options.of(name).method for name in run.rubric.names}
    over = "pooled over all texts" if options.level == "pooled" else "mean over documents"
    weights = ", ".join(f"{name} {weight:g}" for name, weight in options.weights.items())
    is_plain = mean_label(options.weights) == MEAN
    return f"{named(measures)}, {over}{'' if is_plain else f'; mean weighted by {weights}'}"


def human_of(texts: Sequence[JudgedText], name: str) -> list[float | None]:
    """Return the human scores on a criterion; None where there is none."""
    return [_number(text.expected.get(name)) for text in texts]


def judge_of(texts: Sequence[JudgedText], name: str) -> list[float | None]:
    """Return the judge's scores on a criterion; None where there is none."""
    return [_number(text.produced.get(name)) for text in texts]


def scorings(run: RunData) -> list[Scoring]:
    """Measure the initial instructions and each scored proposal on the validation texts."""
    measured = (scoring(run, number, VALIDATION) for number in (0, *(s.number for s in run.steps)))
    return [scored for scored in measured if scored is not None]


def scoring(run: RunData, step: int, split: str) -> Scoring | None:
    """Measure a step's instructions; None if the event log has no scores of them."""
    texts = run.texts(step, split)
    if not texts:
        return None
    if run.rubric is None:
        return own_scoring(run, step, split)
    return _measured(run, texts, judge_of, step, split)


def ends(run: RunData, split: str) -> Ends | None:
    """Compare the best with the initial instructions; None if one of them was not scored.

    Nothing is tested if the initial instructions were kept.
    """
    # On the confirmation texts the best rewrite is compared even if it was taken back.
    seed_kept = run.state is None or (run.seed_kept if split != CONFIRMATION else run.best == 0)
    seed = scoring(run, 0, split)
    final = seed if seed_kept else scoring(run, run.best, split)
    if seed is None or final is None:
        return None
    how, of_judge = how_taken(run), run.rubric is not None
    compared = Ends(split, how, how, seed, final, {}, {}, seed_kept=seed_kept, of_judge=of_judge)
    names = [
        name
        for name in run.criteria
        if None not in (seed.by_criterion[name].value, final.by_criterion[name].value)
    ]
    compared = replace(compared, left_out=tuple(name for name in run.criteria if name not in names))
    compared = (_judged_ends if of_judge else _own_ends)(run, compared, names)
    if split != CONFIRMATION:
        return compared
    # The confirmation itself is about the mean, and with one criterion about that.
    claims = {name: claim for name, claim in compared.claims.items() if name != MEAN}
    return replace(compared, claims=claims if len(claims) > 1 else {})


def _own_ends(run: RunData, compared: Ends, names: Sequence[str]) -> Ends:
    seed = own_scoring(run, 0, compared.split, names)
    if compared.seed_kept:
        return replace(compared, seed=seed, final=seed)
    claims = own_claims(
        run, run.texts(0, compared.split), run.texts(run.best, compared.split), names
    )
    final = own_scoring(run, run.best, compared.split, names)
    return replace(compared, of="mean score per text", seed=seed, final=final, claims=claims)


def _judged_ends(run: RunData, compared: Ends, names: Sequence[str]) -> Ends:
    first = run.texts(0, compared.split)
    last = first if compared.seed_kept else run.texts(run.best, compared.split)
    methods = {options_of(run).of(name).method for name in run.criteria}
    lengths_compare = methods.isdisjoint(MOMENTS)  # a length is on no scale
    inputs = {name: None for text in first for name in text.lengths if lengths_compare}
    seed, final = compared.seed, compared.final
    lengths = {
        name: _measured(run, first, partial(_length_of, name), 0, compared.split)
        for name in run.in_order(inputs)
    }
    if compared.left_out:
        seed = _with_mean(run, first, judge_of, seed, names)
        final = _with_mean(run, last, judge_of, final, names)
        lengths = {
            name: _with_mean(run, first, partial(_length_of, name), scoring, names)
            for name, scoring in lengths.items()
        }
    claims = {} if compared.seed_kept else _by_agreement(run, first, last)
    shares = _shares(run, final)
    return replace(compared, seed=seed, final=final, lengths=lengths, claims=claims, shares=shares)


def _shares(run: RunData, of: Scoring) -> dict[str, Estimate]:
    """Return the shares of the raters' ceilings that the result reaches; empty if none has one."""
    shares = {
        name: Estimate(
            ceiling["share"],
            Interval(*ceiling["share_interval"]) if ceiling["share_interval"] else None,
            ceiling["undefined"] or "",
            of.texts,
            of.documents,
        )
        for name, ceiling in run.ceilings(of.split).items()
    }
    return shares if any(share.value is not None for share in shares.values()) else {}


def _measured(
    run: RunData, texts: Sequence[JudgedText], produced: Produced, step: int, split: str
) -> Scoring:
    """Measure produced against human scores, with intervals over documents."""
    groups, options = [text.group for text in texts], options_of(run)
    human = {name: human_of(texts, name) for name in run.criteria}
    judge = {name: produced(texts, name) for name in run.criteria}
    intervals = reported_intervals(human, judge, groups, options=options)
    estimates = {
        name: _estimate(human[name], judge[name], groups, options.of(name), intervals[name])
        for name in run.criteria
    }
    defined = [name for name, estimate in estimates.items() if estimate.value is not None]
    estimates[MEAN] = _mean(run, texts, produced, estimates, defined, intervals[MEAN])
    return Scoring(step, split, len(texts), len(set(groups)), estimates)


def _with_mean(
    run: RunData,
    texts: Sequence[JudgedText],
    produced: Produced,
    of: Scoring,
    names: Sequence[str],
) -> Scoring:
    """Return a scoring with the mean over some of its criteria."""
    human, judge = ({name: side(texts, name) for name in names} for side in (human_of, produced))
    groups = [text.group for text in texts]
    interval = reported_intervals(human, judge, groups, options=options_of(run))[MEAN]
    mean = _mean(run, texts, produced, of.by_criterion, names, interval)
    return replace(of, by_criterion={**of.by_criterion, MEAN: mean})


def _mean(
    run: RunData,
    texts: Sequence[JudgedText],
    produced: Produced,
    estimates: Mapping[str, Estimate],
    names: Sequence[str],
    interval: Interval | Undefined,
) -> Estimate:
    columns = [zip(human_of(texts, n), produced(texts, n), strict=True) for n in names]
    scored = [
        text.group
        for text, *pairs in zip(texts, *columns, strict=True)
        if any(None not in pair for pair in pairs)
    ]
    mean = mean_of({name: estimates[name].value for name in names}, options_of(run).weights)
    why = "no criterion has a value" if mean is None else ""
    return _with_interval(mean, why, interval, len(scored), len(set(scored)))


def _estimate(
    human: Column,
    judge: Column,
    groups: Sequence[str],
    options: TestOptions,
    interval: Interval | Undefined,
) -> Estimate:
    pairs = [
        (x, y, group)
        for x, y, group in zip(human, judge, groups, strict=True)
        if x is not None and y is not None
    ]
    x, y, of = zip(*pairs, strict=True) if pairs else ((), (), ())
    value = agreement_by(options, x, y, of)
    why = value.reason if isinstance(value, Undefined) else ""
    known = None if isinstance(value, Undefined) else value
    return _with_interval(known, why, interval, len(pairs), len(set(of)))


def _with_interval(
    value: float | None, why: str, interval: Interval | Undefined, texts: int, documents: int
) -> Estimate:
    if isinstance(interval, Undefined) or value is None:
        reason = why or (interval.reason if isinstance(interval, Undefined) else "")
        return Estimate(value, None, reason, texts, documents)
    return Estimate(value, interval, why, texts, documents)


def _by_agreement(
    run: RunData, first: Sequence[JudgedText], last: Sequence[JudgedText]
) -> dict[str, Claim]:
    human = {name: human_of(first, name) for name in run.criteria}
    before, after = (
        {name: judge_of(texts, name) for name in run.criteria} for texts in (first, last)
    )
    groups = [text.group for text in first]
    return claims_between(human, before, after, groups, options_of(run), ("initial", "best"))


def _length_of(input_name: str, texts: Sequence[JudgedText], _: str) -> list[float | None]:
    return [text.lengths.get(input_name) for text in texts]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
