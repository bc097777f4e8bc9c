"""How each edit came about: example, critique, gradient, edit, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from mogradjudge.criteria import Group
from mogradjudge.optimize.events import JudgedText
from mogradjudge.programs.candidate import Candidate
from mogradjudge.report.diffs import Piece, diff
from mogradjudge.report.run_data import Line, Run, Step

Outcome: TypeAlias = Literal["accepted", "rejected", "unchanged", "not decided"]

_Place: TypeAlias = tuple[str, str | None]  # predictor and criterion; None is the preamble


@dataclass(frozen=True)
class Limits:
    """How much is shown: characters of a text, examples of a step, steps (the last ones)."""

    characters: int = 2000
    examples: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Shown:
    """A text, cut to the limit; ``left_out`` counts the characters that are not shown."""

    text: str
    left_out: int


@dataclass(frozen=True)
class Score:
    """What human and judge gave one text on one criterion, and why the judge gave nothing.

    Of a program that is no judge: the label that was expected, the one it made, and the score.
    """

    criterion: str
    human: str
    judge: str
    gap: str


@dataclass(frozen=True)
class Remark:
    """A critique or a gradient, and the criteria that it speaks about."""

    criteria: Group
    text: Shown


@dataclass(frozen=True)
class Case:
    """One example of a batch, and what was written about it."""

    example_id: str
    inputs: tuple[tuple[str, Shown], ...]
    scores: tuple[Score, ...]
    critiques: tuple[Remark, ...]
    gradients: tuple[Remark, ...]


@dataclass(frozen=True)
class Edit:
    """What became of one section; ``criteria`` are those that it belongs to."""

    title: str
    criteria: Group
    pieces: tuple[Piece, ...]
    left_out: int

    @property
    def changed(self) -> bool:
        """Whether a word differs."""
        return any(piece.kind in ("added", "removed") for piece in self.pieces)


@dataclass(frozen=True)
class Link:
    """One step of the chain.

    ``omitted`` counts examples that are not shown, ``skipped`` says which questions had no usable
    reply.
    """

    number: int
    outcome: Outcome
    current: float | None
    proposed: float | None
    cases: tuple[Case, ...]
    omitted: int
    edits: tuple[Edit, ...]
    skipped: tuple[tuple[str, Group, str], ...]


@dataclass(frozen=True)
class Chain:
    """All steps, and what lies between the seed's sections and the final ones.

    ``omitted`` counts the first steps, which are not shown.
    """

    links: tuple[Link, ...]
    omitted: int
    whole: tuple[Edit, ...]
    limits: Limits


def chain(run: Run, limits: Limits) -> Chain:
    """Follow a run from its examples to its edits."""
    seed = _slots(None if run.state is None else run.state.measured[0].candidate)
    final = _slots(None if run.state is None else run.state.best.candidate)
    current, links = seed, []
    for step in run.steps:
        proposal = {**current, **{_place(line): line["text"] for line in step.edits}}
        links.append(_link(run, step, current, proposal, limits))
        current = proposal if links[-1].outcome == "accepted" else current
    omitted = 0 if limits.steps is None else max(0, len(links) - limits.steps)
    whole = _edits(run, seed, final, final.keys(), limits)
    return Chain(tuple(links[omitted:]), omitted, whole, limits)


def _link(
    run: Run,
    step: Step,
    current: Mapping[_Place, str],
    proposal: Mapping[_Place, str],
    limits: Limits,
) -> Link:
    cases = _cases(run, step, limits)
    shown = cases if limits.examples is None else cases[: limits.examples]
    decided = step.decided
    return Link(
        number=step.number,
        outcome=outcome_of(decided),
        current=None if decided is None else decided["current"]["mean"],
        proposed=None if decided is None else decided["proposed"]["mean"],
        cases=tuple(shown),
        omitted=len(cases) - len(shown),
        edits=_edits(run, current, proposal, [_place(line) for line in step.edits], limits),
        skipped=tuple(
            (line["role"], tuple(line["criteria"]), line["reason"]) for line in step.skipped
        ),
    )


def outcome_of(decided: Line | None) -> Outcome:
    """Say what became of a step's proposal."""
    if decided is None:
        return "not decided"
    if decided["accepted"]:
        return "accepted"
    return "unchanged" if decided["unchanged"] else "rejected"


def _cases(run: Run, step: Step, limits: Limits) -> list[Case]:
    judged = {text.example_id: text for text in step.batch}
    inputs = dict(zip(judged, step.inputs, strict=False))
    named = [line["example_id"] for line in (*step.critiques, *step.gradients)]
    return [
        Case(
            example_id=name,
            inputs=tuple((key, cut(value, limits)) for key, value in inputs.get(name, {}).items()),
            scores=_scores(run, judged[name]) if name in judged else (),
            critiques=_remarks(step.critiques, name, limits),
            gradients=_remarks(step.gradients, name, limits),
        )
        for name in dict.fromkeys([*judged, *named])
    ]


def _remarks(lines: Iterable[Line], example_id: str, limits: Limits) -> tuple[Remark, ...]:
    return tuple(
        Remark(tuple(line["criteria"]), cut(line["text"], limits))
        for line in lines
        if line["example_id"] == example_id
    )


def _scores(run: Run, text: JudgedText) -> tuple[Score, ...]:
    return tuple(_score(text, name, of_judge=run.rubric is not None) for name in run.criteria)


def _score(text: JudgedText, name: str, *, of_judge: bool) -> Score:
    human, judge = text.expected.get(name), text.produced.get(name)
    gap = ""
    if name in text.unscored:
        gap = "no score: " + text.unscored[name]
    elif of_judge and isinstance(human, int | float) and isinstance(judge, int | float):
        difference = judge - human
        way = "too high" if difference > 0 else "too low"
        gap = f"{abs(difference):g} {way}" if difference else "equal"
    elif text.scores.get(name) is not None:
        gap = f"{text.scores[name]:.2f} of 1"
    return Score(name, _shown(human), _shown(judge), gap)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "\N{EN DASH}" if value is None else str(value)


def _edits(
    run: Run,
    before: Mapping[_Place, str],
    after: Mapping[_Place, str],
    places: Iterable[_Place],
    limits: Limits,
) -> tuple[Edit, ...]:
    several = len({predictor for predictor, _ in {**before, **after}}) > 1
    found = []
    for predictor, criterion in dict.fromkeys(places):
        place = predictor, criterion
        title = "preamble" if criterion is None else criterion
        pieces, left_out = _within(diff(before.get(place, ""), after.get(place, "")), limits)
        found.append(
            Edit(
                title=f"{title} of {predictor}" if several else title,
                criteria=run.criteria if criterion is None else (criterion,),
                pieces=pieces,
                left_out=left_out,
            )
        )
    return tuple(found)


def _within(pieces: Sequence[Piece], limits: Limits) -> tuple[tuple[Piece, ...], int]:
    """Cut an edit at twice the limit of a text: it holds two of them."""
    room, kept = 2 * limits.characters, []
    for piece in pieces:
        if room > 0:
            kept.append(Piece(piece.kind, piece.text[:room]))
        room -= len(piece.text)
    return tuple(kept), max(0, -room)


def cut(value: object, limits: Limits) -> Shown:
    """Cut a text, or what stands for one, to the limit."""
    text = value if isinstance(value, str) else str(value)
    return Shown(text[: limits.characters], max(0, len(text) - limits.characters))


def _place(line: Line) -> _Place:
    return line["predictor"], line["criterion"]


def _slots(candidate: Candidate | None) -> dict[_Place, str]:
    """Give each section's text, and each preamble's."""
    if candidate is None:
        return {}
    found: dict[_Place, str] = {}
    for predictor, instructions in candidate.instructions.items():
        found[predictor, None] = instructions.preamble
        found |= {(predictor, name): text for name, text in instructions.sections}
    return found
