"""The report of a run: what it reads, its figures against an oracle, its words, its size."""

import dataclasses
import json
import re
from unittest import mock

import dspy
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import confusion_matrix

from benchmarks.worlds.world import ToyEngine, role_of, toy_examples, toy_rubric
from mogradjudge import Criterion, MOGrad, Objective, Rubric, SetupError
from mogradjudge.agreement import METHODS, TestOptions, bootstrap_criteria, compare_criteria
from mogradjudge.cli import cli
from mogradjudge.files import LineLog, read_json, to_json, write_text
from mogradjudge.optimize.event_log import read_events
from mogradjudge.optimize.events import (
    CandidateScored,
    ConflictsFound,
    GateDecided,
    MixScored,
    RunEnded,
    StepStarted,
    UnitsRouted,
)
from mogradjudge.programs.identity import digest_of
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.report import advice, confusion, differing, edits, write_report
from mogradjudge.report.about import facts
from mogradjudge.report.confusion import confusions, main_error
from mogradjudge.report.costs import costs
from mogradjudge.report.costs import section as costs_section
from mogradjudge.report.diff import diff
from mogradjudge.report.edits import chain, cut, whole_edits
from mogradjudge.report.program_scores import own_claims
from mogradjudge.report.run_data import read_run
from mogradjudge.report.scores import ends, scorings
from mogradjudge.report.section import Findings, Limits
from mogradjudge.report.verdict import section as section_of_verdict
from mogradjudge.report.verdict import verdict
from mogradjudge.report.write import MOST_BYTES
from mogradjudge.stages.conflicts import Conflict, Side
from report_runs import HOSTILE, RUBRIC, Parsed, judged, told, toy_run, written


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return toy_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def undrawn(monkeypatch):
    """Let the figures be: they take the most time."""
    monkeypatch.setattr("mogradjudge.report.section.can_draw", lambda: False)


def page_of(folder, **options):
    return Parsed(write_report(folder, **options).read_text("utf-8"))


def judge_run(folder):
    run = read_run(folder)
    splits = {split: ends(run, split) for split in ("test", "confirmation", "validation")}
    return verdict(run, {split: compared for split, compared in splits.items() if compared})


def copied(source, target, events=None):
    """Copy what a report reads; ``events`` cuts the events after so many lines."""
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and path.name not in ("lock", "report.html", "result.json"):
            lines = path.read_bytes().splitlines(keepends=True)
            cut = events if path.name == "events.jsonl" else None
            (target / path.name).write_bytes(b"".join(lines[:cut]))
    return target


def test_the_report_is_one_file_and_its_figures(run_dir):
    path = write_report(run_dir)
    assert path == run_dir / "report.html"
    assert path.stat().st_size < MOST_BYTES
    names = {each.name for each in (run_dir / "figures").iterdir()}
    assert {"ends_test.svg", "ends_validation.svg", "steps_mean.svg", "costs.svg"} <= names
    assert {"steps_fluency.svg", "scores_coherence.svg"} <= names
    page = Parsed(path.read_text("utf-8"))
    assert sum(tag == "svg" for tag, _ in page.tags) == len(names)
    labels = [each["aria-label"] for tag, each in page.tags if each.get("role") == "img"]
    assert len(labels) == len(names)
    assert all(re.search(r"\d", label) for label in labels)


@pytest.mark.slow
def test_equal_folders_give_equal_files(run_dir, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, two = (copied(run_dir, tmp_path / name / "run") for name in ("a", "b"))
    assert write_report(one).read_bytes() == write_report(two).read_bytes()


def test_what_is_measured_from_texts_is_what_the_run_had_measured(run_dir):
    run, result = read_run(run_dir), read_json(run_dir / "result.json")
    found = {each.step: each for each in scorings(run)}
    for name, value in result["seed_agreement"].items():
        assert found[0].by_criterion[name].value == pytest.approx(value)
    for step in result["steps"]:
        if step["proposed"] is not None:
            for name, value in step["proposed"].items():
                assert found[step["step"]].by_criterion[name].value == pytest.approx(value)
    test = ends(run, "test")
    for side, key in ((test.seed, "seed"), (test.final, "final")):
        for name, value in result["test"][key].items():
            assert side.by_criterion[name].value == pytest.approx(value)


def test_intervals_tests_and_lengths_are_those_of_the_package(run_dir):
    run = read_run(run_dir)
    first, last = run.texts(0, "test"), run.texts(run.best, "test")
    assert run.best > 0
    groups = [text.group for text in first]
    columns = {
        side: {name: [getattr(t, field)[name] for t in texts] for name in RUBRIC.names}
        for side, texts, field in (
            ("human", first, "expected"),
            ("seed", first, "produced"),
            ("final", last, "produced"),
        )
    }
    found = ends(run, "test")
    family = compare_criteria(
        columns["human"], columns["final"], columns["seed"], groups, TestOptions(level="pooled")
    )
    assert found.claims["mean"].estimate == family.mean.difference
    assert found.claims["fluency"].p_value == family.holm["fluency"]
    interval = bootstrap_criteria(
        columns["human"], columns["final"], groups, TestOptions(level="pooled")
    )["fluency"]
    assert found.final.by_criterion["fluency"].interval == interval
    lengths = [len(f"Text {n}: fluency=1, coherence=1") for n in range(22, 40)]
    assert [text.lengths["output"] for text in first] == lengths
    assert found.lengths["output"].by_criterion["fluency"].value == 0  # all are equally long


def test_the_length_alone_is_a_baseline(tmp_path):
    run = read_run(written(tmp_path, told(1, ("fluency",), "x")))
    texts = run.texts(0, "validation")
    human = [text.expected["fluency"] for text in texts]
    lengths = [text.lengths["output"] for text in texts]
    found = ends(dataclasses.replace(run, rubric=toy_rubric("fluency")), "validation")
    assert found.lengths["output"].by_criterion["fluency"].value == pytest.approx(
        spearmanr(human, lengths).statistic
    )


def test_a_few_documents_give_no_interval_and_it_says_why(tmp_path):
    run = read_run(written(tmp_path, told(1, ("fluency",), "x", texts=6)))
    seed = ends(dataclasses.replace(run, rubric=toy_rubric("fluency")), "validation").seed
    assert seed.documents == 3
    assert seed.by_criterion["fluency"].interval is None
    assert seed.by_criterion["fluency"].why == "no interval: 3 documents, and it needs 8"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("measure", ["qwk", "mae", "accuracy"])
def test_a_report_takes_and_names_the_runs_measure(tmp_path, measure):
    folder = toy_run(tmp_path / "run", steps=1, measure=measure)
    run, result = read_run(folder), read_json(folder / "result.json")
    before, after = scorings(run)
    for found, values in ((before, result["seed_agreement"]), (after, result["final_agreement"])):
        for name, value in values.items():
            assert found.by_criterion[name].value == pytest.approx(value)
            low, high = (
                found.by_criterion[name].interval.low,
                found.by_criterion[name].interval.high,
            )
            assert low <= value <= high <= 1
    compared = ends(run, "test")
    assert METHODS[measure].title in compared.agreement
    assert compared.lengths == {}  # a length is on no scale
    page = page_of(folder).text
    assert METHODS[measure].title in page and "Spearman" not in page
    for deviation in result["deviations"]["seed"].values():
        assert f"{deviation['bias']:+.2f} ({deviation['mean_error']:.2f})" in page


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_held_out_texts_decide_and_the_validation_texts_are_optimistic(run_dir, tmp_path):
    found = judge_run(run_dir)
    assert found.word == ends(read_run(run_dir), "test").claims["mean"].verdict
    assert found.sentence.startswith("On 18 held-out test texts of 18 documents")
    assert any("optimistic" in note and "validation" in note for note in found.notes)
    blind = judge_run(toy_run(tmp_path / "blind", test=False))
    assert (blind.word, blind.sentence) == (
        "not confirmed",
        read_json(tmp_path / "blind" / "result.json", "")["confirmation"]["sentence"],
    )
    assert "optimistic" in blind.sentence
    text = page_of(run_dir).text
    assert text.index("Held-out test texts") < text.index("Validation texts (optimistic)")


@pytest.mark.usefixtures("undrawn")
def test_a_run_whose_seed_stays_has_nothing_to_compare(tmp_path):
    folder = toy_run(tmp_path, steps=1, target=-1.0)
    found = judge_run(folder)
    assert found.word == "initial kept"
    assert "held-out test texts" in found.sentence
    text = page_of(folder).text
    assert "The initial instructions are kept" in text
    assert "minus initial" not in text
    assert "p = 1.000" not in text


def test_both_means_are_over_the_criteria_that_both_ends_have(run_dir):
    run = read_run(run_dir)
    blank = tuple(
        dataclasses.replace(each, produced={"fluency": each.produced["fluency"]})
        for each in run.texts(0, "test")
    )
    run = dataclasses.replace(run, scored={**run.scored, (0, "test"): blank})
    found = ends(run, "test")
    assert found.left_out == ("coherence",)
    for side in (found.seed, found.final):
        mean, fluency = (side.by_criterion[name] for name in ("mean", "fluency"))
        assert (mean.value, mean.texts) == (fluency.value, fluency.texts)
    gap = found.final.by_criterion["mean"].value - found.seed.by_criterion["mean"].value
    assert found.claims["mean"].estimate == pytest.approx(gap)
    assert "without coherence" in verdict(run, {"test": found}).sentence


def test_on_the_confirmation_texts_the_mean_has_the_confirmations_test_alone(run_dir):
    run = read_run(run_dir)
    texts = {(step, "confirmation"): run.texts(step, "test") for step in (0, run.best)}
    found = ends(dataclasses.replace(run, scored={**run.scored, **texts}), "confirmation")
    assert set(found.claims) == set(run.criteria)
    assert "mean" in ends(run, "test").claims


def test_a_run_that_has_not_ended_or_has_no_state_claims_nothing(run_dir):
    run = dataclasses.replace(read_run(run_dir), ended=None)
    found = verdict(run, {"validation": ends(run, "validation")})
    assert found.word == "not ended"
    assert "So far" in found.sentence
    assert "Held-out texts are scored at the end" in found.sentence
    assert "--test-share" not in found.sentence
    bare = dataclasses.replace(run, state=None, seeded=None)
    assert not bare.seed_kept
    confirming = dataclasses.replace(
        run,
        started=dataclasses.replace(run.started, confirmation=17),
        request={**run.request, "test data": digest_of([])},
    )
    assert "17 texts are set aside" in verdict(confirming, {}).sentence
    assert "nothing will be established" not in verdict(confirming, {}).sentence
    assert ends(bare, "validation").claims == {}
    assert verdict(bare, {}).word == "not ended"
    assert confusions(bare, ()) == ()


def test_one_reason_for_all_is_one_sentence(tmp_path):
    run = read_run(written(tmp_path, told(1, ("fluency",), "x", texts=6)))
    found = ends(dataclasses.replace(run, rubric=toy_rubric("fluency")), "validation")
    assert found.reasons == ("no interval: 3 documents, and it needs 8",)


def test_a_roles_temperature_wins_over_the_models(run_dir):
    told_so = dict(facts(read_run(run_dir)))
    assert "temperature 0.3" in told_so["critic's model"]
    assert "temperature 0.7" in told_so["editor's model"]
    assert "temperature 0.0" in told_so["judge's model"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("lines", [3, 4, 6, 15, 22])
def test_a_run_that_was_cut_short_is_reported_as_far_as_it_got(run_dir, tmp_path, lines):
    folder = copied(run_dir, tmp_path / "cut", lines)
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "CritiqueWri')  # as a crash leaves it
    text = page_of(folder).text
    assert "The run has not ended" in text
    assert not (folder / "result.json").exists()


def test_steps_that_are_told_twice_count_once(run_dir, tmp_path):
    folder = copied(run_dir, tmp_path / "twice")
    lines = (folder / "events.jsonl").read_text().splitlines()
    place = next(
        n for n, line in enumerate(lines) if '"GateDecided"' in line and '"step": 2' in line
    )
    resumed = json.dumps({"event": "RunResumed", "steps": 1, "calls": 9})
    start = next(
        n for n, line in enumerate(lines) if '"StepStarted"' in line and '"step": 2' in line
    )
    again = [*lines[:place], resumed, *lines[start:]]
    (folder / "events.jsonl").write_text("\n".join(again) + "\n")
    before, after = read_run(run_dir), read_run(folder)
    assert after.steps == before.steps
    assert after.scored == before.scored
    assert after.resumed == 1
    (folder / "events.jsonl").write_text("\n".join([*lines[:place], resumed]) + "\n")
    assert read_run(folder).steps == before.steps[:1]  # what is to be told again is not told yet
    assert (2, "validation") not in read_run(folder).scored


@pytest.mark.usefixtures("undrawn")
def test_events_of_an_earlier_version_are_reported_without_intervals(run_dir, tmp_path):
    folder = copied(run_dir, tmp_path / "old")
    kept = [
        line
        for line in (folder / "events.jsonl").read_text().splitlines()
        if '"CandidateScored"' not in line
    ]
    (folder / "events.jsonl").write_text("\n".join(kept) + "\n")
    text = page_of(folder).text
    assert "earlier version" in text
    assert "Nothing to compare" in text


def test_confusions_are_those_of_an_oracle(run_dir):
    run = read_run(run_dir)
    texts = run.texts(0, "validation")
    for found in confusions(run, texts):
        human = [int(text.expected[found.criterion]) for text in texts]
        judge = [int(text.produced[found.criterion]) for text in texts]
        expected = confusion_matrix(human, judge, labels=[1, 2, 3, 4, 5])
        assert [list(row) for row in found.counts] == expected.tolist()
        assert sum(found.human) == sum(found.judge) == len(texts)


LEVELS = ("useless", "weak", "fair", "good", "excellent")


@pytest.mark.parametrize(
    ["pairs", "names", "said"],
    [
        ([(3, 4)] * 6 + [(1, 1)] * 9, LEVELS, {"6", "fair (3)", "good (4)"}),
        ([(3, 4)] * 6 + [(1, 1)] * 9, (), {"6", "3", "4"}),
        ([(3, 4)] * 2 + [(3, 5), (1, 1)], LEVELS, {"3", "fair (3)", "good (4)", "excellent (5)"}),
        ([(2, 4)] * 4 + [(2, 2), (5, 4), (1, 1)], LEVELS, {"4", "5", "weak (2)", "good (4)"}),
        ([(3, 4), (2, 4), (1, 1)], LEVELS, set()),
        ([(3, 4), (3, 3)] * 2, LEVELS, set()),
        ([(3.5, 3)] * 9, LEVELS, set()),
        ([(None, 3), (3, None)] * 9, LEVELS, set()),
    ],
)
def test_what_a_judge_gets_wrong_most_is_said_where_it_is_much_of_one_kind(pairs, names, said):
    rubric = Rubric(["text"], [Criterion("tone", "Is it kind?", (1, 5), names=names)])
    texts = [
        JudgedText(str(place), "", {}, {}, {"tone": human}, {"tone": judge})
        for place, (human, judge) in enumerate(pairs)
    ]
    (counted,) = confusions(mock.Mock(rubric=rubric), texts)
    sentence = main_error(counted)
    assert bool(sentence) == bool(said)
    assert all(word in sentence for word in said)
    levels = {f"{name} ({score})" for score, name in enumerate(LEVELS, 1)}
    assert {level for level in levels if level in sentence} == said & levels


def test_the_first_screen_says_what_the_result_gets_wrong_on_the_texts_that_chose_nothing(
    run_dir, undrawn
):
    findings = Findings(read_run(run_dir))
    text = [JudgedText("1", "1", {}, {}, {"fluency": 3.0}, {"fluency": 5.0})] * 3
    with mock.patch.object(Findings, "texts", text):
        values = section_of_verdict(findings).values
    assert values["where"] == findings.split == "test"
    assert [name for name, _ in values["errors"]] == ["fluency"]


def test_named_levels_are_shown_by_their_names(run_dir):
    run = read_run(run_dir)
    names = ("awful", "bad", "fair", "good", "great")
    criteria = [dataclasses.replace(it, names=names) for it in run.rubric.criteria]
    run = dataclasses.replace(run, rubric=Rubric(run.rubric.inputs, criteria))
    assert {it.bins for it in confusions(run, run.texts(0, "validation"))} == {names}


def test_costs_are_those_of_the_result(run_dir):
    found, result = costs(read_run(run_dir).ledger), read_json(run_dir / "result.json")
    assert found.total.calls + found.total.failed == result["calls"]
    assert len(found.rows) == len(result["ledger"])
    tokens = sum(row["prompt_tokens"] for row in result["ledger"])
    assert found.total.prompt_tokens == tokens


def test_tokens_that_are_unknown_are_a_dash_and_no_panel(run_dir):
    run = read_run(run_dir)
    row = dataclasses.replace(run.ledger[0], prompt_tokens=0, completion_tokens=0)
    (picture,) = costs_section(Findings(dataclasses.replace(run, ledger=(row,)))).pictures
    assert "token" not in f"{picture.inline}{picture.caption}{picture.alt}"


TEXTS = st.text(alphabet="ab .\n<é", max_size=60)


@given(before=TEXTS, after=TEXTS)
def test_a_diff_holds_both_texts(before, after):
    pieces = diff(before, after)
    assert "".join(p.text for p in pieces if p.kind != "removed") == after
    assert "".join(p.text for p in pieces if p.kind != "added") == before


NEW = "What decides is the address.\n- 5: the address and the form.\n- 1: leaves people to ask."


@pytest.mark.parametrize(
    ["before", "after", "is_whole"],
    [
        ("Rate from 1 to 5.", NEW, True),
        (NEW, "Rate from 1 to 5.", True),
        (NEW, NEW.replace("decides", "counts"), False),
        (NEW, f"{NEW}\n{NEW[:10]}", False),
        ("Rate it.", "Rate it. Mind the tone.", False),
    ],
)
def test_a_text_that_is_new_is_shown_whole(before, after, is_whole):
    edit = edits.compared("tone", ("tone",), before, after, Limits())
    assert edit.is_whole == is_whole
    if is_whole:
        assert [piece.text for piece in edit.pieces] == [before, after]


@given(text=st.text(alphabet="ab \n", max_size=60), room=st.integers(1, 60))
def test_a_cut_ends_at_a_word_and_counts_what_is_left_out(text, room):
    shown = cut(text, Limits(room))
    assert len(shown.text) <= room
    assert len(shown.text) + shown.left_out == len(text)
    assert text.startswith(shown.text)
    if " " in text[room // 2 + 1 : room + 1] and shown.left_out:
        assert text[len(shown.text)].isspace()
    whole = edits.compared("tone", ("tone",), "", text, Limits(room))
    assert sum(len(piece.text) for piece in whole.pieces) + whole.left_out == len(text)


def test_a_long_stretch_that_stays_is_shortened_and_says_so():
    same = "word " * 500
    pieces = diff(same + "old", same + "new")
    assert [piece.kind for piece in pieces] == ["same", "gap", "same", "removed", "added"]
    shown = sum(len(piece.text) for piece in pieces if piece.kind in ("same", "removed"))
    assert f"{len(same + 'old') - shown:,} characters unchanged" in pieces[1].text


def test_very_long_texts_are_compared_by_line(monkeypatch):
    monkeypatch.setattr("mogradjudge.report.diff._MOST_WORDS", 1)
    pieces = diff("one two\nthree four\n", "one two\nthree five\n")
    assert [piece.text for piece in pieces] == ["one two\n", "three four\n", "three five\n"]


def test_the_chain_leads_from_the_seed_to_the_final_sections(run_dir):
    run = read_run(run_dir)
    found = chain(run, Limits())
    assert [link.number for link in found.links] == [step.number for step in run.steps]
    final = run.state.best.candidate.instructions["judges['all']"]
    for edit in whole_edits(run, Limits()):
        shown = "".join(p.text for p in edit.pieces if p.kind != "removed")
        text = final.preamble if edit.title == "preamble" else final.section(edit.title)
        assert shown == text
    first = found.links[0]
    *texts, batch = first.cases
    assert len(texts) == 8
    assert {len(case.critiques) for case in texts} <= {1, 2}
    assert (batch.name, len(batch.gradients)) == ("", 2)
    assert {edit.criteria for edit in first.edits} == {("fluency",), ("coherence",)}


def test_a_mix_and_a_step_that_was_beaten_are_shown_with_what_became_of_them(tmp_path, undrawn):
    names = ("coherence", "fluency")
    values = {**dict.fromkeys(names, 0.25), "mean": 0.25}
    events = [event for event in told(2, names, "Long.") if not isinstance(event, RunEnded)]
    for place, event in reversed(list(enumerate(events))):
        if isinstance(event, StepStarted):
            events[place] = dataclasses.replace(event, parent=0)
        if isinstance(event, GateDecided):
            first = event.step == 1
            events[place] = dataclasses.replace(
                event, sections=names[:1] if first else (), beaten_by=None if first else 1
            )
            mixed = tuple(judged(number, names, shift=2) for number in range(20))
            events[place:place] = [
                CandidateScored(event.step, "validation", mixed, names[:1]),
                MixScored(event.step, names[:1], first, values),
            ]
    run = read_run(written(tmp_path, events))
    assert run.texts(1, "validation") == mixed != run.texts(2, "validation")
    first, second = chain(run, Limits()).links
    assert "coherence" in first.note
    assert "0.250" in first.note
    assert "step 1 is better" in second.note
    assert {piece.kind for edit in second.edits for piece in edit.pieces} == {
        "added"
    }  # to step 0's
    assert second.note in page_of(tmp_path).text


@pytest.mark.slow
def ids_of(page):
    return {attributes.get("id") for _, attributes in page.tags}


def test_routes_and_conflicts_are_shown_where_there_are_any(tmp_path, undrawn):
    names = ("fluency", "coherence", "style")
    usual = [*told(2, names, "A text.")]
    assert "advice" not in ids_of(page_of(written(tmp_path / "usual", usual)))
    sides = Side("fluency", f"Be brief. {HOSTILE}", "Be."), Side("style", "Be full.", None)
    conflict = Conflict(*sides, f"No. {HOSTILE}")
    events = [
        *(UnitsRouted(1, {"fluency": 2, "style": 1}, {HOSTILE[:60]: 3}), UnitsRouted(2, {}, {})),
        *(ConflictsFound(1, "project", (conflict, conflict)), ConflictsFound(2, "project", ())),
    ]
    folder = written(tmp_path / "resolved", [*usual, *events])
    shown = advice.section(Findings(read_run(folder)))
    first, second = shown.within(Limits())["steps"]
    assert first.matrix == {"fluency": [0, 0, 2], "coherence": [0, 0, 0], "style": [2, 0, 0]}
    assert [piece.kind for piece in first.shown[0].sides[1].pieces] == ["removed"]
    assert (second.count, second.shown) == (0, ())
    page = page_of(folder)
    assert {"advice", "conflicts-1", "conflicts-2"} <= ids_of(page)
    assert not [tag for tag, _ in page.tags if tag == "img"]


@pytest.mark.slow
def test_a_long_run_with_long_texts_stays_small_and_says_what_is_cut(tmp_path):
    names = ("coherence", "consistency", "fluency", "relevance", "style")
    written(tmp_path, told(24, names, '<b> & "long" ' * 500))
    path = write_report(tmp_path)
    assert path.stat().st_size < MOST_BYTES
    text = Parsed(path.read_text("utf-8")).text
    assert re.search(r"\[[\d,]+ further characters not shown\]", text)
    assert re.search(r"Texts are cut at \d+ characters", text.replace(",", ""))


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_very_long_run_leaves_out_whole_steps_and_says_so(tmp_path):
    written(tmp_path, told(90, ("fluency", "style"), "<&" * 300, batch=24, texts=8))
    path = write_report(tmp_path)
    assert path.stat().st_size < MOST_BYTES
    assert "earlier steps not shown" in Parsed(path.read_text("utf-8")).text


@pytest.mark.usefixtures("undrawn")
def test_unscored_replies_are_counted_with_their_reasons(tmp_path):
    text = page_of(written(tmp_path, told(1, ("fluency",), "the reply has no number"))).text
    assert "initial instructions, validation texts" in text
    assert "the reply has no number" in text


@pytest.mark.usefixtures("undrawn")
def test_without_matplotlib_there_are_tables_and_a_word(run_dir, tmp_path):
    page = page_of(copied(run_dir, tmp_path / "plain"))
    assert not any(tag == "svg" for tag, _ in page.tags)
    assert 'pip install "mogradjudge[figures]"' in page.text
    assert not (tmp_path / "plain" / "figures").exists()


@pytest.mark.usefixtures("undrawn")
def test_what_is_absent_is_said(run_dir):
    text = page_of(run_dir).text
    assert "There is no human ceiling here" in text
    assert "Interference" not in text
    assert "Every text of every scoring has a usable score" in text


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_result_is_shown_as_a_share_of_the_raters_ceiling(tmp_path):
    folder = toy_run(tmp_path / "run", raters=True)
    text = page_of(folder).text
    assert "There is no human ceiling here" not in text
    assert text.count("result's share of the ceiling") == 2  # on held-out and validation texts
    run = read_run(folder)
    for split in ("test", "validation"):
        shares, ceilings = ends(run, split).shares, run.ceilings(split)
        for name in run.criteria:
            assert shares[name].value == ceilings[name]["share"]
            assert f"{ceilings[name]['share']:.3f}" in text
    said = f"{run.ceilings('test')[run.criteria[0]]['perfect_judge']:.3f} on"
    assert said in text[: text.index("Validation texts (optimistic)")]  # with its own texts


@pytest.mark.usefixtures("undrawn")
def test_interference_is_shown_where_it_was_measured(run_dir, tmp_path):
    claim = {"name": "interference, mean", "estimate": -0.08, "low": -0.12, "high": -0.04}
    claim |= {"p_value": 0.004, "n": 30, "verdict": "established", "effect": "interference"}
    claim |= {"meaning": "(J1 - J0) - (S1 - S0)", "criterion": "mean"}
    write_text(tmp_path / "interference.json", to_json({"what": "30 texts.", "claims": [claim]}))
    text = page_of(run_dir, out=tmp_path / "r.html", interference=tmp_path).text
    assert "(J1 - J0) - (S1 - S0)" in text
    with pytest.raises(SetupError, match=r"has no interference\.json"):
        write_report(run_dir, interference=run_dir)
    write_text(tmp_path / "interference.json", "{}")
    with pytest.raises(SetupError, match="damaged"):
        write_report(run_dir, interference=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        *('{"event": ', "[]", "null", '{"x": 1}', '{"event": ["StepStarted"]}'),
        '{"event": "StepStarted", "step": {}, "example_ids": []}',
        '{"event": "StepEnded", "step": "2", "agreement": {}, "calls": 1, "tokens": 1, "cost": 0}',
        '{"event": "CandidateScored", "step": 0, "split": "test", "texts": [3]}',
        '{"event": "GateDecided", "step": 1}',
        '{"event": "StepTaken", "step": 1}',
        '{"event": "StepEvent", "step": 1}',
        '{"event": "StepStarted", "step": true, "example_ids": []}',
        '{"event": "StepEnded", "step": 1, "agreement": {"mean": NaN}, "calls": 1, "tokens": 1, '
        '"cost": 0}',
        '{"event": "StepEnded", "step": 1, "agreement": {}, "calls": 1, "tokens": 1, '
        '"cost": 1e999}',
        '{"event": "BatchJudged", "step": 1, "texts": [], "inputs": [{"a": Infinity}]}',
    ],
)
def test_a_damaged_event_is_named_and_can_be_deleted(line, run_dir, tmp_path):
    events = (run_dir / "events.jsonl").read_text().splitlines(keepends=True)
    folder = copied(run_dir, tmp_path / "run")
    (folder / "events.jsonl").write_text("".join([*events[:3], f"{line}\n", *events[3:]]))
    with pytest.raises(SetupError, match=r"Line 4 of .*events\.jsonl is damaged.*Delete") as caught:
        write_report(folder)
    assert len(str(caught.value).splitlines()) == 1
    (folder / "events.jsonl").write_text("".join(events))
    write_report(folder)


def test_a_wrong_folder_is_one_clear_line(tmp_path):
    found = CliRunner().invoke(cli, ["report", str(tmp_path)])
    assert isinstance(found.exception, SetupError)
    assert f"{tmp_path} is not a run" in str(found.exception)
    (tmp_path / "events.jsonl").write_text("")
    with pytest.raises(SetupError, match="not begun"):
        write_report(tmp_path)
    (tmp_path / "events.jsonl").write_text('{"event": "RunStarted"}\n{"event": "SeedScored"}\n{}\n')
    with pytest.raises(SetupError, match="damaged"):
        write_report(tmp_path)


@pytest.mark.slow
def test_the_command_says_where_the_report_is(run_dir, tmp_path):
    out = tmp_path / "new" / "r.html"
    found = CliRunner().invoke(cli, ["report", str(run_dir), "--out", str(out)])
    assert found.exit_code == 0, found.output
    assert f"The report is in {out}." in found.output
    assert (out.parent / "figures" / "costs.svg").exists()
    assert judged(0, ("a",)).lengths == {"output": 10}


class Rating(ToyEngine):
    """Rates the texts of a program that is no judge; editing turns 3 into the truth."""

    def answer(self, system: str, user: str) -> str:
        if role_of(system) != "judge":
            return super().answer(system, user)
        truth = re.search(r"fluency=(\d)", user).group(1)
        return f"[[ ## grade ## ]]\n{truth if 'BIAS=0' in system else 3}"


def right(example, made):
    return 1 - abs(made.grade - example.human_fluency) / 4


@pytest.mark.usefixtures("undrawn")
def test_a_program_that_is_no_judge_is_reported_by_its_own_scores(tmp_path):
    objective = Objective("right", "Is it right?", score=right)
    examples = toy_examples(RUBRIC, 20)
    with dspy.context(lm=dspy.LM("toy/world", engine=Rating(), temperature=0.0)):
        result = MOGrad(objectives=[objective], steps=3, run_dir=tmp_path).optimize(
            dspy.Predict("output -> grade: int"),
            trainset=examples[:5],
            valset=examples[5:12],
            testset=examples[12:],
        )
    run = read_run(tmp_path)
    found = ends(run, "test")
    assert found.final.by_criterion["right"].value == result.test.final.mean
    interval = found.final.by_criterion["right"].interval  # the aggregate is the plain mean
    assert interval.low <= result.test.final.mean <= interval.high
    assert run.seed_kept and found.claims == {}
    first = run.texts(0, "test")
    last = tuple(
        dataclasses.replace(each, scores={"right": each.scores["right"] + 0.01 * n})
        for n, each in enumerate(first)
    )
    claims = own_claims(run, first, last, ["right"])
    assert claims["right"].estimate == claims["mean"].estimate == pytest.approx(0.035)
    assert claims["right"].verdict == "established"
    text = page_of(tmp_path).text
    for word in ("human", "does not take the mean", "baseline", "where the judge failed"):
        assert word not in text
    assert "not a judge with a rubric" in text
    assert "by the run's own objectives" in text


@pytest.mark.usefixtures("undrawn")
def test_the_texts_on_which_judge_and_people_differ_can_be_read_and_narrowed_down(
    run_dir, tmp_path
):
    text = judged(0, RUBRIC.names, shift=2)
    text = dataclasses.replace(text, reasons={"fluency": "it is very fluent"})
    events = [
        dataclasses.replace(event, texts=(text,), inputs=({"output": "a text to read"},))
        if isinstance(event, CandidateScored) and event.step == 0
        else event
        for event, _ in read_events(LineLog(run_dir / "events.jsonl"))
        if not (isinstance(event, CandidateScored) and event.split != "validation")
    ]
    folder = written(copied(run_dir, tmp_path / "run"), events)
    (folder / "state.json").unlink()
    page = page_of(folder)
    entries = [tag for _, tag in page.tags if "data-level" in tag]
    assert {entry["data-criteria"] for entry in entries} == set(RUBRIC.names)
    assert {entry["data-document"] for entry in entries} == {"g0"}
    assert "a text to read" in page.text and "it is very fluent" in page.text


def test_inputs_come_in_the_rubrics_order_and_documents_by_names_that_people_know(run_dir):
    run = read_run(run_dir)
    rubric = Rubric(["source", "output"], run.rubric.criteria)
    run = dataclasses.replace(run, rubric=rubric)
    assert [*run.in_order({"a": 0, "output": 1, "source": 2})] == ["source", "output", "a"]
    batch, case = run.steps[0].batch, chain(run, Limits()).links[0].cases[0]
    assert case.name == f"row {batch.texts[0].group}"
    texts = [judged(number, RUBRIC.names) for number in (1, 2)]
    texts = [dataclasses.replace(text, group=text.example_id) for text in texts]
    shared = dataclasses.replace(run, scored={(0, "validation"): texts * 2})
    assert shared.document_name("12") == "12"
    run = dataclasses.replace(run, scored={(0, "validation"): texts})
    assert [run.document_name(name) for name in ("12", "doc-3")] == ["row 12", "doc-3"]
    grouped = Rubric(["output"], run.rubric.criteria, group="customer")
    assert dataclasses.replace(run, rubric=grouped).document_name("12") == "12"
    names = {"row 10", "row 9", "doc"}
    assert sorted(names, key=differing._natural) == ["doc", "row 9", "row 10"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ["name", "title"], [("tuned", "Run: tuned"), ("run", "Run"), ("Run", "Run")]
)
def test_a_title_names_the_run_and_doubles_no_word(name, title, run_dir, tmp_path):
    page = write_report(copied(run_dir, tmp_path / name)).read_text()
    assert f"<title>{title}</title>" in page


def test_a_gate_is_told_in_words_and_a_long_setting_says_what_is_cut(run_dir):
    run = read_run(run_dir)
    request = {**run.request, "gate": {"name": "NoCriterionRegression", "tolerance": 0.02}}
    run = dataclasses.replace(run, request={**request, "judge": "word " * 100})
    shown = dict(facts(run))
    assert "accepts" in shown["gate"] and "0.02" in shown["gate"]
    cut_at, _, rest = shown["judge settings"].partition(" ... ")
    assert cut_at.endswith("word") and str(500 - len(cut_at)) in rest


@pytest.mark.parametrize(["names", "angle"], [(LEVELS, 30), ((), 0)])
def test_long_names_of_levels_do_not_overlap(names, angle):
    rubric = Rubric(["text"], [Criterion("tone", "Is it kind?", (1, 5), names=names)])
    texts = [JudgedText("1", "", {}, {}, {"tone": 3}, {"tone": 4})]
    (counted,) = confusions(mock.Mock(rubric=rubric), texts)
    (axes,) = confusion._figure(counted).axes
    assert {tick.get_rotation() for tick in axes.get_xticklabels()} == {angle}


def test_a_run_keeps_the_inputs_of_the_texts_that_it_is_measured_on(run_dir):
    run = read_run(run_dir)
    for split in ("validation", "test"):
        assert all(run.inputs[text.example_id]["output"] for text in run.texts(0, split))
    lines = [event for event, _ in read_events(LineLog(run_dir / "events.jsonl"))]
    assert not any(it.inputs for it in lines if isinstance(it, CandidateScored) and it.step)
