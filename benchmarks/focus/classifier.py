"""A rater that is no LM: a linear classifier of sentences, trained on the bank at first use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

from benchmarks.focus.bank import Sentence, label_of, sentences
from benchmarks.focus.controls import mask
from benchmarks.focus.ratings import REST, Rating, check_names
from mogradjudge.criteria import Group
from mogradjudge.scores import Unscored

_LOOSENESS = 30.0  # the inverse of the penalty; by cross-validation on the training half


class Classifier:
    """Rates by words and parts of words, with a logistic regression over TF-IDF weights.

    It needs no network and gives the same ratings in every process. Its mass is what it takes the
    probabilities to be; they are drawn toward the middle, which `Calibration` undoes.
    """

    def __init__(
        self,
        criteria: Group,
        *,
        harvested: Mapping[str, Sequence[str]] | None = None,
        masked: bool = False,
    ) -> None:
        """Choose what it is trained on.

        Args:
            criteria: The rubric's criteria. Those that go by one of the bank's names have the
                bank's sentences.
            harvested: More sentences per criterion, such as the units of gradients that were asked
                about it alone. Whether they are actionable is not learned from them.
            masked: Hide the criteria's names, in training and in what is rated.

        Raises:
            SetupError: If a criterion has the name of another label.
        """
        check_names(criteria)
        self.criteria = criteria
        self.masked = masked
        self._harvested = harvested or {}

    @property
    def name(self) -> str:
        """What reports call it."""
        return "classifier, names masked" if self.masked else "classifier"

    @property
    def unknown(self) -> Group:
        """The criteria that it has no sentences for: it never takes a unit to be about them."""
        return tuple(
            name
            for name in self.criteria
            if label_of(name) is None and not self._harvested.get(name)
        )

    def rate(self, units: Sequence[str], take: int = 0) -> tuple[Rating | Unscored, ...]:
        """Rate units; every take is the same."""
        if not units:
            return ()
        shown = self._shown(units)
        labels = [str(label) for label in self._topics.classes_]
        actionable = _actionability().predict(shown)
        return tuple(
            Rating(dict(zip(labels, map(float, row), strict=True)), bool(can_act))
            for row, can_act in zip(self._topics.predict_proba(shown), actionable, strict=True)
        )

    @cached_property
    def _topics(self) -> Any:
        lessons = [*self._from_bank(), *self._from_harvest()]
        texts, labels = zip(*lessons, strict=True)
        return _fit(self._shown(texts), labels)

    def _from_bank(self) -> Iterable[tuple[str, str]]:
        wanted = {label: label for label in REST}
        wanted |= {label: name for name in self.criteria if (label := label_of(name)) is not None}
        return ((s.text, wanted[s.label]) for s in sentences("train") if s.label in wanted)

    def _from_harvest(self) -> Iterable[tuple[str, str]]:
        return ((text, name) for name in self.criteria for text in self._harvested.get(name, ()))

    def _shown(self, texts: Sequence[str]) -> list[str]:
        return [mask(text, self.criteria) if self.masked else text for text in texts]


@cache
def _actionability() -> Any:
    lessons: tuple[Sentence, ...] = sentences("train")
    return _fit([each.text for each in lessons], [each.actionable for each in lessons])


def _fit(texts: Sequence[str], labels: Sequence[object]) -> Any:
    # scikit-learn takes a second to import
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline, make_union

    return make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True),
        ),
        # One against the rest, and in the dual: a hundredth of the time that the default takes for
        # so many more parts of words than sentences.
        OneVsRestClassifier(
            LogisticRegression(
                C=_LOOSENESS,
                class_weight="balanced",
                dual=True,
                max_iter=1000,
                solver="liblinear",
                random_state=0,
            )
        ),
    ).fit(texts, labels)
