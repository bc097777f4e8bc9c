"""One step: judge a batch, critique, advise, rewrite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dspy
from dspy.evaluate import EvaluationResult

from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.metering import booked
from mogradjudge.optimize.context import Workshop
from mogradjudge.optimize.events import (
    BatchJudged,
    CritiqueWritten,
    GradientWritten,
    JudgedText,
    Observer,
    QuestionSkipped,
    SectionRewritten,
    as_plain,
)
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.dspy_internals import with_callbacks
from mogradjudge.programs.evaluation import Judgement, agreement_of, judge_examples
from mogradjudge.programs.structure import clone, with_distinct_stages
from mogradjudge.stages.gradient import write_gradients
from mogradjudge.stages.loss import write_critiques
from mogradjudge.stages.optimizer import rewrite_sections
from mogradjudge.stages.role import Skipped


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
        dspy.LMError: If the provider fails, or refuses all that a role asks.
        ReplyError: If a role is never heard.
        BudgetExhausted: If a cap is reached.
        RunStopped: If the run was asked to stop.
    """
    mode, label, brief = shop.config.mode, f"{shop.config.seed}/{step}", shop.brief(current, step)
    criteria = tuple(each.name for each in brief.objectives)
    program = with_distinct_stages(current.written_into(shop.program))
    judgements = _run(shop, program, batch, with_traces=shop.with_traces)
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
        preambles=[slot for slot in shop.preambles if slot.predictor in brief.predictors],
    )
    texts = {slot: text for edit in edits.records for slot, text in edit.texts.items()}
    for slot, text in texts.items():
        notify(SectionRewritten(step, slot.predictor, slot.criterion, text))
    skipped = (*critiques.skipped, *gradients.skipped, *edits.skipped)
    for each in skipped:
        notify(QuestionSkipped(step, each.role, each.criteria, each.label, each.reason, each.reply))
    for role, answers in ((shop.critic, critiques), (shop.coach, gradients), (shop.editor, edits)):
        shop.hearing.note(role, answers)
    return Proposal(current.replace(texts), skipped)


def judge(
    shop: Workshop, candidate: Candidate, examples: Sequence[dspy.Example]
) -> tuple[Judgement, ...]:
    """Score a candidate's instructions on examples, the calls booked; DSPy's callbacks hear of it.

    What they are given as the program speaks with the user's own LMs.
    """
    program = candidate.written_into(shop.program)
    if not dspy.settings.get("callbacks"):
        return _run(shop, program, examples)
    scoring = _Scoring(shop, examples)
    scoring(program, callback_metadata={"metric_key": "eval_full"})
    return scoring.judgements


class _Scoring(dspy.Evaluate):  # type: ignore[misc]  # dspy is untyped
    """One scoring as DSPy's callbacks know it: an evaluation, with a score from -100 to 100."""

    judgements: tuple[Judgement, ...] = ()

    def __init__(self, shop: Workshop, examples: Sequence[dspy.Example]) -> None:
        super().__init__(devset=list(examples), num_threads=shop.config.num_threads)
        self.shop = shop

    @with_callbacks  # type: ignore[untyped-decorator]
    def __call__(
        self,
        program: dspy.Module,
        callback_metadata: Mapping[str, object] | None = None,
    ) -> EvaluationResult:
        self.judgements = _run(self.shop, clone(program), self.devset)
        objectives = self.shop.objectives
        mean = agreement_of(self.judgements, objectives).mean
        return EvaluationResult(
            score=math.nan if mean is None else round(100 * mean, 2),
            results=[_result(each) for each in self.judgements],
        )


def _result(judgement: Judgement) -> tuple[dspy.Example, dspy.Prediction, float | None]:
    """Give a judgement as DSPy reports one: no score is None, and the mean one of several."""
    scores = [score for score in judgement.scores.values() if isinstance(score, float)]
    made = judgement.prediction
    return (
        judgement.example,
        dspy.Prediction() if isinstance(made, Unscored) else made,
        sum(scores) / len(scores) if scores else None,
    )


def _run(
    shop: Workshop,
    program: dspy.Module,
    examples: Sequence[dspy.Example],
    *,
    with_traces: bool = False,
) -> tuple[Judgement, ...]:
    with booked(shop.ledger, "judge", shop.criteria):
        return judge_examples(
            program, examples, shop.objectives, shop.config.num_threads, with_traces=with_traces
        )
