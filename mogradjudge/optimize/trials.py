"""Scores proposals on the validation texts: each in a race against the current instructions."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import dspy

from mogradjudge.criteria import Group
from mogradjudge.optimize.context import RunContext
from mogradjudge.optimize.events import CandidateScored, Observer, RaceEnded
from mogradjudge.optimize.judged_text import JudgedText
from mogradjudge.optimize.race import race_over
from mogradjudge.optimize.result import Measured
from mogradjudge.optimize.sections import is_split, with_scores_of, with_sections
from mogradjudge.optimize.state import State, rank_value
from mogradjudge.optimize.step import judge
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import Agreement, Judgement, agreement_of, asks_groups
from mogradjudge.stages.gate import that_hold


@dataclass(frozen=True)
class Trial:
    """What came of a proposal.

    ``current`` and ``proposed`` are agreements on the same texts, all of them unless ``texts`` says
    how many were read; ``proposed`` is None if nothing was proposed. ``accepted`` are the new
    current instructions, None if they stay; ``sections`` names the criteria whose sections are new
    where not all that were proposed are, and ``judged`` then holds their judgements.
    """

    current: Agreement
    proposed: Agreement | None = None
    accepted: Measured | None = None
    texts: int | None = None
    sections: Group = ()
    judged: tuple[Judgement, ...] = ()


def best_only(trials: Mapping[int, Trial]) -> dict[int, Trial]:
    """Accept only the best of the candidates that were scored side by side."""
    accepted = [trial.accepted for trial in trials.values() if trial.accepted is not None]
    best = max(accepted, key=lambda it: rank_value(it.agreement), default=None)
    return {
        step: trial
        if trial.accepted is best
        else replace(trial, accepted=None, sections=(), judged=())
        for step, trial in trials.items()
    }


class Trials:
    """Scores proposals, and keeps the judgements of all that were scored on every text.

    ``judged`` holds them by step, 0 for the initial instructions.

    Args:
        context: What every step works with.
        validation: The validation texts.
    """

    def __init__(self, context: RunContext, validation: Sequence[dspy.Example]) -> None:
        config = context.config
        self.context = context
        self.judged: dict[int, tuple[Judgement, ...]] = {}
        self._lock = threading.Lock()
        self.race = race_over(
            validation,
            context.objectives,
            config.gate,
            seed=config.seed,
            by_group=asks_groups(context.program, context.objectives),
            in_blocks=config.race != "off" and context.can_race,
            by_section=is_split(context.program) and hasattr(config.gate, "may_fall"),
        )

    def score(
        self,
        step: int,
        candidates: Mapping[int, Candidate],
        state: State,
        notify: Observer,
    ) -> Trial:
        """Score a step's candidate, unless it is the current one or is scored elsewhere.

        Args:
            step: The step.
            candidates: Its candidate, and those of the steps beside it.
            state: The run so far; its last accepted instructions are the current ones.
            notify: Is called with the events.
        """
        current, config = state.measured[-1], self.context.config
        candidate = candidates[step]
        rivals = [rival for number, rival in candidates.items() if number < step]
        if candidate == current.candidate or candidate in rivals:
            return Trial(current.agreement)
        if (known := state.known(candidate)) is not None:
            passes = known.texts is None and config.gate(current.agreement, known.agreement)
            if known.step in self.judged:
                self.judged[step] = self.judged[known.step]
            accepted = replace(known, step=step) if passes else None
            return Trial(current.agreement, known.agreement, accepted, known.texts)
        judging = partial(judge, self.context, candidate)
        raced = self.race.run(current.agreement, partial(self.held, current), judging)
        texts = JudgedText.all_of(raced.judgements, self.context.objectives)
        notify(CandidateScored(step, "validation", texts))
        trial = Trial(raced.current, raced.agreement)
        if raced.chance is not None:
            everything = len(self.race.examples)
            notify(RaceEnded(step, len(texts), everything, raced.chance))
            return replace(trial, texts=len(texts))
        self.judged[step] = raced.judgements
        if self.race.by_section:
            return self._with_winners(current, step, candidate, trial)
        passes = config.gate(raced.current, raced.agreement)
        accepted = Measured(step, candidate, raced.agreement) if passes else None
        return replace(trial, accepted=accepted)

    def _with_winners(
        self, current: Measured, step: int, candidate: Candidate, trial: Trial
    ) -> Trial:
        """Accept the sections that did no worse, where each is scored by itself."""
        assert trial.proposed is not None  # it was scored
        slots = self.context.slots
        criteria = that_hold(trial.current, trial.proposed)
        mixed = with_sections(current.candidate, candidate, slots, criteria)
        if mixed == current.candidate:
            return trial
        if mixed == candidate:
            return replace(trial, accepted=Measured(step, candidate, trial.proposed))
        pairs = zip(self.held(current), self.judged[step], strict=True)
        judged = tuple(with_scores_of(*pair, criteria) for pair in pairs)
        agreement = agreement_of(judged, self.context.objectives)
        changed = tuple(
            slot.criterion
            for slot in slots
            if slot.criterion and mixed.text(slot) != current.candidate.text(slot)
        )
        accepted = Measured(step, mixed, agreement)
        return replace(trial, accepted=accepted, sections=changed, judged=judged)

    def keep(self, step: int, trial: Trial) -> None:
        """Keep the judgements of what a step accepted, where that is not its whole proposal."""
        if trial.accepted is not None and trial.judged:
            self.judged[step] = trial.judged

    def held(self, measured: Measured) -> tuple[Judgement, ...]:
        """Return a candidate's judgements of all validation texts; a resumed run replays them."""
        with self._lock:  # several candidates may ask at once
            if measured.step not in self.judged:
                texts = self.race.examples
                self.judged[measured.step] = judge(self.context, measured.candidate, texts)
            return self.judged[measured.step]
