"""Guesses what the columns of a table are, from their names and cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from statistics import fmean

from mogradjudge.criteria import Criterion, Group
from mogradjudge.criteria.applicability import says_not_applicable
from mogradjudge.criteria.criterion import Levels, identifier_of
from mogradjudge.data.batches import is_nan
from mogradjudge.data.column_words import (
    COMMENT,
    GROUP,
    HUMAN,
    LABELS,
    MACHINE,
    NUMBERS,
    RATED,
    may_hold_scores,
    words_of,
)
from mogradjudge.data.conversations import read_text
from mogradjudge.data.faults import Fault
from mogradjudge.data.levels import is_one_of, level_of, likely_levels
from mogradjudge.data.rater_columns import (
    FALLING_SCALE,
    RATER_WORDS,
    by_raters,
    is_marked,
    without_common,
    without_scale,
)
from mogradjudge.data.ratings import one_rating_a_row
from mogradjudge.data.scores import Scores, labelled, other_form, read_scores
from mogradjudge.data.tables import Table
from mogradjudge.data.usual_scales import strays, usual_scale
from mogradjudge.errors import SetupError
from mogradjudge.lm.images import looks_like_image

_WIDEST = (-500, 500)  # of which each score of a table is read, before its scale is known
_GUESS = "human_guess"  # a name that is free; that of a column may be reserved
_MOST_LEVELS = 11  # of a column that no name marks as scores
_MOST = 0.9  # of a column's cells, which say what it is
_SHOWN = 3  # values of a column
_TEXT = 5  # words, on average, of a text, however often it is repeated

_FEWEST_GROUPS = 8  # of a column that no name marks; fewer values are rather topics or languages


class Columns:
    """What the columns of a table look like."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.cells = {
            name: [cell for cell in table.column(name) if not _is_empty(cell)]
            for name in table.columns
        }
        self.named_levels = self._named_levels()
        self._read_scores: dict[str, Scores] = {}

    def criteria(self) -> dict[str, dict[str, str]]:
        """Return the columns of scores by criterion, each with what names its rater."""
        named = [name for name in self.cells if may_hold_scores(name)]
        scores = [name for name in named if self._holds_scores(name) or self._levels([name])]
        says_human = any("human" in words_of(name) for name in scores)
        groups = [
            raters
            for raters in by_raters(scores, self.inputs(scores), self._distance)
            if not says_human or len(raters.columns) > 1 or any(map(is_marked, raters.columns))
        ]  # the others are other numbers
        lists = {name for name in scores if self._holds_lists(name)}
        short = without_common([raters.name for raters in groups])
        criteria: dict[str, dict[str, str]] = {}
        for raters in groups:
            columns = dict(raters.columns)
            name = criterion_name(short.get(raters.name, raters.name))
            if name not in criteria:
                criteria[name] = columns
            elif lists & {*columns} and self._filled(columns) >= self._filled(criteria[name]):
                criteria[name] = columns  # the ratings behind the means
            elif not lists & {*columns, *criteria[name]}:
                criteria[identifier_of(raters.name)] = columns
        return criteria

    def named(self, columns: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
        """Return the columns of criteria, each with what names its rater."""
        raters = {column: it for own in self.criteria().values() for column, it in own.items()}
        return {name: {it: raters.get(it, "") for it in own} for name, own in columns.items()}

    def rater(self, inputs: Group, used: Iterable[str]) -> str | None:
        """Return the column that names raters: by its name, or since texts have a row for each."""
        names = [name for name in self.cells if name not in used and self._repeats(name)]
        by_name = [it for it in names if words_of(it) & RATER_WORDS and not self._scores(it)]
        if by_name or self._count(inputs) == len(self.table.rows):
            return next(iter(by_name), None)
        rows = len(self.table.rows)
        others = [it for it in names if it not in inputs and not words_of(it) & (LABELS | COMMENT)]
        others = [it for it in others if not self._other_form(it)]
        fitting = (it for it in others if self._count((*inputs, it)) == rows)
        return next((it for it in fitting if len(self.cells[it]) == rows), None)

    def comments(self, scores: Mapping[str, Iterable[str]], used: Iterable[str]) -> dict[str, str]:
        """Return the column of comments of each criterion that has one."""
        columns = self.remarks(used)
        if len(scores) == 1 and columns:
            return {next(iter(scores)): columns[0]}
        return {
            name: column
            for name in scores
            for column in columns
            if set(name.split("_")) <= words_of(column)
        }

    def remarks(self, used: Iterable[str]) -> list[str]:
        """Return the columns of comments."""
        return [
            name
            for name, cells in self.cells.items()
            if cells and name not in used and words_of(name) & COMMENT
        ]

    def inputs(self, used: Iterable[str]) -> list[str]:
        """Return the columns of texts and of images."""
        return [
            name
            for name in self.cells
            if name not in used and (self.holds_images(name) or self._holds_texts(name))
        ]

    def holds_images(self, name: str) -> bool:
        """Say whether all cells of a column name images."""
        return bool(self.cells[name]) and all(map(looks_like_image, self.cells[name]))

    def group(self, inputs: Group, used: Iterable[str]) -> str | None:
        """Return the column of the finest groups: its values repeat over different texts.

        A column that no name marks has eight values or more, and one for each text.
        """
        texts, rows = self._count(inputs), len(self.table.rows)
        counts = {
            name: self._count((name,))
            for name, cells in self.cells.items()
            if name not in (*inputs, *used) and not words_of(name) & MACHINE and len(cells) == rows
        }
        fitting = {name: count for name, count in counts.items() if 2 <= count < texts}
        named = [name for name in fitting if words_of(name) & GROUP]
        others = [
            name
            for name, count in fitting.items()
            if count >= max(_FEWEST_GROUPS, texts / 10)
            and not words_of(name) & (LABELS | NUMBERS | RATER_WORDS | COMMENT)
            and self._scores(name) is None
            and not self._other_form(name)
            and self._count((*inputs, name)) == texts
        ]
        return max(named or others, key=counts.__getitem__, default=None)

    def criterion(
        self, name: str, columns: Sequence[str], comment: str | None, inputs: Group
    ) -> Criterion:
        """Return a criterion with the scale and the levels' names that its scores seem to have."""
        several = {"raters": columns} if len(columns) > 1 else {"human": columns[0]}
        rated = next((name for name in inputs if words_of(name) & RATED), inputs[-1])
        text = f"Rate the {rated}: {name.replace('_', ' ')}."
        text += "" if _falls(columns) else " A higher score is better."
        cells = chain.from_iterable(self.cells[column] for column in columns)
        na = any(says_not_applicable(cell, plainly=True) for cell in cells)
        if levels := self._levels(columns):
            return Criterion(name, text, levels=levels, comment=comment, na=na, **several)
        values = self._values(columns)
        if not values:
            found = "".join(f": {it}" for it in self._misread(columns[:1]))
            raise SetupError(f"{self.table.source}: {columns[0]!r} holds no scores{found}.")
        low, high = usual_scale(columns[0], min(values), max(values))
        named = self._level_names(columns)
        if named and any(map(self._holds_words, columns)):  # then each level needs its name
            low, high = min(named), max(named)
        is_whole = len(named) == high - low + 1
        meanings: Levels | None = [*named.values()] if is_whole else named or None
        return Criterion(name, text, (low, high), meanings, comment=comment, na=na, **several)

    def lie_between(self, columns: Iterable[str]) -> bool:
        """Say whether some scores are no whole numbers."""
        return any(it != int(it) for name in columns for it in self._scores(name) or ())

    def left_out(self, name: str, inputs: Group) -> str:
        """Say why a column is neither an input nor scores nor anything else."""
        cells, words, rows = self.cells[name], words_of(name), len(self.table.rows)
        values, form = list(dict.fromkeys(map(str, cells))), self._other_form(name)
        misfits = [fault.instance for fault in self._misfits(name)]
        few = len(misfits) < len(cells) / 2
        shown = ", ".join(misfits[:_SHOWN] if few else (it[:20] for it in values[:_SHOWN]))
        reasons = {
            "it is empty": not cells,
            f"it is the same in each row ({shown})": len(values) == 1,
            "a comment on no single criterion; one can name it, as `comment`": words & COMMENT,
            "a machine's, by its name": words & MACHINE,
            f"{form}": form,
            "its values differ in each row, so it groups nothing": len(values) == rows,
            "it has a value for each text, so it groups nothing": (
                inputs and len(values) >= self._count(inputs)
            ),
            f"it has a gap ({rows - len(cells)} of {rows} rows), so it can name no group": (
                words & GROUP and len(cells) < rows
            ),
            "numbers that are not taken for people's scores": self._scores(name) is not None,
            f"neither texts, nor scores, nor levels in a known order ({shown})": True,
        }
        return next(reason for reason, holds in reasons.items() if holds)

    def doubts(self, criterion: Criterion) -> Iterator[str]:
        """Say what may be wrong with a criterion's scores, each as a clause."""
        columns, scale = criterion.columns, criterion.scale
        yield from self._misread(columns)
        if _falls(columns):
            yield (
                "by the column's name a lower score is better, but a scale must rise: turn the "
                f"scores round in the table (write {scale.low + scale.high} minus the score)"
            )
        yield from strays(columns[0], self._values(columns), (scale.low, scale.high))

    def _misread(self, columns: Iterable[str]) -> Iterator[str]:
        for name in columns:
            if faults := self._misfits(name):
                shown = ", ".join(fault.instance for fault in faults[:_SHOWN])
                more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
                total = len(self.cells[name])
                fit = f"{total - len(faults)} of {total} cells of {name!r} are scores"
                yield f"{fit}, but not {shown}{more}: write a score or empty the cell"

    def _misfits(self, name: str) -> list[Fault]:
        """Return the cells that are no scores; or no levels, if more are these."""
        levels = likely_levels(self.cells[name])
        of_levels = [
            self.table.fault(place, "", cell)
            for place, cell in enumerate(self.table.column(name))
            if not (_is_empty(cell) or is_one_of(levels, cell))
        ]
        return min(self._read(name).faults, of_levels, key=len)

    def _values(self, columns: Iterable[str]) -> list[float]:
        return [score for column in columns for score in self._scores(column) or ()]

    def _are_most(self, count: int, columns: Iterable[str]) -> bool:
        return count >= _MOST * sum(len(self.cells[name]) for name in columns)

    def _other_form(self, name: str) -> str | None:
        """Name what a column holds that is neither texts nor scores nor names."""
        forms = Counter(map(other_form, self.cells[name]))
        return next((it for it in forms if it and self._are_most(forms[it], [name])), None)

    def _rows(self, names: Group) -> Iterator[tuple[str, ...]]:
        return zip(*(map(str, self.table.column(name)) for name in names), strict=True)

    def _count(self, names: Group) -> int:
        return len(set(self._rows(names)))

    def _repeats(self, name: str) -> bool:
        return len(set(map(str, self.cells[name]))) < len(self.cells[name])

    def _holds_texts(self, name: str) -> bool:
        cells = [read_text(cell) for cell in self.cells[name]]
        texts = [cell for cell in cells if isinstance(cell, str)]
        if not texts or words_of(name) & (LABELS | COMMENT | RATER_WORDS) or self._scores(name):
            return False
        if self._other_form(name) or len(texts) < len(cells) / 2:
            return False
        words = fmean(len(text.split()) for text in texts)
        return words >= _TEXT or (words >= 2 and len(set(texts)) >= len(texts) / 10)

    def _holds_scores(self, name: str) -> bool:
        words = words_of(name)
        values = None if words & (MACHINE | NUMBERS) else self._scores(name)
        if not values:
            return False
        is_rated = is_marked(name)
        levels = set(values)
        on_a_scale = max(values) - min(values) <= 100 and min(values) >= -10
        few = (
            all(2 * value == int(2 * value) for value in levels)
            and 2 <= len(levels) <= _MOST_LEVELS
        )
        return on_a_scale and (is_rated or (few and max(levels) <= 10))

    def _levels(self, columns: Iterable[str]) -> Group | None:
        """Return the names of levels, if most cells of the columns are words of one kind."""
        columns = list(columns)
        cells = [cell for name in columns for cell in self.cells[name]]
        levels = likely_levels(cells)
        bad = sum(not is_one_of(levels, cell) for cell in cells)
        is_used = len({level_of(cell) for cell in cells} & {*levels}) > 1
        return levels if is_used and self._are_most(len(cells) - bad, columns) else None

    def _named_levels(self) -> dict[str, int]:
        """Return the scores of the names in cells as "4 - good", where all columns agree."""
        pairs: set[tuple[str, int]] = set()
        for cells in self.cells.values():
            named = {(level_of(it[1]), it[0]) for it in map(labelled, cells) if it}
            if len(named) <= _MOST_LEVELS:  # else it is a list's numbers before texts
                pairs |= named
        names = [name for name, _ in pairs]
        return {name: score for name, score in pairs if names.count(name) == 1}

    def _level_names(self, columns: Iterable[str]) -> dict[int, str]:
        """Return the levels' names by score; none if a score has two names, or a name two."""
        cells = [cell for name in columns for cell in self.cells[name]]
        pairs = {level_of(it[1]): it for it in map(labelled, cells) if it}
        for cell in cells:
            if (score := self.named_levels.get(level_of(cell))) is not None:
                pairs.setdefault(level_of(cell), (score, str(cell).strip()))
        names = dict(sorted(pairs.values()))
        scores = {it[0] for it in map(labelled, cells) if it}
        is_clear = len(names) == len(pairs) and scores <= {*names}
        return names if is_clear else {}

    def _holds_words(self, column: str) -> bool:
        return any(level_of(cell) in self.named_levels for cell in self.cells[column])

    def _holds_lists(self, name: str) -> bool:
        return any(map(_is_list, self.cells[name]))

    def _filled(self, columns: Iterable[str]) -> int:
        return max(sum(str(cell) != "[]" for cell in self.cells[name]) for name in columns)

    def _scores(self, name: str) -> list[float] | None:
        """Return a column's scores, those of lists, too; None if it holds mostly other things."""
        read = self._read(name)
        bad = {fault.place for fault in read.faults}
        if not self._are_most(len(self.cells[name]) - len(bad), [name]):
            return None
        values = [value for place, value in enumerate(read.values) if place not in bad]
        return [value for value in values if isinstance(value, float)]

    def _read(self, name: str) -> Scores:
        if name not in self._read_scores:  # it is asked for more than once
            cells = one_rating_a_row(self._column(name), (_GUESS,), None)
            # True and false are scores only on the latter scale.
            read = [
                read_scores(cells, Criterion("guess", "A guess.", scale, human=_GUESS))
                for scale in (_WIDEST, (0, 1))
            ]
            self._read_scores[name] = min(read, key=lambda scores: len(scores.faults))
        return self._read_scores[name]

    def _column(self, name: str) -> Table:
        """Return a column without names of levels and words for no score."""
        rows = [
            {_GUESS: None if says_not_applicable(it) else self.named_levels.get(level_of(it), it)}
            for it in self.table.column(name)
        ]
        return replace(self.table, columns=(_GUESS,), rows=rows, separator=None)

    def _distance(self, one: str, other: str) -> float:
        """Return how much two columns' scores differ on average."""
        pairs = zip(self._read(one).values, self._read(other).values, strict=False)
        differences = [
            abs(first - second)
            for first, second in pairs
            if isinstance(first, float) and isinstance(second, float)
        ]
        return fmean(differences) if differences else 0.0


def _is_empty(cell: object) -> bool:
    return is_nan(cell) or (isinstance(cell, str) and not cell.strip())


def _falls(columns: Iterable[str]) -> bool:
    return any(map(FALLING_SCALE.search, columns))


def _is_list(cell: object) -> bool:
    return isinstance(cell, list) or str(cell).lstrip().startswith("[")


def criterion_name(stem: str) -> str:
    """Name a criterion by its column.

    Example:
        >>> criterion_name("human_tone"), criterion_name("Tone (1-5)")
        ('tone', 'tone')
    """
    words = identifier_of(without_scale(stem).strip()).split("_")
    name = "_".join([word for word in words if word not in HUMAN] or words)
    name = name if name.isidentifier() else f"criterion_{name}"
    try:
        return Criterion(name, "A guess.").name
    except SetupError:  # a name that means something else
        return f"{name}_score"
