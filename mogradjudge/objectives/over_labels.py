"""Hooks that compare two labels, and measures of their agreement over a data set."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import partial
from numbers import Real
from typing import Any, Literal, TypeAlias

import dspy
import numpy as np

from mogradjudge.agreement import Undefined, correlate, quadratic_kappa
from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.quoting import excerpt_of
from mogradjudge.objectives.from_metric import check_scale
from mogradjudge.objectives.hooks import AggregateHook, BadScore, Label, Scored, has_fields

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
        """Return the expected and the produced label; None for a missing one."""
        expected, produced = self._both(example, prediction)
        return expected, None if isinstance(produced, Unscored) else produced

    def score(self, example: dspy.Example, prediction: object) -> float | Unscored | None:
        """Return 1 for equal labels, else 0; on a scale, how close they are."""
        expected, produced = self._both(example, prediction)
        if expected is None:
            return None
        if isinstance(produced, Unscored):
            return produced
        if self.scale is not None:
            low, high = self.scale
            return 1.0 - abs(float(produced) - float(expected)) / (high - low)
        return float(expected == produced)

    def show(self, example: dspy.Example, prediction: object) -> Mapping[str, object]:
        """Show both labels, and on a scale the signed error."""
        expected, produced = self._both(example, prediction)
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
        """Return the measure of agreement with this name.

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

    def _both(
        self, example: dspy.Example, prediction: dspy.Prediction
    ) -> tuple[Label | None, Label | Unscored]:
        """Return both labels in the form in which they are compared."""
        gold, answer = self._expected(example), self._produced(prediction)
        if gold is None:
            return None, self._read(answer)
        if self.scale is None:
            gold, answer = _of_kind(gold, answer), _of_kind(answer, gold)
        expected = self._read(gold)
        if isinstance(expected, Unscored):
            raise BadScore(f"{self.expected!r} of the example: {expected.reason}")
        produced = self._read(answer)
        if self.scale is not None or isinstance(produced, Unscored):
            return expected, produced
        return expected, self._of_one_kind(gold, answer, expected, produced)

    def _of_one_kind(
        self, gold: object, answer: object, expected: Label, produced: Label
    ) -> Label | Unscored:
        """Return the produced label if it can equal the expected one.

        Raises:
            BadScore: If labels of these kinds are never equal.
        """
        expected_kind, produced_kind = _kind(gold), _kind(answer)
        if produced_kind == "list" and expected_kind != "list":
            return Unscored(f"{excerpt_of(answer)} is no label")
        if not _are_of_one_kind(expected_kind, produced_kind):
            raise BadScore(
                f"{self.expected!r} and {self.produced!r} must hold labels of one kind, got "
                f"{excerpt_of(expected)} and {excerpt_of(produced)}, which are never equal; "
                "convert one of them"
            )
        return produced

    def _expected(self, example: dspy.Example) -> Any:
        if self.expected not in example:
            raise SetupError(
                f"Each example needs {self.expected!r} (None if it has no label), for objective "
                f"{self.name!r}, and one has only {sorted(example.keys())}."
            )
        label = _as_python(example[self.expected])
        return None if label is None or _is_nan(label) else label

    def _produced(self, prediction: object) -> Any:
        if not has_fields(prediction):
            raise BadScore(f"no field {self.produced!r} in the answer {excerpt_of(prediction)}")
        if self.produced not in prediction:
            raise BadScore(f"no field {self.produced!r} in the answer, but {sorted(prediction)}")
        label = _as_python(prediction[self.produced])
        return Unscored(f"{self.produced} is None") if label is None else label

    def _read(self, label: Any) -> Label | Unscored:
        if isinstance(label, Unscored):
            return label
        if self.scale is None:
            try:
                return _plain(label)
            except (TypeError, RecursionError):
                return Unscored(f"{excerpt_of(label)} is no label")
        low, high = self.scale
        try:
            number = float(label.value if isinstance(label, Enum) else label)  # a model's "4" is 4
        except (TypeError, ValueError):
            return Unscored(f"{excerpt_of(label)} is no number")
        if low <= number <= high:
            return number
        return Unscored(f"{number:g} is not on the scale from {low:g} to {high:g}")


def _measured(
    pairs: LabelPairs, measure: Callable[..., float | Undefined], scored: Sequence[Scored]
) -> float | Undefined:
    if not scored:
        return Undefined("no example was scored")
    labels = [pairs.labels(result.example, result.prediction) for result in scored]
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


def _plain(label: object) -> Label:
    """Write a label as a text, a number or a bool that a prompt can show: equal ones alike.

    Raises:
        TypeError: If it is none of what can be compared.
        RecursionError: If it is a list that holds itself.
    """
    match label:
        case Enum():
            return _plain(label.value)
        case np.generic() | np.ndarray() if not isinstance(label, str):
            return _plain(_as_python(label))
        case Decimal():
            return _plain(float(label))
        case date() | time():
            return _as_iso(label)
        case list() | tuple() | set() | frozenset():
            return _as_json(label)
        case str():
            return str(label)
        case Real() if not _is_nan(label):
            return label  # type: ignore[return-value]  # mypy does not narrow it
    raise TypeError


def _as_iso(label: date | time) -> str:
    if isinstance(label, datetime) and label.tzinfo is not None:
        label = label.astimezone(UTC)
    return label.isoformat()


def _as_json(label: Collection[object]) -> str:
    items = [_as_whole(_plain(item)) for item in label]
    if isinstance(label, (set, frozenset)):
        items.sort(key=lambda item: (str(item), repr(item)))
    return json.dumps(items, ensure_ascii=False)


def _as_whole(item: Label) -> Label:
    """Write equal numbers alike: JSON has three texts for 1, 1.0 and true."""
    is_whole = isinstance(item, bool) or (isinstance(item, float) and item.is_integer())
    return int(item) if is_whole else item


def _as_python(label: Any) -> Any:
    return label.tolist() if isinstance(label, (np.generic, np.ndarray)) else label


def _of_kind(label: Any, other: object) -> Any:
    """Read a label as the kind of label that it is compared with, if it can be.

    A table or a model gives an enum's member by its value or name, a date in ISO's form, a moment
    as a date, and a set as a list.
    """
    try:
        return _read_as(label, other)
    except (TypeError, ValueError, RecursionError):
        return label


def _read_as(label: Any, other: object) -> Any:
    match label, other:
        case str(), _ if not isinstance(label, Enum):
            return _text_as(label, other)
        case date(), datetime() if type(label) is date:
            return datetime.combine(label, time(), other.tzinfo)
        case ((list() | tuple() | set() | frozenset()), (set() | frozenset())):
            one = next(iter(other), None)
            return {_read_as(item, one) for item in label}
        case ((list() | tuple()), (list() | tuple())) if len(label) == len(other):
            return tuple(map(_read_as, label, other))
    return label


def _text_as(text: str, other: object) -> Any:
    match other:
        case Enum():
            members = [member for member in type(other) if text in (str(member.value), member.name)]
            return members[0] if members else text
        case bool() | np.bool_():
            return {"true": True, "false": False}.get(text.strip().lower(), text)
        case date() | time():
            return type(other).fromisoformat(text.strip())
        case list() | tuple() | set() | frozenset():
            return _read_as(json.loads(text), other)
    return text


def _kind(label: Any) -> str:
    if isinstance(label, Enum):
        return _kind(label.value)
    kinds: dict[str, tuple[type, ...]] = {
        "bool": (bool,),
        "text": (str,),
        "date": (date, time),
        "list": (list, tuple, set, frozenset),
    }
    return next((name for name, types in kinds.items() if isinstance(label, types)), "number")


def _are_of_one_kind(expected: str, produced: str) -> bool:
    if produced == "text":  # a reply that is no date, say, is a wrong one
        return expected != "number"
    return expected == produced or {expected, produced} == {"bool", "number"}


def _is_nan(label: object) -> bool:
    return isinstance(label, (float, Decimal)) and math.isnan(label)


_MEASURES: Mapping[str, Callable[..., float | Undefined]] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "kappa": _kappa,
    "quadratic_kappa": quadratic_kappa,
    "spearman": _spearman,
}
