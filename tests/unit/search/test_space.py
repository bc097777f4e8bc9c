"""A search space is data: what it asks a trial for, what it holds, and what it refuses."""

import tracemalloc
from dataclasses import fields, replace

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FixedTrial

from drawn import NUMBERS, VALUES, configs, settings_of_judges
from mogradjudge.criteria.decomposition import MODES
from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import JudgeSettings, judge_values
from mogradjudge.optimize.config import MOGradConfig, config_values
from mogradjudge.search.ranges import Range
from mogradjudge.search.samplers import grid_of
from mogradjudge.search.space import SearchSpace
from mogradjudge.settings import (
    CONFIG_PARAMETERS,
    FREE,
    GATES,
    JUDGE_PARAMETERS,
    PARAMETERS,
    RUN_SETTINGS,
    Setting,
)
from mogradjudge.stages.gate import AlwaysAccept, NoCriterionRegression

PLAIN, JUDGE = MOGradConfig(), JudgeSettings()
NOTHING = dict.fromkeys(PARAMETERS)


def ranges(name: str):
    """Draw ranges of a parameter's own numbers."""
    numbers = NUMBERS[name].filter(lambda value: isinstance(value, int | float))
    whole = PARAMETERS[name].kind is int
    steps = st.integers(1, 5) if whole else st.sampled_from([0.1, 0.05, 2])

    def ending(low, high, step, kind):
        low, high = min(low, high), max(low, high)
        if kind == "log" and low > 0:
            return Range(low, high, log=True)
        if kind == "steps" and whole:
            return Range(low, low + (high - low) // step * step, step)
        if kind == "steps":
            return Range(0, 10 * step, step) if name != "skip_tolerance" else Range(0, 1, 0.25)
        return Range(low, high)

    kinds = st.sampled_from(["plain", "log", "steps"])
    return st.builds(ending, numbers, numbers, steps, kinds)


def choices(name: str):
    return st.lists(VALUES[name], min_size=1, max_size=3, unique=True).map(tuple)


def a_space(domains):
    if "mean_of_n" in (domains["score_rule"] or ()) and domains["n"] is None:
        domains["n"] = (2, 5)
    return SearchSpace(**domains)


PLAIN_SPACES = st.fixed_dictionaries({name: st.none() | choices(name) for name in VALUES}).map(
    a_space
)
SPACES = st.fixed_dictionaries(
    {
        name: st.none() | choices(name) | ranges(name)
        if name in NUMBERS
        else st.none() | choices(name)
        for name in VALUES
    }
).map(a_space)


def test_every_setting_has_a_place():
    config = {field.name for field in fields(MOGradConfig)}
    assert config == set(RUN_SETTINGS) - {"tolerance"}
    assert not set(PARAMETERS) & {*FREE, "level", "predictors"}
    assert {field.name for field in fields(JudgeSettings)} == set(JUDGE_PARAMETERS)
    assert [field.name for field in fields(SearchSpace)] == list(PARAMETERS)
    assert len(PARAMETERS) == len(CONFIG_PARAMETERS) + len(JUDGE_PARAMETERS)  # no name twice


def two_values_of(setting: Setting) -> tuple[object, object]:
    if setting.names:
        return (*(None,) * setting.optional, *setting.names)[:2]
    if setting.kind is bool:
        return False, True
    return (setting.low + 1, setting.low + 2) if setting.kind is int else (0.1, 0.2)


# Two values of each parameter.
PAIRS = {name: two_values_of(setting) for name, setting in PARAMETERS.items()}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_trial_decides_each_parameter(name):
    condition = PARAMETERS[name].condition
    parents = {} if condition is None else {condition.parent: condition.values[0]}
    domains = NOTHING | {name: PAIRS[name]} | {key: (value,) for key, value in parents.items()}
    space = SearchSpace(**domains)
    field = "gate" if name == "tolerance" else name
    found = []
    for value in PAIRS[name]:
        trial = FixedTrial({name: value, **parents})
        if name in CONFIG_PARAMETERS:
            config = space.suggest(trial, PLAIN)
            assert config_values(config)[name] == value
            found.append(getattr(config, field))
        else:
            settings = space.suggest_settings(trial, JUDGE)
            assert judge_values(settings)[name] == value
            found.append(getattr(settings, field))
        assert set(trial.params) == {name, *parents}
    assert found[0] != found[1]


def test_the_default_space_asks_what_it_says():
    space = SearchSpace()
    trial = FixedTrial(
        {"mode": "SCC", "batch_size": 8, "gate": "criterion", "tolerance": 0.05}
        | {"editor_temperature": 0.25, "layout": "separate"}
    )
    assert space.suggest(trial, PLAIN) == replace(
        PLAIN,
        mode=MODES["SCC"],
        batch_size=8,
        gate=NoCriterionRegression(0.05),
        editor_temperature=0.25,
    )
    assert space.suggest_settings(trial, JUDGE) == replace(JUDGE, layout="separate")
    assert set(trial.params) == set(space.searched)
    assert space == space.including(PLAIN, JUDGE)


def test_a_partition_is_one_choice_in_any_order():
    modes = ("SSC", "S > c | b+a > C", "S > a+b | c > C")
    space = SearchSpace(**NOTHING | {"mode": modes, "layout": ("combined", "c | b+a")})
    assert space.mode == ("SSC", "S > a+b | c > C")
    assert space.layout == ("combined", "a+b | c")
    trial = FixedTrial({"mode": "S > a+b | c > C", "layout": "a+b | c"})
    assert space.suggest(trial, PLAIN).mode.gradient.groups(("b", "c", "a")) == (("b", "a"), ("c",))
    assert space.suggest_settings(trial, JUDGE).layout == "a+b | c"


def test_samplers_are_told_the_choices_and_ranges():
    space = SearchSpace(
        steps=Range(2, 32, log=True),
        seed=Range(0, 8, 4),
        critic_temperature=Range(0.1, 1, log=True),
    )
    params = {"mode": "SSS", "steps": 2, "batch_size": 1, "seed": 4, "gate": "none"}
    trial = FixedTrial(params | {"critic_temperature": 1, "editor_temperature": 0.0})
    space.suggest(trial, PLAIN)
    assert trial.distributions == {
        "mode": CategoricalDistribution(("SSS", "SSC", "SCC", "CCC")),
        "steps": IntDistribution(2, 32, log=True),
        "batch_size": IntDistribution(1, 8),
        "seed": IntDistribution(0, 8, step=4),
        "gate": CategoricalDistribution(("mean", "criterion", "none")),
        "critic_temperature": FloatDistribution(0.1, 1.0, log=True),
        "editor_temperature": FloatDistribution(0.0, 1.0),
    }


@pytest.mark.slow
@given(SPACES, configs(), settings_of_judges())
def test_a_trial_is_asked_only_for_what_has_a_meaning(space, config, settings):
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    found = space.suggest(trial, config), space.suggest_settings(trial, settings)
    values = {**config_values(found[0]), **judge_values(found[1])}
    base = {**config_values(config), **judge_values(settings)}
    asked = trial.params
    assert asked == {name: values[name] for name in asked}
    for name, parameter in PARAMETERS.items():
        condition = parameter.condition
        if condition is not None and not condition.holds(values[condition.parent]):
            assert name not in asked and values[name] == condition.otherwise
        elif getattr(space, name) is None:
            assert name not in asked and values[name] == base[name]
        else:
            assert name in asked


@pytest.mark.slow
@given(PLAIN_SPACES, configs(), settings_of_judges(), configs(), settings_of_judges())
def test_the_parameters_of_a_config_give_it_back(space, config, settings, other, others):
    wider = space.including(config, settings)
    params = wider.params_of(config, settings)
    trial = FixedTrial(params)
    assert wider.suggest(trial, config) == config
    assert wider.suggest_settings(trial, settings) == settings
    assert trial.params == params

    assert set(space.searched) <= set(wider.searched)
    for name in space.searched:
        assert set(getattr(space, name)) <= set(getattr(wider, name))

    # From another base: all that is searched, but for what only an unsearched parent decides.
    asked = {**config_values(config), **judge_values(settings)}
    base = {**config_values(other), **judge_values(others)}
    parents = {each.condition.parent for each in PARAMETERS.values() if each.condition}
    if all(name in wider.searched or base[name] == asked[name] for name in parents):
        trial = FixedTrial(params)
        found = wider.suggest(trial, other), wider.suggest_settings(trial, others)
        values = {**config_values(found[0]), **judge_values(found[1])}
        assert {name: values[name] for name in wider.searched} == {
            name: asked[name] for name in wider.searched
        }


@given(st.sampled_from(sorted(NUMBERS)), st.data())
def test_a_range_holds_what_optuna_takes_from_it(name, data):
    space = SearchSpace(**NOTHING | {name: data.draw(ranges(name))})
    config = PLAIN if name != "tolerance" else replace(PLAIN, gate=NoCriterionRegression())
    settings = JUDGE if name != "n" else JudgeSettings(score_rule="mean_of_n", n=2)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(3):
        trial = study.ask()
        found = space.suggest(trial, config), space.suggest_settings(trial, settings)
        assert list(trial.params) == [name]
        assert getattr(space, name).holds(trial.params[name])
        params = space.params_of(*found)
        fixed = FixedTrial(params)
        assert space.suggest(fixed, config) == found[0]
        assert space.suggest_settings(fixed, settings) == found[1]


@pytest.mark.parametrize(
    ["numbers", "value", "held"],
    [
        (Range(1, 8), 8, True),
        (Range(1, 8), 9, False),
        (Range(0, 1), 0.5, True),  # whole numbers, of a parameter that is not one
        (Range(1, 9, 2), 5, True),
        (Range(1, 9, 2), 4, False),
        (Range(0, 0.5, 0.1), 0.1 + 0.2, True),
        (Range(0, 0.3, 0.1), 0.25, False),
        (Range(0, 1e300, 0.25), 1e300, True),
    ],
)
def test_a_range_has_two_ends_and_steps(numbers, value, held):
    assert numbers.holds(value) is held


@pytest.mark.slow
@given(SPACES)
def test_a_space_is_written_and_read_back(tmp_path_factory, space):
    path = tmp_path_factory.getbasetemp() / "space.toml"
    path.write_text(space.to_toml())
    if space.searched:
        assert SearchSpace.from_toml(path) == space
        assert len(path.read_text().splitlines()) == len(space.searched)
    else:
        with pytest.raises(SetupError, match="names no parameter"):
            SearchSpace.from_toml(path)


def test_a_file_reads_as_one_would_write_it(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(
        'mode = ["SSS", "CCC"]\n'
        "steps = { low = 2, high = 32, log = true }\n"
        "tolerance = { low = 0, high = 0.3, step = 0.1 }\n"
        'gate = ["none", "criterion"]\n'
        'skip_tolerance = ["none", 0, 0.25]\n'
        'fallback = ["none", "integer"]\n'
        "rationale = [true]\n"
    )
    searched = {
        "mode": ("SSS", "CCC"),
        "steps": Range(2, 32, log=True),
        "tolerance": Range(0, 0.3, 0.1),
        "gate": ("none", "criterion"),
        "skip_tolerance": (None, 0, 0.25),
        "fallback": (None, "integer"),
        "rationale": (True,),
    }
    assert SearchSpace.from_toml(path) == SearchSpace(**NOTHING | searched)


@pytest.mark.parametrize(
    ["text", "words"],
    [
        ("batch_size = [0]", "`batch_size` must be a whole number >= 1, got 0"),
        ("batch_size = [2.5]", "`batch_size` must be a whole number, got 2.5"),
        ("batch_size = [true]", "`batch_size` must be a whole number, got True"),
        ("batch_size = 3", "`batch_size` must be an array of choices"),
        ("batch_size = []", "`batch_size` must hold at least one choice"),
        ("batch_size = [1, 2, 1]", "`batch_size` must hold each choice once, got 1 twice"),
        ('batch_size = ["none"]', "`batch_size` must be a whole number, got 'none'"),
        ("batch_size = { low = 0, high = 3 }", "`batch_size` must be a whole number >= 1, got 0"),
        ("batch_size = { low = 1, high = 3.5 }", "`batch_size` needs a range of whole numbers"),
        (
            "batch_size = { low = 4, high = 3 }",
            "`batch_size`: A range must have `low <= high`, got 4 and 3",
        ),
        ("batch_size = { low = 1 }", "`high` is missing in the range of `batch_size`"),
        ("batch_size = { low = 1, high = 2, stp = 1 }", "Unknown key 'stp' in the range of `batch"),
        ("batch_size = { low = 1, high = 4, step = 2 }", "must divide `high` - `low`, got 2"),
        ("steps = { low = 1, high = 4, step = 0 }", "`steps`: `step` of a range must be above 0"),
        ("steps = { low = 1, high = 4, step = 1, log = true }", "leave it out"),
        ("steps = { low = 1, high = 4, log = 1 }", "`log` of a range must be True or False"),
        ('steps = { low = "1", high = 4 }', "`low` of a range must be a finite number"),
        ("tolerance = { low = 0, high = 1, log = true }", "must be above 0"),
        ("tolerance = [-0.1]", "`tolerance` must be >= 0, got -0.1"),
        ("tolerance = [nan]", "`tolerance` must be a finite number, got nan"),
        ("tolerance = { low = 0, high = inf }", "`high` of a range must be a finite number"),
        ('mode = ["XYZ"]', "`mode` must be one of SSS, SSC, SCC, CCC, got 'XYZ'"),
        ("mode = [[1]]", "`mode` must be one of"),
        ("mode = { low = 1, high = 2 }", "`mode` takes a tuple of choices and no range"),
        ("editor_temperature = [-1]", "`editor_temperature` must be >= 0 or None, got -1"),
        ('editor_temperature = ["hot"]', "`editor_temperature` must be a finite number or None"),
        (
            "skip_tolerance = [1.5]",
            "`skip_tolerance` must lie in [0, 1], be 'data' or None, got 1.5",
        ),
        ('gate = ["best"]', f"`gate` must be one of {', '.join(GATES)}, got 'best'"),
        ("edit_preamble = [1]", "`edit_preamble` must be True or False, got 1"),
        ('rationale = ["yes"]', "`rationale` must be True or False"),
        ("n = [1, 3]", "`n` must be at least 2"),
        ('score_rule = ["mean_of_n"]', "`n` must have values >= 2"),
        ('score_rule = ["median"]', "`score_rule` must be one of integer, expected, mean_of_n"),
        ('fallback = ["mean"]', "`fallback` must be one of integer, None, got 'mean'"),
        ('layout = ["both"]', "`layout` must be one of combined, separate, got 'both'"),
        ("temperature = [1]", "Unknown parameter 'temperature'"),
        ("num_threads = [1]", "Unknown parameter 'num_threads'"),
        ('level = ["pooled"]', "Unknown parameter 'level'"),
        ("", "This names no parameter to search"),
        ("mode = ", "This is not valid TOML"),
        ('mode = ["SSS"]\nmode = ["SSC"]', "This is not valid TOML"),
    ],
)
def test_a_file_with_a_mistake_is_refused_in_a_line(text, words, tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(SetupError) as refused:
        SearchSpace.from_toml(path)
    line = str(refused.value)
    assert line.startswith(f"{path}: ") and words in line
    assert "\n" not in line


def test_a_file_that_is_missing_is_refused_in_a_line(tmp_path):
    with pytest.raises(SetupError, match="This file cannot be read: No such file"):
        SearchSpace.from_toml(tmp_path / "space.toml")


@pytest.mark.parametrize("value", ["SSS", ["SSS"], 3, {"SSS"}])
def test_what_is_no_tuple_is_refused(value):
    with pytest.raises(SetupError, match="`mode` must be a tuple of choices"):
        SearchSpace(mode=value)


def own_gate(current, proposed):
    return True


def test_a_base_outside_of_the_space_is_named():
    big, judge = replace(PLAIN, batch_size=9), JUDGE
    own = SearchSpace(batch_size=Range(1, 8), editor_temperature=Range(0.0, 1.0))
    for refuse in (SearchSpace().params_of, own.including):
        with pytest.raises(SetupError, match="`batch_size` must lie in the range 1 to 8, got 9: w"):
            refuse(big, judge)
    cool = replace(PLAIN, editor_temperature=None)
    with pytest.raises(SetupError, match="`editor_temperature` is None"):
        own.including(cool, judge)
    with pytest.raises(SetupError, match=r"`mode` must be one of the space's values \['SSS'\]"):
        SearchSpace(mode=("SSS",)).params_of(PLAIN, judge)
    with pytest.raises(SetupError, match="`gate` can be searched from one of"):
        SearchSpace().including(replace(PLAIN, gate=own_gate), judge)
    kept = SearchSpace(gate=None).including(replace(PLAIN, gate=own_gate), judge)
    trial = FixedTrial({"mode": "SSS", "batch_size": 1, "editor_temperature": 0.0})
    assert kept.suggest(trial, replace(PLAIN, gate=own_gate)).gate is own_gate


@given(
    st.integers(1, 99),
    st.none() | st.floats(0, 9, allow_nan=False),
    st.sampled_from([SearchSpace(), SearchSpace(mode=("SSS", "SSC"))]),
)
def test_the_usual_ranges_give_way_to_a_base(batch_size, temperature, space):
    base = replace(PLAIN, batch_size=batch_size, editor_temperature=temperature)
    wider = space.including(base, JUDGE)
    assert wider.batch_size == Range(1, max(8, batch_size))
    usual = Range(0.0, max(1.0, temperature or 0.0))
    assert wider.editor_temperature == (None if temperature is None else usual)
    assert replace(wider, batch_size=None, editor_temperature=None) == replace(
        space, batch_size=None, editor_temperature=None
    )
    found = wider.suggest(FixedTrial(wider.params_of(base, JUDGE)), base)
    assert found == base


def test_the_usual_ranges_read_from_a_file_are_the_users(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(SearchSpace().to_toml())
    with pytest.raises(SetupError, match="`batch_size` must lie in the range 1 to 8, got 16"):
        SearchSpace.from_toml(path).including(replace(PLAIN, batch_size=16), JUDGE)


def test_a_grid_reaches_every_config():
    space = SearchSpace(
        **NOTHING
        | {"mode": ("SSS", "CCC"), "gate": ("mean", "criterion"), "tolerance": (0.0, 0.1)}
        | {"skip_tolerance": (None, 0.5), "layout": ("separate",), "fallback": (None, "integer")}
        | {"score_rule": ("integer",)}
    )
    grid = space.grid()
    assert "fallback" not in grid  # no score rule of this space asks for it
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(grid, seed=0))
    found = []

    def objective(trial):
        found.append((space.suggest(trial, PLAIN), space.suggest_settings(trial, JUDGE)))
        return 0.0

    study.optimize(objective, n_trials=16)
    assert len(found) == 2 * 2 * 2 * 2
    assert len({(config.mode, config.gate, config.skip_tolerance) for config, _ in found}) == 12
    assert {settings for _, settings in found} == {JudgeSettings("separate")}


def test_a_grid_of_ranges_is_refused():
    with pytest.raises(SetupError, match="for `editor_temperature`"):
        SearchSpace().grid()


def test_a_grid_takes_a_range_that_is_finite():
    ranges = {"batch_size": Range(1, 3), "tolerance": Range(0.0, 0.3, step=0.1)}
    ranges |= {"gate": ("criterion",)}
    grid = SearchSpace(**NOTHING | ranges).grid()
    assert grid["tolerance"] == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert grid["batch_size"] == [1, 2, 3]
    assert len(grid_of(SearchSpace(**NOTHING | ranges), PLAIN, JUDGE, 0)) == 3 * 4


def test_a_range_of_tiny_steps_is_counted_and_no_grid():
    space = SearchSpace(**NOTHING | {"editor_temperature": Range(0.0, 2.0, step=1e-7)})
    tracemalloc.start()
    assert space.count({}) == 20_000_001
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    with pytest.raises(SetupError, match="20,000,001"):
        space.grid()
    assert SearchSpace(**NOTHING | {"batch_size": Range(1, 10**30)}).count({}) == 10**30


def test_an_enqueued_config_is_tried_first():
    space = SearchSpace(steps=Range(1, 100, log=True)).including(PLAIN, JUDGE)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial(space.params_of(PLAIN, JUDGE))
    other = MOGradConfig(mode=MODES["CCC"], gate=AlwaysAccept(), batch_size=1)
    first = study.ask()
    assert space.suggest(first, other) == replace(PLAIN)
    assert space.suggest_settings(first, JudgeSettings("separate")) == JUDGE
