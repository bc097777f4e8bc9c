"""The judge program of all methods, and the metric that remembers how each prompt did."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from statistics import fmean

import dspy

from mogradjudge import Instructions, MultiCriteriaJudge, Objective, Rubric, as_metric
from mogradjudge.data import example_key
from mogradjudge.settings import Layout


class NotedJudge(MultiCriteriaJudge):
    """A judge whose predictions tell the instructions that made them."""

    def __init__(self, rubric: Rubric, layout: Layout = "combined") -> None:
        super().__init__(rubric, layout=layout)

    def forward(self, **inputs: str) -> dspy.Prediction:
        prediction = super().forward(**inputs)
        prediction["instructions"] = instructions_of(self)
        return prediction


def instructions_of(judge: dspy.Module) -> str:
    """Give the text that is optimized; that of separate calls in one, with all sections."""
    texts = [str(judge.signature.instructions) for judge in judge.judges.values()]
    if len(texts) == 1:
        return texts[0]
    parts = [Instructions.parse(text) for text in texts]
    sections = [section for part in parts for section in part.sections]
    return Instructions(parts[0].preamble, sections).render()


def written(instructions: str, judge: MultiCriteriaJudge) -> None:
    """Write instructions into a judge, each section into the call that it is for."""
    if list(judge.judges) == ["all"]:
        texts = {"all": instructions}
    else:
        read = Instructions.parse(instructions)
        texts = {
            path: Instructions(
                read.preamble, {name: read.section(name) for name in path.split("+")}
            ).render()
            for path in judge.judges
        }
    for name, text in texts.items():
        predictor = judge.judges[name]
        predictor.signature = predictor.signature.with_instructions(text)


class Tried:
    """A DSPy metric: the mean closeness to the human scores, in [0, 1]; an unscored one is 0.

    It remembers its scores, so that a method that is cut off has a best so far.
    """

    def __init__(self, objectives: Sequence[Objective], selection: Sequence[dspy.Example]) -> None:
        self._metric = as_metric(objectives, threshold=None)
        self._selection = {example_key(example) for example in selection}
        self._scores: dict[str, dict[str, float]] = {}
        self._lock = threading.Lock()

    def score(
        self,
        gold: dspy.Example,
        pred: dspy.Prediction,
        trace: object = None,
        pred_name: str | None = None,
        pred_trace: Sequence[Sequence[object]] | None = None,
    ) -> dspy.Prediction | float:
        """Score a prediction, and say what is wrong with it, as our critic is told."""
        score = self._metric(gold, pred, trace, pred_name, pred_trace)
        key = example_key(gold)
        if key in self._selection:
            with self._lock:
                self._scores.setdefault(pred.instructions, {})[key] = float(score)
        return score

    def best(self) -> str | None:
        """Give the instructions with the best mean over all texts of the selection, if any."""
        whole = {
            text: fmean(scores.values())
            for text, scores in self._scores.items()
            if len(scores) == len(self._selection)
        }
        return max(whole, key=lambda text: whole[text], default=None)
