"""The scores, labels and lengths of one judged text, as events hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import dspy

from mogradjudge.files import decoded
from mogradjudge.judge.scores import NotApplicable, Unscored, is_unread
from mogradjudge.lm.media import name_of_media, plain
from mogradjudge.objectives import Objective
from mogradjudge.objectives.rubric import reason_given
from mogradjudge.programs.evaluation import Judgement

Values: TypeAlias = Mapping[str, float | None]
"""Agreement by criterion, and ``mean``; None where it is undefined."""


@dataclass(frozen=True)
class _Line:
    """The line of a judged text in a file; its names are those of the file."""

    id: str
    document: str
    human: Values
    judge: Values
    not_applicable: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgedText:
    """The scores of one text, by criterion.

    ``scores`` are in [0, 1], None where there is no usable score or nothing to score by;
    ``unscored`` holds the reason for the former. ``expected`` and ``produced`` are the two labels,
    human and judge score for example, of the objectives that compare labels. ``lengths`` counts the
    characters of each input, except images, audio, files and bytes. ``reasons`` holds the judge's
    reasons, where it gives them. ``disputed`` says who thinks that a criterion does not apply,
    where only people or only the judge do.
    """

    example_id: str
    group: str
    scores: Values
    unscored: Mapping[str, str]
    expected: Mapping[str, Any]
    produced: Mapping[str, Any]
    lengths: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    disputed: Mapping[str, str] = field(default_factory=dict)

    def as_line(self) -> dict[str, Any]:
        """Return what `evaluate --json` holds of it, and `from_line` reads."""
        return {
            "id": self.example_id,
            "document": self.group,
            "human": dict(self.expected),
            "judge": dict(self.produced),
            "not_applicable": [name for name in self.disputed if self.produced.get(name) is None],
        }

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> Self:
        """Read a judge's scores back.

        Raises:
            ValueError: If the line holds something else.
        """
        read = decoded(_Line, line)
        disputed = dict.fromkeys(read.not_applicable, NotApplicable().reason)
        return cls(read.id, read.document, {}, {}, read.human, read.judge, disputed=disputed)

    @classmethod
    def all_of(
        cls, judgements: Sequence[Judgement], objectives: Sequence[Objective]
    ) -> tuple[Self, ...]:
        """Make the record of each judgement, in their order."""
        return tuple(cls.of(judgement, objectives) for judgement in judgements)

    @classmethod
    def of(cls, judgement: Judgement, objectives: Sequence[Objective]) -> Self:
        """Make the record of one judgement."""
        labels = _labels(judgement, objectives)
        scores = judgement.scores.items()
        return cls(
            example_id=judgement.example_id,
            group=judgement.group,
            scores={name: None if isinstance(score, Unscored) else score for name, score in scores},
            unscored={name: score.reason for name, score in scores if is_unread(score)},
            expected={name: plain(pair[0], in_log=True) for name, pair in labels.items()},
            produced={name: plain(pair[1], in_log=True) for name, pair in labels.items()},
            lengths=_lengths(judgement.example),
            disputed={name: it.reason for name, it in scores if isinstance(it, NotApplicable)},
            reasons={
                name: reason
                for name in judgement.scores
                if (reason := reason_given(name, judgement.prediction))
            },
        )


def _labels(
    judgement: Judgement, objectives: Sequence[Objective]
) -> dict[str, tuple[object, object]]:
    """Return the expected and the produced label of each objective that compares labels."""
    if isinstance(judgement.prediction, Unscored):
        return {}
    pairs = {
        objective.name: objective.compared(judgement.example, judgement.read_by(objective.name))
        for objective in objectives
    }
    return {name: pair for name, pair in pairs.items() if pair is not None}


def _lengths(example: dspy.Example) -> dict[str, int]:
    return {
        name: len(str(plain(value, in_log=True)))
        for name, value in example.inputs().items()
        if name_of_media(value) is None
    }
