"""Stage 1: the critic says why the judge missed the human scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from mogradjudge.criteria import Group
from mogradjudge.errors import ReplyError
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.images import NamedImage
from mogradjudge.lm.media import LONGEST_EVIDENCE, LONGEST_RESULTS, for_prompt
from mogradjudge.lm.quoting import encodable
from mogradjudge.objectives import MetricFailed, Objective
from mogradjudge.objectives.rubric import noise_of
from mogradjudge.programs.candidate import Brief
from mogradjudge.programs.evaluation import Judgement
from mogradjudge.settings import SkipTolerance
from mogradjudge.stages.role import Question, Role, Round, ask


class WriteCritique(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Say why an automatic judge's results on one text are not those that people expect.

    Write a paragraph on each criterion of the results, beginning with its name. Name what in the
    text people weigh otherwise than the judge, in its own words, and which words of the judge's
    current instructions let it; where they say nothing on the matter, that is soon said. Explain
    this size and this direction of the error: what explains a small one is not what explains a
    large one. An expected score may be the mean of several people's; who gave what, only single
    ratings tell. Where those lie far apart, or nothing in the text speaks for the expected result,
    say that the human score looks like noise, and no more. Do not propose new instructions.
    """

    # The example comes first: a prefix cache then serves what the calls on it have in common.
    example: str = dspy.InputField(desc="what the judge read")
    task: str = dspy.InputField(desc="what the judge is told about its task as a whole; fixed")
    criteria: str = dspy.InputField(desc="what each criterion means")
    current_instructions: str = dspy.InputField(desc="how the judge is told to apply each now")
    results: str = dspy.InputField(desc="the judge's result beside the expected one")
    critique: str = dspy.OutputField(desc="a paragraph for each criterion of the results")


WriteTracedCritique: Any = WriteCritique.append(
    "trace",
    dspy.InputField(
        desc="what each part of the judge read and wrote on this example, call by call, with [...] "
        "where a long text is cut; blame the first part that goes wrong"
    ),
    dict[str, object],
)
"""`WriteCritique` for a judge that works in several steps."""


@dataclass(frozen=True)
class Critique:
    """Why one judgement differs from what people expect, for the criteria it names."""

    example_id: str
    criteria: Group
    text: str


def write_critiques(
    judgements: Sequence[Judgement],
    groups: Sequence[Group],
    brief: Brief,
    critic: Role,
    *,
    label: str,
    skip_tolerance: SkipTolerance = None,
) -> Round[Critique]:
    """Write one critique per judgement and group.

    Where a judgement has a trace, the critic sees the part of the predictors that may be edited.

    A criterion without a human score is left out, and so is one whose metric failed, which says
    nothing about the judge. With ``skip_tolerance`` a criterion whose score is at least
    ``1 - skip_tolerance`` is left out, too; ``"data"`` stands for what the human scores cannot tell
    (`noise_of`). A group without a criterion costs no call. Example and results are cut to
    `LONGEST_EVIDENCE` and `LONGEST_RESULTS`. The critic sees the images of a rubric as the judge
    does, so its model must read images.
    """
    objectives = {objective.name: objective for objective in brief.objectives}
    questions = [
        Question(
            criteria=criteria,
            example_id=judgement.example_id,
            signature=_signature(judgement),
            inputs=_inputs(judgement, criteria, brief),
            label=f"{label}/{judgement.example_id}/{'+'.join(group)}",
        )
        for judgement in judgements
        for group in groups
        if (
            criteria := tuple(
                name for name in group if _missed(judgement, objectives[name], skip_tolerance)
            )
        )
    ]
    return ask(critic, questions, _read)


def _read(question: Question, reply: dspy.Prediction) -> Critique:
    return Critique(question.example_id, question.criteria, text_of(reply.critique))


def text_of(reply: object) -> str:
    """Return a reply's text without surrounding blanks.

    Raises:
        ReplyError: If it is empty.

    >>> text_of(" Be strict. ")
    'Be strict.'
    """
    if not isinstance(reply, str) or not reply.strip():
        raise ReplyError("Expected a text, got an empty reply.")
    return encodable(reply).strip()


def _missed(judgement: Judgement, objective: Objective, skip_tolerance: SkipTolerance) -> bool:
    score = judgement.scores[objective.name]
    if score is None or isinstance(score, MetricFailed):
        return False
    if isinstance(score, Unscored) or skip_tolerance is None:
        return True
    if skip_tolerance == "data":
        skip_tolerance = noise_of(objective, judgement.example)
    return score < 1.0 - skip_tolerance


def _signature(judgement: Judgement) -> Any:
    """Return the question, with the images that the judge saw."""
    signature: Any = WriteCritique if judgement.trace is None else WriteTracedCritique
    for name in _images(judgement):
        field = dspy.InputField(desc="an image of the example, as the judge saw it")
        signature = signature.insert(1, name, field, dspy.Image)
    return signature


def _images(judgement: Judgement) -> dict[str, object]:
    inputs = judgement.example.inputs().items()
    return {f"image_{name}": it for name, it in inputs if isinstance(it, NamedImage)}


def _inputs(judgement: Judgement, criteria: Group, brief: Brief) -> dict[str, object]:
    results = {
        objective.name: result_of(objective, judgement)
        for objective in brief.objectives
        if objective.name in criteria
    }
    inputs = {
        **brief.shared_inputs(criteria),
        "example": for_prompt(dict(judgement.example.inputs()), LONGEST_EVIDENCE),
        **_images(judgement),
        "results": for_prompt(results, LONGEST_RESULTS),
    }
    if judgement.trace is not None:
        inputs["trace"] = judgement.trace.shown(brief.predictors)
    return inputs


def result_of(objective: Objective, judgement: Judgement) -> object:
    """Return what a role may see of one result, or why there is none."""
    if isinstance(judgement.prediction, Unscored):
        return f"no result: {judgement.prediction.reason}"
    return objective.shown(judgement.example, judgement.read_by(objective.name))
