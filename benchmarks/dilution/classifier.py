"""A rater that is no LM: a linear classifier of sentences, trained on the bank at first use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

from benchmarks.worlds.bank import Sentence, label_of, sentences
from benchmarks.worlds.controls import mask
from benchmarks.worlds.ratings import REST, Rating, check_names
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored

_LOOSENESS = 30.0  # the inverse of the penalty, by cross-validation on the training half
_LEAD = 3  # words of a name before a colon
_WORD = re.compile(r"\w+")


class Classifier:
    """Rates by words and parts of words, with a logistic regression over TF-IDF weights.

    It needs no network and gives the same ratings in every process. Its mass is what it takes the
    probabilities to be; they are drawn toward the middle, which `Calibration` undoes. Whether a
    unit can be acted on it tells by the unit's first words and the ends of all.
    """

    def __init__(self, criteria: Group, *, masked: bool = False) -> None:
        """Choose what it is trained on.

        Args:
            criteria: The rubric's criteria. Those that go by one of the bank's names have the
                bank's sentences.
            masked: Hide the criteria's names, in training and in what is rated.

        Raises:
            SetupError: If a criterion has the name of another label.
        """
        check_names(criteria)
        self.criteria = criteria
        self.masked = masked

    @property
    def name(self) -> str:
        """What reports call it."""
        return "classifier, names masked" if self.masked else "classifier"

    def rate(self, units: Sequence[str]) -> tuple[Rating | Unscored, ...]:
        """Rate units."""
        if not units:
            return ()
        shown = self._shown(units)
        labels = [str(label) for label in self._topics.classes_]
        return tuple(
            Rating(dict(zip(labels, map(float, row), strict=True)), can_act)
            for row, can_act in zip(
                self._topics.predict_proba(shown), can_be_acted_on(shown), strict=True
            )
        )

    @cached_property
    def _topics(self) -> Any:
        names = {label: label for label in REST}
        names |= {label: name for name in self.criteria if (label := label_of(name)) is not None}
        lessons = [
            (sentence.text, names[label])
            for sentence in sentences("train")
            for label in sentence.labels
            if label in names
        ]
        texts, labels = zip(*lessons, strict=True)
        weights = [_tfidf(ngram_range=(1, 2)), _tfidf(analyzer="char_wb", ngram_range=(3, 5))]
        return _fit(self._shown(texts), labels, weights)

    def _shown(self, texts: Sequence[str]) -> list[str]:
        return [mask(text, self.criteria) if self.masked else text for text in texts]


@cache
def bank_classifier(criteria: Group, *, masked: bool = False) -> Classifier:
    """Give a classifier that knows the bank alone; it is trained once per process."""
    return Classifier(criteria, masked=masked)


def can_be_acted_on(units: Sequence[str]) -> list[bool]:
    """Say of each unit whether it asks for an edit or ties a score to a condition."""
    return [bool(answer) for answer in _actionability().predict(list(units))]


@cache
def _actionability() -> Any:
    lessons: tuple[Sentence, ...] = sentences("train")
    weights = [_tfidf(analyzer=_words_and_start), _tfidf(analyzer=_start_and_endings)]
    return _fit(
        [sentence.text for sentence in lessons],
        [sentence.actionable for sentence in lessons],
        weights,
    )


def _words(text: str) -> list[str]:
    """Give the words, without a name that leads the sentence as in ``Fluency: ...``."""
    lead, colon, rest = text.partition(":")
    led = bool(colon) and len(lead.split()) <= _LEAD and bool(_WORD.search(rest))
    return _WORD.findall((rest if led else text).lower())


def _start(words: Sequence[str]) -> list[str]:
    return [f"^{' '.join(words[:length])}" for length in (1, 2)]


def _words_and_start(text: str) -> list[str]:
    words = _words(text)
    return [*words, *(" ".join(pair) for pair in pairwise(words)), *_start(words)]


def _start_and_endings(text: str) -> list[str]:
    words = _words(text)
    return [
        *_start(words),
        *(f"^-{word[-2:]}" for word in words[:1]),
        *(f"-{w[-2:]}" for w in words),
    ]


def _tfidf(**how: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second to import

    return TfidfVectorizer(sublinear_tf=True, **how)


def _fit(texts: Sequence[str], labels: Sequence[object], weights: Sequence[Any]) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline, make_union

    return make_pipeline(
        make_union(*weights),
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
