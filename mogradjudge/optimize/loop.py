"""Runs the steps of an optimization, from the initial instructions to the best candidate."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from mogradjudge.errors import BudgetExhausted, RunStopped
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.budget import Spent
from mogradjudge.lm.ledger import totals
from mogradjudge.lm.media import plain
from mogradjudge.objectives import measures_of
from mogradjudge.optimize.confirmation import Confirmation, confirmed
from mogradjudge.optimize.context import RunContext
from mogradjudge.optimize.datasets import RunData
from mogradjudge.optimize.directory import RunDirectory
from mogradjudge.optimize.events import (
    CandidateScored,
    Event,
    Observer,
    ResultConfirmed,
    RunEnded,
    RunResumed,
    RunStarted,
    SeedScored,
)
from mogradjudge.optimize.progress import scoring_shown
from mogradjudge.optimize.result import (
    HeldOut,
    Measured,
    OptimizationResult,
    Selection,
    StopReason,
)
from mogradjudge.optimize.rounds import Rounds
from mogradjudge.optimize.sampling import Batches
from mogradjudge.optimize.selection import corrected_gain
from mogradjudge.optimize.state import State, rank_value
from mogradjudge.optimize.step import judge
from mogradjudge.optimize.trials import Trials
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.checks import check_scored, check_summed
from mogradjudge.programs.evaluation import (
    Agreement,
    Judgement,
    agreement_of,
)
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.scoring.ceilings import ceilings_of, has_ratings

logger = logging.getLogger(__name__)

_ROOM = 1.25  # the confirmation's texts may be longer than those before


class Run:
    """One run of the optimization.

    Args:
        context: What every step works with.
        data: The examples: ``"training"`` for batches, ``"validation"`` to compare candidates,
            ``"confirmation"`` to compare the best with the initial instructions, ``"test"`` to
            score the initial and the final instructions.
        observers: Functions that are called with every event.
        folder: Where each new state is saved; None saves nothing.
        state: The state of an earlier start of this run.
    """

    def __init__(
        self,
        context: RunContext,
        data: RunData,
        observers: Sequence[Observer],
        folder: RunDirectory | None = None,
        state: State | None = None,
    ) -> None:
        self.context = context
        self.parts = data.parts
        self.needed = data.needed
        self.observers = observers
        self.batches = Batches(context, data.parts["training"])
        self.folder = folder
        self.state = state or State(choose=context.config.choose)
        self.cap: str | None = None  # that ended the steps
        self.trials = Trials(context, self.parts["validation"])
        self.rounds = Rounds(context, self.batches, self.trials, self.notify)

    def execute(self) -> OptimizationResult:
        """Take all steps, unless the budget, a limit or the user stops the run."""
        self.announce()
        stop_reason: StopReason
        try:
            stop_reason = self.take_affordable_steps()
            if self.state.confirmation is None:
                self.confirm()
            if self.parts["test"] and self.state.test is None:
                self.score_test()
        except BudgetExhausted as error:
            logger.info("%s", error)
            stop_reason, self.cap = "budget", error.cap
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
                train=len(self.parts["training"]),
                validation=len(self.parts["validation"]),
                confirmation=len(self.parts["confirmation"]),
                measures=measures_of(self.context.objectives),
            )
        )

    def take_affordable_steps(self) -> StopReason:
        """Take the steps, as far as the budget leaves enough to confirm their result."""
        ledger = self.context.ledger
        try:
            return self.take_steps()
        except BudgetExhausted as error:
            if not ledger.reserve:
                raise
            logger.info("%s", error)
            self.cap = error.cap
            return "reserve"
        finally:
            ledger.set_aside(None)

    def scoring_of(self, split: str) -> Spent | None:
        """Return what one scoring of a split spends, going by the judge's calls so far."""
        texts = len(self.parts[split])
        rows = [row for row in self.context.ledger.rows if row.role == "judge"]
        calls = sum(row.calls for row in rows)
        if not texts or not calls:
            return None
        program = self.context.program
        per_text = (
            program.calls_per_text
            if isinstance(program, MultiCriteriaJudge)
            else len(program.predictors())
        )
        tokens, cost = totals(rows)
        share = _ROOM * texts * per_text / calls
        return Spent(texts * per_text, math.ceil(share * tokens), share * (cost or 0.0))

    def take_steps(self) -> StopReason:
        """Score the initial instructions, take the remaining steps, and return why they ended."""
        config = self.context.config
        if not self.state.measured:
            self.score_seed()
        first, reserve = (self.scoring_of(name) for name in ("validation", "confirmation"))
        self.context.ledger.set_aside(reserve and reserve + reserve, first or Spent())
        steps = self.batches.steps(len(self.state.steps), config.steps)
        while batch := dict(islice(steps, config.proposals)):
            if reason := self.reached_limit():
                return reason
            self.advance(self.rounds.take(batch, self.state))
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
        judgements = self.judge(0, "validation", seed)
        check_scored(judgements, "validation")
        self.trials.judged[seed] = judgements
        agreement = agreement_of(judgements, self.context.objectives)
        check_summed(agreement, self.context.objectives, "validation")
        calls = self.context.ledger.calls
        self.notify(
            SeedScored(
                agreement=agreement.as_dict(),
                undefined=agreement.undefined(),
                unscored=agreement.unscored,
                missing=agreement.missing,
                fallbacks=agreement.fallbacks,
                calls=calls,
                deviations=agreement.deviations,
            )
        )
        self.advance(replace(self.state, measured=(Measured(0, seed, agreement),), calls=calls))

    def confirm(self) -> None:
        """Compare the best with the initial instructions on texts that chose neither."""
        confirmation = self.untested()
        judged: tuple[Judgement, ...] = ()
        if confirmation.verdict == "not reached":
            first, best = self.state.measured[0], self.state.best
            seed, final = (
                self.judge(measured.step, "confirmation", measured.candidate)
                for measured in (first, best)
            )
            required = self.context.config.confirm == "require"
            compared = tuple(dict.fromkeys((*self.state.compared, best.step)))
            confirmation = confirmed(
                *(seed, final, self.context.objectives),
                required=required,
                look=1 + compared.index(best.step),
            )
            self.state = replace(self.state, compared=compared)
            judged = seed if confirmation.takes_back else final
            self.notify(ResultConfirmed(confirmation.describe(), confirmation.difference))
        elif confirmation.verdict == "too few documents":
            confirmation = replace(confirmation, corrected=self.corrected_gain())
        state = replace(self.state, confirmation=confirmation)
        if not judged and has_ratings(self.parts["validation"]):
            judged = self.trials.held(state.chosen)
        ceilings = ceilings_of(judged, self.context.objectives)
        self.advance(replace(state, confirmation=replace(confirmation, ceilings=ceilings)))

    def corrected_gain(self) -> float | None:
        """Return the best candidate's gain on the validation texts, corrected for its choice."""
        everyone = (*self.state.measured, *self.state.rejected)
        whole = [measured for measured in everyone if measured.texts is None]
        judged = [self.trials.held(measured) for measured in whole]
        return corrected_gain(judged, whole.index(self.state.best), self.context.objectives)

    def untested(self) -> Confirmation:
        """Return why the best instructions were not compared with the initial ones."""
        confirm = self.context.config.confirm
        if confirm == "off":
            return Confirmation("off")
        if not self.state.measured or self.state.best.step == 0:
            return Confirmation("nothing to confirm")
        takes_back = confirm == "require"
        if self.needed is not None:
            return Confirmation("too few documents", needed=self.needed, takes_back=takes_back)
        return Confirmation("not reached", takes_back=takes_back)

    def score_test(self) -> None:
        """Score the initial and the final instructions on the held-out texts."""
        first, chosen = self.state.measured[0], self.state.chosen
        seed = self.judge(0, "test", first.candidate)
        is_seed = chosen.candidate == first.candidate
        final = seed if is_seed else self.judge(chosen.step, "test", chosen.candidate)
        objectives = self.context.objectives
        before, after = (agreement_of(judged, objectives) for judged in (seed, final))
        ceilings = ceilings_of(final, objectives)
        held_out = HeldOut(len(self.parts["test"]), before, after, ceilings)
        self.advance(replace(self.state, test=held_out))

    def judge(self, step: int, split: str, candidate: Candidate) -> tuple[Judgement, ...]:
        """Judge the texts of a split with the instructions of a step, 0 for the initial ones."""
        ledger = self.context.ledger
        before, which = ledger.calls, f"step {step}" if step else "initial"
        try:
            with scoring_shown(f"{split}, {which}", len(self.parts[split])):
                judgements = judge(self.context, candidate, self.parts[split])
        finally:  # so that a later step is not booked with these calls
            sent = self.state.calls + ledger.calls - before
            self.state = replace(self.state, calls=sent)
            if self.state.measured:
                self.advance(self.state)
        texts = JudgedText.all_of(judgements, self.context.objectives)
        inputs = [] if step else [plain(it.example.inputs(), in_log=True) for it in judgements]
        self.notify(CandidateScored(step, split, texts, inputs=tuple(inputs)))
        return judgements

    def result(self, stop_reason: StopReason) -> OptimizationResult:
        """Choose the best of the initial instructions and the accepted candidates."""
        seed = Candidate.of(self.context.program)
        unmeasured = Measured(0, seed, Agreement.unmeasured(self.context.criteria))
        state = self.state if self.state.measured else State(measured=(unmeasured,))
        confirmation = state.confirmation or self.untested()
        state = replace(state, confirmation=confirmation)
        first, best, chosen = state.measured[0], state.best, state.chosen
        is_seed = chosen.candidate == seed
        confirmed_one = confirmation.seed if is_seed else confirmation.best
        agreement = confirmed_one or chosen.agreement
        split = "confirmation" if confirmed_one else "validation"
        calls = self.context.ledger.calls
        self.notify(RunEnded(stop_reason, is_seed, agreement.as_dict(), calls, split))
        return OptimizationResult(
            program=chosen.candidate.written_into(self.context.program),
            config=self.context.config,
            seed_agreement=confirmation.seed or first.agreement,
            final_agreement=agreement,
            steps=state.steps,
            stop_reason=stop_reason,
            seed_kept=is_seed,
            ledger=self.context.ledger.rows,
            measured=state.measured,
            test=state.test,
            confirmation=confirmation,
            selection=Selection(first.agreement, best.agreement),
            cap=self.cap,
            measures=measures_of(self.context.objectives),
        )

    def advance(self, state: State) -> None:
        """Save a new state and make it the current one."""
        self.state = state
        if self.folder is not None:
            self.folder.save(state, self.state.chosen.candidate.written_into(self.context.program))

    def notify(self, event: Event) -> None:
        """Send an event to every observer."""
        for observer in self.observers:
            observer(event)
