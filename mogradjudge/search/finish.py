"""The end of a search: scores the best judge and the default again, and writes the files."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mogradjudge.files import replaced, to_json, write_text
from mogradjudge.judge.instructions import Instructions
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import JudgeSettings, settings_with
from mogradjudge.lm.budget import Budget
from mogradjudge.objectives import rubric_objectives
from mogradjudge.optimize.config import MOGradConfig, config_with
from mogradjudge.optimize.directory import JUDGE, RUBRIC, InUse, Pool
from mogradjudge.optimize.parts import Parts
from mogradjudge.programs.candidate import Candidate
from mogradjudge.programs.evaluation import agreement_of
from mogradjudge.search.analysis.result import SearchResult, TrialRecord
from mogradjudge.search.config_file import config_toml
from mogradjudge.search.job import Job, within
from mogradjudge.search.judge_variant import judge_with
from mogradjudge.search.trial import scored
from mogradjudge.search.workers.budget import SharedBudget
from mogradjudge.search.workers.shared import FRESH, Shared
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
    purse = SharedBudget(shared, job.budget)
    objectives = rubric_objectives(job.judge.rubric, job.base.level, job.base.measure)
    try:
        for record in records:
            place = job.folder / FRESH / record.task
            while shared.noted(f"{FRESH}/{record.task}") is None:
                pool = Pool(purse, shared.replies(FRESH))
                budget = within(Budget(), job.budget, deadline)
                try:
                    judgements, _ = scored(job, judge_of(job, record), place, pool, budget)
                except InUse:  # another worker scores it, and will note the scores
                    time.sleep(_LOOK_EVERY)
                    continue
                mean = agreement_of(judgements, objectives).mean
                shared.note(f"{FRESH}/{record.task}/mean", mean)
                shared.note(f"{FRESH}/{record.task}", job.scores_of(judgements))
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
    sets = {"training": job.training, "validation": job.validation, "selection": job.selection}
    Parts.of(sets).write_to(job.folder)
