"""Which texts a step's batch holds."""

from collections import Counter
from itertools import islice, pairwise

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.worlds.world import ToyEngine, toy_examples, toy_lm, toy_rubric
from mogradjudge import AlwaysAccept, MOGrad, MultiCriteriaJudge, Unscored, rubric_objectives
from mogradjudge.optimize.events import StepStarted
from mogradjudge.optimize.sampling import by_disagreement
from mogradjudge.programs.evaluation import Judgement

RUBRIC = toy_rubric("coherence", "fluency")
OBJECTIVES = rubric_objectives(RUBRIC)


def judged(number: int, human: tuple[int, int], judge: tuple[int, int], group: int) -> Judgement:
    scores = dict(zip(RUBRIC.names, human, strict=True))
    example = dspy.Example(**{f"human_{name}": float(score) for name, score in scores.items()})
    made = dspy.Prediction(**dict(zip(RUBRIC.names, judge, strict=True)))
    of = {objective.name: objective.scored(example, made) for objective in OBJECTIVES}
    return Judgement(str(number), str(group), example, made, of)


SCORES = st.tuples(st.integers(1, 5), st.integers(1, 5))
POOLS = st.lists(st.tuples(SCORES, SCORES, st.integers(0, 4)), min_size=1, max_size=20).map(
    lambda rows: [judged(number, *row) for number, row in enumerate(rows)]
)


@given(POOLS, st.integers(1, 8), st.integers(0, 3))
@settings(max_examples=60)
def test_a_batch_is_full_of_different_texts_and_spreads_over_the_groups(pool, size, seed):
    for batch in islice(by_disagreement(pool, OBJECTIVES, size, seed), 4):
        assert len({id(text) for text in batch}) == len(batch) == min(size, len(pool))
        groups = {text.group for text in pool}
        assert len({text.group for text in batch}) == min(len(batch), len(groups))


@given(POOLS, st.integers(0, 3))
@settings(max_examples=20)
def test_a_seed_draws_the_same_batches_again(pool, seed):
    def drawn() -> list[list[str]]:
        batches = islice(by_disagreement(pool, OBJECTIVES, 3, seed), 5)
        return [[text.example_id for text in batch] for batch in batches]

    assert drawn() == drawn()


def test_errors_of_both_directions_on_each_criterion_are_drawn_and_one_text_agrees():
    pool = [judged(n, (3, 3), (3, 3), n) for n in range(40)]
    pool += [judged(40, (2, 3), (5, 3), 40), judged(41, (4, 3), (2, 3), 41)]
    pool += [judged(42, (3, 1), (3, 3), 42), judged(43, (3, 5), (3, 4), 43)]
    drawn = Counter[str]()
    for batch in islice(by_disagreement(pool, OBJECTIVES, 3, 0), 12):
        *wrong, right = (text.example_id for text in batch)
        assert int(right) < 40
        assert all(int(name) >= 40 for name in wrong)
        drawn.update(wrong)
    assert set(drawn) == {"40", "41", "42", "43"}
    assert max(drawn.values()) - min(drawn.values()) <= 4


def test_a_rare_low_level_is_drawn_more_often_than_by_chance():
    pool = [judged(n, (5, 3), (4, 3), n) for n in range(36)]
    pool += [judged(36 + n, (2, 3), (1, 3), 36 + n) for n in range(4)]
    batches = islice(by_disagreement(pool, OBJECTIVES, 2, 0), 40)
    low = sum(int(text.example_id) >= 36 for batch in batches for text in batch)
    assert low > 80 * 4 / 40 * 1.2


def test_a_text_that_was_drawn_rests():
    pool = [judged(n, (3, 3), (5, 3), n) for n in range(6)]
    batches = [
        {text.example_id for text in batch}
        for batch in islice(by_disagreement(pool, OBJECTIVES, 2, 0), 60)
    ]
    again = sum(len(one & other) for one, other in pairwise(batches))
    assert again < 0.8 * 59 * 2 * 2 / 6


def test_an_unscored_text_is_an_error_and_an_unrated_one_is_none():
    unscored = judged(0, (3, 3), (3, 3), 0)
    reason = Unscored("no readable score")
    pool = [
        Judgement("0", "0", unscored.example, reason, dict.fromkeys(RUBRIC.names, reason)),
        Judgement("1", "1", unscored.example, reason, dict.fromkeys(RUBRIC.names, None)),
    ]
    for batch in islice(by_disagreement(pool, OBJECTIVES, 1, 0), 5):
        assert [text.example_id for text in batch] == ["0"]


def ids(engine: ToyEngine, **changes: object) -> list[tuple[str, ...]]:
    events: list[object] = []
    examples = toy_examples(RUBRIC, 30)
    options = {"steps": 3, "batch_size": 3, "gate": AlwaysAccept()} | changes
    with dspy.context(lm=toy_lm(engine)):
        MOGrad(observers=[events.append], **options).optimize(
            MultiCriteriaJudge(RUBRIC), trainset=examples[:20], valset=examples[20:]
        )
    return [event.example_ids for event in events if isinstance(event, StepStarted)]


@pytest.mark.slow
def test_the_pool_is_scored_once_and_the_batches_are_the_same_with_any_number_of_threads():
    one, many, chance = ToyEngine(), ToyEngine(), ToyEngine()
    drawn = ids(one, num_threads=1)
    assert drawn == ids(many, num_threads=8)
    assert one.calls == many.calls
    assert drawn != ids(chance, sampling="uniform")
    pool = 20
    # At the third step no batch is left that differs: the toy judge is right on all.
    assert one.calls["judge"] == pool + 10 + sum(map(len, drawn)) + validated(one)


def validated(engine: ToyEngine) -> int:
    """Count the validation calls after the first: ten for each step with an edit."""
    return 10 * engine.calls["editor"]


@pytest.mark.parametrize("size", [20, 25])
def test_where_a_batch_holds_all_texts_no_pool_is_scored(size):
    engine = ToyEngine()
    ids(engine, batch_size=size, steps=1)
    assert engine.calls["judge"] == 20 + 10 + 10
