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
from benchmarks.focus.verdicts import mean_claim, single_claims
from benchmarks.judged import Judged, score_texts
from benchmarks.setting import Setting
from mogradjudge import MultiCriteriaJudge
from mogradjudge.candidate import Brief, Candidate
from mogradjudge.gradient import Gradient
from mogradjudge.ledger import Ledger
from mogradjudge.optimizer import rewrite_sections
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
    judge on the test texts. A part without units, an edit that failed and an agreement that is
    undefined are left out.
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
    after = {
        part: _after(setting, shop, criterion, text, f"{key['seed']}/{key['step']}/{part}")
        for part, text in parts.items()
        if text.strip()
    }
    return {
        "agreement": {part: value for part, value in after.items() if value is not None},
        "share": focus.share_by_units,
        "actionable": focus.actionable,
    }


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
    edited = current.replace(edits.records[0].texts).written_into(setting.judge())
    assert isinstance(edited, MultiCriteriaJudge)
    judged = Judged(**score_texts(setting, [edited], setting.test, shop.ledger))
    return judged.agreement(criterion)


def causal_contrasts(
    tried: Sequence[tuple[Mapping[str, Any], Entry]], *, passed: bool
) -> list[Contrast]:
    """Compare what the parts of gradients did; the clusters are gradients.

    Args:
        tried: The key and the result of each gradient's cell.
        passed: Whether the rater that took them apart passed its test.
    """
    found = []
    for arm in (LONG, SEPARATE):
        rows = [
            (str(key["criterion"]), {**result["agreement"], SEED: result["seed"]})
            for key, result in tried
            if key["arm"] == arm
        ]
        rater = str(tried[0][0]["rater"])
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
                    mean=mean_claim(shown, every, bound)
                    if every
                    else refused(shown, "no such units"),
                    relative=None,
                    by_criterion=single_claims(shown, values, bound),
                    values=tuple(every),
                )
            )
    return found


def gain_by(field: str, tried: Sequence[tuple[Mapping[str, Any], Entry]]) -> float | None:
    """Correlate a gradient's share or yield with what its edit gained, by rank."""
    pairs = []
    for _, result in tried:
        after, before = result["agreement"].get(ALL), result["seed"]
        if after is not None and before is not None and result[field] is not None:
            pairs.append((result[field], after - before))
    return spearman(pairs)
