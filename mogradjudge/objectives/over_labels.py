"""Two labels as hooks, and the agreement of labels over a whole data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any, Literal, TypeAlias

import dspy
import numpy as np

from mogradjudge.agreement import Undefined, correlate, quadratic_kappa
from mogradjudge.errors import SetupError
from mogradjudge.fields import excerpt
from mogradjudge.objectives.from_metric import check_scale
from mogradjudge.objectives.hooks import AggregateHook, BadScore, Label, Scored, has_fields
from mogradjudge.scores import Unscored

Measure: TypeAlias = Literal["accuracy", "macro_f1", "kappa", "quadratic_kappa", "spearman"]
_ON_A_SCALE = ("quadratic_kappa", "spearman")


@dataclass(frozen=True)
class LabelPairs:
    """The hooks of an objective that compares a field of the example with one of the prediction.

    Args:
        name: The objective's name.
        expected: The field of the example.
        produced: The field of the prediction.
        scale: The lowest and highest label, if labels are numbers.

    Raises:
        SetupError: If the scale is empty.
    """

    name: str
    expected: str
    produced: str
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.scale is not None:
            check_scale(self.scale)

    def labels(
        self, example: dspy.Example, prediction: object
    ) -> tuple[Label | None, Label | None]:
        """Give both labels, None for one that there is not."""
        expected, produced = self._expected(example), self._produced(prediction)
        return expected, None if isinstance(produced, Unscored) else produced

    def score(self, example: dspy.Example, prediction: object) -> float | Unscored | None:
        """Give 1 for equal labels, else 0; on a scale, how close they are."""
        expected = self._expected(example)
        if expected is None:
            return None
        produced = self._produced(prediction)
        if isinstance(produced, Unscored):
            return produced
        if self.scale is not None:
            low, high = self.scale
            return 1.0 - abs(float(produced) - float(expected)) / (high - low)
        if isinstance(expected, str) != isinstance(produced, str):
            raise SetupError(
                f"{self.expected!r} and {self.produced!r} must hold labels of one kind, got "
                f"{expected!r} and {produced!r}, which are never equal. Convert one of them."
            )
        return float(expected == produced)

    def show(self, example: dspy.Example, prediction: object) -> Mapping[str, object]:
        """Show both labels, and on a scale the signed error."""
        expected, produced = self._expected(example), self._produced(prediction)
        if isinstance(produced, Unscored):
            return {"expected": expected, "produced": f"none, {produced.reason}"}
        shown: dict[str, object] = {"expected": expected, "produced": produced}
        if expected is None:
            return shown
        if self.scale is None:
            return {**shown, "error": "none" if expected == produced else "the wrong label"}
        error = float(produced) - float(expected)
        direction = "too high" if error > 0 else "too low"
        return {**shown, "error": f"{round(abs(error), 2)} {direction}" if error else "none"}

    def aggregate(self, measure: str) -> AggregateHook:
        """Give a measure of agreement over a data set.

        Raises:
            SetupError: If there is no such measure, or if it needs a scale and there is none.
        """
        if measure not in _MEASURES:
            raise SetupError(
                f"`aggregate` must be one of {', '.join(_MEASURES)} or a function, got {measure!r}."
            )
        if measure in _ON_A_SCALE and self.scale is None:
            raise SetupError(
                f"`scale` must be given with aggregate={measure!r}: the lowest and highest label."
            )
        return partial(_measured, self, _MEASURES[measure])

    def _expected(self, example: dspy.Example) -> Label | None:
        if self.expected not in example:
            raise SetupError(
                f"Each example needs {self.expected!r} (None if it has no label), for objective "
                f"{self.name!r}, and one has only {sorted(example.keys())}."
            )
        label = example[self.expected]
        if label is None or _is_nan(label):
            return None
        found = self._read(label)
        if isinstance(found, Unscored):
            raise SetupError(f"{self.expected!r} of objective {self.name!r}: {found.reason}.")
        return found

    def _produced(self, prediction: object) -> Label | Unscored:
        if not has_fields(prediction):
            raise BadScore(f"no field {self.produced!r} in the answer {excerpt(repr(prediction))}")
        if self.produced not in prediction:
            raise BadScore(f"no field {self.produced!r} in the answer, but {sorted(prediction)}")
        label = prediction[self.produced]
        return Unscored(f"{self.produced} is None") if label is None else self._read(label)

    def _read(self, label: Any) -> Label | Unscored:
        if isinstance(label, Unscored):
            return label
        if self.scale is None:
            is_label = isinstance(label, (str, Real, np.bool_)) and not _is_nan(label)
            return label if is_label else Unscored(f"{excerpt(repr(label))} is no label")
        low, high = self.scale
        try:
            number = float(label)  # a model's "4" is 4
        except (TypeError, ValueError):
            return Unscored(f"{excerpt(repr(label))} is no number")
        if low <= number <= high:
            return number
        return Unscored(f"{number:g} is not on the scale from {low:g} to {high:g}")


def _measured(
    pairs: LabelPairs, measure: Callable[..., float | Undefined], scored: Sequence[Scored]
) -> float | Undefined:
    if not scored:
        return Undefined("no example was scored")
    labels = [pairs.labels(each.example, each.prediction) for each in scored]
    return measure([expected for expected, _ in labels], [produced for _, produced in labels])


def _accuracy(expected: Sequence[Label], produced: Sequence[Label]) -> float:
    return sum(map(_equal, expected, produced)) / len(expected)


def _equal(expected: Label, produced: Label) -> bool:
    return bool(expected == produced)


def _macro_f1(expected: Sequence[Label], produced: Sequence[Label]) -> float:
    from sklearn.metrics import f1_score  # slow to import

    return float(f1_score(*_codes(expected, produced), average="macro"))


def _kappa(expected: Sequence[Label], produced: Sequence[Label]) -> float | Undefined:
    from sklearn.metrics import cohen_kappa_score

    if len(set(expected)) == 1:  # kappa would be 0 or 0/0, whatever the program does
        return Undefined("all expected labels are equal")
    return float(cohen_kappa_score(*_codes(expected, produced)))


def _spearman(expected: Sequence[float], produced: Sequence[float]) -> float | Undefined:
    return correlate(expected, produced, level="pooled").value


def _codes(expected: Sequence[Label], produced: Sequence[Label]) -> tuple[list[int], list[int]]:
    """Number the labels: scikit-learn does not take every kind."""
    codes = {label: code for code, label in enumerate(dict.fromkeys([*expected, *produced]))}
    return [codes[label] for label in expected], [codes[label] for label in produced]


def _is_nan(label: object) -> bool:
    return isinstance(label, Real) and math.isnan(label)


_MEASURES: Mapping[str, Callable[..., float | Undefined]] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "kappa": _kappa,
    "quadratic_kappa": quadratic_kappa,
    "spearman": _spearman,
}
