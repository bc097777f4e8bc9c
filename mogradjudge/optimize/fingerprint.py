"""What decides a run's result, as plain JSON: a run is taken up only where it is unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import dspy

from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.objectives import Objective
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.programs.identity import _named, describe_lm, digest_of, digest_of_program
from mogradjudge.settings import FREE


def fingerprint(
    config: MOGradConfig,
    student: dspy.Module,
    objectives: Sequence[Objective],
    lms: Mapping[str, dspy.BaseLM | None],
    data: Mapping[str, Sequence[dspy.Example]],
) -> dict[str, Any]:
    """Name everything that decides a run's result.

    An objective is known by its name and description: what its functions compute is not looked at.
    A program is known by its state, and one that is no judge by its modules' classes, the code of
    their methods and their plain attributes as well; what that code calls elsewhere is not. So is
    an adapter that is none of DSPy's.

    Args:
        config: The run's settings; the `FREE` ones are left out.
        student: The program that the run starts from.
        objectives: What is maximized.
        lms: The LM of each role.
        data: The examples, by what they are for.
    """
    settings = {key: value for key, value in config.as_dict().items() if key not in FREE}
    asked = {
        **settings,
        "objectives": {each.name: each.description for each in objectives},
        "program": digest_of_program(student),
        "adapter": _named(dspy.settings.adapter or dspy.ChatAdapter()),
        "models": {role: describe_lm(lm) for role, lm in lms.items() if lm is not None},
        "versions": {name: version(name) for name in ("dspy", "mogradjudge")},
        **{f"{name} data": digest_of(examples) for name, examples in data.items()},
    }
    if isinstance(student, MultiCriteriaJudge):
        asked |= {"rubric": student.rubric.to_toml(), "judge": asdict(student.settings)}
    return asked
