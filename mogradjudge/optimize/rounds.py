"""Takes a round: one step, or several side by side, whose best candidate is accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import dspy

from mogradjudge.concurrency import in_parallel
from mogradjudge.lm.ledger import totals
from mogradjudge.optimize.archive import parent_of
from mogradjudge.optimize.context import RunContext
from mogradjudge.optimize.edits import edits_tried
from mogradjudge.optimize.events import (
    Event,
    GateDecided,
    MixScored,
    Observer,
    StepEnded,
    StepStarted,
)
from mogradjudge.optimize.result import Measured, StepRecord
from mogradjudge.optimize.sampling import Batches
from mogradjudge.optimize.state import State
from mogradjudge.optimize.step import Proposal, propose
from mogradjudge.optimize.trials import Entry, Trial, Trials
from mogradjudge.programs.evaluation import name_examples

Result = TypeVar("Result")
Batch = Sequence[dspy.Example]
_TWICE = "a step beside it proposed the same"


@dataclass(frozen=True)
class Outcome:
    """What came of one step: what it rewrote, its proposal, its trial and that of its mix.

    ``winner`` is the best candidate of the whole round; None if the current instructions stay.
    """

    parent: Measured
    proposal: Proposal
    trial: Trial
    mix: Trial | None
    winner: Measured | None

    @property
    def scored(self) -> tuple[Measured, ...]:
        """The proposal and the mix, as far as they were scored."""
        trials = (self.trial,) if self.mix is None else (self.trial, self.mix)
        return tuple(trial.scored for trial in trials if trial.scored is not None)

    @property
    def accepted(self) -> Measured | None:
        """What was accepted of this step."""
        return self.winner if self.winner in self.scored else None

    @property
    def beaten_by(self) -> int | None:
        """The step of the winner, where this one's candidate passed the gate but is another."""
        passed = self.trial.passes or (self.mix is not None and self.mix.passes)
        if self.winner is None or self.accepted is not None or not passed:
            return None
        return self.winner.step


class Rounds:
    """Takes rounds of steps.

    Args:
        context: What every step works with.
        batches: The run's batches.
        trials: Scores candidates.
        notify: Is called with the events.
    """

    def __init__(
        self, context: RunContext, batches: Batches, trials: Trials, notify: Observer
    ) -> None:
        self.context = context
        self.batches = batches
        self.trials = trials
        self.notify = notify

    def take(self, batches: Mapping[int, Batch], state: State) -> State:
        """Take one step, or several side by side, and return the state after them.

        Args:
            batches: The batch of each step.
            state: The run so far.
        """
        parents = self._parents(batches, state)
        proposals = self._propose(batches, parents, state)
        trials = self._score(
            [Entry(step, it.candidate, parents[step]) for step, it in proposals.items()], state
        )
        rival = _best(trials.values(), state)
        mixes = [
            self.trials.mix(trial, parents[step], rival or parents[step], state)
            for step, trial in trials.items()
        ]
        mixed = self._score([entry for entry in mixes if entry is not None], state)
        winner = _best([*mixed.values(), *trials.values()], state)
        return self._decide(
            {
                step: Outcome(parents[step], proposal, trials[step], mixed.get(step), winner)
                for step, proposal in proposals.items()
            },
            state,
        )

    def _parents(self, batches: Mapping[int, Batch], state: State) -> dict[int, Measured]:
        """Choose what each step rewrites, and send the event that it starts."""
        config = self.context.config
        parents = {step: parent_of(step, state, config) for step in batches}
        is_last = config.parent == "last" and len(batches) == 1
        for step, batch in batches.items():
            parent = None if is_last else parents[step].step
            self.notify(StepStarted(step, tuple(name_examples(batch)), parent))
        return parents

    def _propose(
        self, batches: Mapping[int, Batch], parents: Mapping[int, Measured], state: State
    ) -> dict[int, Proposal]:
        pool, context = self.batches.pool, self.context
        history = edits_tried(state, context.slots, texts=len(self.trials.race.examples))
        return self._side_by_side(
            tuple(batches),
            lambda step, notify: propose(
                *(context, parents[step].candidate, batches[step], step, notify),
                pool=pool,
                history=history,
                agreement=parents[step].agreement,
            ),
        )

    def _score(self, entries: Sequence[Entry], state: State) -> dict[int, Trial]:
        places = {entry.step: place for place, entry in enumerate(entries)}
        return self._side_by_side(
            tuple(places),
            lambda step, notify: self.trials.score(
                entries[places[step]], entries[: places[step]], state, notify
            ),
        )

    def _side_by_side(
        self, steps: Sequence[int], work: Callable[[int, Observer], Result]
    ) -> dict[int, Result]:
        """Do a part of several steps at once; their events come step by step."""
        if len(steps) == 1:
            return {steps[0]: work(steps[0], self.notify)}
        events: dict[int, list[Event]] = {step: [] for step in steps}
        try:
            results = in_parallel(lambda step: work(step, events[step].append), steps, len(steps))
        finally:
            for event in chain(*events.values()):
                self.notify(event)
        return dict(zip(steps, results, strict=True))

    def _decide(self, outcomes: Mapping[int, Outcome], state: State) -> State:
        """Record what came of the steps."""
        calls = self.context.ledger.calls
        ended = calls, *totals(self.context.ledger.rows)
        last = state.measured[-1]
        sent = calls - state.calls  # by all steps of the round; they are booked on the last one
        for step, outcome in outcomes.items():
            record = _record(step, outcome, state, sent if step == max(outcomes) else 0)
            self._tell(record, outcome, last)
            agreement = record.agreement
            self.notify(StepEnded(step, agreement.as_dict(), *ended, agreement.deviations))
            state = state.after(record, outcome.scored, calls)
        return state

    def _tell(self, record: StepRecord, outcome: Outcome, last: Measured) -> None:
        step = record.step
        if outcome.mix is not None and (mix := outcome.mix.scored) is not None:
            is_taken = mix == outcome.accepted
            agreement = mix.agreement
            scored = agreement.as_dict(), mix.texts, agreement.deviations
            self.notify(MixScored(step, mix.sections, is_taken, *scored))
        current, texts = outcome.trial.current, record.texts
        proposed = record.proposed or current
        if outcome.accepted is not None and record.sections:  # what counts is the mix
            current, texts = outcome.parent.agreement, outcome.accepted.texts
            proposed = outcome.accepted.agreement
        self.notify(
            GateDecided(
                step=step,
                accepted=record.accepted,
                unchanged=record.proposed is None,
                current=current.as_dict(),
                proposed=proposed.as_dict(),
                unscored=proposed.unscored,
                sections=record.sections,
                beaten_by=record.beaten_by,
                current_deviations=current.deviations,
                proposed_deviations=proposed.deviations,
                parent=None if outcome.parent == last else record.parent,
                texts=texts,
                reason="" if record.proposed is not None else outcome.proposal.reason or _TWICE,
            )
        )


def _best(trials: Iterable[Trial], state: State) -> Measured | None:
    """Return the best candidate that passed the gate, the first one on a tie."""
    passing = (trial.scored for trial in trials if trial.passes)
    return max((it for it in passing if it is not None), key=state.rank, default=None)


def _record(step: int, outcome: Outcome, state: State, calls: int) -> StepRecord:
    trial, accepted = outcome.trial, outcome.accepted
    scored = trial.scored
    mix = None if outcome.mix is None else outcome.mix.scored
    return StepRecord(
        step=step,
        accepted=accepted is not None,
        agreement=(accepted or state.measured[-1]).agreement,
        proposed=None if scored is None else scored.agreement,
        calls=calls,
        skipped=len(outcome.proposal.skipped),
        texts=None if scored is None else scored.texts,
        current=trial.current,
        sections=() if accepted is None else accepted.sections,
        mixed=None if mix is None else mix.agreement,
        beaten_by=outcome.beaten_by,
        parent=outcome.parent.step,
    )
