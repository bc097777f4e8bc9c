"""Scores candidates on the validation texts: each in a race against other instructions."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import dspy

from mogradjudge.criteria import Group
from mogradjudge.optimize.context import RunContext
from mogradjudge.optimize.difference import agreements_on_both, difference_between
from mogradjudge.optimize.events import CandidateScored, Observer, RaceEnded
from mogradjudge.optimize.progress import scoring_shown
from mogradjudge.optimize.race import Raced, race_over
from mogradjudge.optimize.result import Measured
from mogradjudge.optimize.sections import changed, is_split, with_scores_of, with_sections
from mogradjudge.optimize.state import State
from mogradjudge.optimize.step import judge
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import Agreement, Judgement, agreement_of, asks_groups
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.stages.gate import limits_of, that_hold


@dataclass(frozen=True)
class Trial:
    """What came of scoring a candidate.

    ``current`` is the agreement of the instructions that it was compared with, on the same texts;
    ``scored`` is None if the candidate was nothing new. ``passes`` says if the gate accepts it.
    ``raced`` is None if it was scored before.
    """

    current: Agreement
    scored: Measured | None = None
    passes: bool = False
    raced: Raced | None = None


@dataclass(frozen=True)
class Entry:
    """A candidate of a step, and the instructions that it is compared with.

    ``sections`` names the criteria whose sections are new, where it is a mix.
    """

    step: int
    candidate: Candidate
    rival: Measured
    sections: Group = ()


class Trials:
    """Scores candidates, and keeps the judgements of all that were scored on every text.

    Args:
        context: What every step works with.
        validation: The validation texts.
    """

    def __init__(self, context: RunContext, validation: Sequence[dspy.Example]) -> None:
        config = context.config
        self.context = context
        self.judged: dict[Candidate, tuple[Judgement, ...]] = {}
        self._lock = threading.Lock()
        self.race = race_over(
            validation,
            context.objectives,
            config.gate,
            seed=config.seed,
            by_group=asks_groups(context.program, context.objectives),
            in_blocks=config.race != "off" and context.can_race,
            by_section=is_split(context.program) and self._limits() is not None,
        )

    def score(
        self, entry: Entry, earlier: Sequence[Entry], state: State, notify: Observer
    ) -> Trial:
        """Score a candidate, unless it is nothing new.

        Args:
            entry: The candidate.
            earlier: Others that are scored beside it, with an equal one of which it is left to.
            state: The run so far.
            notify: Is called with the events.
        """
        rival, candidate = entry.rival, entry.candidate
        if candidate in (rival.candidate, *(other.candidate for other in earlier)):
            return Trial(rival.agreement)
        if (known := state.known(candidate)) is not None:
            scored = replace(known, step=entry.step, sections=entry.sections)
            trial = Trial(self._agreement_on(known.texts, rival), scored)
        else:
            trial = self._raced(entry, notify)
        return replace(trial, passes=self._passes(rival, trial.scored))

    def _agreement_on(self, texts: int | None, rival: Measured) -> Agreement:
        """Return a rival's agreement on the texts that a race reads first; None means all."""
        if texts is None:
            return rival.agreement
        judged = self.held(rival)
        read = [judged[place] for place in self.race.first(texts)]
        return agreement_of(read, self.context.objectives)

    def _raced(self, entry: Entry, notify: Observer) -> Trial:
        step, candidate = entry.step, entry.candidate
        raced = self._raced_or_held(entry)
        texts = JudgedText.all_of(raced.judgements, self.context.objectives)
        notify(CandidateScored(step, "validation", texts, entry.sections))
        scored = Measured(step, candidate, raced.agreement, sections=entry.sections)
        if raced.chance is None:
            self.judged[candidate] = raced.judgements
        else:
            everything = len(self.race.examples)
            notify(RaceEnded(step, len(texts), everything, raced.chance, entry.sections))
            scored = replace(scored, texts=len(texts))
        return Trial(raced.current, scored, raced=raced)

    def _raced_or_held(self, entry: Entry) -> Raced:
        candidate, current = entry.candidate, entry.rival.agreement
        if (judged := self.judged.get(candidate)) is not None:
            agreement = agreement_of(judged, self.context.objectives)
            return Raced(judged, range(len(judged)), current, agreement, None)
        judging = partial(judge, self.context, candidate)
        with scoring_shown(f"step {entry.step}, race", len(self.race.examples)):
            return self.race.run(current, partial(self.held, entry.rival), judging)

    def _passes(self, rival: Measured, scored: Measured | None) -> bool:
        if scored is None or scored.texts is not None:
            return False
        if not self.race.by_section:
            return self.context.config.gate(*self._on_both(rival, scored))
        return self._mixed(Trial(rival.agreement, scored), rival)[0] == scored.candidate

    def _on_both(self, rival: Measured, scored: Measured) -> tuple[Agreement, Agreement]:
        """Return the agreement of both on the validation texts that both have a score of."""
        whole = rival.agreement, scored.agreement
        if not any(any(it.lost.values()) for it in whole):
            return whole
        return agreements_on_both(self.held(rival), self.held(scored), self.context.objectives)

    def mix(self, trial: Trial, parent: Measured, rival: Measured, state: State) -> Entry | None:
        """Return the parent with those new sections alone that did no worse.

        None if that is nothing new. In the separate layout no call is needed to score it; in the
        combined one a criterion must be clearly better, and another one clearly worse.

        Args:
            trial: What came of all new sections.
            parent: The instructions that they were written from.
            rival: What the mix must beat where calls are paid for it.
            state: The run so far.
        """
        scored = trial.scored
        if scored is None or not self._may_mix(scored):
            return None
        candidate, sections = self._mixed(trial, parent)
        if candidate in (parent.candidate, scored.candidate):
            return None
        if self.race.by_section:
            pairs = zip(self.held(parent), self.held(scored), strict=True)
            self.judged[candidate] = tuple(with_scores_of(*pair, sections) for pair in pairs)
            return Entry(scored.step, candidate, parent, sections)
        if state.known(candidate) or not self._is_clear(trial, parent):
            return None
        return Entry(scored.step, candidate, rival, sections)

    def _may_mix(self, scored: Measured) -> bool:
        if self.race.by_section:
            return scored.texts is None
        may_race = self.context.config.mix == "race" and self.context.can_race
        return may_race and self._limits() is not None

    def _is_clear(self, trial: Trial, parent: Measured) -> bool:
        """Say if a criterion rises, and one falls, by more than a standard error."""
        if (raced := trial.raced) is None:
            return False
        before = [self.held(parent)[place] for place in raced.places]
        difference = difference_between(before, raced.judgements, self.context.objectives)
        clear = [
            difference.values[name]
            for name in self.context.criteria
            if (error := difference.errors.get(name)) is not None
            and abs(difference.values[name]) > error
        ]
        return bool(clear) and min(clear) < 0 < max(clear)

    def _limits(self) -> Mapping[str, float] | None:
        return limits_of(self.context.config.gate, self.context.criteria)

    def _mixed(self, trial: Trial, parent: Measured) -> tuple[Candidate, Group]:
        """Return the parent with the sections whose criteria hold, and the names of these."""
        limits = self._limits()
        assert trial.scored is not None
        assert limits is not None
        slots, preambles = self.context.slots, self.context.preambles
        pair = trial.current, trial.scored.agreement
        if trial.scored.texts is None and trial.current is parent.agreement:
            pair = self._on_both(parent, trial.scored)
        holding = that_hold(*pair, min(limits.values()))
        proposed = trial.scored.candidate
        mixed = with_sections(parent.candidate, proposed, slots, preambles, holding)
        return mixed, changed(parent.candidate, mixed, slots)

    def held(self, measured: Measured) -> tuple[Judgement, ...]:
        """Return a candidate's judgements of all validation texts; a resumed run replays them."""
        with self._lock:  # several candidates may ask at once
            if measured.candidate not in self.judged:
                texts = self.race.examples
                self.judged[measured.candidate] = judge(self.context, measured.candidate, texts)
            return self.judged[measured.candidate]
