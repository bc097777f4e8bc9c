"""Two judges on the same rated texts: agreement of each, tests by document, changed sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from mogradjudge.agreement import TestOptions, agreement_by, compare_criteria
from mogradjudge.agreement.claims import Claim, claim
from mogradjudge.agreement.weighted_mean import mean_of
from mogradjudge.criteria import Group
from mogradjudge.display.notebook import html_table
from mogradjudge.display.terminal import number
from mogradjudge.programs.evaluation import MEAN
from mogradjudge.programs.judged_text import JudgedText, Values

_HALF = 0.5  # points of a scale: a score so near to people's is theirs
Columns: TypeAlias = Mapping[str, Sequence[float | None]]
"""Scores by criterion; None where there is none."""


@dataclass(frozen=True)
class SideChange:
    """A text that one of two judges scores as people do (to half a point), and the other does not.

    ``gain`` is by how many points the second judge is nearer to people than the first.
    """

    example_id: str
    criterion: str
    document: str
    human: float
    first: float
    second: float

    @property
    def gain(self) -> float:
        """How much nearer the second judge is; below 0 where the first one is."""
        return abs(self.first - self.human) - abs(self.second - self.human)


@dataclass(frozen=True)
class Paired:
    """Two judges on the texts that both scored tables hold.

    ``claims`` are about the second judge's agreement minus the first one's, by criterion and for
    the mean. ``changed`` holds the texts that changed sides, the largest change first.
    ``differing`` counts the texts that the two do not give the same scores.
    """

    texts: int
    documents: int
    first: Values
    second: Values
    claims: Mapping[str, Claim]
    changed: tuple[SideChange, ...]
    differing: int

    @property
    def equal(self) -> str:
        """A sentence where both give the same scores; empty where they do not."""
        return "" if self.differing else f"Both give the same scores on all {self.texts} texts."

    def _repr_html_(self) -> str:
        rows = [
            [name, number(self.first[name]), number(self.second[name]), str(self.claims[name])]
            for name in self.first
        ]
        title = f"The same {self.texts} texts of {self.documents} documents"
        return html_table(("criterion", "first", "second", "difference"), rows, title)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "texts": self.texts,
            "documents": self.documents,
            "first": dict(self.first),
            "second": dict(self.second),
            "claims": {name: it.as_dict() for name, it in self.claims.items()},
            "changed": [{**asdict(it), "gain": it.gain} for it in self.changed],
            "differing": self.differing,
            "equal": self.equal,
        }


def paired(
    first: Sequence[JudgedText],
    second: Sequence[JudgedText],
    criteria: Group,
    options: TestOptions,
    names: tuple[str, str] = ("first", "second"),
) -> Paired | None:
    """Compare two judges on the texts that both have scored; None if there are none.

    The human scores are those beside the second judge's.

    >>> def text(number, score):
    ...     return JudgedText(*(str(number), f"d{number}", {}, {}, {"tone": 3}, {"tone": score}))
    >>> options = TestOptions(level="pooled")
    >>> one = [text(number, 1) for number in range(9)]
    >>> two = [text(number, 3) for number in range(8)]
    >>> comparison = paired(one, two, ("tone",), options)
    >>> comparison.texts, comparison.changed[0].gain
    (8, 2)

    Args:
        first: The texts as the first judge scored them.
        second: The texts as the second judge scored them.
        criteria: The criteria's names.
        options: How agreement is measured.
        names: What the two are called in the claims.
    """
    known = {text.example_id: text for text in first}
    both = [(known[text.example_id], text) for text in second if text.example_id in known]
    if not both:
        return None
    groups = [text.group for _, text in both]
    human = {name: [text.expected.get(name) for _, text in both] for name in criteria}
    one, two = (
        {name: [pair[side].produced.get(name) for pair in both] for name in criteria}
        for side in (0, 1)
    )
    return Paired(
        texts=len(both),
        documents=len(set(groups)),
        first=_values(human, one, groups, options),
        second=_values(human, two, groups, options),
        claims=claims_between(human, one, two, groups, options, names),
        changed=tuple(sorted(_changed(both, criteria), key=lambda change: -abs(change.gain))),
        differing=sum(
            any(before.produced.get(name) != after.produced.get(name) for name in criteria)
            for before, after in both
        ),
    )


def claims_between(
    human: Columns,
    first: Columns,
    second: Columns,
    groups: Sequence[str],
    options: TestOptions,
    names: tuple[str, str],
) -> dict[str, Claim]:
    """Test the second judge's agreement minus the first one's: the mean, and each criterion.

    >>> documents = [name for name in "abcdefgh" for _ in range(3)]
    >>> human, worse = {"tone": [1, 2, 3] * 8}, {"tone": [2, 1, 3] * 8}
    >>> claims = claims_between(human, worse, human, documents, TestOptions(), ("old", "new"))
    >>> claims["tone"].name, claims["tone"].estimate
    ('new minus old, tone', 0.5)
    """
    family = compare_criteria(human, second, first, groups, options)
    what = f"{names[1]} minus {names[0]}"
    claims = {MEAN: claim(f"{what}, {MEAN}", family.mean)}
    for name, comparison in family.by_criterion.items():
        adjusted, size = family.holm.get(name), max(1, len(family.holm))
        claims[name] = claim(f"{what}, {name}", comparison, p_value=adjusted, family=size)
    return claims


def _values(
    human: Columns, judge: Columns, groups: Sequence[str], options: TestOptions
) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for name in human:
        columns = zip(human[name], judge[name], groups, strict=True)
        rows = [row for row in columns if row[0] is not None and row[1] is not None]
        x, y, of = zip(*rows, strict=True) if rows else ((), (), ())
        value = agreement_by(options.of(name), x, y, of)
        values[name] = value if isinstance(value, float) else None
    return {**values, MEAN: mean_of(values, options.weights)}


def _changed(both: Sequence[tuple[JudgedText, JudgedText]], criteria: Group) -> list[SideChange]:
    changes = []
    for before, after in both:
        for name in criteria:
            human, first = after.expected.get(name), before.produced.get(name)
            second = after.produced.get(name)
            if human is None or first is None or second is None:
                continue
            change = SideChange(after.example_id, name, after.group, human, first, second)
            if _is_peoples(change.first, change.human) != _is_peoples(change.second, change.human):
                changes.append(change)
    return changes


def _is_peoples(judge: float, human: float) -> bool:
    return abs(judge - human) <= _HALF
