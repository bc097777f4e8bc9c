"""autorubric 1.6: its improver of a rubric by the errors that a judge makes with it.

Its own loop runs (`improve_rubric`, strategy "held_out"): all texts are judged; accuracy, kappa,
errors either way, and cases that went wrong and right are taken criterion by criterion; one call
rewrites all criteria; and the rubric with the best mean accuracy is kept. It revises and chooses
on the same texts, here those to choose by. The editor's prompt and client are its own, and the
prompt is told no kappa. Its stopping rules (an accuracy of 0.9, a plateau, 10 rounds) are off: it
goes on until the calls are spent.

Its own judge asks in a call per criterion whether it is met. Here the one judge of all methods is
asked in its place, and a criterion is met where the score reaches the median of people's scores.
The reason beside a wrong verdict is what our critic is told.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from statistics import median
from typing import Any
from unittest.mock import patch

import dspy

from benchmarks.peers.method import Found, Method, Task, text_of
from mogradjudge import Criterion, Instructions, Unscored
from mogradjudge.objectives import feedback_on
from mogradjudge.report.numbers import counted


def optimize(task: Task) -> Found:
    """Revise the rubric until the calls left could not pay for another round."""
    from autorubric.meta import improve_rubric

    seed, judge = Instructions.parse(task.seed_prompt), _judge(task)
    with (
        dspy.context(lm=task.lm),
        patch("autorubric.meta._improve.CriterionGrader", lambda **_: judge),
    ):
        improving = improve_rubric(_rubric(task), seed.preamble, config=_settings(task))
        result = asyncio.run(improving)
    notes = counted(len(result.iterations) - 1, "revision")
    return Found(_instructions(task, result.best_rubric.rubric), notes)


def _settings(task: Task) -> Any:
    from autorubric import LLMConfig
    from autorubric.meta import ImprovementConfig

    def spent(*_: object) -> str | None:
        if task.meter.left < len(task.validation) + 1:
            return "spent"
        task.meter.take()  # for the call that rewrites, which comes next
        return None

    where = {"api_base": task.url, "api_key": "none", "max_retries": 1}  # 1 is the first attempt
    llm = LLMConfig(f"openai/{task.model}", temperature=0.0, **where)
    return ImprovementConfig(
        *(llm, llm),
        strategy="held_out",
        validation_data=_labelled(task),
        max_iterations=task.meter.cap,
        convergence_fn=spent,
        save_artifacts=False,
        show_progress=False,
    )


def _rubric(task: Task) -> Any:
    from autorubric import Criterion, Rubric

    sections = Instructions.parse(task.seed_prompt).sections
    return Rubric([Criterion(name=name, requirement=text) for name, text in sections])


def _instructions(task: Task, criteria: Sequence[Any]) -> str:
    texts = {criterion.name: criterion.requirement for criterion in criteria}
    return Instructions.parse(task.seed_prompt).replace(texts).render()


def _labelled(task: Task) -> Any:
    from autorubric import RubricDataset

    seed = Instructions.parse(task.seed_prompt)
    data = RubricDataset(prompt=seed.preamble, rubric=_rubric(task))
    for example in task.validation:
        scores = [(criterion, example[criterion.human]) for criterion in task.rubric.criteria]
        data.add_item(text_of(example), "a text", [_verdict(task, *score) for score in scores])
    return data


def _verdict(task: Task, criterion: Criterion, score: float | Unscored) -> Any:
    from autorubric import CriterionVerdict

    if isinstance(score, Unscored):
        return CriterionVerdict.CANNOT_ASSESS
    middle = median(example[criterion.human] for example in task.validation)
    return CriterionVerdict.MET if score >= middle else CriterionVerdict.UNMET


def _judge(task: Task) -> Any:
    from autorubric import EnsembleCriterionReport, EnsembleEvaluationReport
    from autorubric.graders.base import Grader

    examples = {text_of(example): example for example in task.validation}

    class JudgeGrader(Grader):  # type: ignore[misc]  # autorubric is not followed
        """Gives the verdicts that the scores of the judge program come to."""

        async def judge(self, to_grade: str, rubric: list[Any], *_: object) -> Any:
            example = examples[to_grade]
            prediction = task.judge(_instructions(task, rubric))(**example.inputs())
            return [
                EnsembleCriterionReport(
                    criterion=asked,
                    final_verdict=_verdict(task, criterion, prediction[asked.name]),
                    final_reason=_reason(task, criterion, example, prediction),
                )
                for asked, criterion in zip(rubric, task.rubric.criteria, strict=True)
            ]

        async def aggregate(self, judge_results: Any, *, normalize: bool = True) -> Any:
            return EnsembleEvaluationReport(score=None, report=judge_results)

    return JudgeGrader()


def _reason(
    task: Task, criterion: Criterion, example: dspy.Example, prediction: dspy.Prediction
) -> str:
    right = _verdict(task, criterion, example[criterion.human])
    if _verdict(task, criterion, prediction[criterion.name]) == right:
        return "The verdict is right."
    (objective,) = (it for it in task.objectives if it.name == criterion.name)
    return feedback_on([objective], example, prediction)


def prepare() -> None:
    """Import autorubric. It reads a file of settings, and looks for a price list on the network."""
    with patch.dict(os.environ, LITELLM_LOCAL_MODEL_COST_MAP="True"):
        import autorubric.meta  # noqa: F401 - only its import's time matters


METHODS = (Method("autorubric", optimize, prepare, is_served=True),)
