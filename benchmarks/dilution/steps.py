"""Measuring one step: its gradients under every scope, as all raters see them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dspy

from benchmarks.dilution.arms import (
    JOINT,
    LONG,
    ROUTED,
    SEPARATE,
    WRITTEN,
    Advice,
    Written,
    write_arms,
)
from benchmarks.dilution.classifier import bank_classifier
from benchmarks.dilution.lm_rater import AdherenceQuestion, FocusQuestion, LMRater, open_rater
from benchmarks.dilution.measures import TextFocus, measure
from benchmarks.harness.setting import Setting
from benchmarks.worlds.controls import route
from benchmarks.worlds.ratings import RatedUnit, Rater, rate_texts
from mogradjudge import MOGradConfig, SetupError
from mogradjudge.criteria.partition import Scope
from mogradjudge.data import group_of
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.ledger import Ledger
from mogradjudge.objectives import rubric_objectives
from mogradjudge.optimize.config import config_with
from mogradjudge.optimize.context import RunContext, make_context
from mogradjudge.settings import PROTOCOLS
from mogradjudge.stages.hygiene import Hygiene
from mogradjudge.stages.optimizer import rewrite_sections


@dataclass(frozen=True)
class Raters:
    """Who rates: an LM and a classifier, each also with the criteria's names hidden.

    ``pairs`` has each rater as it is and with names hidden. A classifier that knows none of the
    criteria is left out.
    """

    lm: LMRater
    pairs: Sequence[tuple[Rater, Rater]]

    @property
    def plain(self) -> tuple[Rater, ...]:
        """Those that see the names."""
        return tuple(plain for plain, _ in self.pairs)

    @property
    def all(self) -> tuple[Rater, ...]:
        """All of them."""
        return (*self.plain, *(masked for _, masked in self.pairs))


def open_raters(setting: Setting, ledger: Ledger) -> Raters:
    """Open the raters for a setting; the LM's calls are booked in the ledger."""
    lm, names = setting.lms["rater"], setting.rubric.names
    plain, masked = (
        open_rater(lm, setting.rubric, ledger, setting.num_threads, masked=masked)
        for masked in (False, True)
    )
    pairs: list[tuple[Rater, Rater]] = [(plain, masked)]
    if len(bank_classifier(names).unknown) < len(names):
        pairs.append((bank_classifier(names), bank_classifier(names, masked=True)))
    return Raters(plain, pairs)


def open_context(setting: Setting, ledger: Ledger, seed: int) -> RunContext:
    """Give the run context of a judge with the seed instructions."""
    return make_context(
        setting.judge(),
        rubric_objectives(setting.rubric),
        config_with(PROTOCOLS["paper"], MOGradConfig(seed=seed, num_threads=setting.num_threads)),
        ledger,
        setting.lms,
    )


def batches_of(
    setting: Setting, seeds: Sequence[int], steps: int, size: int
) -> dict[tuple[int, int], list[dspy.Example]]:
    """Deal the documents out to the (seed, step) pairs, and draw a batch from each pair's own.

    A pair is a cluster, so no two may share a document. The test documents are left out; those of
    the validation part choose nothing here, and are used like the training ones.

    Raises:
        SetupError: If there are too few documents, or too few texts in them.
    """
    members: dict[str, list[dspy.Example]] = {}
    for place, example in enumerate([*setting.training, *setting.validation]):
        members.setdefault(group_of(example, place), []).append(example)
    pairs = [(seed, step) for seed in seeds for step in range(steps)]
    if len(members) < len(pairs):
        raise SetupError(
            f"{len(pairs)} steps over all seeds need as many documents outside of the test part, "
            f"got {len(members)}. Give more documents, or fewer --steps or --seeds."
        )
    order = random.Random("documents").sample(sorted(members), len(members))
    batches = {}
    for number, (seed, step) in enumerate(pairs):
        texts = [text for name in order[number :: len(pairs)] for text in members[name]]
        if len(texts) < size:
            raise SetupError(
                f"Each step needs {size} texts of its own documents, and some have {len(texts)}. "
                "Give more documents, or fewer --steps or a smaller --batch-size."
            )
        batches[seed, step] = random.Random(f"{seed}/{step}").sample(texts, size)
    return batches


def measure_step(
    setting: Setting,
    ledger: Ledger,
    *,
    batch: Sequence[dspy.Example],
    seed: int,
    step: int,
    words: int,
) -> dict[str, Any]:
    """Write one step's gradients and rate them; the result is plain JSON.

    ``texts`` holds one entry per text and rater (`TextFocus`, with the arm, the example and the
    target), ``holistic`` and ``adherence`` the ratings from 1 to 10, None where there is none.
    """
    context, raters = open_context(setting, ledger, seed), open_raters(setting, ledger)
    written = write_arms(context, batch, words, f"{seed}/{step}")
    advice = written.advice()
    rated = {rater.name: _rated(advice, rater) for rater in raters.all}
    texts = [
        _entry(text, rater, measure(units, context.criteria))
        for rater, by_rater in rated.items()
        for text, units in zip(advice, by_rater, strict=True)
    ]
    routed = _routed(advice, raters, rated, context.criteria)
    for rater in raters.plain:
        others = [text for text in routed if text.routed_by != rater.name]
        texts += [
            _entry(text, rater.name, measure(units, context.criteria))
            for text, units in zip(others, _rated(others, rater), strict=True)
        ]
    return {
        "criteria": list(context.criteria),
        "advice": [asdict(text) for text in (*advice, *routed)],
        "texts": texts,
        "holistic": _holistic(advice, raters.lm),
        "adherence": _adherence(context, written, raters.lm, f"{seed}/{step}"),
        "skipped": [asdict(question) for question in written.skipped],
    }


def _rated(advice: Sequence[Advice], rater: Rater) -> tuple[tuple[RatedUnit, ...], ...]:
    return rate_texts([text.text for text in advice], rater)


def _routed(
    advice: Sequence[Advice],
    raters: Raters,
    rated: Mapping[str, Sequence[Sequence[RatedUnit]]],
    criteria: tuple[str, ...],
) -> list[Advice]:
    """Route by each rater; what one has routed is for the other to rate, or it would agree."""
    if len(raters.plain) == 1:
        return []
    return [
        Advice(ROUTED, long.example_id, name, text, rater.name)
        for rater in raters.plain
        for long, units in zip(advice, rated[rater.name], strict=True)
        if long.arm == LONG
        for name, text in route(units, criteria).items()
    ]


def _place(advice: Advice) -> dict[str, Any]:
    return {"arm": advice.arm, "example": advice.example_id, "target": advice.target}


def _entry(advice: Advice, rater: str, focus: TextFocus) -> dict[str, Any]:
    return {**_place(advice), "rater": rater, **asdict(focus)}


def _holistic(advice: Sequence[Advice], rater: LMRater) -> list[dict[str, Any]]:
    """Ask how focused each text is on each criterion, its own and the others."""
    pairs = [(text, name) for text in advice for name in rater.criteria]
    ratings = rater.rate_focus([FocusQuestion(name, text.text) for text, name in pairs])
    return [
        {**_place(text), "criterion": name, "rating": _number(rating)}
        for (text, name), rating in zip(pairs, ratings, strict=True)
    ]


def _adherence(
    context: RunContext, written: Written, rater: LMRater, label: str
) -> list[dict[str, Any]]:
    """Have an editor rewrite by each arm's gradients, and ask how well it followed them."""
    scopes = {SEPARATE: Scope.SEPARATE, JOINT: Scope.COMBINED, LONG: Scope.COMBINED}
    questions: list[tuple[str, AdherenceQuestion]] = []
    for arm in WRITTEN:
        edits = rewrite_sections(
            written.gradients[arm],
            scopes[arm].groups(context.criteria),
            written.brief,
            context.editor,
            label=f"{label}/{arm}",
            hygiene=Hygiene(context.config.max_section_chars, may_repeat=True),
        )
        for edit in edits.records:
            read = [g.text for g in written.gradients[arm] if set(g.criteria) <= set(edit.criteria)]
            for slot, new in edit.texts.items():
                old = written.brief.candidate.text(slot)
                question = AdherenceQuestion(str(slot.criterion), "\n\n".join(read), old, new)
                questions.append((arm, question))
    ratings = rater.rate_adherence([question for _, question in questions])
    return [
        {"arm": arm, "criterion": question.criterion, "rating": _number(rating)}
        for (arm, question), rating in zip(questions, ratings, strict=True)
    ]


def _number(rating: float | Unscored) -> float | None:
    return None if isinstance(rating, Unscored) else rating
