"""The sections "Sections" and "Steps in detail": the edits of a run, step by step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from mogradjudge.criteria import Group
from mogradjudge.optimize.events import (
    CritiqueWritten,
    GateDecided,
    GradientWritten,
    MixScored,
    QuestionSkipped,
    SectionRewritten,
)
from mogradjudge.optimize.figures import show
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.report.diff import Piece, diff
from mogradjudge.report.run_data import RunData, Step
from mogradjudge.report.section import Findings, Limits, Section

StepOutcome: TypeAlias = Literal["accepted", "rejected", "unchanged", "not decided"]

_Place: TypeAlias = tuple[str, str | None]  # predictor and criterion; None is the preamble


@dataclass(frozen=True)
class Shown:
    """A text, cut to the limit; ``left_out`` counts the characters that are not shown."""

    text: str
    left_out: int


@dataclass(frozen=True)
class Score:
    """What human and judge gave one text on one criterion, and why the judge gave nothing.

    For a program that is not a judge: the expected output, its own output, and the score.
    """

    criterion: str
    human: str
    judge: str
    gap: str


@dataclass(frozen=True)
class Remark:
    """A critique or a gradient, with its criteria."""

    criteria: Group
    text: Shown


@dataclass(frozen=True)
class Case:
    """One example of a batch, and what was written about it.

    ``name`` is that of its document, or its id in the runs of earlier versions; empty for a batch.
    """

    name: str
    inputs: tuple[tuple[str, Shown], ...]
    scores: tuple[Score, ...]
    critiques: tuple[Remark, ...]
    gradients: tuple[Remark, ...]


@dataclass(frozen=True)
class SectionEdit:
    """The change of one section; ``criteria`` are the criteria it belongs to."""

    title: str
    criteria: Group
    pieces: tuple[Piece, ...]
    left_out: int

    @property
    def changed(self) -> bool:
        """Whether a word differs."""
        return any(piece.kind in ("added", "removed") for piece in self.pieces)

    @property
    def is_whole(self) -> bool:
        """Whether it shows the whole old text, then the whole new one."""
        return [piece.kind for piece in self.pieces] == ["removed", "added"]


@dataclass(frozen=True)
class Link:
    """One step in detail.

    ``omitted`` counts examples that are not shown; ``skipped`` lists the calls without a usable
    reply. ``note`` is what else is to say of the outcome.
    """

    number: int
    outcome: StepOutcome
    current: float | None
    proposed: float | None
    cases: tuple[Case, ...]
    omitted: int
    edits: tuple[SectionEdit, ...]
    skipped: tuple[QuestionSkipped, ...]
    note: str = ""


@dataclass(frozen=True)
class Chain:
    """All steps; ``omitted`` counts the first ones, which are not shown."""

    links: tuple[Link, ...]
    omitted: int
    limits: Limits


def sections(findings: Findings) -> Section:
    """Show the differences between the initial and the best sections."""
    run = findings.run
    return Section(
        anchor="sections",
        title="Sections",
        heading=f"The sections, initial to best{'' if run.ended else ' so far'}",
        template="run_sections.html.j2",
        within=lambda limits: {"edits": whole_edits(run, limits)},
    )


def steps(findings: Findings) -> Section:
    """Show the examples, critiques and gradients behind each edit."""
    return Section(
        anchor="chain",
        title="Steps in detail",
        template="run_chain.html.j2",
        within=lambda limits: {"chain": chain(findings.run, limits)},
    )


def whole_edits(run: RunData, limits: Limits) -> tuple[SectionEdit, ...]:
    """Compare the best sections, or the best so far, with the initial ones."""
    final = _final(run)
    return _edits(run, _seed(run), final, final.keys(), limits)


def chain(run: RunData, limits: Limits) -> Chain:
    """Collect each step of a run, from its examples to its edits."""
    last = 0
    after, links = {last: _seed(run)}, []
    for step in run.steps:
        parent = after.get(last if step.parent is None else step.parent, after[last])
        texts = {_place(section): section.text for section in step.all(SectionRewritten)}
        links.append(_link(run, step, parent, {**parent, **texts}, limits))
        after[step.number] = {**parent, **_accepted(texts, step.decided)}
        if links[-1].outcome == "accepted":
            last = step.number
    omitted = 0 if limits.steps is None else max(0, len(links) - limits.steps)
    return Chain(tuple(links[omitted:]), omitted, limits)


def _accepted(texts: Mapping[_Place, str], decided: GateDecided | None) -> dict[_Place, str]:
    """Return the new texts that were accepted, where not all of them were."""
    sections = () if decided is None else decided.sections
    return {place: text for place, text in texts.items() if not sections or place[1] in sections}


def _link(
    run: RunData,
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
        current=None if decided is None else decided.current["mean"],
        proposed=None if decided is None else decided.proposed["mean"],
        note=note_on(step),
        cases=tuple(shown),
        omitted=len(cases) - len(shown),
        edits=_edits(run, current, proposal, map(_place, step.all(SectionRewritten)), limits),
        skipped=step.all(QuestionSkipped),
    )


def outcome_of(decided: GateDecided | None) -> StepOutcome:
    """Return the outcome of a step's proposal."""
    if decided is None:
        return "not decided"
    if decided.accepted:
        return "accepted"
    return "unchanged" if decided.unchanged else "rejected"


def note_on(step: Step) -> str:
    """Say what a step rewrote, what became of its mix, and which step beside it was better."""
    mix, decided, notes = step.last(MixScored), step.decided, []
    if step.parent is not None:
        notes.append(f"from the instructions of step {step.parent}")
    if mix is not None:
        outcome = "accepted" if mix.accepted else "rejected"
        names = ", ".join(mix.sections)
        notes.append(f"the new sections of {names} alone {outcome}, {show(mix.agreement)}")
    elif decided is not None and decided.sections:
        notes.append(f"only the sections of {', '.join(decided.sections)} were accepted")
    if decided is not None and decided.beaten_by is not None:
        notes.append(f"step {decided.beaten_by} is better")
    if decided is not None and decided.reason:
        notes.append(decided.reason)
    return "; ".join(notes)


def _cases(run: RunData, step: Step, limits: Limits) -> list[Case]:
    texts, all_inputs = ((), ()) if step.batch is None else (step.batch.texts, step.batch.inputs)
    judged = {text.example_id: text for text in texts}
    inputs = dict(zip(judged, all_inputs, strict=False))
    critiques, gradients = step.all(CritiqueWritten), step.all(GradientWritten)
    named = [critique.example_id for critique in critiques]
    named += [gradient.example_id for gradient in gradients]
    return [
        Case(
            name=run.document_name(judged[name].group) if name in judged else name,
            inputs=tuple(
                (key, cut(value, limits))
                for key, value in run.in_order(inputs.get(name, {})).items()
            ),
            scores=_scores(run, judged[name]) if name in judged else (),
            critiques=_remarks(critiques, name, limits),
            gradients=_remarks(gradients, name, limits),
        )
        for name in dict.fromkeys([*judged, *named])
    ]


def _remarks(
    written: Iterable[CritiqueWritten | GradientWritten], example_id: str, limits: Limits
) -> tuple[Remark, ...]:
    return tuple(
        Remark(remark.criteria, cut(remark.text, limits))
        for remark in written
        if remark.example_id == example_id
    )


def _scores(run: RunData, text: JudgedText) -> tuple[Score, ...]:
    return tuple(_score(text, name, of_judge=run.rubric is not None) for name in run.criteria)


def _score(text: JudgedText, name: str, *, of_judge: bool) -> Score:
    human, judge = text.expected.get(name), text.produced.get(name)
    gap = ""
    if name in text.disputed:
        gap = text.disputed[name]
    elif name in text.unscored:
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
    run: RunData,
    before: Mapping[_Place, str],
    after: Mapping[_Place, str],
    places: Iterable[_Place],
    limits: Limits,
) -> tuple[SectionEdit, ...]:
    several = len({predictor for predictor, _ in {**before, **after}}) > 1
    edits = []
    for predictor, criterion in dict.fromkeys(places):
        place = predictor, criterion
        title = "preamble" if criterion is None else criterion
        title = f"{title} of {predictor}" if several else title
        criteria = run.criteria if criterion is None else (criterion,)
        texts = before.get(place, ""), after.get(place, "")
        edits.append(compared(title, criteria, *texts, limits))
    return tuple(edits)


def compared(title: str, criteria: Group, before: str, after: str, limits: Limits) -> SectionEdit:
    """Compare a text with the one before it, as far as there is room."""
    return SectionEdit(title, criteria, *_within(diff(before, after), limits))


def _within(pieces: Sequence[Piece], limits: Limits) -> tuple[tuple[Piece, ...], int]:
    """Cut an edit at twice the limit of a text, because it contains two texts."""
    room, shown = 2 * limits.characters, []
    for piece in pieces:
        text = _head(piece.text, room)
        shown += [Piece(piece.kind, text)] if text else []
        room = room - len(text) if text == piece.text else 0
    sizes = (sum(len(piece.text) for piece in some) for some in (pieces, shown))
    return tuple(shown), next(sizes) - next(sizes)


def cut(value: object, limits: Limits) -> Shown:
    """Cut a text, or another value written as text, to the limit."""
    text = value if isinstance(value, str) else str(value)
    shown = _head(text, limits.characters)
    return Shown(shown, len(text) - len(shown))


def _head(text: str, room: int) -> str:
    """Return what there is room for, up to the end of a word if one is near."""
    if len(text) <= room:
        return text
    blanks = [match.start() for match in re.finditer(r"\s", text[: room + 1])]
    return text[: blanks[-1] if blanks and 2 * blanks[-1] > room else room]


def _place(section: SectionRewritten) -> _Place:
    return section.predictor, section.criterion


def _seed(run: RunData) -> dict[_Place, str]:
    return _slots(None if run.state is None else run.state.measured[0].candidate)


def _final(run: RunData) -> dict[_Place, str]:
    return _slots(None if run.state is None else run.state.best.candidate)


def _slots(candidate: Candidate | None) -> dict[_Place, str]:
    """Return the text of each section and each preamble."""
    if candidate is None:
        return {}
    texts: dict[_Place, str] = {}
    for predictor, instructions in candidate.instructions.items():
        texts[predictor, None] = instructions.preamble
        texts |= {(predictor, name): text for name, text in instructions.sections}
    return texts
