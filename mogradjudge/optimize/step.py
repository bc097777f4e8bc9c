"""One step: judge a batch, critique, advise, rewrite."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dspy
from dspy.evaluate import EvaluationResult

from mogradjudge.agreement.weighted_mean import Weights, mean_of
from mogradjudge.criteria import Group
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.media import plain
from mogradjudge.lm.metering import booked
from mogradjudge.objectives.human_agreement import HumanAgreement
from mogradjudge.optimize.context import RunContext
from mogradjudge.optimize.events import (
    BatchJudged,
    ConflictsFound,
    CritiqueWritten,
    GradientWritten,
    Observer,
    QuestionSkipped,
    SectionRewritten,
    UnitsRouted,
)
from mogradjudge.programs.candidate import Brief, Candidate, Slot
from mogradjudge.programs.dspy_internals import with_callbacks
from mogradjudge.programs.evaluation import Agreement, Judgement, agreement_of, judge_examples
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.programs.structure import clone, with_distinct_stages
from mogradjudge.scoring.ceilings import ceilings_of
from mogradjudge.stages.conflicts import Resolution, resolve_conflicts
from mogradjudge.stages.gradient import Evidence, Gradient, write_gradients
from mogradjudge.stages.history import EditRecord
from mogradjudge.stages.hygiene import Hygiene
from mogradjudge.stages.loss import Critique, write_critiques
from mogradjudge.stages.optimizer import Edit, rewrite_sections
from mogradjudge.stages.role import Round, Skipped

_LONGEST_NAME = 60  # characters of what a model gives as a criterion's name


@dataclass(frozen=True)
class Proposal:
    """The candidate that a step proposes, and the questions without a usable reply.

    ``reason`` says why the candidate is the current one; it is empty for another.
    """

    candidate: Candidate
    skipped: tuple[Skipped, ...]
    reason: str = ""


def propose(
    context: RunContext,
    current: Candidate,
    batch: Sequence[dspy.Example],
    step: int,
    notify: Observer,
    *,
    pool: Sequence[Judgement] = (),
    history: Sequence[EditRecord] = (),
    agreement: Agreement | None = None,
) -> Proposal:
    """Propose new instructions from one batch, in four rounds of calls without the gate's.

    Where conflicts are resolved, there are up to two more.

    Args:
        context: What every step works with.
        current: The current instructions.
        batch: The step's examples.
        step: The step's number; the first is 1.
        notify: Gets an event of each round.
        pool: Other training texts, judged under the initial instructions.
        history: The edits that the run has tried so far.
        agreement: That of the current instructions on the validation texts.

    Raises:
        dspy.LMError: If the provider fails, or refuses all questions of a role.
        ReplyError: If a role never gives a usable reply.
        BudgetExhausted: If the budget is spent.
        RunStopped: If the run was asked to stop.
    """
    taken = _Step(context, context.brief(current, step), step, notify)
    if context.config.pool == "example":  # as in the paper
        pool, history = (), ()
    program = with_distinct_stages(current.written_into(context.program))
    judgements = taken.judge(program, batch)
    critiques = taken.critique(judgements)
    gradients = taken.advise(critiques.records, Evidence(judgements, pool, history))
    resolved = taken.resolve(gradients.records, pool or judgements, agreement)
    edits = taken.rewrite(resolved.gradients, batch, history)
    skipped = (*critiques.skipped, *gradients.skipped, *resolved.skipped, *edits.skipped)
    for question in skipped:
        notify(
            QuestionSkipped(
                *(step, question.role, question.criteria, question.label),
                *(question.reason, question.reply),
            )
        )
    monitor = context.role_monitor
    monitor.check(context.critic, critiques)
    monitor.check(context.coach, gradients)
    monitor.check(context.editor, edits)
    proposed = current.replace(_texts_of(edits))
    of_people = all(isinstance(it.aggregate, HumanAgreement) for it in context.objectives)
    rounds = critiques, gradients, resolved, edits
    reason = _why_the_same(len(batch), *rounds, of_people=of_people)
    return Proposal(proposed, skipped, reason if proposed == current else "")


def _why_the_same(
    texts: int,
    critiques: Round[Critique],
    gradients: Round[Gradient],
    resolved: Resolution,
    edits: Round[Edit],
    *,
    of_people: bool,
) -> str:
    """Say which round brought nothing new: the last one that had something to work on."""
    whose = "people's ratings" if of_people else "the expected results"
    on = f"on {len(critiques.records)} critique{'s' if len(critiques.records) > 1 else ''}"
    if any(edit.texts for edit in edits.records):
        return "the editor returned the same text"
    if edits.skipped:
        return f"no new text could be used: {_reasons(edits.skipped)}"
    if _has_advice(gradients.records) and not _has_advice(resolved.gradients):
        return f"conflicts left nothing of the coach's advice {on}"
    if gradients.skipped:
        return f"no advice {on} could be used: {_reasons(gradients.skipped)}"
    if critiques.records:
        return f"the coach had no advice {on}"
    if critiques.skipped:
        return f"no critique could be used: {_reasons(critiques.skipped)}"
    return f"all {texts} texts of the batch fit {whose} within their noise"


def _has_advice(gradients: Iterable[Gradient]) -> bool:
    return any(unit.change != "keep" for gradient in gradients for unit in gradient.units)


def _reasons(skipped: Iterable[Skipped]) -> str:
    return "; ".join(dict.fromkeys(question.reason for question in skipped))


@dataclass(frozen=True)
class _Step:
    """The four rounds of a step; the observer gets an event of each."""

    context: RunContext
    brief: Brief
    number: int
    notify: Observer

    @property
    def criteria(self) -> Group:
        return tuple(objective.name for objective in self.brief.objectives)

    @property
    def label(self) -> str:
        return f"{self.context.config.seed}/{self.number}"

    def judge(self, program: dspy.Module, batch: Sequence[dspy.Example]) -> tuple[Judgement, ...]:
        judgements = _run(self.context, program, batch, with_traces=self.context.with_traces)
        inputs = tuple(plain(judgement.example.inputs(), in_log=True) for judgement in judgements)
        texts = JudgedText.all_of(judgements, self.context.objectives)
        self.notify(BatchJudged(self.number, texts, inputs))
        return judgements

    def critique(self, judgements: Sequence[Judgement]) -> Round[Critique]:
        config = self.context.config
        # What was asked of a text before, under the same instructions, is answered by the cache.
        critiques = write_critiques(
            judgements,
            config.mode.loss.groups(self.criteria),
            self.brief,
            self.context.critic,
            label=self.label if config.pool == "example" else f"{config.seed}",
            skip_tolerance=config.skip_tolerance,
        )
        for critique in critiques.records:
            self.notify(
                CritiqueWritten(self.number, critique.example_id, critique.criteria, critique.text)
            )
        return critiques

    def advise(self, critiques: Sequence[Critique], evidence: Evidence) -> Round[Gradient]:
        config = self.context.config
        gradients = write_gradients(
            critiques,
            config.mode.gradient.groups(self.criteria),
            self.brief,
            self.context.coach,
            label=self.label,
            evidence=evidence if config.pool == "batch" else None,
        )
        for gradient in gradients.records:
            self.notify(
                GradientWritten(self.number, gradient.example_id, gradient.criteria, gradient.text)
            )
        if config.routing:
            self._tell_routes(gradients.records)
        return gradients

    def _tell_routes(self, gradients: Sequence[Gradient]) -> None:
        counts = Counter(unit.criterion for gradient in gradients for unit in gradient.units)
        routed = {name: counts[name] for name in self.criteria if counts[name]}
        names = (unit.criterion for gradient in gradients for unit in gradient.astray)
        astray = Counter(name[:_LONGEST_NAME] for name in names)
        self.notify(UnitsRouted(self.number, routed, dict(astray)))

    def resolve(
        self,
        gradients: Sequence[Gradient],
        judged: Sequence[Judgement],
        agreement: Agreement | None,
    ) -> Resolution:
        how = self.context.config.resolve
        ranked = agreement if how == "prioritize" else None
        resolution = resolve_conflicts(
            gradients,
            self.brief,
            self.context.coach,
            label=self.label,
            resolve=how,
            shortfall={} if ranked is None else self._shortfall(judged, ranked),
        )
        if how != "none":
            self.notify(ConflictsFound(self.number, how, resolution.conflicts))
        return resolution

    def _shortfall(self, judged: Sequence[Judgement], agreement: Agreement) -> dict[str, float]:
        """Return how far each criterion is below what its human ratings permit, or below 1."""
        ceilings = ceilings_of(judged, self.context.objectives)
        tops = {name: ceiling["perfect_judge"] for name, ceiling in ceilings.items()}
        values = agreement.by_criterion.items()
        return {
            name: (1.0 if tops.get(name) is None else tops[name]) - value
            for name, value in values
            if isinstance(value, float)
        }

    def rewrite(
        self,
        gradients: Sequence[Gradient],
        batch: Sequence[dspy.Example],
        history: Sequence[EditRecord],
    ) -> Round[Edit]:
        config, edited = self.context.config, self.brief.predictors
        texts = [str(plain(value)) for example in batch for value in example.inputs().values()]
        hygiene = Hygiene(config.max_section_chars, texts)
        if config.pool == "example":  # as in the paper
            hygiene = Hygiene(config.max_section_chars, may_repeat=True)
        edits = rewrite_sections(
            gradients,
            config.mode.optimizer.groups(self.criteria),
            self.brief,
            self.context.editor,
            label=self.label,
            hygiene=hygiene,
            preambles=[slot for slot in self.context.preambles if slot.predictor in edited],
            history=history,
        )
        for slot, text in _texts_of(edits).items():
            self.notify(SectionRewritten(self.number, slot.predictor, slot.criterion, text))
        return edits


def _texts_of(edits: Round[Edit]) -> dict[Slot, str]:
    """Return the proposed texts; if two edits name a slot, the last one's."""
    return {slot: text for edit in edits.records for slot, text in edit.texts.items()}


def judge(
    context: RunContext,
    candidate: Candidate,
    examples: Sequence[dspy.Example],
    *,
    is_evaluation: bool = True,
) -> tuple[Judgement, ...]:
    """Score a candidate on examples, and book the calls; DSPy's callbacks see an evaluation.

    The program that the callbacks get calls the user's own LMs.
    """
    program = candidate.written_into(context.program)
    if not is_evaluation or not dspy.settings.get("callbacks"):
        return _run(context, program, examples)
    scoring = _Scoring(context, examples)
    scoring(program, callback_metadata={"metric_key": "eval_full"})
    return scoring.judgements


class _Scoring(dspy.Evaluate):  # type: ignore[misc]  # dspy is untyped
    """One scoring as DSPy's callbacks see it: an evaluation, with a score from -100 to 100."""

    judgements: tuple[Judgement, ...] = ()

    def __init__(self, context: RunContext, examples: Sequence[dspy.Example]) -> None:
        super().__init__(devset=list(examples), num_threads=context.config.num_threads)
        self.context = context

    @with_callbacks  # type: ignore[untyped-decorator]
    def __call__(
        self,
        program: dspy.Module,
        callback_metadata: Mapping[str, object] | None = None,
    ) -> EvaluationResult:
        self.judgements = _run(self.context, clone(program), self.devset)
        objectives = self.context.objectives
        agreement = agreement_of(self.judgements, objectives)
        mean = agreement.mean
        return EvaluationResult(
            score=math.nan if mean is None else round(100 * mean, 2),
            results=[_result(it, agreement.weights) for it in self.judgements],
        )


def _result(
    judgement: Judgement, weights: Weights
) -> tuple[dspy.Example, dspy.Prediction, float | None]:
    """Return a judgement as DSPy reports it: None without a score, the mean of several."""
    prediction = judgement.prediction
    return (
        judgement.example,
        dspy.Prediction() if isinstance(prediction, Unscored) else prediction,
        mean_of(judgement.scores, weights),
    )


def _run(
    context: RunContext,
    program: dspy.Module,
    examples: Sequence[dspy.Example],
    *,
    with_traces: bool = False,
) -> tuple[Judgement, ...]:
    with booked(context.ledger, "judge", context.criteria):
        return judge_examples(
            program,
            examples,
            context.objectives,
            context.config.num_threads,
            with_traces=with_traces,
        )
