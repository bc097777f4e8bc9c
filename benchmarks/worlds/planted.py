"""A simulated LM world in which dilution and interference are planted, so that they can be found.

Good instructions hold *cues*, short phrases of which each criterion has six. The judge's error on a
criterion shrinks with the criterion's cues in its instructions; the critic names cues that a judged
text shows to be missing, the coach passes on what it read, and the editor adds what it is advised.
Three things can be planted:

- *dilution* d: a coach that speaks of several criteria writes, in the place of each piece of advice
  and with probability d, a phrase that helps no criterion (any coach does with probability 0.1);
- *omission* o: an editor who rewrites several criteria at once leaves out each piece of new advice
  with probability o;
- *interference* i: in a call about several criteria, the other criteria's cues raise the standard
  deviation of the judge's error by up to i points of the scale;
- *conflicts* c: a share c of the cues are pairs, for different criteria, of which neither helps
  where both stand in one prompt (`benchmarks/worlds/conflicts.py`);
- *families*: criteria of one family neither dilute nor interfere with each other, and the cues of a
  criterion's kin take up to `kinship` points off its error in one call.

The judge's error is normal noise, and shared in part between prompts: 55 % of its variance belongs
to the text, 35 % to the prompt, and 10 % is new each time that the same prompt is sent
(the first share is that of two prompts to one LM on SummEval and HANNA).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import reprlib
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, fmean

import dspy
import numpy as np

from benchmarks.worlds.advice import cut, units_of
from benchmarks.worlds.conflicts import conflicts_in, effective, projected, rivals_of
from benchmarks.worlds.cues import CUES, GENERIC, rules_of
from benchmarks.worlds.rater import rating
from benchmarks.worlds.world import (
    NotOfThisWorldError,
    ToyEngine,
    fields,
    inputs_of,
    labels_of,
    parts_of,
    role_of,
    texts_of,
    toy_rubric,
)
from mogradjudge import Rubric
from mogradjudge.agreement import Level, Undefined, correlate
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import scope_of
from mogradjudge.settings import Layout

BASE_SD, GAIN = 1.6, 0.6  # the judge's error without cues, and the share of it that cues remove
_SHARES = {"text": 0.55, "prompt": 0.35, "draw": 0.10}  # of the error's variance
CARELESS = 0.1  # how often a coach says something that helps nobody, in any call
_REVEALED = 2  # cues of a criterion that one judged text shows to be missing
_UNIT_WORDS = 10
_BUDGET = re.compile(r"(\d+) words")
_CASE = re.compile(r"case \d+")
_ERROR = re.compile(r"error: judge ([\d.]+) too (high|low)")
_UNSCORED = 9.0  # points of error where there is no score
_ASKED = re.compile(r"`(\w+)` \(Literal\[1, 2, 3, 4, 5\]\)")
NORMAL = NormalDist()


@dataclass(frozen=True)
class PlantedWorld:
    """What is planted, and the seed of all that is drawn.

    Args:
        dilution: Probability, in [0, 1].
        omission: Probability, in [0, 1].
        interference: Points of the scale, at least 0.
        joint_cost: What a call about several criteria adds to the error's standard deviation.
        seed: Another seed is another world with the same effects.
        conflicts: Share, in [0, 1].
        families: Groups of criteria; one that is in none is a family of its own.
        kinship: Points of the scale, at least 0.
    """

    dilution: float = 0.0
    interference: float = 0.0
    joint_cost: float = 0.0
    seed: int = 0
    omission: float = 0.0
    conflicts: float = 0.0
    families: tuple[Group, ...] = ()
    kinship: float = 0.0

    def reply(self, system: str, user: str, draw: int = 0) -> str:
        """Answer a prompt that DSPy's `ChatAdapter` made; ``draw`` counts how often it was sent."""
        inputs = inputs_of(user)
        match role_of(system):
            case "judge":
                text, rated = "\n".join(inputs.values()), tuple(_ASKED.findall(system))
                _check_known(rated)
                return fields(self.scores(text, _instructions(system), rated, draw))
            case "critic":
                return fields({"critique": self._critique(inputs)})
            case "coach" if "[[ ## conflicts ## ]]" in system:
                pairs = conflicts_in(inputs["advice"], self._rivals, self.chance)
                return fields({"conflicts": json.dumps(pairs)})
            case "coach" if "[[ ## rewritten ## ]]" in system:
                return fields({"rewritten": json.dumps(projected(inputs["advice"]))})
            case "coach":
                budget = _BUDGET.search(system)
                words = None if budget is None else int(budget.group(1))
                names = tuple(parts_of(inputs["criteria"]))
                _check_known(names)
                advice = self.advice(names, inputs["critiques"], words)
                return fields(
                    {"advice": json.dumps(units_of(advice, texts_of(inputs["critiques"])))}
                )
            case "rater":
                return fields(rating(inputs, CUES, self.chance))
            case _:
                current = parts_of(inputs["current_instructions"])
                texts = {label: current[label] for label in labels_of(system)}
                _check_known(tuple(texts))
                return fields(
                    {"new_instructions": json.dumps(self.rewritten(texts, inputs["advice"]))}
                )

    def error_sd(self, name: str, instructions: str, criteria: Group) -> float:
        """Give the standard deviation of the judge's error on one of a call's criteria."""
        own, others = section_of(name, instructions), [it for it in criteria if it != name]
        texts = {other: section_of(other, instructions) for other in others}
        foreign = {rule for other, text in texts.items() for rule in rules_of(other, text)}
        share = effective(name, own, foreign, self._rivals) / len(CUES[name])
        sd = BASE_SD * (1 - GAIN * share) + (self.joint_cost if others else 0.0)
        kin = [other for other in others if other in self._family(name)]
        strangers = [other for other in others if other not in kin]
        for rest, weight in ((strangers, self.interference), (kin, -self.kinship)):
            if rest:
                sd += weight * fmean(_share(other, texts[other]) for other in rest)
        return sd

    @property
    def _rivals(self) -> Mapping[str, str]:
        return rivals_of(self.conflicts, self.seed)

    def _family(self, name: str) -> Group:
        return next((family for family in self.families if name in family), (name,))

    def scores(
        self, text: str, instructions: str, criteria: Group, draw: int = 0
    ) -> dict[str, int]:
        """Rate a text from 1 to 5 on the criteria of one call."""
        scores = {}
        for name in criteria:
            noise = self._noise(name, text, f"{criteria} {' '.join(instructions.split())}", draw)
            score = true_score(name, text) + self.error_sd(name, instructions, criteria) * noise
            scores[name] = min(5, max(1, round(score)))
        return scores

    def _noise(self, name: str, text: str, prompt: str, draw: int) -> float:
        return sum(
            math.sqrt(share) * NORMAL.inv_cdf(self.chance(name, kind, source))
            for kind, (share, source) in self.noises(text, prompt, draw).items()
        )

    def noises(self, text: str, prompt: str, draw: int) -> dict[str, tuple[float, str]]:
        """Give what the judge's error comes from: shares of its variance, and what draws each."""
        sources = {"text": text, "prompt": prompt + text, "draw": f"{draw}{prompt}{text}"}
        return {kind: (share, sources[kind]) for kind, share in _SHARES.items()}

    def _critique(self, inputs: Mapping[str, str]) -> str:
        results = parts_of(inputs["results"])
        wrong = {n: _signed(result) for n, result in results.items() if "error: judge" in result}
        if wrong:
            _check_known(tuple(wrong))
        return self.feedback(inputs["example"], wrong) or "The judge is right; keep all as it is."

    def feedback(self, example: str, errors: Mapping[str, float]) -> str:
        """Say what a judge should have done that missed an example's scores by these errors."""
        case, lines = 1000 + int(9000 * self.chance("case", example)), []
        for name, error in errors.items():
            rules = self.revealed(name, example, error, case)
            lines += [f"{name}: in case {case} the judge should {rule}." for rule in rules]
        return "\n".join(lines)

    def revealed(self, name: str, example: str, error: float, case: int) -> list[str]:
        """Give the rules that an error on an example seems to show to be missing."""
        order = sorted(CUES[name], key=lambda cue: self.chance(name, cue, example))
        return order[:_REVEALED]

    def heeds(self, rule: str, sources: Sequence[str]) -> bool:
        """Say whether a reader of criticism from several sources passes a rule on."""
        return True

    def advice(self, names: Group, read: str, words: int | None = None) -> str:
        """Advise on the cues that critiques name, a paragraph per criterion.

        Args:
            names: The criteria that the call speaks of.
            read: The critiques.
            words: How long to write; all cues if it is not said.
        """
        sources = list(texts_of(read).values())
        cues = {n: [rule for rule in rules_of(n, read) if self.heeds(rule, sources)] for n in names}
        if words is not None:
            cues = cut(cues, max(1, words // _UNIT_WORDS))
        case, paragraphs = _CASE.search(read), []
        seen = "" if case is None else f", as {case.group()} shows"  # no two cases sound alike
        for name, own in cues.items():
            if own:
                units = [self._unit(cue, names, read) for cue in own]
                said = [f"Tell the judge to {unit}{seen}." for unit in units]
                paragraphs.append(f"{name}: {' '.join(said)}")
        return "\n\n".join(paragraphs) or "Keep all as it is."

    def _unit(self, cue: str, names: Group, read: str) -> str:
        """Give a cue, or what the coach says in its place."""
        careless = self.chance("careless", str(names), cue, read) < CARELESS
        joined = len({self._family(name) for name in names}) > 1
        diluted = joined and self.chance("diluted", cue, read) < self.dilution
        return _generic(read + cue) if careless or diluted else cue

    def texts(self, rubric: Rubric, documents: int, per_document: int) -> list[dspy.Example]:
        """Make texts of this world with human scores; its seed draws them."""
        return planted_examples(rubric, documents, per_document, self.seed)

    def agreement(self, instructions: str, criteria: Group, layout: Layout = "combined") -> float:
        """Give the true mean agreement of a judge, which is free of any sample's luck.

        Args:
            instructions: All sections.
            criteria: Those that are rated.
            layout: Which of them share a call.
        """
        return fmean(
            self.expected(name, self.error_sd(name, instructions, group))
            for group in scope_of(layout).groups(criteria)
            for name in group
        )

    def expected(self, name: str, sd: float) -> float:
        """Simulate the agreement of a judge with such an error on a criterion, on many texts."""
        return expected_agreement(round(sd, 4), "pooled", 1)

    def rewritten(self, texts: Mapping[str, str], advice: str) -> dict[str, str]:
        """Rewrite the criteria's texts, each with the cues that it holds and those advised."""
        new = {}
        for name, text in texts.items():
            new_rules = rules_of(name, advice)
            if len(texts) > 1:
                new_rules = [rule for rule in new_rules if not self._omits(rule, advice)]
            held = rules_of(name, f"{text} {'; '.join(new_rules)}")
            new[name] = " ".join(["Rate from 1 to 5.", *(f"When you rate, {cue}." for cue in held)])
        return new

    def _omits(self, cue: str, advice: str) -> bool:
        return self.chance("omitted", cue, advice) < self.omission

    def chance(self, *parts: str) -> float:
        """Draw from (0, 1), always the same for the same parts."""
        digest = hashlib.sha256("|".join((str(self.seed), *parts)).encode()).digest()
        return (int.from_bytes(digest[:6]) + 0.5) / 2**48


FAVOURED = PlantedWorld(dilution=0.7, joint_cost=0.2, omission=0.6)
"""A world for a search: SSS learns most in few steps, then SSC; separate judge calls err less."""


class PlantedEngine(ToyEngine):
    """The planted world behind DSPy's engine seam; a prompt that comes again is drawn again."""

    def __init__(self, world: PlantedWorld) -> None:
        super().__init__()
        self.world = world
        self._sent: Counter[str] = Counter()
        self._lock = threading.Lock()

    def answer(self, system: str, user: str) -> str:
        with self._lock:
            draw = self._sent[system + user]
            self._sent[system + user] += 1
        return self.world.reply(system, user, draw)


def planted_lm(world: PlantedWorld) -> dspy.LM:
    """Give an LM that lives in a planted world."""
    return dspy.LM("planted/world", engine=PlantedEngine(world), temperature=0.0)


def planted_rubric(*names: str) -> Rubric:
    """Make a rubric of criteria that have cues.

    Raises:
        ValueError: If one has none.
    """
    if unknown := set(names) - set(CUES):
        raise ValueError(f"The world has no cues for {sorted(unknown)}; it has {list(CUES)}.")
    return toy_rubric(*names)


def planted_examples(
    rubric: Rubric, documents: int, systems: int, seed: int = 0
) -> list[dspy.Example]:
    """Make documents with so many texts each, whose true scores are drawn from 1 to 5."""
    rng = np.random.default_rng(seed)
    examples = []
    for document in range(documents):
        for system in range(systems):
            scores = {name: int(rng.integers(1, 6)) for name in rubric.names}
            marks = ", ".join(f"{name}={score}" for name, score in scores.items())
            human = {rubric[name].human: float(score) for name, score in scores.items()}
            text = f"Document {seed}-{document}, text {system}: {marks}"
            example = dspy.Example(output=text, group=str(document), system_id=str(system), **human)
            examples.append(example.with_inputs("output"))
    return examples


@cache
def expected_agreement(
    sd: float, level: Level, systems: int, documents: int = 20_000, seed: int = 0
) -> float:
    """Simulate the agreement of a judge whose error has this standard deviation, on many texts."""
    rng = np.random.default_rng(seed)
    human = rng.integers(1, 6, documents * systems).astype(float)
    judge = np.clip(np.rint(human + sd * rng.standard_normal(human.size)), 1, 5)
    groups = [str(place // systems) for place in range(human.size)]
    value = correlate(human.tolist(), judge.tolist(), groups, level=level).value
    assert not isinstance(value, Undefined)
    return value


def _check_known(criteria: Group) -> None:
    if not criteria or set(criteria) - set(CUES):
        raise NotOfThisWorldError(
            f"The criteria of this world are {', '.join(CUES)}, from 1 to 5, got "
            f"{', '.join(criteria) or 'none of them'}."
        )


def cues_in(text: str) -> set[str]:
    """Give the cues that stand in a text."""
    return {cue for cues in CUES.values() for cue in cues if cue in text}


def true_score(name: str, text: str) -> float:
    """Read a text's true score on a criterion.

    Raises:
        NotOfThisWorldError: If it carries none.
    """
    truth = re.search(rf"\b{name}=(-?\d+(?:\.\d+)?)", text)
    if truth is None:
        raise NotOfThisWorldError(
            f"A text of this world carries its true scores, as in '{name}=4', got "
            f"{reprlib.repr(text)}."
        )
    return float(truth.group(1))


def _signed(result: str) -> float:
    """Read by how many points the judge was too high."""
    error = _ERROR.search(result)
    if error is None:
        return _UNSCORED
    return float(error.group(1)) * (1 if error.group(2) == "high" else -1)


def section_of(name: str, instructions: str) -> str:
    """Give a criterion's section; all of the instructions where they have no headings."""
    if "### Criterion: " not in instructions:
        return instructions
    section = re.search(rf"### Criterion: {name}\n(.*?)(?=\n\s*### |\Z)", instructions, re.DOTALL)
    return section.group(1) if section else ""


def _instructions(system: str) -> str:
    """Find the instructions in a system prompt that DSPy's `ChatAdapter` made."""
    lines = system.rpartition("your objective is:")[2].strip().splitlines()
    return "\n".join(line.strip() for line in lines)


def _share(name: str, text: str) -> float:
    cues = CUES[name]
    return sum(cue in text for cue in cues) / len(cues)


def _generic(text: str) -> str:
    return GENERIC[hashlib.sha256(text.encode()).digest()[0] % len(GENERIC)]
