"""MOGrad beside DSPy's own optimizers: rows of examples/COMPATIBILITY.md."""

import dspy
import pytest
from dspy.teleprompt import Teleprompter

from mogradjudge import Instructions, MOGrad
from tests.loud import (
    BRIEF,
    LOUD,
    TRAIN,
    VALIDATION,
    LoudEngine,
    instructions,
    is_loud,
    loud_lm,
)

OPTIMIZERS = ("bootstrap", "mipro", "copro", "gepa")
TOLD = "Answer the question aloud."


class Two(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict("question -> draft")
        self.polish = dspy.ChainOfThought("draft -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        return self.polish(draft=self.write(question=question).draft)


def feedback(
    example: dspy.Example,
    made: dspy.Prediction,
    trace: object = None,
    pred_name: object = None,
    pred_trace: object = None,
) -> dspy.Prediction:
    return dspy.Prediction(score=is_loud(example, made), feedback="Not in capitals.")


def anything(example: dspy.Example, made: dspy.Prediction, trace: object = None) -> bool:
    return True


def proposer() -> dspy.LM:
    """Give a model that proposes `TOLD` to every optimizer, under whatever name it asks for it."""
    names = ("proposed_instruction", "new_instruction", "improved_instruction")
    answers = dict.fromkeys(names, TOLD) | {"proposed_prefix_for_output_field": "Answer:"}
    return loud_lm(LoudEngine(**answers), temperature=1.0)


def mograd(**changes: object) -> MOGrad:
    return MOGrad(**{"objectives": [LOUD, BRIEF], "steps": 1, **changes})


def other(name: str) -> Teleprompter:
    if name == "bootstrap":
        return dspy.BootstrapFewShot(anything, max_bootstrapped_demos=2, max_labeled_demos=0)
    if name == "mipro":
        return dspy.MIPROv2(
            is_loud,
            prompt_model=proposer(),
            task_model=loud_lm(),
            max_bootstrapped_demos=0,
            max_labeled_demos=0,
            auto=None,
            num_candidates=2,
            num_threads=1,
        )
    if name == "copro":
        return dspy.COPRO(prompt_model=proposer(), metric=is_loud, breadth=2, depth=1)
    return dspy.GEPA(metric=feedback, max_metric_calls=20, reflection_lm=proposer(), num_threads=1)


def compile_with(name: str, student: dspy.Module) -> dspy.Module:
    changes = {
        "bootstrap": {},
        "mipro": {"valset": VALIDATION, "num_trials": 2, "minibatch": False},
        "copro": {"eval_kwargs": {"num_threads": 1, "display_progress": False}},
        "gepa": {"valset": VALIDATION},
    }
    return other(name).compile(student, trainset=TRAIN, **changes[name])


def demos(program: dspy.Module) -> list[list[dict[str, object]]]:
    return [[dict(demo) for demo in each.demos] for each in program.predictors()]


def accuracy(program: dspy.Module) -> float:
    return dspy.Evaluate(devset=VALIDATION, metric=is_loud, num_threads=1)(program).score


@pytest.mark.filterwarnings("ignore")  # Optuna's and GEPA's own
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_after_another_optimizer(name):
    with dspy.context(lm=loud_lm()):
        first = compile_with(name, Two())
        best = mograd().compile(first, trainset=TRAIN, valset=VALIDATION)
        assert accuracy(best) == 100.0
    assert demos(best) == demos(first)
    assert any(demos(first)) is (name == "bootstrap")
    for text, before in zip(instructions(best).values(), instructions(first).values(), strict=True):
        assert Instructions.parse(text).preamble == before


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_before_another_optimizer(name):
    with dspy.context(lm=loud_lm()):
        # Of one predictor: where another one shouts too, COPRO takes a proposal that is no worse.
        program = dspy.ChainOfThought("question -> answer")
        first = mograd().compile(program, trainset=TRAIN, valset=VALIDATION)
        best = compile_with(name, first)
        assert accuracy(best) == 100.0
    assert instructions(best) == instructions(first)


STRATEGIES = ("m", "m -> b", "b -> m", "m -> b -> m")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_inside_better_together(strategy):
    program = Two()
    program.set_lm(loud_lm())
    together = dspy.BetterTogether(metric=is_loud, m=mograd(), b=other("bootstrap"))
    with dspy.context(lm=loud_lm()):
        best = together.compile(
            program, trainset=TRAIN, valset=VALIDATION, strategy=strategy, seed=0
        )
    assert not best.flag_compilation_error_occurred
    scores = {each["strategy"]: each["score"] for each in best.candidate_programs}
    assert (scores[""], scores[strategy], len(scores)) == (0.0, 100.0, strategy.count(">") + 2)
    assert {type(each.lm) for each in best.predictors()} == {dspy.LM}  # it copies them itself
    assert all("Shout." in text for text in instructions(best).values())


def test_better_together_passes_compile_arguments_on():
    program = Two()
    program.set_lm(loud_lm())
    together = dspy.BetterTogether(metric=is_loud, m=mograd())
    with dspy.context(lm=loud_lm()):
        best = together.compile(
            program,
            trainset=TRAIN,
            valset=VALIDATION,
            teacher=Two(),
            strategy="m",
            optimizer_compile_args={"m": {"num_threads": 1, "valset": VALIDATION[:2]}},
        )
    assert not best.flag_compilation_error_occurred
    config = best.detailed_results.config
    assert (config.num_threads, best.detailed_results.seed_agreement.scored["loudness"]) == (1, 2)


def test_a_teacher_is_accepted():
    for teacher in (None, Two(), [Two()]):
        with dspy.context(lm=loud_lm()):
            best = mograd().compile(Two(), trainset=TRAIN, valset=VALIDATION, teacher=teacher)
            assert accuracy(best) == 100.0


def test_the_number_of_threads_may_be_given_to_compile():
    optimizer = mograd()
    with dspy.context(lm=loud_lm()):
        best = optimizer.compile(Two(), trainset=TRAIN, valset=VALIDATION, num_threads=2)
    assert (best.detailed_results.config.num_threads, optimizer.config.num_threads) == (2, 8)
    with pytest.raises(ValueError, match="`num_threads` must be a whole number >= 1, got 0"):
        optimizer.compile(Two(), trainset=TRAIN, valset=VALIDATION, num_threads=0)


def test_several_compiles_in_a_row_do_not_pile_up():
    with dspy.context(lm=loud_lm()):
        program = Two()
        for _ in range(3):
            program = mograd().compile(program, trainset=TRAIN, valset=VALIDATION)
    programs = [each["program"] for each in program.candidate_programs]
    assert not [each for each in programs if hasattr(each, "candidate_programs")]
