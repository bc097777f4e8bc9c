"""One step: judge a batch, critique, advise, rewrite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dspy

from mogradjudge.candidate import Brief, Candidate
from mogradjudge.evaluation import Judgement, judge_examples
from mogradjudge.events import (
    BatchJudged,
    CritiqueWritten,
    GradientWritten,
    JudgedText,
    Observer,
    QuestionSkipped,
    SectionRewritten,
    as_plain,
)
from mogradjudge.gradient import write_gradients
from mogradjudge.loss import write_critiques
from mogradjudge.metering import meter_program, metered_default
from mogradjudge.optimizer import rewrite_sections
from mogradjudge.roles import Skipped
from mogradjudge.workshop import Workshop


@dataclass(frozen=True)
class Proposal:
    """The candidate that a step came up with, and the questions it had to do without."""

    candidate: Candidate
    skipped: tuple[Skipped, ...]


def propose(
    shop: Workshop,
    current: Candidate,
    batch: Sequence[dspy.Example],
    step: int,
    notify: Observer,
) -> Proposal:
    """Take the instructions one step further; four rounds of calls, the gate's comes on top.

    Raises:
        dspy.LMError: If the provider fails.
        BudgetExhausted: If a cap is reached.
        RunStopped: If the run was asked to stop.
    """
    mode, criteria, label = shop.config.mode, shop.criteria, f"{shop.config.seed}/{step}"
    brief = Brief(shop.objectives, current, shop.slots)
    judgements = judge(shop, current, batch)
    inputs = tuple(as_plain(each.example.inputs()) for each in judgements)
    notify(BatchJudged(step, JudgedText.all_of(judgements, shop.objectives), inputs))
    critiques = write_critiques(
        judgements,
        mode.loss.groups(criteria),
        brief,
        shop.critic,
        label=label,
        skip_tolerance=shop.config.skip_tolerance,
    )
    for critique in critiques.records:
        notify(CritiqueWritten(step, critique.example_id, critique.criteria, critique.text))
    gradients = write_gradients(
        critiques.records, mode.gradient.groups(criteria), brief, shop.coach, label=label
    )
    for gradient in gradients.records:
        notify(GradientWritten(step, gradient.example_id, gradient.criteria, gradient.text))
    edits = rewrite_sections(
        gradients.records,
        mode.optimizer.groups(criteria),
        brief,
        shop.editor,
        label=label,
        max_chars=shop.config.max_section_chars,
        preambles=shop.preambles,
    )
    texts = {slot: text for edit in edits.records for slot, text in edit.texts.items()}
    for slot, text in texts.items():
        notify(SectionRewritten(step, slot.predictor, slot.criterion, text))
    skipped = (*critiques.skipped, *gradients.skipped, *edits.skipped)
    for question in skipped:
        notify(
            QuestionSkipped(step, question.role, question.criteria, question.label, question.reason)
        )
    return Proposal(current.replace(texts), skipped)


def judge(
    shop: Workshop, candidate: Candidate, examples: Sequence[dspy.Example]
) -> tuple[Judgement, ...]:
    """Run the program with a candidate's instructions over examples, its calls booked."""
    program = candidate.written_into(shop.program)
    meter_program(program, shop.ledger, shop.criteria)
    with metered_default(shop.ledger, shop.criteria):
        return judge_examples(program, examples, shop.objectives, shop.config.num_threads)
