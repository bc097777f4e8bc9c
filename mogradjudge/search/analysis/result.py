"""The result of a search: every trial, the best one with its uncertainty, and the cost."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import dspy

from mogradjudge.agreement import Comparison, Undefined
from mogradjudge.agreement.selection_bias import Corrected
from mogradjudge.lm.budget import Spent
from mogradjudge.optimize.confirmation import Confirmation, Wording
from mogradjudge.search.analysis.effects import Effects
from mogradjudge.search.ranges import rounded
from mogradjudge.search.workers.worker import SearchStop

ESTIMATED = "~"
"""Marks the agreement of a trial that a race ended early."""


@dataclass(frozen=True)
class TrialRecord:
    """One attempt at a trial.

    ``task`` names the trial, ``number`` the attempt in the study. ``state`` is one of waiting,
    running, complete, ended early, pruned and failed, and ``why`` explains the last three.
    ``agreement`` and ``intervals`` (95 %) are those on the selection texts, by criterion and
    ``mean``. Of a trial that a race ended early, ``texts`` were read, and ``agreement`` and
    ``values`` are estimates: those of its ``rival``, the task that it raced against, plus the
    difference on these texts. ``calls`` were paid for, ``cached`` were answered by what another
    trial had paid; ``cost`` is in US dollars, None where a price is unknown.
    """

    number: int
    task: str
    state: str
    why: str | None
    params: Mapping[str, Any]
    config: Mapping[str, Any]
    values: tuple[float, ...] | None
    agreement: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float] | None]
    unscored: Mapping[str, int]
    calls: int | None
    cached: int | None
    tokens: int | None
    cost: float | None
    calls_per_text: float | None
    tokens_per_text: float | None
    run_dir: str | None
    worker: str | None
    seconds: float | None
    instructions: Mapping[str, str] = field(repr=False)
    texts: int | None = None
    rival: str | None = None

    @property
    def mean(self) -> float | None:
        """The mean agreement on the selection texts."""
        return self.agreement.get("mean")

    @property
    def mark(self) -> str:
        """What stands before an agreement that is estimated."""
        return "" if self.texts is None else ESTIMATED

    @property
    def mode(self) -> str | None:
        """The decomposition mode's letters."""
        return self.config.get("mode")


def distinct(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the first trial of each configuration; a later one has the same replies and value."""
    first: dict[str, TrialRecord] = {}
    for record in records:
        first.setdefault(json.dumps(rounded(record.config), sort_keys=True, default=str), record)
    return list(first.values())


@dataclass(frozen=True)
class Fresh:
    """The best trial's judge and the default's, scored again on the selection texts by new replies.

    ``difference`` is the best one's mean agreement minus the default's, over documents. It is not
    corrected for selection, and neither is its p-value, which is nowhere printed.

    >>> Fresh(best=0.61, default=None, difference=Undefined("the default has no agreement")).best
    0.61
    """

    best: float | None
    default: float | None
    difference: Comparison | Undefined


@dataclass(frozen=True)
class SearchResult:
    """The result of `search`.

    ``best`` is the trial with the highest mean agreement on the selection texts, the cheaper to use
    on a tie; ``default`` is trial 0. ``confirmation`` compares the best one's judge with the
    initial judge on texts that chose nothing; ``program`` is the initial judge where it takes the
    best one back. Only trials that were scored on all texts, leave no more of them unscored than
    the default does, and no criterion without a value that it has a value on, may be the best one
    or stand on the front. ``selected`` corrects the best one's agreement for selection bias.
    ``front`` holds the numbers of the trials that no other one beats in all values of the study (of
    a study with one value: in agreement and calls per text), and ``hypervolume`` the share of a box
    that they dominate: agreements from 0 to 1, costs from 0 to twice the default's; None for one
    value, and without a default. ``importances`` are shares of the variance of the mean agreement,
    of the parameters that every trial has, and sum to 1; there are none below 8 distinct
    configurations. ``effects`` are those of the mode; a repeated configuration counts once in both.
    ``configurations`` counts those of the space, None if there is no end of them. ``texts``
    and ``documents`` count what trials were compared on.
    """

    study: str
    value_names: tuple[str, ...]
    trials: tuple[TrialRecord, ...]
    best: TrialRecord | None
    default: TrialRecord | None
    selected: Corrected | Undefined
    fresh: Fresh | None
    front: tuple[int, ...]
    hypervolume: float | None
    importances: Mapping[str, float]
    effects: Effects | Undefined
    spent: Spent
    unfinished: int
    configurations: int | None = None
    texts: int = 0
    documents: int = 0
    confirmation: Confirmation = field(default_factory=lambda: Confirmation("off"))
    stop_reason: SearchStop | None = None
    program: dspy.Module | None = None

    def __repr__(self) -> str:  # a notebook shows it, and the fields hold all instructions
        means = {
            "best": self.best and self.best.mean,
            "default": self.default and self.default.mean,
        }
        shown = (
            f"{name}={'none' if mean is None else f'{mean:.3f}'}" for name, mean in means.items()
        )
        return (
            f"{type(self).__name__}(study={self.study!r}, trials={len(self.trials)}, "
            f"{', '.join(shown)}, calls={self.spent.calls}, stop_reason={self.stop_reason!r})"
        )

    @property
    def cost(self) -> float | None:
        """What was spent in US dollars, by the known prices; None if none is known."""
        priced = any(trial.cost is not None for trial in self.trials)
        return self.spent.cost if priced or self.spent.cost else None

    def confirmed(self) -> str:
        """Say what was confirmed, with the price of both judges where it differs."""
        calls = [record and record.calls_per_text for record in (self.best, self.default)]
        differ = None not in calls and calls[0] != calls[1]
        best, initial = (f" (calls a text: {it:g})" if differ else "" for it in calls)
        return self.confirmation.describe(
            Wording(
                best=f"the best trial's judge{best}",
                initial=f"the initial judge{initial}",
                equal="The best trial's judge is the initial judge",
                chosen="judge",
                kept="The initial judge is kept.",
                returned="The best trial's judge is returned.",
            )
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the result as `search.json` holds it."""
        return {
            "study": self.study,
            "values": list(self.value_names),
            "stop_reason": self.stop_reason,
            "best": None if self.best is None else self.best.number,
            "default": None if self.default is None else self.default.number,
            "confirmation": {
                **plain(self.confirmation),
                "bound": self.confirmation.bound,
                "level": self.confirmation.level,
                "sentence": self.confirmed(),
            },
            "selected": plain(self.selected),
            "fresh": plain(self.fresh),
            "front": list(self.front),
            "hypervolume": self.hypervolume,
            "importances": dict(self.importances),
            "effects": plain(self.effects),
            "spent": {**asdict(self.spent), "cost": self.cost},
            "unfinished": self.unfinished,
            "configurations": self.configurations,
            "texts": self.texts,
            "documents": self.documents,
            "trials": [plain(trial) for trial in self.trials],
        }


def plain(value: Any) -> Any:
    """Return a record as JSON holds it.

    >>> plain({"effect": Undefined("one mode only"), "value": float("nan")})
    {'effect': {'undefined': 'one mode only'}, 'value': None}
    """
    if isinstance(value, Undefined):
        return {"undefined": value.reason}
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
