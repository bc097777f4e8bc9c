"""The four modes are four values: which criteria share a call, and what that costs."""

import re
from dataclasses import replace
from itertools import pairwise, product

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.worlds.world import ToyEngine, inputs_of, parts_of, toy_examples, toy_lm, toy_rubric
from mogradjudge import AlwaysAccept, MOGrad, MultiCriteriaJudge
from mogradjudge.criteria.decomposition import MODES, DecompositionMode, StageCalls
from mogradjudge.criteria.partition import Scope, inside, nests
from mogradjudge.errors import SetupError

TRIPLES = ["".join(letters) for letters in product("SC", repeat=3)]
LEGAL = ["SSS", "SSC", "SCC", "CCC"]
GROUPS = st.lists(
    st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=5, unique=True
).map(tuple)


def test_the_modes_are_four_in_the_order_of_how_much_is_shared():
    assert list(MODES) == LEGAL


@pytest.mark.parametrize("name", LEGAL)
def test_a_legal_mode_reads_and_writes_its_three_letters(name):
    assert DecompositionMode.parse(name) == MODES[name]
    assert MODES[name].name == str(MODES[name]) == name


@pytest.mark.parametrize("name", [name for name in TRIPLES if name not in LEGAL])
def test_a_combined_stage_cannot_feed_a_separate_one(name):
    with pytest.raises(SetupError, match="SSS, SSC, SCC, CCC"):
        DecompositionMode.parse(name)
    with pytest.raises(SetupError, match=f"got mode '{name}'"):
        DecompositionMode(*(Scope(letter) for letter in name))


@pytest.mark.parametrize("name", ["SCS", "CCS"])
def test_routing_lets_the_optimizer_be_finer_than_the_gradient(name):
    assert DecompositionMode.parse(name, routing=True).name == name
    assert MOGrad(name, routing=True).config.mode.optimizer == Scope.SEPARATE
    unrouted = MOGrad(name, routing=True).config
    for refused in (lambda: MOGrad(name), lambda: replace(unrouted, routing=False)):
        with pytest.raises(SetupError, match=f"'{name}'.*`routing`"):
            refused()
    assert "the units that name its criteria" in " ".join(unrouted.mode.describe().split())


@pytest.mark.parametrize("name", ["CSS", "CSC"])
def test_routing_helps_no_gradient_after_a_combined_loss(name):
    with pytest.raises(SetupError, match=f"'{name}'"):
        DecompositionMode.parse(name, routing=True)


@pytest.mark.parametrize("name", ["", "ssc", "SS", "SSCC", "XYZ", "SSS, SSC"])
def test_what_is_no_mode_is_refused_by_name(name):
    with pytest.raises(SetupError, match="`mode` must be one of SSS, SSC, SCC, CCC"):
        DecompositionMode.parse(name)


def test_separate_groups_hold_one_criterion_each_and_a_combined_one_holds_all_in_order():
    criteria = ("fluency", "coherence", "relevance")
    assert Scope.SEPARATE.groups(criteria) == (("fluency",), ("coherence",), ("relevance",))
    assert Scope.COMBINED.groups(criteria) == (criteria,)


def test_a_record_is_inside_a_group_that_holds_all_its_criteria():
    assert inside(("a",), ("a", "b"))
    assert inside(("b", "a"), ("a", "b"))
    assert not inside(("a", "b"), ("a",))
    assert not inside(("ab",), ("a", "b"))


@given(st.sampled_from(LEGAL), GROUPS)
def test_each_group_of_a_stage_lies_inside_one_group_of_the_next(name, criteria):
    mode = MODES[name]
    stages = [stage.groups(criteria) for stage in (mode.loss, mode.gradient, mode.optimizer)]
    for groups, following in pairwise(stages):
        for group in groups:
            assert sum(inside(group, outer) for outer in following) == 1


@given(st.sampled_from([Scope.SEPARATE, Scope.COMBINED]), GROUPS)
def test_the_groups_of_a_stage_share_the_criteria_out(scope, criteria):
    assert sum(scope.groups(criteria), ()) == criteria


@pytest.mark.parametrize(
    ["name", "calls", "total"],
    [
        ("SSS", (12, 12, 4), 28),
        ("SSC", (12, 12, 1), 25),
        ("SCC", (12, 3, 1), 16),
        ("CCC", (3, 3, 1), 7),
    ],
)
def test_calls_for_three_examples_and_four_criteria(name, calls, total):
    counted = MODES[name].calls(3, ("a", "b", "c", "d"), "example")
    assert counted == StageCalls(*calls)
    assert counted.total == total
    loss, gradient, optimizer = calls
    pooled = MODES[name].calls(3, ("a", "b", "c", "d"))
    assert pooled == StageCalls(loss, gradient // 3, optimizer)


@pytest.mark.parametrize("name", LEGAL)
def test_all_modes_cost_the_same_on_one_criterion(name):
    assert MODES[name].calls(3, ("a",)) == StageCalls(3, 1, 1)


# What passes between the stages

STAGES = {"loss": "critic", "gradient": "coach", "optimizer": "editor"}


def told(description: str) -> dict[str, dict[str, str]]:
    """Read a description: its rows by stage, the stage's heading among them."""
    stages = {}
    for block in description.split("\n\n")[1:]:
        heading, *rows = re.sub(r"\n {16}", " ", block).split("\n")
        stages[heading.partition(":")[0]] = {"": heading} | {
            row[2:16].strip(): row[16:] for row in rows
        }
    return stages


def number(text: str) -> int:
    return int(re.search(r"\d+", text).group())


def sent_in_a_step(
    mode: str, criteria: tuple[str, ...], batch: int, pool: str = "batch"
) -> dict[str, list[dict]]:
    """Take one step in the toy world; give the fields of every call, by role."""
    engine, rubric = ToyEngine(), toy_rubric(*criteria)
    examples = toy_examples(rubric, batch + 3)
    with dspy.context(lm=toy_lm(engine)):
        optimizer = MOGrad(
            mode=mode,
            steps=1,
            batch_size=batch,
            gate=AlwaysAccept(),
            pool=pool,
            skip_tolerance=None,
        )
        optimizer.optimize(
            MultiCriteriaJudge(rubric), trainset=examples[:batch], valset=examples[batch:]
        )
    calls = {role: [] for role in STAGES.values()}
    for role, _, user in engine.prompts:
        if role in calls:
            calls[role].append(dict(inputs_of(user)))
    return calls


@pytest.mark.parametrize("name", LEGAL)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("pool", ["batch", "example"])
def test_a_description_tells_what_the_calls_of_a_real_step_are_sent(name, count, batch, pool):
    criteria = ("coherence", "fluency", "relevance", "style")[:count]
    description = MODES[name].describe(criteria, batch, pool)
    stages, calls = told(description), sent_in_a_step(name, criteria, batch, pool)
    assert number(description.partition("):")[2]) == sum(len(each) for each in calls.values())
    for stage, role in STAGES.items():
        rows, sent = stages[stage], calls[role]
        assert number(rows[""]) == len(sent)
        groups = rows["one per"].partition(": ")[2].split(" | ")
        about = [tuple(parts_of(each["criteria"])) for each in sent]
        assert {tuple(group.split(", ")) for group in groups} == set(about)
        fields = re.findall(r"`(\w+)`", rows["is told"] + rows.get("reads", ""))
        assert all(set(fields) == set(each) for each in sent)
        others = re.findall(r"the other (\d* ?)criteri", rows["is not told"])
        assert {count - len(group) for group in about} == ({int(n or 1) for n in others} or {0})
    written = len(calls["critic"]) // (batch if pool == "example" else 1)
    assert number(stages["gradient"]["reads"]) == written // len(set(coached(calls)))
    assert number(stages["optimizer"]["reads"]) == len(calls["coach"]) // len(calls["editor"])
    for each in calls["editor"]:
        sections = parts_of(each["current_instructions"])
        assert number(stages["optimizer"]["can change"]) == len(sections)


def coached(calls: dict[str, list[dict]]) -> list[tuple[str, ...]]:
    return [tuple(parts_of(each["criteria"])) for each in calls["coach"]]


@pytest.mark.parametrize("name", LEGAL)
def test_a_call_is_not_sent_what_the_description_says_it_is_not_told(name):
    criteria = ("coherence", "fluency", "relevance")
    calls = sent_in_a_step(name, criteria, 3, "example")
    for each in (*calls["critic"], *calls["coach"], *calls["editor"]):
        others = set(criteria) - set(parts_of(each["criteria"]))
        shown = {key: each[key] for key in ("criteria", "current_instructions", "task")}
        shown["results"] = each.get("results", "")
        assert not any(other in text for other in others for text in shown.values())
    assert all("example" in each for each in calls["critic"])
    texts = {parts_of(each["example"])["output"] for each in calls["critic"]}
    assert len(texts) == 3
    for each in (*calls["coach"], *calls["editor"]):
        assert not any(text in value for text in texts for value in each.values())


@pytest.mark.parametrize(
    ["name", "dilution", "interference"],
    [
        ("SSS", "one criterion alone", "reads 1 of 4 sections"),
        ("SSC", "one criterion alone", "reads all 4 sections"),
        ("SCC", "each gradient speaks about 4", "reads all 4 sections"),
        ("CCC", "each critique and each gradient speaks about 4", "reads all 4 sections"),
    ],
)
def test_a_description_says_what_the_mode_risks(name, dilution, interference):
    risks = told(MODES[name].describe())["what the mode risks"]
    assert dilution in risks["dilution"]
    assert interference in risks["interference"]


def test_with_one_criterion_all_modes_are_the_same_but_for_the_name():
    described = {mode.describe(("a",)).removeprefix(mode.name) for mode in MODES.values()}
    assert len(described) == 1


@given(
    st.sampled_from(LEGAL),
    st.lists(st.from_regex(r"[a-z_]{1,120}", fullmatch=True), min_size=1, max_size=9, unique=True),
    st.integers(1, 10**6),
)
def test_a_description_keeps_to_100_columns(name, criteria, batch):
    description = MODES[name].describe(tuple(criteria), batch)
    assert max(map(len, description.splitlines())) <= 100


@pytest.mark.parametrize(
    ["arguments", "message"],
    [
        ({"criteria": ()}, r"`criteria` must be one name or more, each once, got \(\)"),
        ({"criteria": ("a", "a")}, "`criteria` must be one name or more, each once"),
        ({"criteria": "fluency"}, "`criteria` must be one name or more.* got 'fluency'"),
        ({"batch_size": 0}, "`batch_size` must be a whole number >= 1, got 0"),
        ({"batch_size": True}, "`batch_size` must be a whole number >= 1, got True"),
    ],
)
def test_what_cannot_be_described_is_refused(arguments, message):
    with pytest.raises(SetupError, match=message):
        MODES["SSC"].describe(**arguments)


# Partitions between the two ends

PARTS = st.lists(st.integers(0, 3), min_size=2, max_size=5)


def partition(places: list[int]) -> tuple[Scope, tuple[str, ...]]:
    """Make a partition of a, b, c, ... from the number of each one's group."""
    criteria = tuple("abcde"[: len(places)])
    parts = {}
    for name, place in zip(criteria, places, strict=True):
        parts.setdefault(place, []).append(name)
    return Scope(" | ".join("+".join(part) for part in parts.values())), criteria


@given(PARTS)
def test_the_groups_of_a_partition_share_the_criteria_out_in_their_order(places):
    scope, criteria = partition(places)
    groups = scope.groups(criteria)
    assert sorted(sum(groups, ())) == list(criteria)
    assert [group[0] for group in groups] == sorted(group[0] for group in groups)
    assert all(list(group) == sorted(group) for group in groups)
    same = {(one, other) for group in groups for one in group for other in group}
    assert all(
        ((one, other) in same) == (places[criteria.index(one)] == places[criteria.index(other)])
        for one, other in product(criteria, repeat=2)
    )


@given(PARTS, st.randoms(use_true_random=False))
def test_a_partition_is_the_same_in_any_order(places, rng):
    scope, criteria = partition(places)
    parts = [rng.sample(group, len(group)) for group in scope.groups(criteria)]
    rng.shuffle(parts)
    assert Scope("|".join(" + ".join(part) for part in parts)) == scope


@given(PARTS)
def test_every_partition_nests_between_the_two_ends(places):
    scope, criteria = partition(places)
    assert nests(Scope.SEPARATE, scope, criteria) and nests(scope, Scope.COMBINED, criteria)
    mode = DecompositionMode(Scope.SEPARATE, scope, Scope.COMBINED)
    assert DecompositionMode.parse(mode.name) == mode
    assert nests(scope, Scope.SEPARATE, criteria) == (len(set(places)) == len(places))
    assert nests(Scope.COMBINED, scope, criteria) == (len(set(places)) == 1)


@given(PARTS, PARTS)
def test_a_mode_is_legal_where_each_group_lies_inside_one_of_the_next_stage(inner, outer):
    size = min(len(inner), len(outer))
    (before, criteria), (after, _) = partition(inner[:size]), partition(outer[:size])
    lies = all(
        len({outer[criteria.index(name)] for name in group}) == 1
        for group in before.groups(criteria)
    )
    for scopes in ((before, after, Scope.COMBINED), (Scope.SEPARATE, before, after)):
        if lies:
            assert DecompositionMode(*scopes).scopes == scopes
        else:
            with pytest.raises(SetupError, match="No stage can part criteria"):
                DecompositionMode(*scopes)


@pytest.mark.parametrize(
    ["text", "words"],
    [
        ("S > a+b | a > C", "'a' twice"),
        ("S > a > C", "got 'a'"),
        ("S > a+ | b > C", r"got 'a\+ \| b'"),
        ("S > a+b > a | c", "'c' in 'a | c'"),
        ("S > a+b > a+b | c", "'c' in 'a.b | c'"),
        ("S > a+b | c", "three"),
        ("a+b | c", "three"),
        (lambda: None, "three .*Objective.from_metric"),
    ],
)
def test_a_mistake_in_a_partition_is_a_line_that_names_it(text, words):
    with pytest.raises(SetupError, match=words.replace("|", r"\|")) as error:
        DecompositionMode.parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ends", ["SSS", "SSC", "SCC", "CCC"])
def test_the_ends_written_as_partitions_send_the_same_prompts(ends):
    criteria = ("coherence", "fluency", "relevance")
    spelled = {"S": "relevance | fluency | coherence", "C": "relevance+fluency+coherence"}
    text = " > ".join(spelled[letter] for letter in ends)
    spelled_out, usual = sent_in_a_step(text, criteria, 2), sent_in_a_step(ends, criteria, 2)
    for role, calls in usual.items():  # a stage's calls are in flight together
        assert sorted(map(str, spelled_out[role])) == sorted(map(str, calls))


def test_a_step_takes_the_calls_of_its_groups():
    criteria = ("coherence", "fluency", "relevance")
    text = "S > coherence+relevance | fluency > coherence+relevance | fluency"
    calls = sent_in_a_step(text, criteria, 2)
    assert DecompositionMode.parse(text).calls(2, criteria) == StageCalls(6, 2, 2)
    assert [len(sent) for sent in calls.values()] == [6, 2, 2]
    groups = [("coherence", "relevance"), ("fluency",)]
    assert sorted(coached(calls)) == groups
    assert sorted(tuple(parts_of(it["criteria"])) for it in calls["editor"]) == groups


def test_a_partition_of_other_criteria_is_refused_before_any_call():
    with pytest.raises(SetupError, match="'tone'"):
        sent_in_a_step("S > tone+fluency > C", ("fluency", "style"), 1)
    with pytest.raises(SetupError, match="'relevance'"):
        sent_in_a_step("S > style+fluency > C", ("fluency", "style", "relevance"), 1)
