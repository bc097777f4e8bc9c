"""Stage 2: the coach turns critiques into advice on the scoring instructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dspy

from mogradjudge.criteria import Group
from mogradjudge.criteria.decomposition import inside
from mogradjudge.lm.media import LONGEST_EVIDENCE, for_prompt
from mogradjudge.programs.candidate import Brief
from mogradjudge.stages.loss import Critique, text_of
from mogradjudge.stages.role import Question, Role, Round, ask


class WriteGradient(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Advise how to change a judge's scoring instructions so that its results match people's.

    The critiques tell how the judge went wrong on one example. For each named criterion, and for no
    other, say what to add, sharpen, weaken or drop in its current instructions, and what to keep.
    Look for the general rule behind the case: the advice must also help with texts that nobody has
    seen yet, so do not cite the example. Give advice, not new instructions.
    """

    task: str = dspy.InputField(desc="what the judge is told about its task as a whole; fixed")
    criteria: dict[str, str] = dspy.InputField(desc="what each criterion means")
    current_instructions: dict[str, str] = dspy.InputField(
        desc="how the judge is told to apply each criterion now"
    )
    critiques: list[str] = dspy.InputField(desc="why its results missed the expected ones")
    advice: str = dspy.OutputField(desc="one paragraph per criterion, opening with its name")


@dataclass(frozen=True)
class Gradient:
    """Advice drawn from one example's critiques, for the criteria it names."""

    example_id: str
    criteria: Group
    text: str


def write_gradients(
    critiques: Sequence[Critique],
    groups: Sequence[Group],
    brief: Brief,
    coach: Role,
    *,
    label: str,
    signature: type[dspy.Signature] = WriteGradient,
) -> Round[Gradient]:
    """Write one gradient per example and group, from the example's critiques inside the group.

    An example without a critique inside a group costs no call for it. ``signature`` has the fields
    of `WriteGradient`; another one serves to compare prompts.
    """
    questions = []
    for example_id in dict.fromkeys(critique.example_id for critique in critiques):
        for group in groups:
            read = [
                critique
                for critique in critiques
                if critique.example_id == example_id and inside(critique.criteria, group)
            ]
            if read:
                questions.append(
                    Question(
                        criteria=group,
                        example_id=example_id,
                        signature=signature,
                        inputs={
                            **brief.shared_inputs(group),
                            "critiques": for_prompt(
                                [critique.text for critique in read], LONGEST_EVIDENCE
                            ),
                        },
                        label=f"{label}/{example_id}/{'+'.join(group)}",
                    )
                )
    return ask(coach, questions, _read)


def _read(question: Question, reply: dspy.Prediction) -> Gradient:
    return Gradient(question.example_id, question.criteria, text_of(reply.advice))
