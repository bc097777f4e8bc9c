"""The columns of a criterion's scores in a table, and their values.

For the criterion ``fluency`` the columns are ``fluency`` (its score), ``fluency_source`` (where the
score came from) and ``fluency_unscored`` (why there is no score), each with a prefix if need be. A
calibrated judge adds ``fluency_raw``, the score before the map, and one
that gives reasons may add ``fluency_rationale``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import dspy

from mogradjudge.criteria import Group
from mogradjudge.criteria.applicability import NOT_APPLICABLE
from mogradjudge.errors import SetupError
from mogradjudge.judge.scores import NotApplicable, Unscored

if TYPE_CHECKING:
    import pyarrow as pa

    from mogradjudge.judge.judge import MultiCriteriaJudge

logger = logging.getLogger(__name__)

RAW, SOURCE, UNSCORED, RATIONALE = "_raw", "_source", "_unscored", "_rationale"
_PREFIX = "judge_"


Cells: TypeAlias = Mapping[str, float | str | None]
"""One row's values in the added columns."""


@dataclass(frozen=True)
class Added:
    """The criteria whose scores are added to a table, and which of them are ``mapped``.

    With ``reasons`` the judge's own are added, too.
    """

    criteria: Group
    mapped: Group = ()
    reasons: bool = False

    @classmethod
    def by(cls, judge: MultiCriteriaJudge) -> Self:
        """Return what a judge adds."""
        maps = judge.calibration
        return cls(judge.rubric.names, tuple(name for name in maps if maps[name].knots))

    def schema(self, prefix: str = "") -> pa.Schema:
        """Return the added columns and their types."""
        import pyarrow as pa

        kinds = {"": pa.float64(), RAW: pa.float64(), SOURCE: pa.string(), UNSCORED: pa.string()}
        kinds |= {RATIONALE: pa.string()} if self.reasons else {}
        return pa.schema(
            [
                (prefix + name + end, kind)
                for name in self.criteria
                for end, kind in kinds.items()
                if end != RAW or name in self.mapped
            ]
        )


def prefix_of(columns: Group, added: Added, prefix: str | None, argument: str = "prefix") -> str:
    """Return what the added columns' names begin with.

    Args:
        columns: The table's columns.
        added: What is added to them.
        prefix: The caller's choice; None is nothing, or ``judge_`` and a log line where a name is
            in use.
        argument: What the caller chooses the prefix by, for errors.

    Raises:
        SetupError: If a name is still in use.

    >>> prefix_of(("text", "fluency"), Added(("tone",)), None)
    ''
    """
    used = _used(columns, added, prefix or "")
    if used and prefix is None:
        prefix = _PREFIX
        logger.warning(
            "The table has a column %r, so the names of the scores' columns begin with %r.",
            *(used, prefix),
        )
        used = _used(columns, added, prefix)
    if used:
        raise SetupError(
            f"The scores go to a column {used!r}, but there is another column of that name. "
            f"Give another `{argument}`, or rename the column or the criterion."
        )
    return prefix or ""


def _used(columns: Group, added: Added, prefix: str) -> str | None:
    """Return the first added column whose name another column has."""
    seen = set(columns)
    for name in added.schema(prefix).names:
        if name in seen:
            return str(name)
        seen.add(name)
    return None


def cells_of(prediction: dspy.Prediction | Unscored, criteria: Group) -> Cells:
    """Return the cells of one text.

    >>> cells_of(Unscored("no number"), ("fluency",))
    {'fluency': None, 'fluency_source': None, 'fluency_unscored': 'no number'}
    """
    cells: dict[str, float | str | None] = {}
    for name in criteria:
        result: Any = prediction
        score = result if isinstance(result, Unscored) else result[name]
        if isinstance(score, Unscored):
            source = NOT_APPLICABLE if isinstance(score, NotApplicable) else None
            cells |= {name: None, name + SOURCE: source, name + UNSCORED: score.reason}
        else:
            reading = result["readings"][name]
            cells |= {name: float(score), name + SOURCE: reading.source, name + UNSCORED: None}
            cells |= {} if reading.raw is None else {name + RAW: float(reading.raw)}
    return cells
