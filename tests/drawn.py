"""Texts, configs and judges' settings for laws, drawn by hypothesis."""

from hypothesis import strategies as st

from mogradjudge.criteria.decomposition import DecompositionMode
from mogradjudge.criteria.partition import Scope
from mogradjudge.data.tables import is_blank
from mogradjudge.judge.scores import JudgeSettings
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.settings import CONFIG_PARAMETERS, PARAMETERS
from mogradjudge.stages.gate import make_gate


def is_shown(text):
    return not is_blank(text)


PARTITIONS = {
    "mode": ("S > coherence+fluency > C", "S > coherence | fluency > coherence | fluency"),
    "layout": ("coherence | fluency",),
}


def _drawn(setting):
    """Draw a setting's values, those that it has while it means something."""
    if setting.kind in (str, bool):
        values = st.sampled_from(
            (*setting.names, *PARTITIONS.get(setting.name, ())) or (False, True)
        )
    elif setting.kind is int:
        unused = setting.condition is not None and setting.condition.otherwise == setting.low
        values = st.integers(setting.low + unused, setting.high or 2**40)
    else:
        high = 2 if setting.high is None else setting.high
        values = st.sampled_from(range(setting.low, high + 1)) | st.floats(setting.low, high)
    if setting.names and setting.kind is not str:
        values |= st.sampled_from(setting.names)
    return st.none() | values if setting.optional else values


VALUES = {name: _drawn(setting) for name, setting in PARAMETERS.items()}
NUMBERS = {name: VALUES[name] for name, it in PARAMETERS.items() if it.kind in (int, float)}
FREE_OF_OTHERS = [
    name for name, it in CONFIG_PARAMETERS.items() if not it.is_object and it.condition is None
]


@st.composite
def configs(draw):
    mode = DecompositionMode.parse(draw(VALUES["mode"]))
    gate = draw(VALUES["gate"])
    plain = {name: draw(VALUES[name]) for name in FREE_OF_OTHERS}
    return MOGradConfig(
        mode=mode,
        gate=make_gate(gate, tolerance=draw(VALUES["tolerance"]) if gate == "criterion" else 0.0),
        edit_preamble=mode.optimizer == Scope.COMBINED and draw(st.booleans()),
        **plain,
    )


@st.composite
def settings_of_judges(draw):
    rule = draw(VALUES["score_rule"])
    return JudgeSettings(
        layout=draw(VALUES["layout"]),
        score_rule=rule,
        n=draw(VALUES["n"]) if rule == "mean_of_n" else 1,
        rationale=draw(st.booleans()),
        fallback=draw(VALUES["fallback"]) if rule == "expected" else None,
    )
