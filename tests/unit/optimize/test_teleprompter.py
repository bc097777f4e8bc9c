"""The whole loop in the toy world, where the right instructions are known: ``BIAS=0``."""

import inspect
import json
import logging
import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path

import dspy
import pytest
from dspy.clients.base_lm import GLOBAL_HISTORY
from dspy.lm15 import AuthError, Request, Response
from dspy.utils.callback import BaseCallback
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.worlds.world import (
    ToyEngine,
    critique_or_advice,
    inputs_of,
    labels_of,
    parts_of,
    role_of,
    toy_examples,
    toy_lm,
    toy_rubric,
)
from mogradjudge import (
    MODES,
    Agreement,
    AlwaysAccept,
    Budget,
    Instructions,
    MOGrad,
    MultiCriteriaJudge,
    NoCriterionRegression,
    Objective,
    OptimizationResult,
    Scored,
    SetupError,
    Undefined,
    Unscored,
    correlate,
    judge_examples,
    rubric_objectives,
)
from mogradjudge.data import example_key
from mogradjudge.lm.media import plain
from mogradjudge.optimize.config import batches
from mogradjudge.optimize.event_log import as_json
from mogradjudge.optimize.events import (
    BatchJudged,
    CandidateScored,
    Event,
    GateDecided,
    RunEnded,
    StepStarted,
)
from mogradjudge.scoring.evaluate import evaluation_report
from mogradjudge.scoring.options import ScoringOptions
from mogradjudge.scoring.table import score_table

RUBRIC = toy_rubric("coherence", "fluency", "relevance")
EXAMPLES = toy_examples(RUBRIC, 20)
TRAIN, VALIDATION = EXAMPLES[:12], EXAMPLES[12:]
SEED = "Rate from 1 to 5."


class Editor(ToyEngine):
    """The toy world with another editor: ``write`` makes the new text of each section.

    The coach has advice on every criterion, whatever the errors.
    """

    def __init__(self, write: Callable[[str, int], str]) -> None:
        super().__init__()
        self.write = write

    def answer(self, system: str, user: str) -> str:
        if role_of(system) == "coach":
            return answered(**critique_or_advice(user, "", "Write it anew."))
        if role_of(system) != "editor":
            return super().answer(system, user)
        texts = parts_of(inputs_of(user)["current_instructions"])
        new = {key: self.write(texts[key], self.calls["editor"]) for key in labels_of(system)}
        return answered(new_instructions=json.dumps(new))


def answered(**values: str) -> str:
    blocks = [f"[[ ## {name} ## ]]\n{value}" for name, value in values.items()]
    return "\n\n".join([*blocks, "[[ ## completed ## ]]"])


BRIEF_ONE = Objective("brief", "It is brief.", lambda example, prediction: 1.0)


def optimize(
    engine: ToyEngine | None = None, student: dspy.Module | None = None, **changes: object
) -> OptimizationResult:
    sets = {key: changes.pop(key) for key in ("trainset", "valset", "testset") if key in changes}
    with dspy.context(lm=toy_lm(engine)):
        return MOGrad(**{"steps": 3, "protocol": "paper"} | changes).optimize(
            student or MultiCriteriaJudge(RUBRIC),
            **{"trainset": TRAIN, "valset": VALIDATION} | sets,
        )


def sections(program: dspy.Module) -> list[tuple[str, str]]:
    texts = [Instructions.parse(each.signature.instructions) for each in program.predictors()]
    return [section for text in texts for section in text.sections]


def agreements(result: OptimizationResult) -> list[float]:
    return [step.agreement.mean for step in result.steps]


@pytest.fixture
def fresh_cache() -> Iterator[None]:
    before = dspy.cache
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    yield
    dspy.cache = before


class CutOff(ToyEngine):
    """The toy world where the replies of some roles are cut off."""

    def __init__(self, *roles: str) -> None:
        super().__init__()
        self.roles = roles

    def complete(self, request: Request) -> Response:
        cut = role_of(str(request.system)) in self.roles
        response = super().complete(request)
        return replace(response, finish_reason="length") if cut else response


def evaluate(tmp_path: Path) -> None:
    evaluation_report(MultiCriteriaJudge(RUBRIC), VALIDATION, 2)


def score(tmp_path: Path) -> None:
    source = tmp_path / "texts.jsonl"
    rows = [dict(example.inputs()) for example in VALIDATION]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    score_table(MultiCriteriaJudge(RUBRIC), source, tmp_path / "out.jsonl", ScoringOptions(2))


def compile_it(tmp_path: Path) -> None:
    MOGrad(steps=1).compile(MultiCriteriaJudge(RUBRIC), trainset=TRAIN, valset=VALIDATION)


@pytest.mark.parametrize(
    ["door", "role"],
    [(evaluate, "judge"), (score, "judge"), (compile_it, "judge"), (compile_it, "critic")],
)
def test_cut_replies_are_told_in_one_line_at_the_end(door, role, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("dspy"), "propagate", True)
    engine = CutOff(role)
    with dspy.context(lm=toy_lm(engine)):
        door(tmp_path)
    (line,) = [each.getMessage() for each in caplog.records]
    assert f"{engine.calls[role]} replies were" in line
    assert "max_tokens" in line


def test_the_editors_cut_reply_never_becomes_a_section():
    result = optimize(CutOff("editor"), steps=1)
    assert sections(result.program) == [(name, SEED) for name in RUBRIC.names]


# What the loop finds


@pytest.mark.parametrize("layout", ["combined", "separate"])
@pytest.mark.parametrize(["mode", "steps"], [("SSS", 2), ("SSC", 2), ("SCC", 4), ("CCC", 4)])
def test_each_mode_finds_the_known_answer_whatever_the_number_of_threads(mode, steps, layout):
    engine, results = ToyEngine(), []
    for num_threads in (1, 16):
        judge = MultiCriteriaJudge(RUBRIC, layout=layout)
        result = optimize(engine, judge, mode=mode, steps=4, seed=0, num_threads=num_threads)
        results.append(result)
    result = results[0]
    assert agreements(result)[steps - 1 :] == [1.0] * (5 - steps)
    assert all(mean < 1.0 for mean in agreements(result)[: steps - 1])
    assert result.final_agreement.mean == 1.0 > result.seed_agreement.mean
    assert sections(result.program) == [(name, f"{SEED} BIAS=0") for name in RUBRIC.names]
    assert (result.seed_kept, result.stop_reason) == (False, "steps")
    assert sum(each.calls for each in results) == engine.calls.total()
    alike = [each.as_dict() | {"config": None} for each in results]
    assert alike[0] == alike[1]
    assert results[0].measured == results[1].measured


@pytest.mark.parametrize("mode", MODES)
def test_a_rubric_of_one_criterion_works_in_every_mode(mode):
    rubric = toy_rubric("fluency")
    examples = toy_examples(rubric, 15)
    with dspy.context(lm=toy_lm()):
        result = MOGrad(mode=mode, steps=3).optimize(
            MultiCriteriaJudge(rubric), trainset=examples[:8], valset=examples[8:]
        )
    assert sections(result.program) == [("fluency", f"{SEED} BIAS=0")]


def drawn(**changes: object) -> list[tuple[str, ...]]:
    events: list[Event] = []
    optimize(observers=[events.append], steps=1, mode="CCC", **changes)
    return [event.example_ids for event in events if isinstance(event, StepStarted)]


def test_zero_is_a_seed_and_every_seed_draws_other_batches():
    zero, one, two = (drawn(seed=seed) for seed in range(3))
    first = next(batches(TRAIN, 3, random.Random(0)))
    assert drawn() == zero == [tuple(example_key(example) for example in first)]
    assert zero != one != two != zero


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
def test_each_pass_over_the_batches_uses_each_example_once(count, size, seed):
    draws = batches(range(count), size, random.Random(seed))
    per_pass = -(-count // size)
    for _ in range(3):
        drawn = [number for batch in islice(draws, per_pass) for number in batch]
        assert sorted(drawn) == list(range(count))


def test_without_a_validation_set_two_fifths_of_the_training_set_are_set_aside():
    events: list[Event] = []
    optimize(trainset=EXAMPLES, valset=None, steps=1, observers=[events.append])
    assert (events[0].train, events[0].validation) == (12, 8)


# What the gate lets through, and what comes back


def test_when_nothing_beats_the_seed_the_seed_comes_back():
    engine = Editor(lambda text, number: f"Draft {number}. BIAS=4")
    result = optimize(engine)
    assert (result.seed_kept, [step.accepted for step in result.steps]) == (True, [False] * 3)
    assert result.final_agreement == result.seed_agreement
    assert sections(result.program) == [(name, SEED) for name in RUBRIC.names]
    assert [each.step for each in result.measured] == [0]


def test_a_gate_that_accepts_all_cannot_lose_the_best_candidate():
    bias = {1: 0, 2: 3, 3: 4}
    result = optimize(Editor(lambda text, number: f"BIAS={bias[number]}"), gate=AlwaysAccept())
    assert [step.accepted for step in result.steps] == [True] * 3
    assert agreements(result)[0] == 1.0 > agreements(result)[-1]
    assert set(dict(sections(result.program)).values()) == {"BIAS=0"}


@pytest.mark.slow
def test_a_tie_goes_to_the_earlier_instructions():
    result = optimize(Editor(lambda text, number: f"Draft {number}. BIAS=2"))
    assert [step.accepted for step in result.steps] == [True] * 3
    assert result.seed_kept
    better = optimize(Editor(lambda text, number: f"Draft {number}. BIAS=0"))
    assert set(dict(sections(better.program)).values()) == {"Draft 1. BIAS=0"}
    assert not better.seed_kept


def test_an_unchanged_proposal_costs_no_validation_call():
    engine, events = Editor(lambda text, number: text), []
    result = optimize(engine, observers=[events.append])
    assert engine.calls["judge"] == len(VALIDATION) + 3 * 3
    decided = [event for event in events if isinstance(event, GateDecided)]
    assert [(event.unchanged, event.accepted) for event in decided] == [(True, False)] * 3
    assert [step.proposed for step in result.steps] == [None] * 3
    assert [step.as_dict()["unchanged"] for step in result.steps] == [True] * 3


class Coached(Editor):
    """An editor that gets the same advice each time."""

    def __init__(self, advice: str) -> None:
        super().__init__(lambda text, number: text)
        self.advice = advice

    def answer(self, system: str, user: str) -> str:
        if role_of(system) == "coach":
            return answered(advice=self.advice)
        return super().answer(system, user)


@pytest.mark.parametrize(
    ["engine", "changes", "word"],
    [
        (Editor(lambda text, number: text), {}, "same text"),
        (Editor(lambda text, number: text), {"protocol": None}, "says the same"),
        (Editor(lambda text, number: "a" * 9999), {"protocol": None}, "9999"),
        (Coached("[]"), {}, "no advice on"),
        (Coached("[]"), {"protocol": None}, "no advice on"),
        (
            Coached('[{"criterion": "fluency", "change": "add", "rule": ""}]'),
            {"protocol": None},
            "says nothing",
        ),
        (ToyEngine(), {"protocol": None, "skip_tolerance": 1.0}, "fit people's ratings"),
    ],
)
def test_a_step_without_new_instructions_says_why(engine, changes, word):
    events = []
    optimize(engine, observers=[events.append], steps=1, **changes)
    (decided,) = [event for event in events if isinstance(event, GateDecided)]
    assert decided.unchanged
    assert word in decided.reason
    assert decided.reason in decided.describe()


@pytest.mark.parametrize("bias", [0, 4])
def test_the_same_instructions_are_never_scored_twice(bias):
    # The proposals alternate; the gate takes those with bias 0 and rejects those with bias 4.
    engine = Editor(lambda text, number: f"{'AB'[number % 2]} BIAS={bias}")
    result = optimize(engine, steps=6, race="off")
    assert engine.calls["judge"] == 3 * len(VALIDATION) + 6 * 3
    assert [step.accepted for step in result.steps] == [bias == 0] * 6


class UnreadableFor(Editor):
    """A judge that cannot be read on one validation text once its instructions say ``Rant``."""

    def answer(self, system: str, user: str) -> str:
        if role_of(system) == "judge" and "Rant" in system and VALIDATION[0].output in user:
            return "What a text!"
        return super().answer(system, user)


@pytest.mark.parametrize("gate", [None, NoCriterionRegression(2.0), AlwaysAccept()])
def test_a_better_candidate_that_leaves_more_texts_unscored_does_not_win(gate):
    result = optimize(UnreadableFor(lambda text, number: "Rant. BIAS=0"), gate=gate, steps=1)
    (step,) = result.steps
    assert step.proposed.mean == 1.0 > result.seed_agreement.mean
    assert step.proposed.unscored == dict.fromkeys(RUBRIC.names, 1)
    assert step.proposed.scored == dict.fromkeys(RUBRIC.names, len(VALIDATION) - 1)
    assert step.accepted is isinstance(gate, AlwaysAccept)
    assert result.seed_kept


def test_a_missing_human_score_is_left_out_and_counted():
    validation = [each.copy() for each in VALIDATION]
    for example in validation[:2]:
        example.human_fluency = None
    result = optimize(valset=validation)
    assert result.seed_agreement.missing == {"coherence": 0, "fluency": 2, "relevance": 0}
    assert result.seed_agreement.scored == {"coherence": 8, "fluency": 6, "relevance": 8}
    assert result.as_dict()["missing_human"]["fluency"] == 2
    assert result.final_agreement.by_criterion["fluency"] == pytest.approx(1.0)


def test_a_criterion_that_people_scored_alike_is_undefined_and_the_others_go_on():
    validation = [
        dspy.Example(each, human_fluency=3.0).with_inputs("output") for each in VALIDATION
    ]
    result = optimize(valset=validation)
    assert isinstance(result.final_agreement.by_criterion["fluency"], Undefined)
    shown = result.as_dict()
    assert shown["final_agreement"]["fluency"] is None
    assert shown["undefined"] == {"fluency": "all human scores are equal"}
    assert shown["final_agreement"]["mean"] == pytest.approx(1.0)


# What stays as it was


def test_compile_changes_neither_the_student_nor_the_data_nor_the_settings_nor_the_lms():
    judge, engine = MultiCriteriaJudge(RUBRIC), ToyEngine()
    lm, critic_lm = toy_lm(engine), toy_lm(engine)
    history = list(GLOBAL_HISTORY)
    before = (judge.dump_state(), [dict(each) for each in EXAMPLES], dict(lm.kwargs))
    with dspy.context(lm=lm, trace=[]):
        settings = dict(dspy.settings.copy())
        compiled = MOGrad(steps=2, critic_lm=critic_lm).compile(
            judge, trainset=TRAIN, valset=VALIDATION
        )
        assert dict(dspy.settings.copy()) == settings
        assert dspy.settings.trace == []
    assert (judge.dump_state(), [dict(each) for each in EXAMPLES], dict(lm.kwargs)) == before
    assert not hasattr(judge, "detailed_results")
    assert lm.history == critic_lm.history == judge.history == []
    assert history == GLOBAL_HISTORY
    assert (type(lm), lm.num_retries, lm.cache) == (dspy.LM, 3, False)
    assert [each.lm for each in (*judge.predictors(), *compiled.predictors())] == [None] * 2


def test_a_pinned_lm_stays_pinned_and_is_the_same_object():
    judge, engine, other = MultiCriteriaJudge(RUBRIC), ToyEngine(), ToyEngine()
    pinned = toy_lm(engine)
    judge.set_lm(pinned)
    result = optimize(other, judge)
    assert [each.lm for each in result.program.predictors()] == [pinned]
    assert result.program is not judge
    assert (set(engine.calls), set(other.calls)) == ({"judge"}, {"critic", "coach", "editor"})


def test_each_role_speaks_with_its_own_lm_then_with_the_prompt_lm():
    engines = {name: ToyEngine() for name in ("critic", "prompt", "judge")}
    optimize(
        engines["judge"],
        critic_lm=toy_lm(engines["critic"]),
        prompt_lm=toy_lm(engines["prompt"]),
        steps=1,
    )
    spoken = {name: set(engine.calls) for name, engine in engines.items()}
    assert spoken == {"critic": {"critic"}, "prompt": {"coach", "editor"}, "judge": {"judge"}}


def test_the_lm_is_the_one_set_when_compile_is_called():
    optimizer, engine = MOGrad(steps=1), ToyEngine()
    for expected in (toy_lm(engine), toy_lm(engine)):
        with dspy.context(lm=expected):
            optimizer.compile(MultiCriteriaJudge(RUBRIC), trainset=TRAIN, valset=VALIDATION)
    first, second = (
        engine.prompts[: len(engine.prompts) // 2],
        engine.prompts[len(engine.prompts) // 2 :],
    )
    assert sorted(first) == sorted(second)


def test_every_question_of_a_run_draws_with_a_seed_of_its_own_and_the_judge_with_none():
    class Seeds(ToyEngine):
        def complete(self, request: Request) -> Response:
            seeds.append((role_of(str(request.system)), request.config.seed))
            return super().complete(request)

    seeds: list[tuple[str, int | None]] = []
    optimize(Seeds(), mode="SCC", steps=2)
    drawn = [seed for role, seed in seeds if role != "judge"]
    assert {seed for role, seed in seeds if role == "judge"} == {None}
    assert len(set(drawn)) == len(drawn) == 2 * (9 + 3 + 1)


# What DSPy finds on the program


def compiled_judge(**changes: object) -> dspy.Module:
    with dspy.context(lm=toy_lm()):
        return MOGrad(**{"steps": 3} | changes).compile(
            MultiCriteriaJudge(RUBRIC), trainset=TRAIN, valset=VALIDATION
        )


def test_a_compiled_program_carries_what_dspys_optimizers_leave_on_one():
    program = compiled_judge(mode="SSC")
    result = program.detailed_results
    assert isinstance(result, OptimizationResult)
    assert result.program is program
    scores = [each["score"] for each in program.candidate_programs]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == result.final_agreement.mean == 1.0
    assert [each["step"] for each in program.candidate_programs] == [2, 1, 0]
    best, *_, seed = (each["program"] for each in program.candidate_programs)
    assert best.dump_state() == program.dump_state()
    assert seed.dump_state() == MultiCriteriaJudge(RUBRIC).dump_state()
    assert list(program.trial_logs) == [1, 2, 3]
    assert program.trial_logs[1]["agreement"]["mean"] == agreements(result)[0]


def test_records_that_carry_everything_are_shown_in_a_line():
    result = compiled_judge(mode="SSC").detailed_results
    with dspy.context(lm=toy_lm()):
        judgements = judge_examples(result.program, TRAIN, rubric_objectives(RUBRIC), 1)
    for record in (result, judgements[0], result.measured[-1]):
        assert "\n" not in repr(record)
        assert len(repr(record)) < 500
        assert "Rate from" not in repr(record)  # the instructions
    for said in ("SSC", f"{result.seed_agreement.mean:.3f} -> 1.000", str(result.calls), "steps"):
        assert said in repr(result)


def test_a_compiled_judge_is_saved_and_loaded_with_what_it_learned(tmp_path):
    program = compiled_judge()
    program.save(tmp_path / "judge.json")
    loaded = MultiCriteriaJudge(RUBRIC)
    loaded.load(tmp_path / "judge.json")
    with dspy.context(lm=toy_lm()):
        assert loaded(output="fluency=2, coherence=3, relevance=4").fluency == 2
    assert sections(loaded) == sections(program)


def test_a_compiled_program_can_be_compiled_again():
    program = compiled_judge(steps=1)
    again = optimize(student=program, steps=1)
    assert again.seed_agreement == program.detailed_results.final_agreement
    assert again.final_agreement.mean == 1.0


def test_dspys_callbacks_see_one_compile():
    class Compiles(BaseCallback):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_compile_start(self, call_id: str, instance: object, inputs: dict) -> None:
            self.seen.append(f"start {type(instance).__name__} {sorted(inputs)}")

        def on_compile_end(
            self, call_id: str, outputs: object, exception: Exception | None = None
        ) -> None:
            self.seen.append(f"end {type(outputs).__name__}")

    everywhere, own = Compiles(), Compiles()
    with dspy.context(callbacks=[everywhere]):
        compiled_judge(steps=1, callbacks=[own])
    inputs = ["num_threads", "student", "teacher", "trainset", "valset"]
    for callback in (everywhere, own):
        start, end = callback.seen
        assert start == f"start MOGrad {inputs}"
        assert end == "end MultiCriteriaJudge"


def test_it_works_inside_better_together():
    judge = MultiCriteriaJudge(RUBRIC)
    judge.set_lm(toy_lm())

    def metric(example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> float:
        return float(prediction.fluency == example.human_fluency)

    optimizer = dspy.BetterTogether(metric=metric, m=MOGrad(mode="SSC", steps=1))
    with dspy.context(lm=toy_lm()):
        # Seeded: it shuffles the examples, and three that already have the top score teach nothing.
        best = optimizer.compile(
            judge, trainset=TRAIN, valset=VALIDATION, strategy="m -> m", seed=0
        )
    assert not best.flag_compilation_error_occurred
    assert [each["score"] for each in best.candidate_programs] == [100.0, 12.5, 12.5]
    assert best.candidate_programs[0]["strategy"] == "m -> m"
    assert sections(best) == [(name, f"{SEED} BIAS=0") for name in RUBRIC.names]


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_cache")
def test_with_dspys_cache_the_same_run_twice_costs_nothing():
    engine = ToyEngine()
    results = []
    for num_threads in (16, 8):
        with dspy.context(lm=dspy.LM("toy/world", engine=engine, temperature=0.0, cache=True)):
            results.append(
                MOGrad(steps=3, num_threads=num_threads).optimize(
                    MultiCriteriaJudge(RUBRIC), trainset=TRAIN, valset=VALIDATION
                )
            )
    first, second = results
    assert first.calls == engine.calls.total() > 0
    assert (second.calls, sum(row.calls for row in second.ledger)) == (0, 0)
    assert sum(row.cached for row in second.ledger) >= first.calls
    assert second.measured == first.measured
    assert [step.calls for step in second.steps] == [0] * 3


# What is refused before anything is paid


def frozen() -> dspy.Module:
    class Program(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = dspy.ChainOfThought("question -> answer")
            self.inner._compiled = True

        def forward(self, question: str) -> dspy.Prediction:
            return self.inner(question=question)

    return Program()


def holder() -> dspy.Module:
    class Program(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.judge = MultiCriteriaJudge(RUBRIC)

        def forward(self, output: str) -> dspy.Prediction:
            return self.judge(output=output)

    return Program()


def constant(example: dspy.Example) -> dspy.Example:
    return dspy.Example(output=example.output, **dict.fromkeys(HUMAN, 3.0)).with_inputs("output")


def rated(example: dspy.Example, score: object) -> dspy.Example:
    return example.copy(human_fluency=score)


HUMAN = [f"human_{name}" for name in RUBRIC.names]
RIGHT = Objective("accuracy", "Is the answer right?", score=lambda example, prediction: 1.0)
CHAIN = dspy.ChainOfThought("output -> answer")


@pytest.mark.parametrize(
    ["changes", "message"],
    [
        ({"trainset": TRAIN, "valset": TRAIN[-1:]}, "training and validation examples overlap"),
        ({"trainset": []}, "`trainset` must have at least one example, got none"),
        ({"valset": []}, "`valset` must have at least one example, got none"),
        ({"trainset": TRAIN[:1], "valset": None}, "needs at least as many groups"),
        ({"valset": [constant(each) for each in VALIDATION]}, "cannot be measured on the"),
        ({"trainset": [dspy.Example(output="x")]}, r"must name its inputs with `with_inputs"),
        ({"student": CHAIN}, "`objectives` must be given for a ChainOfThought"),
        ({"objectives": BRIEF_ONE}, "`objectives` must be a list, got a single"),
        ({"objectives": []}, "`objectives` must be given.*eave"),
        ({"objectives": [RIGHT]}, r"\['accuracy'\].*a judge has sections only for its criteria"),
        (
            {"objectives": [RIGHT], "student": holder()},
            r"\['accuracy'\].*a judge has sections only for its criteria",
        ),
        ({"objectives": [RIGHT, RIGHT]}, "Each objective needs its own name"),
        ({"objectives": [RIGHT], "measure": "qwk", "student": CHAIN}, "`measure` is for a rubric"),
        ({"student": frozen(), "objectives": [RIGHT]}, "Program has no predictor to optimize"),
    ],
)
def test_a_run_that_cannot_work_is_refused_before_a_call_is_paid(changes, message):
    engine = ToyEngine()
    with pytest.raises(SetupError, match=message):
        optimize(engine, **changes)
    assert engine.prompts == []


@pytest.mark.parametrize("name", ["trainset", "valset", "testset"])
def test_bad_ratings_are_named_by_their_numbers_in_the_callers_list(name):
    bad = {3: 9.0, 7: True, 8: "4"}
    examples = [rated(each, bad.get(n, 3.0)) for n, each in enumerate(EXAMPLES[:10], 1)]
    sets = {"trainset": EXAMPLES[10:], "valset": None} | {name: examples}
    with pytest.raises(SetupError, match=r"9.0 in example 3, True in example 7, '4' in example 8"):
        optimize(ToyEngine(), **sets)


def test_all_that_is_wrong_with_ratings_is_said_at_once():
    unrated = EXAMPLES[2].without("human_relevance")
    changed = [rated(EXAMPLES[0], 0), EXAMPLES[1].copy(human_coherence=7), unrated]
    with pytest.raises(SetupError) as caught:
        optimize(ToyEngine(), trainset=[*changed, *EXAMPLES[3:]], valset=None)
    lines = str(caught.value).splitlines()[1:]
    for field, number in (("fluency", 1), ("coherence", 2), ("relevance", 3)):
        (line,) = [line for line in lines if f"human_{field}" in line.split("got")[0]]
        assert f"example {number}" in line


@pytest.mark.parametrize(
    ["name", "use"],
    [
        ("metric", r"objectives=\[Objective.from_metric"),
        ("max_full_evals", "budget=Budget"),
        ("reflection_lm", "prompt_lm="),
        ("prompt_model", "prompt_lm="),
        ("log_dir", "run_dir="),
        ("num_trials", "steps="),
        ("reflection_minibatch_size", "batch_size="),
        ("optimizer_lm", "editor_lm="),
        ("requires_permission_to_run", "leave it out"),
        ("max_errors", "leave it out"),
        ("max_merge_invocations", "leave it out"),
        ("track_best_outputs", "leave it out"),
        ("num_candidate_programs", "leave it out"),
        ("temperature_for_sampling", "leave it out"),
        ("num_rules", "leave it out"),
        ("view_data_batch_size", "leave it out"),
        ("max_iters", "steps="),
        ("max_rounds", "steps="),
        ("temperature_for_candidates", "editor_temperature="),
        ("wandb_api_key", "mogradjudge.tracking"),
        ("save_as_csv", "run_dir="),
        ("num_words", "help"),
        ("max_items", "help"),
        ("objectivs", "'objectives'"),
        ("edit_preambel", "'edit_preamble'"),
        ("no_such_word", "help"),
    ],
)
def test_an_argument_of_another_optimizer_is_answered_with_ours(name, use):
    with pytest.raises(TypeError, match=rf"MOGrad\(\) takes no argument '{name}'.*{use}"):
        MOGrad(**{name: 1})
    engine = ToyEngine()
    for method in ("compile", "optimize"):
        with dspy.context(lm=toy_lm(engine)), pytest.raises(TypeError, match=f"'{name}'"):
            getattr(MOGrad(), method)(MultiCriteriaJudge(RUBRIC), trainset=TRAIN, **{name: 1})
    assert engine.prompts == []


def test_an_argument_in_the_wrong_place_is_answered_with_the_right_one():
    with pytest.raises(TypeError, match=r"'trainset'.*compile\("):
        MOGrad(trainset=TRAIN)
    with pytest.raises(TypeError, match=r"'steps'.*MOGrad\("):
        MOGrad().compile(MultiCriteriaJudge(RUBRIC), trainset=TRAIN, steps=2)
    with pytest.raises(TypeError, match=r"'testset'.*optimize\("):
        MOGrad().compile(MultiCriteriaJudge(RUBRIC), trainset=TRAIN, testset=TRAIN)


def test_the_signatures_name_every_argument():
    for function in (MOGrad, MOGrad.compile, MOGrad.optimize):
        kinds = {each.kind for each in inspect.signature(function).parameters.values()}
        assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    assert "valset" in inspect.getfullargspec(MOGrad.compile).kwonlyargs
    assert "objectives" in inspect.getfullargspec(MOGrad.__init__).kwonlyargs


@pytest.mark.parametrize(
    ["role_lms", "pinned", "message"],
    [
        ({}, False, r"No LM is set. Call dspy.configure\(lm=dspy.LM\(...\)\) first"),
        ({}, True, "No LM is set for the critic. Give `critic_lm` or `prompt_lm`"),
        ({"prompt_lm"}, False, "No LM is set. Call"),
        ({"critic_lm", "coach_lm"}, True, "No LM is set for the editor"),
    ],
)
def test_without_an_lm_nothing_is_paid_either(role_lms, pinned, message):
    engine, judge = ToyEngine(), MultiCriteriaJudge(RUBRIC)
    if pinned:
        judge.set_lm(toy_lm(engine))
    optimizer = MOGrad(**{name: toy_lm(engine) for name in role_lms})
    with dspy.context(lm=None), pytest.raises(SetupError, match=message):
        optimizer.compile(judge, trainset=TRAIN, valset=VALIDATION)
    assert engine.prompts == []


@pytest.mark.parametrize(
    ["arguments", "message"],
    [
        ({"mode": "ssc"}, "`mode` must be one of .* got 'ssc'.* 'SSC'"),
        ({"mode": len}, r"`mode` must be one of .* objectives=\[Objective.from_metric"),
        ({"mode": "CSS"}, "`mode` must be one of SSS, SSC, SCC, CCC, got 'CSS'"),
        ({"auto": "light", "steps": 3}, "Give `auto` or `steps`, not both"),
        ({"auto": "huge"}, "`auto` must be one of light, medium, heavy, got 'huge'"),
        ({"steps": 0}, "`steps` must be a whole number >= 1, got 0"),
        ({"steps": 2.0}, r"`steps` must be a whole number >= 1, got 2\.0"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"seed": -1}, "`seed` must be a whole number >= 0, got -1"),
        ({"seed": True}, "`seed`"),
        ({"num_threads": 0}, "`num_threads`"),
        ({"reply_retries": -1}, "`reply_retries`"),
        ({"max_section_chars": 0}, "`max_section_chars`"),
        ({"budget": 7}, r"`budget` must be a Budget\(\.\.\.\), got 7"),
        ({"max_rpm": 0}, "`max_rpm` must be a whole number >= 1, got 0"),
        ({"patience": 0}, "`patience` must be a whole number >= 1, got 0"),
        ({"target": 1.5}, r"`target` must lie in \[-1, 1\], got 1\.5"),
        ({"skip_tolerance": 1.5}, r"`skip_tolerance` must lie in \[0, 1\].*, got 1\.5"),
        ({"editor_temperature": -0.1}, "`editor_temperature` must be >= 0 or None"),
        ({"critic_temperature": float("nan")}, "`critic_temperature` must be >= 0 or None"),
        ({"level": "document"}, "`level` must be one of pooled, group, got 'document'"),
        ({"edit_preamble": "no"}, "`edit_preamble` must be True or False, got 'no'"),
        ({"display_progress": "no"}, "`display_progress` must be True, False or None, got 'no'"),
        ({"critic_temperature": "none"}, "`critic_temperature` .* got 'none'"),
        ({"target": "0.9"}, r"`target` .* got '0\.9'"),
        ({"skip_tolerance": "0"}, "`skip_tolerance` .* got '0'"),
        ({"callbacks": 5}, "`callbacks` .* got 5"),
        ({"callbacks": [5]}, r"`callbacks` .* got \[5\]"),
        ({"observers": 5}, "`observers` .* got 5"),
        ({"observers": [5]}, r"`observers` .* got \[5\]"),
        ({"run_dir": 5}, "`run_dir` .* got 5"),
        ({"mode": "SSS", "edit_preamble": True}, "`edit_preamble` needs a mode whose optimizer"),
    ],
)
def test_an_argument_that_cannot_work_is_refused_when_the_optimizer_is_built(arguments, message):
    with pytest.raises(SetupError, match=message):
        MOGrad(**arguments)


def test_auto_names_the_paper_s_number_of_steps_as_medium():
    steps = [MOGrad(auto=auto).config.steps for auto in (None, "light", "medium", "heavy")]
    assert steps == [6, 6, 12, 24]


# What ends a run


@pytest.mark.parametrize("num_threads", [1, 8])
@pytest.mark.parametrize("cap", [1, 7, 8, 9, 11, 20, 29, 30, 37, 38, 40, 67, 68])
def test_a_cap_on_calls_is_never_passed_and_what_was_found_is_kept(cap, num_threads):
    engine = ToyEngine()
    result = optimize(
        engine, mode="SSC", steps=2, budget=Budget(max_calls=cap), num_threads=num_threads
    )
    # The seed's 8 calls, then 30 a step (3 judge, 9 critic, 9 coach, 1 editor, 8 to validate).
    assert engine.calls.total() == result.calls == min(cap, 8 + 2 * 30)
    assert result.stop_reason == ("steps" if cap >= 68 else "budget")
    done = max(0, cap - 8) // 30
    assert len(result.steps) == done
    assert result.seed_kept is (done == 0)
    assert (result.seed_agreement.mean is None) is (cap < 8)
    assert result.final_agreement.mean == ([result.seed_agreement.mean, *agreements(result)][-1])
    with dspy.context(lm=toy_lm()):
        assert result.program(output="fluency=1").fluency in (1, 2, 3)
    json.dumps(result.as_dict(), allow_nan=False)


@pytest.mark.parametrize("role", ["judge", "critic", "coach", "editor"])
@pytest.mark.parametrize("num_threads", [1, 8])
def test_a_provider_error_surfaces_from_compile(role, num_threads):
    class Refusing(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            if role_of(system) == role:
                raise AuthError("no such key")
            return super().answer(system, user)

    with pytest.raises(dspy.LMAuthError, match="no such key"):
        optimize(Refusing(), num_threads=num_threads)


@pytest.mark.parametrize("num_threads", [1, 8])
def test_an_interruption_keeps_what_was_found(num_threads):
    class Impatient(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            if role_of(system) == "coach" and self.calls["editor"]:
                raise KeyboardInterrupt
            return super().answer(system, user)

    engine = Impatient()
    result = optimize(engine, num_threads=num_threads)
    assert (result.stop_reason, len(result.steps), result.seed_kept) == ("interrupted", 1, False)
    assert result.calls == engine.calls.total()


# What is said about it


def test_observers_hear_the_run_in_order_and_every_event_is_json_and_a_sentence():
    events: list[Event] = []
    result = optimize(steps=2, mode="CCC", observers=[events.append])
    step = ["StepStarted", "BatchJudged", "CritiqueWritten", "GradientWritten"]
    step += ["SectionRewritten", "CandidateScored", "GateDecided", "StepEnded"]
    kinds = [type(event).__name__ for event in events]
    assert kinds.count("CritiqueWritten") == kinds.count("GradientWritten") == 2 * 3
    assert [kind for kind, _ in groupby(kinds)] == [
        *("RunStarted", "CandidateScored", "SeedScored"),
        *step,
        *step,
        "RunEnded",
    ]
    for event in events:
        assert json.loads(json.dumps(as_json(event), allow_nan=False))["event"]
        assert event.describe()
    final = result.final_agreement.as_dict()
    assert events[-1] == RunEnded("steps", False, final, result.calls, "validation")


def test_the_events_tell_what_became_of_each_text():
    events: list[Event] = []
    result = optimize(steps=1, mode="CCC", observers=[events.append])
    batch = next(event for event in events if isinstance(event, BatchJudged))
    seed, proposed = (event for event in events if isinstance(event, CandidateScored))
    assert [set(inputs) for inputs in batch.inputs] == [set(RUBRIC.inputs)] * 3
    assert (seed.step, proposed.step, seed.split) == (0, 1, "validation")
    for scored, agreement in ((seed, result.seed_agreement), (proposed, result.final_agreement)):
        for name, value in agreement.by_criterion.items():
            texts = scored.texts
            human, judge = ([getattr(t, k)[name] for t in texts] for k in ("expected", "produced"))
            assert correlate(human, judge, [text.group for text in texts]).value == value
    for text in (*batch.texts, *seed.texts, *proposed.texts):
        for criterion in RUBRIC.criteria:
            human, judge = text.expected[criterion.name], text.produced[criterion.name]
            closeness = 1 - abs(human - judge) / criterion.scale.width
            assert text.scores[criterion.name] == pytest.approx(closeness)


def test_half_a_surrogate_pair_in_a_reply_does_not_stop_a_run():
    editor = Editor(lambda text, call: f"{text} A\ud800B")
    result = optimize(editor, mode="SSS", steps=1, gate=AlwaysAccept())
    (last,) = (each for each in result.measured if each.step == 1)
    texts = [text for own in last.candidate.instructions.values() for _, text in own.sections]
    assert texts and all(text.endswith("A?B") for text in texts)


def test_an_event_holds_whatever_a_program_reads():
    told = plain(
        dspy.Example(a=math.nan, b=[{1: object}], c=(1, None), d=dspy.Example(e="x")), in_log=True
    )
    assert told == {"a": "nan", "b": [{"1": str(object)}], "c": [1, None], "d": {"e": "x"}}


def test_the_result_is_json_with_the_keys_that_others_read():
    shown = json.loads(json.dumps(optimize(mode="SCC", seed=5).as_dict(), allow_nan=False))
    assert {"mode", "seed_kept", "stop_reason", "config", "ledger", "steps"} <= shown.keys()
    assert (shown["mode"], shown["config"]["seed"], shown["config"]["steps"]) == ("SCC", 5, 3)
    assert shown["config"]["gate"] == {"name": "NoMeanRegression"}
    assert {row["role"] for row in shown["ledger"]} == {"judge", "critic", "coach", "editor"}
    assert sum(row["calls"] for row in shown["ledger"]) == shown["calls"]
    assert set(shown["seed_agreement"]) == {*RUBRIC.names, "mean"}


def test_progress_goes_to_stderr_and_only_when_asked_for(capfd):
    optimize(steps=1)
    assert capfd.readouterr() == ("", "")
    optimize(steps=1, display_progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "Step 1 accepted" in shown.err


# Any DSPy program


class Answering(ToyEngine):
    """A model that answers a question by repeating it; the roles are those of the toy world.

    Its editor writes ``Shout.``, and with that in its instructions the model answers in capitals.
    """

    reply = "[[ ## reasoning ## ]]\nEasy.\n\n[[ ## answer ## ]]\n{}\n\n[[ ## completed ## ]]"

    def answer(self, system: str, user: str) -> str:
        role = role_of(system)
        if role == "judge":
            asked = re.search(r"\[\[ ## (?:question|draft) ## \]\]\n(.*)\n", user).group(1)
            field = "draft" if "{draft}\n\n[[ ## completed ## ]]" in system else "answer"
            text = asked.upper() if "Shout." in system else asked
            return self.reply.replace("answer", field).format(text)
        if role == "critic":
            return answered(critique="Not in capitals.")
        if role == "coach":
            return answered(**critique_or_advice(user, "", "Use capitals."))
        return answered(new_instructions=json.dumps(dict.fromkeys(labels_of(system), "Shout.")))


class TwoSteps(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict(dspy.Signature("question -> draft", "Write a draft."))
        self.polish = dspy.ChainOfThought(dspy.Signature("draft -> answer", "Polish the draft."))

    def forward(self, question: str) -> dspy.Prediction:
        return self.polish(draft=self.write(question=question).draft)


QUESTIONS = [
    dspy.Example(question=f"is it {word}", answer=f"IS IT {word.upper()}").with_inputs("question")
    for word in ("a", "b", "c", "d", "e", "f", "g")
]
SETS = {"trainset": QUESTIONS[:4], "valset": QUESTIONS[4:]}
LOUD = Objective(
    "loudness", "Is it in capitals?", score=lambda example, made: made.answer == example.answer
)
BRIEF = Objective("brevity", "Is it short?", score=lambda example, made: len(made.answer) < 99)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("program", [dspy.ChainOfThought("question -> answer"), TwoSteps()])
def test_any_program_gets_a_section_per_objective_in_every_predictor(program, mode):
    result = optimize(Answering(), program, mode=mode, objectives=[LOUD, BRIEF], steps=1, **SETS)
    assert result.seed_agreement.by_criterion == {"loudness": 0.0, "brevity": 1.0}
    assert result.final_agreement.by_criterion == {"loudness": 1.0, "brevity": 1.0}
    for (path, before), (_, after) in zip(
        program.named_predictors(), result.program.named_predictors(), strict=True
    ):
        text = Instructions.parse(after.signature.instructions)
        assert text.preamble == before.signature.instructions, path
        assert text.sections == (("loudness", "Shout."), ("brevity", "Shout."))
    with dspy.context(lm=toy_lm(Answering())):
        assert result.program(question="and then").answer == "AND THEN"


@pytest.mark.parametrize(
    "instructions",
    ["Answer.", "Answer. ", "Answer.\n\n ", "", "Answer.\n\n### Criterion: loudness\n", "\ta\n\tb"],
)
def test_the_seed_prompt_of_a_program_is_the_students_to_the_last_blank(instructions):
    student = dspy.Predict(dspy.Signature("question -> answer", instructions))
    ours, theirs = Answering(), Answering()
    result = optimize(ours, student, objectives=[BRIEF], steps=1, **SETS)
    with dspy.context(lm=toy_lm(theirs)):
        for example in SETS["valset"]:
            student(**example.inputs())
    assert sorted(ours.prompts[:3]) == sorted(theirs.prompts)
    assert result.seed_kept
    assert result.program.signature.instructions == student.signature.instructions


def test_an_unreadable_reply_of_any_program_is_unscored_and_not_a_low_score():
    class Mute(Answering):
        def answer(self, system: str, user: str) -> str:
            if role_of(system) == "judge" and QUESTIONS[5].question in user:
                return "No."
            return super().answer(system, user)

    scored: list[object] = []

    def score(example: dspy.Example, made: dspy.Prediction) -> float:
        scored.append(made.answer)
        return 1.0

    engine = Mute()
    result = optimize(
        engine,
        dspy.ChainOfThought("question -> answer"),
        objectives=[Objective("loudness", "Is it in capitals?", score)],
        steps=1,
        **SETS,
    )
    assert result.seed_agreement.unscored == {"loudness": 1}
    assert result.seed_agreement.scored == {"loudness": 2}
    assert all(isinstance(answer, str) for answer in scored)
    assert engine.calls["judge"] == 3 + 3 + 3  # none is asked for again in another format


@pytest.mark.parametrize("name", ["copy", "json", "schema", "model_fit", "_private", "text"])
def test_an_objective_may_have_any_identifier_for_a_name(name):
    objectives = [Objective(name, "Is it in capitals?", LOUD.score)]
    program = dspy.Predict("question -> answer")
    result = optimize(Answering(), program, objectives=objectives, steps=1, **SETS)
    assert sections(result.program) == [(name, "Shout.")]


@pytest.mark.parametrize("mode", ["SSC", "CCC"])
def test_texts_that_would_share_a_name_in_the_prompts_are_refused(mode):
    engine = Answering()
    objectives = [Objective("preamble", "Is it in capitals?", LOUD.score)]
    with pytest.raises(SetupError, match="both be called 'preamble'"):
        optimize(
            engine,
            dspy.Predict("question -> answer"),
            mode=mode,
            objectives=objectives,
            edit_preamble=True,
            **SETS,
        )
    assert engine.prompts == []


@pytest.mark.parametrize("mode", ["SSC", "SCC", "CCC"])
def test_the_preamble_is_edited_only_on_request(mode):
    program = dspy.Predict(dspy.Signature("question -> answer", "Answer."))
    texts = []
    for edit_preamble in (True, False):
        result = optimize(
            Answering(),
            program,
            mode=mode,
            objectives=[LOUD],
            edit_preamble=edit_preamble,
            steps=1,
            **SETS,
        )
        texts.append(Instructions.parse(result.program.signature.instructions))
    section = {"loudness": "Shout."}
    assert texts == [Instructions("Shout.", section), Instructions("Answer.", section)]


@pytest.mark.parametrize("score", [1.5, -0.1, float("nan")])
def test_a_score_outside_the_unit_interval_is_the_callers_to_mend(score):
    wide = Objective("loudness", "Is it loud?", score=lambda example, made: score)
    with pytest.raises(SetupError, match=rf"'loudness'.* got {score}"):
        optimize(Answering(), dspy.Predict("question -> answer"), objectives=[wide], **SETS)


def one_of_each(example: dspy.Example, made: dspy.Prediction) -> float | Unscored | None:
    word = example.question[-1]
    return {"e": None, "f": Unscored("not rated")}.get(word, 0.5)


def test_an_objective_may_abstain_and_its_aggregate_sees_the_rest():
    seen: list[list[str]] = []

    def last(scored: list[Scored]) -> float:
        seen.append([each.prediction.answer for each in scored])
        return 0.25

    objective = Objective("loudness", "Is it loud?", one_of_each, aggregate=last)
    result = optimize(
        Answering(), dspy.Predict("question -> answer"), objectives=[objective], steps=1, **SETS
    )
    none = {"loudness": 0}
    assert result.seed_agreement == Agreement(
        {"loudness": 0.25}, {"loudness": 1}, {"loudness": 1}, {"loudness": 1}, none
    )
    assert seen[0] == ["is it g"]


def test_an_aggregate_that_is_no_number_is_undefined():
    nowhere = Objective("loudness", "Is it loud?", LOUD.score, lambda scored: float("nan"))
    result = optimize(
        Answering(),
        dspy.Predict("question -> answer"),
        objectives=[nowhere, BRIEF],
        steps=1,
        **SETS,
    )
    assert result.seed_agreement.undefined() == {"loudness": "the aggregate is nan"}
    json.dumps(result.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ["score", "aggregate", "reason"],
    [
        (lambda example, made: None, None, "None on 3 texts"),
        (LOUD.score, lambda scored: float("nan"), "the aggregate is nan"),
    ],
)
def test_a_run_ends_at_the_seed_where_no_objective_has_a_value(score, aggregate, reason):
    engine = Answering()
    nowhere = Objective("loudness", "Is it loud?", score, aggregate)
    with pytest.raises(SetupError, match=f"'loudness': .*{reason}"):
        optimize(engine, dspy.Predict("question -> answer"), objectives=[nowhere], **SETS)
    assert len(engine.prompts) == 3


def test_the_critic_sees_what_the_objective_shows_and_labels_and_outputs_by_default():
    engine = Answering()
    shy = Objective("brevity", "Is it short?", BRIEF.score, show=lambda example, made: {"n": 7})
    program = dspy.Predict("question -> answer")
    optimize(engine, program, mode="CCC", objectives=[LOUD, shy], steps=1, **SETS)
    _, _, user = next(prompt for prompt in engine.prompts if prompt[0] == "critic")
    inputs = inputs_of(user)
    question = parts_of(inputs["example"])["question"]
    loudness, brevity = parts_of(inputs["results"]).values()
    shown = {name: parts_of(part) for name, part in parts_of(loudness, level=4).items()}
    assert shown == {"expected": {"answer": question.upper()}, "produced": {"answer": question}}
    assert parts_of(brevity) == {"n": "7"}


def test_a_judges_own_objectives_can_be_replaced():
    def exact(example: dspy.Example, made: dspy.Prediction) -> float:
        return float(made.fluency == example.human_fluency)

    engine = Editor(lambda text, number: f"{text} BIAS=0")
    result = optimize(engine, objectives=[Objective("fluency", "Does it read well?", exact)])
    assert result.seed_agreement.by_criterion == {"fluency": 0.125}
    assert [(row.role, row.criteria) for row in result.ledger] == [
        ("judge", RUBRIC.names),
        ("critic", ("fluency",)),
        ("coach", ("fluency",)),
        ("editor", ("fluency",)),
    ]
