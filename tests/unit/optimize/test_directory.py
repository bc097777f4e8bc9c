"""What a run keeps on disk, and how it goes on from there."""

import errno
import json
import math
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import dspy
import pytest
from dspy.lm15 import AuthError
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.worlds.world import ToyEngine, role_of, toy_examples, toy_rubric
from mogradjudge import Budget, MOGrad, MultiCriteriaJudge, Objective, SetupError, Undefined
from mogradjudge.data import example_key
from mogradjudge.files import LineLog, read_json, to_json, write_text
from mogradjudge.hashing import digest
from mogradjudge.judge.instructions import Instructions
from mogradjudge.lm.budget import Spent
from mogradjudge.lm.ledger import Ledger, Purpose
from mogradjudge.optimize.directory import RunDirectory
from mogradjudge.optimize.parts import Parts
from mogradjudge.optimize.result import HeldOut, Measured, StepRecord
from mogradjudge.optimize.state import State
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import Agreement
from mogradjudge.programs.identity import describe_lm, digest_of

RUBRIC = toy_rubric("fluency", "coherence", "relevance")  # not in the order of the alphabet
EXAMPLES = toy_examples(RUBRIC, 20)


def lm(engine: ToyEngine, **settings: object) -> dspy.LM:
    return dspy.LM("toy/world", engine=engine, temperature=0.0, **settings)


def optimize(folder, engine=None, model=None, **changes):
    settings = {"steps": 3, "mode": "SSC", "run_dir": folder} | changes
    with dspy.context(lm=model or lm(engine or ToyEngine())):
        return MOGrad(**settings).optimize(
            MultiCriteriaJudge(RUBRIC),
            trainset=EXAMPLES[:8],
            valset=EXAMPLES[8:15],
            testset=EXAMPLES[15:],
        )


@pytest.mark.slow
def test_a_run_in_python_keeps_everything_and_goes_on_for_nothing(tmp_path):
    engine = ToyEngine()
    result = optimize(tmp_path, engine)
    kept = {path.name for path in tmp_path.iterdir()}
    assert {"judge.json", "rubric.toml", "result.json", "state.json", "asked.json"} <= kept
    assert {"events.jsonl", "calls.jsonl", "cache"} <= kept
    assert json.loads((tmp_path / "result.json").read_text()) == json.loads(
        to_json(result.as_dict())
    )
    again = optimize(tmp_path, other := ToyEngine())
    assert not other.calls
    assert again.as_dict() == result.as_dict()
    assert result.test is not None
    assert result.test.n == 5


def test_a_run_writes_the_keys_of_its_parts_and_goes_on_without_them(tmp_path):
    optimize(tmp_path)
    parts = read_json(tmp_path / "parts.json")
    sets = {"training": EXAMPLES[:8], "validation": EXAMPLES[8:15], "test": EXAMPLES[15:]}
    sets |= {"confirmation": []}
    assert parts == {name: [example_key(text) for text in part] for name, part in sets.items()}
    (tmp_path / "parts.json").unlink()  # as in the folder of an older run
    optimize(tmp_path, other := ToyEngine())
    assert not other.calls
    assert read_json(tmp_path / "parts.json") == parts


def test_held_out_texts_are_the_test_part_and_new_texts_of_groups_that_were_not_read(caplog):
    def of(names, group):
        return [dspy.Example(text=name, group=group).with_inputs("text") for name in names]

    read, test = of("ab", "1"), of("cd", "2")
    parts = Parts.of({"training": read[:1], "validation": read[1:], "test": test})
    related, new = of("e", "1"), of("fgh", "3")
    assert parts.held_out([*read, *test, *related, *new]) == [*test, *new]
    (line,) = caplog.messages
    assert all(f"{count} " in line for count in (2, 3, 1))
    assert parts.held_out([*related, *new]) == [*related, *new]  # the group is not in the table
    ungrouped = of("ab", math.nan), of("ij", math.nan)
    assert parts.held_out([*ungrouped[0], *ungrouped[1]]) == ungrouped[1]
    with pytest.raises(SetupError, match="1 belong"):
        parts.held_out([*read, *related])


@pytest.fixture(scope="module")
def in_one_go(tmp_path_factory):
    folder, engine = tmp_path_factory.mktemp("whole"), ToyEngine()
    return folder, optimize(folder, engine), engine.calls


@pytest.mark.slow
@pytest.mark.parametrize("cap", [1, 10, 20, 40, 55, 65])
def test_a_run_goes_on_where_its_budget_ended(cap, in_one_go, tmp_path):
    (folder, whole, calls), engine = in_one_go, ToyEngine()
    first = optimize(tmp_path / "cut", engine, budget=Budget(max_calls=cap))
    assert first.stop_reason == "budget"
    assert engine.calls.total() == first.calls == cap
    last = optimize(tmp_path / "cut", engine)
    assert engine.calls == calls  # nothing is paid twice
    assert last.calls == whole.calls
    paid = [(row.role, row.criteria, row.calls, row.prompt_tokens) for row in last.ledger]
    assert paid == [(row.role, row.criteria, row.calls, row.prompt_tokens) for row in whole.ledger]
    shown, expected = last.as_dict(), whole.as_dict()
    assert {**shown, "ledger": None} == {**expected, "ledger": None}
    for name in ("judge.json", "rubric.toml"):
        assert (tmp_path / "cut" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.slow
def test_an_outage_in_mid_run_loses_nothing(tmp_path):
    class Failing(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            if role_of(system) == "editor" and self.calls["editor"] == 2:
                raise AuthError("the key has expired")
            return super().answer(system, user)

    with pytest.raises(dspy.LMAuthError):
        optimize(tmp_path, engine := Failing())
    state = read_json(tmp_path / "state.json")
    assert [step["step"] for step in state["steps"]] == [1]
    judge = MultiCriteriaJudge.from_saved(tmp_path / "judge.json")
    assert "BIAS" in judge.judges["all"].signature.instructions  # the best so far
    paid = engine.calls.total()
    optimize(tmp_path, later := ToyEngine())
    optimize(tmp_path / "other", whole := ToyEngine())
    assert paid + later.calls.total() == whole.calls.total() + 1  # but for the refused one


def test_a_program_of_ones_own_is_kept_too(tmp_path):
    class Rating(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            rates = role_of(system) == "judge"
            return "[[ ## fluency ## ]]\n3" if rates else super().answer(system, user)

    objective = Objective("right", "Is it right?", score=lambda example, made: 0.5)
    program = dspy.Predict("output -> fluency: int")
    with dspy.context(lm=lm(Rating())):
        MOGrad(objectives=[objective], steps=1, run_dir=tmp_path).compile(
            program, trainset=EXAMPLES[:5], valset=EXAMPLES[5:9]
        )
    assert (tmp_path / "program.json").exists()
    assert not (tmp_path / "judge.json").exists()
    dspy.Predict("output -> fluency: int").load(tmp_path / "program.json")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"mode": "CCC"}, "mode was 'SSC' and is 'CCC'"),
        ({"steps": 2}, "steps was 3 and is 2"),  # more steps go on
        ({"model": lm(ToyEngine(), max_tokens=7)}, "models was"),
    ],
)
def test_another_question_is_refused_with_the_difference(changes, what, tmp_path):
    optimize(tmp_path)
    with pytest.raises(SetupError, match="with other settings") as caught:
        optimize(tmp_path, **changes)
    assert what in str(caught.value)


def test_how_fast_it_goes_and_where_it_ends_may_change(tmp_path):
    optimize(tmp_path, budget=Budget(max_calls=30), num_threads=1)
    result = optimize(tmp_path, num_threads=4, max_rpm=10_000, patience=50, target=1.0)
    assert (result.stop_reason, len(result.steps)) == ("target", 2)


@pytest.mark.slow
def test_a_run_that_ended_early_may_go_on_and_its_test_figures_go_with_it(tmp_path):
    early = optimize(tmp_path, target=-1.0)
    assert (early.stop_reason, early.test.final) == ("target", early.test.seed)
    late, whole = optimize(tmp_path), optimize(tmp_path / "whole")
    assert (late.stop_reason, late.test) == ("steps", whole.test)
    assert late.test.final != late.test.seed


def test_a_fingerprint_holds_no_key_and_no_credentials():
    model = dspy.LM(
        "openai/gpt-4o-mini",
        api_key="canary-1234",
        api_base="https://me:canary-1234@host:8000/v1?token=canary-1234",
        extra_headers={"X": "canary-1234"},
        max_tokens=9,
        timeout=3,
    )
    described = describe_lm(model)
    assert "canary" not in json.dumps(described)
    assert "api_base" not in described  # a server may come back at another address
    assert described["max_tokens"] == 9
    assert "timeout" not in described


def test_examples_may_hold_what_json_has_no_form_for(tmp_path):
    when, letters = datetime(2026, 1, 2, tzinfo=UTC), {"b", "a", "c"}
    odd = [
        dspy.Example(example, when=when, tags=letters, score=math.nan).with_inputs("output")
        for example in EXAMPLES
    ]
    assert digest_of(odd) == digest_of([each.copy() for each in odd]) != digest_of(EXAMPLES)
    assert digest([object]) != digest([int])


def test_an_lm_whose_replies_are_not_kept_is_refused(tmp_path):
    with pytest.raises(SetupError, match=r"`run_dir`.*'toy/world'.*cache=True"):
        optimize(tmp_path, model=lm(ToyEngine(), cache=False))


def test_another_gate_is_another_question(tmp_path):
    class Own:
        def __init__(self, least: float) -> None:
            self.least = least

        def __call__(self, current, proposed) -> bool:
            return proposed.mean >= self.least

    optimize(tmp_path, gate=Own(0.1))
    with pytest.raises(SetupError, match="gate was"):
        optimize(tmp_path, gate=Own(0.2))


def test_a_run_that_paid_nothing_may_ask_for_something_else(tmp_path):
    class Refusing(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            raise AuthError("no such key")

    with pytest.raises(dspy.LMAuthError):
        optimize(tmp_path, Refusing())
    for name in ("result.json", "judge.json", "rubric.toml"):
        (tmp_path / name).write_text("{}")  # of a run that was stopped before its first answer
    assert optimize(tmp_path, seed=1).stop_reason == "steps"


@pytest.mark.slow
def test_two_runs_in_one_process_keep_their_replies_apart(tmp_path):
    first, second = ToyEngine(), ToyEngine()
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(optimize, tmp_path / name, engine, seed=seed)
            for name, engine, seed in (("a", first, 0), ("b", second, 1))
        ]
        results = [run.result() for run in runs]
    for name, seed, result in (("a", 0, results[0]), ("b", 1, results[1])):
        (tmp_path / name / "state.json").unlink()  # so that all is asked for once more
        again = optimize(tmp_path / name, engine := ToyEngine(), seed=seed)
        assert not engine.calls
        assert again.final_agreement == result.final_agreement


def test_a_folder_in_use_is_refused(tmp_path):
    with (
        RunDirectory(tmp_path).at_work({}, Ledger()),
        pytest.raises(SetupError, match=str(tmp_path)),
        RunDirectory(tmp_path).at_work({}, Ledger()),
    ):
        pass


@pytest.mark.parametrize("name", ["state.json", "asked.json", "calls.jsonl"])
def test_a_damaged_file_is_one_clear_line(name, tmp_path):
    optimize(tmp_path)
    (tmp_path / name).write_text("{]\n")
    with pytest.raises(SetupError, match=f"{name} is damaged"):
        optimize(tmp_path)


@pytest.mark.parametrize("change", ["first", "odd", "cache"])
def test_so_is_a_journal_that_lost_a_line_or_a_cache_that_is_none(change, tmp_path):
    optimize(tmp_path)
    if change == "cache":
        for path in tmp_path.glob("cache/replies.sqlite3"):
            path.write_text("not a database" * 100)
    else:
        lines = (tmp_path / "calls.jsonl").read_text().splitlines(keepends=True)
        kept = lines[1:] if change == "first" else [*lines, '{"x": 1}\n']
        (tmp_path / "calls.jsonl").write_text("".join(kept))
    with pytest.raises(SetupError, match=r"calls.jsonl is damaged|replies in .* cannot be read"):
        optimize(tmp_path)


@pytest.mark.slow
def test_a_state_that_is_no_state_is_one_clear_line(tmp_path):
    optimize(tmp_path)
    (tmp_path / "state.json").write_text('{"measured": 3}')
    with pytest.raises(SetupError, match="state cannot be read"):
        optimize(tmp_path)


def whole(folder, **changes):
    """Run to the end; gives the result, and a function that runs again and counts what it pays."""
    result = optimize(folder, steps=1, **changes)

    def again():
        later = optimize(folder, engine := ToyEngine(), steps=1, **changes)
        return later.measured == result.measured and later.test == result.test, engine.calls.total()

    return again


def with_value(value, *place):
    """Put a value, or what a function makes of the one there, into a state."""

    def damage(text):
        state = json.loads(text)
        parent = state
        for key in place[:-1]:
            parent = parent[key]
        old = parent[place[-1]]
        parent[place[-1]] = value(old) if callable(value) else value
        return json.dumps(state).encode()

    return damage


FIRST = ("measured", 0, "agreement", 0)
DAMAGES = {
    "NaN": with_value(math.nan, *FIRST, "value"),
    "an infinite value": with_value(math.inf, *FIRST, "value"),
    "a text as a value": with_value("0.5", *FIRST, "value"),
    "a yes as a value": with_value(True, *FIRST, "value"),
    "a count below 0": with_value(-1, *FIRST, "scored"),
    "another criterion": with_value("zz", *FIRST, "criterion"),
    "other criteria everywhere": lambda text: text.replace(b'"fluency"', b'"zz"'),
    "another predictor": with_value("zz", "measured", 0, "instructions", 0, 0),
    "another seed": with_value("zz", "measured", 0, "instructions", 0, 1),
    "a word as accepted": with_value("no", "steps", 0, "accepted"),
    "a step's other end": with_value(lambda accepted: not accepted, "steps", 0, "accepted"),
    "another step's number": with_value(99, "steps", 0, "step"),
    "nothing measured": with_value([], "measured"),
    "a step 50 times": with_value(lambda steps: steps * 50, "steps"),
    "no steps": with_value([], "steps"),
    "calls below 0": with_value(-5, "calls"),
    "empty": lambda text: b"",
    "cut": lambda text: text[:300],
    "no UTF-8": lambda text: b"\xff\xfe\x00" + text,
    "a list": lambda text: b"[]",
    "very deep": lambda text: b"[" * 200_000,
    "a long number": lambda text: text.replace(b'"calls": ', b'"calls": ' + b"9" * 5000),
    "a wrong type": lambda text: text.replace(b'"step": ', b'"step": "x", "old": '),
    "a text as a count": lambda text: text.replace(b'"scored": ', b'"scored": "x", "old": '),
    "infinity": lambda text: text.replace(b'"calls": ', b'"calls": 1e999, "old": '),
    "of another version": lambda text: b'{"version": 2}',
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ended") / "run"
    return folder, whole(folder)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_named(damage, ended):
    folder, again = ended
    state = folder / "state.json"
    kept = state.read_bytes()
    state.write_bytes(DAMAGES[damage](kept))
    try:
        with pytest.raises(SetupError, match=r"state\.json is damaged.*Delete that file") as caught:
            again()
    finally:
        state.write_bytes(kept)
    assert len(str(caught.value).splitlines()) == 1


def test_without_a_damaged_state_the_paid_replies_are_replayed(ended):
    folder, again = ended
    state = folder / "state.json"
    kept = state.read_bytes()
    state.unlink()
    assert again() == (True, 0)
    assert json.loads(state.read_bytes())["measured"] == json.loads(kept)["measured"]


@pytest.mark.slow
def test_without_a_damaged_asked_json_and_the_state_they_are_replayed_too(tmp_path):
    again = whole(tmp_path)
    (tmp_path / "asked.json").write_text("{")
    with pytest.raises(SetupError, match=r"asked\.json is damaged.*Delete it and state\.json"):
        again()
    (tmp_path / "asked.json").unlink()
    (tmp_path / "state.json").unlink()
    assert again() == (True, 0)


@pytest.mark.parametrize(
    "line", [b"{]\n", b"[1]\n", b"\xff\n", b'{"x": 1}\n', b'{"landed": [1]}\n']
)
def test_a_damaged_line_of_the_journal_is_named_and_can_be_deleted(line, tmp_path):
    again = whole(tmp_path)
    journal = tmp_path / "calls.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], line, *lines[3:]]))
    with pytest.raises(SetupError, match=r"Line 4 of .*calls\.jsonl is damaged.*Delete that line"):
        again()
    journal.write_bytes(b"".join(lines))
    assert again() == (True, 0)


@pytest.mark.parametrize(
    "name", ["state.json", "asked.json", "calls.jsonl", "events.jsonl", "lock", "cache"]
)
def test_a_pipe_in_the_place_of_a_file_is_one_clear_line_and_is_not_waited_for(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(SetupError, match=f"{name} is neither.* Remove it"):
        optimize(tmp_path, steps=1)


@pytest.mark.parametrize("name", ["state.json", "asked.json", "calls.jsonl"])
def test_a_directory_in_the_place_of_what_is_read_is_named_with_what_helps(name, tmp_path):
    again = whole(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(SetupError, match=rf"{name}: Is a directory\. (Delete|Remove)"):
        again()
    (tmp_path / name).rmdir()
    (tmp_path / "state.json").unlink(missing_ok=True)
    assert again() == (True, 0)


@pytest.mark.parametrize("name", ["lock", "stop", "judge.json", "events.jsonl", "calls.jsonl"])
def test_a_directory_in_the_place_of_a_file_is_one_clear_line(name, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(SetupError, match=f"(?i)cannot .*{name}: is a directory"):
        optimize(tmp_path, steps=1)


@pytest.mark.slow
@pytest.mark.parametrize("at", [3, 15, 40])
def test_what_is_known_of_a_run_outlives_its_folder(at, tmp_path):
    class Removing(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            if self.calls.total() == at:
                shutil.rmtree(tmp_path / "run")
            return super().answer(system, user)

    whole = optimize(tmp_path / "whole", engine := ToyEngine(), num_threads=1)
    with pytest.raises(SetupError, match="run was removed or renamed"):
        optimize(tmp_path / "run", Removing(), num_threads=1)
    later = optimize(tmp_path / "run", paid := ToyEngine(), num_threads=1)
    assert later.measured == whole.measured
    assert paid.calls.total() <= engine.calls.total()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "word"), [(errno.ENOSPC, "space"), (errno.EROFS, "[Rr]ead-only")]
)
def test_a_disk_that_takes_no_more_is_one_clear_line_and_what_was_paid_is_kept(
    number, word, tmp_path, monkeypatch
):
    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    first = ToyEngine()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SetupError, match=f"Cannot write .*{word}"):
            optimize(tmp_path / "fresh", ToyEngine())
        assert not (tmp_path / "fresh" / "asked.json").exists()

    class Filling(ToyEngine):
        def answer(self, system: str, user: str) -> str:
            monkeypatch.setattr(os, "fsync", full)
            return super().answer(system, user)

    with pytest.raises(SetupError, match=f"Cannot write .*{word}"):
        optimize(tmp_path / "run", first := Filling(), steps=1)
    monkeypatch.undo()
    optimize(tmp_path / "run", later := ToyEngine(), steps=1)
    optimize(tmp_path / "whole", engine := ToyEngine(), steps=1)
    assert first.calls + later.calls == engine.calls


NAMES = ("zeta", "alpha")
counts = st.fixed_dictionaries({name: st.integers(0, 99) for name in NAMES})
values = st.floats(-1, 1) | st.builds(Undefined, st.text(max_size=9))
agreements = st.builds(
    Agreement,
    st.fixed_dictionaries(dict.fromkeys(NAMES, values)),
    counts,
    counts,
    counts,
    counts,
)
instructions = st.builds(
    Instructions, st.text(max_size=30), st.fixed_dictionaries({"zeta": st.text(max_size=30)})
)
measured = st.builds(
    Measured,
    st.integers(0, 9),
    st.builds(Candidate, st.fixed_dictionaries({"b": instructions, "a": instructions})),
    agreements,
)
records = st.builds(
    StepRecord,
    st.integers(1, 9),
    st.booleans(),
    agreements,
    st.none() | agreements,
    st.integers(0, 99),
    st.integers(0, 9),
)
tested = st.builds(HeldOut, st.integers(1, 99), agreements, agreements)
states = st.builds(
    State,
    st.lists(measured, min_size=1, max_size=3).map(tuple),
    st.lists(measured, max_size=2).map(tuple),
    st.lists(records, max_size=3).map(tuple),
    st.integers(0, 999),
    st.none() | tested,
)


@pytest.mark.slow
@given(states)
def test_a_state_comes_back_from_disk_as_it_was_to_the_order_of_the_criteria(state):
    back = State.from_dict(json.loads(to_json(state.as_dict())))
    assert back == state
    first, second = state.measured[0], back.measured[0]
    assert list(second.agreement.by_criterion) == list(first.agreement.by_criterion)
    assert list(second.candidate.instructions) == list(first.candidate.instructions)
    assert second.agreement.mean == first.agreement.mean


def test_half_a_surrogate_pair_is_written_and_read_back(tmp_path):
    log = LineLog(tmp_path / "log.jsonl")
    log.add({"text": "\ud800 and é"})
    log.close()
    assert [entry["text"] for entry in log.entries()] == ["\ud800 and é"]


@given(st.lists(st.integers()), st.binary(max_size=9000).filter(lambda torn: b"\n" not in torn))
def test_a_torn_line_is_taken_off_and_the_others_stay(tmp_path_factory, numbers, torn):
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    log = LineLog(path)
    for number in numbers:
        log.add({"number": number})
    log.close()
    with path.open("ab") as file:
        file.write(torn)
    assert [entry["number"] for entry in LineLog(path).entries()] == numbers
    log = LineLog(path)
    log.add({"number": 7})
    log.close()
    assert [entry["number"] for entry in LineLog(path).entries()] == [*numbers, 7]


def test_a_file_is_replaced_at_once(tmp_path):
    path = tmp_path / "file"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    with pytest.raises(ValueError):
        to_json({"x": math.nan})


SENT = {"sent": 1, "role": "judge", "criteria": ["a"], "model": "m"}
WEIGHT = {"calls": 1, "tokens": 0, "cost": 0.0}
LANDED = {"landed": 1, "answered": True, "cached": False, "unknown": False}
TOKENS = {"prompt_tokens": 5, "completion_tokens": 1}


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        *(("weight", "calls", value) for value in (-1000, 0, 0.5, True, "1", None)),
        *(("weight", "tokens", value) for value in (-1, math.nan, math.inf, False, "9")),
        *(("weight", "cost", value) for value in (-0.1, math.nan, math.inf, -math.inf, True, "9")),
        *(("landed", "prompt_tokens", value) for value in (-1, math.nan, True, "9")),
        *(("landed", "completion_tokens", value) for value in (-1, math.inf)),
        *(("landed", name, -9) for name in ("answered", "cached", "unknown", "withdrawn")),
        *(("sent", "sent", value) for value in (-1, 0.5, True)),
    ],
)
def test_a_strangers_journal_makes_no_room_under_a_cap(place, name, value, tmp_path):
    sent, landed = {**SENT, "weight": dict(WEIGHT)}, {**LANDED, **TOKENS}
    {"weight": sent["weight"], "landed": landed, "sent": sent}[place][name] = value
    journal = tmp_path / "calls.jsonl"
    journal.write_text(f"{json.dumps(sent)}\n{json.dumps(landed)}\n")
    number = 2 if place == "landed" else 1
    with (
        pytest.raises(SetupError, match=rf"Line {number} of .*calls\.jsonl is damaged"),
        Ledger(Budget(max_calls=5)).kept_in(LineLog(journal)),
    ):
        pass


def test_a_call_under_way_when_the_journal_broke_off_counts_as_large_as_it_can_be(tmp_path):
    purpose, log = Purpose("judge", ("a",), "openai/gpt-4o-mini"), tmp_path / "calls.jsonl"
    ledger = Ledger()
    with ledger.kept_in(LineLog(log)):
        done = ledger.depart(purpose, Spent(1, 100, 0.5))
        ledger.book(
            done,
            [{"prompt_tokens": 5, "completion_tokens": 1}],
            answered=True,
            lost=False,
        )
        ledger.book_cached(purpose)
        ledger.depart(purpose, Spent(1, 1000, 2.0))
    later = Ledger(Budget(max_tokens=1100))
    with later.kept_in(LineLog(log)):
        (row,) = later.rows
        assert (row.calls, row.cached, row.failed) == (1, 1, 1)
        assert (later.calls, later._spent.tokens) == (2, 1006)
        assert later._spent.cost == pytest.approx(2.0, abs=1e-4)
        later.depart(purpose, Spent(1, 94, 0.0))


def test_held_out_texts_are_counted_apart_from_those_that_confirmed_the_result(caplog):
    texts = [dspy.Example(text=str(number)).with_inputs("text") for number in range(9)]
    parts = Parts.of({"training": texts[:2], "validation": texts[1:4], "confirmation": texts[3:6]})
    assert parts.held_out(texts) == texts[6:]
    assert re.findall(r"\d+ (?:are|were|confirmed)", caplog.text) == [
        "3 are",
        "4 were",
        "2 confirmed",
    ]
