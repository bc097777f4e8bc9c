"""A race: a candidate is scored block by block, until it is unlikely to be accepted."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import TypeAlias

import dspy

from mogradjudge.data import places_by_group
from mogradjudge.objectives import Objective
from mogradjudge.optimize.difference import Difference, difference_between
from mogradjudge.programs.evaluation import Agreement, Judgement, agreement_of
from mogradjudge.stages.gate import Gate, limits_of

BLOCKS = 4
FEWEST_DOCUMENTS = 8
"""No race ends before a candidate was read on so many documents: there is too little to go by."""
LEAST_CHANCE = 0.2
"""A candidate whose chance to be accepted falls below this is read no further."""

Block: TypeAlias = tuple[int, ...]
Judgements: TypeAlias = Sequence[Judgement]
Judging: TypeAlias = Callable[[Sequence[dspy.Example]], tuple[Judgement, ...]]


@dataclass(frozen=True)
class Raced:
    """What a race read of a candidate.

    ``judgements`` are those of the texts that were read, in the validation set's order, and
    ``places`` where these stand in it; ``current`` and ``agreement`` compare the current
    instructions and the candidate on these. ``chance`` is the chance to be accepted that ended the
    race early; None if all texts were read.
    """

    judgements: tuple[Judgement, ...]
    places: Sequence[int]
    current: Agreement
    agreement: Agreement
    chance: float | None


@dataclass(frozen=True)
class Race:
    """Scores candidates on the validation texts, in blocks of whole documents.

    Args:
        examples: The validation texts.
        blocks: Their places, block by block.
        objectives: What agreement is measured on.
        gate: Decides on candidates that were read to the end.
        by_section: Whether each criterion's section is accepted by itself, so that a candidate
            races on as long as one of them has a chance.
    """

    examples: Sequence[dspy.Example]
    blocks: tuple[Block, ...]
    objectives: tuple[Objective, ...]
    gate: Gate
    by_section: bool = False

    def first(self, texts: int) -> list[int]:
        """Return the places of the texts that are read first, in the validation set's order."""
        return sorted(list(chain(*self.blocks))[:texts])

    def run(self, current: Agreement, held: Callable[[], Judgements], judge: Judging) -> Raced:
        """Score a candidate until its fate is likely.

        Args:
            current: The current instructions' agreement on all validation texts.
            held: Returns their judgements of these texts.
            judge: Judges texts with the candidate.
        """
        judged: dict[int, Judgement] = {}
        for block in self.blocks:
            texts = [self.examples[place] for place in block]
            judged |= zip(block, judge(texts), strict=True)
            places = sorted(judged)
            after = tuple(judged[place] for place in places)
            if len(self.blocks) > 1:  # else they are numbered from 0 in each block
                before = [held()[place] for place in places]
                after = tuple(map(_named_as, before, after))
            if len(places) == len(self.examples):
                break
            difference = difference_between(before, after, self.objectives)
            chance = self._chance(difference, len(places) / len(self.examples))
            if chance < LEAST_CHANCE:
                return Raced(after, places, difference.current, difference.proposed, chance)
        return Raced(after, places, current, agreement_of(after, self.objectives), None)

    def _chance(self, difference: Difference, share: float) -> float:
        """Return the chance that the gate accepts the candidate, or a section of it, in the end."""
        criteria = tuple(objective.name for objective in self.objectives)
        limits = limits_of(self.gate, criteria)
        assert limits is not None  # `race_over` deals blocks only where there are some
        margins = dict.fromkeys(criteria, min(limits.values())) if self.by_section else limits
        chances = [
            chance_to_hold(difference, name, limit, share) for name, limit in margins.items()
        ]
        return max(chances) if self.by_section else min(chances)


def _named_as(known: Judgement, judgement: Judgement) -> Judgement:
    return replace(judgement, example_id=known.example_id, group=known.group)


def chance_to_hold(difference: Difference, name: str, limit: float, share: float) -> float:
    """Return the chance that a difference ends above ``-limit``, if it goes on as it began.

    With the share t of the texts read, the difference over all texts is normal around that so far,
    d, with the variance (1 - t) s^2, where s is its standard error over all texts; s is estimated
    by the one so far times the root of t, so that Student's t takes the place of the normal
    distribution. Source: conditional power at the current trend, Lan and Wittes 1988, "The
    B-Value: A Tool for Monitoring Data", Biometrics 44(2).

    Args:
        difference: The difference on the texts that were read.
        name: A criterion, or ``"mean"``.
        limit: By how much it may fall, at least 0.
        share: The share of the texts that were read, above 0 and below 1.

    >>> agreement = Agreement.unmeasured(("tone",))
    >>> difference = Difference(agreement, agreement, {"mean": -0.1}, {"mean": 0.1}, parts=20)
    >>> round(chance_to_hold(difference, "mean", 0.0, share=0.5), 3)
    0.03
    """
    from scipy.special import stdtr  # slow to import

    value, error = difference.values.get(name), difference.errors.get(name)
    if value is None or error is None:
        return 1.0
    margin = value + limit
    spread = error * math.sqrt(share * (1 - share))
    if not spread:
        return float(margin >= 0)
    return float(stdtr(difference.parts - 1, margin / spread))


def race_over(
    examples: Sequence[dspy.Example],
    objectives: tuple[Objective, ...],
    gate: Gate,
    *,
    seed: int,
    by_group: bool,
    in_blocks: bool,
    by_section: bool = False,
) -> Race:
    """Deal the validation texts into blocks of whole documents, or into one block.

    Args:
        examples: The validation texts.
        objectives: What agreement is measured on.
        gate: Decides on candidates.
        seed: Seeds the order of the documents.
        by_group: Whether a field ``group`` names a text's document.
        in_blocks: Whether there is a race at all.
        by_section: As for `Race`.

    >>> texts = [dspy.Example(text=f"{number}").with_inputs("text") for number in range(20)]
    >>> from mogradjudge import NoMeanRegression
    >>> gate = NoMeanRegression()
    >>> race = race_over(texts, (), gate, seed=0, by_group=False, in_blocks=True)
    >>> [len(block) for block in race.blocks]
    [10, 5, 5]
    """
    documents = places_by_group(examples, by_group=by_group)
    everything = tuple(range(len(examples)))
    if not in_blocks or not hasattr(gate, "may_fall"):
        return Race(examples, (everything,), objectives, gate, by_section)
    random.Random(seed).shuffle(documents)
    return Race(examples, _blocks(documents, len(examples)), objectives, gate, by_section)


def _blocks(documents: Sequence[Sequence[int]], texts: int) -> tuple[Block, ...]:
    """Deal documents into blocks of about one size; the first ones are one where they are few."""
    ends = accumulate(map(len, documents))
    # By the document's middle, so that a long one goes where most of it lies.
    numbers = [
        int(BLOCKS * (end - len(document) / 2) / texts)
        for document, end in zip(documents, ends, strict=True)
    ]
    first = numbers[:FEWEST_DOCUMENTS][-1]
    blocks: dict[int, list[int]] = {}
    for number, document in zip(numbers, documents, strict=True):
        blocks.setdefault(max(first, number), []).extend(document)
    return tuple(tuple(sorted(block)) for block in blocks.values())
