"""How much luck a search returns, in simulated searches at equal calls.

A trial's judge follows the human scores as closely as its configuration lets it, and by chance.
Optuna's TPE draws the configurations. Race, confirmation and correction are the search's own; only
the calls are simulated. Without a confirmation its texts go to the other parts.

In the world "null" no configuration matters, in "scattered" only a run's luck does, and in "modes"
that and the mode. "corrected" confirms nothing, but scores the best judge again and corrects for
selection; "all texts" ends no trial early.

"read" is the share of the selection texts that a trial was scored on; "true gain" that of the judge
that is returned over the initial one; "printed - true" and "sd" are about the printed agreement of
the best trial's judge. Shares of the searches: the best trial's judge is called better; is called
so and is not; the interval of the difference holds the true one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import click
import dspy
import numpy as np
import optuna

from benchmarks.harness.setting import errors_in_one_line
from benchmarks.self_tests.luck import OBJECTIVES, RUBRIC, START, Texts, draw_texts, truth
from mogradjudge import Budget, MOGradConfig, MultiCriteriaJudge
from mogradjudge.agreement import TestOptions, Undefined, compare_criteria
from mogradjudge.agreement.selection_bias import Corrected, corrected
from mogradjudge.display.terminal import print_table
from mogradjudge.optimize.confirmation import confirmed
from mogradjudge.programs.evaluation import Judgement
from mogradjudge.search import SearchSpace, TrialRecord
from mogradjudge.search.analysis.records import best_of, compared, record_of
from mogradjudge.search.analysis.summary import quiet_optuna, resampled_trials
from mogradjudge.search.job import Job
from mogradjudge.search.parts import parted
from mogradjudge.search.samplers import sampler_for
from mogradjudge.search.selection import Rival, Selected, select
from mogradjudge.search.trial import DETAILS
from mogradjudge.search.workers.existing import TASK

RUN = 200
"""Calls of a trial's run, before its judge is scored on the selection texts."""
WORLDS: Mapping[str, tuple[Mapping[str, float], float]] = {
    "null": ({"SSS": 0.0, "SSC": 0.0, "SCC": 0.0, "CCC": 0.0}, 0.0),
    "scattered": ({"SSS": 0.0, "SSC": 0.0, "SCC": 0.0, "CCC": 0.0}, 0.08),
    "modes": ({"SSS": 0.15, "SSC": 0.05, "SCC": -0.05, "CCC": -0.15}, 0.08),
}
"""By how much a mode changes the slope of the initial judge, and the sd of a run's own change."""

Procedure: TypeAlias = Literal["all texts, corrected", "all texts, confirmed", "race, confirmed"]


@dataclass(frozen=True)
class Outcome:
    """What a simulated search returns and prints; slopes are those of the best and returned judge.

    ``is_wrong`` says that the best judge is called better and is not, ``held`` whether the interval
    of the difference holds the true one; None without one.
    """

    trials: int
    read: float
    best: float
    returned: float
    printed: float
    is_called_better: bool
    is_wrong: bool
    held: bool | None


class Search:
    """One simulated search.

    Args:
        texts: All texts.
        world: The changes of the slope by mode, and their sd.
        procedure: How trials are scored, and the best one checked.
        rng: Draws what the judges say.
    """

    def __init__(
        self,
        texts: Texts,
        world: tuple[Mapping[str, float], float],
        procedure: Procedure,
        rng: np.random.Generator,
    ) -> None:
        self.texts, self.rng = texts, rng
        (self.effects, self.scatter), self.seed = world, int(rng.integers(2**31))
        base = MOGradConfig(
            seed=self.seed,
            race="blocks" if procedure.startswith("race") else "off",
            confirm="report" if procedure.endswith("confirmed") else "off",
        )
        parts: dict[str, Any] = {**parted(base, RUBRIC, texts.examples).parts}
        self.job = Job(
            judge=MultiCriteriaJudge(RUBRIC),
            **parts,
            space=SearchSpace(),
            base=base,
            budget=Budget(),
            values=("agreement",),
            lms={},
            folder=Path(),
        )
        self.study = optuna.create_study(direction="maximize")
        self.scores: dict[str, dict[str, list[float | None]]] = {}
        self.slopes: dict[str, float] = {}
        self.read: list[int] = []

    def run(self, calls: int) -> Outcome:
        """Search with so many calls."""
        selection, confirmation = self.job.selection, self.job.confirmation
        calls -= 2 * len(confirmation or selection)
        while calls >= RUN + len(selection):
            calls -= RUN + self.take_trial()
        complete, default = compared(self.records())
        best = best_of(complete, default)
        assert best is not None and default is not None
        share = float(np.mean(self.read)) / len(selection)
        outcome = (self.confirmed if confirmation else self.scored_again)(best, default)
        return replace(outcome, trials=len(self.slopes), read=share)

    def take_trial(self) -> int:
        """Take one trial, and return how many texts were read."""
        number = len(self.study.trials)
        if not number:
            self.study.enqueue_trial({"mode": "SSC"})
        self.study.sampler = sampler_for("tpe", self.seed, 1, 1)(number)
        trial = self.study.ask()
        mode = trial.suggest_categorical("mode", list(self.effects))
        trial.suggest_float("editor_temperature", 0.0, 1.0)  # which changes nothing
        change = self.effects[mode] + self.scatter * float(self.rng.normal())
        slope = START + round(change, 2)  # so that few truths are to be computed
        judged = self.judged(self.job.selection, slope)
        selected = select(
            self.job, self.rival(), lambda texts: tuple(judged[t.text] for t in texts)
        )
        task = f"{number:04d}"
        self.slopes[task], self.scores[task] = slope, self.job.scores_of(selected.judgements)
        self.tell(trial, task, selected)
        self.read.append(len(selected.judgements))
        return len(selected.judgements)

    def tell(self, trial: optuna.Trial, task: str, selected: Selected) -> None:
        """Tell the study what a trial's judge scored."""
        details: dict[str, Any] = {"agreement": dict(selected.agreement), "config": trial.params}
        if selected.rival is not None:
            texts = len(selected.judgements)
            details["race"] = {"texts": texts, "rival": selected.rival.task}
        trial.set_user_attr(TASK, task)
        trial.set_user_attr(DETAILS, details)
        self.study.tell(trial, selected.agreement["mean"])

    def records(self) -> list[TrialRecord]:
        """Read the trials as a search does."""
        return [record_of(trial) for trial in self.study.trials]

    def rival(self) -> Rival | None:
        """Return the best trial so far."""
        best = None if self.job.base.race == "off" else best_of(*compared(self.records()))
        return None if best is None else Rival(best.task, best.number, self.scores[best.task])

    def judged(self, examples: Sequence[dspy.Example], slope: float) -> dict[str, Judgement]:
        """Judge texts with a judge of a slope; another one each time."""
        judgements = self.texts.part(examples).judged(slope, self.rng)
        return {judgement.example_id: judgement for judgement in judgements}

    def confirmed(self, best: TrialRecord, default: TrialRecord) -> Outcome:
        """Compare the best judge with the initial one on texts that chose nothing."""
        slope = self.slopes[best.task]
        initial, final = (
            tuple(self.judged(self.job.confirmation, it).values()) for it in (START, slope)
        )
        result = confirmed(initial, final, OBJECTIVES)
        assert result.best is not None and result.best.mean is not None
        gain, is_called_better = truth(slope) - truth(START), result.verdict == "confirmed"
        return Outcome(
            *(0, 0.0, slope, START if result.takes_back else slope, result.best.mean),
            is_called_better=is_called_better,
            is_wrong=is_called_better and gain <= 0,
            held=_holds(result.interval, gain),
        )

    def scored_again(self, best: TrialRecord, default: TrialRecord) -> Outcome:
        """Score best and default again on the selection texts, and correct for the choice."""
        job, groups = self.job, self.job.groups
        texts = {"human": job.human, "groups": groups, "level": job.base.level, "order": job.order}
        measured, _ = compared(self.records())
        means = resampled_trials(measured, self.scores, texts)
        assert means is not None
        values = [record.mean for record in measured]
        chosen = corrected(values, means, measured.index(best), documents=len(set(groups)))
        assert isinstance(chosen, Corrected)
        slope, first = self.slopes[best.task], self.slopes[default.task]
        judge, initial = (
            job.scores_of(tuple(self.judged(job.selection, it).values())) for it in (slope, first)
        )
        difference = compare_criteria(job.human, judge, initial, groups, TestOptions()).mean
        ends = None
        if not isinstance(difference, Undefined) and best.task != default.task:
            ends = difference.low, difference.high
        gain = truth(slope) - truth(first)
        is_called_better = ends is not None and ends[0] > chosen.optimism
        return Outcome(
            *(0, 0.0, slope, slope, chosen.corrected),
            is_called_better=is_called_better,
            is_wrong=is_called_better and gain <= 0,
            held=_holds(ends, gain),
        )


def _holds(interval: tuple[float, float] | None, value: float) -> bool | None:
    return None if interval is None else interval[0] <= value <= interval[1]


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the row of a world and a procedure."""
    start = truth(START)
    off = [it.printed - truth(it.best) for it in outcomes]
    held = [it.held for it in outcomes if it.held is not None]
    return [
        f"{np.mean([it.trials for it in outcomes]):.1f}",
        f"{np.mean([it.read for it in outcomes]):.2f}",
        f"{np.mean([truth(it.returned) - start for it in outcomes]):+.3f}",
        f"{np.mean(off):+.3f}",
        f"{np.std(off):.3f}",
        f"{np.mean([it.is_called_better for it in outcomes]):.2f}",
        f"{np.mean([it.is_wrong for it in outcomes]):.2f}",
        f"{np.mean(held):.2f}" if held else "-",
    ]


COLUMNS = (
    *("world", "procedure", "trials", "read", "true gain", "printed - true", "sd"),
    *("called better", "wrongly", "interval holds"),
)


def rows(searches: int, documents: int, calls: int) -> Iterator[list[str]]:
    """Simulate all procedures in each world, on the same texts."""
    for name, world in WORLDS.items():
        for procedure in get_args(Procedure):
            outcomes = []
            for number in range(searches):
                rng = np.random.default_rng(number)
                texts = draw_texts(documents, 1, rng)
                outcomes.append(Search(texts, world, procedure, rng).run(calls))
            yield [name, procedure, *summary(outcomes)]


@click.command("search-luck", help=__doc__)
@click.option("--searches", type=click.IntRange(1), default=20, show_default=True)
@click.option("--documents", type=click.IntRange(64), default=200, show_default=True)
@click.option("--calls", type=click.IntRange(1000), default=4000, show_default=True)
@errors_in_one_line()
def command(searches: int, documents: int, calls: int) -> None:
    """Simulate all procedures, and print a table."""
    title = f"{searches} searches of {calls} calls each, on a table of {documents} documents"
    with quiet_optuna():
        table = list(rows(searches, documents, calls))
    print_table(COLUMNS, table, title, keys=2)
