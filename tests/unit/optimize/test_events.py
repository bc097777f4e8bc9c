"""Events hold what JSON can, and come back from `events.jsonl` as they were."""

import json
from dataclasses import dataclass

import dspy
import pytest

from mogradjudge.files import LineLog
from mogradjudge.lm.media import plain
from mogradjudge.optimize.event_log import as_json, read_events
from mogradjudge.optimize.events import (
    BatchJudged,
    CandidateScored,
    ConflictsFound,
    CritiqueWritten,
    Event,
    QuestionSkipped,
    RunResumed,
    RunStarted,
    StepEvent,
    UnitsRouted,
)
from mogradjudge.stages.conflicts import Conflict, Side
from report_runs import told
from tests.loud import LOUD, TRAIN, VALIDATION, LoudEngine, optimize

BYTES = "A" * 4000
IMAGE = dspy.Image("data:image/png;base64," + BYTES)


@pytest.mark.parametrize(
    ["value", "told"],
    [
        (IMAGE, "(Image)"),
        (dspy.Audio(data=BYTES, audio_format="wav"), "(Audio)"),
        (dspy.File(file_data="data:text/plain;base64," + BYTES, filename="a.txt"), "(File)"),
        ([IMAGE, {"seen": IMAGE}], ["(Image)", {"seen": "(Image)"}]),
    ],
)
def test_what_is_no_text_is_told_by_its_name(value, told):
    assert plain(value, in_log=True) == told


def test_a_runs_events_hold_no_bytes_of_an_image():
    class Look(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.see = dspy.Predict("images: list[dspy.Image], image: dspy.Image, question->answer")

        def forward(self, question, image, images):
            return self.see(question=question, image=image, images=images)

    def with_images(example):
        more = dspy.Example(example, image=IMAGE, images=[IMAGE])
        return more.with_inputs("question", "image", "images")

    events = []
    sets = {"trainset": [*map(with_images, TRAIN)], "valset": [*map(with_images, VALIDATION)]}
    optimize(Look(), LoudEngine(), objectives=[LOUD], observers=[events.append], **sets)
    assert "AAAA" not in json.dumps([as_json(event) for event in events])
    batch = next(event for event in events if isinstance(event, BatchJudged))
    assert batch.inputs[0]["image"] == "(Image)"
    scored = next(event for event in events if isinstance(event, CandidateScored))
    lengths = scored.texts[0].lengths
    assert lengths == {"question": len(VALIDATION[0].question), "images": len("['(Image)']")}


def read_back(path, *events):
    log = LineLog(path)
    for event in events:
        log.add({"time": "now", **as_json(event)})
    log.close()
    return [line.event for line in read_events(LineLog(path))]


def test_events_come_back_as_they_were(tmp_path):
    events = [*told(2, ("fluency", "coherence"), "A text."), RunResumed(1, 9)]
    conflict = Conflict(Side("tone", "Be brief.", None), Side("style", "Be full.", "Be."), "No.")
    events.append(ConflictsFound(1, "project", (conflict,)))
    events.append(UnitsRouted(1, {"tone": 2}, {"style": 1}))
    events.append(QuestionSkipped(1, "critic", ("fluency",), "0/1", "no JSON", "{"))
    assert read_back(tmp_path / "events.jsonl", *events) == events


def test_a_new_kind_of_event_needs_its_class_alone(tmp_path):
    @dataclass(frozen=True)
    class Paused(StepEvent, headline=True):
        seconds: float

        def describe(self) -> str:
            return f"Step {self.step} paused for {self.seconds} s."

    try:
        assert read_back(tmp_path / "events.jsonl", Paused(3, 0.5)) == [Paused(3, 0.5)]
        assert Paused(3, 0.5).headline
        assert Paused(3, 0.5).figures() == {}
    finally:
        del Event.kinds["Paused"]


def test_half_of_a_surrogate_pair_and_an_older_line_come_back(tmp_path):
    event = CritiqueWritten(1, "a", ("fluency",), "\ud83d half")
    assert read_back(tmp_path / "events.jsonl", event) == [event]
    line = {"event": "RunStarted", "mode": "SSS", "steps": 1, "criteria": ["a"], "train": 1}
    (tmp_path / "older").write_text(json.dumps({**line, "validation": 2, "other": [1]}) + "\n")
    (only,) = read_events(LineLog(tmp_path / "older"))
    assert only == (RunStarted("SSS", 1, ("a",), 1, 2), None)
