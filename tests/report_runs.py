"""Runs to report on: real ones of the toy world, and folders whose events are written by hand."""

import json
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path

import dspy

from benchmarks.worlds.world import ToyEngine, fields, role_of, toy_examples, toy_rubric
from mogradjudge import MOGrad, MultiCriteriaJudge
from mogradjudge.optimize.directory import EVENTS
from mogradjudge.optimize.event_log import as_json
from mogradjudge.optimize.events import (
    BatchJudged,
    CandidateScored,
    CritiqueWritten,
    Event,
    GateDecided,
    GradientWritten,
    RunEnded,
    RunStarted,
    SectionRewritten,
    SeedScored,
    StepEnded,
    StepStarted,
)
from mogradjudge.programs.judged_text import JudgedText

RUBRIC = toy_rubric("fluency", "coherence")

HOSTILE = (
    "<script>window.hit = 1</script></script><!-- ]]> --><style>body{display:none}</style>"
    "\"'><img src=x onerror='window.hit = 2'><svg onload=alert(3)><a href=javascript:alert(4)>"
    "{{7919*6007}}{% raw %}&lt;\u202e</textarea></details></template>"
)


class Hostile(ToyEngine):
    """Critic and coach write what would be markup; editor and judge do their work."""

    def answer(self, system: str, user: str) -> str:
        role = role_of(system)
        said = super().answer(system, user)
        if role in ("critic", "coach"):
            text = said.split("## ]]\n", 1)[1].split("\n\n[[ ## completed")[0]
            if role == "critic":
                return fields({"critique": f"{text} {HOSTILE}"})
            units = [{**unit, "rule": f"{unit['rule']} {HOSTILE}"} for unit in json.loads(text)]
            return fields({"advice": json.dumps(units)})
        if role == "editor":
            return said.replace("Rate from 1 to 5.", "Rate from 1 to 5. <script>hit = 5</script>")
        return said


def toy_run(folder: Path, engine: ToyEngine | None = None, **changes: object) -> Path:
    """Optimize in the toy world, with hostile texts if the engine is so."""
    hostile = isinstance(engine, Hostile)
    examples = toy_examples(RUBRIC, 40)
    if hostile:
        examples = [
            dspy.Example(**{**each, "output": f"{each.output} {HOSTILE}"}).with_inputs("output")
            for each in examples
        ]
    settings = {"steps": 3, "mode": "SSC", "run_dir": folder} | changes
    test = settings.pop("test", True)
    if settings.pop("raters", False):
        examples = rated_twice(examples)
    with dspy.context(lm=dspy.LM("toy/world", engine=engine or ToyEngine(), temperature=0.0)):
        MOGrad(**settings).optimize(
            MultiCriteriaJudge(RUBRIC),
            trainset=examples[:8],
            valset=examples[8:22],
            testset=examples[22:] if test else [],
        )
    return folder


def rated_twice(examples: Iterable[dspy.Example]) -> list[dspy.Example]:
    """Add two raters, of whom one errs by a point on two thirds of the texts."""
    return [
        text.copy(
            single_ratings=tuple(
                (rater, name, text[f"human_{name}"] + error * (place % 3 - 1))
                for name in RUBRIC.names
                for rater, error in (("ann", 0), ("bob", 1))
            )
        )
        for place, text in enumerate(examples)
    ]


def written(folder: Path, events: Iterable[Event]) -> Path:
    """Write events as a run does."""
    folder.mkdir(exist_ok=True)
    lines = (json.dumps(as_json(event)) for event in events)
    (folder / EVENTS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def judged(number: int, criteria: Iterable[str], shift: int = 0, reason: str = "") -> JudgedText:
    human = {name: 1 + (number + place) % 5 for place, name in enumerate(criteria)}
    unscored = dict.fromkeys(human, reason) if reason else {}
    return JudgedText(
        example_id=f"id-{number}",
        group=f"g{number // 2}",
        scores=dict.fromkeys(human, None if reason else 0.5),
        unscored=unscored,
        expected={name: float(score) for name, score in human.items()},
        produced={}
        if reason
        else {name: float(1 + (score + shift + number % 2) % 5) for name, score in human.items()},
        lengths={"output": 10 + number},
    )


def told(
    steps: int, criteria: tuple[str, ...], text: str, batch: int = 3, texts: int = 20
) -> Iterable[Event]:
    """Tell a run of mode SSS whose every text is ``text``."""
    values = {**dict.fromkeys(criteria, 0.1), "mean": 0.1}
    none = dict.fromkeys(criteria, 0)
    yield RunStarted("SSS", steps, criteria, 30, texts)
    scored = tuple(judged(number, criteria) for number in range(texts))
    yield CandidateScored(0, "validation", (*scored[1:], judged(0, criteria, reason=text[:900])))
    yield SeedScored(values, {}, none, none, none, 20)
    for step in range(1, steps + 1):
        ids = tuple(f"id-{number}" for number in range(batch))
        yield StepStarted(step, ids)
        inputs = tuple({"output": text, "source": text} for _ in ids)
        yield BatchJudged(step, tuple(judged(n, criteria) for n in range(batch)), inputs)
        for kind in (CritiqueWritten, GradientWritten):
            for name in ids:
                for criterion in criteria:
                    yield kind(step, name, (criterion,), text)
        for criterion in criteria:
            yield SectionRewritten(step, "judge", criterion, f"{text} {step}")
        yield CandidateScored(step, "validation", scored)
        yield GateDecided(step, step % 2 == 1, False, values, values, none)
        yield StepEnded(step, values, 20 * step, 1000 * step, None)
    yield RunEnded("steps", True, values, 20 * steps)


class Parsed(HTMLParser):
    """What a page is made of: tags with attributes, and the text outside of style and script."""

    VOID = ("meta", "br", "link", "img", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"closed but never opened: {tag}"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.text += data
