"""A setting is declared once, and is found wherever settings are used."""

import inspect
from typing import get_args

import pytest
from click.testing import CliRunner

from benchmarks.worlds.world import toy_rubric
from mogradjudge import MOGrad, MOGradConfig, MultiCriteriaJudge, SetupError
from mogradjudge.agreement import Level
from mogradjudge.cli import cli
from mogradjudge.criteria.decomposition import MODES
from mogradjudge.criteria.partition import Scope
from mogradjudge.judge.scores import LAYOUTS, JudgeSettings
from mogradjudge.optimize.config import resolve_steps
from mogradjudge.settings import AUTO_STEPS, GATES, JUDGE_SETTINGS, RUN_SETTINGS, SETTINGS, Auto
from mogradjudge.stages.gate import gate_name, make_gate


@pytest.mark.parametrize("command", ["compile", "estimate", "search"])
def test_every_setting_has_its_option(command):
    shown = CliRunner().invoke(cli, [command, "--help"]).output
    text = " ".join(shown.split())
    for name, setting in SETTINGS.items():
        assert (f"--{name.replace('_', '-')} " in shown) == setting.option
        if setting.option:
            assert setting.help.removesuffix(".") in text


def test_the_optimizer_takes_the_settings_of_a_run():
    taken = inspect.signature(MOGrad).parameters
    plain = {name for name, setting in RUN_SETTINGS.items() if not setting.is_object}
    assert set(RUN_SETTINGS) - set(taken) == {"tolerance"}  # which belongs to a gate
    for name in plain - {"tolerance", "steps"}:
        assert taken[name].default == RUN_SETTINGS[name].default == getattr(MOGradConfig(), name)
    assert [name for name, it in taken.items() if it.kind is it.POSITIONAL_OR_KEYWORD] == ["mode"]


def test_a_setting_of_the_optimizer_is_given_by_its_name():
    with pytest.raises(TypeError, match="positional"):
        MOGrad("SSC", 6)


def test_a_judge_takes_the_settings_of_a_judge():
    taken = list(inspect.signature(MultiCriteriaJudge.__init__).parameters.values())[2:]
    usual = {name: setting.default for name, setting in JUDGE_SETTINGS.items()}
    assert {it.name: it.default for it in taken} == usual
    assert [it.name for it in taken] == list(JUDGE_SETTINGS)
    assert MultiCriteriaJudge(toy_rubric("fluency")).settings == JudgeSettings(**usual)


def test_names_are_those_of_the_things_themselves():
    assert tuple(MODES) == SETTINGS["mode"].names
    assert tuple(LAYOUTS) == SETTINGS["layout"].names
    assert tuple(gate_name(make_gate(name)) for name in GATES) == GATES
    assert get_args(Level) == SETTINGS["level"].names
    assert get_args(Auto) == tuple(AUTO_STEPS)
    combined = [name for name, mode in MODES.items() if mode.optimizer == Scope.COMBINED]
    assert list(SETTINGS["edit_preamble"].condition.values) == combined
    assert SETTINGS["steps"].default == resolve_steps(None, None)


@pytest.mark.parametrize("name", [name for name, it in SETTINGS.items() if it.kind is float])
@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan")])
def test_a_number_that_no_float_can_be_is_refused_shortly(name, value):
    with pytest.raises(SetupError, match=name) as refused:
        SETTINGS[name].check(value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("name", [name for name, it in SETTINGS.items() if it.low is not None])
def test_a_number_out_of_range_is_refused_by_name(name):
    setting = SETTINGS[name]
    setting.check(setting.low)
    for value in (setting.low - 1, float("nan"), "1", True, setting.high and setting.high + 1):
        if value is not None or not setting.optional:
            with pytest.raises(SetupError, match=rf"`{name}` must .* got {value!r}\."):
                setting.check(value)


def test_a_condition_asks_about_a_setting_that_stands_before():
    names = list(SETTINGS)
    for name, setting in SETTINGS.items():
        if setting.condition is not None:
            parent = setting.condition.parent
            assert names.index(parent) < names.index(name)
            assert set(setting.condition.values) < set(SETTINGS[parent].names)
