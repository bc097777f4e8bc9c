"""Events hold what JSON can: an image, audio or a file by its name and not by its bytes."""

import json

import dspy
import pytest

from mogradjudge.lm.media import plain
from mogradjudge.optimize.events import BatchJudged, CandidateScored, as_json
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
