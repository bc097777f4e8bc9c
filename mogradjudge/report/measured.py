"""Agreement with intervals, of each scoring, of its texts' lengths, and of final against seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from mogradjudge.agreement import (
    Comparison,
    Interval,
    Level,
    Undefined,
    cluster_test,
    compare_criteria,
    correlate,
    reported_intervals,
)
from mogradjudge.claims import Claim, claim
from mogradjudge.events import JudgedText
from mogradjudge.report.folder import TEST, VALIDATION, Run

MEAN = "mean"

Column = Sequence[float | None]


@dataclass(frozen=True)
class Estimate:
    """An agreement, its 95 % interval over documents, and how many texts and documents it is of.

    ``why`` says why there is no value, or no interval.
    """

    value: float | None
    interval: Interval | None
    why: str
    texts: int
    documents: int


@dataclass(frozen=True)
class Scoring:
    """The agreement of one step's instructions on the texts of a split, by criterion and `MEAN`."""

    step: int
    split: str
    texts: int
    documents: int
    by_criterion: Mapping[str, Estimate]


@dataclass(frozen=True)
class Ends:
    """The seed's and the final instructions' agreement on one split, and what lies between.

    ``claims`` are on the differences: that on the mean decides; the p-values of the criteria are
    adjusted for their number (Holm). ``lengths`` is the agreement of each input's length alone.
    ``agreement`` names what an agreement is, ``of`` what is compared.
    """

    split: str
    agreement: str
    of: str
    seed: Scoring
    final: Scoring
    claims: Mapping[str, Claim]
    lengths: Mapping[str, Scoring]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why there is no value, or no interval, where there is none."""
        arms = {"seed": self.seed, "final": self.final}
        arms |= {f"length of {name}": each for name, each in self.lengths.items()}
        found: dict[str, list[str]] = {}
        for arm, scoring in arms.items():
            for name, each in scoring.by_criterion.items():
                if each.why:
                    found.setdefault(each.why, []).append(f"{arm}, {name}")
        return tuple(f"{why} ({'; '.join(where)})" for why, where in found.items())


def level_of(run: Run) -> Level:
    """Give how the run takes agreement."""
    return "group" if run.asked.get("level") == "group" else "pooled"


def how_taken(run: Run) -> str:
    """Say what an agreement is."""
    if run.rubric is None:
        return "as the run's own objectives sum up their scores"
    pooled = level_of(run) == "pooled"
    return f"Spearman's rho, {'pooled over all texts' if pooled else 'mean over documents'}"


def human_of(texts: Sequence[JudgedText], name: str) -> list[float | None]:
    """Give the human scores on a criterion; None where there is none."""
    return [_number(text.expected.get(name)) for text in texts]


def judge_of(texts: Sequence[JudgedText], name: str) -> list[float | None]:
    """Give the judge's scores on a criterion; None where there is none."""
    return [_number(text.produced.get(name)) for text in texts]


def scorings(run: Run) -> list[Scoring]:
    """Measure the seed and each step's proposal on the validation texts, where it was scored."""
    found = (scoring(run, number, VALIDATION) for number in (0, *(s.number for s in run.steps)))
    return [each for each in found if each is not None]


def scoring(run: Run, step: int, split: str) -> Scoring | None:
    """Measure a step's instructions; None where the events hold no such texts."""
    texts = run.texts(step, split)
    if not texts:
        return None
    if run.rubric is None:
        return _told(run, step, split, texts)
    return _measured(run, texts, judge_of, Scoring(step, split, 0, 0, {}))


def ends(run: Run, split: str) -> Ends | None:
    """Compare the final instructions with the seed; None where one of them was not scored."""
    seed, final = scoring(run, 0, split), scoring(run, run.best, split)
    if seed is None:
        return None
    if final is None:
        if not (split == TEST and run.seed_kept):
            return None
        final = seed  # equal instructions are scored once
    first, last = run.texts(0, split), run.texts(run.best, split) or run.texts(0, split)
    if run.rubric is None:
        of = "mean score per text"
        claims = {MEAN: claim("final less seed, mean score per text", _by_score(first, last))}
    else:
        of = how_taken(run)
        claims = _by_agreement(run, first, last)
    return Ends(split, how_taken(run), of, seed, final, claims, _lengths(run, first))


def _measured(
    run: Run,
    texts: Sequence[JudgedText],
    produced: Callable[[Sequence[JudgedText], str], list[float | None]],
    like: Scoring,
) -> Scoring:
    """Correlate what was produced with the human scores, with intervals over documents."""
    groups, level = [text.group for text in texts], level_of(run)
    human = {name: human_of(texts, name) for name in run.criteria}
    judge = {name: produced(texts, name) for name in run.criteria}
    documents = len(set(groups))
    intervals = reported_intervals(human, judge, groups, level=level)
    found = {
        name: _estimate(human[name], judge[name], groups, level, intervals[name])
        for name in run.criteria
    }
    values = [each.value for each in found.values() if each.value is not None]
    mean = fmean(values) if values else None
    over = "" if values else "no criterion has a value"
    found[MEAN] = _with_interval(mean, over, intervals[MEAN], len(texts), documents)
    return Scoring(like.step, like.split, len(texts), documents, found)


def _estimate(
    human: Column,
    judge: Column,
    groups: Sequence[str],
    level: Level,
    interval: Interval | Undefined,
) -> Estimate:
    pairs = [
        (x, y, group)
        for x, y, group in zip(human, judge, groups, strict=True)
        if x is not None and y is not None
    ]
    x, y, of = zip(*pairs, strict=True) if pairs else ((), (), ())
    value = correlate(x, y, of, level=level).value
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


def _told(run: Run, step: int, split: str, texts: Sequence[JudgedText]) -> Scoring:
    """Give what the run's own objectives came to: how they sum up is not known here."""
    values = _told_values(run, step, split)
    documents = len({text.group for text in texts})
    why = "no interval: the objective sums up its scores in a way of its own"
    found = {
        name: Estimate(
            *(values.get(name), None, why),
            *(sum(text.scores.get(name) is not None for text in texts), documents),
        )
        for name in run.criteria
    }
    found[MEAN] = Estimate(values.get(MEAN), None, why, len(texts), documents)
    return Scoring(step, split, len(texts), documents, found)


def _told_values(run: Run, step: int, split: str) -> Mapping[str, float | None]:
    if split == TEST:
        test = None if run.state is None else run.state.test
        if test is None:
            return {}
        return (test.seed if step == 0 else test.final).as_dict()
    if step == 0:
        return {} if run.seeded is None else run.seeded["agreement"]
    decided = next((each.decided for each in run.steps if each.number == step), None)
    return {} if decided is None else decided["proposed"]


def _by_agreement(
    run: Run, first: Sequence[JudgedText], last: Sequence[JudgedText]
) -> dict[str, Claim]:
    family = compare_criteria(
        {name: human_of(first, name) for name in run.criteria},
        {name: judge_of(last, name) for name in run.criteria},
        {name: judge_of(first, name) for name in run.criteria},
        [text.group for text in first],
        level=level_of(run),
    )
    claims = {MEAN: claim("final less seed, mean", family.mean)}
    for name, found in family.by_criterion.items():
        claims[name] = claim(
            f"final less seed, {name}",
            found,
            p_value=family.holm.get(name),
            family=max(1, len(family.holm)),
        )
    return claims


def _by_score(first: Sequence[JudgedText], last: Sequence[JudgedText]) -> Comparison | Undefined:
    differences: dict[str, list[float]] = {}
    for before, after in zip(first, last, strict=True):
        pairs = [
            (old, new)
            for name, old in before.scores.items()
            if old is not None and (new := after.scores.get(name)) is not None
        ]
        if pairs:
            difference = fmean(new - old for old, new in pairs)
            differences.setdefault(before.group, []).append(difference)
    return cluster_test([fmean(each) for each in differences.values()])


def _lengths(run: Run, texts: Sequence[JudgedText]) -> dict[str, Scoring]:
    """Measure how well the length of each input agrees with the human scores."""
    if run.rubric is None:
        return {}
    names = dict.fromkeys(name for text in texts for name in text.lengths)
    like = Scoring(0, VALIDATION, 0, 0, {})
    return {name: _measured(run, texts, partial(_length_of, name), like) for name in names}


def _length_of(input_name: str, texts: Sequence[JudgedText], _: str) -> list[float | None]:
    return [text.lengths.get(input_name) for text in texts]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
