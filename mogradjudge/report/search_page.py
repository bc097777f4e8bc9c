"""The page of a search report, as one record for its template."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mogradjudge.agreement import Undefined
from mogradjudge.agreement.claims import Claim
from mogradjudge.display.plotting import INSTALL, can_draw
from mogradjudge.report.numbers import bounds_of, number
from mogradjudge.report.pictures import Picture, kept_picture
from mogradjudge.search.analysis.figures import draw
from mogradjudge.search.analysis.result import SearchResult, TrialRecord
from mogradjudge.search.analysis.verdict import best_minus_default, exhaustion, verdict
from mogradjudge.secrets import redact
from mogradjudge.settings import PARAMETERS

_CONTENTS = (
    *(("verdict", "Verdict"), ("trials", "Trials"), ("effects", "What matters")),
    ("instructions", "Instructions"),
)
_LONGEST = 300  # characters of a reason

NOTES = (
    "Trials are compared on selection texts that no instruction was written from. But the best of "
    "many trials is chosen on these texts, so its agreement is optimistic (selection bias).",
)


@dataclass(frozen=True)
class TrialRow:
    """One trial as a table shows it."""

    number: int
    state: str
    mean: str
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
    """The content of a search report.

    ``claim`` compares the best trial's judge with the default, both scored again on the selection
    texts.
    """

    result: SearchResult
    sentence: str
    claim: Claim | None
    notes: tuple[str, ...]
    rows: tuple[TrialRow, ...]
    pictures: tuple[Picture, ...]

    @property
    def contents(self) -> tuple[tuple[str, str], ...]:
        """The sections that the page has, by their anchors."""
        return _CONTENTS if self.result.best else _CONTENTS[:-1]

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        if self.result.best is None:
            return "no result"
        claim = None if self.result.confirmation.seed else self.claim
        if claim is not None and claim.estimate is not None:
            return claim.verdict
        is_confirmed = self.result.confirmation.verdict == "confirmed"
        return "confirmed" if is_confirmed else "not confirmed"

    @property
    def is_open(self) -> bool:
        """Whether nothing says if the best judge is better than another one."""
        untested = self.result.confirmation.verdict in ("off", "too few documents")
        return self.result.fresh is None and untested

    @property
    def has_estimates(self) -> bool:
        """Whether a race ended a trial, whose agreement is estimated."""
        return any(trial.mark for trial in self.result.trials)

    @property
    def has_intervals(self) -> bool:
        """Whether any trial's agreement has an interval."""
        return any(trial.intervals.get("mean") is not None for trial in self.result.trials)


def search_page(result: SearchResult) -> SearchPage:
    """Compute and draw the content of a search report."""
    notes = list(NOTES)
    if isinstance(result.selected, Undefined):
        notes.append(
            f"The selection bias of the best agreement is unknown: {result.selected.reason}."
        )
    if sentence := exhaustion(result):
        notes.append(sentence)
    if result.unfinished:
        notes.append(f"Unfinished trials: {result.unfinished}.")
    if not can_draw():
        notes.append(f"There are no figures, because matplotlib is missing. {INSTALL}")
    return SearchPage(
        result=result,
        sentence=verdict(result),
        claim=None if result.fresh is None else best_minus_default(result),
        notes=tuple(notes),
        rows=tuple(_row(result, trial) for trial in _ranked(result)),
        pictures=_pictures(result) if can_draw() else (),
    )


def _ranked(result: SearchResult) -> list[TrialRecord]:
    return sorted(
        result.trials,
        key=lambda trial: (
            trial != result.best,
            trial.mean is None,
            -(trial.mean or 0.0),
            trial.number,
        ),
    )


def _row(result: SearchResult, trial: TrialRecord) -> TrialRow:
    marks = {
        "best": result.best is not None and trial.number == result.best.number,
        "default": result.default is not None and trial.number == result.default.number,
        "best for its price": trial.number in result.front,
    }
    settings = [
        f"{name} {_value(trial.params[name])}" for name in PARAMETERS if name in trial.params
    ]
    return TrialRow(
        number=trial.number,
        state=trial.state,
        mean=trial.mark + number(trial.mean),
        interval=bounds_of(trial.intervals.get("mean")),
        unscored=sum(trial.unscored.values()),
        configuration=", ".join(settings) or "the default",
        calls=trial.calls,
        tokens=trial.tokens,
        cost=trial.cost,
        calls_per_text=trial.calls_per_text,
        marks=", ".join(name for name, holds in marks.items() if holds),
        why="" if trial.why is None else redact(trial.why)[:_LONGEST],
    )


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _pictures(result: SearchResult) -> tuple[Picture, ...]:
    says: dict[str, tuple[str, Callable[[SearchResult], str]]] = {
        "front": ("Mean agreement on the selection texts by calls per text.", _alt_of_front),
        "effects": (
            "Effect of each mode at the settings tried, and importance of the parameters.",
            _alt_of_effects,
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        return tuple(
            kept_picture(
                path.stem, says[path.stem][0], says[path.stem][1](result), path.read_bytes()
            )
            for path in draw(result, Path(folder))
        )


def _alt_of_front(result: SearchResult) -> str:
    trials = [
        f"trial {trial.number} ({trial.mode}): {number(trial.mean)} at {trial.calls_per_text} calls"
        for trial in result.trials
        if trial.state == "complete" and trial.mean is not None
    ]
    return f"Trials by agreement and calls per text. {'; '.join(trials)}."


def _alt_of_effects(result: SearchResult) -> str:
    if isinstance(result.effects, Undefined):
        return f"No effects: {result.effects.reason}."
    levels = [f"{level.level}: {level.effect.value:+z.3f}" for level in result.effects.levels]
    shares = [f"{name}: {share:.2f}" for name, share in result.importances.items()]
    return f"Effects. {'; '.join(levels)}. Importances. {'; '.join(shares) or 'unknown'}."
