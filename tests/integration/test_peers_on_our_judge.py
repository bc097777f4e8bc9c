"""DSPy's optimizers run on our judge with our metric, and leave a judge that is ours."""

import json
import re
from statistics import fmean

import dspy
import pytest

from benchmarks.worlds.cues import CUES
from benchmarks.worlds.foreign import OpenWorld, is_ours
from benchmarks.worlds.planted import PlantedEngine, cues_in, planted_examples, planted_rubric
from mogradjudge import (
    Instructions,
    MOGrad,
    MultiCriteriaJudge,
    Objective,
    agreement_of,
    as_metric,
    judge_examples,
    rubric_objectives,
)
from tests.engines import in_chat

pytestmark = pytest.mark.slow

RUBRIC = planted_rubric("coherence", "fluency")
EXAMPLES = planted_examples(RUBRIC, documents=6, systems=3)
TRAIN, VALIDATION = EXAMPLES[:9], EXAMPLES[9:]
OBJECTIVES = rubric_objectives(RUBRIC)
METRIC = as_metric(OBJECTIVES)
LAYOUTS = pytest.mark.parametrize("layout", ["combined", "separate"])


class World(PlantedEngine):
    """The planted world, which writes SIMBA's rules too; it remembers what peers asked of it."""

    def __init__(self) -> None:
        super().__init__(OpenWorld())
        self.foreign: list[str] = []

    def answer(self, system: str, user: str) -> str:
        if is_ours(system):
            return super().answer(system, user)
        self.foreign.append(user)
        if "`module_advice`" not in system:
            return super().answer(system, user)
        cue = CUES["fluency"][len(self.foreign) % len(CUES["fluency"])]
        names = set(re.findall(r"judges\['\w+'\]", user))
        advice = dict.fromkeys(sorted(names), f"When you rate, {cue}.")
        return in_chat({"discussion": "One cue more.", "module_advice": json.dumps(advice)})


def gepa(judge: MultiCriteriaJudge, frontier: str = "instance", **settings: object) -> dspy.Module:
    return dspy.GEPA(
        metric=METRIC,
        max_metric_calls=50,
        reflection_lm=dspy.settings.lm.copy(temperature=1.0),
        num_threads=1,
        seed=0,
        track_stats=True,
        gepa_kwargs={"frontier_type": frontier},
        **settings,
    ).compile(judge, trainset=TRAIN, valset=VALIDATION)


def mipro(judge: MultiCriteriaJudge) -> dspy.Module:
    return dspy.MIPROv2(
        metric=METRIC,
        auto=None,
        num_candidates=3,
        num_threads=1,
        max_bootstrapped_demos=0,
        max_labeled_demos=0,
        seed=0,
    ).compile(judge, trainset=TRAIN, valset=VALIDATION, num_trials=3, minibatch=False)


def simba(judge: MultiCriteriaJudge, max_demos: int = 0) -> dspy.Module:
    return dspy.SIMBA(
        metric=METRIC, bsize=4, num_candidates=3, max_steps=2, max_demos=max_demos, num_threads=1
    ).compile(judge, trainset=TRAIN, seed=0)


def bootstrap(judge: MultiCriteriaJudge, metric: object = METRIC) -> dspy.Module:
    return dspy.BootstrapFewShot(
        metric=metric, max_bootstrapped_demos=2, max_labeled_demos=0, max_errors=1
    ).compile(judge, trainset=TRAIN)


PEERS = {
    "GEPA": gepa,
    "GEPA, objective frontier": lambda judge: gepa(judge, "objective"),
    "GEPA, hybrid frontier": lambda judge: gepa(judge, "hybrid"),
    "MIPROv2": mipro,
    "SIMBA": simba,
    "SIMBA, demonstrations": lambda judge: simba(judge, max_demos=2),
    "BootstrapFewShot": bootstrap,
}


@pytest.fixture
def world():
    world = World()
    with dspy.context(lm=dspy.LM("planted/world", engine=world, temperature=0.0)):
        yield world


def texts(judge: MultiCriteriaJudge) -> dict[str, str]:
    return {name: each.signature.instructions for name, each in judge.named_predictors()}


def agreement(judge: MultiCriteriaJudge) -> dict[str, float | None]:
    return agreement_of(judge_examples(judge, EXAMPLES, OBJECTIVES, 1), OBJECTIVES).as_dict()


@LAYOUTS
@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_leaves_a_judge_that_works_is_read_and_is_saved(peer, layout, world, tmp_path):
    seed = MultiCriteriaJudge(RUBRIC, layout=layout)
    before = texts(seed)
    compiled = PEERS[peer](seed)
    assert texts(seed) == before
    assert isinstance(compiled, MultiCriteriaJudge)
    for _, predictor in compiled.named_predictors():
        read = Instructions.parse(predictor.signature.instructions)
        assert set(predictor.criteria) <= {name for name, _ in read.sections}
    demos = [len(predictor.demos) for predictor in compiled.judges.values()]
    if peer == "BootstrapFewShot":
        assert demos == [2] * len(demos)
    elif peer != "SIMBA, demonstrations":
        assert demos == [0] * len(demos)
        assert peer == "MIPROv2" or cues_in(str(texts(compiled)))  # its best may be the seed
    values = agreement(compiled)
    assert all(0 < values[name] <= 1 for name in RUBRIC.names)
    compiled.save(tmp_path / "judge.json")
    again = MultiCriteriaJudge.from_saved(tmp_path / "judge.json", RUBRIC)
    assert texts(again) == texts(compiled)
    assert agreement(again) == values


@LAYOUTS
@pytest.mark.parametrize("peer", ["GEPA", "MIPROv2", "SIMBA"])
def test_a_peer_finds_the_same_judge_again(peer, layout, world):
    found = []
    for _ in range(2):
        with dspy.context(lm=dspy.LM("planted/world", engine=World(), cache=False, temperature=0)):
            found.append(texts(PEERS[peer](MultiCriteriaJudge(RUBRIC, layout=layout))))
    assert found[0] == found[1]


def test_gepa_reads_of_each_predictor_the_feedback_on_its_own_criterion(world):
    compiled = gepa(MultiCriteriaJudge(RUBRIC, layout="separate"), component_selector="all")
    said = re.compile(r"(coherence|fluency): (?:judge [\d.]+ too|no error)")
    named = [set(said.findall(prompt)) for prompt in world.foreign]
    assert {frozenset(names) for names in named} == {frozenset({name}) for name in RUBRIC.names}
    assert cues_in(texts(compiled)["judges['fluency']"]) <= set(CUES["fluency"])


def test_gepa_knows_how_each_criterion_did(world):
    found = gepa(MultiCriteriaJudge(RUBRIC), "objective").detailed_results
    assert [set(each) for each in found.val_aggregate_subscores] == [set(RUBRIC.names)] * len(
        found.candidates
    )
    for score, parts in zip(found.val_aggregate_scores, found.val_aggregate_subscores, strict=True):
        assert score == pytest.approx(sum(parts.values()) / 2)
    assert set(found.objective_pareto_front) == set(RUBRIC.names)


def test_simba_reads_the_feedback(world):
    simba(MultiCriteriaJudge(RUBRIC))
    rules = [prompt for prompt in world.foreign if "worse_reward_info" in prompt]
    assert rules
    assert any("too high" in prompt or "too low" in prompt for prompt in rules)


def test_miprov2_compares_candidates_by_our_metric(world):
    compiled = mipro(MultiCriteriaJudge(RUBRIC))
    tried = {str(texts(each["program"])) for each in compiled.candidate_programs}
    assert len(tried) >= 2
    scores = [each.scores for each in judge_examples(compiled, VALIDATION, OBJECTIVES, 1)]
    mean = fmean(score for each in scores for score in each.values())
    assert compiled.score == round(100 * mean, 2)


def good_enough(demo: dspy.Example) -> bool:
    gold = next(each for each in TRAIN if each.output == demo.output)
    errors = [abs(demo[name] - gold[RUBRIC[name].human]) for name in RUBRIC.names]
    return 1 - fmean(errors) / 4 >= 0.75


def test_only_what_the_judge_rated_well_becomes_a_demonstration(world):
    demos = bootstrap(MultiCriteriaJudge(RUBRIC)).judges["all"].demos
    assert len(demos) == 2
    assert all(map(good_enough, demos))
    so_so = Objective("coherence", "Is it coherent?", score=lambda example, made: 0.7)
    assert bootstrap(MultiCriteriaJudge(RUBRIC), so_so.as_metric()).judges["all"].demos == []
    low = so_so.as_metric(threshold=0.7)
    assert len(bootstrap(MultiCriteriaJudge(RUBRIC), low).judges["all"].demos) == 2


@pytest.mark.parametrize("peer", ["GEPA", "BootstrapFewShot"])
def test_we_go_on_from_what_a_peer_found(peer, world):
    found = PEERS[peer](MultiCriteriaJudge(RUBRIC))
    result = MOGrad(steps=1, mode="SSC").optimize(found, trainset=TRAIN, valset=VALIDATION)
    start = agreement_of(judge_examples(found, VALIDATION, OBJECTIVES, 1), OBJECTIVES)
    assert result.seed_agreement == start
    assert [each.demos for each in result.program.predictors()] == [
        each.demos for each in found.predictors()
    ]
