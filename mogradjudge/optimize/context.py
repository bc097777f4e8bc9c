"""What every step of a run works with, checked before the first call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dspy

from mogradjudge.criteria import Group
from mogradjudge.errors import SetupError
from mogradjudge.judge.predictor import ScorePredict
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import booked
from mogradjudge.objectives import Objective, has_own_aggregate
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.programs.candidate import Brief, Candidate, Slot, find_slots, preamble_slots
from mogradjudge.programs.execution import judging
from mogradjudge.programs.structure import key_of, lms_of, works_alone
from mogradjudge.stages.role import Role, RoleMonitor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunContext:
    """What every step of a run uses: the program, the objectives, the roles and the ledger.

    ``can_race`` says that agreement can be computed as often as a race needs it: no aggregate is a
    function of the user's, which may be slow or call a model.
    """

    program: dspy.Module
    objectives: tuple[Objective, ...]
    slots: tuple[Slot, ...]
    preambles: tuple[Slot, ...]
    critic: Role
    coach: Role
    editor: Role
    config: MOGradConfig
    ledger: Ledger
    can_race: bool = True
    role_monitor: RoleMonitor = field(default_factory=RoleMonitor)

    @property
    def criteria(self) -> Group:
        """The objectives' names, in order."""
        return tuple(objective.name for objective in self.objectives)

    @property
    def with_traces(self) -> bool:
        """Whether the critic sees what each predictor did."""
        return not works_alone(self.program)

    def edited_at(self, step: int) -> tuple[str, ...]:
        """Return the paths of the predictors whose sections a step edits; the first step is 1."""
        paths = tuple(dict.fromkeys(slot.predictor for slot in self.slots))
        if self.config.predictors == "round_robin":
            return (paths[(step - 1) % len(paths)],)
        return paths

    def brief(self, current: Candidate, step: int) -> Brief:
        """Return the brief of a step; its objectives are those with a section to edit."""
        edited = self.edited_at(step)
        slots = tuple(slot for slot in self.slots if slot.predictor in edited)
        served = {slot.criterion for slot in slots}
        objectives = tuple(objective for objective in self.objectives if objective.name in served)
        return Brief(objectives, current, slots, names_predictors=self.with_traces)


def make_context(
    student: dspy.Module,
    objectives: tuple[Objective, ...],
    config: MOGradConfig,
    ledger: Ledger,
    lms: Mapping[str, dspy.BaseLM | None],
) -> RunContext:
    """Find a program's sections, and assign each role its LM.

    Args:
        student: The program.
        objectives: What is maximized.
        config: The run's settings.
        ledger: Books the calls.
        lms: The LM of each role.

    Raises:
        SetupError: If the program has no section for an objective or no predictor to edit, or if an
            LM is missing or cannot keep to the budget.
    """
    config.mode.check(tuple(objective.name for objective in objectives))
    slots = _slots(student, tuple(objective.name for objective in objectives), config)
    edited = {slot.predictor for slot in slots}
    all_preambles = preamble_slots(student) if config.edit_preamble else ()
    preambles = tuple(slot for slot in all_preambles if slot.predictor in edited)
    _check_labels([slot.label for slot in (*slots, *preambles)])
    _check_names(student)
    _warn_of_sections(student, slots)
    _check_lms(student, ledger)
    return RunContext(
        program=student,
        objectives=_booked(objectives, ledger),
        slots=slots,
        preambles=preambles,
        critic=_role("critic", lms["critic"], config.critic_temperature, config, ledger),
        coach=_role("coach", lms["coach"], config.coach_temperature, config, ledger),
        editor=_role("editor", lms["editor"], config.editor_temperature, config, ledger),
        config=config,
        ledger=ledger,
        can_race=all(map(has_own_aggregate, objectives)),
    )


def _check_labels(labels: Sequence[str]) -> None:
    """Refuse two texts of the same name: a reply could not tell them apart."""
    if clash := next((label for label in labels if labels.count(label) > 1), None):
        raise SetupError(
            f"Two texts would both be called {clash!r} in the prompts. Rename the objective or "
            "the predictor."
        )


def _check_lms(student: dspy.Module, ledger: Ledger) -> None:
    """Refuse a program without an LM, or with one that cannot keep to the budget."""
    if dspy.settings.lm is None and not all(predictor.lm for predictor in student.predictors()):
        raise SetupError("No LM is set. Call dspy.configure(lm=dspy.LM(...)) first.")
    for lm in (dspy.settings.lm, *lms_of(student).values()):
        if lm is not None:
            ledger.budget.check(lm)


def _check_names(student: dspy.Module) -> None:
    """Refuse a program two of whose predictors the critic could not tell apart."""
    known: dict[str, str] = {}
    for path, _ in student.named_predictors():
        twin = known.setdefault(key_of(path), path)
        if twin != path and not works_alone(student):
            raise SetupError(
                f"The predictors {twin!r} and {path!r} would both be called {key_of(path)!r} in "
                "the prompts. Rename one."
            )


def _warn_of_sections(student: dspy.Module, slots: tuple[Slot, ...]) -> None:
    """Warn of existing sections that will be rewritten, except a judge's."""
    candidate, predictors = Candidate.of(student), dict(student.named_predictors())
    for slot in slots:
        text = candidate.text(slot)
        if text and not isinstance(predictors[slot.predictor], ScorePredict):
            logger.warning(
                "Predictor %r already has a section %r of %d characters; it will be rewritten. "
                "End it with a line `---` to keep it.",
                slot.predictor,
                slot.criterion,
                len(text),
            )


def _chosen(student: dspy.Module, config: MOGradConfig) -> list[str]:
    paths = [path for path, _ in student.named_predictors()]
    if not isinstance(config.predictors, tuple):
        return paths
    if unknown := [name for name in config.predictors if name not in paths]:
        raise SetupError(
            f"`predictors` must name predictors of {type(student).__name__}, which has "
            f"{', '.join(map(repr, paths))}, got {', '.join(map(repr, unknown))}."
        )
    return list(config.predictors)


def _slots(student: dspy.Module, criteria: Group, config: MOGradConfig) -> tuple[Slot, ...]:
    slots = find_slots(student, criteria)
    if not student.predictors():
        raise SetupError(
            f"{type(student).__name__} has no predictor to optimize. A module that is marked "
            "_compiled is frozen: set _compiled = False."
        )
    if missing := set(criteria) - {slot.criterion for slot in slots}:
        raise SetupError(
            f"No predictor has a section for the objectives {sorted(missing)}: a judge has "
            "sections only for its criteria. Name the objectives after them."
        )
    chosen = _chosen(student, config)
    edited = tuple(slot for slot in slots if slot.predictor in chosen)
    if not edited:
        raise SetupError(
            f"None of the predictors {', '.join(map(repr, chosen))} has a section for the "
            f"objectives {', '.join(criteria)}. Name others in `predictors`."
        )
    return edited


def _role(
    name: str,
    lm: dspy.BaseLM | None,
    temperature: float | None,
    config: MOGradConfig,
    ledger: Ledger,
) -> Role:
    if lm is None:
        raise SetupError(f"No LM is set for the {name}. Give `{name}_lm` or `prompt_lm`.")
    ledger.budget.check(lm)
    return Role(
        name=name,
        lm=lm,
        temperature=temperature,
        retries=config.reply_retries,
        takes_seed="seed" in lm.supported_params,  # DSPy takes milliseconds to answer
        num_threads=config.num_threads,
        ledger=ledger,
        thinks=config.thinking,
    )


@dataclass(frozen=True)
class _Booked:
    """A function of an objective, whose LM calls are booked."""

    function: Callable[..., Any]
    ledger: Ledger
    criteria: Group

    def __call__(self, *arguments: object) -> Any:
        with booked(self.ledger, "judge", self.criteria), dspy.context(trace=[]), judging():
            return self.function(*arguments)


def _booked(objectives: tuple[Objective, ...], ledger: Ledger) -> tuple[Objective, ...]:
    """Book the LM calls of aggregate, show and labels; they are about all objectives."""
    criteria = tuple(objective.name for objective in objectives)

    def bookable(function: Any) -> Any:
        return None if function is None else _Booked(function, ledger, criteria)

    return tuple(
        replace(
            objective,
            aggregate=objective.aggregate  # of ours, it calls no model
            if has_own_aggregate(objective)
            else bookable(objective.aggregate),
            show=bookable(objective.show),
            labels=bookable(objective.labels),
        )  # scores are computed where the program runs, and booked there
        for objective in objectives
    )
