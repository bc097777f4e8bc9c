"""Two judges on the same rated texts: agreement of each, tests by document, changed sides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from mogradjudge.agreement import TestOptions, agreement_by, compare_criteria
from mogradjudge.agreement.claims import Claim, claim
from mogradjudge.agreement.weighted_mean import EQUAL, Weights, mean_label, mean_of, shares_of
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

    ``compared`` counts the rated texts that both have scored, by criterion; all else is about
    these. ``claims`` are about the second judge's agreement minus the first one's, by criterion and
    for the mean. ``changed`` holds the texts that changed sides, the largest change first.
    ``differing`` counts the texts that the two do not give the same scores. ``weights`` are those
    in the mean; ``notes`` say where they differ, and which texts have no score.
    """

    texts: int
    documents: int
    compared: Mapping[str, int]
    first: Values
    second: Values
    claims: Mapping[str, Claim]
    changed: tuple[SideChange, ...]
    differing: int
    weights: Weights
    notes: tuple[str, ...]

    @property
    def equal(self) -> str:
        """A sentence where both give the same scores; empty where they do not, or give none."""
        if self.differing or not any(self.compared.values()):
            return ""
        texts = f"{self.texts} texts" if self._is_whole else "texts that both have scored"
        return f"Both give the same scores on all {texts}."

    @property
    def where(self) -> str:
        """On which texts the judges are compared."""
        where = f"the same {self.texts} texts of {self.documents} documents"
        if self._is_whole:
            return where
        counts = ", ".join(f"{count} on {name}" for name, count in self.compared.items())
        return f"the rated texts that both have scored ({counts}) of {where}"

    @property
    def _is_whole(self) -> bool:
        return all(count == self.texts for count in self.compared.values())

    def _repr_html_(self) -> str:
        names = {name: name for name in self.first} | {MEAN: mean_label(self.weights)}
        rows = [
            [shown, number(self.first[name]), number(self.second[name]), str(self.claims[name])]
            for name, shown in names.items()
        ]
        title = ". ".join([_capitalized(self.where), *self.notes])
        return html_table(("criterion", "first", "second", "difference"), rows, title)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "texts": self.texts,
            "documents": self.documents,
            "where": self.where,
            "compared": dict(self.compared),
            "weights": dict(self.weights),
            "notes": list(self.notes),
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
    weights: tuple[Weights, Weights] | None = None,
) -> Paired | None:
    """Compare two judges on the texts that both tables hold; None if there are none.

    Each criterion is compared on those of the texts that both have scored. The human scores are
    those beside the second judge's, or beside the first one's where these are missing.

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
        weights: Those of each judge; where they differ, the mean is unweighted. None if they are
            those of the options.
    """
    notes = [] if weights is None else weights_note(criteria, names, weights)
    if notes:
        options = replace(options, weights=EQUAL)
    known = {text.example_id: text for text in first}
    both = [(known[text.example_id], text) for text in second if text.example_id in known]
    if not both:
        return None
    groups = [text.group for _, text in both]
    human = {name: [_human(pair, name) for pair in both] for name in criteria}
    one, two = (
        {name: [pair[side].produced.get(name) for pair in both] for name in criteria}
        for side in (0, 1)
    )
    rows = {
        name: [
            row
            for row in zip(human[name], one[name], two[name], groups, strict=True)
            if None not in row
        ]
        for name in criteria
    }
    first_values, second_values = _values(rows, options)
    return Paired(
        texts=len(both),
        documents=len(set(groups)),
        compared={name: len(it) for name, it in rows.items()},
        first=first_values,
        second=second_values,
        claims=claims_between(human, one, two, groups, options, names),
        changed=tuple(sorted(_changed(both, criteria), key=lambda change: -abs(change.gain))),
        differing=sum(
            any(before.produced.get(name) != after.produced.get(name) for name in criteria)
            for before, after in both
        ),
        weights=options.weights,
        notes=(*notes, *_losses(both, criteria, names)),
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
    rows: Mapping[str, Sequence[tuple[Any, ...]]], options: TestOptions
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Return the agreement of both; the means are over the criteria on which both have one."""
    first, second = dict[str, float | None](), dict[str, float | None]()
    for name, scored in rows.items():
        human, one, two, groups = zip(*scored, strict=True) if scored else ((), (), (), ())
        for values, judge in ((first, one), (second, two)):
            value = agreement_by(options.of(name), human, judge, groups)
            values[name] = value if isinstance(value, float) else None
    both = [name for name in rows if first[name] is not None and second[name] is not None]
    for values in (first, second):
        values[MEAN] = mean_of({name: values[name] for name in both}, options.weights)
    return first, second


def _human(pair: tuple[JudgedText, JudgedText], name: str) -> float | None:
    before, after = pair
    score: float | None = after.expected.get(name)
    return before.expected.get(name) if score is None else score


def weights_note(
    criteria: Group, names: tuple[str, str], weights: tuple[Weights, Weights]
) -> list[str]:
    """Return a sentence on the weights of two judges where they differ; else nothing.

    >>> weights_note(("tone", "style"), ("A", "B"), ({"tone": 2.0}, {"tone": 4.0, "style": 2.0}))
    []
    """
    if shares_of(criteria, weights[0]) == shares_of(criteria, weights[1]):
        return []
    sides = [
        f"{name}: " + ", ".join(f"{it} {own.get(it, 1.0):g}" for it in criteria)
        for name, own in zip(names, weights, strict=True)
    ]
    return [f"The weights differ ({'; '.join(sides)}), so the mean is unweighted."]


def _losses(
    both: Sequence[tuple[JudgedText, JudgedText]], criteria: Group, names: tuple[str, str]
) -> Iterator[str]:
    """Say how many rated texts each judge leaves without a score."""
    for side, who in enumerate(names):
        for name in criteria:
            lost = [
                name in pair[side].disputed
                for pair in both
                if _human(pair, name) is not None and pair[side].produced.get(name) is None
            ]
            if lost:
                kinds = f"{len(lost) - sum(lost)} unscored, {sum(lost)} n/a"
                yield f"{who}: {len(lost)} rated texts without a score on {name} ({kinds})."


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _changed(both: Sequence[tuple[JudgedText, JudgedText]], criteria: Group) -> list[SideChange]:
    changes = []
    for before, after in both:
        for name in criteria:
            human, first = _human((before, after), name), before.produced.get(name)
            second = after.produced.get(name)
            if human is None or first is None or second is None:
                continue
            change = SideChange(after.example_id, name, after.group, human, first, second)
            if _is_peoples(change.first, change.human) != _is_peoples(change.second, change.human):
                changes.append(change)
    return changes


def _is_peoples(judge: float, human: float) -> bool:
    return abs(judge - human) <= _HALF
