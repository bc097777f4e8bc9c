"""Defines every setting once: its name, type, default, range and help, and how it is searched.

A setting is one field of `RunFields`, `GateFields` or `JudgeFields`. Derived from these fields are
those of `MOGradConfig` and `JudgeSettings`, the arguments of `MOGrad`, the command line's options
and their help, the keys of ``--config`` files, the parameters of a `SearchSpace`, the fingerprint
by which a run is resumed, and the settings that a report lists.
"""

# ruff: noqa: RUF009, FBT003 - `default` declares a field, as `dataclasses.field` does

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args, get_type_hints

from mogradjudge.settings.setting import Condition, Setting, completed, default

Auto: TypeAlias = Literal["light", "medium", "heavy"]
Predictors: TypeAlias = Literal["all", "round_robin"] | Sequence[str]
Level: TypeAlias = Literal["pooled", "group"]
Measure: TypeAlias = Literal["spearman", "kendall", "qwk", "mae", "accuracy"]
Layout: TypeAlias = Literal["combined", "separate"] | str
"""A text besides these two is a partition of the criteria."""
Race: TypeAlias = Literal["blocks", "off"]
Parent: TypeAlias = Literal["last", "pareto"]
Choose: TypeAlias = Literal["mean", "worst"]
Mix: TypeAlias = Literal["race", "off"]
Confirm: TypeAlias = Literal["report", "require", "off"]
Protocol: TypeAlias = Literal["paper"]
Sampling: TypeAlias = Literal["disagreement", "uniform"]
Pooling: TypeAlias = Literal["batch", "example"]
Resolve: TypeAlias = Literal["none", "project", "prioritize"]
SkipTolerance: TypeAlias = float | Literal["data"] | None
ScoreRule: TypeAlias = Literal["integer", "expected", "mean_of_n"]

MODES: Final = ("SSS", "SSC", "SCC", "CCC")
GATES: Final = ("mean", "criterion", "none")
"""The names of the gates in `mogradjudge.stages.gate`."""
SCORE_RULES: Final[tuple[ScoreRule, ...]] = get_args(ScoreRule)
AUTO_STEPS: Final[Mapping[str, int]] = MappingProxyType({"light": 6, "medium": 12, "heavy": 24})
"""Steps by level of effort; the paper runs 12."""

PROTOCOLS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "paper": {
            "sampling": "uniform",
            "pool": "example",
            "skip_tolerance": None,
            "gate": "mean",
            "race": "off",
            "mix": "off",
            "confirm": "off",
            "measure": "spearman",
            "batch_size": 3,
        }
    }
)
"""Settings that go together, by the name of their protocol."""

SAMPLERS: Final = ("tpe", "nsga2", "random", "grid")
PRUNERS: Final = ("none", "median")
VALUES: Final = ("agreement", "criteria", "calls_per_text", "tokens_per_text")
"""What a search can optimize: mean agreement, that of each criterion; the costs of a text."""
TIMEOUT: Final = 120.0
"""Seconds to wait for the next bytes of a reply before a call has failed."""


_COMBINED = tuple(mode for mode in MODES if mode.endswith("C"))
_LAYOUTS = ("combined", "separate")


@dataclass(frozen=True)
class RunFields:
    """The settings of a run; in `MOGradConfig`, mode, gate and budget are objects.

    A setting comes after the one that its condition refers to.

    >>> RunFields.batch_size
    8
    """

    mode: Any = default(
        "SSC",
        Setting(
            "Letters for critic, coach, editor: S = one call per criterion, C = one for all; or a "
            "partition for each, as 'S > fluency+style | relevance > C'.",
            names=MODES,
            other="PARTITIONS",
            tried=MODES,
        ),
    )
    routing: bool = default(
        False,
        Setting(
            "Let an editor read just those units of advice that name its criteria, so that its "
            "groups may be finer than the coach's, as in SCS and CCS."
        ),
    )
    steps: int = default(AUTO_STEPS["light"], Setting("Optimization steps.", low=1))
    batch_size: int = default(8, Setting("Texts per step.", low=1, between=(1, 8)))
    sampling: Sampling = default(
        "disagreement",
        Setting(
            "disagreement: draw texts that the judge gets wrong, from up to 48 texts that it "
            "scores once; uniform: draw by chance, as in the paper.",
        ),
    )
    seed: int = default(
        0,
        Setting("Seed of splits and batches, and of what critic, coach and editor sample.", low=0),
    )
    gate: Any = default(
        "mean",
        Setting(
            "mean: reject if the mean falls; criterion: if one falls by over --tolerance; none: "
            "never.",
            names=GATES,
            tried=GATES,
        ),
    )
    proposals: int = default(
        1,
        Setting(
            "Steps taken side by side from the same instructions; the best rewrite is accepted.",
            low=1,
            high=32,
        ),
    )
    parent: Parent = default(
        "last",
        Setting(
            "What a step rewrites. last: the instructions that were accepted last; pareto: those "
            "that do best on a criterion or in the mean, drawn by chance.",
        ),
    )
    race: Race = default(
        "blocks",
        Setting(
            "blocks: stop scoring a rewrite once it is unlikely to be accepted; off: score each "
            "on all validation texts.",
        ),
    )
    mix: Mix = default(
        "race",
        Setting(
            "race: where a rewrite is clearly better on one criterion and worse on another, score "
            "the better sections alone; off: only where that takes no call (separate layout).",
        ),
    )
    choose: Choose = default(
        "mean",
        Setting("Return the highest mean agreement, or the highest one on the worst criterion."),
    )
    confirm: Confirm = default(
        "report",
        Setting(
            "Score the best rewrite on texts that chose nothing. report: return it if it is ahead "
            "there; require: only if that is confirmed; off: no such texts are set aside.",
            searched=False,  # a search sets texts aside of its own
        ),
    )
    pool: Pooling = default(
        "batch",
        Setting(
            "The coach reads all critiques of a batch at once, or those of one text at a time, as "
            "in the paper.",
        ),
    )
    resolve: Resolve = default(
        "none",
        Setting(
            "Let the coach look for advice on different criteria that would undo each other in one "
            "prompt (a further call). project: rewrite both without the harm (one more call); "
            "prioritize: serve the criterion farthest below its ceiling; none: do not look.",
        ),
    )
    skip_tolerance: SkipTolerance = default(
        "data",
        Setting(
            "Write no critique for a score this close to the human one; data: as close as half a "
            "step, or as the raters' standard error where their ratings are known.",
            low=0,
            high=1,
        ),
    )
    critic_temperature: float | None = default(
        0.3, Setting("The critic's temperature; none sends no temperature.", low=0, part="writers")
    )
    coach_temperature: float | None = default(
        0.3, Setting("The coach's temperature; none sends no temperature.", low=0, part="writers")
    )
    editor_temperature: float | None = default(
        0.7,
        Setting(
            "The editor's temperature; none sends no temperature.",
            low=0,
            part="writers",
            between=(0.0, 1.0),
        ),
    )
    thinking: bool = default(
        False,
        Setting("Let critic, coach and editor reason before they answer.", part="writers"),
    )
    edit_preamble: bool = default(
        False,
        Setting(
            "Let the editor rewrite the preamble too.",
            condition=Condition("mode", _COMBINED, otherwise=False, ending=" > C"),
        ),
    )
    predictors: Predictors = default(
        "all",
        Setting(
            'Whose sections a step edits: "all"; each in turn, one a step ("round_robin"); or '
            "those of these names. The whole program is always run and scored.",
            option=False,
            searched=False,  # a search is of judges, and a judge's predictors are its criteria
        ),
    )
    reply_retries: int = default(
        2,
        Setting(
            "Retries after an unusable reply of critic, coach or editor.", low=0, part="writers"
        ),
    )
    max_section_chars: int = default(
        2000,
        Setting("Maximum characters of a section that the editor writes.", low=1, part="writers"),
    )
    # To search these two would choose how the result is measured, not improve it.
    measure: Measure = default(
        "spearman",
        Setting(
            "How agreement with people is measured: rank correlation, quadratic weighted kappa, "
            "1 - mean absolute error / scale width, or accuracy of rounded scores. A criterion's "
            "own `measure` in the rubric wins.",
            searched=False,
        ),
    )
    level: Level = default(
        "pooled", Setting("Agreement over all texts, or the mean over groups.", searched=False)
    )
    budget: Any = default(
        None,
        Setting(
            "Caps on calls, tokens, dollars and time.", part="free", option=False, searched=False
        ),
    )
    target: float | None = default(
        None,
        Setting(
            "Stop once the best mean agreement is at least this.",
            low=-1,
            high=1,
            part="free",
            searched=False,
        ),
    )
    patience: int | None = default(
        None,
        Setting(
            "Stop after this many steps without improvement.", low=1, part="free", searched=False
        ),
    )
    num_threads: int = default(
        8, Setting("LM calls sent at the same time.", low=1, part="free", searched=False)
    )
    max_rpm: int | None = default(
        None,
        Setting(
            "Send at most this many LM calls in any minute.", low=1, part="free", searched=False
        ),
    )


@dataclass(frozen=True)
class GateFields:
    """The settings of gates; each gate has those that its class names.

    >>> GateFields().tolerance
    0.0
    """

    tolerance: float = default(
        0.0,
        Setting(
            "How much a criterion may fall with --gate criterion.",
            low=0,
            part="gate",
            tried=(0.0, 0.05, 0.1),
            condition=Condition("gate", ("criterion",), 0.0),
        ),
    )


@dataclass(frozen=True)
class JudgeFields:
    """The settings of a judge; `MultiCriteriaJudge` says more about each.

    >>> JudgeFields().layout
    'combined'
    """

    layout: Layout = default(
        "combined",
        Setting(
            "One call for all criteria, one call for each, or one for each group of a partition, "
            "as 'fluency+style | relevance'.",
            other="PARTITION",
            part="judge",
            tried=_LAYOUTS,
        ),
    )
    score_rule: ScoreRule = default(
        "integer",
        Setting(
            "integer: as written; expected: weighted by probabilities; mean_of_n: average of "
            "several replies.",
            part="judge",
        ),
    )
    n: int = default(
        1,
        Setting(
            "Samples per text with mean_of_n.",
            low=1,
            high=100,  # each is a call for each text
            part="judge",
            condition=Condition("score_rule", ("mean_of_n",), 1),
        ),
    )
    rationale: bool = default(
        False, Setting("Let the judge write reasons before its scores.", part="judge")
    )
    fallback: Literal["integer"] | None = default(
        None,
        Setting(
            "What replaces an expected score that cannot be computed.",
            part="judge",
            condition=Condition("score_rule", ("expected",), None),
        ),
    )


def _settings_of(owner: type) -> Iterator[tuple[str, Setting]]:
    """List the settings that a class declares; the gates' settings follow the gate."""
    hints = get_type_hints(owner)
    for own in fields(owner):
        yield own.name, completed(own, hints[own.name])
        if own.name == "gate":
            yield from _settings_of(GateFields)


def _where(holds: Callable[[Setting], bool]) -> tuple[str, ...]:
    return tuple(name for name, setting in SETTINGS.items() if holds(setting))


def _searched(settings: Mapping[str, Setting]) -> Mapping[str, Setting]:
    return MappingProxyType(
        {name: setting for name, setting in settings.items() if setting.searched}
    )


RUN_SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(dict(_settings_of(RunFields)))
JUDGE_SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(dict(_settings_of(JudgeFields)))
SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType({**RUN_SETTINGS, **JUDGE_SETTINGS})

CONFIG_PARAMETERS: Final = _searched(RUN_SETTINGS)
"""The settings of a `MOGradConfig` that a search may vary; ``tolerance`` is the gate's."""
JUDGE_PARAMETERS: Final = _searched(JUDGE_SETTINGS)
PARAMETERS: Final = _searched(SETTINGS)

FREE: Final = _where(lambda setting: setting.part == "free")
"""The settings that affect only how fast a run is and when it ends."""
WRITERS: Final = _where(lambda setting: setting.part == "writers")
"""The settings that have no effect until critic, coach and editor have written something."""
