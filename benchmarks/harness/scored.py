"""Texts scored afresh by one judge, as a cell that keeps every score."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import dspy

from benchmarks.harness.cells import Cell, Values, known_format
from benchmarks.harness.setting import SYSTEM, Setting
from benchmarks.harness.tasks import Task
from mogradjudge import MultiCriteriaJudge, Rubric
from mogradjudge.agreement import Level, Undefined, correlate, document_values
from mogradjudge.data import group_of
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.ledger import Ledger
from mogradjudge.programs.checks import check_scored
from mogradjudge.programs.evaluation import Judgement
from mogradjudge.scoring.evaluate import judge_table

MEAN = "mean"
"""Stands for the mean over the criteria."""
BOUND = 0.03
"""A difference of agreement that would not matter (two rank correlations)."""
_DIGITS = 6
_FEWEST_TEXTS = 5  # per document, on average
_MOST_LOST = 0.01  # of the texts: beyond that, two judges are compared on what one of them left out


@dataclass(frozen=True)
class Judged:
    """What one judge made of n texts: per criterion n scores, None where it gave none.

    ``human`` has n scores per criterion, None where nobody rated; ``groups`` names each text's
    document, ``systems`` who wrote it (empty where the table does not say). ``scales`` are the
    criteria's.
    """

    scores: Mapping[str, Sequence[float | None]]
    human: Mapping[str, Sequence[float | None]]
    groups: Sequence[str]
    systems: Sequence[str]
    scales: Mapping[str, Sequence[int]]

    @classmethod
    def of(cls, cell: Cell) -> Judged:
        """Read what a task of `scoring` kept.

        Raises:
            SetupError: If the cell has the format of another version.
        """
        with known_format([cell]):
            judged = cell.result["judged"]
            return cls(**{field.name: judged[field.name] for field in fields(cls)})

    def coverage(self, name: str) -> float:
        """Give the share of the rated texts that the judge scored."""
        rated = [place for place, score in enumerate(self.human[name]) if score is not None]
        return sum(self.scores[name][place] is not None for place in rated) / max(1, len(rated))

    def filled(self, name: str) -> list[float]:
        """Give all n judge scores; the middle of the scale where there is none.

        A judge that gives no score has not told the text from others. Leaving it out would reward
        the judge for it, and would leave the arms of a comparison with different texts.
        """
        low, high = self.scales[name]
        return [(low + high) / 2 if score is None else score for score in self.scores[name]]

    def values(self, name: str) -> dict[str, float]:
        """Give each document's value: their mean is the agreement."""
        return document_values(
            self.human[name], self.filled(name), self.groups, level=level_of(self)
        )

    def agreement(self, name: str) -> float | None:
        """Give the agreement on the rated texts; None where it is undefined."""
        triples = zip(self.human[name], self.filled(name), self.groups, strict=True)
        rated = [(human, judge, group) for human, judge, group in triples if human is not None]
        human, judge, groups = ([triple[place] for triple in rated] for place in range(3))
        value = correlate(human, judge, groups, level=level_of(self)).value  # type: ignore[arg-type]
        return None if isinstance(value, Undefined) else value


def level_of(judged: Judged) -> Level:
    """Say at which level agreement is taken: per document, if documents have texts enough.

    A correlation of fewer than 5 texts takes a handful of values, and many documents have equal
    human scores on all of them.
    """
    enough = _FEWEST_TEXTS * len(set(judged.groups))
    return "group" if len(judged.groups) >= enough else "pooled"


def scoring(
    setting: Setting,
    benchmark: str,
    key: Values,
    judge: MultiCriteriaJudge | Mapping[str, MultiCriteriaJudge],
    examples: Sequence[dspy.Example] | None = None,
) -> Task:
    """Make the task of scoring texts, the setting's test texts if none are given.

    Args:
        setting: What is measured on.
        benchmark: The cell's benchmark.
        key: What tells the cell from the others.
        judge: One judge, or one for each criterion, by the criterion's name.
        examples: The texts.
    """
    texts = setting.test if examples is None else examples
    judges = [judge] if isinstance(judge, MultiCriteriaJudge) else list(judge.values())

    def measure(ledger: Ledger) -> Values:
        return {"judged": score_texts(setting, judges, texts, ledger)}

    return setting.grid.task(benchmark, key, measure)


def score_texts(
    setting: Setting,
    judges: Iterable[MultiCriteriaJudge],
    texts: Sequence[dspy.Example],
    ledger: Ledger,
) -> Values:
    """Score texts with judges of different criteria; gives what `Judged.of` reads."""
    texts, scores = setting.grid.few(texts), dict[str, list[float | None]]()
    for judge in judges:
        judgements = judge_table(judge, texts, ledger, setting.num_threads)
        check_scored(judgements, "benchmark")
        scores |= {name: [score_of(j, name) for j in judgements] for name in judge.rubric.names}
    return {"scores": scores, **known_of(setting.rubric, texts)}


def unequal_coverage(arms: Sequence[Judged], name: str) -> str:
    """Say by how much the arms' coverage differs, if it does by more than 1 point; else ``""``."""
    shares = [arm.coverage(name) for arm in arms]
    if max(shares) - min(shares) <= _MOST_LOST:
        return ""
    return f"{name}: coverage from {min(shares):.1%} to {max(shares):.1%} of the texts"


def known_of(rubric: Rubric, texts: Sequence[dspy.Example]) -> dict[str, Any]:
    """Give what is known of texts before a judge has scored them: all of `Judged` but scores."""
    return {
        "human": {c.name: [text[c.human] for text in texts] for c in rubric.criteria},
        "groups": [group_of(text, place) for place, text in enumerate(texts)],
        "systems": [text[SYSTEM] for text in texts if SYSTEM in text],
        "scales": {c.name: [c.scale.low, c.scale.high] for c in rubric.criteria},
    }


def score_of(judgement: Judgement, name: str) -> float | None:
    """Give a judge's score on a criterion; None if it gave none."""
    if isinstance(judgement.prediction, Unscored):
        return None
    value = judgement.prediction[name]
    return None if isinstance(value, Unscored) else round(float(value), _DIGITS)
