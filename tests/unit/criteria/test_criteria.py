"""A rubric that can be built is one that the judge can use, and TOML keeps it whole."""

import dataclasses
import keyword
import re
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.propose.utils import get_dspy_source_code
from dspy.utils import DummyLM
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mogradjudge import MultiCriteriaJudge
from mogradjudge.criteria import Criterion, Rubric, Scale, fields_from_toml
from mogradjudge.criteria.criterion import RESERVED
from mogradjudge.errors import MogradError, SetupError

FLUENCY = Criterion("fluency", "Does it read well?")


def rubric(**changes: Any) -> Rubric:
    return Rubric(**{"inputs": ("source", "output"), "criteria": (FLUENCY,)} | changes)


WRITTEN = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FILLED = WRITTEN.filter(str.strip)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,3}_[a-zß0-9_]{1,4}", fullmatch=True).filter(
    lambda name: name.isidentifier()
)
SCALES = st.tuples(st.integers(-9, 9), st.integers(1, 6)).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)


@st.composite
def criteria(draw: st.DrawFn, name: str) -> Criterion:
    low, high = draw(SCALES)
    levels = draw(st.dictionaries(st.integers(low, high), FILLED, max_size=3))
    # Inputs have no space in their names, so a human column with one can be none of them.
    human = draw(st.none() | WRITTEN.map("the {}".format))
    return Criterion(name, draw(FILLED), (low, high), levels, human)


@st.composite
def rubrics(draw: st.DrawFn) -> Rubric:
    names = draw(st.lists(NAMES, min_size=2, max_size=6, unique=True))
    cut = draw(st.integers(1, len(names) - 1))
    inputs, rated = names[:cut], names[cut:]
    assume(not {f"human_{name}" for name in rated} & set(inputs))
    return Rubric(
        inputs,
        [draw(criteria(name)) for name in rated],
        group=draw(st.none() | WRITTEN.filter(bool)),
        task=draw(st.none() | WRITTEN),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rubric=rubrics())
def test_toml_keeps_a_rubric_whole(rubric, tmp_path):
    path = tmp_path / "rubric.toml"
    path.write_text(rubric.to_toml(), encoding="utf-8")
    assert Rubric.from_toml(path) == rubric


@given(rubric=rubrics())
def test_a_rubric_is_a_value(rubric):
    again = Rubric(rubric.inputs, list(rubric.criteria), rubric.group, rubric.task)
    assert again == rubric
    assert hash(again) == hash(rubric)
    assert rubric.names == tuple(criterion.name for criterion in rubric.criteria)
    assert all(rubric[name].name == name for name in rubric.names)
    assert all(dataclasses.replace(criterion) == criterion for criterion in rubric.criteria)


def test_a_rubric_is_read_by_name_and_cannot_be_iterated():
    with pytest.raises(TypeError, match="not iterable"):
        iter(rubric())


def test_dspy_can_read_the_code_of_a_judge():
    # MIPROv2 shows it to the model that proposes instructions, and does without where this fails.
    code = get_dspy_source_code(MultiCriteriaJudge(rubric()))
    assert "class MultiCriteriaJudge" in code


@given(low=st.integers(-99, 99), width=st.integers(1, 20), score=st.floats(-150, 150))
def test_a_scale_covers_what_lies_between_its_ends(low, width, score):
    scale = Scale(low, low + width)
    assert scale.width == width
    assert list(scale.values) == [low + step for step in range(width + 1)]
    assert all(scale.covers(value) for value in scale.values)
    assert scale.covers(score) == (low <= score <= low + width)


@given(low=st.integers(), drop=st.integers(0))
def test_a_scale_that_does_not_rise_is_refused(low, drop):
    with pytest.raises(SetupError, match="`scale` must rise, low < high, got"):
        Scale(low, low - drop)


@given(name=st.text(max_size=5) | st.sampled_from([*keyword.kwlist, *RESERVED]))
def test_a_name_is_an_identifier_or_refused(name):
    assume(not hasattr(dspy.Signature, name) and not hasattr(dspy.Prediction, name))
    legal = name.isidentifier() and not keyword.iskeyword(name)
    if legal and name not in RESERVED and not name.startswith("_"):
        assert Criterion(name, "Is it good?").human == f"human_{name}"
    else:
        with pytest.raises(SetupError, match="criterion name must"):
            Criterion(name, "Is it good?")


def attributes(kind: type) -> list[str]:
    return [name for name in dir(kind) if not name.startswith("_")]


@pytest.mark.parametrize("name", attributes(dspy.Prediction))
def test_a_criterion_that_a_prediction_would_hide_is_refused(name):
    assert not isinstance(getattr(dspy.Prediction(**{name: 4}), name), int)
    with pytest.raises(SetupError, match=f"'{name}'.*'{name}_' .*'the {name}'"):
        Criterion(name, "Is it good?", human=f"the {name}")
    assert Criterion(f"{name}_", "Is it good?", human=name).name == f"{name}_"


@pytest.mark.parametrize("name", [*attributes(dspy.Example), "completions", "instance", "dspy_x"])
def test_an_input_that_an_example_would_hide_is_refused(name):
    with pytest.raises(SetupError, match=f"'{name}'"):
        rubric(inputs=(name,))
    assert rubric(inputs={"the_text": name}).columns == (name,)


UNUSABLE = {
    "prediction": "prediction_",
    "instructions": "instructions_",
    "mean": "mean_",
    "config": "config_",
    "signature": "signature_",
    "fields": "fields_",
    "class": "class_",
    "_secret": "secret",
    "dspy_x": "x",
}


@pytest.mark.parametrize(
    ["name", "other"], [*UNUSABLE.items(), ("!!!", "criterion_1"), ("How good?", "how_good")]
)
def test_a_criterion_of_an_unusable_name_gets_a_proposal(name, other):
    with pytest.raises(SetupError, match=rf"{re.escape(repr(name))}.*{other!r}.*'the column'"):
        Criterion(name, "Is it good?", human="the column")
    assert Criterion(other, "Is it good?", human="the column").name == other


@pytest.mark.parametrize(["name", "other"], [*UNUSABLE.items(), ("!!!", "input_1")])
def test_an_input_of_an_unusable_name_gets_a_proposal(name, other):
    with pytest.raises(SetupError, match=f"{name!r}.*{other} = {name!r}"):
        rubric(inputs=(name, "reply"))
    assert rubric(inputs={other: name, "reply": "reply"}).columns == (name, "reply")


def test_the_columns_of_rater_and_group_are_no_inputs_and_no_scores():
    with pytest.raises(SetupError, match=r"`rater`.*'who'"):
        rubric(inputs=("who", "reply"), rater=" who ")
    for name in ("rater", "group"):
        with pytest.raises(SetupError, match=f"`{name}`.*'human_fluency'"):
            rubric(**{name: " human_fluency"})


@pytest.mark.parametrize(
    "name", sorted(set(attributes(dspy.Prediction)) - {*attributes(dspy.Example), "completions"})
)
def test_an_input_that_only_a_prediction_would_hide_works(name):
    names = rubric(inputs=(name,)).inputs
    with dspy.context(lm=DummyLM([{"fluency": "4"}])):
        assert MultiCriteriaJudge(rubric(inputs=names))(**{name: "A text."}).fluency == 4


@pytest.mark.parametrize(
    ["column", "name"],
    [
        ("User Query", "user_query"),
        (" Summary ", "Summary"),
        ("2nd reply (final)", "input_2nd_reply_final"),
        ("Réponse-client", "réponse_client"),
        ("Text", "Text"),
        ("task", "task"),
    ],
)
def test_a_column_of_any_name_gives_an_input_its_name(column, name, tmp_path):
    mapped = rubric(inputs=(column, "reply"))
    assert mapped.inputs == (name, "reply")
    assert mapped.columns == (column.strip(), "reply")
    assert mapped == rubric(inputs={name: column, "reply": "reply"})
    several = rubric(inputs=(column, "A reply"))
    assert Rubric.from_toml(save(tmp_path, several.to_toml())) == several
    assert Rubric.from_toml(save(tmp_path, mapped.to_toml())) == mapped
    assert dataclasses.replace(mapped, criteria=(FLUENCY,)) == mapped


@pytest.mark.parametrize(
    "line", ['rater = "who"', 'task = "Rate."', "group = false", "criteria = []"]
)
def test_a_key_of_the_rubric_in_the_table_of_inputs_is_refused(line, tmp_path):
    text = f'[inputs]\nreply = "Reply"\n{line}\n'
    with pytest.raises(SetupError, match=rf"{line.split()[0]!r}.*above the line \[inputs\]"):
        Rubric.from_toml(save(tmp_path, text))


def test_an_input_is_mapped_to_a_column_in_toml(tmp_path):
    text = TOML.replace('inputs = ["source", "output"]', "") + '[inputs]\nquery = "User Query"\n'
    mapped = Rubric.from_toml(save(tmp_path, text))
    assert (mapped.inputs, mapped.columns) == (("query",), ("User Query",))


def test_a_rubric_without_a_mapping_is_written_as_before():
    # A saved judge holds this text, and its digest decides whether a run is the same.
    assert rubric(group="doc").to_toml() == (
        'inputs = [\n    "source",\n    "output",\n]\ngroup = "doc"\n\n[[criteria]]\n'
        'name = "fluency"\ndefinition = "Does it read well?"\nscale = [\n    1,\n    5,\n]\n'
        'human = "human_fluency"\n'
    )


def test_the_description_is_what_the_judge_reads():
    levels = {5: " flawless ", 1: "broken"}
    criterion = Criterion("fluency", " Does it read well? ", (1, 5), levels)
    assert criterion.description == (
        "Does it read well? Scale: 1 to 5. Levels: 1 = broken; 5 = flawless."
    )
    assert FLUENCY.description == "Does it read well? Scale: 1 to 5."


@pytest.mark.parametrize(
    ["changes", "part"],
    [
        ({"name": "very good"}, "A criterion name must be a Python identifier, got 'very good'"),
        ({"name": "class"}, "must be a Python identifier, got 'class'"),
        ({"name": 3}, "must be a Python identifier, got 3"),
        ({"name": "rationale"}, "must not be reserved or start with _, got 'rationale'"),
        ({"name": "_private"}, "must not be reserved or start with _, got '_private'"),
        ({"name": "model_fields"}, "must not be reserved"),
        ({"definition": " "}, "`definition` of criterion 'fluency' must be a text, got ' '"),
        ({"definition": None}, "`definition` of criterion 'fluency' must be a text, got None"),
        ({"scale": (5, 1)}, "Criterion 'fluency': `scale` must rise, low < high, got (5, 1)"),
        ({"scale": (0, 10**9)}, "`scale` must not be wider than 1000, got (0, 1000000000)"),
        ({"scale": (1.0, 5)}, "Criterion 'fluency': `scale` must be two integers, got (1.0, 5)"),
        ({"scale": (False, True)}, "`scale` must be two integers, got (False, True)"),
        ({"scale": (1, 3, 5)}, "`scale` of criterion 'fluency' must be (low, high), got (1, 3, 5)"),
        ({"scale": "15"}, "`scale` of criterion 'fluency' must be (low, high), got '15'"),
        ({"levels": {6: "x"}}, "`levels` of criterion 'fluency' must lie on its scale 1 to 5, got"),
        ({"levels": {1.0: "x"}}, "must lie on its scale 1 to 5, got 1.0"),
        ({"levels": {True: "x"}}, "must lie on its scale 1 to 5, got True"),
        ({"levels": {"1": "x"}}, "must lie on its scale 1 to 5, got '1'"),
        ({"levels": {1: " "}}, "Level 1 of criterion 'fluency' must be a text, got ' '"),
        ({"human": ""}, "`human` of criterion 'fluency' must name a column, got ''"),
        ({"human": 3}, "`human` of criterion 'fluency' must name a column, got 3"),
        ({"human": "x" * 1001}, "`human` of criterion 'fluency' must have at most 1000"),
        ({"human": "group"}, "`human` of criterion 'fluency' must not be 'group'"),
        ({"na": "yes"}, "`na` of criterion 'fluency' must be true or false, got 'yes'"),
        ({"weight": -1}, "`weight` of criterion 'fluency' must be a finite number >= 0, got -1"),
        ({"weight": float("nan")}, "got nan"),
        ({"weight": float("inf")}, "got inf"),
        ({"weight": 10**400}, "`weight` of criterion 'fluency' must be a finite number"),
        ({"weight": True}, "got True"),
        ({"names": 10**400}, "`names` of criterion 'fluency' must be a list, got 1000"),
        ({"weight": None}, "got None"),
    ],
)
def test_a_bad_criterion_is_refused_in_one_line(changes, part):
    with pytest.raises(SetupError) as caught:
        Criterion(**{"name": "fluency", "definition": "Does it read well?"} | changes)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ["changes", "part"],
    [
        ({"inputs": ()}, "`inputs` must name at least one column, got none"),
        ({"inputs": "output"}, "`inputs` must be a list of names, got the text 'output'"),
        ({"inputs": ("class",)}, "An input name must be a Python identifier, got 'class'"),
        ({"inputs": ("group",)}, "An input name must not be reserved or start with _, got 'group'"),
        ({"inputs": ("a", "b", "a")}, "Each input name must be used once, got 'a' twice"),
        ({"inputs": ("A b", "a_b")}, "got 'a_b' twice (of 'A b' and 'a_b')"),
        ({"inputs": {"a": 3}}, "`inputs` must name a column, got 3"),
        ({"inputs": {"a": " "}}, "`inputs` must name a column, got ''"),
        ({"inputs": ("!?",)}, "An input name must be a Python identifier, got '!?'"),
        ({"inputs": {"a": "human_fluency"}}, "must not be an input: the judge would read"),
        ({"inputs": ("a",), "rater": "a"}, "`rater` must not be an input, got 'a'"),
        ({"rater": 3}, "`rater` must name a column, got 3"),
        ({"inputs": ("a",), "columns": ("b", "c")}, "`columns` must have one for each of"),
        ({"criteria": ()}, "`criteria` must have at least one criterion, got none"),
        ({"criteria": (FLUENCY, FLUENCY)}, "Each criterion name must be used once, got 'fluency'"),
        ({"inputs": ("fluency",)}, "must not share its name with an input, got 'fluency'"),
        ({"inputs": ("human_fluency",)}, "must not be an input: the judge would read the answer"),
        ({"group": ""}, "`group` must name a column, got ''"),
        ({"group": 3}, "`group` must name a column, got 3"),
        ({"task": 3}, "`task` must be a text, got 3"),
        ({"criteria": (Criterion("a", "A.", weight=0),)}, "`weight` must be > 0 for at least one"),
    ],
)
def test_a_bad_rubric_is_refused_in_one_line(changes, part):
    with pytest.raises(SetupError) as caught:
        rubric(**changes)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("task", [None, "", " \n"])
def test_a_task_without_words_is_none(task):
    assert rubric(task=task) == rubric()


def test_a_rubric_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        rubric().task = "Another."  # type: ignore[misc]


TOML = """
inputs = ["source", "output"]
group = "doc_id"
task = "Rate the summary of a source."

[[criteria]]
name = "fluency"
definition = "Does it read well?"

[[criteria]]
name = "grounded"
definition = "Is it true to the source?"
scale = [0, 1]
human = "true_to_source"
levels = { 0 = "It invents.", 1 = "All is supported." }
"""


def save(folder: Path, text: str) -> Path:
    path = folder / "rubric.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_rubric_is_read_from_toml(tmp_path):
    assert Rubric.from_toml(save(tmp_path, TOML)) == Rubric(
        inputs=("source", "output"),
        criteria=(
            FLUENCY,
            Criterion(
                "grounded",
                "Is it true to the source?",
                scale=(0, 1),
                levels={0: "It invents.", 1: "All is supported."},
                human="true_to_source",
            ),
        ),
        group="doc_id",
        task="Rate the summary of a source.",
    )


def test_a_criterion_may_have_a_measure_of_its_own(tmp_path):
    text = TOML.replace("[0, 1]", '[0, 1]\nmeasure = "accuracy"')
    rubric = Rubric.from_toml(save(tmp_path, text))
    assert [criterion.measure for criterion in rubric.criteria] == [None, "accuracy"]
    assert Rubric.from_toml(save(tmp_path, rubric.to_toml())) == rubric
    assert 'measure = "accuracy"' in rubric.to_toml()
    assert (
        rubric["grounded"].description
        == Rubric.from_toml(save(tmp_path, TOML))["grounded"].description
    )


def test_a_criterion_may_not_apply(tmp_path):
    rubric = Rubric.from_toml(save(tmp_path, TOML.replace("[0, 1]", "[0, 1]\nna = true")))
    assert [criterion.na for criterion in rubric.criteria] == [False, True]
    assert Rubric.from_toml(save(tmp_path, rubric.to_toml())) == rubric
    assert "n/a" in rubric["grounded"].meaning and "n/a" not in rubric["fluency"].meaning


def test_a_criterion_may_have_a_weight(tmp_path):
    rubric = Rubric.from_toml(save(tmp_path, TOML.replace("[0, 1]", "[0, 1]\nweight = 2")))
    assert [criterion.weight for criterion in rubric.criteria] == [1.0, 2.0]
    assert Rubric.from_toml(save(tmp_path, rubric.to_toml())) == rubric
    assert "weight" not in Rubric.from_toml(save(tmp_path, TOML)).to_toml()
    assert (
        rubric["grounded"].description
        == Rubric.from_toml(save(tmp_path, TOML))["grounded"].description
    )


@pytest.mark.parametrize(
    ["old", "new", "part"],
    [
        ("[0, 1]", '[0, 1]\nweight = "2"', "`weight` of criterion 'grounded'"),
        ("inputs =", "inputs", "is not valid TOML: "),
        ("inputs =", f"a = {'[' * 5000}\ninputs =", "This TOML cannot be read: "),
        ("inputs =", f"a = {'9' * 5000}\ninputs =", "This TOML cannot be read: "),
        ("inputs", "columns", "Unknown key 'columns' in the rubric. Known keys: criteria, group"),
        ('["source", "output"]', '"source"', "`inputs` must be a list of names, got 'source'"),
        ('["source", "output"]', "[1]", "`inputs` must be a list of names, got [1]"),
        ("[[criteria]]", "[[criterion]]", "Unknown key 'criterion' in the rubric"),
        (TOML[TOML.index("[[") :], "", "`criteria` must have at least one criterion, got none"),
        (TOML[TOML.index("[[") :], "criteria = [1]", "`criteria` must be tables, each under"),
        ('name = "fluency"', "", "`name` is missing in criterion 'without a name'"),
        ('definition = "Does it read well?"', "", "`definition` is missing in criterion 'fluency'"),
        (
            "scale",
            "scales",
            "Unknown key 'scales' in criterion 'grounded'. Known keys: comment, definition",
        ),
        ("[0, 1]", '[0, 1]\nmeasure = "rho"', "`measure` of criterion 'grounded' must be one of"),
        ("[0, 1]", "[0.0, 1.0]", "Criterion 'grounded': `scale` must be two integers"),
        ("[0, 1]", "5", "`scale` of criterion 'grounded' must be (low, high), got 5"),
        ("{ 0 =", "{ low =", "`levels` of criterion 'grounded' must have integer keys, got ['low'"),
        ("{ 0 =", "{ 7 =", "`levels` of criterion 'grounded' must lie on its scale 0 to 1, got 7"),
        ('"It invents."', "3", "Level 0 of criterion 'grounded' must be a text, got 3"),
        ('"doc_id"', "3", "`group` must name a column, got 3"),
        ('"Rate the summary of a source."', "3", "`task` must be a text, got 3"),
    ],
)
def test_a_bad_rubric_file_is_refused_in_one_line(old, new, part, tmp_path):
    assert old in TOML
    path = save(tmp_path, TOML.replace(old, new))
    with pytest.raises(SetupError) as caught:
        Rubric.from_toml(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert part in message
    assert "\n" not in message


def test_a_rubric_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(SetupError, match=r"Cannot read .*: No such file"):
        Rubric.from_toml(tmp_path / "none.toml")
    with pytest.raises(SetupError, match=r"Cannot read .*: Is a directory"):
        Rubric.from_toml(tmp_path)
    path = tmp_path / "rubric.toml"
    path.write_bytes(b'task = "\xff"')
    with pytest.raises(SetupError, match="is not UTF-8 text: byte 8 is invalid"):
        Rubric.from_toml(path)


def test_a_setup_error_is_both_ours_and_a_value_error():
    assert issubclass(SetupError, MogradError)
    assert issubclass(SetupError, ValueError)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Criterion("a" * 101, "?"),
        lambda: Criterion("a", "?" * 20_001),
        lambda: Criterion("a", "?", levels={1: "?" * 20_001}),
        lambda: Criterion("a", "?", scale=(10**30, 10**30 + 1)),
        lambda: Criterion("a", "?", scale=(0, 2000)),
        lambda: Rubric(inputs=("text",), criteria=(Criterion("a", "?"),), task="?" * 20_001),
        lambda: Rubric(inputs=[f"i{n}" for n in range(201)], criteria=(Criterion("a", "?"),)),
        lambda: Rubric(inputs=("text",), criteria=[Criterion(f"a{n}", "?") for n in range(201)]),
    ],
)
def test_what_no_prompt_could_hold_is_refused_in_one_short_line(make):
    with pytest.raises(SetupError) as caught:
        make()
    assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ["levels", "scale", "meaning"],
    [
        ('["fail", "pass"]', (0, 1), "0 = fail; 1 = pass"),
        ('["poor", "fair", "good"]', (1, 3), "1 = poor; 2 = fair; 3 = good"),
        ('{ fail = "It harms.", pass = "Safe." }', (0, 1), "0 = fail: It harms; 1 = pass: Safe"),
    ],
)
def test_levels_may_have_names_worst_to_best(levels, scale, meaning):
    text = f'inputs = ["a"]\n[[criteria]]\nname = "tone"\ndefinition = "Kind?"\nlevels = {levels}'
    rubric = Rubric(**fields_from_toml(text))
    (criterion,) = rubric.criteria
    assert (criterion.scale.low, criterion.scale.high) == scale
    assert meaning in criterion.meaning
    assert Rubric(**fields_from_toml(rubric.to_toml())) == rubric
    assert dataclasses.replace(criterion, definition="Is it kind?").names == criterion.names


@pytest.mark.parametrize(
    ["levels", "scale", "wrong"],
    [(["a", "a"], None, "a, a"), (["a"], None, "'a'"), (["a", "2"], None, "'2'"),
     (["a", "b"], (1, 5), "2"), (["a", ""], None, "''")],
)  # fmt: skip
def test_names_of_levels_that_cannot_be_used_are_refused(levels, scale, wrong):
    with pytest.raises(SetupError, match=wrong):
        Criterion("tone", "Is it kind?", scale, levels)


def test_an_input_may_be_called_images(tmp_path):
    rubric = Rubric({"images": "images", "query": "User Query"}, [Criterion("tone", "Is kind.")])
    (tmp_path / "rubric.toml").write_text(rubric.to_toml())
    assert Rubric.from_toml(tmp_path / "rubric.toml") == rubric


def test_an_image_is_named_before_a_column_is():
    inputs = {"question": "photo", "photo": "img"}
    assert Rubric(inputs, [Criterion("tone", "Is kind.")], images=["photo"]).images == ("photo",)


def test_a_part_of_a_rubric_has_a_weight_that_counts():
    tone = Criterion("tone", "Is kind.", weight=0)
    rubric = Rubric(["reply"], [tone, Criterion("wit", "Is funny.", weight=3)])
    assert rubric.part([tone]).weights == {"tone": 1.0}
    assert rubric.part(rubric.criteria) == rubric
