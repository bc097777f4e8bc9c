"""Configs and judges' settings for laws, drawn by hypothesis."""

from hypothesis import strategies as st

from mogradjudge.criteria.decomposition import MODES
from mogradjudge.judge.scores import LAYOUTS, JudgeSettings
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.settings import GATES, SCORE_RULES
from mogradjudge.stages.gate import make_gate

TEMPERATURES = st.none() | st.sampled_from([0, 1, 2]) | st.floats(0, 2)
NUMBERS = {
    "steps": st.integers(1, 50),
    "batch_size": st.integers(1, 50),
    "seed": st.integers(0, 2**40),
    "tolerance": st.floats(0, 1),
    "skip_tolerance": st.one_of(st.none(), st.floats(0, 1)),
    "critic_temperature": TEMPERATURES,
    "coach_temperature": TEMPERATURES,
    "editor_temperature": TEMPERATURES,
    "reply_retries": st.integers(0, 9),
    "max_section_chars": st.integers(1, 9000),
    "n": st.integers(2, 9),
}
VALUES = NUMBERS | {
    "mode": st.sampled_from(list(MODES)),
    "gate": st.sampled_from(GATES),
    "edit_preamble": st.booleans(),
    "layout": st.sampled_from(list(LAYOUTS)),
    "score_rule": st.sampled_from(SCORE_RULES),
    "rationale": st.booleans(),
    "fallback": st.sampled_from([None, "integer"]),
}


@st.composite
def configs(draw):
    mode = MODES[draw(VALUES["mode"])]
    gate = draw(VALUES["gate"])
    plain = {name: draw(VALUES[name]) for name in NUMBERS if name not in ("tolerance", "n")}
    return MOGradConfig(
        mode=mode,
        gate=make_gate(gate, draw(VALUES["tolerance"]) if gate == "criterion" else 0.0),
        edit_preamble=mode.name != "SSS" and draw(st.booleans()),
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
