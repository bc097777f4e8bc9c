"""Programs of several predictors: whose sections a step edits."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import datasets
import dspy
import numpy as np
import pandas as pd
import pytest
from dspy.datasets.dataset import Dataset

from benchmarks.worlds.world import ToyEngine, toy_examples, toy_lm, toy_rubric
from mogradjudge import (
    AlwaysAccept,
    MOGrad,
    MultiCriteriaJudge,
    Objective,
    ReplyError,
    Scored,
    SetupError,
    rubric_objectives,
)
from mogradjudge.hashing import digest
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.estimate import estimate
from mogradjudge.optimize.events import CandidateScored, SectionRewritten
from mogradjudge.programs.identity import digest_of, digest_of_program
from mogradjudge.programs.structure import clone, copy_of
from tests.engines import system
from tests.loud import (
    BRIEF,
    LOUD,
    PATHS,
    QUESTIONS,
    TRAIN,
    VALIDATION,
    LoudEngine,
    Steps,
    instructions,
    labels,
    last,
    loud_lm,
    optimize,
    trace_of,
)

SHOUT = "### Criterion: loudness\nShout."
SPEAK = "### Criterion: loudness\nSpeak."


# Whose sections a step edits


def test_all_predictors_of_a_program_get_their_section():
    result = optimize(Steps())
    assert list(instructions(result.program)) == PATHS
    assert all(text.endswith(SHOUT) for text in instructions(result.program).values())
    assert result.final_agreement.mean == 1.0 > result.seed_agreement.mean
    assert result.program.again is result.program.last


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["SSS", "CCC"])
def test_round_robin_edits_one_predictor_a_step_and_shows_no_other(mode):
    engine, events = LoudEngine(), []
    result = optimize(
        Steps(),
        engine,
        predictors="round_robin",
        objectives=[LOUD, BRIEF],
        mode=mode,
        steps=6,
        gate=AlwaysAccept(),
        observers=[events.append],
    )
    edited = {step: set() for step in range(1, 7)}
    for event in events:
        if isinstance(event, SectionRewritten):
            edited[event.step].add(event.predictor)
    assert list(edited.values()) == [{path} for path in [*PATHS, PATHS[0]]]
    per_editor = Counter(len(labels(system(r), last(r))) for r in engine.sent("editor"))
    assert set(per_editor) == {1 if mode == "SSS" else 2}
    assert len(trace_of(engine)) == 1
    spoken = Counter(row.role for row in result.ledger for _ in range(row.calls))
    assert spoken["editor"] == 6 * (2 if mode == "SSS" else 1)


def test_only_the_named_predictors_are_edited():
    seed = instructions(Steps())
    result = optimize(Steps(), predictors=["last", "by_name['a b'].predict"], steps=2)
    changed = {path for path, text in instructions(result.program).items() if text != seed[path]}
    assert changed == {"last", "by_name['a b'].predict"}


def test_a_named_predictor_of_a_judge_leaves_the_other_criteria_alone():
    rubric = toy_rubric("coherence", "fluency")
    texts, engine = toy_examples(rubric, 12), ToyEngine()
    judge = MultiCriteriaJudge(rubric, layout="separate")
    with dspy.context(lm=toy_lm(engine)):
        result = MOGrad(steps=2, predictors=["judges['fluency']"]).optimize(
            judge, trainset=texts[:6], valset=texts[6:]
        )
    assert {row.criteria for row in result.ledger if row.role != "judge"} == {("fluency",)}
    before, after = result.seed_agreement.by_criterion, result.final_agreement.by_criterion
    assert after["fluency"] == 1.0 > before["fluency"]
    assert after["coherence"] == before["coherence"] < 1.0


def test_the_number_of_threads_does_not_change_what_is_found():
    results = [optimize(Steps(), num_threads=number, steps=2) for number in (1, 16)]
    assert results[0].measured == results[1].measured
    first, second = (each.as_dict() | {"config": None} for each in results)
    assert first == second


def test_two_predictors_of_one_name_in_the_prompts_are_refused():
    program, engine = Steps(), LoudEngine()
    program.drafts_1 = dspy.Predict("question -> draft")
    with pytest.raises(SetupError, match=r"'drafts\[1\]' and 'drafts_1' would both be called"):
        optimize(program, engine)
    assert engine.requests == []


def test_an_unknown_predictor_is_refused_with_those_there_are():
    engine = LoudEngine()
    with pytest.raises(SetupError, match=r"of Steps, which has 'drafts\[0\]', .*, got 'first'\.$"):
        optimize(Steps(), engine, predictors=["last", "first"])
    assert engine.requests == []


def test_predictors_without_a_section_for_any_objective_are_refused():
    rubric = replace(toy_rubric("coherence", "loudness"), inputs=("question",))
    judge = MultiCriteriaJudge(rubric, layout="separate")
    with pytest.raises(SetupError, match=r"'coherence'\]\" has a section for the objectives loud"):
        optimize(judge, predictors=["judges['coherence']"])


@pytest.mark.parametrize("predictors", ["last", [], [1], None, 3])
def test_a_choice_of_predictors_that_is_none_is_refused(predictors):
    with pytest.raises(SetupError, match="`predictors` must be 'all', 'round_robin' or a list"):
        MOGrad(predictors=predictors)


@pytest.mark.slow
def test_in_a_separate_layout_a_round_robin_step_asks_about_one_criterion():
    rubric = toy_rubric("coherence", "fluency")
    texts, engine = toy_examples(rubric, 12), ToyEngine()
    config = MOGradConfig(
        steps=2, predictors="round_robin", gate=AlwaysAccept(), skip_tolerance=None
    )
    judge = MultiCriteriaJudge(rubric, layout="separate")
    with dspy.context(lm=toy_lm(engine)):
        result = MOGrad.from_config(config).optimize(judge, trainset=texts[:6], valset=texts[6:])
    sections = [dict(each.candidate.instructions) for each in result.measured]
    changed = [
        [path for path in before if before[path] != after[path]]
        for before, after in pairwise(sections)
    ]
    assert changed == [["judges['coherence']"], ["judges['fluency']"]]
    roles = ("judge", "critic", "coach", "editor")
    models = dict.fromkeys(roles, "openai/gpt-4o-mini")
    expected = estimate(config, judge, texts[:6], texts[6:], models)
    assert {each.role: each.calls for each in expected} == engine.calls


@pytest.mark.slow
def test_a_run_folder_knows_the_choice_of_predictors(tmp_path):
    changes = {"predictors": "round_robin", "run_dir": tmp_path / "run"}

    def start(**others):
        engine = LoudEngine()
        with dspy.context(lm=loud_lm(engine, cache=True)):
            result = MOGrad(objectives=[LOUD], steps=3, **changes | others).optimize(
                Steps(), trainset=TRAIN, valset=VALIDATION
            )
        return engine, result

    first, result = start()
    again, same = start()
    assert (len(again.requests), same.as_dict()) == (0, result.as_dict())
    assert len(first.requests) == result.calls
    with pytest.raises(SetupError, match="predictors was 'round_robin' and is 'all'"):
        start(predictors="all")
    with pytest.raises(SetupError, match=r"predictors was 'round_robin' and is \['last'\]"):
        start(predictors=("last",))


class Repeating(dspy.Module):
    """A program with an attribute and code of its own."""

    def __init__(self, times: int = 1, own: object = None) -> None:
        super().__init__()
        self.say = dspy.Predict("question -> answer")
        self.times = {"times": [times]}
        self.own = own

    def forward(self, question: str) -> dspy.Prediction:
        return dspy.Prediction(answer=self.made(question) * self.times["times"][0])

    def made(self, question: str) -> str:
        return self.say(question=question).answer


class Whispering(Repeating):
    def made(self, question: str) -> str:
        return super().made(question).lower()


def typed_at_a_prompt(code: str) -> dspy.Module:
    names = {"Repeating": Repeating, "__name__": "__main__"}
    exec(f"class Typed(Repeating):\n    def made(self, question):\n        {code}", names)
    return names["Typed"]()


@pytest.mark.parametrize(
    ["before", "after"],
    [
        (Repeating(1), Repeating(0)),
        (Repeating(1), Whispering(1)),
        (Repeating(own=lambda: 1), Repeating(own=lambda: 2)),
        (typed_at_a_prompt("return 'a'"), typed_at_a_prompt("return 'b'")),
        (
            typed_at_a_prompt("return question.upper()"),
            typed_at_a_prompt("return question.lower()"),
        ),
    ],
)
def test_another_program_is_known_by_its_code_and_its_attributes(before, after):
    assert digest_of_program(before) != digest_of_program(after)
    for program in (before, after):
        assert digest_of_program(clone(program)) == digest_of_program(program)


@pytest.mark.slow
def test_a_program_is_known_in_every_process():
    told = [
        subprocess.run(
            [sys.executable, "-c", KNOWN], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert told[0] == told[1] != ""


KNOWN = """
import dspy
from mogradjudge.programs.identity import digest_of, digest_of_program

class Typed(dspy.Module):
    def __init__(self):
        super().__init__()
        self.say = dspy.ChainOfThought("question -> answer")
    def forward(self, question):
        return self.say(question=question) if question in {"a", "b", "c"} else (lambda: 1)()

print(digest_of_program(Typed()), end="")
"""


def test_a_run_folder_knows_the_program(tmp_path):
    def start(program: dspy.Module) -> None:
        with dspy.context(lm=loud_lm(cache=True)):
            MOGrad(objectives=[LOUD], steps=1, run_dir=tmp_path / "run").optimize(
                program, trainset=TRAIN, valset=VALIDATION
            )

    start(Repeating(1))
    start(Repeating(1))
    with pytest.raises(SetupError, match="the program differs"):
        start(Repeating(0))


class House(dspy.ChatAdapter):
    def __init__(self, word: str = "") -> None:
        super().__init__()
        self.word = word

    def format_task_description(self, signature: type[dspy.Signature]) -> str:
        return self.word + super().format_task_description(signature)


class Louder(dspy.ChatAdapter):
    def format_task_description(self, signature: type[dspy.Signature]) -> str:
        return super().format_task_description(signature).upper()


Louder.__name__ = House.__name__


class Asking(dspy.ChatAdapter):
    def __init__(self, model: dspy.BaseLM) -> None:
        super().__init__()
        self.model = model


@pytest.mark.parametrize(
    ["before", "after", "named"],
    [
        (House("a"), House("b"), "adapter was"),
        (House(), Louder(), "adapter was"),
        (House(), dspy.ChatAdapter(), "adapter was"),
        (Asking(loud_lm(cache=True)), Asking(loud_lm(cache=True, temperature=1)), "models was"),
    ],
)
def test_a_run_folder_knows_the_users_adapter(before, after, named, tmp_path):
    def start(adapter: dspy.Adapter) -> None:
        with dspy.context(lm=loud_lm(cache=True), adapter=adapter):
            MOGrad(objectives=[LOUD], steps=1, run_dir=tmp_path / "run").optimize(
                dspy.Predict("question -> answer"), trainset=TRAIN, valset=VALIDATION
            )

    start(before)
    start(before)
    with pytest.raises(SetupError, match=named):
        start(after)


def test_an_attribute_of_an_optimizers_name_stays_the_programs_own():
    class Logging(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.say = dspy.Predict("question -> answer")
            self.trial_logs, self.candidate_programs = ["made"], {"few": 1}

        def forward(self, question: str) -> dspy.Prediction:
            self.trial_logs.append(question)
            return self.say(question=question)

    with dspy.context(lm=loud_lm()):
        optimizer = MOGrad(objectives=[LOUD], steps=1)
        best = optimizer.compile(Logging(), trainset=TRAIN, valset=VALIDATION)
        assert (best.trial_logs, best.candidate_programs) == (["made"], {"few": 1})
        assert best.detailed_results.final_agreement.mean == 1.0
        again = optimizer.compile(best, trainset=TRAIN, valset=VALIDATION)
    assert again.detailed_results is not best.detailed_results
    assert again.trial_logs == ["made"]


# What is in a predictor's instructions before


def test_headings_in_the_instructions_are_read_as_sections_and_others_stay():
    text = "Answer.\n\n### Criterion: loudness\nWhisper.\n\n### Criterion: other\nKeep me."
    program = dspy.Predict(dspy.Signature("question -> answer", text))
    (found,) = instructions(optimize(program).program).values()
    assert found == text.replace("Whisper.", "Shout.")


# Prompts of users; some hold what looks like a section of ours.
USERS = {
    "a heading of that rank": "Say.\n\n### Criterion: loudness\nNo prices.\n\n### Notes\nBe kind.",
    "a higher heading": "# Role\nAnswer.\n\n### Criterion: loudness\nLow.\n\n## Safety\nNo names.",
    "the highest": "### Criterion: loudness\nLow.\n\n# Policy\n  - No names.\n\n\n  - Or so.",
    "a rule": "Answer.\n\n### Criterion: loudness\nLow.\n\n---\nSay no names.",
    "two words": "Answer.\n\n### Criterion: loud voice\nSpeak.\n\n### Criterion: Style\n\nShort.",
    "twice": "Answer.\n\n### Criterion: other\nBe right.\n\n### Criterion: other\nAgain.",
    "in code": "Fill in:\n```\n\n### Criterion: loudness\n...\n```\nThen:\n```py\nx = 1\n```",
    "no section": 'Answer {question} as {"a": 1}.\n  - one\n\n   \n## End\u2028of it ',
}


@pytest.mark.parametrize("layout", ["one predictor", "several"])
@pytest.mark.parametrize("text", USERS.values(), ids=USERS)
def test_what_the_user_wrote_stays_to_the_last_byte(text, layout, tmp_path):
    program = dspy.Predict("question -> answer") if layout == "one predictor" else Steps()
    for predictor in program.predictors():
        predictor.signature = predictor.signature.with_instructions(text)
    before = instructions(program)
    after = optimize(program).program
    for path, prompt in instructions(after).items():
        assert prompt == f"{before[path]}\n\n{SHOUT}"
    after.save(tmp_path / "program.json")
    program.load(tmp_path / "program.json")
    assert instructions(program) == instructions(after)
    for predictor in program.predictors():
        prompt = predictor.signature.instructions.replace("Shout.", "Speak.")
        predictor.signature = predictor.signature.with_instructions(prompt)
    assert instructions(optimize(program).program) == instructions(after)  # our section is ours


@pytest.mark.parametrize("layout", ["combined", "separate"])
def test_what_the_user_wrote_for_a_judge_stays_in_both_layouts(layout):
    rubric = toy_rubric("coherence", "fluency")
    judge = MultiCriteriaJudge(rubric, layout=layout)
    for predictor in judge.predictors():
        prompt = f"{predictor.signature.instructions}\n\n# Policy\nNo names."
        predictor.signature = predictor.signature.with_instructions(prompt)
    before, texts = instructions(judge), toy_examples(rubric, 12)
    with dspy.context(lm=toy_lm(ToyEngine())):
        result = MOGrad(steps=1, gate=AlwaysAccept()).optimize(
            judge, trainset=texts[:6], valset=texts[6:]
        )
    after = result.measured[-1].candidate
    for path, names in zip(before, (each.criteria for each in judge.predictors()), strict=True):
        assert after.instructions[path].preamble == before[path]
        assert [name for name, _ in after.instructions[path].sections] == list(names)


@pytest.mark.parametrize(
    "change",
    [
        lambda prompt: prompt + "\n\n## Output\nIn one word.",
        lambda prompt: prompt + "\n\n### Criterion: brevity\nBe brief.",
        lambda prompt: f"### Criterion: brevity\nBrief.\n\n{SPEAK}\n\n# Task\nAnswer.",
        lambda prompt: prompt.replace("### Criterion: loudness", "**Loudness**"),
        lambda prompt: prompt.replace("\n\n###", "\n###").replace("loudness\n", "loudness\n\n"),
    ],
    ids=["a tail", "a section more", "reordered", "renamed", "other blank lines"],
)
def test_what_another_optimizer_makes_of_our_headings_is_kept(change):
    program = optimize(dspy.Predict(dspy.Signature("question -> answer", "Answer."))).program
    (prompt,) = instructions(program).values()
    changed = change(prompt.replace("Shout.", "Speak."))
    program.signature = program.signature.with_instructions(changed)
    (after,) = instructions(optimize(program).program).values()
    assert "Shout." in after
    assert not {line for line in changed.splitlines() if line not in after} - {"Speak."}


@pytest.mark.parametrize("student", [None, "program", dspy.Predict, lambda question: question])
def test_what_is_no_module_is_refused(student):
    with pytest.raises(SetupError, match=r"`student` must be a dspy\.Module, got"):
        optimize(student)


# What the examples may come as


class Sequence:
    """Has rows by their number, and a length, as a PyTorch data set has."""

    def __init__(self, rows: list[dspy.Example]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dspy.Example:
        return self.rows[place]


def array(rows: list[dspy.Example]) -> np.ndarray:
    held = np.empty(len(rows), dtype=object)
    held[:] = rows
    return held


FORMS = {
    "tuple": tuple,
    "generator": lambda rows: (row for row in rows),
    "filter": lambda rows: filter(None, rows),
    "map": lambda rows: map(dspy.Example.copy, rows),
    "sequence": Sequence,
    "array": array,
    "Series": lambda rows: pd.Series(rows, index=range(7, 7 + len(rows))),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_examples_may_come_in_any_form_that_can_be_read_once(form):
    program = dspy.Predict("question -> answer")
    result = optimize(program, trainset=form(TRAIN), valset=form(VALIDATION), steps=2)
    assert result.measured == optimize(program, steps=2).measured
    assert result.final_agreement.scored == {"loudness": len(VALIDATION)}
    split = optimize(program, trainset=form([*TRAIN, *VALIDATION]), valset=None)
    assert split.final_agreement.scored == {"loudness": 3}


@pytest.mark.parametrize("part", ["trainset", "valset", "testset"])
@pytest.mark.parametrize(
    ["given", "named"],
    [
        ([dict(each) for each in TRAIN], "dict in row 1"),
        (datasets.Dataset.from_list([dict(each) for each in TRAIN]), "dict in row 1"),
        (pd.DataFrame([dict(each) for each in TRAIN]), "str in row 1"),
        ([*QUESTIONS[:2], None], "NoneType in row 3"),
        (7, "got a int"),
    ],
    ids=["dicts", "Dataset", "DataFrame", "None", "int"],
)
def test_what_holds_no_examples_is_refused_in_a_line_that_names_it(given, named, part):
    engine = LoudEngine()
    parts = {"trainset": TRAIN, "valset": VALIDATION, part: given}
    with dspy.context(lm=loud_lm(engine)), pytest.raises(SetupError, match=f"`{part}`.*{named}"):
        MOGrad(objectives=[LOUD]).optimize(dspy.Predict("question -> answer"), **parts)
    assert engine.requests == []


@pytest.mark.parametrize("part", ["trainset", "valset"])
@pytest.mark.parametrize("given", [[], (), iter([]), filter(None, []), np.array([])])
def test_a_part_without_examples_is_refused_by_name(given, part):
    with pytest.raises(SetupError, match=f"`{part}` must have at least one example"):
        optimize(dspy.Predict("question -> answer"), **{part: given})


def test_repeated_rows_are_never_on_both_sides_of_a_split():
    rows = [row.copy(note=f"copy {copy}") for copy in range(3) for row in QUESTIONS]
    result = optimize(dspy.Predict("question -> answer"), trainset=rows, valset=None)
    assert result.final_agreement.scored["loudness"] % 3 == 0


@pytest.mark.parametrize("inputs", [("question",), ("question", "group")])
def test_a_field_named_group_is_the_programs_own(inputs):
    groups = []

    def aggregate(scored: list[Scored]) -> float:
        groups.extend(each.group for each in scored)
        return 1.0

    rows = [row.copy(group="all").with_inputs(*inputs) for row in QUESTIONS]
    program = dspy.Predict(f"{', '.join(inputs)} -> answer")
    goal = Objective("loudness", "Is it in capitals?", LOUD.score, aggregate)
    optimize(program, trainset=rows, valset=None, objectives=[goal])
    assert len(set(groups)) == 3


def test_a_rubrics_objectives_group_the_texts_of_any_program():
    rubric = toy_rubric("fluency")
    texts = [each.copy(group=f"{n % 2}") for n, each in enumerate(toy_examples(rubric, 12))]
    with dspy.context(lm=toy_lm(ToyEngine())):
        result = MOGrad(steps=1, objectives=rubric_objectives(rubric)).optimize(
            MultiCriteriaJudge(rubric), trainset=texts, valset=None
        )
    assert result.seed_agreement.scored == {"fluency": 6}


def test_a_rubrics_objectives_sum_up_another_programs_texts_by_their_groups():
    class Wrapped(dspy.Module):
        def __init__(self, judge: MultiCriteriaJudge) -> None:
            super().__init__()
            self.judge = judge

        def forward(self, **inputs: object) -> dspy.Prediction:
            return self.judge(**inputs)

    rubric, events = toy_rubric("fluency"), []
    texts = [each.copy(group=f"{n % 2}") for n, each in enumerate(toy_examples(rubric, 12))]
    with dspy.context(lm=toy_lm(ToyEngine())):
        MOGrad(steps=1, objectives=rubric_objectives(rubric), observers=[events.append]).optimize(
            Wrapped(MultiCriteriaJudge(rubric)), trainset=texts[:6], valset=texts[6:]
        )
    scored = next(each for each in events if isinstance(each, CandidateScored))
    assert {each.group for each in scored.texts} == {"0", "1"}


class Rows(Dataset):
    """A data set of DSPy's own: each load gives each row another ``dspy_uuid``."""

    def __init__(self) -> None:
        super().__init__(train_size=4, dev_size=3, input_keys=["question"])
        self._train, self._dev = map(list, (map(dict, TRAIN), map(dict, VALIDATION)))


def test_rows_of_dspys_own_data_sets_are_known_again(tmp_path):
    engine, sent = LoudEngine(), []
    for _ in range(2):
        rows = Rows()
        with dspy.context(lm=loud_lm(engine, cache=True)):
            MOGrad(objectives=[LOUD], steps=1, run_dir=tmp_path / "run").optimize(
                dspy.Predict("question -> answer"), trainset=rows.train, valset=rows.dev
            )
        sent.append(len(engine.requests))
    assert sent[0] == sent[1] > 0
    assert not any("dspy_" in last(each) for each in engine.requests)
    bare = [dspy.Example(dict(row)).with_inputs("question") for row in rows.train]
    assert digest_of(Rows().train) == digest_of(bare)
    with pytest.raises(SetupError, match="training and validation examples overlap"):
        optimize(dspy.Predict("question -> answer"), trainset=rows.train, valset=Rows().train)


# Values that hold themselves, or are nested deeper than Python's own functions can follow


def deep(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels):
        value = [value]
    return value


def cycle() -> dict[str, object]:
    value: dict[str, object] = {"word": "x"}
    value["all"] = [value, value]
    return value


class Carrying(dspy.Module):
    """Answers in two steps, and gives a value back beside the answer."""

    def __init__(self, make: Callable[[], object]) -> None:
        super().__init__()
        self.write = dspy.Predict("question, more: Any -> draft")
        self.polish = dspy.Predict("draft -> answer")
        self.make = make

    def forward(self, question: str, more: object = None) -> dspy.Prediction:
        draft = self.write(question=question, more=None).draft
        return dspy.Prediction(answer=self.polish(draft=draft).answer, more=self.make())


@pytest.mark.parametrize("make", [lambda: deep(5_000), cycle], ids=["deep", "cycle"])
@pytest.mark.parametrize("place", ["label", "input", "prediction"])
def test_a_value_without_an_end_is_cut_and_costs_no_run(make, place, tmp_path):
    engine, inputs = LoudEngine(), ("question", "more") if place == "input" else ("question",)
    rows = [row.copy(more=make() if place != "prediction" else None) for row in QUESTIONS]
    rows = [row.with_inputs(*inputs) for row in rows]
    for _ in range(2):  # the second one finds it all
        program = Carrying(make if place == "prediction" else str)
        with dspy.context(lm=loud_lm(engine, cache=True)):
            result = MOGrad(objectives=[LOUD], steps=1, run_dir=tmp_path / "run").optimize(
                program, trainset=rows[:4], valset=rows[4:]
            )
        assert result.final_agreement.as_dict()["loudness"] == 1.0
    assert any("[...]" in last(each) for each in engine.sent("critic"))
    assert max(len(last(each)) for each in engine.requests) < 20_000


NONE = object()


def test_an_input_is_copied_as_far_as_it_can_be():
    lock = threading.Lock()
    nested, turning = {"lock": lock, "words": ["x"]}, {"lock": lock, "words": ["x"]}
    turning["self"] = turning
    deepest = {"lock": lock}
    for _ in range(900):
        deepest = {"in": deepest}
    plain = copy_of({"words": nested["words"], "none": [NONE, (NONE,)]})
    assert plain["none"] == [NONE, (NONE,)]
    assert plain["words"] == ["x"]
    assert plain["words"] is not nested["words"]
    for value in (nested, turning):
        twin = copy_of(value)
        assert twin["lock"] is lock
        assert twin["words"] is not value["words"]
    assert copy_of(turning)["self"] is not turning
    assert copy_of({"more": deepest, "none": NONE})["none"] is NONE
    assert copy_of(deepest)["in"].keys() == {"in"}


def test_what_a_program_cannot_read_is_unscored_in_one_line():
    rows = [row.copy(more=deep(5_000)).with_inputs("question", "more") for row in QUESTIONS]
    with pytest.raises(ReplyError, match=r"None of the 3 validation texts.*RecursionError"):
        optimize(dspy.Predict("question, more: Any -> answer"), trainset=rows[:4], valset=rows[4:])


def test_an_objective_that_fails_on_a_deep_value_says_so_in_one_line():
    def fail(example: dspy.Example, made: dspy.Prediction) -> float:
        raise KeyError("gold")

    rows = [row.copy(more=deep(5_000)) for row in QUESTIONS]
    goal = Objective("loudness", "Is it in capitals?", fail)
    with pytest.raises(SetupError, match=r"^3 of 3 .*'loudness'.*KeyError[^\n]*$"):
        optimize(
            dspy.Predict("question -> answer"),
            trainset=rows[:4],
            valset=rows[4:],
            objectives=[goal],
        )


def test_values_without_an_end_are_told_apart():
    values = [deep(5_000), deep(5_001), cycle(), {"word": "y", "all": cycle()}, {1: 2, "a": 3}]
    assert len({digest(value) for value in values}) == len(values)
    assert digest(cycle()) == digest(cycle())
    assert digest(deep(5_000)) == digest(deep(5_000))


def test_values_that_cannot_be_written_or_pickled_have_a_digest():
    assert digest({"n": 10**5_000}) == digest({"n": 10**5_000}) != digest({"n": 10**5_000 + 1})
    assert len({digest({"words": (word for word in "ab")}), digest({"words": []})}) == 2


def test_a_program_that_holds_a_value_without_an_end_is_known_again():
    programs = [Carrying(str) for _ in range(3)]
    for program, value in zip(programs, [cycle(), cycle(), {"word": "y"}], strict=True):
        program.value = value
    one, same, other = map(digest_of_program, programs)
    assert one == same != other
