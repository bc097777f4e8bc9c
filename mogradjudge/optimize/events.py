"""What happens in a run: a tagged union of frozen events; an observer is a function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self, TypeAlias, assert_never

import dspy

from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.media import name_of_media
from mogradjudge.lm.quoting import CUT, DEEPEST
from mogradjudge.objectives import Objective
from mogradjudge.programs.evaluation import Judgement

Values: TypeAlias = Mapping[str, float | None]
"""Agreement by criterion, and ``mean``; None where it is undefined."""


@dataclass(frozen=True)
class JudgedText:
    """What became of one text, by criterion.

    ``scores`` are in [0, 1], None where there is no usable score or nothing to score by;
    ``unscored`` gives the reason of the former. ``expected`` and ``produced`` are the two labels,
    human and judge score say, of the objectives that compare labels. ``lengths`` counts the
    characters of each input that the program read, but for images, audio, files and bytes.
    """

    example_id: str
    group: str
    scores: Values
    unscored: Mapping[str, str]
    expected: Mapping[str, Any]
    produced: Mapping[str, Any]
    lengths: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def all_of(
        cls, judgements: Sequence[Judgement], objectives: Sequence[Objective]
    ) -> tuple[Self, ...]:
        """Tell judgements, in their order."""
        return tuple(cls.of(judgement, objectives) for judgement in judgements)

    @classmethod
    def of(cls, judgement: Judgement, objectives: Sequence[Objective]) -> Self:
        """Tell one judgement."""
        compared = {
            each.name: labels
            for each in objectives
            if not isinstance(judgement.prediction, Unscored)
            and (labels := each.compared(judgement.example, judgement.read_by(each.name)))
            is not None
        }
        scores = judgement.scores.items()
        return cls(
            example_id=judgement.example_id,
            group=judgement.group,
            scores={name: None if isinstance(it, Unscored) else it for name, it in scores},
            unscored={name: it.reason for name, it in scores if isinstance(it, Unscored)},
            expected={name: as_plain(expected) for name, (expected, _) in compared.items()},
            produced={name: as_plain(produced) for name, (_, produced) in compared.items()},
            lengths={
                name: len(str(as_plain(value)))
                for name, value in judgement.example.inputs().items()
                if name_of_media(value) is None
            },
        )


@dataclass(frozen=True)
class RunStarted:
    """The run begins; ``train`` and ``validation`` count examples."""

    mode: str
    steps: int
    criteria: Group
    train: int
    validation: int


@dataclass(frozen=True)
class RunResumed:
    """The run goes on after ``steps`` whole steps; what followed them is told once more."""

    steps: int
    calls: int


@dataclass(frozen=True)
class CandidateScored:
    """Instructions were scored: step 0's are the seed, others those that the step proposed.

    ``split`` is ``"validation"`` or ``"test"``. Both ends of a run on the same test texts are told
    with the steps that they are from.
    """

    step: int
    split: str
    texts: tuple[JudgedText, ...]


@dataclass(frozen=True)
class SeedScored:
    """The seed instructions were scored on the validation set."""

    agreement: Values
    undefined: Mapping[str, str]
    unscored: Mapping[str, int]
    missing: Mapping[str, int]
    fallbacks: Mapping[str, int]
    calls: int


@dataclass(frozen=True)
class StepStarted:
    """A step has drawn its batch."""

    step: int
    example_ids: tuple[str, ...]


@dataclass(frozen=True)
class BatchJudged:
    """The current instructions were tried on the batch; ``inputs`` are what the program read."""

    step: int
    texts: tuple[JudgedText, ...]
    inputs: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class CritiqueWritten:
    """The critic wrote about one example."""

    step: int
    example_id: str
    criteria: Group
    text: str


@dataclass(frozen=True)
class GradientWritten:
    """The coach gave advice drawn from one example."""

    step: int
    example_id: str
    criteria: Group
    text: str


@dataclass(frozen=True)
class SectionRewritten:
    """The editor wrote a new text; a criterion of None is the preamble."""

    step: int
    predictor: str
    criterion: str | None
    text: str


@dataclass(frozen=True)
class QuestionSkipped:
    """A question brought no usable reply, after its retries; ``reply`` is the last one in full."""

    step: int
    role: str
    criteria: Group
    label: str
    reason: str
    reply: str = ""


@dataclass(frozen=True)
class GateDecided:
    """``unchanged`` proposals equal the current instructions, so nothing was scored."""

    step: int
    accepted: bool
    unchanged: bool
    current: Values
    proposed: Values
    unscored: Mapping[str, int]


@dataclass(frozen=True)
class StepEnded:
    """A step is over; ``agreement`` is that of the instructions it left.

    Calls, tokens and cost (US dollars, None where a price is unknown) are the whole run's so far.
    """

    step: int
    agreement: Values
    calls: int
    tokens: int
    cost: float | None


@dataclass(frozen=True)
class RunEnded:
    """The run is over; ``agreement`` is that of the result."""

    stop_reason: str
    seed_kept: bool
    agreement: Values
    calls: int


Event: TypeAlias = (
    RunStarted
    | RunResumed
    | CandidateScored
    | SeedScored
    | StepStarted
    | BatchJudged
    | CritiqueWritten
    | GradientWritten
    | SectionRewritten
    | QuestionSkipped
    | GateDecided
    | StepEnded
    | RunEnded
)
Observer: TypeAlias = Callable[[Event], None]


def as_plain(value: Any, around: tuple[int, ...] = ()) -> Any:
    """Give a value as JSON can hold it; what it has no word for becomes its text.

    An image, audio, a file or bytes become their name (`name_of_media`). ``around`` names the
    values that hold this one, which may be one of them; what lies deeper than `DEEPEST` is cut.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if id(value) in around or len(around) == DEEPEST:
        return CUT
    around = (*around, id(value))
    if isinstance(value, (Mapping, dspy.Example)):
        return {str(key): as_plain(item, around) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_plain(each, around) for each in value]
    return name_of_media(value) or str(value)


def as_json(event: Event) -> dict[str, Any]:
    """Give an event as one line of `events.jsonl` holds it."""
    return {"event": type(event).__name__, **asdict(event)}


def describe(event: Event) -> str:  # noqa: C901 - one case per event
    """Say in a sentence what happened."""
    match event:
        case RunStarted(mode, steps, criteria, train, validation):
            return (
                f"Optimizing {', '.join(criteria)} in mode {mode}: {steps} steps, "
                f"{train} training and {validation} validation texts."
            )
        case RunResumed(steps, calls):
            return f"Going on after step {steps}; {calls} calls were sent before."
        case CandidateScored(step, split, texts):
            whose = f"step {step}" if step else "the seed"
            return f"Instructions of {whose} scored on {len(texts)} {split} texts."
        case SeedScored():
            return f"Seed agreement {show(event.agreement)}."
        case StepStarted(step, example_ids):
            return f"Step {step} reads {len(example_ids)} texts."
        case BatchJudged():
            unscored = sum(bool(text.unscored) for text in event.texts)
            return f"Step {event.step} judged {len(event.texts)} texts, {unscored} not whole."
        case CritiqueWritten() | GradientWritten():
            what = "Critique" if isinstance(event, CritiqueWritten) else "Gradient"
            return f"{what} on {', '.join(event.criteria)} for {event.example_id}: {event.text}"
        case SectionRewritten():
            return f"{event.predictor}, {event.criterion or 'preamble'}: {event.text}"
        case QuestionSkipped(step, role, criteria, _, reason):
            return f"Step {step}: no usable reply of the {role} on {', '.join(criteria)}: {reason}"
        case GateDecided():
            if event.unchanged:
                return f"Step {event.step} proposed no change."
            verdict = "accepted" if event.accepted else "rejected"
            return f"Step {event.step} {verdict}: {show(event.current)} -> {show(event.proposed)}."
        case StepEnded(step, agreement, calls, _, _):
            return f"Step {step} ended at {show(agreement)} after {calls} calls."
        case RunEnded():
            kept = " The seed instructions were kept." if event.seed_kept else ""
            return f"Ended ({event.stop_reason}) at {show(event.agreement)}.{kept}"
    assert_never(event)


def show(values: Values) -> str:
    """Write agreement in short, as in ``mean 0.31 (fluency 0.20, coherence 0.42)``."""
    parts = {name: "undefined" if v is None else f"{v:.3f}" for name, v in values.items()}
    mean = parts.pop("mean")
    return f"mean {mean} ({', '.join(f'{name} {value}' for name, value in parts.items())})"
