"""What the units of a gradient do: the judge after an edit by some of them, on held-out texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from benchmarks.dilution.arms import LONG, SEPARATE
from benchmarks.dilution.calibration import UNCALIBRATED
from benchmarks.dilution.observed import Entry, Step
from benchmarks.dilution.raters import Source
from benchmarks.dilution.steps import edits_by, open_context, seed_brief
from benchmarks.dilution.verdicts import mean_claim
from benchmarks.harness.scored import Judged, score_texts
from benchmarks.harness.setting import Setting
from benchmarks.worlds.controls import off_topic, on_topic
from benchmarks.worlds.ratings import rate_texts
from mogradjudge import MultiCriteriaJudge
from mogradjudge.agreement.claims import Claim
from mogradjudge.criteria import Group
from mogradjudge.lm.ledger import Ledger
from mogradjudge.optimize.context import RunContext
from mogradjudge.stages.gradient import Gradient, Unit

ON, OFF, ALL = "on topic", "off topic", "all"
_COMPARED = ((ON, OFF), (ALL, ON))
_BOUND = 0.03  # of agreement


@dataclass(frozen=True)
class Tried:
    """A gradient to take apart; ``key`` tells where it is from and which criterion it is for."""

    key: Mapping[str, Any]
    text: str


def chosen(steps: Sequence[Step], rater: str, count: int) -> list[Tried]:
    """Choose gradients to try: long joint and separate ones, over steps, criteria and examples.

    Args:
        steps: Measured steps.
        rater: A gradient is worth trying if this rater found a unit on the criterion in it.
        count: How many gradients; fewer are given if there are fewer.
    """
    gradients: dict[str, Tried] = {}
    arms, criteria = (LONG, SEPARATE), tuple(steps[0].texts[0].focus.by_criterion)
    most = len(arms) * len(steps) * len(criteria) * steps[0].key["batch_size"]
    for number in range(most):
        round_, arm = number // len(arms), arms[number % len(arms)]
        step = steps[round_ % len(steps)]
        criterion = criteria[(round_ + round_ // len(steps)) % len(criteria)]
        texts = [
            text.advice
            for text in step.of(arm, rater, criterion)
            if text.focus.by_criterion[criterion].share
        ]
        if texts and len(gradients) < count:
            one = texts[round_ // (len(steps) * len(criteria)) % len(texts)]
            place = {**step.key, "arm": arm, "criterion": criterion, "example": one.example}
            gradients.setdefault(str(sorted(place.items())), Tried(place, one.text))
    return list(gradients.values())


def try_gradient(setting: Setting, rater: Source, tried: Tried, ledger: Ledger) -> dict[str, Any]:
    """Edit one section by the units on the criterion, by all others, and by all of them.

    The editor is the same, and told the same, but for the advice. Agreement is that of the edited
    judge on the test texts. A part without units, an edit that failed and an agreement that is
    undefined are left out; ``skipped`` names the parts that the editor gave no section for.
    """
    key, criterion = tried.key, str(tried.key["criterion"])
    context = open_context(setting, ledger, key["seed"])
    (rated,) = rate_texts([tried.text], rater.open(ledger))
    parts = {ON: on_topic(rated, criterion), OFF: off_topic(rated, criterion), ALL: tried.text}
    edited = {
        part: _edited(setting, context, criterion, text, f"{key['seed']}/{key['step']}/{part}")
        for part, text in parts.items()
        if text.strip()
    }
    after = {part: _agreement(setting, context, criterion, it) for part, it in edited.items() if it}
    return {
        "agreement": {part: value for part, value in after.items() if value is not None},
        "skipped": [part for part, judge in edited.items() if judge is None],
    }


def _edited(
    setting: Setting, context: RunContext, criterion: str, advice: str, label: str
) -> MultiCriteriaJudge | None:
    """Give the judge after an edit by this advice; None if the editor gave none."""
    unit = Unit(criterion=criterion, change="sharpen", rule=advice, support=("",))
    edits = edits_by(context, [Gradient("", (criterion,), (unit,))], [(criterion,)], label)
    if not edits.records or not edits.records[0].texts:
        return None
    candidate = seed_brief(context).candidate.replace(edits.records[0].texts)
    edited = candidate.written_into(setting.judge())
    assert isinstance(edited, MultiCriteriaJudge)
    return edited


def _agreement(
    setting: Setting, context: RunContext, criterion: str, edited: MultiCriteriaJudge
) -> float | None:
    """Measure a judge as all benchmarks do: a text without a score gets the middle of the scale."""
    scored = score_texts(setting, [edited], setting.test, context.ledger)
    return Judged(**scored).agreement(criterion)


def causal_claims(tried: Sequence[tuple[Mapping[str, Any], Entry]], passed: Group) -> list[Claim]:
    """Compare what the parts of gradients did; the clusters are gradients.

    Args:
        tried: The key and the result of each gradient's cell.
        passed: The criteria on which the rater that took them apart passed its test. Gradients on
            others are left out; if there is none, all count and the claims are marked.
    """
    claims = []
    for arm, (first, second) in product((LONG, SEPARATE), _COMPARED):
        values = [
            result["agreement"][first] - result["agreement"][second]
            for key, result in tried
            if key["arm"] == arm
            and (not passed or key["criterion"] in passed)
            and {first, second} <= set(result["agreement"])
        ]
        name = f"agreement, {first} minus {second}, edits by units of {arm}"
        claims.append(mean_claim(name if passed else f"{UNCALIBRATED}: {name}", values, _BOUND))
    return claims


def skipped_note(results: Sequence[Entry]) -> str:
    """Count the parts that the editor gave no section for; ``""`` if there are none."""
    count = sum(len(result["skipped"]) for result in results)
    return f"The editor gave no section for {count} parts of gradients: left out." if count else ""
