"""Defines every setting once: its name, type, default, range and help, and how it is searched.

A setting is one field of `RunFields`, `GateFields` or `JudgeFields`. Derived from these fields are
those of `MOGradConfig` and `JudgeSettings`, the arguments of `MOGrad`, the command line's options
and their help, the keys of ``--config`` files, the parameters of a `SearchSpace`, the fingerprint
by which a run is resumed, and the settings that a report lists.
"""

# ruff: noqa: RUF009, FBT003 - `default` declares a field, as `dataclasses.field` does

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from numbers import Real
from types import MappingProxyType, NoneType, UnionType
from typing import (
    Any,
    Final,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from mogradjudge.errors import SetupError

Value: TypeAlias = str | int | float | bool | None
Part: TypeAlias = Literal["run", "writers", "gate", "judge", "free"]
Auto: TypeAlias = Literal["light", "medium", "heavy"]
Predictors: TypeAlias = Literal["all", "round_robin"] | Sequence[str]
Level: TypeAlias = Literal["pooled", "group"]
Layout: TypeAlias = Literal["combined", "separate"]
Race: TypeAlias = Literal["blocks", "off"]
Confirm: TypeAlias = Literal["report", "require", "off"]
ScoreRule: TypeAlias = Literal["integer", "expected", "mean_of_n"]

MODES: Final = ("SSS", "SSC", "SCC", "CCC")
GATES: Final = ("mean", "criterion", "none")
"""The names of the gates in `mogradjudge.stages.gate`."""
SCORE_RULES: Final[tuple[ScoreRule, ...]] = get_args(ScoreRule)
AUTO_STEPS: Final[Mapping[str, int]] = MappingProxyType({"light": 6, "medium": 12, "heavy": 24})
"""Steps by level of effort; the paper runs 12."""

SAMPLERS: Final = ("tpe", "nsga2", "random", "grid")
PRUNERS: Final = ("none", "median")
VALUES: Final = ("agreement", "criteria", "calls_per_text", "tokens_per_text")
"""What a search can optimize: mean agreement, that of each criterion; the costs of a text."""
TIMEOUT: Final = 120.0
"""Seconds to wait for the next bytes of a reply before a call has failed."""

T = TypeVar("T")


@dataclass(frozen=True)
class Condition:
    """When a setting has an effect: while the setting ``parent`` has one of ``values``.

    Otherwise its only allowed value is ``otherwise``.

    >>> JUDGE_SETTINGS["n"].condition
    Condition(parent='score_rule', values=('mean_of_n',), otherwise=1)
    """

    parent: str
    values: tuple[str, ...]
    otherwise: Value


@dataclass(frozen=True)
class Setting:
    """One setting; its name, type and default are those of its field.

    Args:
        help: Its meaning, in a line or two.
        low: The smallest value; None for no limit.
        high: The largest value; None for no limit.
        names: All values of a text; for a `Literal` they are taken from the type.
        part: What it affects: the whole ``"run"``; only the ``"writers"`` (critic, coach and
            editor); the ``"gate"``; the ``"judge"``; or, for ``"free"``, only how fast a run is and
            when it ends.
        option: Whether the command line has an option for it.
        searched: Whether a search may try several values.
        tried: A search's default choices; none for the base configuration's value alone.
        between: In place of choices, the ends of a search's default range.
        condition: When it has an effect; None for always.

    >>> RUN_SETTINGS["batch_size"].default
    3
    >>> RUN_SETTINGS["batch_size"].check(0)
    Traceback (most recent call last):
    mogradjudge.errors.SetupError: `batch_size` must be a whole number >= 1, got 0.
    """

    help: str
    low: int | float | None = None
    high: int | float | None = None
    names: tuple[str, ...] = ()
    part: Part = "run"
    option: bool = True
    searched: bool = True
    tried: tuple[Value, ...] = ()
    between: tuple[float, float] | None = None
    condition: Condition | None = None

    name: str = ""
    kind: type = object
    """str, int, float or bool; object for any other type."""
    optional: bool = False
    is_object: bool = False
    """Whether a `MOGradConfig` holds the object that its name stands for."""
    default: Any = None

    def check(self, value: Any) -> None:
        """Check that the setting can have a value.

        Raises:
            SetupError: If it cannot; the line names the setting.
        """
        if not self._allows(value):
            raise SetupError(f"`{self.name}` must {self._rule()}, got {value!r}.")

    def _allows(self, value: Any) -> bool:
        if value is None:
            return self.optional
        if self.names:
            return value in self.names
        if self.kind is float:
            right = isinstance(value, Real) and not isinstance(value, bool)
        else:
            right = type(value) is self.kind
        low, high = self.low, self.high
        return right and (low is None or value >= low) and (high is None or value <= high)

    def _rule(self) -> str:
        or_none = " or None" if self.optional else ""
        if self.names:
            return f"be one of {', '.join([*self.names, 'None'] if self.optional else self.names)}"
        if self.low is None:
            nouns = {str: "a text", bool: "True or False", int: "a whole number"}
            return f"be {nouns.get(self.kind, 'a number')}{or_none}"
        if self.kind is int:
            ends = f">= {self.low}" if self.high is None else f"from {self.low} to {self.high}"
            return f"be a whole number {ends}"
        if self.high is None:
            return f"be >= {self.low}{or_none}"
        return f"lie in [{self.low}, {self.high}]"


def default(value: T, setting: Setting) -> T:
    """Declare a field with its default and its setting."""
    return field(default=value, metadata={"setting": setting})


_COMBINED = tuple(mode for mode in MODES if mode.endswith("C"))


@dataclass(frozen=True)
class RunFields:
    """The settings of a run; in `MOGradConfig`, mode, gate and budget are objects.

    A setting comes after the one that its condition refers to.
    """

    mode: Any = default(
        "SSC",
        Setting(
            "Letters for critic, coach, editor: S = one call per criterion, C = one for all.",
            names=MODES,
            tried=MODES,
        ),
    )
    steps: int = default(AUTO_STEPS["light"], Setting("Optimization steps.", low=1))
    batch_size: int = default(3, Setting("Texts per step.", low=1, between=(1, 8)))
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
    race: Race = default(
        "blocks",
        Setting(
            "blocks: stop scoring a rewrite once it is unlikely to be accepted; off: score each "
            "on all validation texts.",
        ),
    )
    confirm: Confirm = default(
        "report",
        Setting(
            "Score the best rewrite on texts that chose nothing. report: return it if it is ahead "
            "there; require: only if that is confirmed; off: no such texts are set aside.",
            searched=False,  # a search sets texts aside of its own
        ),
    )
    skip_tolerance: float | None = default(
        None, Setting("Write no critique for a score this close to the human one.", low=0, high=1)
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
    edit_preamble: bool = default(
        False,
        Setting(
            "Let the editor rewrite the preamble too.",
            condition=Condition("mode", _COMBINED, otherwise=False),
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
    # To search the level would choose how the result is measured, not improve it.
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
    """The settings of gates; each gate has those that its class names."""

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
    """The settings of a judge; `MultiCriteriaJudge` says more about each."""

    layout: Layout = default(
        "combined",
        Setting(
            "One call for all criteria, or one call for each.",
            part="judge",
            tried=get_args(Layout),
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
        yield own.name, _completed(own, hints[own.name])
        if own.name == "gate":
            yield from _settings_of(GateFields)


def _completed(own: Field[Any], hint: Any) -> Setting:
    """Return a field's setting, completed by the field's name, type and default."""
    setting: Setting = own.metadata["setting"]
    union = get_origin(hint) in (Union, UnionType)
    types = [part for part in (get_args(hint) if union else (hint,)) if part is not NoneType]
    is_literal = len(types) == 1 and get_origin(types[0]) is Literal
    names = get_args(types[0]) if is_literal else setting.names
    kind = str if names else types[0] if types[0] in (str, int, float, bool) else object
    return replace(
        setting,
        name=own.name,
        kind=kind,
        names=names,
        optional=union and NoneType in get_args(hint),
        is_object=hint is Any or kind is object,
        default=own.default,
    )


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


def with_arguments(settings: Mapping[str, Setting]) -> Callable[[type[T]], type[T]]:
    """Add the settings' help to a class's docstring, as its ``Args:``.

    >>> class Judge:
    ...     pass
    >>> "n: Samples per text" in with_arguments({"n": JUDGE_SETTINGS["n"]})(Judge).__doc__
    True
    """

    def add(owner: type[T]) -> type[T]:
        own = {name: setting for name, setting in settings.items() if setting.part != "gate"}
        lines = [f"    {name}: {setting.help}" for name, setting in own.items()]
        owner.__doc__ = "\n".join([inspect.cleandoc(owner.__doc__ or ""), "", "Args:", *lines])
        return owner

    return add
