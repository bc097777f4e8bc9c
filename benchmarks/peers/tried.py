"""The judge program of all methods, and the metric that remembers how each prompt did."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from statistics import fmean

import dspy

from mogradjudge import MultiCriteriaJudge, Objective, Rubric, Unscored
from mogradjudge.data import example_key


class NotedJudge(MultiCriteriaJudge):
    """A judge of one call per text whose predictions tell the instructions that made them."""

    def __init__(self, rubric: Rubric) -> None:
        super().__init__(rubric, layout="combined")

    def forward(self, **inputs: str) -> dspy.Prediction:
        prediction = super().forward(**inputs)
        prediction["instructions"] = instructions_of(self)
        return prediction


def instructions_of(judge: dspy.Module) -> str:
    """Give the text that is optimized."""
    return str(judge.judges["all"].signature.instructions)


class Tried:
    """A DSPy metric: the mean closeness to the human scores, in [0, 1]; an unscored one is 0.

    It remembers its scores, so that a method that is cut off has a best so far.
    """

    def __init__(self, objectives: Sequence[Objective], selection: Sequence[dspy.Example]) -> None:
        self.objectives = objectives
        self._selection = {example_key(example) for example in selection}
        self._scores: dict[str, dict[str, float]] = {}
        self._lock = threading.Lock()

    def score(
        self, example: dspy.Example, prediction: dspy.Prediction, trace: object = None
    ) -> float:
        """Score a prediction, as MIPROv2 and COPRO ask for it."""
        score = fmean(self._parts(example, prediction).values())
        key = example_key(example)
        if key in self._selection:
            with self._lock:
                self._scores.setdefault(prediction.instructions, {})[key] = score
        return score

    def with_feedback(
        self,
        gold: dspy.Example,
        pred: dspy.Prediction,
        trace: object = None,
        pred_name: str | None = None,
        pred_trace: object = None,
    ) -> dspy.Prediction:
        """Score a prediction as GEPA asks for it, and say what is wrong, as our critic is told."""
        return dspy.Prediction(
            score=self.score(gold, pred),
            feedback=shown_errors(self.objectives, gold, pred),
            objective_scores=self._parts(gold, pred),
        )

    def best(self) -> str | None:
        """Give the instructions with the best mean over all texts of the selection, if any."""
        whole = {
            text: fmean(scores.values())
            for text, scores in self._scores.items()
            if len(scores) == len(self._selection)
        }
        return max(whole, key=lambda text: whole[text], default=None)

    def _parts(self, example: dspy.Example, prediction: dspy.Prediction) -> Mapping[str, float]:
        scores = {each.name: each.score(example, prediction) for each in self.objectives}
        return {
            name: 0.0 if isinstance(score, Unscored) else score
            for name, score in scores.items()
            if score is not None
        }


def shown_errors(
    objectives: Sequence[Objective], example: dspy.Example, prediction: dspy.Prediction
) -> str:
    """Write what our critic sees of a judged text: its scores, the human ones, the errors."""
    lines = []
    for objective in objectives:
        if objective.score(example, prediction) is None:
            continue
        assert objective.show is not None  # set when the objective was built
        shown = dict(objective.show(example, prediction))
        error = shown.pop("error", "none")
        rest = ", ".join(f"{name} {value}" for name, value in shown.items())
        lines.append(f"{objective.name}: {error} ({rest})")
    return "\n".join(lines)
