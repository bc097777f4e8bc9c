"""Confirms a result: initial and best instructions on texts that chose nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from mogradjudge.objectives import Objective
from mogradjudge.optimize.difference import difference_between
from mogradjudge.programs.evaluation import MEAN, Agreement, Judgement
from mogradjudge.scoring.ceilings import Ceilings

FEWEST_DOCUMENTS = 16
"""With fewer documents to confirm on, no texts are set aside."""
ALPHA = 0.10
"""One-sided: the chance that instructions that are no better are called confirmed."""
CONFIDENCE = 0.95

Verdict: TypeAlias = Literal[
    "confirmed", "not confirmed", "nothing to confirm", "too few documents", "not reached", "off"
]


@dataclass(frozen=True)
class Wording:
    """What a confirmation calls what it compares.

    >>> Wording().best
    'the best rewrite'
    """

    best: str = "the best rewrite"
    initial: str = "the initial instructions"
    equal: str = "No rewrite did better than the initial instructions"
    chosen: str = "instructions"
    kept: str = "The initial instructions are kept."
    returned: str = "The rewritten instructions are returned."


INSTRUCTIONS = Wording()


@dataclass(frozen=True)
class Confirmation:
    """Initial and best instructions on the same texts, which neither training nor race has read.

    Args:
        verdict: Whether the best ones are better; or why that was not tested.
        seed: The initial instructions' agreement; None if they were not scored.
        best: The best ones' agreement.
        difference: Mean agreement of the best ones minus that of the initial ones.
        interval: Its 95 % interval.
        documents: How many documents were read.
        texts: How many texts were read.
        needed: With too few documents, how many would do.
        takes_back: Whether the initial instructions are the result after all.
        corrected: Where nothing could be compared, the gain on the validation texts, corrected for
            the choice of the best (`corrected_gain`); None if that is unknown.
        look: The number of the candidate among those that were compared on these texts, from 1.
        ceilings: How well raters agree on the texts of the result's agreement, and its share of
            what they permit (`ceilings_of`).

    >>> print(Confirmation("too few documents", needed=40).describe())
    Too few documents to confirm: it takes 40. The agreement is that of the texts that chose \
the instructions, and optimistic.
    """

    verdict: Verdict
    seed: Agreement | None = None
    best: Agreement | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    documents: int = 0
    texts: int = 0
    needed: int | None = None
    takes_back: bool = False
    corrected: float | None = None
    look: int = 1
    ceilings: Ceilings = field(default_factory=dict, repr=False)

    def describe(self, wording: Wording = INSTRUCTIONS) -> str:
        """Say in a sentence or two what was confirmed."""
        consequence = wording.kept if self.takes_back else wording.returned
        if self.seed is not None:
            return f"{self._measured(wording)} {consequence}"
        untested = (
            wording.equal if self.verdict == "nothing to confirm" else _UNTESTED[self.verdict]
        )
        consequence = f" {consequence}" if self.takes_back else ""
        return f"{untested}{self._needed()}{self._optimistic(wording)}{consequence}"

    def _measured(self, wording: Wording) -> str:
        word = "Confirmed" if self.verdict == "confirmed" else "Not confirmed"
        where = f"on {self.texts} texts of {self.documents} documents {self._history()}"
        if self.difference is None:
            return f"{word}: no agreement is defined {where}."
        low, high = self.interval or (float("nan"), float("nan"))
        return (
            f"{word}: {wording.best} minus {wording.initial} is {self.difference:+z.3f} "
            f"[{low:+z.3f}, {high:+z.3f}] {where}."
        )

    def _history(self) -> str:
        if self.look == 1:
            return "that chose nothing"
        return f"(candidate {self.look} compared there, tested at {ALPHA} / {self.look})"

    def _optimistic(self, wording: Wording) -> str:
        if self.verdict == "nothing to confirm":
            return ""
        words = (
            f" The agreement is that of the texts that chose the {wording.chosen}, and optimistic"
        )
        if self.corrected is None:
            return f"{words}."
        return f"{words}; corrected for that, at most in part, the gain is {self.corrected:+z.3f}."

    def _needed(self) -> str:
        return "." if self.needed is None else f": it takes {self.needed}."

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as `result.json` holds them."""
        return {
            "verdict": self.verdict,
            "sentence": self.describe(),
            "seed": None if self.seed is None else self.seed.as_dict(),
            "best": None if self.best is None else self.best.as_dict(),
            "difference": self.difference,
            "interval": None if self.interval is None else list(self.interval),
            "documents": self.documents,
            "texts": self.texts,
            "looks": 0 if self.seed is None else self.look,
            "needed": self.needed,
            "corrected": self.corrected,
        }


_UNTESTED: Mapping[Verdict, str] = {
    "too few documents": "Too few documents to confirm",
    "not reached": "The run ended before its result could be confirmed",
    "off": "Nothing was confirmed (--confirm off)",
}


def confirmed(
    seed: Sequence[Judgement],
    best: Sequence[Judgement],
    objectives: Sequence[Objective],
    *,
    required: bool = False,
    look: int = 1,
) -> Confirmation:
    """Test whether the best instructions are better than the initial ones.

    All texts are read in one look: to stop early because the difference is small, or large, would
    bias what is printed. The test is one-sided at 0.10, Student's t on the difference of the mean
    agreement and its jackknife error (`difference_between`). Where the run went on afterwards, and
    its new best instructions are the N-th compared on these texts, they are tested at 0.10 / N
    (Bonferroni's correction for N tests; the earlier ones, at their larger levels, stand).

    Args:
        seed: The initial instructions' judgements.
        best: The best ones', of the same texts in the same order.
        objectives: What agreement is measured on.
        required: Whether the initial instructions are kept unless the best ones are confirmed, and
            not only where these are behind.
        look: The number of the best instructions among all that were compared on these texts.
    """
    from scipy.special import stdtrit  # slow to import

    difference = difference_between(seed, best, objectives)
    value, error = difference.mean, difference.errors.get(MEAN)
    interval, is_clear = None, False
    if value is not None and error is not None:
        freedom = difference.parts - 1
        reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
        interval = (value - reach, value + reach)
        is_clear = value > float(stdtrit(freedom, 1 - ALPHA / look)) * error
    return Confirmation(
        "confirmed" if is_clear else "not confirmed",
        difference.current,
        difference.proposed,
        value,
        interval,
        documents=len({judgement.group for judgement in seed}),
        texts=len(seed),
        takes_back=not (is_clear if required else value is not None and value > 0),
        look=look,
    )


def documents_needed(share: float) -> int:
    """Return how many documents a set needs so that a share of it can confirm.

    >>> documents_needed(0.4)
    40
    """
    return math.ceil(FEWEST_DOCUMENTS / share)
