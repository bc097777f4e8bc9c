"""One run through the steps, from the seed to the best candidate."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence

import dspy

from mogradjudge.candidate import Candidate
from mogradjudge.config import batches
from mogradjudge.errors import BudgetExhausted
from mogradjudge.evaluation import Agreement, name_examples
from mogradjudge.events import (
    Event,
    GateDecided,
    Observer,
    RunEnded,
    RunStarted,
    SeedScored,
    StepEnded,
    StepStarted,
)
from mogradjudge.gate import measures_less
from mogradjudge.result import Measured, OptimizationResult, StepRecord, StopReason
from mogradjudge.step import Workshop, measure, propose

logger = logging.getLogger(__name__)


class Run:
    """One pass through the steps; what it has found so far is on it."""

    def __init__(
        self,
        shop: Workshop,
        train: list[dspy.Example],
        validation: list[dspy.Example],
        observers: Sequence[Observer],
    ) -> None:
        self.shop = shop
        self.train = train
        self.validation = validation
        self.observers = observers
        seed = Candidate.of(shop.program)
        # The seed counts as unmeasured until it is scored, in case the budget ends before.
        self.measured = [Measured(0, seed, Agreement.unmeasured(shop.criteria))]
        self.rejected: list[Measured] = []
        self.steps: list[StepRecord] = []

    def to_the_end(self) -> OptimizationResult:
        """Take all steps, or as many as the budget and the user allow."""
        config = self.shop.config
        self.notify(
            RunStarted(
                mode=config.mode.name,
                steps=config.steps,
                criteria=self.shop.criteria,
                train=len(self.train),
                validation=len(self.validation),
            )
        )
        stop_reason: StopReason = "steps"
        try:
            self.score_seed()
            draws = batches(self.train, config.batch_size, random.Random(config.seed))
            for step, batch in zip(range(1, config.steps + 1), draws, strict=False):
                self.take(step, batch)
        except BudgetExhausted as error:
            logger.info("%s", error)
            stop_reason = "budget"
        except KeyboardInterrupt:
            stop_reason = "interrupted"
        return self.result(stop_reason)

    def score_seed(self) -> None:
        """Score the instructions that the run starts from."""
        seed = self.measured[0].candidate
        agreement = measure(self.shop, seed, self.validation)
        self.measured = [Measured(0, seed, agreement)]
        self.notify(
            SeedScored(
                agreement=agreement.as_dict(),
                undefined=agreement.undefined(),
                unscored=agreement.unscored,
                missing=agreement.missing,
                fallbacks=agreement.fallbacks,
                calls=self.shop.ledger.calls,
            )
        )

    def take(self, step: int, batch: Sequence[dspy.Example]) -> None:
        """Take one step and decide about its proposal."""
        before = self.shop.ledger.calls
        self.notify(StepStarted(step, tuple(name_examples(batch))))
        current = self.measured[-1]
        proposal = propose(self.shop, current.candidate, batch, step, self.notify)
        proposed = self.score(proposal.candidate)
        accepted = proposed is not None and self.shop.config.gate(current.agreement, proposed)
        if proposed is not None:
            kept = self.measured if accepted else self.rejected
            kept.append(Measured(step, proposal.candidate, proposed))
        agreement = self.measured[-1].agreement
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
        calls = self.shop.ledger.calls - before
        self.steps.append(
            StepRecord(step, accepted, agreement, proposed, calls, len(proposal.skipped))
        )
        self.notify(StepEnded(step, agreement.as_dict(), self.shop.ledger.calls))

    def score(self, candidate: Candidate) -> Agreement | None:
        """Score a candidate, unless it is the current one or was scored before."""
        if candidate == self.measured[-1].candidate:
            return None
        for each in (*self.measured, *self.rejected):
            if candidate == each.candidate:
                return each.agreement
        return measure(self.shop, candidate, self.validation)

    def result(self, stop_reason: StopReason) -> OptimizationResult:
        """Choose the best of what was accepted, the seed included."""
        seed = self.measured[0]
        eligible = [m for m in self.measured if not measures_less(seed.agreement, m.agreement)]
        best = max(eligible, key=lambda each: worth(each.agreement))  # the first on a tie
        seed_kept = best.candidate == seed.candidate
        self.notify(
            RunEnded(stop_reason, seed_kept, best.agreement.as_dict(), self.shop.ledger.calls)
        )
        return OptimizationResult(
            program=best.candidate.written_into(self.shop.program),
            config=self.shop.config,
            seed_agreement=seed.agreement,
            final_agreement=best.agreement,
            steps=tuple(self.steps),
            stop_reason=stop_reason,
            seed_kept=seed_kept,
            ledger=self.shop.ledger.rows,
            measured=tuple(self.measured),
        )

    def notify(self, event: Event) -> None:
        """Tell every observer."""
        for observer in self.observers:
            observer(event)


def worth(agreement: Agreement) -> float:
    """Rank by the mean; what has none comes last."""
    return float("-inf") if agreement.mean is None else agreement.mean
