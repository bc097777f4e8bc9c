"""Measuring one step: its gradients under every scope, and what editors make of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import dspy

from benchmarks.dilution.arms import ARMS, write_arms
from benchmarks.dilution.lm_rater import AdherenceQuestion, open_rater
from benchmarks.harness.setting import Setting
from mogradjudge import MOGradConfig, SetupError
from mogradjudge.criteria import Group
from mogradjudge.data import group_of
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.ledger import Ledger
from mogradjudge.objectives import rubric_objectives
from mogradjudge.optimize.config import config_with
from mogradjudge.optimize.context import RunContext, make_context
from mogradjudge.optimize.sampling import by_disagreement
from mogradjudge.optimize.step import judge
from mogradjudge.programs.candidate import Brief, Candidate
from mogradjudge.settings import PROTOCOLS, Pooling
from mogradjudge.stages.gradient import Evidence, Gradient, Unit
from mogradjudge.stages.hygiene import Hygiene
from mogradjudge.stages.optimizer import Edit, rewrite_sections
from mogradjudge.stages.role import Round


def open_context(
    setting: Setting, ledger: Ledger, seed: int, pool: Pooling = "batch"
) -> RunContext:
    """Give the run context of a judge with the seed instructions."""
    config = MOGradConfig(seed=seed, num_threads=setting.num_threads)
    return make_context(
        setting.judge(),
        rubric_objectives(setting.rubric),
        config_with(PROTOCOLS["paper"], config) if pool == "example" else config,
        ledger,
        setting.lms,
    )


def texts_of(
    setting: Setting, seeds: Sequence[int], steps: int, size: int, most: int
) -> dict[tuple[int, int], list[dspy.Example]]:
    """Deal the documents out to the (seed, step) pairs, and draw texts from each pair's own.

    A pair has at least ``size`` of them and at most ``most``.

    A pair is a cluster, so no two may share a document. The test documents are left out; those of
    the validation part choose nothing here, and are used like the training ones.

    Raises:
        SetupError: If there are too few documents, or too few texts in them.
    """
    members: dict[str, list[dspy.Example]] = {}
    for place, example in enumerate([*setting.training, *setting.validation]):
        members.setdefault(group_of(example, place), []).append(example)
    pairs = [(seed, step) for seed in seeds for step in range(steps)]
    if len(members) < len(pairs):
        raise SetupError(
            f"{len(pairs)} steps over all seeds need as many documents outside of the test part, "
            f"got {len(members)}. Give more documents, or fewer --steps or --seeds."
        )
    order = random.Random("documents").sample(sorted(members), len(members))
    texts_by_pair = {}
    for number, (seed, step) in enumerate(pairs):
        texts = [text for name in order[number :: len(pairs)] for text in members[name]]
        if len(texts) < size:
            raise SetupError(
                f"Each step needs {size} texts of its own documents, and some have {len(texts)}. "
                "Give more documents, or fewer --steps or a smaller --batch-size."
            )
        texts_by_pair[seed, step] = random.Random(f"{seed}/{step}").sample(
            texts, min(most, len(texts))
        )
    return texts_by_pair


def write_step(
    setting: Setting,
    ledger: Ledger,
    *,
    texts: Sequence[dspy.Example],
    batch_size: int,
    pool: Pooling,
    seed: int,
    step: int,
    words: int,
) -> dict[str, Any]:
    """Judge texts, and write a step's gradients on a batch of them, as `write_arms` gives them.

    The batch is drawn by disagreement, as in a run; with ``pool="example"`` it is all texts.
    """
    context = open_context(setting, ledger, seed, pool)
    brief = seed_brief(context)
    judged = judge(context, brief.candidate, texts)
    batch = judged
    if pool == "batch":
        batch = next(by_disagreement(judged, context.objectives, batch_size, seed))
    return write_arms(context, brief, Evidence(batch, judged), words, f"{seed}/{step}")


def seed_brief(context: RunContext) -> Brief:
    """Give what the roles read beside texts: the seed instructions."""
    return Brief(context.objectives, Candidate.of(context.program), context.slots)


def edits_by(
    context: RunContext, gradients: Sequence[Gradient], groups: Sequence[Group], label: str
) -> Round[Edit]:
    """Let the editor rewrite the seed's sections by these gradients."""
    return rewrite_sections(
        *(gradients, groups, seed_brief(context), context.editor),
        label=label,
        hygiene=Hygiene(context.config.max_section_chars, may_repeat=True),
    )


def edit_step(
    setting: Setting,
    ledger: Ledger,
    *,
    gradients: Sequence[Mapping[str, Any]],
    seed: int,
    step: int,
) -> dict[str, Any]:
    """Have an editor rewrite by each arm's gradients, and rate from 1 to 10 how it followed."""
    context = open_context(setting, ledger, seed)
    brief, questions = seed_brief(context), []
    for name, arm in ARMS.items():
        own = [_gradient(gradient) for gradient in gradients if gradient["arm"] == name]
        groups = arm.gradients.groups(context.criteria)
        edits = edits_by(context, own, groups, f"{seed}/{step}/{name}")
        for edit in edits.records:
            read = "\n\n".join(it.text for it in own if set(it.criteria) <= set(edit.criteria))
            for slot, new in edit.texts.items():
                old = brief.candidate.text(slot)
                question = AdherenceQuestion(str(slot.criterion), read, old, new)
                questions.append((name, question))
    rater = open_rater(setting.lms["rater"], setting.rubric, ledger, setting.num_threads)
    ratings = rater.rate_adherence([question for _, question in questions])
    return {
        "ratings": [
            {
                "arm": arm,
                "criterion": question.criterion,
                "new": question.new_instructions,
                "rating": None if isinstance(rating, Unscored) else rating,
            }
            for (arm, question), rating in zip(questions, ratings, strict=True)
        ]
    }


def _gradient(cell: Mapping[str, Any]) -> Gradient:
    units = tuple(Unit(**unit) for unit in cell["units"])
    return Gradient(cell["example"], tuple(cell["criteria"]), units)
