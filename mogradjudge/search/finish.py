"""The end of a search: confirms the best judge, or scores it again, and writes the files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import dspy

from mogradjudge.files import replaced, to_json, write_text
from mogradjudge.judge.instructions import Instructions
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import JudgeSettings, settings_with
from mogradjudge.lm.budget import Budget
from mogradjudge.optimize.config import MOGradConfig, config_with
from mogradjudge.optimize.confirmation import Confirmation, confirmed
from mogradjudge.optimize.directory import JUDGE, RUBRIC, InUse, Pool
from mogradjudge.optimize.parts import Parts
from mogradjudge.optimize.race import Judgements
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.checks import check_scored
from mogradjudge.programs.evaluation import agreement_of
from mogradjudge.programs.identity import digest_of_program
from mogradjudge.search.analysis.result import SearchResult, TrialRecord, plain
from mogradjudge.search.config_file import config_toml
from mogradjudge.search.job import Job, within
from mogradjudge.search.judge_variant import judge_with
from mogradjudge.search.trial import judging
from mogradjudge.search.workers.budget import SharedBudget
from mogradjudge.search.workers.shared import CONFIRMED, FRESH, Shared
from mogradjudge.settings import CONFIG_PARAMETERS, JUDGE_PARAMETERS
from mogradjudge.stages.gate import gate_name

BEST, SEARCH = "best.toml", "search.json"
_LOOK_EVERY = 0.5  # seconds between two looks at what another worker does


def config_of(record: TrialRecord, job: Job) -> tuple[MOGradConfig, JudgeSettings]:
    """Return a trial's configuration."""
    values = dict(record.config)
    own = {name: values[name] for name in CONFIG_PARAMETERS}
    judge = {name: values[name] for name in JUDGE_PARAMETERS}
    return config_with(own, job.base), settings_with(judge, job.judge.settings)


def judge_of(job: Job, record: TrialRecord) -> MultiCriteriaJudge:
    """Return a trial's final judge."""
    _, settings = config_of(record, job)
    texts = {path: Instructions.parse(text) for path, text in record.instructions.items()}
    judge: MultiCriteriaJudge = Candidate(texts).written_into(judge_with(job.judge, settings))
    return judge


def score_again(
    job: Job, shared: Shared, records: Sequence[TrialRecord], deadline: float | None
) -> None:
    """Score trials' judges on the selection texts by new replies.

    Raises:
        BudgetExhausted: If a cap is reached.
        RunStopped: If the user stopped the search.
        dspy.LMError: If the provider fails.
    """
    for record in records:
        place = job.folder / FRESH / record.task
        judgements = _judged(job, shared, judge_of(job, record), job.selection, place, deadline)
        check_scored(judgements, "selection")
        shared.note(f"{FRESH}/{record.task}/mean", agreement_of(judgements, job.objectives).mean)
        shared.note(f"{FRESH}/{record.task}", job.scores_of(judgements))


def confirm(job: Job, shared: Shared, best: TrialRecord, deadline: float | None) -> None:
    """Compare the best trial's judge with the initial one on texts that chose neither.

    Raises:
        BudgetExhausted: If a cap is reached.
        RunStopped: If the user stopped the search.
        dspy.LMError: If the provider fails.
    """
    judges = {"initial": job.judge, best.task: judge_of(job, best)}
    confirmation = Confirmation("nothing to confirm")
    if len({digest_of_program(judge) for judge in judges.values()}) > 1:
        initial, final = (
            _judged(job, shared, judge, job.confirmation, job.folder / CONFIRMED / name, deadline)
            for name, judge in judges.items()
        )
        required = job.base.confirm == "require"
        confirmation = confirmed(
            initial, final, job.objectives, required=required, look=_look(shared, best)
        )
    shared.note(f"{CONFIRMED}/{best.task}", plain(confirmation), first=True)


def _look(shared: Shared, best: TrialRecord) -> int:
    """Count the trials that were compared on the confirmation texts, with this one."""
    noted = shared.noted_below(CONFIRMED)
    return 1 + sum(it["seed"] is not None for task, it in noted.items() if task != best.task)


def _judged(
    job: Job,
    shared: Shared,
    judge: MultiCriteriaJudge,
    texts: Sequence[dspy.Example],
    place: Path,
    deadline: float | None,
) -> Judgements:
    """Judge texts by new replies, which all workers share."""
    purse = SharedBudget(shared, job.budget)
    pool = Pool(purse, shared.replies(FRESH))
    try:
        while True:
            budget = within(Budget(), job.budget, deadline)
            try:
                with judging(job, judge, place, pool, budget) as (judged, _):
                    return judged(texts)
            except InUse:  # another worker of this machine is at it, and will leave its replies
                time.sleep(_LOOK_EVERY)
    finally:
        purse.flush()


def write_files(job: Job, result: SearchResult) -> None:
    """Write the result, and the best trial's configuration and judge."""
    write_text(job.folder / SEARCH, to_json(result.as_dict()) + "\n")
    if result.best is None or result.program is None:
        return
    config, settings = config_of(result.best, job)
    if gate_name(config.gate) is not None:  # compile's options have no word for another one
        write_text(job.folder / BEST, config_toml(config, settings))
    with replaced(job.folder / JUDGE) as partial:
        result.program.save(partial)
    write_text(job.folder / RUBRIC, job.judge.rubric.to_toml())
    Parts.of(job.parts).write_to(job.folder)
