"""What the benchmarks of `search` search: a planted world in which the best mode is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import dspy

from benchmarks.worlds.planted import (
    FAVOURED,
    PlantedWorld,
    expected_agreement,
    planted_examples,
    planted_rubric,
)
from mogradjudge import MODES, MOGradConfig, MultiCriteriaJudge
from mogradjudge.judge.instructions import Instructions
from mogradjudge.optimize.config import config_with
from mogradjudge.programs.candidate import Candidate
from mogradjudge.search import Range, SearchResult, SearchSpace, TrialRecord, search
from mogradjudge.settings import PROTOCOLS

BEST_MODE = "SSS"
CRITERIA = ("coherence", "fluency", "relevance")
SYSTEMS = 5  # texts of a document
BASE = config_with(PROTOCOLS["paper"], MOGradConfig(steps=2, batch_size=2))
SPACE = SearchSpace(
    mode=tuple(MODES),
    batch_size=Range(1, 4),
    gate=("mean", "none"),
    tolerance=None,
    editor_temperature=Range(0.0, 1.0),  # means nothing in this world
)
# A name that DSPy's catalogue knows: for others it searches all of it twice a call, 3 ms.
MODEL = "openai/gpt-4o-mini"


@dataclass(frozen=True)
class Texts:
    """The texts of a search; no document has texts in two of the parts."""

    training: Sequence[dspy.Example]
    validation: Sequence[dspy.Example]
    selection: Sequence[dspy.Example]


def make_texts(training: int = 8, validation: int = 8, selection: int = 30, seed: int = 0) -> Texts:
    """Make the texts of so many documents for each part."""
    examples = planted_examples(
        planted_rubric(*CRITERIA), training + validation + selection, SYSTEMS, seed
    )
    first, second = training * SYSTEMS, (training + validation) * SYSTEMS
    return Texts(examples[:first], examples[first:second], examples[second:])


def seed_judge() -> MultiCriteriaJudge:
    """Make the judge that every trial starts from."""
    return MultiCriteriaJudge(planted_rubric(*CRITERIA))


def http_lm(url: str) -> dspy.LM:
    """Give an LM behind an OpenAI-compatible server; its replies are kept, as a search needs."""
    return dspy.LM(MODEL, api_base=url, api_key="none", temperature=0.0)


def searched(lm: dspy.BaseLM, texts: Texts, out: Path, **options: Any) -> SearchResult:
    """Search the planted world; ``options`` are further ones of `search`."""
    judge, options = seed_judge(), {"space": SPACE, "base": BASE, **options}
    with dspy.context(lm=lm):
        return search(judge, texts.training, texts.validation, texts.selection, out=out, **options)


def true_agreement(judge: MultiCriteriaJudge, world: PlantedWorld = FAVOURED) -> float:
    """Give a judge's mean agreement on 100 000 fresh texts, by what its instructions hold."""
    return fmean(
        expected_agreement(
            # Equal cues in another order have equal errors, but for their last digits.
            round(world.error_sd(name, predictor.signature.instructions, predictor.criteria), 9),
            BASE.level,
            SYSTEMS,
        )
        for predictor in judge.judges.values()
        for name in predictor.criteria
    )


def judge_of(record: TrialRecord) -> MultiCriteriaJudge:
    """Give the judge that a trial ended with."""
    judge = MultiCriteriaJudge(planted_rubric(*CRITERIA), record.config["layout"])
    texts = {path: Instructions.parse(text) for path, text in record.instructions.items()}
    written: MultiCriteriaJudge = Candidate(texts).written_into(judge)
    return written
