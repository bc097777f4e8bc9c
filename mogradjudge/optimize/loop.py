"""Runs the steps of an optimization, from the initial instructions to the best candidate."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

import dspy

from mogradjudge.errors import BudgetExhausted, RunStopped
from mogradjudge.lm.ledger import totals
from mogradjudge.optimize.context import RunContext
from mogradjudge.optimize.directory import RunDirectory
from mogradjudge.optimize.events import (
    CandidateScored,
    Event,
    GateDecided,
    Observer,
    RunEnded,
    RunResumed,
    RunStarted,
    SeedScored,
    StepEnded,
    StepStarted,
)
from mogradjudge.optimize.judged_text import JudgedText
from mogradjudge.optimize.result import (
    HeldOut,
    Measured,
    OptimizationResult,
    StepRecord,
    StopReason,
)
from mogradjudge.optimize.sampling import Batches
from mogradjudge.optimize.state import State, rank_value, unmeasured_state
from mogradjudge.optimize.step import judge, propose
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import (
    Agreement,
    agreement_of,
    check_scored,
    check_summed,
    name_examples,
)

logger = logging.getLogger(__name__)


class Run:
    """One run of the optimization.

    Args:
        context: What every step works with.
        data: The examples: ``"training"`` for batches, ``"validation"`` to compare candidates,
            ``"test"`` to score the initial and the final instructions.
        observers: Functions that are called with every event.
        folder: Where each new state is saved; None saves nothing.
        state: The state of an earlier start of this run.
    """

    def __init__(
        self,
        context: RunContext,
        data: Mapping[str, Sequence[dspy.Example]],
        observers: Sequence[Observer],
        folder: RunDirectory | None = None,
        state: State | None = None,
    ) -> None:
        self.context = context
        self.data = data
        self.observers = observers
        self.batches = Batches(context, data["training"])
        self.folder = folder
        self.state = state or State()

    def execute(self) -> OptimizationResult:
        """Take all steps, unless the budget, a limit or the user stops the run."""
        self.announce()
        stop_reason: StopReason
        try:
            stop_reason = self.take_steps()
            if self.data["test"] and self.state.test is None:
                self.score_test()
        except BudgetExhausted as error:
            logger.info("%s", error)
            stop_reason = "budget"
        except RunStopped as error:
            stop_reason = error.reason
        except KeyboardInterrupt:
            stop_signal = self.context.ledger.stop_signal
            if stop_signal.reason is not None:  # it was asked to stop before
                raise
            stop_signal.set("interrupted")  # for what still runs in the background
            stop_reason = "interrupted"
        result = self.result(stop_reason)
        if self.folder is not None:
            self.folder.finish(result.program, result.as_dict())
        return result

    def announce(self) -> None:
        """Send the event that the run starts or resumes."""
        config = self.context.config
        if self.state.measured:
            self.notify(RunResumed(len(self.state.steps), self.context.ledger.calls))
            return
        self.notify(
            RunStarted(
                mode=config.mode.name,
                steps=config.steps,
                criteria=self.context.criteria,
                train=len(self.data["training"]),
                validation=len(self.data["validation"]),
            )
        )

    def take_steps(self) -> StopReason:
        """Score the initial instructions, take the remaining steps, and return why they ended."""
        config = self.context.config
        if not self.state.measured:
            self.score_seed()
        for step, batch in islice(enumerate(self.batches, 1), len(self.state.steps), config.steps):
            if reason := self.reached_limit():
                return reason
            self.take(step, batch)
        return "steps"

    def reached_limit(self) -> StopReason | None:
        """Return whether the run has reached its target or the limit of its patience."""
        config, best = self.context.config, self.state.best
        if config.target is not None and rank_value(best.agreement) >= config.target:
            return "target"
        if config.patience is not None and self.state.idle_steps >= config.patience:
            return "patience"
        return None

    def score_seed(self) -> None:
        """Score the instructions that the run starts from."""
        seed = Candidate.of(self.context.program)
        agreement = self.measure(0, "validation", seed)
        calls = self.context.ledger.calls
        self.notify(
            SeedScored(
                agreement=agreement.as_dict(),
                undefined=agreement.undefined(),
                unscored=agreement.unscored,
                missing=agreement.missing,
                fallbacks=agreement.fallbacks,
                calls=calls,
            )
        )
        self.advance(replace(self.state, measured=(Measured(0, seed, agreement),), calls=calls))

    def score_test(self) -> None:
        """Score the initial and the final instructions on the held-out texts."""
        first, best = self.state.measured[0], self.state.best
        seed = self.measure(0, "test", first.candidate)
        is_seed = best.candidate == first.candidate
        final = seed if is_seed else self.measure(best.step, "test", best.candidate)
        self.advance(replace(self.state, test=HeldOut(len(self.data["test"]), seed, final)))

    def measure(self, step: int, split: str, candidate: Candidate) -> Agreement:
        """Score the instructions of a step, 0 for the initial ones, on the texts of a split."""
        judgements = judge(self.context, candidate, self.data[split])
        if (step, split) == (0, "validation"):
            check_scored(judgements, split)
        texts = JudgedText.all_of(judgements, self.context.objectives)
        self.notify(CandidateScored(step, split, texts))
        agreement = agreement_of(judgements, self.context.objectives)
        if (step, split) == (0, "validation"):
            check_summed(agreement, self.context.objectives, split)
        return agreement

    def take(self, step: int, batch: Sequence[dspy.Example]) -> None:
        """Take one step, and accept or reject its proposal."""
        self.notify(StepStarted(step, tuple(name_examples(batch))))
        current = self.state.measured[-1]
        proposal = propose(
            self.context, current.candidate, batch, step, self.notify, pool=self.batches.pool
        )
        proposed = self.score(step, proposal.candidate)
        accepted = proposed is not None and self.context.config.gate(current.agreement, proposed)
        agreement = proposed if accepted and proposed is not None else current.agreement
        calls = self.context.ledger.calls
        record = StepRecord(
            step, accepted, agreement, proposed, calls - self.state.calls, len(proposal.skipped)
        )
        self.notify(
            GateDecided(
                step=step,
                accepted=accepted,
                unchanged=proposed is None,
                current=current.agreement.as_dict(),
                proposed=(proposed or current.agreement).as_dict(),
                unscored=(proposed or current.agreement).unscored,
            )
        )
        self.notify(StepEnded(step, agreement.as_dict(), calls, *totals(self.context.ledger.rows)))
        self.advance(self.state.after(record, proposal.candidate, calls))

    def score(self, step: int, candidate: Candidate) -> Agreement | None:
        """Score a candidate, unless it is the current one or was scored before."""
        if candidate == self.state.measured[-1].candidate:
            return None
        return self.state.known(candidate) or self.measure(step, "validation", candidate)

    def result(self, stop_reason: StopReason) -> OptimizationResult:
        """Choose the best of the initial instructions and the accepted candidates."""
        seed = Candidate.of(self.context.program)
        state = self.state if self.state.measured else unmeasured_state(seed, self.context.criteria)
        best = state.best
        seed_kept = best.candidate == seed
        self.notify(
            RunEnded(stop_reason, seed_kept, best.agreement.as_dict(), self.context.ledger.calls)
        )
        return OptimizationResult(
            program=best.candidate.written_into(self.context.program),
            config=self.context.config,
            seed_agreement=state.measured[0].agreement,
            final_agreement=best.agreement,
            steps=state.steps,
            stop_reason=stop_reason,
            seed_kept=seed_kept,
            ledger=self.context.ledger.rows,
            measured=state.measured,
            test=state.test,
        )

    def advance(self, state: State) -> None:
        """Save a new state and make it the current one."""
        if self.folder is not None:
            self.folder.save(state, state.best.candidate.written_into(self.context.program))
        self.state = state

    def notify(self, event: Event) -> None:
        """Send an event to every observer."""
        for observer in self.observers:
            observer(event)
