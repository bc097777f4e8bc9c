"""Evaluates a finished judge: its agreement with human scores on examples."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dspy

from mogradjudge.agreement import (
    METHODS,
    Interval,
    Level,
    TestOptions,
    Undefined,
    measures,
    plain,
    reported_intervals,
)
from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.data import listed, with_groups
from mogradjudge.errors import SetupError
from mogradjudge.judge.finish_reason import cut_replies_counted
from mogradjudge.judge.inputs import check_inputs
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.budget import Budget
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.media import plain as plain_inputs
from mogradjudge.lm.metering import booked
from mogradjudge.lm.quoting import excerpt_of
from mogradjudge.lm.stop import interruptible
from mogradjudge.objectives import rubric_objectives
from mogradjudge.objectives.human_agreement import agreement_options
from mogradjudge.objectives.rubric import check_measurable, check_ratings
from mogradjudge.programs.checks import check_scored
from mogradjudge.programs.evaluation import Judgement, agreement_of, judge_examples
from mogradjudge.programs.first_texts import FirstTexts
from mogradjudge.programs.judged_text import JudgedText
from mogradjudge.scoring.ceilings import ceilings_of, judge_score
from mogradjudge.settings import Measure

logger = logging.getLogger(__name__)

# The reported fields of `Measures`.
_OF_RAW_SCORES = (
    *("spearman", "kendall", "pearson", "pair_accuracy", "pair_accuracy_constant", "skill"),
    "coverage",
)
_OF_MAPPED_SCORES = ("qwk", "alpha", "accuracy", "mae", "bias")


def judge_table(
    judge: MultiCriteriaJudge,
    examples: Sequence[dspy.Example],
    ledger: Ledger,
    num_threads: int,
    *,
    first: FirstTexts | None = None,
) -> tuple[Judgement, ...]:
    """Judge all examples with the LM of the context and record the calls in a ledger."""
    check_ready(judge)
    objectives = rubric_objectives(judge.rubric)
    with booked(ledger, "judge", judge.rubric.names):
        return judge_examples(judge, examples, objectives, num_threads, first=first)


def check_ready(judge: object) -> None:
    """Check that there is a judge and an LM, and warn if it was calibrated with another one.

    Raises:
        SetupError: If one is missing.
    """
    if not isinstance(judge, MultiCriteriaJudge):
        raise SetupError(f"`judge` must be a MultiCriteriaJudge, got {excerpt_of(judge)}.")
    if dspy.settings.lm is None:
        raise SetupError("No LM is set. Call dspy.configure(lm=dspy.LM(...)) first.")
    models = {(predictor.lm or dspy.settings.lm).model for predictor in judge.judges.values()}
    held = (predictor.current_calibration() for predictor in judge.judges.values())
    if others := {it.model for it in held if it is not None} - models:
        logger.warning(
            "The judge was calibrated with %s and is used with %s; its mapped scores may be off.",
            *(", ".join(sorted(others)), ", ".join(sorted(models))),
        )


@dataclass(frozen=True)
class Evaluation:
    """A judge on rated texts: the report, each text's scores, and the texts' inputs by their ids.

    ``options`` is how agreement was measured.
    """

    report: dict[str, Any]
    texts: tuple[JudgedText, ...]
    inputs: Mapping[str, Mapping[str, Any]]
    options: TestOptions


def evaluation_report(
    judge: MultiCriteriaJudge,
    examples: Iterable[dspy.Example],
    num_threads: int,
    level: Level = "pooled",
    max_rpm: int | None = None,
    *,
    budget: Budget | None = None,
    keep_going: bool = False,
    measure: Measure = "spearman",
) -> dict[str, Any]:
    """Judge all examples and report agreement per criterion, with 95 % intervals.

    ``agreement`` and ``interval`` are those of the criterion's ``measure``: its own in the rubric,
    or else the argument.
    ``documents`` counts the groups of the intervals; ``notes`` says why one is missing.
    ``n`` counts scored texts, ``unscored`` those without a usable score and ``missing``
    those without a human one, ``not_applicable`` rated ones to which the criterion does not apply,
    as only the judge says; ``coverage`` is the share of rated texts that are scored, and
    ``applicability`` counts the texts to which a criterion with ``na`` does not apply. The other
    measures are those of `agreement.measures`, with only equal judge scores tied. Coefficients of
    correlation and pair accuracy are those of raw scores, the others of a calibrated judge's
    mapped ones; ``raw_mae`` is the ``mae`` of the raw ones. An undefined
    value is None; ``undefined`` has the reasons for ``agreement``. ``ceiling`` holds
    how well raters agree, and the judge's share of what they permit (`ceilings_of`);
    ``calibration`` the judge's maps.

    >>> from dspy.utils import DummyLM
    >>> judge = MultiCriteriaJudge(Rubric(["text"], [Criterion("fluency", "Is it fluent?")]))
    >>> rows = [{"text": f"Text {score}", "human_fluency": score} for score in (1, 2, 3)]
    >>> examples = [dspy.Example(row).with_inputs("text") for row in rows]
    >>> with dspy.context(lm=DummyLM([{"fluency": "1"}, {"fluency": "2"}, {"fluency": "5"}])):
    ...     report = evaluation_report(judge, examples, num_threads=1)
    >>> round(report["criteria"]["fluency"]["spearman"], 3), report["calls"]
    (1.0, 3)

    Raises:
        SetupError: Before any call is paid, if an example lacks a text, or a score on its scale.
        BudgetExhausted: If a cap of the ``budget`` is reached.
        ReplyError: If none of the first texts has a score, unless ``keep_going`` is set.
    """
    check_ready(judge)
    ledger = Ledger(budget, num_threads, max_rpm)
    return evaluate(
        judge, examples, ledger, num_threads, level, keep_going=keep_going, measure=measure
    ).report


def evaluate(
    judge: MultiCriteriaJudge,
    examples: Iterable[dspy.Example],
    ledger: Ledger,
    num_threads: int,
    level: Level = "pooled",
    *,
    keep_going: bool = False,
    measure: Measure = "spearman",
) -> Evaluation:
    """Judge examples as `evaluation_report` does, on a ledger of the caller's, and keep the texts.

    >>> from dspy.utils import DummyLM
    >>> judge = MultiCriteriaJudge(Rubric(["text"], [Criterion("fluency", "Is it fluent?")]))
    >>> rows = [{"text": f"Text {score}", "human_fluency": score} for score in (1, 2, 3)]
    >>> examples = [dspy.Example(row).with_inputs("text") for row in rows]
    >>> with dspy.context(lm=DummyLM([{"fluency": "5"}] * 3)):
    ...     evaluate(judge, examples, Ledger(), num_threads=1).texts[0].produced
    {'fluency': 5.0}

    Raises:
        SetupError: As for `evaluation_report`; so are the others.
    """
    check_ready(judge)
    examples = check_inputs(listed(examples, "examples"), judge.rubric, "examples")
    check_ratings(examples, judge.rubric, "`examples`")
    examples = with_groups(examples, judge.rubric.group)
    options = agreement_options(judge.rubric, level, measure)
    check_measurable(examples, judge.rubric, options, "rated")
    first = None if keep_going else FirstTexts()
    with cut_replies_counted(), interruptible(ledger.stop_signal):
        judgements = judge_table(judge, examples, ledger, num_threads, first=first)
    if not keep_going:
        check_scored(judgements, "rated")
    objectives = rubric_objectives(judge.rubric, level, measure)
    agreement = agreement_of(judgements, objectives)
    values = agreement.as_dict()
    intervals = _intervals(judge.rubric, judgements, options)
    documents = len({judgement.group for judgement in judgements})
    measured = _measured(judge.rubric, judgements, level)
    criteria = {
        name: {
            "measure": options.of(name).method,
            "agreement": values[name],
            "interval": plain(intervals[name]),
            **measured[name],
            "n": agreement.scored[name],
            "unscored": agreement.unscored[name],
            "not_applicable": agreement.not_applicable[name],
            "missing": agreement.missing[name],
            "fallbacks": agreement.fallbacks[name],
            "applicability": applies.as_dict()
            if (applies := agreement.applicability.get(name))
            else None,
        }
        for name in judge.rubric.names
    }
    report = {
        "criteria": criteria,
        "weights": judge.rubric.weights,
        "mean": agreement.mean,
        "mean_interval": plain(intervals["mean"]),
        "documents": documents,
        "notes": _notes(intervals),
        "ceiling": ceilings_of(judgements, objectives),
        "level": level,
        "undefined": agreement.undefined(),
        "calibration": {name: asdict(it) for name, it in judge.calibration.items()},
        "calls": ledger.calls,
        "ledger": [row.as_dict() for row in ledger.rows],
    }
    texts = JudgedText.all_of(judgements, objectives)
    inputs = {it.example_id: plain_inputs(it.example.inputs(), in_log=True) for it in judgements}
    return Evaluation(report, texts, inputs, options)


def _measured(
    rubric: Rubric, judgements: Sequence[Judgement], level: Level
) -> dict[str, dict[str, Any]]:
    """Compute all measures of each criterion."""
    groups = [judgement.group for judgement in judgements]
    # If each text is a group of its own, pairs are compared across groups.
    within = groups if level == "group" or len(set(groups)) < len(groups) else None
    values = {}
    for criterion in rubric.criteria:
        scale = criterion.scale.low, criterion.scale.high
        columns = [_columns(criterion, judgements, raw=is_raw) for is_raw in (True, False)]
        raw = measures(*columns[0], scale, within, level=level)
        is_same = columns[0] == columns[1]
        mapped = raw if is_same else measures(*columns[1], scale, within, level=level)
        values[criterion.name] = {
            **{name: plain(getattr(raw, name)) for name in _OF_RAW_SCORES},
            **{name: plain(getattr(mapped, name)) for name in _OF_MAPPED_SCORES},
            "raw_mae": plain(raw.mae),
        }
    return values


def _intervals(
    rubric: Rubric, judgements: Sequence[Judgement], options: TestOptions
) -> dict[str, Interval | Undefined]:
    columns = {
        criterion.name: _columns(
            criterion, judgements, raw=METHODS[options.of(criterion.name).method].relative
        )
        for criterion in rubric.criteria
    }
    human, judge = ({name: column[side] for name, column in columns.items()} for side in (0, 1))
    return reported_intervals(
        human, judge, [judgement.group for judgement in judgements], options=options
    )


def _notes(intervals: Mapping[str, Interval | Undefined]) -> list[str]:
    """Write why intervals are missing."""
    reasons: dict[str, list[str]] = {}
    for name, interval in intervals.items():
        if isinstance(interval, Undefined):
            reasons.setdefault(interval.reason, []).append(name)
    return [
        reason if len(names) == len(intervals) else f"{reason} ({', '.join(names)})"
        for reason, names in reasons.items()
    ]


def _columns(
    criterion: Criterion, judgements: Sequence[Judgement], *, raw: bool
) -> tuple[list[float | None], list[float | None]]:
    """Return human and judge scores; None where there is none."""
    human = [criterion.score_in(judgement.example) for judgement in judgements]
    return human, [judge_score(judgement, criterion.name, raw=raw) for judgement in judgements]
