"""Agreement with intervals: of one scoring, and of both instructions of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mogradjudge.agreement import Interval
from mogradjudge.agreement.claims import Claim
from mogradjudge.report.numbers import bounds, number

MEAN = "mean"


@dataclass(frozen=True)
class Estimate:
    """An agreement, its 95 % interval over documents, and how many texts and documents it is of.

    ``why`` says why there is no value, or no interval.
    """

    value: float | None
    interval: Interval | None
    why: str
    texts: int
    documents: int

    @property
    def in_words(self) -> str:
        """The value and its interval as a line of text, for readers who cannot see a figure."""
        value = "none" if self.value is None else number(self.value)
        return value if self.interval is None else f"{value} ({bounds(self.interval)})"


@dataclass(frozen=True)
class Scoring:
    """The values of one step's instructions on the texts of a split, by criterion and `MEAN`."""

    step: int
    split: str
    texts: int
    documents: int
    by_criterion: Mapping[str, Estimate]

    @property
    def has_intervals(self) -> bool:
        """Whether any of its values has an interval."""
        return any(estimate.interval is not None for estimate in self.by_criterion.values())


@dataclass(frozen=True)
class Ends:
    """The agreement of the initial and the best instructions on one split, and its difference.

    ``claims`` are about the differences: the mean decides, and the p-values of the criteria are
    adjusted for their number (Holm). On the confirmation texts there is none about the mean, which
    the confirmation tests. ``lengths`` is the agreement of each input's length.
    ``agreement`` describes the measure, ``of`` what is compared. Means are over the criteria on
    which both have a value, without those ``left_out``. If ``seed_kept``, the initial instructions
    are also the best ones, and there are no claims. ``of_judge`` is False for a program that is
    compared by its own objectives instead of with human scores. ``shares`` are those of the raters'
    ceiling that the result reaches, where several ratings of a text are known.
    """

    split: str
    agreement: str
    of: str
    seed: Scoring
    final: Scoring
    claims: Mapping[str, Claim]
    lengths: Mapping[str, Scoring]
    left_out: tuple[str, ...] = ()
    seed_kept: bool = False
    of_judge: bool = True
    shares: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def arms(self) -> Mapping[str, Scoring]:
        """The compared scorings by name, in the order in which they are shown."""
        ends = {"initial": self.seed} | ({} if self.seed_kept else {"best": self.final})
        return ends | {f"length of {name}": scoring for name, scoring in self.lengths.items()}

    @property
    def has_intervals(self) -> bool:
        """Whether any of its values has an interval."""
        return any(arm.has_intervals for arm in self.arms.values())

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons for missing values and intervals."""
        places: dict[str, dict[str, list[str]]] = {}
        for arm, scoring in self.arms.items():
            for name, estimate in scoring.by_criterion.items():
                if estimate.why:
                    places.setdefault(estimate.why, {}).setdefault(arm, []).append(name)
        return tuple(self._reason(why, where) for why, where in places.items())

    def _reason(self, why: str, where: Mapping[str, list[str]]) -> str:
        every = len(self.seed.by_criterion)
        whole = [arm for arm, names in where.items() if len(names) == every]
        if len(whole) == len(self.arms):
            return why
        parts = [
            arm if arm in whole else f"{arm}: {', '.join(names)}" for arm, names in where.items()
        ]
        return f"{why} ({'; '.join(parts)})"
