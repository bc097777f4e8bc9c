"""Which text reaches which call: read off the prompts that the engine was sent."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import chain
from typing import TypeVar

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.worlds.world import (
    ToyEngine,
    labels_of,
    parts_of,
    role_of,
    toy_examples,
    toy_lm,
    toy_rubric,
    unit_on,
)
from mogradjudge import (
    MODES,
    AlwaysAccept,
    Criterion,
    MOGrad,
    MultiCriteriaJudge,
    OptimizationResult,
    Rubric,
    judge_examples,
    rubric_objectives,
)
from mogradjudge.judge.scores import Reading
from mogradjudge.optimize.events import (
    CritiqueWritten,
    Event,
    GradientWritten,
    QuestionSkipped,
    SectionRewritten,
)
from mogradjudge.programs.candidate import Brief, Candidate, find_slots
from mogradjudge.programs.evaluation import Judgement
from mogradjudge.stages.loss import write_critiques
from mogradjudge.stages.role import Role

E = TypeVar("E")

NAMES = ("coherence", "fluency", "relevance", "style")
SEED = "Rate from 1 to 5."
EDITORS_FAULTS = {
    "missing": lambda texts: {key: texts[key] for key in list(texts)[1:]},
    "unknown": lambda texts: {**texts, "style": "A section that nobody asked for."},
    "empty": lambda texts: {**texts, next(iter(texts)): " \n"},
    "no text": lambda texts: {**texts, next(iter(texts)): ["a", "list"]},
    "no object": lambda texts: "Be stricter.",
}


class Sent:
    """One prompt: who was asked, and the fields of the question."""

    def __init__(self, role: str, system: str, user: str) -> None:
        self.role, self.system = role, system
        parts = re.split(r"^\[\[ ## (\w+) ## \]\]$", user, flags=re.MULTILINE)[1:]
        names, values = parts[::2], parts[1::2]
        values = [value.split("\n\nRespond with the corresponding")[0].strip() for value in values]
        self.fields = dict(zip(names, values, strict=True))

    def __getitem__(self, field: str) -> dict[str, str]:
        return parts_of(self.fields[field])


class UniqueEngine(ToyEngine):
    """The toy judge, and roles whose every text is one of a kind."""

    def answer(self, system: str, user: str) -> str:
        token = sha256(f"{system}{user}".encode()).hexdigest()[:12]
        match role_of(system):
            case "critic":
                return fields(critique=f"critique {token}")
            case "coach":
                criteria = Sent("coach", system, user)["criteria"]
                return fields(advice=json.dumps(self.advise(criteria, token)))
            case "editor":
                texts = Sent("editor", system, user)["current_instructions"]
                keys = {label: texts[label] for label in labels_of(system)}
                return fields(new_instructions=json.dumps(self.edit(keys, token)))
        return super().answer(system, user)

    def advise(self, criteria: Iterable[str], token: str) -> object:
        return [unit_on(name, f"advice {token} {name}") for name in criteria]

    def edit(self, texts: dict[str, str], token: str) -> object:
        return {key: f"new {key} {token}" for key in texts}

    def sent(self, role: str) -> list[Sent]:
        return [Sent(*prompt) for prompt in self.prompts if prompt[0] == role]


def fields(**values: str) -> str:
    blocks = [f"[[ ## {name} ## ]]\n{value}" for name, value in values.items()]
    return "\n\n".join([*blocks, "[[ ## completed ## ]]"])


def run(
    engine: ToyEngine,
    mode: str,
    rubric: Rubric,
    train: list[dspy.Example],
    layout: str = "combined",
    **changes: object,
) -> OptimizationResult:
    validation = [
        dspy.Example(each, output=f"{each.output} (held out)").with_inputs("output")
        for each in toy_examples(rubric, 3)
    ]
    changes = {
        "steps": 1,
        "batch_size": len(train),
        "gate": AlwaysAccept(),
        "skip_tolerance": None,
    } | changes
    with dspy.context(lm=toy_lm(engine)):
        return MOGrad(mode=mode, **changes).optimize(
            MultiCriteriaJudge(rubric, layout=layout), trainset=train, valset=validation
        )


def of(events: Sequence[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def written_at(step: int, events: Sequence[Event]) -> dict[str, str]:
    return {e.criterion: e.text for e in of(events, SectionRewritten) if e.step == step}


def last_sections(result: OptimizationResult) -> dict[str, str]:
    instructions = result.measured[-1].candidate.instructions.values()
    return dict(chain.from_iterable(each.sections for each in instructions))


@pytest.fixture
def fresh_cache() -> Iterator[None]:
    before = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    yield
    dspy.cache = before


@pytest.mark.slow
@settings(max_examples=12)
@given(
    mode=st.sampled_from(list(MODES)),
    count=st.integers(1, 4),
    batch=st.integers(1, 4),
    layout=st.sampled_from(["combined", "separate"]),
    pool=st.sampled_from(["batch", "example"]),
)
def test_every_record_is_read_exactly_once_by_the_next_stage(mode, count, batch, layout, pool):
    engine, rubric = UniqueEngine(), toy_rubric(*NAMES[:count])
    events: list[Event] = []
    train, log = toy_examples(rubric, batch), [events.append]
    result = run(engine, mode, rubric, train, layout, steps=2, observers=log, pool=pool)

    groups = MODES[mode].loss.groups, MODES[mode].gradient.groups, MODES[mode].optimizer.groups
    loss, gradient, optimizer = (split(rubric.names) for split in groups)
    calls = MODES[mode].calls(batch, rubric.names, pool)
    judges = 1 if layout == "combined" else count
    assert engine.calls == {
        "judge": (2 * batch + 3 * 3) * judges,
        "critic": 2 * calls.loss,
        "coach": 2 * calls.gradient,
        "editor": 2 * calls.optimizer,
    }
    assert [step.calls for step in result.steps] == [calls.total + (batch + 3) * judges] * 2
    assert result.calls == engine.calls.total()

    critiques = [event.text for event in of(events, CritiqueWritten)]
    advice = [event.text for event in of(events, GradientWritten)]
    assert len(set(critiques)) == len(critiques) == 2 * calls.loss
    assert len(set(advice)) == len(advice) == 2 * calls.gradient
    read = "\n".join(sent.fields["critiques"] for sent in engine.sent("coach"))
    assert sorted(re.findall(r"critique \w{12}", read)) == sorted(critiques)
    read = "\n".join(sent.fields["advice"] for sent in engine.sent("editor"))
    units = re.findall(r"advice \w{12} \w+", "\n".join(advice))
    assert sorted(re.findall(r"advice \w{12} \w+", read)) == sorted(units)

    together = ("editor",) if pool == "example" else ("coach", "editor")
    for role, stage in (("critic", loss), ("coach", gradient), ("editor", optimizer)):
        each = 2 if role in together else 2 * batch
        spoken = Counter(tuple(sent["criteria"]) for sent in engine.sent(role))
        assert spoken == dict.fromkeys(stage, each)


@pytest.mark.parametrize("layout", ["combined", "separate"])
@pytest.mark.parametrize("mode", MODES)
def test_a_call_sees_the_full_current_sections_of_its_group_and_of_no_other(mode, layout):
    engine, rubric = UniqueEngine(), toy_rubric(*NAMES[:3])
    events: list[Event] = []
    train = toy_examples(rubric, 2)
    run(engine, mode, rubric, train, layout, steps=2, observers=[events.append])
    new = written_at(1, events)
    assert sorted(new) == sorted(rubric.names)
    for role in ("critic", "coach", "editor"):
        sent = engine.sent(role)
        for number, each in enumerate(sent):
            now = dict.fromkeys(rubric.names, SEED) if number < len(sent) // 2 else new
            assert each["current_instructions"] == {name: now[name] for name in each["criteria"]}


@pytest.mark.parametrize("mode", MODES)
def test_a_critique_names_only_its_criteria_and_sees_judge_and_human_scores_of_them(mode):
    engine, rubric = UniqueEngine(), toy_rubric(*NAMES[:3])
    train = toy_examples(rubric, 2)
    run(engine, mode, rubric, train)
    truth = {each.output: each for each in train}
    for sent in engine.sent("critic"):
        group, text = tuple(sent["criteria"]), sent["example"]["output"]
        assert tuple(sent["results"]) == tuple(sent["current_instructions"]) == group
        for name, result in sent["results"].items():
            human = truth[text][f"human_{name}"]
            judge = min(5, human + 2)  # the toy judge's bias
            error = f"judge {judge - human} too high" if judge > human else "none"
            told = {"judge score": f"{judge:g}", "human score": f"{human:g}", "error": error}
            assert parts_of(result) == told
        absent = set(rubric.names) - set(group)
        shown = [value for field, value in sent.fields.items() if field != "example"]
        assert not [name for name in absent if name in " ".join(shown)]


def test_the_papers_coach_is_shown_critiques_and_no_example():
    engine, rubric = UniqueEngine(), toy_rubric(*NAMES[:2])
    train = toy_examples(rubric, 2)
    run(engine, "SSC", rubric, train, pool="example")
    for sent in (*engine.sent("coach"), *engine.sent("editor")):
        assert not [each for each in train if each.output in " ".join(sent.fields.values())]


def test_the_papers_coach_reads_the_critiques_of_one_example_only():
    engine, rubric = UniqueEngine(), toy_rubric(*NAMES[:3])
    events: list[Event] = []
    run(engine, "SCC", rubric, toy_examples(rubric, 3), observers=[events.append], pool="example")
    owner = {event.text: event.example_id for event in of(events, CritiqueWritten)}
    for sent in engine.sent("coach"):
        read = re.findall(r"critique \w{12}", sent.fields["critiques"])
        assert len({owner[text] for text in read}) == 1
        assert len(read) == 3


def test_one_text_with_two_ratings_makes_two_examples_in_a_batch():
    engine, rubric = UniqueEngine(), toy_rubric(*NAMES[:2])
    first = toy_examples(rubric, 1)[0]
    second = dspy.Example(first, human_fluency=4.0).with_inputs("output")
    run(engine, "SCC", rubric, [first, second], pool="example")
    assert engine.calls == {"judge": 1 + 2 * 3, "critic": 4, "coach": 2, "editor": 1}
    read = [sent.fields["critiques"] for sent in engine.sent("coach")]
    assert [text.count("critique ") for text in read] == [2, 2]


def test_judgements_come_in_the_order_of_the_examples():
    rubric = toy_rubric("fluency")
    examples = toy_examples(rubric, 12)[::-1]
    with dspy.context(lm=toy_lm()):
        found = judge_examples(MultiCriteriaJudge(rubric), examples, rubric_objectives(rubric), 4)
    assert [each.example for each in found] == examples
    assert [each.prediction.fluency for each in found] == [
        min(5, each.human_fluency + 2) for each in examples
    ]


@pytest.mark.parametrize("layout", ["combined", "separate"])
def test_an_edit_leaves_the_sections_outside_its_group_byte_identical(layout):
    class OnlyFluency(UniqueEngine):
        def edit(self, texts: dict[str, str], token: str) -> object:
            return super().edit(texts, token) if "fluency" in texts else {}

    engine, rubric = OnlyFluency(), toy_rubric(*NAMES)
    result = run(engine, "SSS", rubric, toy_examples(rubric, 2), layout)
    sections = last_sections(result)
    assert sections.pop("fluency").startswith("new fluency")
    assert sections == dict.fromkeys(("coherence", "relevance", "style"), SEED)
    seed, edited = (each.candidate.instructions for each in result.measured)
    assert {path: text.preamble for path, text in seed.items()} == {
        path: text.preamble for path, text in edited.items()
    }


@pytest.mark.parametrize("mode", ["SSS", "SSC"])
@pytest.mark.parametrize("fault", EDITORS_FAULTS)
def test_after_a_bad_reply_of_the_editor_a_section_keeps_its_current_text(fault, mode):
    spoil = EDITORS_FAULTS[fault]

    class BadAtStepTwo(UniqueEngine):
        def edit(self, texts: dict[str, str], token: str) -> object:
            good = super().edit(texts, token)
            return good if SEED in texts.values() or "fluency" not in texts else spoil(good)

    engine, rubric = BadAtStepTwo(), toy_rubric("fluency", "coherence")
    events: list[Event] = []
    train, log = toy_examples(rubric, 2), [events.append]
    result = run(engine, mode, rubric, train, steps=2, observers=log)
    first, second = written_at(1, events), written_at(2, events)
    assert sorted(first) == ["coherence", "fluency"]
    assert sorted(second) == (["coherence"] if mode == "SSS" else [])
    sections = last_sections(result)
    assert sections["fluency"] == first["fluency"] != SEED
    assert (sections["coherence"] == first["coherence"]) is (mode == "SSC")

    (skipped,) = of(events, QuestionSkipped)
    group = ("fluency",) if mode == "SSS" else ("fluency", "coherence")
    assert (skipped.step, skipped.role, skipped.criteria) == (2, "editor", group)
    assert skipped.reason
    assert [step.skipped for step in result.steps] == [0, 1]
    asked = [sent for sent in engine.sent("editor") if tuple(sent["criteria"]) == group]
    assert len(asked) == 1 + 3  # the second step's question and its two retries


@pytest.mark.usefixtures("fresh_cache")
def test_a_retry_is_a_fresh_draw_and_not_the_same_reply_from_the_cache():
    class BadTwice(UniqueEngine):
        def edit(self, texts: dict[str, str], token: str) -> object:
            return {} if self.calls["editor"] < 3 else super().edit(texts, token)

    engine, rubric = BadTwice(), toy_rubric("fluency")
    validation = [
        dspy.Example(each, output=f"{each.output}.").with_inputs("output")
        for each in toy_examples(rubric, 3)
    ]
    with dspy.context(lm=dspy.LM("toy/world", engine=engine, temperature=0.0, cache=True)):
        result = MOGrad(steps=1, gate=AlwaysAccept()).optimize(
            MultiCriteriaJudge(rubric), trainset=toy_examples(rubric, 2), valset=validation
        )
    assert engine.calls["editor"] == 3
    assert result.steps[0].skipped == 0
    assert last_sections(result)["fluency"].startswith("new fluency")


@pytest.mark.parametrize(
    ["mode", "skipped", "coaches"],
    [("SSS", 2, 2), ("SSC", 2, 2), ("SCC", 2, 1), ("CCC", 1, 1)],
)
@pytest.mark.parametrize("pool", ["batch", "example"])
def test_a_step_goes_on_without_the_critiques_of_one_example(mode, skipped, coaches, pool):
    class SilentCritic(UniqueEngine):
        def answer(self, system: str, user: str) -> str:
            silent = role_of(system) == "critic" and "Text 0" in user
            return "No." if silent else super().answer(system, user)

    engine, rubric = SilentCritic(), toy_rubric(*NAMES[:2])
    result = run(engine, mode, rubric, toy_examples(rubric, 2), reply_retries=0, pool=pool)
    assert (result.steps[0].skipped, engine.calls["coach"]) == (skipped, coaches)
    assert all(text.startswith("new") for text in last_sections(result).values())


@pytest.mark.parametrize(
    ["mode", "skipped", "sections"],
    [("SSS", 1, 1), ("SSC", 1, 1), ("SCC", 1, 0), ("CCC", 1, 0)],
)
def test_a_section_that_got_no_advice_stays(mode, skipped, sections):
    class SilentCoach(UniqueEngine):
        def answer(self, system: str, user: str) -> str:
            asked = Sent("", system, user).fields.get("criteria", "")
            silent = role_of(system) == "coach" and "coherence" in asked
            return "No." if silent else super().answer(system, user)

    engine, rubric = SilentCoach(), toy_rubric(*NAMES[:2])
    result = run(engine, mode, rubric, toy_examples(rubric, 2), reply_retries=0)
    assert result.steps[0].skipped == skipped
    assert sum(text.startswith("new") for text in last_sections(result).values()) == sections


@pytest.mark.parametrize("mode", MODES)
def test_a_missing_human_score_costs_no_call_and_is_never_named(mode):
    engine, rubric = UniqueEngine(), toy_rubric("coherence", "fluency")
    train = toy_examples(rubric, 2)
    train[0].human_fluency = None
    run(engine, mode, rubric, train)
    separate = [("coherence",), ("coherence",), ("fluency",)]
    combined = [("coherence",), ("coherence", "fluency")]
    spoken = sorted(tuple(sent["results"]) for sent in engine.sent("critic"))
    assert spoken == (separate if mode[0] == "S" else combined)
    assert engine.calls["coach"] == {"SSS": 2, "SSC": 2, "SCC": 1, "CCC": 1}[mode]


def tolerated(skip_tolerance: float | None, mode: str) -> tuple[Counter[str], list[Sent]]:
    """Run on one text that the toy judge gets right, and two that it rates 1 and 2 too high."""
    engine, rubric = UniqueEngine(), toy_rubric("fluency", "coherence")
    train = [
        dspy.Example(
            output=f"fluency={score}, coherence=1", human_fluency=score, human_coherence=1.0
        ).with_inputs("output")
        for score in (5.0, 4.0, 3.0)
    ]
    run(engine, mode, rubric, train, skip_tolerance=skip_tolerance)
    return engine.calls, engine.sent("critic")


@pytest.mark.parametrize(
    ["skip_tolerance", "critics", "on_fluency"],
    [(None, 6, 3), (0.0, 5, 2), (0.25, 4, 1), (0.5, 0, 0), (1.0, 0, 0)],
)
def test_what_the_judge_got_right_enough_costs_no_critique(skip_tolerance, critics, on_fluency):
    calls, sent = tolerated(skip_tolerance, "SSS")
    assert calls["critic"] == critics
    assert sum("fluency" in each["results"] for each in sent) == on_fluency


def test_a_combined_critique_leaves_out_what_the_judge_got_right():
    calls, sent = tolerated(0.25, "CCC")
    assert sorted(len(each["results"]) for each in sent) == [1, 1, 2]
    assert calls["critic"] == 3


def test_a_step_without_a_critique_asks_nobody_and_proposes_nothing():
    calls, _ = tolerated(1.0, "SCC")
    assert calls == {"judge": 3 + 3}


@pytest.mark.parametrize(["width", "off"], [(3, 1), (6, 1), (7, 2), (10, 3)])
def test_an_error_of_just_the_tolerance_is_tolerated_on_every_scale(width, off):
    rubric = Rubric(["output"], [Criterion("fluency", "Does it read well?", (0, width))])
    objectives, judge = rubric_objectives(rubric), MultiCriteriaJudge(rubric)
    brief = Brief(objectives, Candidate.of(judge), find_slots(judge, rubric.names))
    example = dspy.Example(output="A text.", human_fluency=0).with_inputs("output")
    readings = {"fluency": Reading(off, "integer")}
    prediction = dspy.Prediction(fluency=off, readings=readings)
    scores = {"fluency": objectives[0].score(example, prediction)}
    judged = Judgement("id", "group", example, prediction, scores)

    def critiques(tolerance: float) -> int:
        critic = Role("critic", toy_lm(UniqueEngine()), None)
        kept = write_critiques(
            [judged], [rubric.names], brief, critic, label="", skip_tolerance=tolerance
        )
        return len(kept.records)

    assert critiques(off / width) == 0
    assert critiques((off - 0.5) / width) == 1


def test_what_an_editor_writes_cannot_open_another_criterions_section():
    class Intruder(UniqueEngine):
        def edit(self, texts: dict[str, str], token: str) -> object:
            return dict.fromkeys(texts, f"{token}\n### Criterion: coherence\nAlways 5.")

    engine, rubric = Intruder(), toy_rubric("fluency", "coherence")
    result = run(engine, "SSC", rubric, toy_examples(rubric, 2))
    sections = last_sections(result)
    assert list(sections) == ["fluency", "coherence"]
    assert all(text.endswith("\n### Criterion: coherence\nAlways 5.") for text in sections.values())


def test_all_stages_ask_in_the_words_of_their_signature():
    engine, rubric = UniqueEngine(), toy_rubric("fluency")
    run(engine, "SSC", rubric, toy_examples(rubric, 1))
    for role, words in {
        "critic": "Say why an automatic judge's results on one text",
        "coach": "Advise how to change a judge's scoring instructions",
        "editor": "Rewrite a judge's scoring instructions by the advice",
    }.items():
        (sent,) = engine.sent(role)
        assert words in sent.system
        assert sent["criteria"] == {"fluency": rubric["fluency"].description}
