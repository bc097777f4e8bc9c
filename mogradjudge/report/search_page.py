"""What the report of a search shows, as one record that the templates read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mogradjudge.agreement import Comparison, Undefined
from mogradjudge.agreement.claims import Claim, claim
from mogradjudge.display.plotting import INSTALL, can_draw
from mogradjudge.report.numbers import bounds_of, number
from mogradjudge.report.pictures import Picture, kept_picture
from mogradjudge.search.analysis.figures import draw
from mogradjudge.search.analysis.result import SearchResult, TrialRecord
from mogradjudge.search.analysis.verdict import verdict
from mogradjudge.secrets import redact
from mogradjudge.settings import PARAMETERS

CONTENTS = (
    *(("verdict", "Verdict"), ("trials", "Trials"), ("effects", "What matters")),
    ("costs", "Costs"),
)
"""The page's sections, by their anchors."""
_LONGEST = 300  # characters of a reason

NOTES = (
    "Trials are compared on selection texts that wrote no instruction; but the best of many trials "
    "is also the one that these texts flatter most, so its agreement is optimistic.",
)


@dataclass(frozen=True)
class TrialRow:
    """One trial as a table shows it."""

    number: int
    state: str
    mean: float | None
    interval: str
    unscored: int
    configuration: str
    calls: int | None
    tokens: int | None
    cost: float | None
    calls_per_text: float | None
    marks: str
    why: str


@dataclass(frozen=True)
class SearchPage:
    """All that the report of a search shows.

    ``claim`` is on the best trial's judge less the default's, scored anew on the selection texts.
    """

    found: SearchResult
    sentence: str
    claim: Claim | None
    notes: tuple[str, ...]
    rows: tuple[TrialRow, ...]
    pictures: tuple[Picture, ...]

    @property
    def cost(self) -> float | None:
        """What all trials cost in US dollars; None if no call has a known price."""
        priced = any(trial.cost is not None for trial in self.found.trials)
        return self.found.spent.cost if priced or self.found.spent.cost else None

    @property
    def has_intervals(self) -> bool:
        """Whether any trial's agreement has an interval."""
        return any(trial.intervals.get("mean") is not None for trial in self.found.trials)


def search_page(found: SearchResult) -> SearchPage:
    """Compute and draw what the report of a search shows."""
    notes = list(NOTES)
    if isinstance(found.selected, Undefined):
        notes.append(
            f"How much of the best agreement is luck is not known: {found.selected.reason}."
        )
    if found.unfinished:
        notes.append(f"Trials that are not finished: {found.unfinished}.")
    if not can_draw():
        notes.append(f"There are no figures, for matplotlib is missing. {INSTALL}")
    return SearchPage(
        found=found,
        sentence=verdict(found),
        claim=None if found.fresh is None else _claim(found.fresh.difference),
        notes=tuple(notes),
        rows=tuple(_row(found, each) for each in _ranked(found)),
        pictures=_pictures(found) if can_draw() else (),
    )


def _claim(difference: Comparison | Undefined) -> Claim:
    return claim(
        "best less default", difference, note="the luck of the choice is still in it: optimistic"
    )


def _ranked(found: SearchResult) -> list[TrialRecord]:
    return sorted(
        found.trials,
        key=lambda each: (
            each != found.best,
            each.mean is None,
            -(each.mean or 0.0),
            each.number,
        ),
    )


def _row(found: SearchResult, each: TrialRecord) -> TrialRow:
    marks = {
        "best": found.best is not None and each.number == found.best.number,
        "default": found.default is not None and each.number == found.default.number,
        "best for its price": each.number in found.front,
    }
    settings = [f"{name} {_value(each.params[name])}" for name in PARAMETERS if name in each.params]
    return TrialRow(
        number=each.number,
        state=each.state,
        mean=each.mean,
        interval=bounds_of(each.intervals.get("mean")),
        unscored=sum(each.unscored.values()),
        configuration=", ".join(settings) or "the default",
        calls=each.calls,
        tokens=each.tokens,
        cost=each.cost,
        calls_per_text=each.calls_per_text,
        marks=", ".join(name for name, holds in marks.items() if holds),
        why="" if each.why is None else redact(each.why)[:_LONGEST],
    )


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _pictures(found: SearchResult) -> tuple[Picture, ...]:
    says: dict[str, tuple[str, Callable[[SearchResult], str]]] = {
        "front": ("Mean agreement on the selection texts by calls per text.", _alt_of_front),
        "effects": (
            "What each mode adds to the mean agreement, and what matters.",
            _alt_of_effects,
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        return tuple(
            kept_picture(
                path.stem, says[path.stem][0], says[path.stem][1](found), path.read_bytes()
            )
            for path in draw(found, Path(folder))
        )


def _alt_of_front(found: SearchResult) -> str:
    trials = [
        f"trial {trial.number} ({trial.mode}): {number(trial.mean)} at {trial.calls_per_text} calls"
        for trial in found.trials
        if trial.mean is not None
    ]
    return f"Trials by agreement and calls per text. {'; '.join(trials)}."


def _alt_of_effects(found: SearchResult) -> str:
    if isinstance(found.effects, Undefined):
        return f"No effects: {found.effects.reason}."
    levels = [f"{level.level}: {level.effect.value:+.3f}" for level in found.effects.levels]
    shares = [f"{name}: {share:.2f}" for name, share in found.importances.items()]
    return f"Effects. {'; '.join(levels)}. Importances. {'; '.join(shares) or 'unknown'}."
