"""Candidates are raced on blocks of documents; the result is confirmed on texts that chose nothing.

The loop runs in the toy world, where ``BIAS=0`` is perfect and the editor is the test's own.
"""

import json
import random
import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from benchmarks.worlds.world import (
    ToyEngine,
    critique_or_advice,
    fields,
    labels_of,
    role_of,
    toy_examples,
    toy_lm,
    toy_rubric,
)
from mogradjudge import (
    AlwaysAccept,
    Budget,
    MOGrad,
    MultiCriteriaJudge,
    NoCriterionRegression,
    NoMeanRegression,
    Objective,
    OptimizationResult,
)
from mogradjudge.agreement import Deviation
from mogradjudge.agreement.applicability import Applicability
from mogradjudge.data import example_key
from mogradjudge.judge.instructions import Instructions
from mogradjudge.judge.scores import Unscored
from mogradjudge.objectives import rubric_objectives
from mogradjudge.optimize.archive import best_ones, parent_of
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.confirmation import Confirmation, confirmed, documents_needed
from mogradjudge.optimize.datasets import examples_of
from mogradjudge.optimize.difference import Difference, difference_between
from mogradjudge.optimize.events import (
    CandidateScored,
    Event,
    GateDecided,
    MixScored,
    RaceEnded,
    ResultConfirmed,
    RunStarted,
    SeedScored,
    StepEnded,
    StepStarted,
)
from mogradjudge.optimize.race import chance_to_hold, race_over
from mogradjudge.optimize.result import Measured
from mogradjudge.optimize.sections import changed, with_sections
from mogradjudge.optimize.selection import corrected_gain
from mogradjudge.optimize.state import State
from mogradjudge.programs.candidate import Candidate, Slot
from mogradjudge.programs.evaluation import Agreement, Judgement, agreement_of
from mogradjudge.scoring.evaluate import evaluation_report
from mogradjudge.settings import Measure
from report_runs import rated_twice

RUBRIC = toy_rubric("coherence", "fluency")
TEXTS = toy_examples(RUBRIC, 60)
TRAIN, VALIDATION = TEXTS[:12], TEXTS[12:]
OBJECTIVES = rubric_objectives(RUBRIC)


class Editor(ToyEngine):
    """The toy world with another editor: ``biases`` are those that it writes, step by step.

    ``flips`` says of a judge's prompt whether the bias takes the other sign there: what helps on
    some texts hurts on others.
    """

    def __init__(
        self,
        *biases: dict[str, int],
        flips: Callable[[str], bool] = lambda user: False,
    ) -> None:
        super().__init__()
        self.biases = biases
        self.flips = flips

    def answer(self, system: str, user: str) -> str:
        if role_of(system) == "coach":
            return fields(critique_or_advice(user, "", "Write it anew."))
        if role_of(system) == "editor":
            biases = self.biases[min(self.calls["editor"], len(self.biases)) - 1]
            new = {name: f"Rate it. BIAS={biases[name]}" for name in labels_of(system)}
            return f"[[ ## new_instructions ## ]]\n{json.dumps(new)}\n\n[[ ## completed ## ]]"
        if role_of(system) == "judge" and self.flips(user):
            system = system.replace("BIAS=0", "BIAS=5").replace("BIAS=2", "BIAS=0")
        return super().answer(system, user)


class Crossing(ToyEngine):
    """The toy world with an editor that helps one criterion and harms the other."""

    def biases(self, number: int) -> tuple[int, ...]:
        return (number % 2, 3 + number // 2 % 2)[:: 1 if number // 4 % 2 else -1]

    def answer(self, system: str, user: str) -> str:
        if role_of(system) == "coach":
            return fields(
                critique_or_advice(user, "", f"Write it anew: {zlib.crc32(user.encode())}.")
            )
        if role_of(system) == "editor":
            biases = self.biases(zlib.crc32(user.encode()))
            texts = (f"Rate it. BIAS={bias}" for bias in biases)
            new = dict(zip(labels_of(system), texts, strict=False))
            return f"[[ ## new_instructions ## ]]\n{json.dumps(new)}\n\n[[ ## completed ## ]]"
        return super().answer(system, user)


class Sacrificing(Crossing):
    """The toy world with an editor that helps coherence, more or less, and harms fluency."""

    def biases(self, number: int) -> tuple[int, ...]:
        return number % 2, 4


class Helping(Crossing):
    """The toy world with an editor that helps both criteria, more or less."""

    def biases(self, number: int) -> tuple[int, ...]:
        return number % 2, number // 2 % 2


def both(bias: int) -> dict[str, int]:
    return {"coherence": bias, "fluency": bias}


ONE_BETTER = {"coherence": 0, "fluency": 4}


def optimize(
    engine: ToyEngine,
    *,
    layout: str = "combined",
    trainset: Iterable[dspy.Example] = TRAIN,
    valset: Iterable[dspy.Example] | None = VALIDATION,
    events: list[Event] | None = None,
    **changes: object,
) -> OptimizationResult:
    settings = {"steps": 1, "batch_size": 3, "sampling": "uniform", "skip_tolerance": None}
    optimizer = MOGrad(
        **settings | changes,
        observers=[] if events is None else [events.append],
    )
    with dspy.context(lm=toy_lm(engine)):
        judge = MultiCriteriaJudge(RUBRIC, layout=layout)
        return optimizer.optimize(judge, trainset=trainset, valset=valset)


def texts_of(events: list[Event], split: str) -> list[set[str]]:
    scored = [event for event in events if isinstance(event, CandidateScored)]
    return [{text.example_id for text in event.texts} for event in scored if event.split == split]


# The race


def test_a_hopeless_candidate_is_read_no_further_and_refused():
    events: list[Event] = []
    engine = Editor(both(4))
    result = optimize(engine, confirm="off", events=events)
    (record,) = result.steps
    (ended,) = (event for event in events if isinstance(event, RaceEnded))
    assert not record.accepted
    assert record.texts == ended.texts < len(VALIDATION) == ended.of
    assert [len(texts) for texts in texts_of(events, "validation")] == [48, record.texts]
    assert result.as_dict()["steps"][0]["texts"] == record.texts


def test_no_candidate_is_accepted_before_all_texts_are_read():
    events: list[Event] = []
    result = optimize(Editor(both(0)), confirm="off", events=events)
    assert result.steps[0].accepted
    assert result.steps[0].texts is None
    assert [len(texts) for texts in texts_of(events, "validation")] == [48, 48]


@pytest.mark.parametrize("gate", [AlwaysAccept(), lambda current, proposed: False])
def test_a_gate_that_names_no_limits_sees_all_texts(gate):
    events: list[Event] = []
    optimize(Editor(both(4)), confirm="off", gate=gate, events=events)
    assert [len(texts) for texts in texts_of(events, "validation")] == [48, 48]


def test_an_aggregate_of_the_users_is_called_once_a_candidate():
    calls: list[int] = []

    def mean(scored):
        calls.append(len(scored))
        return sum(result.score for result in scored) / len(scored)

    close = OBJECTIVES[0].score
    mine = Objective("coherence", "Is coherent.", close, aggregate=mean)
    optimize(Editor({"coherence": 4}), objectives=[mine], confirm="off")
    assert set(calls) == {48}


@pytest.mark.slow
def test_a_refused_candidate_is_not_paid_again_however_little_was_read():
    engine = Editor(both(4))
    optimize(engine, confirm="off", steps=2)
    once = engine.calls["judge"]
    engine = Editor(both(4))
    optimize(engine, confirm="off", steps=3)
    assert engine.calls["judge"] == once + 3  # the third batch


def test_a_refused_candidate_that_returns_is_compared_on_the_texts_that_were_read_of_it():
    changes = {"pool": "example", "confirm": "off", "steps": 2}  # its editor may repeat itself
    first, again = optimize(Editor(both(4)), **changes).steps
    assert again.texts == first.texts < len(VALIDATION)
    assert (again.current, again.proposed) == (first.current, first.proposed)


def test_texts_without_a_group_are_raced_as_documents_of_their_own():
    names = set(VALIDATION[0].keys()) - {"group"}
    alone = [
        dspy.Example({it: text[it] for it in names}).with_inputs("output") for text in VALIDATION
    ]
    (record,) = optimize(Editor(both(4)), valset=alone, confirm="off").steps
    assert record.texts < len(alone)


@pytest.mark.slow
def test_races_without_a_race_end_alike_where_the_candidates_differ_much():
    raced = optimize(Editor(both(4), both(1), both(3), both(0)), confirm="off", steps=4)
    whole = optimize(Editor(both(4), both(1), both(3), both(0)), confirm="off", steps=4, race="off")
    assert [step.accepted for step in raced.steps] == [step.accepted for step in whole.steps]
    assert raced.final_agreement == whole.final_agreement
    assert raced.calls < whole.calls


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=40),
    seed=st.integers(0, 5),
)
def test_blocks_share_no_document_and_leave_out_no_text(sizes, seed):
    groups = [str(number) for number, size in enumerate(sizes) for _ in range(size)]
    texts = [
        dspy.Example(text=str(place), group=group).with_inputs("text")
        for place, group in enumerate(groups)
    ]
    race = race_over(
        texts, OBJECTIVES, NoMeanRegression(), seed=seed, by_group=True, in_blocks=True
    )
    assert sorted(place for block in race.blocks for place in block) == list(range(len(texts)))
    documents = [{groups[place] for place in block} for block in race.blocks]
    assert sum(map(len, documents)) == len(sizes)
    assert len(documents[0]) >= min(8, len(sizes))
    assert len(race.blocks) > 1 or len(set(sizes)) > 1 or len(sizes) < 12


def test_no_race_ends_before_eight_documents_were_read():
    texts = [replace_group(text, str(place // 2)) for place, text in enumerate(VALIDATION[:36])]
    events: list[Event] = []
    optimize(Editor(both(4)), valset=texts, confirm="off", events=events)
    (ended,) = (event for event in events if isinstance(event, RaceEnded))
    assert 16 <= ended.texts < 36


def difference_of(value: float, error: float | None, parts: int = 20) -> Difference:
    nothing = Agreement.unmeasured(("tone",))
    return Difference(nothing, nothing, {"mean": value}, {"mean": error}, parts)


@pytest.mark.parametrize("parts", [8, 12, 20])
def test_the_chance_is_that_of_few_documents(parts):
    # With half of the texts read, the margin is -0.1 and the spread 0.1 * 0.5.
    chance = chance_to_hold(difference_of(-0.1, 0.1, parts), "mean", 0.0, 0.5)
    assert chance == pytest.approx(student.cdf(-2, parts - 1))


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.001, 0.5), st.floats(0.1, 0.9))
def test_the_chance_rises_with_the_difference_and_is_half_at_the_limit(value, more, error, share):
    low = chance_to_hold(difference_of(value, error), "mean", 0.0, share)
    high = chance_to_hold(difference_of(value + more, error), "mean", 0.0, share)
    assert 0 <= low <= high <= 1
    assert chance_to_hold(difference_of(-0.1, error), "mean", 0.1, share) == pytest.approx(0.5)


def test_without_a_standard_error_nothing_ends_early():
    assert chance_to_hold(difference_of(-0.5, None), "mean", 0.0, 0.5) == 1.0
    assert chance_to_hold(difference_of(-0.5, 0.1), "tone", 0.0, 0.5) == 1.0


def judged(scores: list[tuple[int, int]], documents: int) -> list[Judgement]:
    judgements = []
    for place, (human, judge) in enumerate(scores):
        example = dspy.Example(human_coherence=float(human), human_fluency=float(human))
        prediction = dspy.Prediction(coherence=judge, fluency=6 - judge)
        scores_of_both = {it.name: it.scored(example, prediction) for it in OBJECTIVES}
        group = str(place % documents)
        judgements.append(Judgement(str(place), group, example, prediction, scores_of_both))
    return judgements


SCORES = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))


def check_left_out(objectives, data, documents):
    slow = tuple(
        replace(it, aggregate=lambda scored, own=it.aggregate: own(scored)) for it in objectives
    )
    first = judged([(human, one) for human, one, _ in data], documents)
    second = judged([(human, other) for human, _, other in data], documents)
    fast, oracle = (difference_between(first, second, its) for its in (objectives, slow))
    assert fast.values == oracle.values
    for name, error in oracle.errors.items():
        assert fast.errors[name] == (None if error is None else pytest.approx(error, abs=1e-9))


@pytest.mark.parametrize("level", ["pooled", "group"])
@settings(max_examples=30)
@given(data=st.lists(SCORES, min_size=6, max_size=40), documents=st.integers(2, 25))
def test_standard_errors_are_those_of_leaving_parts_out_one_by_one(level, data, documents):
    check_left_out(rubric_objectives(RUBRIC, level), data, documents)


MEASURES = pytest.mark.parametrize("measure", get_args(Measure))


@MEASURES
@pytest.mark.parametrize("level", ["pooled", "group"])
@settings(max_examples=20)
@given(data=st.lists(SCORES, min_size=6, max_size=40), documents=st.integers(2, 25))
def test_errors_of_each_measure_are_those_of_leaving_parts_out(level, measure, data, documents):
    check_left_out(rubric_objectives(RUBRIC, level, measure), data, documents)


@MEASURES
def test_a_better_rewrite_wins_race_and_confirmation_by_each_measure(measure):
    events: list[Event] = []
    result = optimize(Editor(both(4), both(0)), steps=2, measure=measure, events=events)
    assert [step.accepted for step in result.steps] == [False, True]
    assert result.measures == dict.fromkeys(RUBRIC.names, measure)
    assert result.final_agreement.mean == pytest.approx(1.0)
    assert result.confirmation.verdict == "confirmed" and result.confirmation.difference > 0
    assert next(it for it in events if isinstance(it, RunStarted)).measures == result.measures


@MEASURES
def test_the_corrected_gain_is_in_units_of_the_measure(measure):
    objectives = rubric_objectives(RUBRIC, measure=measure)
    seed = judged([(place % 5 + 1, place % 3 + 1) for place in range(40)], 20)
    better = judged([(place % 5 + 1, place % 5 + 1) for place in range(40)], 20)
    gain = corrected_gain([seed, better], 1, objectives)
    plain = agreement_of(better, objectives).mean - agreement_of(seed, objectives).mean
    assert gain == pytest.approx(plain, abs=0.05)


def test_bias_and_mean_error_stand_beside_agreement_at_every_step():
    events: list[Event] = []
    result = optimize(Editor(both(0)), confirm="off", events=events)
    (decided,) = (event for event in events if isinstance(event, GateDecided))
    (seeded,) = (event for event in events if isinstance(event, SeedScored))
    (ended,) = (event for event in events if isinstance(event, StepEnded))
    assert decided.current_deviations == seeded.deviations
    after = dict.fromkeys(RUBRIC.names, Deviation(0.0, 0.0, 0.0))
    assert decided.proposed_deviations == ended.deviations == after
    assert seeded.deviations["fluency"].mean_error > 0
    figures = seeded.figures()
    assert figures["bias/fluency"] == seeded.deviations["fluency"].bias
    assert f"{seeded.deviations['fluency'].bias:+.2f}" in decided.describe()
    (step,) = result.as_dict()["steps"]
    assert step["deviations"]["fluency"]["mean_error"] == 0.0
    assert result.as_dict()["deviations"]["seed"]["fluency"]["bias"] == figures["bias/fluency"]


# Sections that are judged by themselves


@pytest.mark.slow
def test_in_the_separate_layout_a_section_is_kept_or_refused_by_itself():
    engine = Editor({"coherence": 0, "fluency": 4})
    result = optimize(engine, layout="separate", confirm="off")
    sections = {
        name: section
        for predictor in result.program.predictors()
        for name, section in re.findall(
            r"### Criterion: (\w+)\n(.*)", predictor.signature.instructions
        )
    }
    assert result.steps[0].accepted
    assert "BIAS=0" in sections["coherence"]
    assert "BIAS=4" not in sections["fluency"]
    sent = engine.calls["judge"]
    with dspy.context(lm=toy_lm(engine)):
        measured = evaluation_report(result.program, VALIDATION, 4)
    assert engine.calls["judge"] == sent + 2 * len(VALIDATION)
    values = {name: it["spearman"] for name, it in measured["criteria"].items()}
    assert dict(result.final_agreement.by_criterion) == pytest.approx(values)


@pytest.mark.slow
def test_a_tolerance_holds_for_sections_that_are_judged_by_themselves():
    gate = NoCriterionRegression(tolerance=2.0)
    result = optimize(Editor(ONE_BETTER), layout="separate", confirm="off", gate=gate)
    assert result.steps[0].accepted
    assert result.steps[0].sections == ()


def test_a_preamble_goes_with_the_sections_below_it():
    def candidate(word: str) -> Candidate:
        texts = {name: Instructions(word, {name: word}) for name in RUBRIC.names}
        return Candidate({**texts, "all": Instructions(word, dict.fromkeys(RUBRIC.names, word))})

    slots = [Slot(name, name, name) for name in RUBRIC.names]
    slots += [Slot(f"all {name}", "all", name) for name in RUBRIC.names]
    preambles = [Slot(f"{path} preamble", path, None) for path in (*RUBRIC.names, "all")]
    old, new = candidate("old"), candidate("new")
    mixed = with_sections(old, new, slots, preambles, ("coherence",))
    assert mixed.instructions["coherence"] == new.instructions["coherence"]
    assert mixed.instructions["fluency"] == old.instructions["fluency"]
    assert mixed.instructions["all"] == Instructions("old", {"coherence": "new", "fluency": "old"})
    assert changed(old, mixed, slots) == ("coherence",)


@pytest.mark.slow
def test_a_mixed_candidate_is_compared_with_the_next_one_on_its_own_scores():
    biases = ({"coherence": 0, "fluency": 4}, {"coherence": 4, "fluency": 0})
    result = optimize(Editor(*biases), layout="separate", confirm="off", steps=2)
    assert [step.accepted for step in result.steps] == [True, True]
    assert result.final_agreement.mean == pytest.approx(1.0)


# The mix, in the combined layout


def sections_of(result: OptimizationResult) -> dict[str, str]:
    (predictor,) = result.program.predictors()
    instructions = predictor.signature.instructions
    return dict(re.findall(r"### Criterion: (\w+)\n(.*)", instructions))


def test_what_did_better_is_scored_with_the_old_rest_before_the_next_batch():
    events: list[Event] = []
    engine = Editor(ONE_BETTER)
    result = optimize(engine, confirm="off", race="off", events=events)
    (record,) = result.steps
    (mix,) = (event for event in events if isinstance(event, MixScored))
    assert mix.deviations["coherence"].bias == 0 < mix.deviations["fluency"].bias
    assert (mix.sections, mix.accepted, record.sections) == (("coherence",), True, ("coherence",))
    (decided,) = (event for event in events if isinstance(event, GateDecided))
    assert decided.proposed == mix.agreement != record.proposed.as_dict()
    assert decided.proposed_deviations == mix.deviations
    sections = sections_of(result)
    assert "BIAS=0" in sections["coherence"]
    assert "BIAS=4" not in sections["fluency"]
    assert result.final_agreement == record.mixed == record.agreement
    assert engine.calls["judge"] == 3 * len(VALIDATION) + 3
    with dspy.context(lm=toy_lm()):
        measured = evaluation_report(result.program, VALIDATION, 4)
    values = {name: it["spearman"] for name, it in measured["criteria"].items()}
    assert dict(result.final_agreement.by_criterion) == pytest.approx(values)
    assert result.as_dict()["steps"][0]["mixed"] == record.mixed.as_dict()


def test_a_mix_is_scored_after_a_race_that_ended_early():
    events: list[Event] = []
    result = optimize(
        Editor(ONE_BETTER), gate=NoCriterionRegression(), confirm="off", events=events
    )
    (record,) = result.steps
    assert record.texts is not None
    assert record.sections == ("coherence",)
    (decided,) = (event for event in events if isinstance(event, GateDecided))
    assert (decided.texts, decided.proposed) == (None, record.mixed.as_dict())
    assert decided.current == result.seed_agreement.as_dict()


@pytest.mark.parametrize(
    ("layout", "changes"),
    [
        ("separate", {}),
        ("combined", {"race": "off"}),
        ("combined", {"gate": NoCriterionRegression()}),  # the proposal's race ends early
    ],
)
def test_coach_and_editor_read_what_the_mix_did_and_what_was_left_out(layout, changes):
    class Together(Editor):
        """What helps coherence helps it only half beside the new section on fluency."""

        def answer(self, system: str, user: str) -> str:
            if layout == "combined" and role_of(system) == "judge" and "BIAS=4" in system:
                number = int(re.search(r"Text (\d+)", user)[1])
                system = system.replace("BIAS=0", "BIAS=1") if number % 2 else system
            return super().answer(system, user)

    class Listening(Together):
        def __init__(self) -> None:
            super().__init__(ONE_BETTER)
            self.heard: list[str] = []

        def answer(self, system: str, user: str) -> str:
            self.heard += [user] if role_of(system) == "coach" else []
            return super().answer(system, user)

    engine = Listening()
    result = optimize(engine, layout=layout, confirm="off", steps=2, num_threads=1, **changes)
    record = result.steps[0]
    assert record.sections == ("coherence",)
    before, after = result.measured[0].agreement, record.mixed
    gain = after.by_criterion["coherence"] - before.by_criterion["coherence"]
    edits = "\n".join(line for user in engine.heard for line in user.splitlines())
    heads = set(re.findall(r"step 1, .*", edits))
    kept = [head for head in heads if head.startswith("step 1, kept")]
    assert kept and all(f"coherence {gain:+.2f}, fluency +0.00" in head for head in kept)
    assert all(f"on {len(VALIDATION)} texts" in head for head in kept)
    left_out = [head for head in heads if head.startswith("step 1, left out")]
    assert left_out and all("fluency -" in head for head in left_out)
    assert len(kept) + len(left_out) == len(heads)


@pytest.mark.parametrize(
    ("biases", "changes"),
    [
        (both(0), {}),  # no loser
        (both(4), {}),  # no winner
        (ONE_BETTER, {"mix": "off"}),
        (ONE_BETTER, {"protocol": "paper"}),
        (ONE_BETTER, {"gate": AlwaysAccept()}),
        (ONE_BETTER, {"gate": lambda current, proposed: False}),
        (ONE_BETTER, {"gate": NoCriterionRegression(tolerance=2.0)}),
    ],
)
def test_nothing_is_mixed_without_a_winner_and_a_loser(biases, changes):
    events: list[Event] = []
    result = optimize(Editor(biases), confirm="off", events=events, **changes)
    assert not any(isinstance(event, MixScored) for event in events)
    assert result.steps[0].mixed is None


def test_a_mix_that_was_scored_is_not_paid_again():
    class Together(Editor):
        """What helps coherence helps it only beside the new section on fluency."""

        def answer(self, system: str, user: str) -> str:
            is_mix = role_of(system) == "judge" and "BIAS=4" not in system
            return super().answer(system.replace("BIAS=0", "BIAS=4") if is_mix else system, user)

    engine = Together(ONE_BETTER)
    result = optimize(engine, confirm="off", race="off", steps=3)
    assert [step.mixed is None for step in result.steps] == [False, True, True]
    assert [step.accepted for step in result.steps] == [False] * 3
    assert engine.calls["judge"] == 3 * len(VALIDATION) + 3 * 3


# The confirmation


def parts_of(trainset, valset, **changes):
    return examples_of(MOGradConfig(**changes), RUBRIC, trainset, valset, ())


@pytest.mark.parametrize("valset", [None, VALIDATION])
def test_the_texts_that_confirm_are_in_no_other_part(valset):
    trainset = TEXTS if valset is None else TRAIN
    data = parts_of(trainset, valset)
    keys = {name: {example_key(text) for text in part} for name, part in data.parts.items()}
    assert data.needed is None
    assert len(keys["confirmation"]) >= 16
    names = ("training", "validation", "confirmation")
    assert sum(len(keys[name]) for name in names) == len(set().union(*keys.values())) == 60


@pytest.mark.parametrize(
    ("trainset", "valset", "needed"), [(TEXTS[:50], None, 54), (TRAIN, 30, 40)]
)
def test_too_few_documents_leave_all_texts_to_the_race(trainset, valset, needed):
    valset = valset and VALIDATION[:valset]
    data = parts_of(trainset, valset)
    without = parts_of(trainset, valset, confirm="off")
    assert data.needed == needed
    assert data.parts == without.parts
    assert not data.parts["confirmation"]
    result = optimize(Editor(both(0)), trainset=trainset, valset=valset)
    assert result.confirmation.verdict == "too few documents"
    assert result.as_dict()["confirmation"]["needed"] == needed
    assert not result.seed_kept


def test_documents_count_and_not_texts():
    texts = [replace_group(text, str(place // 4)) for place, text in enumerate(VALIDATION)]
    assert parts_of(TRAIN, texts).needed == documents_needed(0.4) == 40


def replace_group(text: dspy.Example, group: str) -> dspy.Example:
    return dspy.Example(**{**dict(text), "group": group}).with_inputs("output")


def test_a_true_gain_is_confirmed_and_its_agreement_is_that_of_fresh_texts():
    events: list[Event] = []
    engine = Editor(both(0))
    result = optimize(engine, events=events)
    fresh = parts_of(TRAIN, VALIDATION).parts["confirmation"]
    assert result.confirmation.verdict == "confirmed"
    assert not result.seed_kept
    assert texts_of(events, "confirmation") == 2 * [{example_key(text) for text in fresh}]
    with dspy.context(lm=toy_lm()):
        before, after = (
            evaluation_report(program, fresh, 4)["mean"]
            for program in (MultiCriteriaJudge(RUBRIC), result.program)
        )
    assert result.seed_agreement.mean == pytest.approx(before)
    assert result.final_agreement.mean == pytest.approx(after)
    assert result.confirmation.difference == pytest.approx(after - before)
    low, high = result.confirmation.interval
    assert low < after - before < high
    assert any(isinstance(event, ResultConfirmed) for event in events)


def lucky() -> Editor:
    """Make a world in which what helps on the validation texts hurts on all others."""
    chosen = [text.output for text in parts_of(TRAIN, VALIDATION).parts["confirmation"]]
    return Editor(both(0), flips=lambda user: any(text in user for text in chosen))


@pytest.mark.parametrize("confirm", ["report", "require"])
def test_luck_on_the_validation_texts_is_not_returned(confirm):
    result = optimize(lucky(), confirm=confirm)
    assert result.steps[0].accepted
    assert result.selection.best.mean > result.selection.seed.mean
    assert result.confirmation.verdict == "not confirmed"
    assert result.confirmation.difference < 0
    assert result.seed_kept
    assert result.final_agreement == result.seed_agreement


def test_without_a_confirmation_luck_is_returned():
    texts = parts_of(TRAIN, VALIDATION).parts["validation"]
    assert not optimize(lucky(), valset=texts, confirm="off").seed_kept


@pytest.mark.slow
def test_what_is_required_is_confirmed_or_the_initial_instructions_are_kept():
    few = optimize(Editor(both(0)), valset=VALIDATION[:30], confirm="require")
    assert few.seed_kept
    assert few.confirmation.verdict == "too few documents"
    assert not optimize(Editor(both(0)), confirm="require").seed_kept


def test_nothing_is_paid_to_confirm_the_initial_instructions():
    events: list[Event] = []
    result = optimize(Editor(both(4)), events=events)
    assert result.confirmation.verdict == "nothing to confirm"
    assert texts_of(events, "confirmation") == []


@pytest.mark.slow
def test_equal_candidates_are_confirmed_in_few_cases_and_in_fewer_at_a_further_look():
    rng, looks = random.Random(0), (1, 2, 5)
    verdicts = []
    for _ in range(120):
        rows = [(rng.randint(1, 5), rng.randint(1, 5), rng.randint(1, 5)) for _ in range(40)]
        first = judged([(human, one) for human, one, _ in rows], 20)
        second = judged([(human, other) for human, _, other in rows], 20)
        results = [confirmed(first, second, OBJECTIVES[:1], look=look) for look in looks]
        assert [it.as_dict()["looks"] for it in results] == list(looks)
        verdicts.append([it.verdict == "confirmed" for it in results])
    once, twice, often = (sum(column) / len(verdicts) for column in zip(*verdicts, strict=True))
    assert 0.03 <= once <= 0.18  # 0.10, with 120 draws
    assert often < twice < once


def test_texts_that_nobody_could_score_confirm_nothing():
    empty = [
        replace(it, prediction=Unscored("no"), scores=dict.fromkeys(it.scores, Unscored("no")))
        for it in judged([(1, 1)] * 20, 20)
    ]
    confirmation = confirmed(empty, empty, OBJECTIVES)
    assert confirmation.verdict == "not confirmed"
    assert confirmation.difference is None
    assert confirmation.takes_back


# Caps and resumption


@pytest.mark.slow
def test_a_cap_leaves_enough_to_confirm():
    engine = Editor(*(both(bias) for bias in (1, 0)))
    capped = optimize(engine, steps=50, budget=Budget(max_calls=200))
    assert (capped.stop_reason, capped.cap) == ("reserve", "max_calls")
    assert capped.confirmation.verdict == "confirmed"
    assert engine.calls.total() == capped.calls <= 200


@pytest.mark.slow
def test_looks_at_the_same_texts_are_counted_and_booked_on_no_step(tmp_path: Path):
    engines = {name: Editor(*(both(bias) for bias in (2, 2, 1, 0))) for name in ("whole", "cut")}

    def run(folder: str, cap: int | None) -> OptimizationResult:
        lm = toy_lm(engines[folder])
        lm.cache = True
        with dspy.context(lm=lm):
            return MOGrad(
                steps=4,
                batch_size=3,
                mode="SSC",
                run_dir=tmp_path / folder,
                num_threads=1,
                sampling="uniform",
                budget=Budget(max_calls=cap),
            ).optimize(MultiCriteriaJudge(RUBRIC), trainset=TRAIN, valset=VALIDATION)

    whole, cut = run("whole", None), run("cut", 150)
    assert cut.stop_reason == "reserve"
    went_on = run("cut", None)
    best = max(went_on.measured, key=lambda it: it.agreement.mean)
    assert 0 < max(cut.measured, key=lambda it: it.agreement.mean).step < best.step
    looks = [it.as_dict()["confirmation"]["looks"] for it in (whole, cut, went_on)]
    assert looks == [1, 1, 2]
    assert [step.calls for step in went_on.steps] == [step.calls for step in whole.steps]
    state = State.read(tmp_path / "cut" / "state.json")
    assert state.confirmation.look == len(state.compared) == 2


@pytest.mark.slow
@pytest.mark.parametrize("cap", [190, 205, 220])
def test_a_cap_within_a_mix_is_exact_and_leaves_enough_to_confirm(cap):
    events: list[Event] = []
    engine = Crossing()
    capped = optimize(engine, steps=50, budget=Budget(max_calls=cap), events=events)
    assert any(isinstance(event, MixScored) for event in events)
    assert engine.calls.total() == capped.calls <= cap
    assert capped.stop_reason in ("steps", "reserve")
    assert capped.confirmation.seed is not None


def test_a_cap_that_leaves_too_little_is_spent_on_the_steps():
    capped = optimize(Editor(both(0)), steps=50, budget=Budget(max_calls=80))
    assert capped.steps
    assert capped.stop_reason == "budget"
    assert capped.confirmation.verdict == "not reached"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "parent"), [("combined", "last"), ("separate", "last"), ("combined", "pareto")]
)
def test_a_run_that_is_cut_anywhere_ends_with_the_same_confirmation(layout, parent, tmp_path: Path):
    def run(folder: str, cut_at: Callable[[Event], bool] = lambda event: False):
        def interrupt(event: Event) -> None:
            if cut_at(event):
                raise KeyboardInterrupt

        lm = toy_lm(Sacrificing())
        lm.cache = True
        with dspy.context(lm=lm):
            return MOGrad(
                steps=2,
                parent=parent,
                mode="SSC",
                run_dir=tmp_path / folder,
                num_threads=1,
                observers=[interrupt],
            ).optimize(MultiCriteriaJudge(RUBRIC, layout=layout), trainset=TRAIN, valset=VALIDATION)

    whole = run("whole")
    for cut_at in (
        lambda event: isinstance(event, CandidateScored) and event.step == 1,
        lambda event: isinstance(event, CandidateScored) and event.sections,
        lambda event: isinstance(event, MixScored),
        lambda event: isinstance(event, StepEnded) and event.step == 1,
        lambda event: isinstance(event, StepStarted) and event.step == 2,
        lambda event: isinstance(event, CandidateScored) and event.split == "confirmation",
    ):
        assert run("cut", cut_at).stop_reason == "interrupted"
    resumed = run("cut")
    assert resumed.stop_reason == "steps"
    assert resumed.confirmation == whole.confirmation
    assert resumed.confirmation.seed is not None
    assert resumed.final_agreement == whole.final_agreement
    assert [step.proposed for step in resumed.steps] == [step.proposed for step in whole.steps]
    assert resumed.calls == whole.calls


# Several proposals at once


def run_side_by_side(
    threads: int, events: list[Event], engine: type[ToyEngine] = ToyEngine, **changes: object
) -> OptimizationResult:
    return optimize(
        engine(), **{"steps": 7, "proposals": 3} | changes, num_threads=threads, events=events
    )


@pytest.mark.slow
def test_proposals_side_by_side_start_from_the_same_instructions_and_the_best_one_wins():
    events: list[Event] = []
    result = run_side_by_side(8, events, confirm="off")
    rounds = [result.steps[:3], result.steps[3:6], result.steps[6:]]
    assert [step.step for step in result.steps] == [1, 2, 3, 4, 5, 6, 7]
    assert [sum(step.accepted for step in steps) <= 1 for steps in rounds] == [True] * 3
    best = max(step.proposed.mean for step in rounds[0] if step.proposed is not None)
    (accepted,) = (step for step in rounds[0] if step.accepted)
    assert accepted.proposed.mean == best
    assert sum(step.calls for step in result.steps) + len(VALIDATION) == result.calls
    started = [event.step for event in events if isinstance(event, StepStarted)]
    ended = [event.step for event in events if isinstance(event, StepEnded)]
    assert started == ended == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["combined", "separate"])
def test_the_number_of_threads_changes_nothing(layout):
    one, many = [], []
    alone = run_side_by_side(1, one, Crossing, layout=layout)
    together = run_side_by_side(8, many, Crossing, layout=layout)
    assert alone.measured == together.measured
    assert alone.confirmation == together.confirmation
    assert one == many
    assert any(isinstance(event, MixScored) for event in one)


def test_equal_proposals_are_scored_once():
    engine = Editor(both(1))
    optimize(engine, steps=3, proposals=3, confirm="off")
    assert engine.calls["judge"] == 2 * len(VALIDATION) + 3 * 3


@pytest.mark.slow
def test_a_round_that_is_cut_is_taken_again_from_its_start(tmp_path: Path):
    def run(folder: str, cap: int | None = None) -> OptimizationResult:
        lm = toy_lm()
        lm.cache = True
        with dspy.context(lm=lm):
            return MOGrad(
                steps=6,
                proposals=3,
                run_dir=tmp_path / folder,
                budget=Budget(max_calls=cap),
                confirm="off",
            ).optimize(MultiCriteriaJudge(RUBRIC), trainset=TRAIN, valset=VALIDATION)

    whole = run("whole")
    for cap in (whole.calls // 3, whole.calls - 5):
        assert run("cut", cap).stop_reason == "budget"
    resumed = run("cut")
    assert resumed.measured == whole.measured
    assert resumed.calls == whole.calls


@pytest.mark.slow
def test_a_proposal_that_lost_to_one_beside_it_says_so():
    events: list[Event] = []
    result = run_side_by_side(8, events, Helping, confirm="off")
    beaten = {step.step: step.beaten_by for step in result.steps if step.beaten_by is not None}
    accepted = {step.step for step in result.steps if step.accepted}
    assert beaten
    assert set(beaten.values()) <= accepted
    assert not set(beaten) & accepted
    for decided in (event for event in events if isinstance(event, GateDecided)):
        assert decided.beaten_by == beaten.get(decided.step)
        words = f"step {decided.beaten_by}"
        assert (words in decided.describe()) == (decided.step in beaten)
    assert result.as_dict()["steps"][min(beaten) - 1]["beaten_by"] == beaten[min(beaten)]


# The archive


def tried(step: int, *values: float, texts: int | None = None) -> Measured:
    names = ("coherence", "fluency")
    none = dict.fromkeys(names, 0)
    agreement = Agreement(dict(zip(names, values, strict=True)), none, none, none, none)
    candidate = Candidate({"self": Instructions(f"Step {step}.")})
    return Measured(step, candidate, agreement, texts)


def test_a_step_starts_from_the_best_on_a_criterion_or_in_the_mean():
    seed, coherent, fluent = tried(0, 0.4, 0.4), tried(1, 0.6, 0.3), tried(2, 0.1, 0.7)
    state = State(
        measured=(seed, tried(3, 0.5, 0.5)),
        rejected=(coherent, fluent, tried(4, 0.9, 0.9, texts=8)),
    )
    assert [it.step for it in best_ones(state)] == [1, 2, 3]
    config = MOGradConfig(parent="pareto")
    drawn = [parent_of(step, state, config).step for step in range(300)]
    assert all(drawn.count(step) > 80 for step in (1, 2, 3))
    assert drawn == [parent_of(step, state, config).step for step in range(300)]
    assert parent_of(5, state, MOGradConfig()).step == 3


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_what_a_step_starts_from_is_not_dominated(values):
    scored = [tried(step, a / 4, b / 4) for step, (a, b) in enumerate(values)]
    state = State(measured=tuple(scored[:1]), rejected=tuple(scored[1:]))
    for best in best_ones(state):
        a, b = values[best.step]
        assert not any(c >= a and d >= b and (c, d) != (a, b) for c, d in values)


def test_the_worst_criterion_may_choose_the_result():
    state = State(measured=(tried(0, 0.2, 0.9), tried(1, 0.5, 0.5), tried(2, 0.3, 0.9)))
    assert (state.best.step, replace(state, choose="worst").best.step) == (2, 1)
    assert State.from_dict(replace(state, choose="worst").as_dict()).best.step == 1


def test_without_any_agreement_a_step_starts_from_what_was_accepted_last():
    none = Agreement.unmeasured(("coherence",))
    state = State(measured=tuple(replace(tried(n, 0, 0), agreement=none) for n in range(2)))
    assert parent_of(3, state, MOGradConfig(parent="pareto")).step == 1


@pytest.mark.slow
@pytest.mark.parametrize("parent", ["last", "pareto"])
def test_a_run_goes_on_from_what_a_gate_accepted_with_fewer_scores(parent):
    class Refusing(Editor):
        """The judge says nothing about some texts once its instructions are rewritten."""

        def answer(self, system: str, user: str) -> str:
            is_refused = role_of(system) == "judge" and "BIAS=" in system and "Text 2" in user
            return "" if is_refused else super().answer(system, user)

    engine = Refusing(*(both(bias) for bias in (3, 2, 1)))
    changes = {"gate": AlwaysAccept(), "confirm": "off", "steps": 3, "parent": parent}
    result = optimize(engine, num_threads=1, **changes)
    assert [step.accepted for step in result.steps] == [True] * 3
    assert result.steps[-1].proposed.unscored["coherence"] > 0
    assert result.seed_kept


@pytest.mark.slow
def test_a_line_says_whose_instructions_were_rewritten_unless_they_were_accepted_last():
    events: list[Event] = []
    changes = {"gate": lambda current, proposed: False, "parent": "pareto", "proposals": 1}
    result = run_side_by_side(1, events, Sacrificing, confirm="off", **changes)
    decided = [event for event in events if isinstance(event, GateDecided)]
    assert {event.parent for event in decided} > {None}
    for event, step in zip(decided, result.steps, strict=True):
        assert event.parent == (step.parent or None)  # no step was accepted
        if event.parent is not None and not event.unchanged:
            assert f"step {event.parent}'s" in event.describe()


@pytest.mark.slow
@pytest.mark.parametrize("proposals", [1, 3])
def test_steps_from_the_archive_are_raced_against_what_they_rewrote(proposals):
    one, many = [], []
    changes = {"parent": "pareto", "choose": "worst", "confirm": "off", "mix": "off"}
    changes |= {"proposals": proposals, "race": "off"}
    alone = run_side_by_side(1, one, Crossing, **changes)
    together = run_side_by_side(8, many, Crossing, **changes)
    assert one == many
    assert alone.measured == together.measured
    assert len({step.parent for step in alone.steps}) > 1
    started = [event.parent for event in one if isinstance(event, StepStarted)]
    assert started == [step.parent for step in alone.steps]
    agreements = {0: alone.measured[0].agreement}
    for step in alone.steps:
        assert step.current == agreements[step.parent]
        agreements[step.step] = step.proposed


def measured(error, value, look=1, documents=20):
    reach = student.ppf(0.975, documents - 1) * error
    is_clear = value > student.ppf(1 - 0.1 / look, documents - 1) * error
    return Confirmation(
        "confirmed" if is_clear else "not confirmed",
        *(2 * [Agreement.unmeasured(("tone",))]),
        *(value, (value - reach, value + reach), documents, 2 * documents),
        look=look,
    )


@given(st.floats(0.01, 1), st.floats(-1, 1), st.integers(1, 4), st.integers(2, 19))
def test_the_bound_that_is_said_is_above_0_where_the_verdict_is_confirmed(
    error, value, look, documents
):
    confirmation = measured(error, value, look, documents)
    assert (confirmation.bound > 0) == (confirmation.verdict == "confirmed")
    assert f"{confirmation.bound:+z.3f}" in confirmation.describe()
    stored = confirmation.as_dict()
    assert (stored["bound"], stored["level"]) == (confirmation.bound, 1 - 0.1 / look)


# Where nothing can be confirmed


def test_a_gain_that_is_not_confirmed_is_corrected_for_the_choice():
    few = optimize(ToyEngine(), valset=VALIDATION[:30], steps=4, race="off")
    corrected = few.confirmation.corrected
    assert corrected is not None
    assert corrected <= few.selection.best.mean - few.selection.seed.mean
    assert f"{corrected:+.3f}" in few.confirmation.describe()
    assert few.as_dict()["confirmation"]["corrected"] == corrected


def test_no_gain_that_is_left_is_not_called_a_gain():
    gains = [Confirmation("too few documents", corrected=it).describe() for it in (0.0, 0.02)]
    assert ["0.0" in words for words in gains] == [False, True]


def test_texts_that_people_call_not_applicable_are_no_rated_ones():
    none, names = {"tone": 0}, {"tone": 0.5}
    applies = {"tone": Applicability(both=3, people=2, judge=0, neither=10)}
    seed = Agreement(names, {"tone": 12}, none, {"tone": 4}, none, applicability=applies)
    best = replace(seed, unscored={"tone": 1})
    words = Confirmation("not confirmed", seed, best, 0.1, (0.0, 0.2), 19, 19).describe()
    assert " 1 more of 10 " in words


@pytest.mark.slow
def test_many_equal_candidates_gain_about_nothing_after_the_correction():
    rng = random.Random(0)
    humans = [rng.randint(1, 5) for _ in range(60)]

    def judge() -> list[Judgement]:
        rows = [(human, min(5, max(1, human + rng.randint(-2, 2)))) for human in humans]
        return judged(rows, 30)

    gains, corrections = [], []
    for _ in range(20):
        candidates = [judge() for _ in range(12)]
        means = [agreement_of(one, OBJECTIVES[:1]).mean for one in candidates]
        chosen = means.index(max(means))
        gains.append(means[chosen] - sum(means) / len(means))
        correction = corrected_gain(candidates, chosen, OBJECTIVES[:1])
        corrections.append(correction + means[0] - sum(means) / len(means))
    assert sum(gains) / 20 > 0.05
    assert sum(corrections) / 20 < 0.6 * sum(gains) / 20


# The raters' ceiling


@pytest.mark.slow
@pytest.mark.parametrize("confirm", ["report", "require", "off"])
def test_the_result_is_a_share_of_the_raters_ceiling_also_when_it_is_read_again(confirm, tmp_path):
    lm = dspy.LM("toy/world", engine=Editor(both(0)), temperature=0.0)
    for _ in range(2):
        with dspy.context(lm=lm):
            optimizer = MOGrad(steps=1, confirm=confirm, run_dir=tmp_path)
            optimizer.optimize(
                MultiCriteriaJudge(RUBRIC), trainset=TRAIN, valset=rated_twice(VALIDATION)
            )
        result = json.loads((tmp_path / "result.json").read_text())
        for name in RUBRIC.names:
            ceiling = result["ceiling"][name]
            assert 0 < ceiling["one_rater"] < ceiling["perfect_judge"] < 1
            share = result["final_agreement"][name] / ceiling["perfect_judge"]
            assert ceiling["share"] == pytest.approx(share)
            low, high = ceiling["share_interval"]
            assert low <= ceiling["share"] <= high


def test_held_out_texts_have_a_ceiling_of_their_own():
    with dspy.context(lm=toy_lm(Editor(both(0)))):
        result = MOGrad(steps=1, confirm="off").optimize(
            MultiCriteriaJudge(RUBRIC), trainset=TRAIN, testset=rated_twice(VALIDATION)
        )
    assert result.test.ceilings["coherence"]["share"] == pytest.approx(
        result.test.final.by_criterion["coherence"]
        / result.test.ceilings["coherence"]["perfect_judge"]
    )


def test_without_single_ratings_there_is_no_ceiling():
    assert optimize(Editor(both(0)), confirm="off").as_dict()["ceiling"] == {}
