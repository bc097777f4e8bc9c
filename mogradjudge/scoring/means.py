"""Estimates each criterion's mean over a table from its scores and from texts that are rated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import dspy

from mogradjudge.agreement import MeanEstimate, plain, prediction_powered_mean
from mogradjudge.criteria import Criterion, Group, Rubric
from mogradjudge.data import READ_DEFAULTS, Batch, ReadOptions, load_examples
from mogradjudge.data.conversations import read_text
from mogradjudge.data.grouping import found_groups, group_name
from mogradjudge.errors import SetupError
from mogradjudge.judge.cells import Cells
from mogradjudge.lm.images import identity, read_image
from mogradjudge.scoring.shards import (
    Machines,
    OnRows,
    Source,
    SourceReader,
    giving_up_on_interrupt,
)

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class CriterionMean:
    """A criterion's estimated mean, and which texts it is from.

    ``texts`` and ``unlabelled_texts`` are used. Left out are texts without a judge's score:
    ``unscored`` rated ones and ``unlabelled_unscored`` others. ``in_both`` texts are in both
    tables, and count as rated; ``missing`` ones of the rated table have no human score there.
    """

    estimate: MeanEstimate
    texts: int
    unlabelled_texts: int
    missing: int
    unscored: int
    unlabelled_unscored: int
    in_both: int

    def as_dict(self) -> dict[str, Any]:
        """Return what `score --json` prints; None where something is undefined."""
        estimate = self.estimate
        counts = ("texts", "unlabelled_texts", "missing", "unscored", "unlabelled_unscored")
        return {
            "mean": plain(estimate.value),
            "interval": plain(estimate.interval),
            "labelled_mean": plain(estimate.labelled),
            "labelled_interval": plain(estimate.labelled_interval),
            "gain": estimate.gain,
            "weight": estimate.weight,
            "documents": estimate.documents,
            "labelled_documents": estimate.labelled_documents,
            "unlabelled_documents": estimate.unlabelled_documents,
            **{name: getattr(self, name) for name in (*counts, "in_both")},
            "undefined": getattr(estimate.interval, "reason", None),
        }


class _Text(NamedTuple):
    """What tells a text from others: its inputs, long ones as digests, and its group if named."""

    inputs: tuple[str, ...]
    group: str

    @classmethod
    def of(cls, inputs: Iterable[object], group: object) -> Self:
        """Make one of a row's cells."""
        label = "" if group is None else str(group).strip()
        return cls(tuple(group_name(str(identity(text))) for text in inputs), label)

    @property
    def own_group(self) -> str:
        return "\n".join(self.inputs)


@dataclass(frozen=True)
class RatedTexts:
    """Texts with human scores, which correct the judge's scores of a table.

    ``unrated`` counts the texts of their table that have none on any criterion.
    """

    rubric: Rubric
    examples: Sequence[dspy.Example]
    unrated: int

    @classmethod
    def read(cls, source: str | Path, rubric: Rubric, reading: ReadOptions, columns: Group) -> Self:
        """Read the texts that have a human score.

        Args:
            source: A table as for `load_examples`.
            rubric: Its rubric.
            reading: How it is read where its file leaves a choice.
            columns: The columns of the table that is scored.

        Raises:
            SetupError: If the texts cannot be read, none is rated, or the scored table does not say
                which of its texts belong together although the rubric does.
        """
        if rubric.group and rubric.group not in columns:
            raise SetupError(
                f"`--estimate` needs the rubric's group column {rubric.group!r} in the table that "
                "is scored, too: texts of one document count as one. Add it, or set group = false."
            )
        examples = load_examples(source, rubric, options=reading)
        humans = [criterion.human for criterion in rubric.criteria]
        rated = [it for it in examples if any(it[name] is not None for name in humans)]
        if not rated:
            raise SetupError(f"`--estimate` needs human scores, and {source} has none.")
        return cls(rubric, rated, len(examples) - len(rated))

    def __len__(self) -> int:
        return len(self.examples)

    def judged(self, machines: Machines, on_rows: OnRows, prefix: str, table: Path) -> TableMeans:
        """Judge the texts as those of a table, whose added columns begin with the prefix."""
        names, images = self.rubric.inputs, self.rubric.images
        rows = [{name: example[name] for name in names} for example in self.examples]
        source = _Rows(Path(), names, names, images, None, len(rows), {0}, READ_DEFAULTS, rows)
        with giving_up_on_interrupt(machines.score(SourceReader(source), on_rows)) as scored:
            shards = sorted(scored, key=lambda shard: shard.first)
        cells = [row for shard in shards for row in shard.cells]
        return TableMeans(self, cells, prefix, table.parent)

    @property
    def texts(self) -> list[_Text]:
        """What tells the texts from others."""
        names, has_group = self.rubric.inputs, bool(self.rubric.group)
        return [
            _Text.of((example[name] for name in names), example.group if has_group else None)
            for example in self.examples
        ]


@dataclass(frozen=True)
class _Rows(Source):
    """Rows in memory as the source of one part."""

    rows: Sequence[Mapping[str, str]]

    def batches(self) -> Iterator[tuple[int, Batch]]:
        yield 0, Batch(self.columns, self.rows)


class TableMeans:
    """Collects a table's scores, and estimates the criteria's means over its texts.

    Args:
        rated: The rated texts.
        cells: The judge's scores of them.
        prefix: What the names of the table's added columns begin with.
        folder: Where paths of the table's images begin.
    """

    def __init__(
        self, rated: RatedTexts, cells: Sequence[Cells], prefix: str, folder: Path
    ) -> None:
        self._rated, self._cells, self._prefix, self._folder = rated, cells, prefix, folder
        self._texts: list[_Text] = []
        self._scores: dict[str, list[float | None]] = {name: [] for name in rated.rubric.names}

    def add(self, table: pa.Table) -> None:
        """Add rows of the scored table."""
        rubric = self._rated.rubric
        columns = [table[column].to_pylist() for column in rubric.columns]
        groups = table[rubric.group].to_pylist() if rubric.group else [None] * len(table)
        for *inputs, group in zip(*columns, groups, strict=True):
            pairs = zip(rubric.columns, inputs, strict=True)
            texts = [self._read(*pair) for pair in pairs]
            self._texts.append(_Text.of(texts, group))
        for name, scores in self._scores.items():
            scores += table[self._prefix + name].to_pylist()

    def _read(self, column: str, value: object) -> object:
        if column in self._rated.rubric.image_columns:
            return read_image(value, self._folder)
        return read_text(value)

    def estimates(self) -> dict[str, CriterionMean]:
        """Estimate the means over what was added."""
        rated = self._rated.texts
        groups = _groups(self._rated.rubric, [*rated, *self._texts])
        return {
            criterion.name: self._estimate(criterion, rated, groups)
            for criterion in self._rated.rubric.criteria
        }

    def _estimate(
        self, criterion: Criterion, rated: Sequence[_Text], groups: Sequence[str]
    ) -> CriterionMean:
        human = [criterion.score_in(example) for example in self._rated.examples]
        judge = [_score(cells[criterion.name]) for cells in self._cells]
        have_human = {text for text, score in zip(rated, human, strict=True) if score is not None}
        rows = zip(self._texts, groups[len(rated) :], self._scores[criterion.name], strict=True)
        others = [(group, score) for text, group, score in rows if text not in have_human]
        unlabelled = [score for _, score in others]
        estimate = prediction_powered_mean(
            *(human, judge, groups[: len(rated)], unlabelled, [group for group, _ in others])
        )
        pairs = zip(human, judge, strict=True)
        scored = [score is not None for rating, score in pairs if rating is not None]
        return CriterionMean(
            estimate,
            texts=scored.count(True),
            unlabelled_texts=len(unlabelled) - unlabelled.count(None),
            missing=human.count(None) + self._rated.unrated,
            unscored=scored.count(False),
            unlabelled_unscored=unlabelled.count(None),
            in_both=len(self._texts) - len(others),
        )


def _score(cell: float | str | None) -> float | None:
    return cell if isinstance(cell, float) else None


def _groups(rubric: Rubric, texts: Sequence[_Text]) -> list[str]:
    """Return the texts' documents; both tables name them alike."""
    if rubric.group:
        return [text.group or text.own_group for text in texts]
    columns = zip(*(text.inputs for text in texts), strict=True)
    inputs = dict(zip(rubric.columns, columns, strict=True))
    groups = None
    if rubric.group is None:
        groups = found_groups(inputs, "--estimate: no group is set", "group = false")
    return groups or [text.own_group for text in texts]
