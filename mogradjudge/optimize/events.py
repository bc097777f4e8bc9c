"""What happens in a run: a class for each kind of event; an observer is a function.

A kind of event is a subclass of `Event`. Its class holds all that there is to know of it: the
sentence that tells it, the figures that a tracker logs, and by its fields what `events.jsonl`
holds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from inspect import isabstract
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias

from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError
from mogradjudge.files import DELETE_LINE, LineLog, decoded
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.media import name_of_media, plain
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
            objective.name: labels
            for objective in objectives
            if not isinstance(judgement.prediction, Unscored)
            and (labels := objective.compared(judgement.example, judgement.read_by(objective.name)))
            is not None
        }
        scores = judgement.scores.items()
        return cls(
            example_id=judgement.example_id,
            group=judgement.group,
            scores={name: None if isinstance(it, Unscored) else it for name, it in scores},
            unscored={name: it.reason for name, it in scores if isinstance(it, Unscored)},
            expected={
                name: plain(expected, in_log=True) for name, (expected, _) in compared.items()
            },
            produced={
                name: plain(produced, in_log=True) for name, (_, produced) in compared.items()
            },
            lengths={
                name: len(str(plain(value, in_log=True)))
                for name, value in judgement.example.inputs().items()
                if name_of_media(value) is None
            },
        )


@dataclass(frozen=True)
class Event(ABC):
    """Something that happened in a run, of the kind that its class names.

    Subclasses are frozen dataclasses whose fields JSON can hold.

    Args:
        headline: Whether a reader of a log wants a line for it.
        quotes: Whether its sentence ends in a text of a model, which a log cuts to a line.
    """

    kinds: ClassVar[dict[str, type[Event]]] = {}
    headline: ClassVar[bool] = False
    quotes: ClassVar[bool] = False

    def __init_subclass__(cls, *, headline: bool = False, quotes: bool = False) -> None:
        super().__init_subclass__()
        cls.headline, cls.quotes = headline, quotes
        Event.kinds[cls.__name__] = cls

    @abstractmethod
    def describe(self) -> str:
        """Say in a sentence what happened."""

    def figures(self) -> Mapping[str, float]:
        """Give what a tracker logs of it with its step, by name; nothing if it has no figures."""
        return {}


Observer: TypeAlias = Callable[[Event], None]


@dataclass(frozen=True)
class StepEvent(Event):
    """An event within a step."""

    step: int


@dataclass(frozen=True)
class RunStarted(Event):
    """The run begins; ``train`` and ``validation`` count examples."""

    mode: str
    steps: int
    criteria: Group
    train: int
    validation: int

    def describe(self) -> str:
        return (
            f"Optimizing {', '.join(self.criteria)} in mode {self.mode}: {self.steps} steps, "
            f"{self.train} training and {self.validation} validation texts."
        )


@dataclass(frozen=True)
class RunResumed(Event, headline=True):
    """The run goes on after ``steps`` whole steps; what followed them is told once more."""

    steps: int
    calls: int

    def describe(self) -> str:
        return f"Going on after step {self.steps}; {self.calls} calls were sent before."


@dataclass(frozen=True)
class CandidateScored(Event):
    """Instructions were scored: step 0's are the seed, others those that the step proposed.

    ``split`` is ``"validation"`` or ``"test"``. Both ends of a run on the same test texts are told
    with the steps that they are from.
    """

    step: int
    split: str
    texts: tuple[JudgedText, ...]

    def describe(self) -> str:
        whose = f"step {self.step}" if self.step else "the seed"
        return f"Instructions of {whose} scored on {len(self.texts)} {self.split} texts."


@dataclass(frozen=True)
class SeedScored(Event, headline=True):
    """The seed instructions were scored on the validation set."""

    agreement: Values
    undefined: Mapping[str, str]
    unscored: Mapping[str, int]
    missing: Mapping[str, int]
    fallbacks: Mapping[str, int]
    calls: int

    def describe(self) -> str:
        return f"Seed agreement {show(self.agreement)}."

    def figures(self) -> Mapping[str, float]:
        return {"calls": self.calls, **named("unscored", self.unscored)}


@dataclass(frozen=True)
class StepStarted(StepEvent):
    """A step has drawn its batch."""

    example_ids: tuple[str, ...]

    def describe(self) -> str:
        return f"Step {self.step} reads {len(self.example_ids)} texts."


@dataclass(frozen=True)
class BatchJudged(StepEvent):
    """The current instructions were tried on the batch; ``inputs`` are what the program read."""

    texts: tuple[JudgedText, ...]
    inputs: tuple[Mapping[str, Any], ...]

    def describe(self) -> str:
        unscored = sum(bool(text.unscored) for text in self.texts)
        return f"Step {self.step} judged {len(self.texts)} texts, {unscored} not whole."


@dataclass(frozen=True)
class CritiqueWritten(StepEvent, quotes=True):
    """The critic wrote about one example."""

    example_id: str
    criteria: Group
    text: str

    def describe(self) -> str:
        return f"Critique on {', '.join(self.criteria)} for {self.example_id}: {self.text}"


@dataclass(frozen=True)
class GradientWritten(StepEvent, quotes=True):
    """The coach gave advice drawn from one example."""

    example_id: str
    criteria: Group
    text: str

    def describe(self) -> str:
        return f"Gradient on {', '.join(self.criteria)} for {self.example_id}: {self.text}"


@dataclass(frozen=True)
class SectionRewritten(StepEvent, quotes=True):
    """The editor wrote a new text; a criterion of None is the preamble."""

    predictor: str
    criterion: str | None
    text: str

    def describe(self) -> str:
        return f"{self.predictor}, {self.criterion or 'preamble'}: {self.text}"


@dataclass(frozen=True)
class QuestionSkipped(StepEvent, headline=True):
    """A question brought no usable reply, after its retries; ``reply`` is the last one in full."""

    role: str
    criteria: Group
    label: str
    reason: str
    reply: str = ""

    def describe(self) -> str:
        criteria = ", ".join(self.criteria)
        return f"Step {self.step}: no usable reply of the {self.role} on {criteria}: {self.reason}"


@dataclass(frozen=True)
class GateDecided(StepEvent, headline=True):
    """``unchanged`` proposals equal the current instructions, so nothing was scored."""

    accepted: bool
    unchanged: bool
    current: Values
    proposed: Values
    unscored: Mapping[str, int]

    def describe(self) -> str:
        if self.unchanged:
            return f"Step {self.step} proposed no change."
        verdict = "accepted" if self.accepted else "rejected"
        return f"Step {self.step} {verdict}: {show(self.current)} -> {show(self.proposed)}."

    def figures(self) -> Mapping[str, float]:
        accepted = {"accepted": float(self.accepted)}
        if self.unchanged:
            return accepted
        return {
            **accepted,
            **named("proposed", self.proposed),
            **named("unscored", self.unscored),
        }


@dataclass(frozen=True)
class StepEnded(StepEvent):
    """A step is over; ``agreement`` is that of the instructions it left.

    Calls, tokens and cost (US dollars, None where a price is unknown) are the whole run's so far.
    """

    agreement: Values
    calls: int
    tokens: int
    cost: float | None

    def describe(self) -> str:
        return f"Step {self.step} ended at {show(self.agreement)} after {self.calls} calls."

    def figures(self) -> Mapping[str, float]:
        cost = {} if self.cost is None else {"cost": self.cost}
        return {"calls": self.calls, "tokens": self.tokens, **cost}


@dataclass(frozen=True)
class RunEnded(Event, headline=True):
    """The run is over; ``agreement`` is that of the result."""

    stop_reason: str
    seed_kept: bool
    agreement: Values
    calls: int

    def describe(self) -> str:
        kept = " The seed instructions were kept." if self.seed_kept else ""
        return f"Ended ({self.stop_reason}) at {show(self.agreement)}.{kept}"


class Line(NamedTuple):
    """A line of `events.jsonl`: an event, and when it was written; None if the line has no time."""

    event: Event
    time: str | None


def as_json(event: Event) -> dict[str, Any]:
    """Give an event as one line of `events.jsonl` holds it."""
    return {"event": type(event).__name__, **asdict(event)}


def read_events(log: LineLog) -> Iterator[Line]:
    """Read the events of a run's `events.jsonl`, of this version or an earlier one.

    Raises:
        SetupError: If the file cannot be read, or a line holds no event that is known.
    """
    for number, line in enumerate(log.entries(), start=1):
        try:
            yield _from_json(line)
        except ValueError as error:
            raise SetupError(
                f"Line {number} of {log.path} is damaged ({error}). {DELETE_LINE}"
            ) from error


def _from_json(line: Mapping[str, Any]) -> Line:
    name, time = line.get("event"), line.get("time")
    kind = Event.kinds.get(name) if isinstance(name, str) else None
    if kind is None or isabstract(kind):
        raise ValueError(f"event: {name!r} is no event of this version")
    return Line(decoded(kind, line), time if isinstance(time, str) else None)


def named(what: str, values: Mapping[str, float | None]) -> dict[str, float]:
    """Name the values that are defined, as in ``proposed/fluency``."""
    return {f"{what}/{name}": value for name, value in values.items() if value is not None}


def show(values: Values) -> str:
    """Write agreement in short, as in ``mean 0.31 (fluency 0.20, coherence 0.42)``."""
    parts = {name: "undefined" if v is None else f"{v:.3f}" for name, v in values.items()}
    mean = parts.pop("mean")
    return f"mean {mean} ({', '.join(f'{name} {value}' for name, value in parts.items())})"
