"""Does the suite find what was planted, and nothing where nothing was? Many small worlds tell."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.cells import Cell, Values
from benchmarks.claims import Claim
from benchmarks.interference.measure import judges
from benchmarks.interference.summary import EFFECTS, effect
from benchmarks.planted import (
    CUES,
    PlantedWorld,
    expected_agreement,
    planted_examples,
    planted_lm,
    planted_rubric,
)
from benchmarks.setting import LAYOUTS, ROLES, Setting, setting_of
from mogradjudge import MultiCriteriaJudge
from mogradjudge.tables import print_table

CRITERIA = ("coherence", "fluency")
DOCUMENTS, SYSTEMS = 40, 5  # half of the documents are for the test


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


def interference_coverage(planted: float, worlds: int) -> Coverage:
    """Measure the planted interference in many worlds, each with texts and noise of its own."""
    claims = [interference_in(PlantedWorld(interference=planted, seed=n)) for n in range(worlds)]
    return _coverage("interference", planted, true_interference(planted), claims)


def interference_in(world: PlantedWorld) -> Claim:
    """Score all arms in a world, and judge the mean interference."""
    with tempfile.TemporaryDirectory() as folder:
        setting = _setting(world, Path(folder))
        cells = [
            _cell(setting, world, "noise", {"layout": layout, "repeat": 0}, setting.judge(layout))
            for layout in LAYOUTS
        ]
        for arm, judge in judges(setting, _full(), 0).items():
            key = {"part": "score", "arm": arm, "run": "0", "repeat": 0}
            cells.append(_cell(setting, world, "interference", key, judge))
    return effect(cells, "interference")["mean"]


def true_interference(planted: float) -> float:
    """Simulate the interference of instructions that hold all cues, on very many texts."""
    world, full = PlantedWorld(interference=planted), _full()
    name = CRITERIA[0]
    joint = "\n\n".join(f"### Criterion: {each}\n{text}" for each, text in full.items())
    sds = {
        "S0": world.error_sd(name, "", (name,)),
        "S1": world.error_sd(name, full[name], (name,)),
        "J0": world.error_sd(name, "", CRITERIA),
        "J1": world.error_sd(name, joint, CRITERIA),
    }
    _, weights = EFFECTS["interference"]
    return sum(w * expected_agreement(sds[arm], "group", SYSTEMS) for arm, w in weights.items())


def scored_directly(
    world: PlantedWorld, judge: MultiCriteriaJudge, texts: Sequence[str], draw: int = 0
) -> dict[str, list[int]]:
    """Score texts as the world's LM would, without sending anything."""
    scores: dict[str, list[int]] = {name: [] for name in judge.rubric.names}
    for predictor in judge.judges.values():
        for text in texts:
            asked = predictor.criteria
            given = world.scores(text, predictor.signature.instructions, asked, draw)
            for name in asked:
                scores[name].append(given[name])
    return scores


def _setting(world: PlantedWorld, folder: Path) -> Setting:
    rubric = planted_rubric(*CRITERIA)
    examples = planted_examples(rubric, DOCUMENTS, SYSTEMS, seed=world.seed)
    lms = dict.fromkeys(ROLES, planted_lm(world))
    return setting_of(folder, rubric, examples, lms)


def _full() -> dict[str, str]:
    return {name: " ".join(f"When you rate, {cue}." for cue in CUES[name]) for name in CRITERIA}


def _cell(
    setting: Setting, world: PlantedWorld, benchmark: str, key: Values, judge: MultiCriteriaJudge
) -> Cell:
    texts = [example.output for example in setting.test]
    rubric = setting.rubric
    judged = {
        "scores": scored_directly(world, judge, texts),
        "human": {c.name: [each[c.human] for each in setting.test] for c in rubric.criteria},
        "groups": [example.group for example in setting.test],
        "systems": [example.system_id for example in setting.test],
        "scales": {c.name: [c.scale.low, c.scale.high] for c in rubric.criteria},
    }
    return Cell(benchmark, key, {}, {"judged": judged}, [], 0, 0.0, {})


def _coverage(effect: str, planted: float, truth: float, claims: Sequence[Claim]) -> Coverage:
    found = [
        (each.estimate, each.low, each.high)
        for each in claims
        if each.estimate is not None and each.low is not None and each.high is not None
    ]
    return Coverage(
        effect=effect,
        planted=planted,
        truth=truth,
        mean=sum(estimate for estimate, _, _ in found) / max(1, len(found)),
        worlds=len(claims),
        covered=sum(low <= truth <= high for _, low, high in found),
        established=sum(each.verdict == "established" for each in claims),
    )


@click.command("calibration")
@click.option("--worlds", type=click.IntRange(1), default=50, show_default=True)
def command(worlds: int) -> None:
    """Does the suite find the effects that are planted in simulated worlds?"""
    rows = [interference_coverage(planted, worlds) for planted in (0.0, 0.6)]
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
        f"{worlds} worlds of {DOCUMENTS // 2} test documents with {SYSTEMS} texts; 95 % intervals",
    )
