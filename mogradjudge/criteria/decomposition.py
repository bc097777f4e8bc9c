"""The decomposition modes: which criteria share a call at each stage."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self, TypeAlias

from mogradjudge.criteria import Group
from mogradjudge.criteria.partition import Scope, inside, nests, scope_named
from mogradjudge.errors import SetupError
from mogradjudge.settings import MODES as MODE_NAMES
from mogradjudge.settings import Pooling

_EXAMPLE: Group = ("fluency", "relevance", "coherence", "consistency")
_LETTERS: Final = MappingProxyType({it.value: it for it in (Scope.SEPARATE, Scope.COMBINED)})
_STAGES = 3
_ROUTED = ("SCS", "CCS")
"""The modes that need routing."""


@dataclass(frozen=True)
class StageCalls:
    """Calls of one step to the critic, the coach and the editor, when nothing is left out."""

    loss: int
    gradient: int
    optimizer: int

    @property
    def total(self) -> int:
        """Calls of all three stages; without the judge's and the gate's."""
        return self.loss + self.gradient + self.optimizer


@dataclass(frozen=True)
class DecompositionMode:
    """The scope of each stage, in the order in which the stages run.

    Args:
        loss: Which criteria share a call to the critic.
        gradient: Which share one to the coach.
        optimizer: Which share one to the editor.
        routing: Whether an editor gets just those units of a gradient that name its criteria, so
            that the optimizer's groups may be finer than the gradient's.

    Raises:
        SetupError: If a stage parts criteria that the stage before it joined.

    Example:
        >>> DecompositionMode.parse("SCC").calls(batch_size=3, criteria=("clarity", "tone"))
        StageCalls(loss=6, gradient=1, optimizer=1)
    """

    loss: Scope
    gradient: Scope
    optimizer: Scope
    routing: bool = False

    def __post_init__(self) -> None:
        criteria = self.criteria or _EXAMPLE
        self.check(criteria)
        # Text written for several criteria cannot be cut back into one text per criterion; units
        # of advice can, for each names its own.
        pairs = [(self.loss, self.gradient), (self.gradient, self.optimizer)]
        for before, after in pairs[:1] if self.routing else pairs:
            if not nests(before, after, criteria):
                raise SetupError(
                    f"No stage can part criteria that the stage before it joined, got mode "
                    f"{self.name!r}. Valid modes: {', '.join(MODE_NAMES)}, partitions that nest, "
                    "and with `routing` a finer optimizer."
                )

    @classmethod
    def parse(cls, text: str, *, routing: bool = False) -> Self:
        """Read a mode: three letters, or the scopes of loss, gradient and optimizer.

        Raises:
            SetupError: If ``text`` is no mode.

        >>> DecompositionMode.parse("S > fluency+style | relevance > C").gradient.value
        'fluency+style | relevance'
        """
        is_named = text in MODE_NAMES or (routing and text in _ROUTED)
        split = text.split(">") if isinstance(text, str) else []
        stages = list(text) if is_named else split
        if len(stages) != _STAGES:
            raise SetupError(
                f"`mode` must be one of {', '.join(MODE_NAMES)}, got {text!r}; or have three "
                f"stages, as 'S > fluency+style | relevance > C'.{_hint(text)}"
            )
        loss, gradient, optimizer = (
            scope_named(stage.strip(), "mode", _LETTERS) for stage in stages
        )
        return cls(loss, gradient, optimizer, routing)

    @property
    def scopes(self) -> tuple[Scope, Scope, Scope]:
        """The scope of each stage."""
        return self.loss, self.gradient, self.optimizer

    @property
    def name(self) -> str:
        """The three letters, as in ``"SSC"``; with a partition, the scopes with ``>`` between."""
        joint = " > " if self.criteria else ""
        return joint.join(scope.value for scope in self.scopes)

    @property
    def criteria(self) -> Group:
        """The criteria that its partitions name; none if it has the two ends alone."""
        return next((scope.names for scope in self.scopes if scope.names), ())

    def check(self, criteria: Group) -> None:
        """Check that each partition is one of these criteria.

        Raises:
            SetupError: If one leaves a criterion out, or names another.
        """
        for scope in self.scopes:
            scope.check(criteria, "mode")

    def calls(self, batch_size: int, criteria: Group, pool: Pooling = "batch") -> StageCalls:
        """Count the calls of one step: per (example, group), per group, per group.

        With ``pool="example"``, as in the paper, the gradient's calls are per (example, group) too.
        """
        return StageCalls(
            loss=batch_size * len(self.loss.groups(criteria)),
            gradient=(1 if pool == "batch" else batch_size) * len(self.gradient.groups(criteria)),
            optimizer=len(self.optimizer.groups(criteria)),
        )

    def describe(
        self, criteria: Group | None = None, batch_size: int = 3, pool: Pooling = "batch"
    ) -> str:
        """Describe one step: what each stage's calls are told, and what they are not told.

        Names in backticks are input fields of the stages' prompts. The counts hold if nothing is
        left out (a text without a human score costs no critique) and no call is repeated.

        Args:
            criteria: The names of the criteria, at least one and each once. Default: those of its
                partitions, or those of SummEval.
            batch_size: Texts per step, at least 1.
            pool: What the coach reads at once, as the setting says.

        Returns:
            Plain text in lines of at most 100 characters.

        Raises:
            SetupError: If the criteria or the batch size break these rules.

        Example:
            >>> text = MODES["SSC"].describe(("clarity", "tone"), batch_size=3)
            >>> "loss: 6 calls to the critic" in text
            True
        """
        criteria = (self.criteria or _EXAMPLE) if criteria is None else criteria
        if isinstance(criteria, str) or not criteria or len(set(criteria)) < len(criteria):
            raise SetupError(f"`criteria` must be one name or more, each once, got {criteria!r}.")
        if type(batch_size) is not int or batch_size < 1:
            raise SetupError(f"`batch_size` must be a whole number >= 1, got {batch_size!r}.")
        self.check(tuple(criteria))
        return "\n".join(_description(self, tuple(criteria), batch_size, pool))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class _Stage:
    """What the calls of a stage have in common in every mode."""

    name: str
    role: str
    record: str
    inputs: str
    withheld: str
    reads: str = ""  # the field that holds the records of the stage before
    per_text: bool = True


_Before: TypeAlias = tuple[_Stage, tuple[Group, ...]]
"""The stage before, and the groups of its calls."""

_CRITIC = _Stage(
    name="loss",
    role="critic",
    record="critique",
    inputs="`example` (what the judge read), `results` (its scores beside the expected ones), ",
    withheld="agreement on the validation texts",
)
_COACHES: Mapping[Pooling, _Stage] = MappingProxyType(
    {
        "batch": _Stage(
            name="gradient",
            role="coach",
            record="gradient",
            inputs="`texts` (the batch, abridged), `errors_made` (how often, how far), "
            "`edits_tried` (and their effects), ",
            withheld="the validation texts",
            reads="critiques",
            per_text=False,
        ),
        "example": _Stage(
            name="gradient",
            role="coach",
            record="gradient",
            inputs="",
            withheld="the text itself and its scores",
            reads="critiques",
        ),
    }
)
_EDITOR = _Stage(
    name="optimizer",
    role="editor",
    record="edit",
    inputs="`edits_tried` (and their effects), ",
    withheld="the texts, their scores and the critiques",
    reads="advice",
    per_text=False,
)
_STANDING = "`task` (the preamble), `criteria` (meanings), `current_instructions` (sections)"


def _description(
    mode: DecompositionMode, criteria: Group, batch_size: int, pool: Pooling
) -> Iterator[str]:
    counted = mode.calls(batch_size, criteria, pool)
    calls = (counted.loss, counted.gradient, counted.optimizer)
    stages = (_CRITIC, _COACHES[pool], _EDITOR)
    by_role = ", ".join(
        f"{number} by the {stage.role}" for stage, number in zip(stages, calls, strict=True)
    )
    yield _wrapped(
        f"{mode}, one step on {_count(batch_size, 'text')} with {_criteria(len(criteria))} "
        f"({', '.join(criteria)}): {_count(counted.total, 'call')}, {by_role}. The judge's calls "
        "come before them and the gate's after, equal in every mode. The calls of a stage are in "
        "flight together, up to `num_threads`; a stage waits for the whole stage before it."
    )
    before: _Before | None = None
    for stage, scope, number in zip(stages, mode.scopes, calls, strict=True):
        groups = scope.groups(criteria)
        yield ""
        yield f"{stage.name}: {_count(number, 'call')} to the {stage.role}"
        yield _row("one per", f"{'text and ' if stage.per_text else ''}group: {_listed(groups)}")
        shown = max(groups, key=len)
        if len(shown) > min(map(len, groups)):
            yield _row("shown is", f"the call on {', '.join(shown)}")
        yield from _passes(stage, shown, before, criteria, batch_size)
        before = stage, groups
    yield ""
    yield "what the mode risks"
    yield from _risks(mode, criteria)


def _passes(
    stage: _Stage, group: Group, before: _Before | None, criteria: Group, batch_size: int
) -> Iterator[str]:
    """Describe one call, about ``group``; a stage's calls differ in their group alone."""
    its = _criteria(len(group), one="")
    yield _row("is told", f"{stage.inputs}{_STANDING} of its {its}")
    if before is not None:
        yield _row("reads", _records_read(stage, group, before, batch_size))
    yield _row("is not told", "; ".join(_hidden(stage, group, criteria, batch_size)))
    if stage is not _EDITOR:
        yield _row("writes", f"1 {stage.record}, on its {its}")
    else:
        yield _row(
            "can change",
            f"{_count(len(group), 'section')}, of its {its}, as far as the advice wants them "
            "changed, and nothing else: meanings, scales, output format and, without "
            "`edit_preamble`, the preamble stay",
        )


def _records_read(stage: _Stage, group: Group, before: _Before, batch_size: int) -> str:
    """Count the records of the stage before that a call about ``group`` reads."""
    earlier, all_groups = before
    groups = [other for other in all_groups if set(other) & set(group)]
    texts, of = (1, "of its text") if stage.per_text else (1, "of the whole batch")
    if earlier.per_text and not stage.per_text:
        texts, of = batch_size, f"of {_count(batch_size, 'text')}"
    records = _count(len(groups) * texts, earlier.record)
    sizes = sorted({len(other) for other in groups})
    each = f"{' or '.join(map(str, sizes))} criteria" if sizes[1:] else _criteria(sizes[0])
    routed = "" if inside(groups[0], group) else "; of these, the units that name its criteria"
    return f"`{stage.reads}`: {records} {of}, on {each} each{routed}"


def _hidden(stage: _Stage, group: Group, criteria: Group, batch_size: int) -> Iterator[str]:
    if others := len(criteria) - len(group):
        yield f"the other {_criteria(others, one='')}"
    if stage.per_text and batch_size > 1:
        yield "the batch's other texts"
    yield stage.withheld


def _risks(mode: DecompositionMode, criteria: Group) -> Iterator[str]:
    sizes = {
        stage.record: max(map(len, scope.groups(criteria)))
        for stage, scope in ((_CRITIC, mode.loss), (_COACHES["batch"], mode.gradient))
    }
    shared = [record for record, size in sizes.items() if size > 1]
    edited = max(map(len, mode.optimizer.groups(criteria)))
    dilution = "each critique and each gradient is about one criterion alone"
    if shared:
        every = " and ".join(f"each {record}" for record in shared)
        dilution = f"{every} speaks about {_criteria(max(sizes.values()))} in one text"
    interference = f"an editor reads all {_count(edited, 'section')} and can make them consistent"
    if len(criteria) == 1:
        interference = "there is only one section"
    elif edited < len(criteria):
        interference = (
            f"an editor reads {edited} of {len(criteria)} sections, and the judge in its combined "
            "layout all in one prompt: no call made them consistent"
        )
    yield _row("dilution", dilution)
    yield _row("interference", interference)
    yield _row("all or none", "the gate decides about all edits of the step together")


def _hint(text: object) -> str:
    if isinstance(text, str) and text.strip().upper() in MODE_NAMES:
        return f" Write it as {text.strip().upper()!r}."
    if text in _ROUTED:
        return " It needs `routing`."
    return " Give a metric as objectives=[Objective.from_metric(...)]." * callable(text)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _criteria(number: int, one: str = "1 ") -> str:
    return f"{one}criterion" if number == 1 else f"{number} criteria"


def _listed(groups: tuple[Group, ...]) -> str:
    return " | ".join(", ".join(group) for group in groups)


def _row(label: str, text: str) -> str:
    return _wrapped(f"  {label:<14}{text}", 16)


def _wrapped(text: str, indent: int = 0) -> str:
    return textwrap.fill(text, 100, subsequent_indent=" " * indent, break_on_hyphens=False)


MODES = MappingProxyType({name: DecompositionMode.parse(name) for name in MODE_NAMES})
"""The four modes by name, from nothing shared to all; see `DecompositionMode.describe`."""
