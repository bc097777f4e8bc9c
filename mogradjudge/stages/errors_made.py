"""How a judge errs: how often, how far and in which direction, as the coach reads it."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mogradjudge.agreement import Undefined, correlate
from mogradjudge.judge.scores import BY_PEOPLE, NotApplicable, is_unread
from mogradjudge.objectives import Objective
from mogradjudge.programs.evaluation import Judgement

_MOST_LABELS = 12
"""Expected labels of a table of confusions; free texts have none."""


def errors_made(
    objectives: Iterable[Objective], pool: Sequence[Judgement], batch: Sequence[Judgement]
) -> dict[str, dict[str, str]]:
    """Describe a judge's errors on each objective, on the pool and on the batch."""
    parts = {"before the first edit": pool, "on the texts above, now": batch}
    return {
        objective.name: {
            what: "; ".join(_described(objective, judged))
            for what, judged in parts.items()
            if judged
        }
        for objective in objectives
    }


def _described(objective: Objective, judgements: Sequence[Judgement]) -> Iterator[str]:
    scores = [judged.scores[objective.name] for judged in judgements]
    known = [score for score in scores if isinstance(score, float)]
    yield f"{len(known)} texts with a score"
    if unscored := sum(map(is_unread, scores)):
        yield f"{unscored} without a usable result"
    disputed = Counter(it.reason for it in scores if isinstance(it, NotApplicable))
    for reason, count in disputed.items():
        who = "people" if reason == BY_PEOPLE else "the judge"
        yield f"{count} that the criterion does not apply to, as only {who} said"
    if not known:
        return
    pairs = _labels(objective, judgements)
    numbers = [(float(pair[0]), float(pair[1])) for pair in pairs if _are_numbers(*pair)]
    if not numbers:
        yield f"mean score {statistics.fmean(known):.2f} of 1"
    else:
        yield from _deviations(numbers)
        pairs = [(_level(people), _level(judge)) for people, judge in numbers]
    if pairs and len({str(people) for people, _ in pairs}) <= _MOST_LABELS:
        yield _confusions(pairs, "people about" if _are_means(numbers) else "people")


def _labels(objective: Objective, judgements: Sequence[Judgement]) -> list[tuple[Any, Any]]:
    compared = [
        objective.compared(judged.example, judged.read_by(objective.name))
        for judged in judgements
        if isinstance(judged.scores[objective.name], float)
    ]
    return [pair for pair in compared if pair is not None]


def _are_means(numbers: Sequence[tuple[float, float]]) -> bool:
    return any(people % 1 for people, _ in numbers)


def _level(score: float) -> int:
    return math.floor(score + 0.5)  # `round` sends halves to the even neighbour


def _are_numbers(*labels: object) -> bool:
    return all(isinstance(label, (int, float)) and not isinstance(label, bool) for label in labels)


def _deviations(numbers: Sequence[tuple[float, float]]) -> Iterator[str]:
    errors = [judge - people for people, judge in numbers]
    agreement = correlate(*zip(*numbers, strict=True)).value
    if not isinstance(agreement, Undefined):
        yield f"rank correlation {agreement:.2f}"
    bias = statistics.fmean(errors)
    yield f"on average {abs(bias):.2f} too {'high' if bias > 0 else 'low'}"
    high, low = (sum(sign * error >= 0.5 for error in errors) for sign in (1, -1))
    yield f"half a point or more too high on {high}, too low on {low}"
    spread = statistics.pstdev(errors)
    yield f"mean error {statistics.fmean(map(abs, errors)):.2f}, spread {spread:.2f}"


def _in_order(pair: tuple[Any, Any]) -> tuple[Any, ...]:
    return tuple((0, label, "") if _are_numbers(label) else (1, 0, str(label)) for label in pair)


def _confusions(pairs: Sequence[tuple[Any, Any]], who: str) -> str:
    """Say what the judge made of each label that people gave, and so how often they gave it."""
    counts: dict[Any, Counter[Any]] = {}
    for people, judge in sorted(pairs, key=_in_order):
        counts.setdefault(people, Counter())[judge] += 1
    rows = [
        f"{who} {people}: judge " + ", ".join(f"{judge} ({n})" for judge, n in row.items())
        for people, row in counts.items()
    ]
    return "; ".join(rows)
