"""What a composition is made of: the criteria of several judges, and their sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mogradjudge.criteria import Criterion, Group, Rubric
from mogradjudge.criteria.partition import Scope
from mogradjudge.errors import SetupError
from mogradjudge.judge.instructions import Instructions
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.predictor import initial_section
from mogradjudge.judge.scores import JudgeSettings
from mogradjudge.optimize.parts import Parts


@dataclass(frozen=True)
class Sources:
    """What judges have in common, and each criterion's sections: the initial one first.

    Args:
        rubric: All their criteria.
        settings: Their settings; the layout is left to the composition.
        preamble: Their preamble.
        sections: The distinct sections of each criterion.
        parts: What their runs have read, as far as they have a folder that says it.
    """

    rubric: Rubric
    settings: JudgeSettings
    preamble: str
    sections: Mapping[str, tuple[str, ...]]
    parts: tuple[Parts, ...] = ()

    @classmethod
    def of(cls, sources: Sequence[MultiCriteriaJudge | str | Path]) -> Sources:
        """Read judges, saved ones by their path; LMs that are pinned on them are left out.

        Raises:
            SetupError: If there are none, one is no judge or has demos, or they do not fit
                together.
        """
        judges = [
            it if isinstance(it, MultiCriteriaJudge) else MultiCriteriaJudge.from_saved(it)
            for it in sources
        ]
        if not judges:
            raise SetupError("`sources` must have a judge at least, got none.")
        preambles, sections = [], dict[str, list[str]]()
        for judge in judges:
            for predictor in judge.judges.values():
                instructions = Instructions.parse(predictor.signature.instructions)
                preambles.append(instructions.preamble)
                if predictor.demos:
                    raise SetupError(
                        f"Only instructions can be composed, but the judge of "
                        f"{', '.join(predictor.criteria)} has demos. Remove them."
                    )
                for name in predictor.criteria:
                    sections.setdefault(name, []).append(instructions.section(name))
        _check_equal("inputs", [(judge.rubric.inputs, judge.rubric.images) for judge in judges])
        _check_equal("preamble", preambles)
        _check_equal("settings", [_without_layout(judge.settings) for judge in judges])
        criteria = _merged(judges)
        choices = {
            name: tuple(dict.fromkeys([initial_section(it), *sections[name]]))
            for name, it in criteria.items()
        }
        rubric = replace(judges[0].rubric, criteria=tuple(criteria.values()))
        paths = [Path(it) for it in sources if not isinstance(it, MultiCriteriaJudge)]
        parts = (Parts.read_from(it if it.is_dir() else it.parent) for it in paths)
        read = tuple(it for it in parts if it is not None)
        return cls(rubric, judges[0].settings, preambles[0], choices, read)

    @property
    def initial(self) -> dict[str, str]:
        """The initial section of each criterion."""
        return {name: texts[0] for name, texts in self.sections.items()}

    def judge(self, groups: Sequence[Group], sections: Mapping[str, str]) -> MultiCriteriaJudge:
        """Make a judge that rates each group in a call, with these sections."""
        names = {name for group in groups for name in group}
        rubric = self.rubric.part(it for it in self.rubric.criteria if it.name in names)
        settings = asdict(replace(self.settings, layout=layout_of(groups)))
        judge = MultiCriteriaJudge(rubric, **settings)
        for predictor in judge.judges.values():
            own = {name: sections[name] for name in predictor.criteria}
            text = Instructions(self.preamble, own).render()
            predictor.signature = predictor.signature.with_instructions(text)
        return judge


def layout_of(groups: Sequence[Group]) -> str:
    """Return the layout of a judge that rates each group in a call.

    >>> layout_of([("tone",), ("style", "facts")])
    'facts+style | tone'
    """
    if len(groups) == 1:
        return Scope.COMBINED.layout
    if all(len(group) == 1 for group in groups):
        return Scope.SEPARATE.layout
    return Scope(" | ".join("+".join(group) for group in groups)).layout


def _merged(judges: Sequence[MultiCriteriaJudge]) -> dict[str, Criterion]:
    criteria: dict[str, Criterion] = {}
    for judge in judges:
        for criterion in judge.rubric.criteria:
            if criteria.setdefault(criterion.name, criterion) != criterion:
                raise SetupError(
                    f"The judges to compose define {criterion.name!r} in different ways. Give "
                    "judges of one rubric's criteria."
                )
    return criteria


def _without_layout(settings: JudgeSettings) -> dict[str, object]:
    return {name: value for name, value in asdict(settings).items() if name != "layout"}


def _check_equal(what: str, values: Sequence[object]) -> None:
    for value in values:
        if value != values[0]:
            raise SetupError(
                f"The judges to compose must have the same {what}, got {values[0]!r} and {value!r}."
            )
