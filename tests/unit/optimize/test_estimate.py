"""An estimate is what a run then uses: calls to the last one, tokens within a fifth."""

import itertools
import json
import re
import subprocess
import sys
from dataclasses import replace

import dspy
import pytest
from dspy.lm15 import Message, Request, Response, Usage
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.worlds.server import serving
from benchmarks.worlds.world import (
    critique_or_advice,
    fields,
    inputs_of,
    labels_of,
    parts_of,
    reply,
    role_of,
    toy_examples,
    toy_rubric,
    unit_on,
)
from mogradjudge import MODES, AlwaysAccept, MOGrad, MultiCriteriaJudge, SetupError
from mogradjudge.cli import main
from mogradjudge.lm.ledger import ROLES, Ledger
from mogradjudge.lm.pricing import TokenCounter
from mogradjudge.optimize.estimate import RoleEstimate, estimate
from mogradjudge.scoring.evaluate import judge_table

NAMES = ("coherence", "fluency", "relevance")
MODEL = "openai/gpt-4o-mini"
MODELS = dict.fromkeys(ROLES, MODEL)
STORY = (
    "The judge gave this text more than the readers did, because it looked at the length of the "
    "sentences and not at what they say. Its instructions allow that: nothing in them tells it to "
    "weigh an omission. "
) * 8
TEXTS = (
    "A summary of the council's meeting, in which the budget for roads was cut by a third while "
    "two members left the room; nobody recorded why, and the minutes were approved. "
)


class Writer:
    """Writes about so many tokens per criterion, always something new, and counts what it reads."""

    supports_response_schema = False
    supports_function_calling = False
    supports_reasoning = False
    supported_params = ("temperature", "max_tokens", "seed")

    def __init__(self, counter: TokenCounter | None = None) -> None:
        self.counter = counter
        self.numbers = itertools.count()
        self.paragraph = STORY[:400]

    def __deepcopy__(self, memo: object) -> "Writer":
        return self

    def complete(self, request: Request) -> Response:
        system, user = str(request.system), request.messages[-1].text or ""
        text = self.answer(system, user)
        usage = Usage(input_tokens=1, output_tokens=1)
        if self.counter:
            messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
            usage = Usage(self.counter.messages(messages), self.counter.text(text))
        return Response(None, "fake", Message.assistant(text), "stop", usage)

    def answer(self, system: str, user: str) -> str:
        role = role_of(system)
        if role == "judge":
            return reply(system, user)
        inputs = inputs_of(user)
        field = {"critic": "critique", "coach": "advice", "editor": "new_instructions"}[role]
        criteria = parts_of(inputs["criteria"])
        written = "\n\n".join(f"{name}: {self.paragraph}" for name in criteria)
        if role == "coach":
            written = json.dumps([unit_on(name, self.paragraph) for name in criteria])
        if role == "editor":
            keys = labels_of(system)
            new = {key: self.new_text(next(self.numbers)) for key in keys}
            written = json.dumps(new)
        return f"[[ ## {field} ## ]]\n{written}\n\n[[ ## completed ## ]]"

    def new_text(self, number: int) -> str:
        """Write the paragraph from another word on: nobody scores what was there before."""
        words = self.paragraph.split()
        start = 5 * number % len(words)
        return f"No. {number}: {' '.join([*words[start:], *words[:start]])}"


def examples_of(count: int, missing: set[tuple[int, str]] = frozenset()) -> list[dspy.Example]:
    examples = toy_examples(toy_rubric(*NAMES), count)
    for number, name in missing:
        if number < count:
            examples[number][f"human_{name}"] = None
    return examples


def spent(
    engine: Writer,
    optimizer: MOGrad,
    judge: MultiCriteriaJudge,
    parts: tuple[list[dspy.Example], ...],
) -> dict[str, tuple[int, int, int]]:
    """Run it, with the test texts at both ends, and give calls and tokens by role."""
    train, validation, test = parts
    ledger = Ledger()
    lm = dspy.LM("toy/world", engine=engine, temperature=0.0, cache=False)
    with dspy.context(lm=lm):
        result = optimizer.optimize(judge, trainset=train, valset=validation)
        seed, final = result.measured[0].candidate, result.measured[-1].candidate
        for end in {id(each): each for each in (seed, final)}.values():
            judge_table(end.written_into(judge), test, ledger, 1)
    used = {}
    for role in ROLES:
        rows = [row for row in (*result.ledger, *ledger.rows) if row.role == role]
        used[role] = (
            sum(row.calls for row in rows),
            sum(row.prompt_tokens for row in rows),
            sum(row.completion_tokens for row in rows),
        )
    return used


def calls(rows: tuple[RoleEstimate, ...]) -> dict[str, int]:
    return {row.role: row.calls for row in rows}


@pytest.mark.slow
@settings(max_examples=15)
@given(
    mode=st.sampled_from(list(MODES)),
    layout=st.sampled_from(["combined", "separate"]),
    n=st.sampled_from([1, 2]),
    steps=st.integers(1, 3),
    batch_size=st.integers(1, 4),
    sizes=st.tuples(st.integers(1, 5), st.integers(3, 4), st.integers(0, 3)),
    seed=st.integers(0, 3),
    preamble=st.booleans(),
    missing=st.sets(st.tuples(st.integers(0, 4), st.sampled_from(NAMES)), max_size=8),
)
@example(
    "S > coherence+relevance | fluency > C",
    "coherence | fluency+relevance",
    1,
    2,
    2,
    (3, 3, 2),
    0,
    False,
    set(),
)
@example("SSC", "combined", 1, 2, 1, (2, 3, 2), 0, False, {(0, name) for name in NAMES})
@example("CCC", "separate", 2, 1, 1, (1, 3, 2), 0, False, {(0, name) for name in NAMES})
def test_the_calls_are_those_of_the_run(
    mode, layout, n, steps, batch_size, sizes, seed, preamble, missing
):
    rule = "mean_of_n" if n > 1 else "integer"
    judge = MultiCriteriaJudge(toy_rubric(*NAMES), layout=layout, score_rule=rule, n=n)
    count = sizes[0]
    examples = examples_of(sum(sizes), {(at, name) for at, name in missing if at < count})
    parts = examples[:count], examples[count : count + sizes[1]], examples[count + sizes[1] :]
    optimizer = MOGrad(
        mode,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        gate=AlwaysAccept(),
        edit_preamble=preamble and mode != "SSS",
        skip_tolerance=None,
        # What is drawn by disagreement, and so what is rated in it, is known to the run alone.
        sampling="uniform" if missing else "disagreement",
        num_threads=1,
    )
    rows = estimate(optimizer.config, judge, parts[0], parts[1], MODELS, parts[2])
    used = spent(Writer(), optimizer, judge, parts)
    assert calls(rows) == {role: count for role, (count, _, _) in used.items()}


class Colliding(Writer):
    """Finds that the first two units conflict, and rewrites both."""

    def answer(self, system: str, user: str) -> str:
        pair, new = {"one": 1, "other": 2, "reason": "So."}, {"rule": self.paragraph}
        for field, said in {
            "conflicts": [pair],
            "rewritten": [{"number": 1, **new}, {"number": 2, **new}],
        }.items():
            if f"[[ ## {field} ## ]]" in system:
                return f"[[ ## {field} ## ]]\n{json.dumps(said)}\n\n[[ ## completed ## ]]"
        return super().answer(system, user)


@pytest.mark.parametrize("mode", ["SSS", "SCC", "SCS", "S > coherence+relevance | fluency > C"])
@pytest.mark.parametrize("pool", ["batch", "example"])
def test_conflicts_and_routing_are_estimated_exactly(mode, pool):
    judge, examples = MultiCriteriaJudge(toy_rubric(*NAMES)), examples_of(9)
    parts = examples[:3], examples[3:], []
    optimizer = MOGrad(
        mode,
        routing=mode == "SCS",
        resolve="project",
        pool=pool,
        steps=2,
        batch_size=2,
        gate=AlwaysAccept(),
        skip_tolerance=None,
        confirm="off",
    )
    used = spent(Colliding(), optimizer, judge, parts)
    rows = estimate(optimizer.config, judge, *parts[:2], MODELS)
    assert calls(rows) == {role: count for role, (count, _, _) in used.items()}


@pytest.mark.parametrize(
    ("names", "layout", "changes", "mixes"),
    [
        (NAMES, "combined", {}, 2),
        (NAMES, "combined", {"mix": "off"}, 0),
        (NAMES, "combined", {"gate": AlwaysAccept()}, 0),
        (NAMES, "separate", {}, 0),
        (NAMES[:1], "combined", {}, 0),
    ],
)
def test_a_step_may_score_a_mix_as_well(names, layout, changes, mixes):
    judge = MultiCriteriaJudge(toy_rubric(*names), layout=layout)
    settings = {"steps": 2, "batch_size": 3, "sampling": "uniform", "confirm": "off"}
    config = MOGrad("SSC", mix="race", **settings).config
    examples = toy_examples(toy_rubric(*names), 26)
    parts = examples[:6], examples[6:]
    per_text = len(names) if layout == "separate" else 1
    row = estimate(replace(config, **changes), judge, *parts, MODELS)[ROLES.index("judge")]
    assert row.calls == per_text * (20 + 2 * (3 + 20)) + mixes * 20
    assert row.likely_calls < row.calls or "gate" in changes


@pytest.mark.slow
def test_a_run_that_mixes_at_every_step_is_estimated_exactly():
    class Crossing(Writer):
        """Helps another criterion at each step, and harms the others."""

        def answer(self, system: str, user: str) -> str:
            if role_of(system) != "editor":
                return super().answer(system, user)
            helped = NAMES[next(self.numbers) % 3]
            new = {
                name: f"{self.new_text(next(self.numbers))} BIAS={0 if name == helped else 4}"
                for name in labels_of(system)
            }
            return fields({"new_instructions": json.dumps(new)})

    judge, examples = MultiCriteriaJudge(toy_rubric(*NAMES)), examples_of(40)
    parts = examples[:10], examples[10:], []
    optimizer = MOGrad(
        "SSC", steps=3, mix="race", race="off", skip_tolerance=None, confirm="off", num_threads=1
    )
    rows = estimate(optimizer.config, judge, *parts[:2], MODELS)
    assert calls(rows)["judge"] == spent(Crossing(), optimizer, judge, parts)["judge"][0]


@pytest.mark.parametrize("changes", [{"parent": "pareto"}, {"choose": "worst"}])
def test_what_a_step_starts_from_changes_no_estimate(changes):
    judge, examples = MultiCriteriaJudge(toy_rubric(*NAMES)), examples_of(26)
    config = MOGrad("SSC", steps=3).config
    plain, other = (
        estimate(it, judge, examples[:6], examples[6:], MODELS)
        for it in (config, replace(config, **changes))
    )
    assert other == plain


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["combined", "separate"])
@pytest.mark.parametrize("mode", MODES)
def test_the_tokens_are_those_of_the_run_within_a_fifth(mode, layout):
    judge = MultiCriteriaJudge(toy_rubric(*NAMES), layout=layout)
    examples = examples_of(24)
    for number, each in enumerate(examples):  # of very different lengths
        each["output"] += TEXTS * (number % 7)
    parts = examples[:10], examples[10:18], examples[18:]
    options = {"gate": AlwaysAccept(), "skip_tolerance": None, "sampling": "uniform"}
    optimizer = MOGrad(mode, steps=4, num_threads=1, **options)
    rows = {
        row.role: row
        for row in estimate(optimizer.config, judge, parts[0], parts[1], MODELS, parts[2])
    }
    used = spent(Writer(TokenCounter(MODEL)), optimizer, judge, parts)
    for role in ROLES:
        _, prompt, completion = used[role]
        assert rows[role].prompt_tokens == pytest.approx(prompt, rel=0.2), role
        assert rows[role].completion_tokens == pytest.approx(completion, rel=0.2), role
    for kind, place in (("prompt_tokens", 1), ("completion_tokens", 2)):
        total = sum(figures[place] for figures in used.values())
        assert sum(getattr(row, kind) for row in rows.values()) == pytest.approx(total, rel=0.2)


def test_before_the_instructions_change_a_judges_tokens_are_exact():
    judge = MultiCriteriaJudge(toy_rubric(*NAMES))
    examples = examples_of(9)
    counter = TokenCounter(MODEL)
    optimizer = MOGrad("CCC", steps=1, gate=AlwaysAccept(), num_threads=1, skip_tolerance=None)
    engine = Writer(counter)
    engine.paragraph = " ".join(["word"] * 90)
    engine.numbers = itertools.repeat(7)
    parts = examples[:3], examples[3:6], examples[6:]
    (row, *_) = estimate(optimizer.config, judge, *parts[:2], MODELS, parts[2])
    _, prompt, completion = spent(engine, optimizer, judge, parts)["judge"]
    prefix = counter.text("No. 7: word") - counter.text("word")
    again = len(parts[1]) + len(parts[2])  # texts that the new instructions judge
    counted = prefix * len(NAMES) * again
    # A long text is counted piece by piece: a word at a seam may count twice.
    assert prompt - row.prompt_tokens == pytest.approx(counted, abs=again)
    assert completion == pytest.approx(row.completion_tokens, abs=row.calls)


def test_equal_texts_of_a_round_are_counted_once():
    judge = MultiCriteriaJudge(toy_rubric(*NAMES))
    examples = examples_of(8)
    config = MOGrad("CCC", steps=1, batch_size=2).config
    once = estimate(config, judge, examples[:2], examples[2:6], MODELS)
    twice = estimate(config, judge, examples[:2], [*examples[2:6], *examples[2:6]], MODELS)
    assert once == twice


def test_only_a_judge_can_be_estimated():
    examples = examples_of(4)
    program = dspy.Predict("output -> answer")
    with pytest.raises(SetupError, match="must be a MultiCriteriaJudge, got a Predict") as caught:
        estimate(MOGrad(steps=1).config, program, examples[:2], examples[2:], MODELS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "model",
    [
        *(MODEL, "openai/gpt-3.5-turbo", "anthropic/claude-3-haiku-20240307"),
        "together_ai/meta-llama/Llama-3-8b-chat-hf",  # its own tokenizer is not at hand
    ],
)
def test_tokens_are_those_of_litellm_without_a_download(model, monkeypatch):
    import litellm

    monkeypatch.setattr(litellm, "disable_hf_tokenizer_download", True)
    counter = TokenCounter(model)
    for text in ("one two three", STORY, "\u00e9" * 2500, "<|endoftext|> is a word", ""):
        assert counter.text(text) == litellm.token_counter(model=model, text=text)
    messages = [{"role": "system", "content": STORY}, {"role": "user", "content": "Rate it."}]
    assert counter.messages(messages) == litellm.token_counter(model=model, messages=messages)


@pytest.mark.slow
def test_an_estimate_imports_no_litellm_and_asks_no_network(tmp_path):
    rubric = toy_rubric(*NAMES)
    (tmp_path / "rubric.toml").write_text(rubric.to_toml())
    rows = [json.dumps(example.toDict()) for example in toy_examples(rubric, 8)]
    (tmp_path / "ratings.jsonl").write_text("\n".join(rows))
    words = ["estimate", "ratings.jsonl", "--rubric", "rubric.toml", "--lm", MODEL, "--steps", "1"]
    code = f"""
import socket, sys
socket.socket.connect = None
from mogradjudge.cli import main
try:
    main({words!r})
finally:
    assert not {{"litellm", "sklearn", "optuna", "datasets", "pyarrow"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, "editor" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("more", [[], ["--test-share", "0.3"]])
@pytest.mark.parametrize("rule", [[], ["--score-rule", "mean_of_n", "--n", "2"]])
def test_the_command_line_uses_what_it_estimated(more, rule, tmp_path, capsys):
    numbers = itertools.count()

    def always_new(system: str, user: str) -> str:
        if role_of(system) == "coach":
            return fields(critique_or_advice(user, "", "lower the scores."))
        text = reply(system, user)
        return re.sub(r'"(?=[,}])', lambda _: f' ({next(numbers)})"', text)

    rubric = toy_rubric(*NAMES)
    (tmp_path / "rubric.toml").write_text(rubric.to_toml())
    rows = [json.dumps(example.toDict()) for example in toy_examples(rubric, 20)]
    (tmp_path / "ratings.jsonl").write_text("\n".join(rows))
    words = [str(tmp_path / "ratings.jsonl"), "--rubric", str(tmp_path / "rubric.toml")]
    words += ["--lm", MODEL, "--steps", "3", "--gate", "none", *more, *rule]
    words += ["--skip-tolerance", "none", "--sampling", "uniform"]
    with serving(world=always_new) as server:
        words += ["--api-base", server.url]
        with pytest.raises(SystemExit):
            main(["estimate", *words, "--json"])
        estimated = {row["role"]: row["calls"] for row in json.loads(capsys.readouterr().out)}
        assert not server.served
        with pytest.raises(SystemExit):
            main(["compile", *words, "--no-report", "--out", str(tmp_path / "run")])
        assert estimated == server.calls
