"""Confirms a result: initial and best instructions on texts that chose nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from mogradjudge.objectives import Objective
from mogradjudge.optimize.difference import difference_between, parts_of
from mogradjudge.programs.evaluation import MEAN, Agreement, Judgement
from mogradjudge.scoring.ceilings import Ceilings
from mogradjudge.stages.gate import measures_less

FEWEST_DOCUMENTS = 16
"""With fewer documents to confirm on, no texts are set aside."""
ALPHA = 0.10
"""One-sided: the chance that instructions that are no better are called confirmed."""
CONFIDENCE = 0.95
_DIGITS = 3

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
        seed: The initial instructions' agreement on the texts that both have scored; None if they
            were not scored.
        best: The best ones' agreement on these.
        difference: Mean agreement of the best ones minus that of the initial ones.
        interval: Its 95 % interval; the verdict is about `bound`.
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
            return f"{self._measured(wording)}{self._without_score(wording)} {consequence}"
        untested = (
            wording.equal if self.verdict == "nothing to confirm" else _UNTESTED[self.verdict]
        )
        consequence = f" {consequence}" if self.takes_back else ""
        return f"{untested}{self._needed()}{self._optimistic(wording)}{consequence}"

    @property
    def level(self) -> float:
        """The confidence with which the difference is above `bound`, as a share."""
        return 1 - ALPHA / self.look

    @property
    def bound(self) -> float | None:
        """What the difference is above, one-sided; the result is confirmed if that is above 0.

        >>> measured = Confirmation("confirmed", difference=0.2, interval=(-0.1, 0.5), documents=20)
        >>> round(measured.bound, 3)
        0.01
        """
        if self.difference is None or self.interval is None:
            return None
        from scipy.special import stdtrit  # slow to import

        freedom = parts_of(self.documents) - 1
        two_sided, one_sided = (stdtrit(freedom, it) for it in ((1 + CONFIDENCE) / 2, self.level))
        return self.difference - float(one_sided / two_sided) * (self.interval[1] - self.difference)

    def _measured(self, wording: Wording) -> str:
        is_better = self.verdict == "confirmed"
        word = "Confirmed" if is_better else "Not confirmed"
        documents = "" if self.documents == self.texts else f" of {self.documents} documents"
        where = f"on {self.texts} texts{documents} set aside for this"
        if self.difference is None:
            return f"{word}: no agreement is defined {where}{self._losses()}."
        best, initial, gain = wording.best, wording.initial, f"{self.difference:+z.3f}"
        if is_better:
            by = f"{where}: by {gain}{self._above(' by more than')}"
            return f"{word}: {best} did better than {initial} {by}."
        if losses := self._losses():
            by = f"{where}{losses}. Where both have a score, the difference is {gain}"
            return f"{word}: {best} measures less than {initial} {by}."
        by = f"{where} the difference is {gain}{self._above(' it is only above')}"
        return f"{word}: {best} may be no better than {initial}: {by}."

    def _losses(self) -> str:
        """Say of what the best ones measure less (`measures_less`); empty if of nothing."""
        if self.seed is None or self.best is None or not measures_less(self.seed, self.best):
            return ""
        before, after = self.seed.lost, self.best.lost
        losses = [
            f"it leaves {after[name] - before[name]} more of {self._rated(self.seed, name)}"
            f" rated texts without a score on {name}"
            for name in before
            if after[name] > before[name]
        ]
        defined = self.best.undefined().keys() - self.seed.undefined().keys()
        losses += [f"its agreement on {name} is undefined" for name in sorted(defined)]
        return f": {', '.join(losses)}"

    def _rated(self, seed: Agreement, name: str) -> int:
        """Count the texts that people have given a score, and do not call n/a."""
        applies = seed.applicability.get(name)
        not_applicable = applies.both + applies.people if applies else 0
        return self.texts - seed.missing[name] - not_applicable

    def _without_score(self, wording: Wording) -> str:
        sides = {wording.initial: self.seed, wording.best: self.best}
        lost = {name: it for name, it in sides.items() if it is not None and any(it.lost.values())}
        if not lost:
            return ""
        counts = [
            f"{name}: {sum(it.unscored.values())} unscored, {sum(it.not_applicable.values())} n/a"
            for name, it in lost.items()
        ]
        return f" Rated texts without a score: {'; '.join(counts)}."

    def _above(self, words: str) -> str:
        if self.bound is None:
            return ""
        look = "" if self.look == 1 else f" (candidate {self.look} compared there)"
        return f", and with {100 * self.level:.3g} % confidence{words} {self.bound:+z.3f}{look}"

    def _optimistic(self, wording: Wording) -> str:
        if self.verdict == "nothing to confirm":
            return ""
        words = (
            f" The agreement is that of the texts that chose the {wording.chosen}, and optimistic"
        )
        if self.corrected is None:
            return f"{words}."
        luck = "without what the choice of the best adds by luck"
        if not round(self.corrected, _DIGITS):
            return f"{words}: {luck}, no gain is left."
        return f"{words}: {luck}, the gain is about {self.corrected:+z.3f}, or less."

    def _needed(self) -> str:
        return "." if self.needed is None else f": it takes {self.needed}."

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as `result.json` holds them."""
        sides = {"seed": self.seed, "best": self.best}
        return {
            "verdict": self.verdict,
            "sentence": self.describe(),
            **{name: None if it is None else it.as_dict() for name, it in sides.items()},
            "unscored": {name: it and it.unscored for name, it in sides.items()},
            "not_applicable": {name: it and it.not_applicable for name, it in sides.items()},
            "difference": self.difference,
            "interval": None if self.interval is None else list(self.interval),
            "bound": self.bound,
            "level": self.level,
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

    Compared are the texts that both have scored. Instructions that leave more rated texts without a
    score than the initial ones (`measures_less`) are never confirmed, and never kept.
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
    is_less = measures_less(difference.current, difference.proposed)
    is_clear = is_clear and not is_less
    return Confirmation(
        "confirmed" if is_clear else "not confirmed",
        difference.current,
        difference.proposed,
        value,
        interval,
        documents=len({judgement.group for judgement in seed}),
        texts=len(seed),
        takes_back=is_less or not (is_clear if required else value is not None and value > 0),
        look=look,
    )


def documents_needed(share: float) -> int:
    """Return how many documents a set needs so that a share of it can confirm.

    >>> documents_needed(0.4)
    40
    """
    return math.ceil(FEWEST_DOCUMENTS / share)
