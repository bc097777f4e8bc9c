"""What the units of a gradient do: the judge after an edit by some of them, on held-out texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cells import Cell
from benchmarks.claims import refused
from benchmarks.focus.arms import LONG, SEPARATE
from benchmarks.focus.calibration import spearman
from benchmarks.focus.contrasts import BOUNDS
from benchmarks.focus.controls import off_topic, on_topic
from benchmarks.focus.findings import Contrast, named
from benchmarks.focus.measures import measure
from benchmarks.focus.observed import Entry, entries_of
from benchmarks.focus.ratings import Rater, rate_texts
from benchmarks.focus.steps import open_shop
from benchmarks.focus.verdicts import claim, claims
from benchmarks.setting import Setting
from mogradjudge.agreement import Undefined, correlate
from mogradjudge.candidate import Brief, Candidate
from mogradjudge.evaluation import Judgement
from mogradjudge.gradient import Gradient
from mogradjudge.ledger import Ledger
from mogradjudge.optimizer import rewrite_sections
from mogradjudge.scores import Unscored
from mogradjudge.step import judge
from mogradjudge.workshop import Workshop

ON, OFF, ALL, SEED = "on topic", "off topic", "all", "seed"
_COMPARED = ((ON, OFF), (ALL, ON), (ON, SEED))


@dataclass(frozen=True)
class Tried:
    """A gradient to take apart; ``key`` tells where it is from and which criterion it is for."""

    key: Mapping[str, Any]
    text: str


def chosen(steps: Sequence[Cell], rater: str, count: int) -> list[Tried]:
    """Choose gradients to try: C-long and S in turn, over steps, criteria and examples in turn.

    Args:
        steps: Measured steps.
        rater: A gradient is worth trying if this rater found a unit on the criterion in it.
        count: How many gradients; fewer are given if there are fewer.
    """
    found: dict[str, Tried] = {}
    arms, criteria = (LONG, SEPARATE), steps[0].result["criteria"]
    most = len(arms) * len(steps) * len(criteria) * steps[0].key["batch_size"]
    for number in range(most):
        round_, arm = number // len(arms), arms[number % len(arms)]
        cell = steps[round_ % len(steps)]
        criterion = criteria[(round_ + round_ // len(steps)) % len(criteria)]
        worth = {
            each["example"]
            for each in entries_of(cell.result, arm, rater, criterion)
            if each["by_criterion"][criterion]["on_topic"]
        }
        texts = [
            each
            for each in cell.result["advice"]
            if each["arm"] == arm
            and each["target"] in (None, criterion)
            and each["example_id"] in worth
        ]
        if texts and len(found) < count:
            one = texts[round_ // (len(steps) * len(criteria)) % len(texts)]
            place = {**cell.key, "arm": arm, "criterion": criterion, "example": one["example_id"]}
            found.setdefault(str(sorted(place.items())), Tried(place, one["text"]))
    return list(found.values())


def try_gradient(setting: Setting, ledger: Ledger, rater: Rater, tried: Tried) -> dict[str, Any]:
    """Edit one section by the units on the criterion, by all others, and by all of them.

    The editor is the same, and told the same, but for the advice. Agreement is that of the edited
    judge on the test texts, by document; None where it is undefined. A part without units is left
    out.
    """
    key, criterion = tried.key, str(tried.key["criterion"])
    shop = open_shop(setting, ledger, key["seed"])
    (rated,) = rate_texts([tried.text], rater)
    focus = measure(rated, rater.criteria).by_criterion[criterion]
    parts = {
        ON: on_topic(rated, criterion),
        OFF: off_topic(rated, criterion),
        ALL: tried.text,
    }
    agreement = {
        part: _after(setting, shop, criterion, text, f"{key['seed']}/{key['step']}/{part}")
        for part, text in parts.items()
        if text.strip()
    }
    return {
        "agreement": agreement,
        "share": focus.share_by_units,
        "actionable": focus.actionable,
        "rater": rater.name,
    }


def seed_agreement(setting: Setting, ledger: Ledger) -> dict[str, float | None]:
    """Measure the agreement of the judge with the seed instructions, by criterion."""
    shop = open_shop(setting, ledger, 0)
    judged = judge(shop, Candidate.of(shop.program), setting.test)
    return {name: _agreement(setting, judged, name) for name in setting.rubric.names}


def _after(
    setting: Setting, shop: Workshop, criterion: str, advice: str, label: str
) -> float | None:
    """Measure the agreement after an edit by this advice; None if the editor gave none."""
    current = Candidate.of(shop.program)
    edits = rewrite_sections(
        [Gradient("", (criterion,), advice)],
        [(criterion,)],
        Brief(shop.objectives, current, shop.slots),
        shop.editor,
        label=label,
        max_chars=shop.config.max_section_chars,
    )
    if not edits.records:
        return None
    new = current.replace(edits.records[0].texts)
    return _agreement(setting, judge(shop, new, setting.test), criterion)


def _agreement(setting: Setting, judged: Sequence[Judgement], name: str) -> float | None:
    rows = [
        (float(each.example[setting.rubric[name].human]), float(score), each.group)
        for each in judged
        if each.scores[name] is not None
        and not isinstance(each.prediction, Unscored)
        and not isinstance(score := each.prediction[name], Unscored)
    ]
    human, scores, groups = zip(*rows, strict=True) if rows else ((), (), ())
    value = correlate(human, scores, groups, level="group").value
    return None if isinstance(value, Undefined) else value


def causal_contrasts(
    tried: Sequence[tuple[Mapping[str, Any], Entry]],
    seed: Mapping[str, float | None],
    *,
    passed: bool,
) -> list[Contrast]:
    """Compare what the parts of gradients did; the clusters are gradients."""
    found = []
    for arm in (LONG, SEPARATE):
        rows = [
            (str(key["criterion"]), {**result["agreement"], SEED: seed.get(key["criterion"])})
            for key, result in tried
            if key["arm"] == arm
        ]
        rater = next((str(result["rater"]) for _, result in tried), "")
        for first, second in _COMPARED:
            name = f"agreement, {first} less {second} (edits by units of {arm})"
            values: dict[str, list[float]] = {}
            for criterion, of in rows:
                one, other = of.get(first), of.get(second)
                if one is not None and other is not None:
                    values.setdefault(criterion, []).append(one - other)
            every = [value for each in values.values() for value in each]
            shown, bound = named(name, calibrated=passed), BOUNDS["agreement"]
            found.append(
                Contrast(
                    name=name,
                    measure="agreement",
                    arms=(first, second),
                    rater=rater,
                    calibrated=passed,
                    mean=claim(shown, every, bound) if every else refused(shown, "no such units"),
                    relative=None,
                    by_criterion=claims(shown, values, bound),
                    values=tuple(every),
                )
            )
    return found


def gain_by(
    field: str,
    tried: Sequence[tuple[Mapping[str, Any], Entry]],
    seed: Mapping[str, float | None],
) -> float | None:
    """Correlate a gradient's share or yield with what its edit gained, by rank."""
    pairs = []
    for key, result in tried:
        after, before = result["agreement"].get(ALL), seed.get(key["criterion"])
        if after is not None and before is not None and result[field] is not None:
            pairs.append((result[field], after - before))
    return spearman(pairs)
