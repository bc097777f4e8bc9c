"""Ratings by hand: what is kept, what a rater sees, and what `load_examples` reads of it."""

import csv
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.data import draft_rubric, load_examples
from mogradjudge.errors import SetupError
from mogradjudge.web.labelling import Labelling
from mogradjudge.web.labels import Labels
from mogradjudge.web.server import application
from report_runs import Parsed

RUBRIC = Rubric(
    ["reply"],
    [
        Criterion("tone", "Is it kind?", (1, 5), levels={5: "very <kind>"}),
        Criterion("style", "Good?", (0, 2)),
    ],
    group="doc",
    rater="who",
)
TEXTS = [{"reply": f"Text {number}, <i>as\nit</i> is", "doc": number // 2} for number in range(6)]


def labels(out, texts=TEXTS, rubric=RUBRIC):
    return Labels(texts, rubric, out)


def rate_all(kept, rater, shift=0):
    for place, key in enumerate(kept.texts):
        kept.rate(rater, key, {"tone": 1 + (place + shift) % 5, "style": place % 3})


def pages(kept, rater=None):
    return TestClient(
        application(Labelling(kept, rater).routes, "127.0.0.1", None, pages=True),
        "http://127.0.0.1",
    )


def test_the_file_is_what_examples_are_loaded_from(tmp_path):
    kept = labels(tmp_path / "labels.csv")
    rate_all(kept, "ann")
    rate_all(kept, "bob", shift=1)
    examples = load_examples(tmp_path / "labels.csv", RUBRIC)
    assert len(examples) == 6
    assert {rating.rater for rating in examples[0].single_ratings} == {"ann", "bob"}
    assert examples[0].human_tone == 1.5
    assert len({example.group for example in examples}) == 3


def test_a_later_start_goes_on_and_a_second_rating_replaces_the_first(tmp_path):
    kept = labels(tmp_path / "labels.csv")
    rate_all(kept, "ann")
    first = next(iter(kept.texts))
    kept.rate("ann", first, {"tone": 5, "style": 0})
    again = labels(tmp_path / "labels.csv")
    assert again.done("ann") == 6 and again.done("bob") == 0
    assert again.scores("ann", first) == {"tone": 5, "style": 0}
    assert len(load_examples(tmp_path / "labels.csv", RUBRIC)) == 6


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
@settings(max_examples=30, deadline=None)
def test_any_text_comes_back_from_the_file(tmp_path_factory, texts):
    out = tmp_path_factory.mktemp("labels") / "labels.csv"
    rubric = Rubric(["reply"], [Criterion("tone", "Is it kind?")])
    rows = [{"reply": text} for text in [*texts, "not blank"]]
    kept = labels(out, rows, rubric)
    for key in kept.texts:
        kept.rate('ann, or "bob"', key, {"tone": 3})
    assert labels(out, rows, rubric).done('ann, or "bob"') == len(kept.texts)


@pytest.mark.parametrize(
    "scores",
    [
        {"tone": 3},
        {"tone": 6, "style": 0},
        {"tone": 3, "style": "1"},
        {"tone": 2.5, "style": 0},
        {},
    ],
)
def test_a_rating_that_is_not_whole_is_not_taken(tmp_path, scores):
    kept = labels(tmp_path / "labels.csv")
    web = pages(kept)
    body = {"rater": "ann", "text": next(iter(kept.texts)), "scores": scores}
    assert web.post("/rate", json=body).status_code == 422
    assert not kept.out.exists()


def test_a_file_of_something_else_is_never_written_over(tmp_path):
    out = tmp_path / "labels.csv"
    out.write_text("a,b\n1,2\n")
    with pytest.raises(SetupError, match="columns"):
        labels(out)
    rate_all(labels(tmp_path / "of_all.csv"), "ann")
    with pytest.raises(SetupError, match="rating"):
        labels(tmp_path / "of_all.csv", TEXTS[:2])
    assert out.read_text() == "a,b\n1,2\n"


def test_a_rater_sees_no_score_of_another_before_the_end(tmp_path):
    kept = labels(tmp_path / "labels.csv")
    rate_all(kept, "ann")
    web = pages(kept)
    page = web.get("/?rater=bob").text.partition("<main")[2].partition("<script")[0]
    assert "checked" not in page and "ann" not in page and "Agreement" not in page
    assert "&lt;i&gt;as" in page and "very &lt;kind&gt;" in page
    own = web.get(f"/?rater=ann&text={next(iter(kept.texts))}").text
    assert own.count(" checked>") == 2


@pytest.mark.parametrize(
    ("levels", "shown"),
    [
        (["fail", "pass"], ["0 fail", "1 pass"]),
        (["poor", "fair", "good"], ["1 poor", "2 fair", "3 good"]),
        ({"fail": "Harms.", "a<b>": "Helps."}, ["0 fail Harms.", "1 a<b> Helps."]),
        ({0: "Harms."}, ["0 Harms.", "1"]),
        ({}, ["1 lowest", "2", "3", "4", "5 highest"]),
    ],
)
def test_a_rater_reads_the_names_of_levels_beside_their_scores(tmp_path, levels, shown):
    scale = (0, 1) if 0 in levels else None
    rubric = Rubric(["reply"], [Criterion("tone", "Is it kind?", scale, levels)])
    page = pages(labels(tmp_path / "labels.csv", rubric=rubric), "ann").get("/").text
    choices = [part.partition("</label>")[0] for part in page.split("<label>")[1:]]
    assert [" ".join(Parsed(choice).text.split()) for choice in choices] == shown


def test_raters_have_orders_of_their_own_that_stay(tmp_path):
    kept = labels(tmp_path / "labels.csv")
    assert kept.order("ann") == kept.order("ann")
    assert sorted(kept.order("ann")) == sorted(kept.order("bob")) != kept.order("ann")
    assert kept.order("ann") != kept.order("bob")


def test_the_end_shows_how_the_raters_agree(tmp_path):
    kept = labels(tmp_path / "labels.csv")
    rate_all(kept, "ann")
    assert "second rater" in pages(kept).get("/?rater=ann").text
    rate_all(kept, "bob", shift=5)
    tone, style = kept.agreement()
    assert (tone.texts, tone.equal, style.one_rater) == (6, 1.0, 1.0)
    assert "100 %" in pages(kept).get("/?rater=bob").text


def test_with_one_rater_nobody_gives_another_name(tmp_path):
    kept = labels(tmp_path / "labels.csv")
    web = pages(kept, "ann")
    assert 'data-rater="ann"' in web.get("/?rater=bob").text
    body = {"rater": "bob", "text": next(iter(kept.texts)), "scores": {"tone": 1, "style": 0}}
    assert web.post("/rate", json=body).status_code == 422


def test_texts_of_a_table_are_read_once_each(tmp_path):
    table = tmp_path / "texts.jsonl"
    rows = [*TEXTS, TEXTS[0], {"reply": "  ", "doc": 9}]
    table.write_text("\n".join(map(json.dumps, rows)))
    assert len(Labels.of(str(table), RUBRIC, tmp_path / "labels.csv").texts) == 6
    with pytest.raises(SetupError, match="reply"):
        table.write_text(json.dumps({"other": 1}))
        Labels.of(str(table), RUBRIC, tmp_path / "labels.csv")


def test_a_table_without_the_rubrics_group_is_rated_without(tmp_path, caplog):
    table, out = tmp_path / "texts.csv", tmp_path / "out.csv"
    table.write_text("reply\na\nb\n")
    labels = Labels.of(str(table), RUBRIC, out)
    assert len(labels.texts) == 2 and "doc" not in labels.columns
    assert "'doc'" in caplog.text and "group" in caplog.text


def test_a_rater_may_say_that_a_criterion_does_not_apply(tmp_path):
    rubric = Rubric(["reply"], [Criterion("tone", "Is it kind?", (1, 5), na=True)], rater="who")
    kept = labels(tmp_path / "labels.csv", rubric=rubric)
    keys = list(kept.texts)
    for rater, score in (("ann", "n/a"), ("bob", "n/a"), ("cy", 4)):
        kept.rate(rater, keys[0], {"tone": score})
    with pytest.raises(SetupError, match="'no'"):
        kept.rate("ann", keys[1], {"tone": "no"})
    assert labels(tmp_path / "labels.csv", rubric=rubric).scores("ann", keys[0]) == {"tone": "n/a"}
    (agreement,) = kept.agreement()
    assert (agreement.texts, agreement.equal) == (1, pytest.approx(1 / 3))
    (example,) = load_examples(tmp_path / "labels.csv", rubric)
    assert example.human_tone == "n/a"
    page = pages(kept).get("/", params={"rater": "dan"}).text
    assert 'value="n/a"' in page
    plain = labels(tmp_path / "other.csv")
    assert "n/a" not in pages(plain).get("/", params={"rater": "dan"}).text.split("<script")[0]


def test_a_rater_sees_images_of_the_table_and_no_address_is_loaded(tmp_path):
    rubric = Rubric(["photo"], [Criterion("tone", "Is it kind?")], images=["photo"])
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    table = tmp_path / "texts.csv"
    table.write_text("photo\na.png\nhttps://example.org/b.png\n")
    kept = Labels.of(str(table), rubric, tmp_path / "labels.csv")
    shown = [pages(kept, "ann").get(f"/?text={key}").text for key in kept.texts]
    assert '<img class="photo" src="data:image/png;base64,iVBORw0KGgo="' in shown[0]
    assert "<img" not in shown[1] and 'href="https://example.org/b.png"' in shown[1]
    kept.rate("ann", next(iter(kept.texts)), {"tone": 4})
    assert load_examples(tmp_path / "labels.csv", rubric)[0].photo.url.startswith("data:image/png")
    with pytest.raises(SetupError, match="out"):
        Labels.of(str(table), rubric, tmp_path.parent / "labels.csv")
    table.write_text("photo\nnone.png\n")
    with pytest.raises(SetupError, match=r"none\.png"):
        Labels.of(str(table), rubric, tmp_path / "labels.csv")


COMMENTED = Rubric(
    ["reply"],
    [
        Criterion("tone", "Is it kind?", (-2, 2), comment="why"),
        Criterion("style", "Good?", (0, 2)),
    ],
    rater="who",
)
FORMULAS = [
    "=1+1",
    "+49 30",
    "- a\n- b",
    "@sum(A1)",
    "\t=1",
    "'=1",
    "''@a",
    "'plain",
    "-1",
    "\uff1d1",
]


def test_comments_come_back_to_the_page_and_go_into_the_examples(tmp_path):
    kept = labels(tmp_path / "labels.csv", rubric=COMMENTED)
    web, key = pages(kept, "ann"), next(iter(kept.texts))
    body = {"rater": "ann", "text": key, "scores": {"tone": -1, "style": 0}}
    body["comments"] = {"why": "=cold,\n<b>very</b> "}
    assert web.post("/rate", json=body).is_success
    assert "=cold,\n&lt;b&gt;very&lt;/b&gt;</textarea>" in web.get(f"/?text={key}").text
    again = labels(tmp_path / "labels.csv", rubric=COMMENTED)
    assert again.said("ann", key) == {"why": "=cold,\n<b>very</b>"}
    (example,) = load_examples(tmp_path / "labels.csv", COMMENTED)
    assert (example.human_tone, example.why) == (-1, "=cold,\n<b>very</b>")


@pytest.mark.parametrize("said", [{"other": "x"}, {"why": 3}, {"why": "x" * 20_000}, ["why"]])
def test_a_comment_that_is_none_is_not_taken(tmp_path, said):
    kept = labels(tmp_path / "labels.csv", rubric=COMMENTED)
    body = {"rater": "ann", "text": next(iter(kept.texts)), "comments": said}
    body["scores"] = {"tone": 0, "style": 0}
    assert pages(kept).post("/rate", json=body).status_code == 422
    assert not kept.out.exists()


def test_ratings_from_before_the_comments_are_taken_further(tmp_path):
    plain = Rubric(["reply"], [Criterion("tone", "Is it kind?")])
    kept = labels(tmp_path / "labels.csv", rubric=plain)
    key = next(iter(kept.texts))
    kept.rate("ann", key, {"tone": 2})
    commented = Rubric(["reply"], [Criterion("tone", "Is it kind?", comment="why")])
    again = labels(tmp_path / "labels.csv", rubric=commented)
    again.rate("bob", key, {"tone": 3}, {"why": "So."})
    assert labels(tmp_path / "labels.csv", rubric=commented).said("ann", key) == {"why": ""}


def test_no_cell_of_the_file_is_a_formula_and_all_come_back_as_they_were(tmp_path):
    rows = [{"reply": text} for text in FORMULAS]
    kept = labels(tmp_path / "labels.csv", rows, COMMENTED)
    for key, row in kept.texts.items():
        kept.rate("=ann", key, {"tone": -1, "style": 0}, {"why": row["reply"]})
    with kept.out.open(newline="") as file:
        _, *written = csv.reader(file)
    for text, rater, tone, _, why in written:
        assert rater == "'=ann" and tone == "-1"
        assert all(cell == "-1" or cell[0] not in "=+-@\t\r\n\uff1d" for cell in (text, why))
    examples = load_examples(kept.out, COMMENTED)
    assert [example.reply for example in examples] == FORMULAS
    assert [example.why for example in examples] == [text.strip() for text in FORMULAS]


def test_a_name_in_another_case_is_the_same_rater(tmp_path):
    kept = labels(tmp_path / "labels.csv")
    rate_all(kept, "Anna")
    for name in ("ANNA", " anna ", "\uff21nna"):
        assert kept.done(name) == 6 and kept.order(name) == kept.order("Anna")
        assert "Thank you, Anna." in pages(kept).get("/", params={"rater": name}).text
        kept.rate(name, next(iter(kept.texts)), {"tone": 5, "style": 0})
    assert {who for who, _ in kept._scores} == {"Anna"}


def test_two_spellings_of_a_rater_in_a_file_are_said(tmp_path):
    kept = labels(tmp_path / "labels.csv")
    rate_all(kept, "Anna")
    lines = kept.out.read_text()
    rows = lines.partition("\n")[2].replace("Anna", "ANNA")
    kept.out.write_text(lines + rows)
    with pytest.raises(SetupError, match="ANNA"):
        labels(tmp_path / "labels.csv")


def test_a_skipped_text_comes_last_and_a_saved_one_is_followed_by_the_next(tmp_path):
    kept = labels(tmp_path / "labels.csv")
    web, order = pages(kept, "ann"), kept.order("ann")

    def shown(after):
        return web.get(f"/?after={after}").text.partition('data-text="')[2].partition('"')[0]

    assert shown(order[0]) == order[1] and shown("unknown") == order[0]
    for key in order[1:]:
        kept.rate("ann", key, {"tone": 1, "style": 0})
    assert shown(order[1]) == order[0]


def test_a_conversation_is_shown_by_turn_and_comes_back_as_one(tmp_path):
    turns = [{"role": "user", "content": "Hi\n<b>"}, {"role": "bot", "content": "Yes: what?"}]
    for conversation in (turns, json.dumps(turns)):
        out = tmp_path / f"{type(conversation).__name__}.csv"
        kept = labels(out, [{"reply": conversation}], COMMENTED)
        page = pages(kept, "ann").get("/").text
        assert (
            page.count('<div class="text" dir="auto"><b dir="auto">') == 2
            and "Hi\n&lt;b&gt;</div>" in page
        )
        kept.rate("ann", next(iter(kept.texts)), {"tone": 1, "style": 0})
        assert load_examples(out, COMMENTED)[0].reply == "user: Hi\n  <b>\nbot: Yes: what?"


def test_a_wide_scale_is_a_number_to_write(tmp_path):
    rubric = Rubric(["reply"], [Criterion("tone", "Is it kind?", (0, 100))])
    kept = labels(tmp_path / "labels.csv", rubric=rubric)
    kept.rate("ann", kept.order("ann")[0], {"tone": 55})
    page = pages(kept, "ann").get(f"/?text={kept.order('ann')[0]}").text
    assert 'min="0" max="100" value="55"' in page and 'type="radio"' not in page


def test_a_rubric_whose_ratings_no_file_can_hold_is_refused(tmp_path):
    rubric = Rubric(["reply", "rater"], [Criterion("tone", "Is it kind?")])
    with pytest.raises(SetupError, match="rater"):
        labels(tmp_path / "labels.csv", [{"reply": "A", "rater": "B"}], rubric)


@pytest.mark.parametrize("columns", [["Tone (A)", "Tone (B)"], ["human_tone", "human_tone_2"]])
def test_ratings_by_a_rubric_with_a_column_for_each_rater_are_read_by_it(tmp_path, columns):
    tone = Criterion("tone", "Is it kind?", raters=columns, comment="why")
    rubric = Rubric(["reply"], [tone, Criterion("style", "Good?", (0, 2), human="style")])
    kept = labels(tmp_path / "labels.csv", rubric=rubric)
    rate_all(kept, "ann")
    rate_all(kept, "dora", shift=1)
    first = load_examples(kept.out, rubric)[0]
    assert (first.human_tone, first.style) == (1.5, 0)
    assert {rating.rater for rating in first.single_ratings} == {"ann", "dora"}
    assert "rater = " not in pages(kept, "ann").get("/").text  # the rubric stays as it is
    wide = tmp_path / "wide.csv"
    wide.write_text(f"reply,rater,why,style,{','.join(columns)}\na,x,,1,3,5\n")
    assert load_examples(wide, rubric)[0].human_tone == 4


@pytest.mark.parametrize(
    ("scales", "keys"),
    [
        ([(1, 5)], ["1", "5"]),
        ([(1, 3), (0, 2)], ["0", "3"]),
        ([(0, 10)], ["0", "9"]),
        ([(1, 100)], []),
    ],
)
def test_the_keys_are_those_of_the_scales(tmp_path, scales, keys):
    criteria = [Criterion(f"c{place}", "Is it kind?", it) for place, it in enumerate(scales)]
    kept = labels(tmp_path / "labels.csv", rubric=Rubric(["reply"], criteria))
    page = pages(kept, "ann").get("/").text
    assert re.findall(r"<kbd>(\d)</kbd>", page) == keys


def test_the_end_says_that_few_texts_say_little(tmp_path):
    kept = labels(tmp_path / "labels.csv")
    rate_all(kept, "ann")
    rate_all(kept, "bob")
    page = pages(kept, "ann").get("/").text
    assert "too few" in page and kept.agreement()[0].alpha == 1.0
    many = labels(tmp_path / "many.csv", [{"reply": f"T{n}", "doc": n} for n in range(9)])
    rate_all(many, "ann")
    rate_all(many, "bob")
    assert "too few" not in pages(many, "ann").get("/").text


def test_a_draft_of_the_file_knows_its_raters_and_scores(tmp_path):
    rubric = Rubric(["reply"], RUBRIC.criteria)
    kept = labels(tmp_path / "l.csv", [{"reply": f"Reply {n} of words"} for n in range(9)], rubric)
    for rater in ("ann", "bob"):
        rate_all(kept, rater)
    drafted = draft_rubric(str(kept.out)).rubric
    assert (drafted.columns, drafted.rater) == (("reply",), "rater")
    assert drafted.names == ("tone", "style")


def test_a_long_text_comes_back_from_the_file(tmp_path):
    texts = [{"reply": "x" * 140_000, "doc": 1}]
    rate_all(labels(tmp_path / "labels.csv", texts), "ann")
    before = csv.field_size_limit()
    assert labels(tmp_path / "labels.csv", texts).done("ann") == 1
    assert csv.field_size_limit() == before


def test_a_mark_of_utf8_and_blank_lines_do_not_stop_a_later_start(tmp_path):
    out = tmp_path / "labels.csv"
    rate_all(labels(out), "ann")
    out.write_bytes(b"\xef\xbb\xbf" + out.read_bytes() + b"\r\n,,,,\r\n")
    assert labels(out).done("ann") == 6


@pytest.mark.parametrize(
    "end",
    [
        ",bob,3",
        ",bob,3,1,9",
        ",bob,6,1",
        ",bob,3,n/a",
        ",bob,3,",
        ", ,3,1",
        ',bob,3,"1',
    ],
)
def test_a_damaged_row_is_named(tmp_path, end):
    out, texts = tmp_path / "labels.csv", [{"reply": "One", "doc": 1}]
    rate_all(labels(out, texts), "ann")
    out.write_text(f"{out.read_text()}One,1{end}\n")
    place = "" if '"' in end else ", rating 2"
    with pytest.raises(SetupError, match=re.escape(f"{out}{place}")):
        labels(out, texts)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(SetupError, match=re.escape("labels.csv")):
        labels(tmp_path / "labels.csv")


def test_a_rating_that_is_saved_meanwhile_does_not_stop_the_agreement(tmp_path):
    class Saving(dict):
        def __getitem__(self, name):
            kept._scores.setdefault(("bob", first), {"tone": 1, "style": 0})
            return super().__getitem__(name)

    kept = labels(tmp_path / "labels.csv")
    rate_all(kept, "ann")
    first = next(iter(kept.texts))
    kept._scores["ann", first] = Saving(kept._scores["ann", first])
    assert kept.agreement()[0].criterion == "tone"
