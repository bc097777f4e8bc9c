"""Who rates, and the cells that hold what they said: raw, so that all else can be derived."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dspy

from benchmarks.dilution.arms import TEXTS, Advice, advice_of
from benchmarks.dilution.classifier import bank_classifier
from benchmarks.dilution.embedding_rater import EmbeddingRater
from benchmarks.dilution.lm_rater import FocusQuestion, LMRater, open_rater
from benchmarks.dilution.planted import PlantedText, as_json, plant, plantable
from benchmarks.harness.cells import Cell, Values
from benchmarks.harness.setting import Setting
from benchmarks.harness.tasks import Task
from benchmarks.worlds.bank import sentences
from benchmarks.worlds.bank.real_units import RealUnit, real_units_for
from benchmarks.worlds.controls import concatenate
from benchmarks.worlds.ratings import Rater, Rating, ratings_in
from mogradjudge import SetupError
from mogradjudge.criteria import Group
from mogradjudge.hashing import digest
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.ledger import Ledger

BENCHMARK = "dilution"
STEP, UNITS, WHOLE, EDITS = "step", "units", "whole texts", "edits"
UNITS_TEST, REAL_TEST = "test of units", "test of real units"
WHOLE_TEST = "test of whole texts"
LM_RATER = "LM rater"
MASKED = ", names masked"
_MOST_WHOLE = 5  # texts per criterion and level: each is a call


@dataclass(frozen=True)
class Source:
    """A rater before it is opened.

    ``knows`` are the criteria that it has figures for; ``made_of`` tells one version from another.
    """

    name: str
    knows: Group
    open: Callable[[Ledger], Rater]
    made_of: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> Values:
        """What tells its cells from those of others."""
        return {"rater": self.name, **self.made_of}


def raters_of(
    setting: Setting, *, masked: bool = False, embedding_lm: str | None = None
) -> list[Source]:
    """Give the raters: an LM, a classifier where it knows a criterion, and embeddings if asked for.

    With ``masked`` each comes once more, with the criteria's names hidden.
    """
    names, sources = setting.rubric.names, []
    for hidden in (False, True) if masked else (False,):
        mark = MASKED if hidden else ""
        lm_rater = partial(_lm_rater, setting, masked=hidden)
        sources.append(Source(f"{LM_RATER}{mark}", names, lm_rater))
        if known := plantable(names):
            classifier = partial(_classifier, setting, masked=hidden)
            made_of = {"bank": _version(sentences("train"))}
            sources.append(Source(f"classifier{mark}", known, classifier, made_of))
        if embedding_lm is not None:
            embeddings = partial(_embeddings, setting, embedding_lm, masked=hidden)
            sources.append(Source(f"embeddings{mark}", names, embeddings, {"model": embedding_lm}))
    return sources


def _lm_rater(setting: Setting, ledger: Ledger, *, masked: bool = False) -> LMRater:
    lm, threads = setting.lms["rater"], setting.num_threads
    return open_rater(lm, setting.rubric, ledger, threads, masked=masked)


def _classifier(setting: Setting, ledger: Ledger, *, masked: bool) -> Rater:
    return bank_classifier(setting.rubric.names, masked=masked)  # no call to book


def _embeddings(setting: Setting, model: str, ledger: Ledger, *, masked: bool) -> Rater:
    from openai import OpenAIError  # slow to import; litellm's errors are of this kind

    embedder = dspy.Embedder(model)

    def embed(texts: list[str]) -> Any:  # not booked: it is no LM's call
        try:
            return embedder(texts)
        except OpenAIError as error:
            raise SetupError(f"--embedding-lm {model} gives no embeddings: {error}") from error

    return EmbeddingRater(setting.rubric, embed, masked)


def _version(of: object) -> str:
    return digest(repr(of))[:16]


def tests_of(
    setting: Setting, sources: Sequence[Source], planted: int, *, holistic: bool
) -> list[Task]:
    """Have planted texts rated: their units by all raters, whole texts by the LM.

    There is no test where the bank has no sentences about any criterion.
    """
    names = setting.rubric.names
    if not plantable(names):
        return []
    texts = plant(names, n=planted)
    real = real_units_for(names)
    tasks = [_test_on_planted(setting, source, texts) for source in sources]
    tasks += [_test_on_real_units(setting, source, real) for source in sources if real]
    return tasks + [_test_of_whole_texts(setting, min(planted, _MOST_WHOLE))] * holistic


def _test_on_planted(setting: Setting, source: Source, texts: Sequence[PlantedText]) -> Task:
    def rate(ledger: Ledger) -> Values:
        ratings = ratings_as_json(ratings_in([text.text for text in texts], source.open(ledger)))
        return {"knows": list(source.knows), "planted": as_json(texts), "ratings": ratings}

    key = {"part": UNITS_TEST, "planted": _version(texts), **source.key}
    return setting.grid.task(BENCHMARK, key, rate)


def _test_on_real_units(setting: Setting, source: Source, real: Sequence[RealUnit]) -> Task:
    def rate(ledger: Ledger) -> Values:
        units = sorted({unit.unit for unit in real})
        ratings = dict(zip(units, source.open(ledger).rate(units), strict=True))
        labelled = [unit.model_dump(mode="json") for unit in real]
        return {"units": labelled, "ratings": ratings_as_json(ratings)}

    key = {"part": REAL_TEST, "units": _version(real), **source.key}
    return setting.grid.task(BENCHMARK, key, rate)


def _test_of_whole_texts(setting: Setting, planted: int) -> Task:
    texts = plant(setting.rubric.names, n=planted)

    def rate(ledger: Ledger) -> Values:
        questions = [FocusQuestion(text.target, text.text) for text in texts]
        ratings = _lm_rater(setting, ledger).rate_focus(questions)
        return {"planted": as_json(texts), "ratings": list(map(_number, ratings))}

    return setting.grid.task(BENCHMARK, {"part": WHOLE_TEST, "planted": _version(texts)}, rate)


def units_of(setting: Setting, source: Source, step: Cell) -> Task:
    """Have each unit of a step's gradients rated, by itself and once."""

    def rate(ledger: Ledger) -> Values:
        texts = [advice.text for advice in advice_of(step.result["gradients"])]
        return {"ratings": ratings_as_json(ratings_in(texts, source.open(ledger)))}

    return setting.grid.task(BENCHMARK, {**step.key, "part": UNITS, **source.key}, rate)


def whole_texts_of(setting: Setting, step: Cell) -> Task:
    """Have the LM rate how focused texts are on a criterion, from 1 to 10, as the literature does.

    It rates each text, and all of an arm's texts in the step as one, which has no ``example``.
    Separate texts are rated on their own criterion, all others on each.
    """

    def rate(ledger: Ledger) -> Values:
        questions = list(_whole_texts(advice_of(step.result["gradients"]), setting.rubric.names))
        ratings = _lm_rater(setting, ledger).rate_focus(
            [FocusQuestion(criterion, text) for *_, criterion, text in questions]
        )
        return {
            "ratings": [
                {"arm": arm, "example": example, "criterion": name, "rating": _number(rating)}
                for (arm, example, name, _), rating in zip(questions, ratings, strict=True)
            ]
        }

    return setting.grid.task(BENCHMARK, {**step.key, "part": WHOLE}, rate)


def _whole_texts(
    advice: Sequence[Advice], criteria: Group
) -> list[tuple[str, str | None, str, str]]:
    """Give arm, example, criterion and text of each question."""
    questions: list[tuple[str, str | None, str, str]] = []
    for arm in TEXTS:
        for name in criteria:
            texts = [it for it in advice if it.arm == arm and it.text and it.target in (None, name)]
            questions += [(arm, text.example, name, text.text) for text in texts]
            if texts:
                questions.append((arm, None, name, concatenate(text.text for text in texts)))
    return questions


def ratings_as_json(ratings: Mapping[str, Rating | Unscored]) -> dict[str, Any]:
    """Give the ratings of units as plain JSON; None where there is none."""
    return {
        unit: None if isinstance(rating, Unscored) else rating.as_dict()
        for unit, rating in ratings.items()
    }


def ratings_of(cell: Mapping[str, Any]) -> dict[str, Rating | Unscored]:
    """Read the ratings of units from a cell."""
    return {
        unit: Unscored("no readable rating") if rating is None else Rating(**rating)
        for unit, rating in cell.items()
    }


def _number(rating: float | Unscored) -> float | None:
    return None if isinstance(rating, Unscored) else rating
