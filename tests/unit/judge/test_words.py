"""Words for scores: "n/a" where a criterion may not apply, and the bare names of levels."""

import asyncio
import copy
import itertools
import json
import pickle

import dspy
import pytest

from engines import FORMATS, FunctionEngine, fake_lm, in_chat, system, token
from mogradjudge import Criterion, MultiCriteriaJudge, NotApplicable, Rubric, SetupError, Unscored
from mogradjudge.cli.tables import print_evaluation, print_scored, scored_as_dict
from mogradjudge.judge.cells import cells_of
from mogradjudge.judge.words import means_not_applicable
from mogradjudge.scoring.evaluate import evaluation_report
from mogradjudge.scoring.table import score_table

TONE = Criterion("tone", "Is it kind?", (1, 5), na=True)
SAFE = Criterion("safe", "Is it safe?", levels=["fail", "pass"])
STYLE = Criterion("style", "Is it good?", levels=["not good", "good", "very good"])
RUBRIC = Rubric(["text"], [TONE, SAFE, STYLE])
REPLY = {"tone": "n/a", "safe": "pass", "style": "Very  Good"}
SCORES = {"tone": NotApplicable(), "safe": 1, "style": 3}


def asked(request):
    return [name for name in RUBRIC.names if f"`{name}` (Literal[" in system(request)]


def answer(write, reply=REPLY):
    return lambda request: write({name: reply[name] for name in asked(request)})


def rate(reply, adapter=None, *, is_async=False, rubric=RUBRIC, **options):
    judge = MultiCriteriaJudge(rubric, **options)
    with dspy.context(lm=fake_lm(FunctionEngine(reply)), adapter=adapter):
        return asyncio.run(judge.acall(text="Hi.")) if is_async else judge(text="Hi.")


def scores_of(prediction):
    return {name: prediction[name] for name in RUBRIC.names}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("layout", ["combined", "separate", "safe | style+tone"])
@pytest.mark.parametrize("format", FORMATS)
def test_words_are_read_in_every_format_and_layout(format, layout, is_async):
    adapter, write = FORMATS[format]
    prediction = rate(answer(write), adapter(), is_async=is_async, layout=layout)
    assert scores_of(prediction) == SCORES


def test_an_adapter_that_reads_with_calls_of_its_own_reads_that_it_does_not_apply():
    reader = fake_lm(FunctionEngine(answer(in_chat, {"tone": "n/a", "safe": 1, "style": 3})))
    prediction = rate(lambda _: "Kind?", dspy.TwoStepAdapter(extraction_model=reader))
    assert scores_of(prediction) == SCORES


class OwnAdapter(dspy.ChatAdapter):
    """A user's own class."""


class OwnJson(dspy.JSONAdapter):
    """Another one, with a parser of its own."""

    def parse(self, signature, completion):
        return json.loads(completion)


@pytest.mark.parametrize(["adapter", "format"], [(OwnAdapter, "chat"), (OwnJson, "json")])
def test_an_adapter_of_ones_own_reads_words(adapter, format):
    assert scores_of(rate(answer(FORMATS[format][1]), adapter())) == SCORES


@pytest.mark.parametrize(
    ["written", "score"],
    [("N/A", True), ("**n/a**", True), ("n/a - there is no reply", True), ("Score: n/a", True),
     ("Not applicable.", True), ("does not apply (no question)", True),
     ("doesn't apply", True), ("Doesn\u2019t apply.", True), ("inapplicable", True),
     ("n / a", True),
     ("3 - clear", 3), ("n/a because it is empty",
     True), ("4", 4), ("4/5", 4), ("n/a or 3", None), ("-", None), ("", None), ("none", None),
     ("not applicable here? 3", None), ("nan", None)],
)  # fmt: skip
def test_what_says_that_it_does_not_apply(written, score):
    tone = rate(answer(in_chat, {**REPLY, "tone": written})).tone
    if score is True:
        assert tone == NotApplicable()
    elif score is None:
        assert isinstance(tone, Unscored) and not isinstance(tone, NotApplicable)
    else:
        assert tone == score
    assert means_not_applicable(written) == (score is True)


@pytest.mark.parametrize(
    "written", ["n/a: 4", "n/a\n4", "n/a (1)", "3 - n/a", "3 (not applicable)", "4\nn/a"]
)
def test_a_score_and_that_it_does_not_apply_are_no_score(written):
    for adapter in (None, OwnAdapter()):
        tone = rate(answer(in_chat, {**REPLY, "tone": written}), adapter).tone
        assert isinstance(tone, Unscored) and not isinstance(tone, NotApplicable)


@pytest.mark.parametrize(
    ["written", "score"],
    [("A", 0), ("a", 0), ("A*", 1), ("B", 2), ("**B**", 2), ("B+", 3), ("(A)", None)],
)
@pytest.mark.parametrize("levels", [["A", "A*", "B", "B+"]])
def test_names_that_differ_by_marks_are_told_apart(levels, written, score):
    rubric = Rubric(["text"], [Criterion("grade", "Is it good?", (0, 3), levels=levels)])
    grade = rate(lambda _: in_chat({"grade": written}), rubric=rubric).grade
    assert grade == score if score is not None else isinstance(grade, Unscored)


@pytest.mark.parametrize("name", ["n/a", "Inapplicable", "NA"])
def test_no_level_may_mean_that_it_does_not_apply_where_it_may_not(name):
    with pytest.raises(SetupError, match=name):
        Criterion("tone", "Is it kind?", levels=["no", name], na=True)
    assert Criterion("tone", "Is it kind?", levels=["no", name]).names == ("no", name)


@pytest.mark.parametrize("written", ["n/a", "not applicable"])
def test_where_it_always_applies_the_reply_is_unscored(written):
    safe = rate(answer(in_chat, {**REPLY, "safe": written})).safe
    assert isinstance(safe, Unscored) and not isinstance(safe, NotApplicable)


@pytest.mark.parametrize(
    ["written", "score"],
    [("PASS", 1), ("fail", 0), ('"Pass".', 1), ("1 (pass)", 1), ("0", 0),
     ("pass or fail", None), ("bypass", None), ("passed", None), ("pass, I think", None)],
)  # fmt: skip
def test_only_a_bare_name_is_a_level(written, score):
    safe = rate(answer(in_chat, {**REPLY, "safe": written})).safe
    assert safe == score if score is not None else isinstance(safe, Unscored)


def test_two_words_for_one_field_are_no_score():
    reply = "[[ ## tone ## ]]\nn/a\n\n[[ ## tone ## ]]\n4\n\n"
    tone = rate(lambda _: reply + in_chat({"safe": 1, "style": 1})).tone
    assert isinstance(tone, Unscored) and not isinstance(tone, NotApplicable)


@pytest.mark.parametrize(
    ["replies", "score"],
    [(("n/a", "n/a", "4"), NotApplicable()), (("n/a", "2", "4"), 3.0), (("n/a", "4"), 4.0),
     (("?", "n/a", "?"), NotApplicable())],
)  # fmt: skip
def test_of_samples_the_majority_says_whether_it_applies(replies, score):
    drawn = itertools.cycle(replies)
    options = {"score_rule": "mean_of_n", "n": len(replies)}
    prediction = rate(lambda request: in_chat({**REPLY, "tone": next(drawn)}), **options)
    assert prediction.tone == score


def test_an_expected_score_is_not_asked_of_what_does_not_apply():
    rubric = Rubric(["text"], [TONE])
    pieces = [token("[[ ## tone ## ]]\n"), token("n/a", {"n/a": 0.9, "4": 0.1})]
    prediction = rate(lambda _: pieces, rubric=rubric, score_rule="expected")
    assert prediction.tone == NotApplicable()
    pieces = [token("[[ ## tone ## ]]\n"), token("4", {"n/a": 0.2, "4": 0.4, "5": 0.4})]
    prediction = rate(lambda _: pieces, rubric=rubric, score_rule="expected")
    assert prediction.tone == 4.5 and prediction.readings["tone"].support == pytest.approx(0.8)


def test_only_a_criterion_that_may_not_apply_says_so_in_the_prompt():
    judge = MultiCriteriaJudge(RUBRIC)
    (predictor,) = judge.judges.values()
    fields, text = predictor.signature.output_fields, predictor.signature.instructions
    assert "n/a" in fields["tone"].json_schema_extra["desc"]
    assert text.count("n/a") == 1
    assert "n/a" not in str(fields["safe"]) and "n/a" in TONE.description


def test_it_is_a_state_of_its_own_in_cells_json_and_pickles():
    prediction = rate(answer(in_chat))
    assert cells_of(prediction, ("tone",)) == {
        "tone": None, "tone_source": "n/a", "tone_unscored": "does not apply",
    }  # fmt: skip
    assert prediction.toDict()["tone"] is None
    assert not prediction.tone
    assert copy.deepcopy(prediction).tone == pickle.loads(pickle.dumps(prediction.tone))


def test_a_table_says_to_how_many_texts_it_does_not_apply(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("text\nHi.\nYou.\n")
    judge = MultiCriteriaJudge(RUBRIC)
    with dspy.context(lm=fake_lm(FunctionEngine(answer(in_chat)))):
        scored = score_table(judge, tmp_path / "t.csv", tmp_path / "s.csv")
    assert scored.not_applicable == {"tone": 2, "safe": 0, "style": 0}
    assert scored.unscored["tone"] == 0 and scored_as_dict(scored)["not_applicable"]["tone"] == 2
    print_scored(scored)
    assert "2 on tone" in capsys.readouterr().out


def test_a_rated_text_that_it_does_not_apply_to_is_counted_by_itself(capsys):
    rows = [{"text": f"{n}", "human_tone": 1 + n % 5} for n in range(4)]
    rows = [{**row, "human_safe": n % 2, "human_style": 1 + n % 3} for n, row in enumerate(rows)]
    examples = [dspy.Example(row).with_inputs("text") for row in rows]
    with dspy.context(lm=fake_lm(FunctionEngine(answer(in_chat)))):
        report = evaluation_report(MultiCriteriaJudge(RUBRIC), examples, 1)
    counts = {name: it["not_applicable"] for name, it in report["criteria"].items()}
    assert counts == {"tone": 4, "safe": 0, "style": 0}
    print_evaluation(report)
    assert "judge's n/a" in " ".join(capsys.readouterr().out.split())


def test_a_table_a_row_of_which_it_does_not_apply_to(tmp_path):
    judge = MultiCriteriaJudge(RUBRIC)
    with dspy.context(lm=fake_lm(FunctionEngine(answer(in_chat)))):
        (row,) = judge.rate([{"text": "Hi."}])
    assert (row["tone"], row["tone_unscored"], row["safe"]) == (None, "does not apply", 1.0)
    judge.save(tmp_path / "judge.json")
    assert MultiCriteriaJudge.from_saved(tmp_path / "judge.json").rubric == RUBRIC


@pytest.mark.parametrize(
    ["said", "score"],
    [("tone: n/a", NotApplicable()), ("Tone = N/A", NotApplicable()), ("tone: pass", 1)],
)
def test_a_criterions_name_may_stand_before_its_word(said, score):
    rubric = Rubric(["text"], [Criterion("tone", "Is kind.", levels=["fail", "pass"], na=True)])
    assert rate(lambda _: in_chat({"tone": said}), rubric=rubric).tone == score


def test_a_level_may_be_called_like_its_criterion():
    rubric = Rubric(["text"], [Criterion("good", "Is it?", levels=["bad", "good"])])
    assert rate(lambda _: in_chat({"good": "good"}), rubric=rubric).good == 1
