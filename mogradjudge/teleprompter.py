"""MOGrad: the DSPy optimizer that rewrites a program's instructions by textual gradients."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import dspy
from dspy.teleprompt import Teleprompter

from mogradjudge.agreement import Level
from mogradjudge.candidate import find_slots, preamble_slots
from mogradjudge.config import Auto, MOGradConfig, resolve_steps
from mogradjudge.data import check_disjoint, split_by_group
from mogradjudge.decomposition import DecompositionMode
from mogradjudge.errors import SetupError
from mogradjudge.evaluation import check_measurable, check_ratings
from mogradjudge.events import (
    Observer,
)
from mogradjudge.gate import Gate, NoMeanRegression
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.ledger import Ledger
from mogradjudge.loop import Run, worth
from mogradjudge.objectives import Objective, rubric_objectives
from mogradjudge.progress import shown_progress
from mogradjudge.result import OptimizationResult
from mogradjudge.roles import Role
from mogradjudge.step import Workshop

logger = logging.getLogger(__name__)

_VALIDATION_SHARE = 0.4  # of the training set, where no validation set is given


class MOGrad(Teleprompter):  # type: ignore[misc]  # dspy is untyped
    """Optimizes instructions for several objectives by textual gradients.

    Each step lets the program work on a batch; a critic says where it missed, a coach turns that
    into advice, an editor rewrites the sections, and a gate keeps the rewrite or not. The mode says
    which of these three speak about all criteria in one call.

    Args:
        mode: ``"SSS"``, ``"SSC"``, ``"SCC"`` or ``"CCC"``: for critic, coach and editor, one call
            per criterion (S) or one for all (C).
        objectives: What to maximize. A `MultiCriteriaJudge` brings its own, so it may be left out.
        auto: ``"light"`` (6 steps, the default), ``"medium"`` (12) or ``"heavy"`` (24).
        steps: An explicit number of steps instead.
        gate: Decides about candidates; `NoMeanRegression` if it is not given.
        critic_lm: Speaks as the critic; ``prompt_lm`` if it is not given. So for the coach and the
            editor.
        prompt_lm: Speaks for the roles without an LM of their own; ``dspy.settings.lm`` at compile
            time if it is not given.
        callbacks: DSPy callbacks of this optimizer.
        observers: Functions that are told every event (`mogradjudge.events`).
        display_progress: Whether a progress bar is shown on stderr; None shows it on a terminal.

    The other arguments are those of `MOGradConfig`.

    Raises:
        SetupError: If an argument has a value that it cannot have.
    """

    def __init__(
        self,
        mode: str | DecompositionMode = "SSC",
        *,
        objectives: Iterable[Objective] | None = None,
        auto: Auto | None = None,
        steps: int | None = None,
        batch_size: int = 3,
        seed: int = 0,
        gate: Gate | None = None,
        skip_tolerance: float | None = None,
        critic_lm: dspy.BaseLM | None = None,
        coach_lm: dspy.BaseLM | None = None,
        editor_lm: dspy.BaseLM | None = None,
        prompt_lm: dspy.BaseLM | None = None,
        critic_temperature: float | None = 0.3,
        coach_temperature: float | None = 0.3,
        editor_temperature: float | None = 0.7,
        edit_preamble: bool = False,
        reply_retries: int = 2,
        max_section_chars: int = 2000,
        level: Level = "pooled",
        max_calls: int | None = None,
        num_threads: int = 8,
        callbacks: Iterable[Any] | None = None,
        observers: Iterable[Observer] = (),
        display_progress: bool | None = None,
    ) -> None:
        super().__init__()
        self.config = MOGradConfig(
            mode=mode if isinstance(mode, DecompositionMode) else DecompositionMode.parse(mode),
            steps=resolve_steps(auto, steps),
            batch_size=batch_size,
            seed=seed,
            gate=NoMeanRegression() if gate is None else gate,
            skip_tolerance=skip_tolerance,
            critic_temperature=critic_temperature,
            coach_temperature=coach_temperature,
            editor_temperature=editor_temperature,
            edit_preamble=edit_preamble,
            reply_retries=reply_retries,
            max_section_chars=max_section_chars,
            level=level,
            max_calls=max_calls,
            num_threads=num_threads,
        )
        self.objectives = None if objectives is None else tuple(objectives)
        self.role_lms = {"critic": critic_lm, "coach": coach_lm, "editor": editor_lm}
        for name, lm in {**self.role_lms, "prompt": prompt_lm}.items():
            if lm is not None and not isinstance(lm, dspy.BaseLM):
                raise SetupError(f"`{name}_lm` must be a dspy.LM, got {lm!r}.")
        self.prompt_lm = prompt_lm
        self.callbacks = list(callbacks or [])
        self.observers = tuple(observers)
        self.display_progress = display_progress

    def compile(
        self,
        student: dspy.Module,
        *,
        trainset: Sequence[dspy.Example],
        teacher: object = None,
        valset: Sequence[dspy.Example] | None = None,
    ) -> dspy.Module:
        """Optimize and return the program, as DSPy's optimizers do; see `optimize`.

        The program carries ``detailed_results`` (the `OptimizationResult`), ``candidate_programs``
        (the best first) and ``trial_logs`` (by step). ``teacher`` is taken for DSPy's sake and not
        used.
        """
        result = self.optimize(student, trainset=trainset, valset=valset)
        program = result.program
        ranked = sorted(result.measured, key=lambda each: -worth(each.agreement))
        program.candidate_programs = [
            {
                "score": each.agreement.mean,
                "program": each.candidate.written_into(student),
                "step": each.step,
            }
            for each in ranked
        ]
        program.trial_logs = {step.step: step.as_dict() for step in result.steps}
        program.detailed_results = result
        return program

    def optimize(
        self,
        student: dspy.Module,
        *,
        trainset: Sequence[dspy.Example],
        valset: Sequence[dspy.Example] | None = None,
        ledger: Ledger | None = None,
    ) -> OptimizationResult:
        """Optimize the instructions of a program.

        Args:
            student: The program; it is not changed.
            trainset: The examples that critiques are written on.
            valset: The examples that decide about candidates. Without it, two fifths of the
                training set (by whole groups) are set aside for that.
            ledger: Books the calls and holds them to its cap; a new one with ``max_calls`` and
                ``num_threads`` if it is not given.

        Raises:
            SetupError: If the program, the examples or the LMs cannot be worked with.
            dspy.LMError: If a provider fails.
        """
        objectives = self._objectives(student)
        train, validation = self._parts(list(trainset), valset)
        if self.objectives is None:
            check_ratings(train, student.rubric, "training")
            check_ratings(validation, student.rubric, "validation")
            check_measurable(validation, student.rubric, self.config.level, "validation")
        if ledger is None:
            ledger = Ledger(self.config.max_calls, self.config.num_threads)
        shop = self._workshop(student, objectives, ledger)
        with shown_progress(self.config, display=self.display_progress) as progress:
            return Run(shop, train, validation, (*self.observers, progress)).to_the_end()

    def _objectives(self, student: dspy.Module) -> tuple[Objective, ...]:
        if self.objectives is None and isinstance(student, MultiCriteriaJudge):
            return rubric_objectives(student.rubric, self.config.level)
        if not self.objectives:
            raise SetupError(
                f"`objectives` must be given for a {type(student).__name__}; only a "
                "MultiCriteriaJudge brings its own."
            )
        names = [objective.name for objective in self.objectives]
        if len(set(names)) < len(names):
            raise SetupError(f"Each objective needs a name of its own, got {names}.")
        return self.objectives

    def _parts(
        self, trainset: list[dspy.Example], valset: Sequence[dspy.Example] | None
    ) -> tuple[list[dspy.Example], list[dspy.Example]]:
        if not trainset:
            raise SetupError("`trainset` must hold at least one example, got none.")
        for example in (*trainset, *(valset or ())):
            if not isinstance(example, dspy.Example):
                raise SetupError(f"Examples must be dspy.Example, got a {type(example).__name__}.")
        if valset is None:
            shares = (1 - _VALIDATION_SHARE, _VALIDATION_SHARE)
            trainset, validation = split_by_group(trainset, shares, seed=self.config.seed)
        elif not valset:
            raise SetupError("`valset` must hold at least one example, got none.")
        else:
            validation = list(valset)
        check_disjoint(trainset, validation, ("training", "validation"))
        return trainset, validation

    def _workshop(
        self, student: dspy.Module, objectives: tuple[Objective, ...], ledger: Ledger
    ) -> Workshop:
        criteria = tuple(objective.name for objective in objectives)
        slots = find_slots(student, criteria)
        if not slots:
            raise SetupError(
                f"{type(student).__name__} has no predictor to optimize; one whose module is "
                "marked _compiled is frozen."
            )
        homeless = set(criteria) - {slot.criterion for slot in slots}
        if homeless:
            raise SetupError(
                f"No predictor has a section for the objectives {sorted(homeless)}: a judge has "
                "sections for its criteria alone."
            )
        preambles = preamble_slots(student) if self.config.edit_preamble else ()
        labels = [slot.label for slot in (*slots, *preambles)]
        if clash := next((label for label in labels if labels.count(label) > 1), None):
            raise SetupError(
                f"Two texts would both be called {clash!r} in the prompts. Rename the objective or "
                "the predictor."
            )
        unpinned = any(predictor.lm is None for _, predictor in student.named_predictors())
        if unpinned and dspy.settings.lm is None:
            raise SetupError("No LM is set. Call dspy.configure(lm=dspy.LM(...)) first.")
        return Workshop(
            program=student,
            objectives=objectives,
            slots=slots,
            preambles=preambles,
            critic=self._role("critic", self.config.critic_temperature, ledger),
            coach=self._role("coach", self.config.coach_temperature, ledger),
            editor=self._role("editor", self.config.editor_temperature, ledger),
            config=self.config,
            ledger=ledger,
        )

    def _role(self, name: str, temperature: float | None, ledger: Ledger) -> Role:
        lm = self.role_lms[name] or self.prompt_lm or dspy.settings.lm
        if lm is None:
            raise SetupError(f"No LM is set for the {name}. Give `{name}_lm` or `prompt_lm`.")
        return Role(
            name=name,
            lm_for=lambda criteria: ledger.meter(lm, name, criteria),
            temperature=temperature,
            retries=self.config.reply_retries,
            takes_seed="seed" in lm.supported_params,  # DSPy takes milliseconds to say
            num_threads=self.config.num_threads,
        )
