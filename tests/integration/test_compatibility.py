"""What of DSPy works with MOGrad and with a judge: the rows of examples/COMPATIBILITY.md."""

import asyncio
import copy
import re
import threading
from functools import partial

import dspy
import pytest
from dspy.adapters.baml_adapter import BAMLAdapter
from dspy.clients.base_lm import GLOBAL_HISTORY
from dspy.lm15 import Request, response_to_events
from dspy.utils.callback import ACTIVE_CALL_ID, BaseCallback

from benchmarks.worlds.world import toy_examples, toy_rubric
from mogradjudge import Budget, MOGrad, MultiCriteriaJudge, Unscored
from mogradjudge.judge.reply import of_roles
from tests.engines import FORMATS, FunctionEngine, fake_lm, system
from tests.loud import (
    BRIEF,
    LOUD,
    PATHS,
    TRAIN,
    VALIDATION,
    LoudEngine,
    Steps,
    instructions,
    is_loud,
    last,
    look,
    loud_lm,
    optimize,
    outputs,
    role_of,
)
from tests.unit.programs.test_traces import AsyncOnly

RUBRIC = toy_rubric("coherence", "fluency")
TEXTS = toy_examples(RUBRIC, 12)
ADAPTERS = {**{name: adapter for name, (adapter, _) in FORMATS.items()}, "two-step": None}


class Nested(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = Steps()

    def forward(self, question: str) -> dspy.Prediction:
        return self.steps(question=question)


def compiled(program: dspy.Module, **changes: object) -> dspy.Module:
    settings = {"objectives": [LOUD, BRIEF], "steps": 1, "protocol": "paper", **changes}
    sets = {key: settings.pop(key) for key in ("teacher", "num_threads") if key in settings}
    return MOGrad(**settings).compile(program, trainset=TRAIN, valset=VALIDATION, **sets)


def accuracy(program: dspy.Module) -> float:
    evaluate = dspy.Evaluate(devset=VALIDATION, metric=is_loud, num_threads=1)
    return evaluate(program).score


def adapter_named(name: str, extractor: LoudEngine | None = None) -> dspy.Adapter:
    if name == "two-step":
        return dspy.TwoStepAdapter(loud_lm(extractor))
    return ADAPTERS[name]()


# Programs


@pytest.mark.parametrize(
    ["program", "paths"],
    [
        (dspy.Predict("question -> answer"), ["self"]),
        (dspy.ChainOfThought("question -> answer"), ["predict"]),
    ],
)
def test_predict_and_chain_of_thought(program, paths):
    with dspy.context(lm=loud_lm()):
        best = compiled(program)
        assert (accuracy(program), accuracy(best)) == (0.0, 100.0)
    assert list(instructions(best)) == paths


def test_nested_modules():
    with dspy.context(lm=loud_lm()):
        assert accuracy(best := compiled(Nested())) == 100.0
    assert list(instructions(best)) == [f"steps.{path}" for path in PATHS]


def test_lists_and_dicts_of_predictors():
    with dspy.context(lm=loud_lm()):
        assert accuracy(best := compiled(Steps())) == 100.0
    assert all("Shout." in text for text in instructions(best).values())


def test_react():
    agent = dspy.ReAct("question -> answer", tools=[look], max_iters=3)
    with dspy.context(lm=loud_lm()):
        assert (accuracy(agent), accuracy(best := compiled(agent))) == (0.0, 100.0)
    assert list(instructions(best)) == ["react", "extract.predict"]
    assert "(1) look, whose description is" in instructions(best)["react"]


@pytest.mark.parametrize("wrapper", [dspy.BestOfN, dspy.Refine])
def test_best_of_n_and_refine(wrapper):
    def reward(inputs: object, made: dspy.Prediction) -> float:
        return float(made.answer.isupper())

    engine = LoudEngine(discussion="Louder.")
    program = wrapper(dspy.Predict("question -> answer"), N=2, reward_fn=reward, threshold=1.0)
    with dspy.context(lm=loud_lm(engine)):
        best = compiled(program)
        booked, sent = best.detailed_results.calls, len(engine.requests)
        assert accuracy(best) == 100.0
    assert booked == sent
    asked = [outputs(system(each)) for each in engine.requests[:sent]]
    quiet, loud = len(VALIDATION) + 3, len(VALIDATION)  # a quiet answer is asked for once more
    assert asked.count([("answer", "str")]) == 2 * quiet + loud


def test_a_frozen_module_stays_as_it_is():
    program = Nested()
    program.more = dspy.ChainOfThought("text -> answer")
    program.more._compiled = True
    with dspy.context(lm=loud_lm()):
        best = compiled(program)
    assert list(instructions(best)) == [f"steps.{path}" for path in PATHS]
    assert "Shout." not in best.more.predict.signature.instructions


def test_a_judge_inside_another_program():
    class Pipeline(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.say = dspy.Predict("question -> answer")
            self.judge = MultiCriteriaJudge(toy_rubric("loudness"))

        def forward(self, question: str) -> dspy.Prediction:
            made = self.say(question=question)
            rated = self.judge(output=f"{made.answer} loudness=4")
            return dspy.Prediction(answer=made.answer, loudness=rated.loudness)

    with dspy.context(lm=loud_lm()):
        best = compiled(Pipeline(), objectives=[LOUD])
    assert [text[-6:] for text in instructions(best).values()] == ["Shout."] * 2


def test_async_programs():
    program = AsyncOnly()
    with dspy.context(lm=loud_lm()):
        best = compiled(program)
        made = [asyncio.run(each.acall(question="is it h")) for each in (program, best)]
    assert [each.answer for each in made] == ["is it h", "IS IT H"]


def test_a_judge_under_asyncio():
    async def judge() -> list[dspy.Prediction]:
        return [await best.acall(output=text.output) for text in TEXTS[:3]]

    with dspy.context(lm=loud_lm()):
        best = MOGrad(steps=1).compile(
            MultiCriteriaJudge(RUBRIC), trainset=TEXTS[:6], valset=TEXTS[6:]
        )
        scores = asyncio.run(judge())
    assert [each.fluency for each in scores] == [int(text.human_fluency) for text in TEXTS[:3]]


# Adapters


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_program_in_each_adapter(adapter):
    with dspy.context(lm=loud_lm(), adapter=adapter_named(adapter)):
        assert accuracy(best := compiled(Steps())) == 100.0
    assert best.detailed_results.steps[0].skipped == 0


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_judge_saved_in_one_adapter_and_used_in_the_others(adapter, tmp_path):
    with dspy.context(lm=loud_lm(), adapter=adapter_named(adapter)):
        judge = MOGrad(steps=1).compile(
            MultiCriteriaJudge(RUBRIC), trainset=TEXTS[:6], valset=TEXTS[6:]
        )
    judge.save(tmp_path / "judge.json")
    loaded = MultiCriteriaJudge.from_saved(tmp_path / "judge.json")
    assert instructions(loaded) == instructions(judge)
    for other in ADAPTERS:
        with dspy.context(lm=loud_lm(), adapter=adapter_named(other)):
            scores = [loaded(output=text.output).fluency for text in TEXTS[:3]]
        assert scores == [text.human_fluency for text in TEXTS[:3]]


def test_the_calls_of_a_two_step_adapter_are_counted_and_capped():
    main, extractor = LoudEngine(), LoudEngine()
    with dspy.context(adapter=adapter_named("two-step", extractor)):
        result = optimize(Steps(), main)
    assert result.calls == len(main.requests) + len(extractor.requests)
    assert len(main.requests) == len(extractor.requests)


@pytest.mark.parametrize("cap", [1, 7, 12])
def test_a_cap_holds_for_the_calls_of_a_two_step_adapter(cap):
    main, extractor = LoudEngine(), LoudEngine()
    with dspy.context(adapter=adapter_named("two-step", extractor)):
        result = optimize(Steps(), main, budget=Budget(max_calls=cap))
    assert result.stop_reason == "budget"
    assert result.calls == len(main.requests) + len(extractor.requests) == cap


# Settings


def test_settings_of_a_context_hold_in_every_thread():
    engine, elsewhere = LoudEngine(), LoudEngine()
    adapters: set[str] = set()

    class Json(dspy.JSONAdapter):
        def format(self, *args: object, **kwargs: object) -> object:
            adapters.add("json")
            return super().format(*args, **kwargs)

    with dspy.context(lm=loud_lm(elsewhere)), dspy.context(lm=loud_lm(engine), adapter=Json()):
        best = compiled(Steps(), num_threads=8)
    assert (elsewhere.requests, adapters) == ([], {"json"})
    assert best.detailed_results.calls == len(engine.requests)
    assert all("JSON" in system(request) for request in engine.sent("program"))


class Heard(BaseCallback):
    """Notes which handlers DSPy called, and within which call."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, object, object]] = []
        self.ends: list[tuple[str, object]] = []

    def start(self, call_id: str, instance: object, inputs: object, kind: str) -> None:
        self.seen.append((kind, instance, ACTIVE_CALL_ID.get()))

    def end(self, call_id: str, outputs: object, kind: str) -> None:
        self.ends.append((kind, outputs))


for kind in ("compile", "evaluate", "module", "lm"):

    def start(self, call_id, instance, inputs, kind=kind):
        self.start(call_id, instance, inputs, kind)

    def end(self, call_id, outputs, exception=None, kind=kind):
        self.end(call_id, outputs, kind)

    setattr(Heard, f"on_{kind}_start", start)
    setattr(Heard, f"on_{kind}_end", end)


def heard() -> tuple[Heard, LoudEngine, dspy.Module]:
    callback, engine = Heard(), LoudEngine()
    with dspy.context(lm=loud_lm(engine), callbacks=[callback]):
        best = compiled(Steps(), num_threads=4)
    return callback, engine, best


def test_on_compile_fires():
    callback, _, best = heard()
    assert [type(each) for kind, each, _ in callback.seen if kind == "compile"] == [MOGrad]
    assert [each for kind, each in callback.ends if kind == "compile"] == [best]


def test_on_evaluate_fires_for_each_scoring_of_the_validation_texts():
    callback, _, _ = heard()
    scored = [each for kind, each, _ in callback.seen if kind == "evaluate"]
    assert all(isinstance(each, dspy.Evaluate) for each in scored)
    assert [each.devset for each in scored] == [VALIDATION, VALIDATION]
    results = [each for kind, each in callback.ends if kind == "evaluate"]
    assert [each.score for each in results] == [50.0, 100.0]
    assert [[score for *_, score in each.results] for each in results] == [[0.5] * 3, [1.0] * 3]


def test_on_module_and_on_lm_fire_in_every_thread_within_the_compile():
    callback, engine, _ = heard()
    kinds = [kind for kind, *_ in callback.seen]
    assert kinds.count("lm") == len(engine.requests) == [k for k, _ in callback.ends].count("lm")
    assert kinds.count("module") > kinds.count("lm")
    assert [parent for kind, _, parent in callback.seen if kind != "compile" and not parent] == []


def test_callbacks_of_a_module_fire_and_stay():
    callback, program = Heard(), Steps()
    program.last.callbacks = [callback]
    with dspy.context(lm=loud_lm()):
        best = compiled(program)
    assert len(callback.seen) == 2 * (3 + 3 + 3)
    assert best.last.callbacks == [callback]


class Inside(dspy.Module):
    """A program with threads of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.say = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        calls = [(self.say, {"question": question}), (self.say, {"question": f"{question}?"})]
        return dspy.Parallel(num_threads=2, disable_progress_bar=True)(calls)[0]


def test_the_users_usage_tracker_hears_of_every_call():
    engines = [LoudEngine(), LoudEngine()]
    with dspy.track_usage() as tracker, dspy.context(lm=loud_lm(engines[0])):
        compiled(Inside(), prompt_lm=loud_lm(engines[1]), num_threads=4)
    (total,) = tracker.get_total_tokens().values()
    assert total["prompt_tokens"] == sum(len(each.requests) for each in engines)
    assert len(engines[0].requests) == 2 * (3 + 3 + 3)
    assert type(dspy.settings.usage_tracker) is type(None)


def test_a_pinned_lm_stays_pinned_and_speaks():
    pinned, default = LoudEngine(), LoudEngine()
    program = Nested()
    program.set_lm(lm := loud_lm(pinned))
    with dspy.context(lm=loud_lm(default)):
        best = compiled(program)
    assert all(each.lm is lm for each in (*best.predictors(), *program.predictors()))
    assert (set(pinned.calls), set(default.calls)) == ({"program"}, {"critic", "coach", "editor"})
    assert (type(lm), lm.history) == (dspy.LM, [])


def test_student_examples_and_settings_are_not_changed():
    program = Nested()
    program.notes = {"a": [1, 2]}
    sets = [copy.deepcopy(each) for each in (TRAIN, VALIDATION)]
    before, history = copy.deepcopy(vars(program.steps.last)), list(GLOBAL_HISTORY)
    with dspy.context(lm=loud_lm(), trace=[]):
        settings = dict(dspy.settings.copy())
        compiled(program)
        assert dict(dspy.settings.copy()) == settings
        assert dspy.settings.trace == []
    assert tuple(sets) == (TRAIN, VALIDATION)
    assert {**vars(program.steps.last), "signature": None} == {**before, "signature": None}
    assert instructions(program) == instructions(Nested())
    assert (set(vars(program)), program.notes) == ({*vars(Nested()), "notes"}, {"a": [1, 2]})
    assert (history, program.history) == (list(GLOBAL_HISTORY), [])


# Saving and serving


def test_a_program_saved_as_json(tmp_path):
    with dspy.context(lm=loud_lm()):
        compiled(Steps()).save(tmp_path / "program.json")
        loaded = Steps()
        loaded.load(tmp_path / "program.json")
        assert accuracy(loaded) == 100.0


def test_a_program_saved_as_a_whole(tmp_path):
    with dspy.context(lm=loud_lm()):
        best = compiled(dspy.ChainOfThought("question -> answer"), objectives=[BRIEF, LOUD])
        best.save(tmp_path / "program", save_program=True)
        loaded = dspy.load(tmp_path / "program", allow_pickle=True)
        assert accuracy(loaded) == 100.0
    assert loaded.detailed_results.as_dict() == best.detailed_results.as_dict()
    assert instructions(loaded) == instructions(best)


def test_asyncify():
    with dspy.context(lm=loud_lm()):
        best = compiled(Steps())
        assert asyncio.run(dspy.asyncify(best)(question="is it h")).answer == "IS IT H"


def test_streamify():
    class Streaming(LoudEngine):
        def stream(self, request):
            return response_to_events(self.complete(request))

    async def last_chunk(program):
        return [chunk async for chunk in dspy.streamify(program)(output=TEXTS[0].output)][-1]

    with dspy.context(lm=loud_lm()):
        judge = MOGrad(steps=1).compile(
            MultiCriteriaJudge(RUBRIC), trainset=TEXTS[:6], valset=TEXTS[6:]
        )
    with dspy.context(lm=loud_lm(Streaming())):
        assert asyncio.run(last_chunk(judge)).fluency == TEXTS[0].human_fluency


# Adapters of the user's own


class Acme(dspy.Adapter):
    """A format and a parse of its own, with an LM and notes of its own."""

    def __init__(self, lm: dspy.BaseLM | None = None) -> None:
        super().__init__()
        self.lm, self.lock, self.written, self.names = lm, threading.Lock(), 0, ()

    def format(self, signature, demos, inputs):
        with self.lock:
            self.written += 1
        self.names = tuple(signature.output_fields)
        asked = "\n".join(map(str, inputs.values()))
        told = f"ACME {signature.instructions}"
        return [{"role": "system", "content": told}, {"role": "user", "content": asked}]

    def parse(self, signature, completion):
        if self.lm is not None:
            completion = self.lm(completion)[0]
        return dict.fromkeys(self.names, completion)


class AcmeChat(dspy.ChatAdapter):
    """The template of a house, over DSPy's own; it notes what its parse needs."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.names = 0, ()

    def format(self, signature, demos, inputs):
        self.written += 1
        self.names = tuple(signature.output_fields)
        system, *others = super().format(signature, demos, inputs)
        return [{**system, "content": f"ACME {system['content']}"}, *others]

    def parse(self, signature, completion):
        return {
            name: super(AcmeChat, self).parse(signature, completion)[name] for name in self.names
        }


class AcmeEngine(LoudEngine):
    def answer(self, request: Request) -> str:
        if not system(request).startswith("ACME ") or "All interactions" in system(request):
            return super().answer(request)
        text = re.findall(r"is it \w", last(request), re.IGNORECASE)[-1]
        return text.upper() if "Shout." in system(request) else text


def acme_with_an_lm(engine: FunctionEngine) -> Acme:
    return Acme(fake_lm(engine))


def repeat(request: Request) -> str:
    return last(request)


OWN = FunctionEngine(repeat)


@pytest.mark.parametrize("adapter", [Acme, AcmeChat, partial(acme_with_an_lm, OWN)])
@pytest.mark.parametrize("program", [Steps, AsyncOnly])
def test_an_adapter_of_the_users_speaks_for_the_program_alone(adapter, program):
    engine, own = AcmeEngine(), adapter()
    OWN.requests.clear()
    with dspy.context(lm=loud_lm(engine), adapter=own):
        optimizer = MOGrad(objectives=[LOUD], steps=1, num_threads=1)
        result = optimizer.optimize(program(), trainset=TRAIN, valset=VALIDATION)
    assert result.final_agreement.mean == 1.0
    house = [request for request in engine.requests if "ACME" in system(request)]
    roles = [request for request in engine.requests if "ACME" not in system(request)]
    assert own.written == len(house) > 0
    assert {role_of(request) for request in roles} == {"critic", "coach", "editor"}
    assert len(OWN.requests) == (len(house) if getattr(own, "lm", None) else 0)


def test_the_roles_speak_through_dspys_own_adapters_as_before():
    dspys = [dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter(), BAMLAdapter()]
    dspys.append(dspy.TwoStepAdapter(loud_lm()))
    assert [type(of_roles(each)) for each in dspys] == [type(each) for each in dspys]
    users = [None, Acme(), AcmeChat(), type("Twice", (dspy.TwoStepAdapter,), {})(loud_lm())]
    assert {type(of_roles(each)) for each in users} == {dspy.ChatAdapter}


class Strict(Acme):
    def parse(self, signature, completion):
        names = signature.output_fields
        return {name: int(re.search(rf"{name}=(\d+)", completion)[1]) for name in names}


@pytest.mark.parametrize("layout", ["combined", "separate"])
def test_a_judges_reply_that_an_own_adapter_cannot_read_is_unscored(layout):
    replies = {"good": "coherence=3 fluency=4", "half": "coherence=9 fluency=4", "bad": "No."}
    lm = fake_lm(FunctionEngine(lambda request: replies[last(request)]))
    judge = MultiCriteriaJudge(RUBRIC, layout=layout)
    with dspy.context(lm=lm, adapter=Strict()):
        good, half, bad = (judge(output=text) for text in ("good", "half", "bad"))
        again = asyncio.run(judge.acall(output="bad"))
    assert (good.coherence, good.fluency, half.fluency) == (3, 4, 4)
    unread = [half.coherence, bad.coherence, bad.fluency, again.coherence, again.fluency]
    assert all(isinstance(score, Unscored) for score in unread)
