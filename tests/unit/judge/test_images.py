"""Images as inputs: read from tables and from Python, and sent as images to judge and critic."""

import asyncio
import base64
import json
import pickle

import dspy
import pandas as pd
import pytest
from click.testing import CliRunner

from mogradjudge import Criterion, MOGrad, MultiCriteriaJudge, Rubric, load_examples
from mogradjudge.cli import cli
from mogradjudge.data import ReadOptions, check_disjoint, draft_rubric, inputs_key, survey
from mogradjudge.errors import InputError, SetupError
from mogradjudge.lm.images import LARGEST_IMAGE, NamedImage, NoImage, read_image
from mogradjudge.lm.reply_cache import replies_kept_in
from mogradjudge.optimize.estimate import estimate
from mogradjudge.programs.identity import digest_of
from mogradjudge.scoring.options import ScoringOptions
from mogradjudge.scoring.table import score_table
from mogradjudge.tracking.model import _Scorer
from tests.engines import FORMATS, FunctionEngine, fake_lm, in_chat

RUBRIC = Rubric(
    ["photo", "caption"], [Criterion("fit", "Does it fit the photo?", (1, 5))], images=["photo"]
)
ADDRESS = "https://example.org/cat.png"


def png(number: int = 0) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + bytes([number])


def uri(content: bytes = png()) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def images_in(request) -> list[str]:
    """Return the addresses or data of a request's images."""
    parts = [part for message in request.messages for part in message.parts]
    return [
        part.url or f"data:{part.media_type};base64,{part.data}"
        for part in parts
        if part.type == "image"
    ]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "same.png").write_bytes(png(1))
    (tmp_path / "b.gif").write_bytes(b"GIF89a ")
    (tmp_path / "wrong.png").write_bytes(b"\xff\xd8\xff ")
    (tmp_path / "text.png").write_text("no image")
    return tmp_path


def table(folder, photos, name="rated.csv", **columns):
    rows = [
        {"photo": photo, "caption": f"Caption {n}.", "human_fit": 1 + n % 5}
        for n, photo in enumerate(photos)
    ]
    path = folder / name
    pd.DataFrame(rows).assign(**columns).to_csv(path, index=False)
    return path


# What a request holds


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("rationale", [False, True])
@pytest.mark.parametrize("layout", ["combined", "separate"])
@pytest.mark.parametrize("adapter", FORMATS)
def test_every_request_holds_the_image(adapter, layout, rationale, is_async):
    adapter_class, written = FORMATS[adapter]
    fields = {"rationale": "Fine.", "fit": 4, "style": 3} if rationale else {"fit": 4, "style": 3}
    rubric = Rubric(
        RUBRIC.inputs, [*RUBRIC.criteria, Criterion("style", "Is it plain?")], images=["photo"]
    )

    def reply(request):
        names = [name for name in fields if f"`{name}`" in str(request.system)]
        return written({name: fields[name] for name in names})

    engine = FunctionEngine(reply)
    judge = MultiCriteriaJudge(rubric, layout=layout, rationale=rationale)
    with dspy.context(lm=fake_lm(engine), adapter=adapter_class()):
        inputs = {"photo": uri(), "caption": "A cat."}
        scored = asyncio.run(judge.acall(**inputs)) if is_async else judge(**inputs)
    assert (scored.fit, scored.style) == (4, 3)
    assert len(engine.requests) == (1 if layout == "combined" else 2)
    assert [images_in(request) for request in engine.requests] == [[uri()]] * len(engine.requests)
    assert all("base64" not in str(it.messages[0].text) for it in engine.requests)


def test_an_adapter_that_sends_no_images_is_refused_before_any_call():
    engine = FunctionEngine(lambda _: "")
    lm = fake_lm(engine)
    with (
        dspy.context(lm=lm, adapter=dspy.TwoStepAdapter(lm)),
        pytest.raises(SetupError, match="photo"),
    ):
        MultiCriteriaJudge(RUBRIC)(photo=uri(), caption="A cat.")
    assert engine.requests == []


@pytest.mark.parametrize("kind", ["path", "address", "data", "dspy.Image", "bytes"])
def test_python_takes_images_of_every_kind(kind, folder):
    values = {
        "path": folder / "a.png",
        "address": ADDRESS,
        "data": uri(png(1)),
        "dspy.Image": dspy.Image(uri(png(1))),
        "bytes": {"bytes": png(1), "path": "a.png"},
    }
    engine = FunctionEngine(lambda _: in_chat({"fit": 4}))
    with dspy.context(lm=fake_lm(engine)):
        assert MultiCriteriaJudge(RUBRIC)(photo=values[kind], caption="A cat.").fit == 4
    (sent,) = images_in(engine.requests[0])
    assert sent == (ADDRESS if kind == "address" else uri(png(1)))


def test_an_image_is_sent_as_what_it_is_whatever_its_suffix(folder):
    assert read_image(folder / "wrong.png").url.startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize("value", [None, "", float("nan"), "missing.png", "data:text/plain,a", 3])
def test_what_is_no_image_costs_no_call(value):
    engine = FunctionEngine(lambda _: in_chat({"fit": 4}))
    with dspy.context(lm=fake_lm(engine)), pytest.raises(InputError, match="photo"):
        MultiCriteriaJudge(RUBRIC)(photo=value, caption="A cat.")
    assert engine.requests == []


def test_a_table_in_memory_is_rated_and_one_bad_image_costs_its_row(folder):
    frame = pd.DataFrame({"photo": [str(folder / "a.png"), "none.png"], "caption": ["A.", "B."]})
    with dspy.context(lm=fake_lm(FunctionEngine(lambda _: in_chat({"fit": 4})))):
        rated = MultiCriteriaJudge(RUBRIC).rate(frame)
    assert rated.fit.isna().tolist() == [False, True]
    assert "none.png" in rated.fit_unscored[1]


def test_equal_contents_are_equal_whatever_their_names(folder):
    one, other = (read_image(folder / name) for name in ("a.png", "same.png"))
    assert one == other
    assert one.name != other.name
    assert "base64" not in one.name
    keys = {inputs_key(dspy.Example(photo=it).with_inputs("photo")) for it in (one, other)}
    assert len(keys) == 1
    assert pickle.loads(pickle.dumps(one)) == one
    assert read_image(folder / "b.gif") != one


# Tables


def test_a_table_gives_images_of_its_folder(folder, monkeypatch):
    monkeypatch.chdir("/")
    path = table(folder, ["a.png", ADDRESS, uri(), "b.gif"])
    photos = [example.photo for example in load_examples(path, RUBRIC)]
    assert all(isinstance(photo, dspy.Image) for photo in photos)
    assert [photo.url[:21] for photo in photos] == [
        *("data:image/png;base64", ADDRESS[:21], "data:image/png;base64"),
        "data:image/gif;base64",
    ]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_does_not_lead_out_of_a_tables_folder(kind, folder):
    inside = folder / "inside"
    inside.mkdir()
    (inside / "b.png").write_bytes(png(2))
    (inside / "link.png").symlink_to(folder / "a.png" if kind == "file" else "b.png")
    (inside / "photos").symlink_to(folder)
    photo = "link.png" if kind == "file" else "photos/a.png"
    path = table(inside, ["b.png", photo])
    for read in (
        load_examples,
        lambda path, rubric: survey(path, rubric.columns, None, images=rubric.image_columns),
    ):
        with pytest.raises(SetupError, match=r"leave.*line 3"):
            read(path, RUBRIC)
    (folder / "way").symlink_to(inside)  # a table may lie behind a link
    (inside / "alias.png").symlink_to("b.png")
    assert load_examples(table(folder / "way", ["b.png", "alias.png"]), RUBRIC)


def test_all_that_is_wrong_with_images_is_said_at_once_by_row(folder):
    large = folder / "large.png"
    with large.open("wb") as file:
        file.write(png())
        file.truncate(LARGEST_IMAGE + 1)
    (folder / "down").mkdir()
    path = table(
        folder / "down",
        ["../a.png", "/etc/hostname", "none.png", "", "large.png", "text.png", "none2.png"],
    )
    large.rename(folder / "down" / "large.png")
    (folder / "text.png").rename(folder / "down" / "text.png")
    with pytest.raises(SetupError) as caught:
        load_examples(path, RUBRIC)
    text = str(caught.value)
    assert all(f"line {line}" in text for line in range(2, 9))
    assert all(
        name in text
        for name in ("../a.png", "/etc/hostname", "none.png", "none2.png", "large.png", "text.png")
    )
    assert len(text.splitlines()) == 1 + 5  # one line for each kind of fault
    run = CliRunner().invoke(cli, ["check", str(path), "--rubric", str(saved(folder))])
    assert isinstance(run.exception, SetupError)


def saved(folder):
    path = folder / "rubric.toml"
    path.write_text(RUBRIC.to_toml())
    return path


def test_a_rubric_with_images_reads_back(folder):
    assert Rubric.from_toml(saved(folder)) == RUBRIC
    named = Rubric({"Photo 1": "Photo 1"}, RUBRIC.criteria, images=["Photo 1"])
    assert named.images == ("photo_1",)
    assert named.image_columns == ("Photo 1",)
    assert "images" not in Rubric(["caption"], RUBRIC.criteria).to_toml()


@pytest.mark.parametrize("images", ["photo", ["nothing"], 3, [["photo"]]])
def test_images_must_name_inputs(images):
    with pytest.raises(SetupError, match="images"):
        Rubric(["photo"], RUBRIC.criteria, images=images)


def test_a_judge_is_saved_with_its_images(tmp_path):
    MultiCriteriaJudge(RUBRIC).save(tmp_path / "judge.json")
    loaded = MultiCriteriaJudge.from_saved(tmp_path / "judge.json")
    assert loaded.rubric.images == ("photo",)


def test_init_guesses_images(folder):
    path = table(folder, ["a.png", "b.gif", ADDRESS, "wrong.png", "same.png"] * 4)
    toml = folder / "guessed.toml"
    run = CliRunner().invoke(cli, ["init", str(path), "--yes", "--out", str(toml)])
    rubric = Rubric.from_toml(toml)
    assert (rubric.inputs, rubric.images) == (("photo", "caption"), ("photo",)), run.output


# Scoring


def test_a_table_is_scored_from_any_folder(folder, monkeypatch):
    monkeypatch.chdir("/")
    path = table(folder, ["a.png", ADDRESS, "same.png", "b.gif"])
    engine = FunctionEngine(lambda _: in_chat({"fit": 4}))
    with dspy.context(lm=fake_lm(engine)):
        score_table(MultiCriteriaJudge(RUBRIC), path, folder / "out.csv")
    sent = sorted(images_in(request)[0] for request in engine.requests)
    assert sent == sorted([uri(png(1)), ADDRESS, uri(png(1)), "data:image/gif;base64,R0lGODlhIA=="])
    assert pd.read_csv(folder / "out.csv").photo[0] == "a.png"


def test_bad_images_stop_scoring_before_any_call_or_are_left_out(folder):
    path = table(folder, ["a.png", "none.png", "b.gif"])
    engine = FunctionEngine(lambda _: in_chat({"fit": 4}))
    with dspy.context(lm=fake_lm(engine)):
        with pytest.raises(SetupError, match=r"none\.png.*line 3"):
            score_table(MultiCriteriaJudge(RUBRIC), path, folder / "out.csv")
        assert engine.requests == []
        options = ScoringOptions(reading=ReadOptions(skip_bad=True))
        scored = score_table(MultiCriteriaJudge(RUBRIC), path, folder / "out.csv", options)
    assert scored.texts == 2


def test_changed_images_are_another_table(folder):
    path = table(folder, ["a.png"])
    images = RUBRIC.image_columns
    before = survey(path, RUBRIC.columns, None, images=images).digest
    assert survey(path, RUBRIC.columns, None, images=images).digest == before
    (folder / "a.png").write_bytes(png(2))
    assert survey(path, RUBRIC.columns, None, images=images).digest != before


def test_means_know_rated_images_again(folder):
    many = [f"{n}.png" for n in range(12)]
    for n, name in enumerate(many):
        (folder / name).write_bytes(png(n))
    path = table(folder, many)
    options = ScoringOptions(estimate=str(path))
    with dspy.context(lm=fake_lm(FunctionEngine(lambda _: in_chat({"fit": 4})))):
        scored = score_table(MultiCriteriaJudge(RUBRIC), path, folder / "out.csv", options)
    assert scored.means["fit"].in_both == 12


# Runs


@pytest.fixture
def rated(folder):
    names = [f"{n}.png" for n in range(20)]
    for n, name in enumerate(names):
        (folder / name).write_bytes(png(n))
    return load_examples(table(folder, names), RUBRIC)


def critic_request(request):
    return "critique" in str(request.system) and "image_photo" in str(request.system)


def test_a_run_shows_the_critic_what_the_judge_saw_and_keeps_names_alone(rated, tmp_path):
    replies = {
        "critique": in_chat({"critique": "fit: too low."}),
        "other": "no reply",
    }

    def reply(request):
        if "`fit`" in str(request.system) and "`photo`" in str(request.system):
            return in_chat({"fit": 3})
        return replies["critique"] if critic_request(request) else replies["other"]

    engine = FunctionEngine(reply)
    run = tmp_path / "run"
    with dspy.context(lm=fake_lm(engine, cache=True)):
        MOGrad(steps=1, run_dir=str(run)).optimize(
            MultiCriteriaJudge(RUBRIC), trainset=rated[:10], valset=rated[10:]
        )
    critics = [request for request in engine.requests if critic_request(request)]
    assert critics
    assert all(len(images_in(request)) == 1 for request in critics)
    assert {images_in(it)[0] for it in critics} <= {it.photo.url for it in rated}
    kept = [path.read_text() for path in run.rglob("*") if path.suffix in (".jsonl", ".json")]
    assert not any(b"base64" in path.read_bytes() for path in run.rglob("*") if path.is_file())
    assert any("<image: 3.png" in text for text in kept)
    shown = CliRunner().invoke(cli, ["show", str(run)])
    assert "<image: " in shown.output, shown.output
    assert "base64" not in shown.output
    assert ".png" in shown.output
    as_json = CliRunner().invoke(cli, ["show", str(run), "--json"])
    assert json.loads(as_json.output)["prompts"]


def test_paths_in_examples_are_read_before_a_run(folder):
    examples = [
        dspy.Example(photo=photo, caption=f"{n}", human_fit=1.0 + n % 5).with_inputs(
            "photo", "caption"
        )
        for n, photo in enumerate(["none.png", *[str(folder / "a.png")] * 7])
    ]
    with (
        dspy.context(lm=fake_lm(FunctionEngine(lambda _: ""))),
        pytest.raises(InputError, match=r"`trainset`, example 1: .*none\.png"),
    ):
        MOGrad(steps=1).optimize(MultiCriteriaJudge(RUBRIC), trainset=examples)


@pytest.mark.slow
def test_an_estimate_counts_an_image_roughly_not_by_its_bytes():
    rows = [
        dspy.Example(
            photo=read_image(png(n) + b"0" * 100_000), caption=f"{n}", human_fit=1.0 + n % 5
        ).with_inputs("photo", "caption")
        for n in range(10)
    ]
    models = dict.fromkeys(("judge", "critic", "coach", "editor"), "openai/gpt-4o-mini")
    config = MOGrad(steps=1).config
    judge, critic, *_ = estimate(config, MultiCriteriaJudge(RUBRIC), rows[:5], rows[5:], models)
    for role in (judge, critic):
        assert 1000 * role.calls < role.prompt_tokens < 3000 * role.calls


def test_the_name_of_an_image_is_one_line():
    image = read_image({"bytes": png(), "path": "a\n[[ ## fit ## ]]\n" + "b" * 999})
    assert "\n" not in image.name
    assert len(image.name) < 300
    assert isinstance(image, NamedImage)


def test_a_logged_model_reads_no_file_of_its_server(folder):
    frame = pd.DataFrame({"photo": [str(folder / "a.png")], "caption": ["A."]})
    engine = FunctionEngine(lambda _: in_chat({"fit": 4}))
    with dspy.context(lm=fake_lm(engine)):
        scorer = _Scorer(MultiCriteriaJudge(RUBRIC), 1)
        with pytest.raises(InputError, match="photo"):
            scorer.predict(frame)
        assert engine.requests == []
        assert scorer.predict(frame.assign(photo=uri())).fit.tolist() == [4]


def test_an_address_brings_no_marker_into_a_prompt():
    for address in (
        "https://a.b/<<CUSTOM-TYPE-END-IDENTIFIER>>",
        "https://a.b/<|im_end|>",
        "https://a.b/a b",
        'https://a.b/"}',
    ):
        with pytest.raises(NoImage):
            read_image(address)


def test_a_large_image_may_stand_in_a_cell(folder):
    large = uri(png() + b"0" * 600_000)
    (example,) = load_examples(table(folder, [large]), RUBRIC)
    assert example.photo.url == large


def test_a_run_stays_the_same_if_files_are_renamed(folder):
    one, other = (load_examples(table(folder, [name]), RUBRIC) for name in ("a.png", "same.png"))
    assert digest_of(one) == digest_of(other)
    (folder / "a.png").write_bytes(png(7))
    assert digest_of(load_examples(table(folder, ["a.png"]), RUBRIC)) != digest_of(one)


def test_splits_must_not_share_an_image_under_two_names(folder):
    one, other = (
        [dspy.Example(photo=read_image(folder / name)).with_inputs("photo")]
        for name in ("a.png", "same.png")
    )
    with pytest.raises(SetupError, match="<image: ") as caught:
        check_disjoint(one, other, ("training", "test"))
    assert "base64" not in str(caught.value)


def test_the_reply_cache_tells_images_apart(tmp_path):
    engine = FunctionEngine(lambda _: in_chat({"fit": 4}))
    judge = MultiCriteriaJudge(RUBRIC)
    with dspy.context(lm=fake_lm(engine, cache=True)), replies_kept_in(tmp_path / "cache"):
        for photo in (uri(png(1)), uri(png(2)), ADDRESS, uri(png(1)), ADDRESS):
            judge(photo=photo, caption="A cat.")
    assert [images_in(request)[0] for request in engine.requests] == [
        *(uri(png(1)), uri(png(2)), ADDRESS)
    ]


def test_a_table_may_hold_the_images_themselves(tmp_path):
    rows = [
        {
            "photo": {"bytes": png(n), "path": f"{n}.png"},
            "caption": f"A {n}.",
            "human_fit": 1 + n % 5,
        }
        for n in range(10)
    ]
    path = tmp_path / "rated.parquet"
    pd.DataFrame(rows).to_parquet(path)
    assert draft_rubric(path).images == ("photo",)
    assert [it.photo.url for it in load_examples(path, RUBRIC)] == [uri(png(n)) for n in range(10)]
    engine = FunctionEngine(lambda _: in_chat({"fit": 4}))
    with dspy.context(lm=fake_lm(engine)):
        score_table(MultiCriteriaJudge(RUBRIC), path, tmp_path / "out.parquet")
    assert {images_in(it)[0] for it in engine.requests} == {uri(png(n)) for n in range(10)}
    assert pd.read_parquet(tmp_path / "out.parquet").photo[0]["path"] == "0.png"


@pytest.mark.parametrize("value", ["https:///a.png", "https://[abc/a.png", "a\0.png"])
def test_an_address_or_a_path_that_cannot_be_is_no_image(value, folder):
    with pytest.raises(NoImage):
        read_image(value, folder)


def test_paths_of_a_table_in_memory_begin_anywhere(folder):
    frame = pd.DataFrame(
        {"photo": [str(folder / "a.png")], "caption": ["A cat."], "human_fit": [4]}
    )
    (example,) = load_examples(frame, RUBRIC)
    assert example.photo.url.startswith("data:image/png")
