"""HPSS (Wen et al. 2025, "HPSS: Heuristic Prompting Strategy Search for LLM Evaluators").

Written anew from the paper's description (arXiv 2502.13031), not its authors' code. A strategy
gives a value to each factor of an evaluator's prompt. First every value is tried in the place of
that of the initial strategy; the advantage of a value is the mean score of the strategies that had
it, minus that of all. Then each of the best strategies so far is followed by one more: with equal
chances the untried one with the most advantage in all (exploitation), or an untried neighbour,
drawn by the advantage of its new value and by how seldom that was tried (exploration).

Differences from the paper: 6 of its 8 factors, for the judge's scale is the rubric's, and a
reference would take a call per text; the order is that of the two parts before the criteria; all
criteria share one strategy, as they share one call. A score is the mean agreement on a draw of the
validation texts, as many as let the cap pay for twice the first round. How exploration weighs is
ours.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from statistics import fmean
from typing import TypeAlias

import dspy

from benchmarks.peers.budget import CapReached
from benchmarks.peers.method import Found, Method, Task
from benchmarks.peers.opro import shown, tagged
from mogradjudge import Instructions
from mogradjudge.concurrency import in_parallel

Strategy: TypeAlias = tuple[str, ...]
"""A value of each factor."""

FACTORS: Mapping[str, tuple[str, ...]] = {
    "criteria": ("given", "written"),
    "steps": ("none", "written"),
    "questions": ("none", "written"),
    "examples": ("0", "3", "5", "10"),
    "reasoning": ("none", "before", "after"),
    "order": ("task first", "examples first"),
}
"""The values of each factor; the initial strategy has the first ones."""

_INITIAL: Strategy = tuple(values[0] for values in FACTORS.values())
_POPULATION = 5
_FEWEST_TEXTS = 5  # behind a score
_WEIGHT = 0.05  # of agreement: how much an advantage, or never having been tried, counts
_DRAFTS = {
    "criteria": "Write the instruction anew, with a full definition of the criterion.",
    "steps": "Write the steps by which to evaluate a text on the criterion.",
    "questions": "Write the specific questions that a text has to answer well on the criterion.",
}
_REASONING = {
    "none": "",
    "before": "Think step by step before you give the scores.",
    "after": "Give the scores first, then explain them.",
}


def optimize(task: Task) -> Found:
    """Search until the calls are spent, or every strategy was tried."""
    search = Search(task)
    with dspy.context(lm=task.lm):
        try:
            search.run()
        except CapReached:
            task.meter.settle()
    notes = f"{len(search.scores)} strategies on {len(search.texts)} texts each"
    return Found(search.written(search.best), notes)


def neighbours(strategy: Strategy) -> Iterator[tuple[int, Strategy]]:
    """Give the strategies that differ in one factor, each with the factor's place."""
    for place, values in enumerate(FACTORS.values()):
        for value in values:
            if value != strategy[place]:
                yield place, (*strategy[:place], value, *strategy[place + 1 :])


@dataclass
class Search:
    """A search over strategies; ``scores`` holds those that were tried."""

    task: Task
    scores: dict[Strategy, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.task.seed)
        self._drafts: Mapping[tuple[str, str], str] = {}
        self._by_text: dict[str, float] = {}

    def run(self) -> None:
        """Try strategies until the cap is reached, or there are no others."""
        self._drafts = drafted(self.task)
        for strategy in (_INITIAL, *(near for _, near in neighbours(_INITIAL))):
            self._try(strategy)
        while self._untried:
            for parent in sorted(self.scores, key=self.scores.__getitem__)[-_POPULATION:]:
                if untried := self._untried:
                    self._try(self.following(parent, untried))

    @property
    def _untried(self) -> list[Strategy]:
        return [it for it in product(*FACTORS.values()) if it not in self.scores]

    @property
    def best(self) -> Strategy:
        """The strategy with the highest score, the earlier on a tie."""
        return max(self.scores, key=self.scores.__getitem__, default=_INITIAL)

    @cached_property
    def texts(self) -> Sequence[dspy.Example]:
        """Those that strategies are scored on, once the drafts are written."""
        first = 1 + len(list(neighbours(_INITIAL)))
        count = max(_FEWEST_TEXTS, self.task.meter.left // (2 * first))
        return self._drawn(self.task.validation, count)

    @cached_property
    def _examples(self) -> Sequence[str]:
        most = max(map(int, FACTORS["examples"]))
        drawn = self._drawn(self.task.training, most)
        return [shown(example, self.task.rubric) for example in drawn]

    def _drawn(self, examples: Sequence[dspy.Example], count: int) -> Sequence[dspy.Example]:
        return self._rng.sample(list(examples), min(count, len(examples)))

    def following(self, parent: Strategy, untried: Sequence[Strategy]) -> Strategy:
        """Choose the untried strategy that comes after a good one."""
        near = [(place, s) for place, s in neighbours(parent) if s in untried]
        if near and self._rng.random() < 0.5:
            weights = [math.exp(self._promise(place, s[place]) / _WEIGHT) for place, s in near]
            return self._rng.choices([strategy for _, strategy in near], weights)[0]
        return max(untried, key=lambda s: sum(self.advantage(*part) for part in enumerate(s)))

    def advantage(self, place: int, value: str) -> float:
        """Give the mean score with a factor's value minus that of all."""
        return fmean(self._with(place, value)) - fmean(self.scores.values())

    def _promise(self, place: int, value: str) -> float:
        seldom = _WEIGHT / math.sqrt(len(self._with(place, value)))
        return self.advantage(place, value) + seldom

    def _with(self, place: int, value: str) -> list[float]:
        return [score for strategy, score in self.scores.items() if strategy[place] == value]

    def _try(self, strategy: Strategy) -> None:
        text = self.written(strategy)
        if text not in self._by_text:
            agreement = replace(self.task, validation=self.texts).measure(text)
            self._by_text[text] = agreement.mean or 0.0
        self.scores[strategy] = self._by_text[text]

    def written(self, strategy: Strategy) -> str:
        """Write a strategy as the judge's instructions."""
        value = dict(zip(FACTORS, strategy, strict=True))
        seed = Instructions.parse(self.task.seed_prompt)
        parts = [
            "\n".join(filter(None, [seed.preamble, _REASONING[value["reasoning"]]])),
            "\n\n".join(self._examples[: int(value["examples"])]),
        ]
        if value["order"] == "examples first":
            parts.reverse()
        kinds = [kind for kind in _DRAFTS if value[kind] == "written"]
        sections = {name: self._section(name, given, kinds) for name, given in seed.sections}
        return Instructions("\n\n".join(filter(None, parts)), sections).render()

    def _section(self, name: str, given: str, kinds: Sequence[str]) -> str:
        drafts = [self._drafts[kind, name] for kind in kinds]
        return "\n".join(filter(None, drafts if "criteria" in kinds else [given, *drafts]))


def drafted(task: Task) -> dict[tuple[str, str], str]:
    """Let the model write what the factors call for, by kind and criterion."""
    sections = dict(Instructions.parse(task.seed_prompt).sections)
    asked = list(product(_DRAFTS, sections))

    def draft(what: tuple[str, str]) -> str:
        kind, name = what
        prompt = (
            f"This is an instruction for a judge that rates texts on {name}, which means: "
            f"{task.rubric[name].description}\n\n<instruction>{sections[name]}</instruction>\n\n"
            f"{_DRAFTS[kind]} Put it between <instruction> and </instruction>, and write nothing "
            "else."
        )
        return tagged(task, prompt)

    return dict(zip(asked, in_parallel(draft, asked, task.num_threads), strict=True))


METHODS = (Method("HPSS, written anew", optimize),)
