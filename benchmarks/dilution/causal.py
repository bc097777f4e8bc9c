"""What the units of a gradient do: the judge after an edit by some of them, on held-out texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.dilution.arms import LONG, SEPARATE
from benchmarks.dilution.calibration import spearman
from benchmarks.dilution.contrasts import BOUNDS, Comparison, contrast_under
from benchmarks.dilution.findings import Contrast
from benchmarks.dilution.measures import measure
from benchmarks.dilution.observed import Entry, entries_of
from benchmarks.dilution.steps import open_context
from benchmarks.dilution.trust import Trust
from benchmarks.dilution.verdicts import mean_claim, single_claims
from benchmarks.harness.scored import Judged, score_texts
from benchmarks.harness.setting import Setting
from benchmarks.worlds.controls import off_topic, on_topic
from benchmarks.worlds.ratings import Rater, rate_texts
from mogradjudge import MultiCriteriaJudge
from mogradjudge.agreement.claims import Claim, refused
from mogradjudge.criteria import Group
from mogradjudge.lm.ledger import Ledger
from mogradjudge.optimize.context import RunContext
from mogradjudge.programs.candidate import Brief, Candidate
from mogradjudge.stages.gradient import Gradient, Unit
from mogradjudge.stages.hygiene import Hygiene
from mogradjudge.stages.optimizer import rewrite_sections

ON, OFF, ALL, SEED = "on topic", "off topic", "all", "seed"
_COMPARED = ((ON, OFF), (ALL, ON), (ON, SEED))


@dataclass(frozen=True)
class Tried:
    """A gradient to take apart; ``key`` tells where it is from and which criterion it is for."""

    key: Mapping[str, Any]
    text: str


def chosen(steps: Sequence[Entry], rater: str, count: int) -> list[Tried]:
    """Choose gradients to try: long joint and separate ones, over steps, criteria and examples.

    Args:
        steps: Measured steps.
        rater: A gradient is worth trying if this rater found a unit on the criterion in it.
        count: How many gradients; fewer are given if there are fewer.
    """
    gradients: dict[str, Tried] = {}
    arms, criteria = (LONG, SEPARATE), steps[0]["criteria"]
    most = len(arms) * len(steps) * len(criteria) * steps[0]["key"]["batch_size"]
    for number in range(most):
        round_, arm = number // len(arms), arms[number % len(arms)]
        step = steps[round_ % len(steps)]
        criterion = criteria[(round_ + round_ // len(steps)) % len(criteria)]
        worth = {
            entry["example"]
            for entry in entries_of(step, arm, rater, criterion)
            if entry["by_criterion"][criterion]["on_topic"]
        }
        texts = [
            advice
            for advice in step["advice"]
            if advice.arm == arm and advice.target in (None, criterion) and advice.example in worth
        ]
        if texts and len(gradients) < count:
            one = texts[round_ // (len(steps) * len(criteria)) % len(texts)]
            place = {**step["key"], "arm": arm, "criterion": criterion, "example": one.example}
            gradients.setdefault(str(sorted(place.items())), Tried(place, one.text))
    return list(gradients.values())


def try_gradient(setting: Setting, ledger: Ledger, rater: Rater, tried: Tried) -> dict[str, Any]:
    """Edit one section by the units on the criterion, by all others, and by all of them.

    The editor is the same, and told the same, but for the advice. Agreement is that of the edited
    judge on the test texts. A part without units, an edit that failed and an agreement that is
    undefined are left out; ``skipped`` names the parts that the editor gave no section for.
    """
    key, criterion = tried.key, str(tried.key["criterion"])
    context = open_context(setting, ledger, key["seed"])
    (rated,) = rate_texts([tried.text], rater)
    focus = measure(rated, rater.criteria).by_criterion[criterion]
    parts = {
        ON: on_topic(rated, criterion),
        OFF: off_topic(rated, criterion),
        ALL: tried.text,
    }
    edited = {
        part: _edited(setting, context, criterion, text, f"{key['seed']}/{key['step']}/{part}")
        for part, text in parts.items()
        if text.strip()
    }
    after = {
        part: _agreement(setting, context, criterion, judge)
        for part, judge in edited.items()
        if judge is not None
    }
    return {
        "agreement": {part: value for part, value in after.items() if value is not None},
        "skipped": [part for part, judge in edited.items() if judge is None],
        "share": focus.share_by_units,
        "actionable": focus.actionable,
    }


def _edited(
    setting: Setting, context: RunContext, criterion: str, advice: str, label: str
) -> MultiCriteriaJudge | None:
    """Give the judge after an edit by this advice; None if the editor gave none."""
    current = Candidate.of(context.program)
    unit = Unit(criterion=criterion, change="sharpen", rule=advice, support=("",))
    edits = rewrite_sections(
        [Gradient("", (criterion,), (unit,))],
        [(criterion,)],
        Brief(context.objectives, current, context.slots),
        context.editor,
        label=label,
        hygiene=Hygiene(context.config.max_section_chars, may_repeat=True),
    )
    if not edits.records or not edits.records[0].texts:
        return None
    edited = current.replace(edits.records[0].texts).written_into(setting.judge())
    assert isinstance(edited, MultiCriteriaJudge)
    return edited


def _agreement(
    setting: Setting, context: RunContext, criterion: str, edited: MultiCriteriaJudge
) -> float | None:
    """Measure a judge as all benchmarks do: a text without a score gets the middle of the scale."""
    judged = Judged(**score_texts(setting, [edited], setting.test, context.ledger))
    return judged.agreement(criterion)


def causal_contrasts(
    tried: Sequence[tuple[Mapping[str, Any], Entry]], passed: Group
) -> list[Contrast]:
    """Compare what the parts of gradients did; the clusters are gradients.

    Args:
        tried: The key and the result of each gradient's cell.
        passed: The criteria on which the rater that took them apart passed its test.
    """
    rater = str(tried[0][0]["rater"])
    criteria = dict.fromkeys(str(key["criterion"]) for key, _ in tried)
    trust = Trust(passed, passed).among(criteria)
    contrasts = []
    for arm in (LONG, SEPARATE):
        rows = [
            (str(key["criterion"]), {**result["agreement"], SEED: result["seed"]})
            for key, result in tried
            if key["arm"] == arm
        ]
        for first, second in _COMPARED:
            values: dict[str, list[float]] = {}
            for criterion, agreements in rows:
                one, other = agreements.get(first), agreements.get(second)
                if one is not None and other is not None:
                    values.setdefault(criterion, []).append(one - other)
            of = Comparison("agreement", (first, second), f"edits by units of {arm}")
            contrasts.append(_contrast(of, rater, values, trust))
    return contrasts


def _contrast(
    of: Comparison, rater: str, values: Mapping[str, Sequence[float]], trust: Trust
) -> Contrast:
    trust, bound = trust.among(values) if values else trust, BOUNDS[of.measure]
    every = [value for criterion in trust.counted for value in values.get(criterion, ())]
    mean = mean_claim(trust.named(of.name), every, bound)
    singles = single_claims(of.name, values, bound)
    if SEED in of.arms:
        mean = _descriptive(mean)
        singles = {key: _descriptive(claim) for key, claim in singles.items()}
    return contrast_under(trust, of, rater, every, mean, singles)


def _descriptive(of: Claim) -> Claim:
    """Say the mean, and refuse to judge it: the seed's own noise is in every value."""
    if of.estimate is None:
        return of
    why = f"{of.estimate:+.3f}, descriptive: one seed scoring is common to all gradients"
    return replace(refused(of.name, why), n=of.n)


def skipped_note(tried: Sequence[tuple[Mapping[str, Any], Entry]]) -> str:
    """Count the parts that the editor gave no section for; ``""`` if there are none."""
    count = sum(len(result.get("skipped", ())) for _, result in tried)
    return f"The editor gave no section for {count} parts of gradients: left out." if count else ""


def gain_by(field: str, tried: Sequence[tuple[Mapping[str, Any], Entry]]) -> float | None:
    """Correlate a gradient's share or yield with what its edit gained, by rank."""
    pairs = []
    for _, result in tried:
        after, before = result["agreement"].get(ALL), result["seed"]
        if after is not None and before is not None and result[field] is not None:
            pairs.append((result[field], after - before))
    return spearman(pairs)
