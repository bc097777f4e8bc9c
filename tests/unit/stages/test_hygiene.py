"""What a rewritten section may not do: it is asked for once more, and then the old one stays."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.worlds.world import toy_examples, toy_lm, toy_rubric
from mogradjudge import MultiCriteriaJudge
from mogradjudge.objectives import rubric_objectives
from mogradjudge.optimize.events import Event, QuestionSkipped, SectionRewritten
from mogradjudge.programs.candidate import Brief, Candidate, find_slots
from mogradjudge.stages.gradient import Gradient, Unit
from mogradjudge.stages.history import EditRecord
from mogradjudge.stages.hygiene import COPIED_WORDS, Hygiene
from mogradjudge.stages.optimizer import rewrite_sections
from mogradjudge.stages.role import Role
from tests.unit.stages.test_stages import SEED, UniqueEngine, last_sections, of, run

LONG = " ".join(f"word{number}" for number in range(100))


class Writing(UniqueEngine):
    """An editor that writes what ``write`` makes of the current text, the number of its calls."""

    def __init__(self, write: Callable[[str, int], str]) -> None:
        super().__init__()
        self.write = write

    def edit(self, texts: dict[str, str], token: str) -> object:
        return {key: self.write(text, self.calls["editor"]) for key, text in texts.items()}


FAULTS = {
    "too long": lambda text: "x" * 2001,
    "the current text": lambda text: text,
    "the current text in other dress": lambda text: f"*{text.upper()}!*",
    "copied": lambda text: "Fall by 1 for Text 0: coherence=1, fluency=1, relevance=1, style=1.",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("repaired", [True, False])
def test_a_text_that_is_no_use_is_asked_for_once_more_and_then_left_out(fault, repaired):
    def write(text: str, call: int) -> str:
        return "Count the errors." if repaired and call > 1 else FAULTS[fault](text)

    engine, rubric = Writing(write), toy_rubric("coherence", "fluency", "relevance", "style")
    events: list[Event] = []
    result = run(engine, "SSC", rubric, toy_examples(rubric, 2), observers=[events.append])
    assert engine.calls["editor"] == 2
    (_, again) = engine.sent("editor")
    assert set(again["refused"]) == set(rubric.names)
    skipped = of(events, QuestionSkipped)
    rewritten = {event.criterion: event.text for event in of(events, SectionRewritten)}
    if repaired:
        assert (skipped, rewritten) == ([], dict.fromkeys(rubric.names, "Count the errors."))
    else:
        assert ({each.role for each in skipped}, rewritten) == ({"editor"}, {})
        assert len(skipped) == len(rubric.names) == result.steps[0].skipped
        assert set(last_sections(result).values()) == {SEED}


@pytest.mark.parametrize(["effect", "may_return"], [(0.02, True), (-0.02, False), (None, False)])
def test_a_text_that_was_refused_with_others_may_come_back_if_it_has_helped(effect, may_return):
    rubric, program = toy_rubric("fluency"), MultiCriteriaJudge(toy_rubric("fluency"))
    brief = Brief(
        rubric_objectives(rubric), Candidate.of(program), find_slots(program, rubric.names)
    )
    unit = Unit(criterion="fluency", change="add", rule="Count.", support=("1",))
    engine = Writing(lambda text, call: "Count the errors.")
    edits = rewrite_sections(
        [Gradient("", rubric.names, (unit,))],
        [rubric.names],
        brief,
        Role("editor", toy_lm(engine), None),
        label="",
        hygiene=Hygiene(2000),
        history=[
            EditRecord(1, "fluency", SEED, "Count the errors.", {"fluency": effect}, "refused", 20)
        ],
    )
    assert bool(edits.records[0].texts) == may_return


def test_the_papers_editor_may_write_the_same_again():
    engine, rubric = Writing(lambda text, call: text), toy_rubric("fluency")
    result = run(engine, "SSC", rubric, toy_examples(rubric, 2), pool="example")
    assert (engine.calls["editor"], result.steps[0].skipped) == (1, 0)


@given(st.integers(0, 100 - COPIED_WORDS), st.integers(1, 30))
def test_words_in_a_row_are_copied_from_eight_on(start, count):
    copied = " ".join(LONG.split()[start : start + count])
    copied_words = min(count, 100 - start)
    fault = Hygiene(9999, [LONG]).fault(f"Rate low. {copied.title()}, say.", ["Rate."])
    assert bool(fault) == (copied_words >= COPIED_WORDS)
    assert not Hygiene(9999, [LONG]).fault(copied, ["Rate."], known=[LONG])


@given(st.integers(0, 99), st.booleans())
def test_one_word_in_a_hundred_makes_no_new_text(place, is_new):
    words = LONG.split()
    changed = {place, (place + 50) % 100, (place + 70) % 100} if is_new else {place}
    text = " ".join("other" if at in changed else word for at, word in enumerate(words))
    assert bool(Hygiene(9999).fault(text, ["Rate.", LONG])) == (not is_new)
