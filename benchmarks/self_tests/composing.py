"""How much of the planted interference `compose` undoes, by calls per text.

In this world a section harms the criteria of other families that share its call, and none of its
own: what is undone is (A - C) / (S - C), with A the composition's true agreement, C that of all
sections in one call and S that of one call per criterion. The world knows the true agreement; the
composition sees sampled texts. Each criterion's section holds all phrases that help it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import click
import dspy

from benchmarks.harness.setting import errors_in_one_line
from benchmarks.worlds.cues import CUES
from benchmarks.worlds.planted import (
    PlantedWorld,
    planted_examples,
    planted_lm,
    planted_rubric,
    section_of,
)
from mogradjudge import ComposeOptions, MultiCriteriaJudge, Rubric, compose
from mogradjudge.criteria import Group
from mogradjudge.display.terminal import print_table
from mogradjudge.judge.instructions import Instructions

FAMILIES: Mapping[str, tuple[Group, ...]] = {
    "2 families of 2": (("coherence", "relevance"), ("consistency", "fluency")),
    "a family of 3, one alone": (("coherence", "fluency", "relevance"), ("consistency",)),
}
_ALONE = 1  # texts per document


@dataclass(frozen=True)
class FamilyWorld(PlantedWorld):
    """A planted world whose interference is between families alone."""

    families: tuple[Group, ...] = ()

    def error_sd(self, name: str, instructions: str, criteria: Group) -> float:
        """Give the standard deviation of the judge's error on one of a call's criteria."""
        family = next(group for group in self.families if name in group)
        strangers = [other for other in criteria if other not in family]
        alone = super().error_sd(name, instructions, (name,))
        shares = [
            sum(cue in section_of(other, instructions) for cue in CUES[other]) / len(CUES[other])
            for other in strangers
        ]
        return alone + self.interference * (fmean(shares) if shares else 0.0)

    def true_agreement(self, groups: Sequence[Group]) -> float:
        """Return the mean agreement of a judge with all sections, in these calls."""
        instructions = Instructions("", SECTIONS).render()
        return fmean(
            self.expected(name, self.error_sd(name, instructions, group))
            for group in groups
            for name in group
        )


SECTIONS = {
    name: " ".join(["Rate from 1 to 5.", *(f"When you rate, {cue}." for cue in cues)])
    for name, cues in CUES.items()
}


def optimized_alone(rubric: Rubric, name: str) -> MultiCriteriaJudge:
    """Make the judge of one criterion, with its section."""
    judge = MultiCriteriaJudge(Rubric(rubric.inputs, [rubric[name]]))
    (predictor,) = judge.predictors()
    old = Instructions.parse(predictor.signature.instructions)
    text = old.replace({name: SECTIONS[name]}).render()
    predictor.signature = predictor.signature.with_instructions(text)
    return judge


def undone(world: FamilyWorld, documents: int) -> list[tuple[float, str]]:
    """Compose a judge; return for 1, 2, ... calls what is undone, and the layout."""
    rubric = planted_rubric(*(name for group in world.families for name in group))
    examples = planted_examples(rubric, documents, _ALONE, world.seed)
    with dspy.context(lm=planted_lm(world)):
        composed = compose(
            [optimized_alone(rubric, name) for name in rubric.names],
            examples,
            ComposeOptions(max_calls_per_text=len(rubric.names) // 2, seed=world.seed),
        )
    together = world.true_agreement([rubric.names])
    gap = world.true_agreement([(name,) for name in rubric.names]) - together
    return [
        ((world.true_agreement(point.groups) - together) / gap, point.layout)
        for point in reversed(composed.front)
    ]


@click.command("composing", help=__doc__)
@click.option("--documents", default=100, show_default=True, type=click.IntRange(40))
@click.option("--seeds", default=10, show_default=True, type=click.IntRange(1))
@click.option("--interference", default=1.2, show_default=True, help="Points of the scale.")
@errors_in_one_line()
def command(documents: int, seeds: int, interference: float) -> None:
    """Print the table."""
    rows = []
    for name, families in FAMILIES.items():
        worlds = [
            FamilyWorld(interference=interference, seed=seed, families=families)
            for seed in range(seeds)
        ]
        fronts = [undone(world, documents) for world in worlds]
        for number, points in enumerate(zip(*fronts, strict=True), 1):
            shares = [share for share, _ in points]
            layouts = [layout for _, layout in points]
            usual = max(set(layouts), key=layouts.count)
            figures = [f"{fmean(shares):.0%}", f"{min(shares):.0%}"]
            rows.append([name, str(number), *figures, f"{usual} ({layouts.count(usual)})"])
    columns = ("world", "calls per text", "undone", "at least", "most often")
    title = f"Interference undone by compose, {seeds} worlds of {documents} documents each"
    print_table(columns, rows, title, keys=1)
