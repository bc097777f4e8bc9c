"""Does the suite find what was planted, and nothing where nothing was? Many small worlds tell."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.dilution.arms import JOINT, LONG, SEPARATE
from benchmarks.dilution.contrasts import PRIMARY
from benchmarks.dilution.planted import as_json, plant
from benchmarks.dilution.raters import STEP, UNITS, UNITS_TEST, ratings_as_json
from benchmarks.dilution.summary import summarize as summarize_dilution
from benchmarks.harness.cells import Cell, Values
from benchmarks.harness.scored import known_of
from benchmarks.harness.setting import LAYOUTS, ROLES, Setting, setting_of
from benchmarks.interference.arms import judges
from benchmarks.interference.summary import ENOUGH
from benchmarks.interference.summary import summarize as summarize_interference
from benchmarks.worlds.cues import CUES
from benchmarks.worlds.planted import (
    PlantedWorld,
    expected_agreement,
    planted_examples,
    planted_lm,
    planted_rubric,
)
from benchmarks.worlds.rater import rating
from benchmarks.worlds.ratings import Rating, ratings_in
from mogradjudge import MultiCriteriaJudge
from mogradjudge.agreement.claims import Claim
from mogradjudge.criteria import Group
from mogradjudge.display.terminal import print_table
from mogradjudge.judge.scores import Unscored

CRITERIA = ("coherence", "fluency")
DOCUMENTS, SYSTEMS = 40, 5  # half of the documents are for the test
STEPS, BATCH, WORDS = 10, 2, 60  # of dilution
PLANTED = 15  # texts per criterion and share that its rater is tested on


@dataclass(frozen=True)
class Coverage:
    """How often the 95 % interval of an effect held the planted one, over many worlds.

    ``established`` counts the worlds in which the effect was called established: false alarms where
    nothing is planted, hits elsewhere. ``truth`` is the planted effect in the measured unit, and
    ``mean`` the mean estimate.
    """

    effect: str
    planted: float
    truth: float
    mean: float
    worlds: int
    covered: int
    established: int


def dilution_coverage(planted: float, worlds: int) -> Coverage:
    """Measure the planted dilution in many worlds: the share of a gradient's yield that is lost."""
    claims = [dilution_in(PlantedWorld(dilution=planted, seed=n)) for n in range(worlds)]
    return _coverage("dilution", planted, planted, claims)


def dilution_in(world: PlantedWorld) -> Claim:
    """Write and rate gradients in a world, and judge the share of the yield that is lost."""
    rater = WorldRater(world)
    texts = plant(CRITERIA, n=PLANTED, seed=world.seed)
    test = {"knows": CRITERIA, "planted": as_json(texts)}
    test |= {"ratings": rater.ratings([text.text for text in texts])}
    cells = [_bare_cell("dilution", {"part": UNITS_TEST, "rater": rater.name}, test)]
    for step in range(STEPS):
        key: dict[str, Any] = {"seed": 0, "step": step, "words": WORDS}
        key |= {"batch_size": BATCH, "seeds": 1, "steps": STEPS, "pool": "example"}
        gradients = list(_gradients(world, step))
        ratings = {"ratings": rater.ratings([gradient["text"] for gradient in gradients])}
        written = {"criteria": CRITERIA, "gradients": gradients}
        cells.append(_bare_cell("dilution", {**key, "part": STEP}, written))
        cells.append(_bare_cell("dilution", {**key, "part": UNITS, "rater": rater.name}, ratings))
    lost = summarize_dilution(cells).loss(rater.name, PRIMARY)
    assert lost is not None  # both arms were written
    return lost.share


@dataclass(frozen=True)
class WorldRater:
    """Rates as the world's rater does, without sending anything."""

    world: PlantedWorld
    name: str = "LM rater"
    criteria: Group = CRITERIA

    def rate(self, units: Sequence[str]) -> tuple[Rating | Unscored, ...]:
        """Rate units one by one."""
        criteria = json.dumps(dict.fromkeys(self.criteria, ""))
        ratings = []
        for unit in units:
            said = rating({"sentence": unit, "criteria": criteria}, CUES, self.world.chance)
            ratings.append(Rating.of(*said["about"], actionable=said["can_be_acted_on"] == "yes"))
        return tuple(ratings)

    def ratings(self, texts: Sequence[str]) -> dict[str, Any]:
        """Rate the units of texts, as cells hold it."""
        return ratings_as_json(ratings_in(texts, self))


def _gradients(world: PlantedWorld, step: int) -> Iterator[dict[str, Any]]:
    """Write a step's gradients under each scope."""
    for place in range(BATCH):
        example = f"example {step}-{place}"
        read = {name: world.feedback(example, {name: 1.0}) for name in CRITERIA}
        every = "\n".join(read.values())
        written = [
            *((SEPARATE, (name,), read[name], WORDS) for name in CRITERIA),
            (JOINT, CRITERIA, every, WORDS),
            (LONG, CRITERIA, every, WORDS * len(CRITERIA)),
        ]
        for arm, criteria, critiques, words in written:
            text = world.advice(criteria, critiques, words)
            units = [{"criterion": name} for name in criteria]
            gradient = {"arm": arm, "example": example, "criteria": criteria, "units": units}
            yield {**gradient, "text": text}


def crowding_coverage(planted: float, worlds: int) -> Coverage:
    """Measure the planted interference in many worlds, each with texts and noise of its own."""
    claims = [crowding_in(PlantedWorld(interference=planted, seed=n)) for n in range(worlds)]
    return _coverage("crowding", planted, true_crowding(planted), claims)


def crowding_in(world: PlantedWorld) -> Claim:
    """Score the core arms of several runs in a world, and judge mean crowding."""
    with tempfile.TemporaryDirectory() as folder:
        setting = _setting(world, Path(folder))
        cells = [
            _cell(setting, world, "noise", {"layout": layout, "repeat": 0}, setting.judge(layout))
            for layout in LAYOUTS
        ]
        for run in range(ENOUGH):
            for arm, judge in judges(setting, _most(run), 0, explaining=False).items():
                key = {"part": "score", "arm": arm, "run": str(run), "repeat": 0}
                cells.append(_cell(setting, world, "interference", key, judge))
    return summarize_interference(cells).crowding


def true_crowding(planted: float) -> float:
    """Simulate the crowding of instructions that hold all cues but one, on very many texts."""
    world, sections = PlantedWorld(interference=planted), _most(0)
    name, *others = CRITERIA
    joint, alone = (
        "\n\n".join(f"### Criterion: {criterion}\n{text}" for criterion, text in texts.items())
        for texts in (sections, {**sections, **dict.fromkeys(others, "")})
    )
    crowded, free = (
        expected_agreement(world.error_sd(name, text, CRITERIA), "group", SYSTEMS)
        for text in (joint, alone)
    )
    return crowded - free


def scored_directly(
    world: PlantedWorld, judge: MultiCriteriaJudge, texts: Sequence[str], draw: int = 0
) -> dict[str, list[int]]:
    """Score texts as the world's LM would, without sending anything."""
    scores: dict[str, list[int]] = {name: [] for name in judge.rubric.names}
    for predictor in judge.judges.values():
        for text in texts:
            criteria = predictor.criteria
            by_name = world.scores(text, predictor.signature.instructions, criteria, draw)
            for name in criteria:
                scores[name].append(by_name[name])
    return scores


def _setting(world: PlantedWorld, folder: Path) -> Setting:
    rubric = planted_rubric(*CRITERIA)
    examples = planted_examples(rubric, DOCUMENTS, SYSTEMS, seed=world.seed)
    lms = dict.fromkeys(ROLES, planted_lm(world))
    return setting_of(folder, rubric, examples, lms)


def _most(run: int) -> dict[str, str]:
    """Give the sections of one run: they hold all cues but one, another one in each run."""
    return {
        name: " ".join(f"When you rate, {cue}." for n, cue in enumerate(CUES[name]) if n != run)
        for name in CRITERIA
    }


def _cell(
    setting: Setting, world: PlantedWorld, benchmark: str, key: Values, judge: MultiCriteriaJudge
) -> Cell:
    texts = [example.output for example in setting.test]
    scores = scored_directly(world, judge, texts)
    judged = {"scores": scores, **known_of(setting.rubric, setting.test)}
    return _bare_cell(benchmark, key, {"judged": judged})


def _bare_cell(benchmark: str, key: Values, result: Values) -> Cell:
    """Make a cell of what was measured without an LM."""
    return Cell(benchmark, key, {}, result, [], 0, 0.0, {})


def _coverage(effect: str, planted: float, truth: float, claims: Sequence[Claim]) -> Coverage:
    intervals = [
        (claim.estimate, claim.low, claim.high)
        for claim in claims
        if claim.estimate is not None and claim.low is not None and claim.high is not None
    ]
    return Coverage(
        effect=effect,
        planted=planted,
        truth=truth,
        mean=sum(estimate for estimate, _, _ in intervals) / max(1, len(intervals)),
        worlds=len(claims),
        covered=sum(low <= truth <= high for _, low, high in intervals),
        established=sum(claim.verdict == "established" for claim in claims),
    )


@click.command("calibration")
@click.option("--worlds", type=click.IntRange(1), default=50, show_default=True)
def command(worlds: int) -> None:
    """Does the suite find the effects that are planted in simulated worlds?"""
    rows = [dilution_coverage(planted, worlds) for planted in (0.0, 0.4)]
    rows += [crowding_coverage(planted, worlds) for planted in (0.0, 0.6)]
    print_table(
        ("effect", "planted", "true effect", "mean estimate", "interval holds it", "established"),
        [
            [
                *(row.effect, f"{row.planted:g}", f"{row.truth:+.3f}", f"{row.mean:+.3f}"),
                f"{row.covered} of {row.worlds}",
                f"{row.established} of {row.worlds}",
            ]
            for row in rows
        ],
        f"{worlds} worlds: {STEPS} steps of {BATCH} examples; {DOCUMENTS // 2} test documents with "
        f"{SYSTEMS} texts, {ENOUGH} runs. Dilution is the share of the yield that is lost; "
        "95 % intervals.",
    )
