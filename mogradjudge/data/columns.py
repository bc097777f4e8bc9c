"""Guesses what the columns of a table are, from their names and cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from statistics import fmean
from typing import Any

from mogradjudge.criteria import Criterion, Group
from mogradjudge.criteria.applicability import says_not_applicable
from mogradjudge.criteria.criterion import Levels, identifier_of
from mogradjudge.data.batches import is_nan
from mogradjudge.data.conversations import transcript
from mogradjudge.data.rater_columns import NAMED_SCALE, RATER_WORDS, by_raters, without_common
from mogradjudge.data.ratings import one_rating_a_row
from mogradjudge.data.scores import labelled, read_scores
from mogradjudge.data.tables import Table
from mogradjudge.errors import SetupError
from mogradjudge.lm.images import looks_like_image

_SCALES = (
    *((0, 1), (1, 3), (0, 2), (0, 3), (1, 4), (1, 5), (0, 4), (0, 5), (1, 7), (1, 10)),
    *((0, 10), (0, 100), (-1, 1), (-2, 2), (-3, 3)),
)
_WIDEST = (-500, 500)  # of which each score of a table is read, before its scale is known
_MOST_LEVELS = 11  # of a column that no name marks as scores
_TEXT = 5  # words, on average, of a text, however often it is repeated

# Words of columns' names.
_HUMAN = {"human", "humans", "rating", "ratings", "rated", "score", "scores", "grade", "likert"}
_HUMAN |= {"annotation", "label", "expert", "crowd", "raters"}
_MACHINE = {"model", "gpt", "llm", "auto", "bleu", "rouge", "bert", "bertscore", "predicted"}
_MACHINE |= {"prediction", "pred", "system", "machine"}
_NUMBERS = {"id", "ids", "idx", "index", "count", "length", "len", "year", "num", "number", "rank"}
_NUMBERS |= {"age", "seed", "fold", "run", "step", "turn", "page", "line", "tokens", "words"}
_LABELS = {"id", "ids", "uid", "uuid", "key", "url", "link", "file", "path", "split", "date"}
_LABELS |= {"model", "system", "language", "lang", "time", "timestamp", "created", "submitted"}
_GROUP = {"doc", "document", "article", "group", "thread", "conversation", "dialog", "dialogue"}
_GROUP |= {"topic", "prompt", "question", "source", "passage", "story", "item", "text", "id"}
_FEWEST_GROUPS = 8  # of a column that no name marks; fewer values are rather topics or languages
# Levels that people give as words, worst to best.
_LEVELS = (
    *(("fail", "pass"), ("no", "yes"), ("bad", "good"), ("wrong", "right")),
    ("incorrect", "correct"),
    *(("no", "partly", "yes"), ("no", "partially", "yes"), ("bad", "ok", "good")),
    *(("unsafe", "safe"), ("low", "medium", "high"), ("worse", "same", "better")),
    *(("poor", "fair", "good", "excellent"), ("poor", "fair", "good", "very good", "excellent")),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("not at all", "slightly", "moderately", "very", "extremely"),
)
# Of these words those that are used are the levels.
_LADDER = (
    *("terrible", "awful", "very bad", "very poor", "bad", "poor", "weak", "fair", "ok", "okay"),
    *("average", "acceptable", "neutral", "decent", "good", "very good", "great", "excellent"),
    *("outstanding", "perfect"),
)
_COMMENT = {"comment", "comments", "note", "notes", "reason", "reasons", "rationale", "remark"}
_COMMENT |= {"explanation", "justification", "feedback", "remarks", "why"}
_RATED = {"output", "response", "reply", "answer", "summary", "completion", "generation"}
_OF_RATER = r"(?:rater|annotator|expert|crowd|worker|coder|judge|human|r|a)"
_PREFIXED = re.compile(rf"{_OF_RATER}[_\W]*\d+[_\W]+.+", re.IGNORECASE)  # "rater2_fluency"


class Columns:
    """What the columns of a table look like."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.cells = {
            name: [cell for cell in table.column(name) if not _is_empty(cell)]
            for name in table.columns
        }
        self.named_levels = self._named_levels()
        self._read_scores: dict[str, list[float] | None] = {}

    def criteria(self) -> dict[str, dict[str, str]]:
        """Return the columns of scores by criterion, each with what names its rater."""
        scores = [name for name in self.cells if self._holds_scores(name) or self._levels([name])]
        says_human = any("human" in _words(name) for name in scores)
        groups = [
            raters
            for raters in by_raters(scores, self.inputs(scores), self._distance)
            if not says_human or len(raters.columns) > 1 or any(map(_is_marked, raters.columns))
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

    def rater(self, inputs: Group, used: Iterable[str]) -> str | None:
        """Return the column that names raters: by its name, or since texts have a row for each."""
        names = [name for name in self.cells if name not in used and self._repeats(name)]
        by_name = [it for it in names if _words(it) & RATER_WORDS and not self._scores(it)]
        if by_name or self._count(inputs) == len(self.table.rows):
            return next(iter(by_name), None)
        rows = len(self.table.rows)
        others = [it for it in names if it not in inputs and not _words(it) & (_LABELS | _COMMENT)]
        fitting = (it for it in others if self._count((*inputs, it)) == rows)
        return next((it for it in fitting if len(self.cells[it]) == rows), None)

    def comments(self, scores: Mapping[str, Iterable[str]], used: Iterable[str]) -> dict[str, str]:
        """Return the column of comments of each criterion that has one."""
        columns = [name for name in self.cells if name not in used and _words(name) & _COMMENT]
        if len(scores) == 1 and columns:
            return {next(iter(scores)): columns[0]}
        return {
            name: column
            for name in scores
            for column in columns
            if set(name.split("_")) <= _words(column)
        }

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
            if name not in (*inputs, *used) and not _words(name) & _MACHINE and len(cells) == rows
        }
        fitting = {name: count for name, count in counts.items() if 2 <= count < texts}
        named = [name for name in fitting if _words(name) & _GROUP]
        others = [
            name
            for name, count in fitting.items()
            if count >= max(_FEWEST_GROUPS, texts / 10)
            and not _words(name) & (_LABELS | _NUMBERS | RATER_WORDS | _COMMENT)
            and self._scores(name) is None
            and self._count((*inputs, name)) == texts
        ]
        return max(named or others, key=counts.__getitem__, default=None)

    def criterion(
        self, name: str, columns: Sequence[str], comment: str | None, inputs: Group
    ) -> Criterion:
        """Return a criterion with the scale and the levels' names that its scores seem to have."""
        several = {"raters": columns} if len(columns) > 1 else {"human": columns[0]}
        rated = next((name for name in inputs if _words(name) & _RATED), inputs[-1])
        text = f"Rate the {rated}: {name.replace('_', ' ')}. A higher score is better."
        cells = chain.from_iterable(self.cells[column] for column in columns)
        na = any(says_not_applicable(cell, plainly=True) for cell in cells)
        if levels := self._levels(columns):
            return Criterion(name, text, levels=levels, comment=comment, na=na, **several)
        values = [score for column in columns for score in self._scores(column) or ()]
        if not values:
            raise SetupError(f"{self.table.source}: {columns[0]!r} holds no scores.")
        low, high = _scale(columns[0], min(values), max(values))
        named = self._level_names(columns)
        if named and any(map(self._holds_words, columns)):  # then each level needs its name
            low, high = min(named), max(named)
        is_whole = len(named) == high - low + 1
        meanings: Levels | None = [*named.values()] if is_whole else named or None
        return Criterion(name, text, (low, high), meanings, comment=comment, na=na, **several)

    def left_out(self, name: str, inputs: Group) -> str:
        """Say why a column is neither an input nor scores nor anything else."""
        cells, words, rows = self.cells[name], _words(name), len(self.table.rows)
        values = list(dict.fromkeys(map(str, cells)))
        shown = ", ".join(value[:20] for value in values[:3])
        reasons = {
            "it is empty": not cells,
            f"it is the same in each row ({shown})": len(values) == 1,
            "a comment on no single criterion": words & _COMMENT,
            "a machine's, by its name": words & _MACHINE,
            "its values differ in each row, so it groups nothing": len(values) == rows,
            "it has a value for each text, so it groups nothing": (
                inputs and len(values) >= self._count(inputs)
            ),
            f"it has a gap ({rows - len(cells)} of {rows} rows), so it can name no group": (
                words & _GROUP and len(cells) < rows
            ),
            "numbers that are not taken for people's scores": self._scores(name) is not None,
            f"neither texts, nor scores, nor levels in a known order ({shown})": True,
        }
        return next(reason for reason, holds in reasons.items() if holds)

    def _rows(self, names: Group) -> Iterator[tuple[str, ...]]:
        return zip(*(map(str, self.table.column(name)) for name in names), strict=True)

    def _count(self, names: Group) -> int:
        return len(set(self._rows(names)))

    def _repeats(self, name: str) -> bool:
        return len(set(map(str, self.cells[name]))) < len(self.cells[name])

    def _holds_texts(self, name: str) -> bool:
        cells = [transcript(cell) or cell for cell in self.cells[name]]
        texts = [cell for cell in cells if isinstance(cell, str)]
        if not texts or _words(name) & (_LABELS | _COMMENT | RATER_WORDS) or self._scores(name):
            return False
        words = fmean(len(text.split()) for text in texts)
        return words >= _TEXT or (words >= 2 and len(set(texts)) >= len(texts) / 10)

    def _holds_scores(self, name: str) -> bool:
        words = _words(name)
        values = None if words & (_MACHINE | _NUMBERS) else self._scores(name)
        if not values:
            return False
        is_marked = _is_marked(name)
        levels = set(values)
        on_a_scale = max(values) - min(values) <= 100 and min(values) >= -10
        few = all(value == int(value) for value in levels) and 2 <= len(levels) <= _MOST_LEVELS
        return on_a_scale and (is_marked or (few and max(levels) <= 10))

    def _levels(self, columns: Iterable[str]) -> Group | None:
        """Return the names of levels, if only words of one kind stand in the columns."""
        names = {
            _level(cell)
            for name in columns
            for cell in self.cells[name]
            if not says_not_applicable(cell)
        }
        if len(names) < 2:
            return None
        ordered = tuple(word for word in _LADDER if word in names)
        known = (*_LEVELS, *([ordered] if len(ordered) == len(names) else ()))
        return next((levels for levels in known if names <= {*levels}), None)

    def _named_levels(self) -> dict[str, int]:
        """Return the scores of the names in cells as "4 - good", where all columns agree."""
        pairs: set[tuple[str, int]] = set()
        for cells in self.cells.values():
            named = {(_level(it[1]), it[0]) for it in map(labelled, cells) if it}
            if len(named) <= _MOST_LEVELS:  # else it is a list's numbers before texts
                pairs |= named
        names = [name for name, _ in pairs]
        return {name: score for name, score in pairs if names.count(name) == 1}

    def _level_names(self, columns: Iterable[str]) -> dict[int, str]:
        """Return the levels' names by score; none if a score has two names, or a name two."""
        cells = [cell for name in columns for cell in self.cells[name]]
        pairs = {_level(it[1]): it for it in map(labelled, cells) if it}
        for cell in cells:
            if (score := self.named_levels.get(_level(cell))) is not None:
                pairs.setdefault(_level(cell), (score, str(cell).strip()))
        names = dict(sorted(pairs.values()))
        scores = {it[0] for it in map(labelled, cells) if it}
        is_clear = len(names) == len(pairs) and scores <= {*names}
        return names if is_clear else {}

    def _holds_words(self, column: str) -> bool:
        return any(_level(cell) in self.named_levels for cell in self.cells[column])

    def _holds_lists(self, name: str) -> bool:
        return any(map(_is_list, self.cells[name]))

    def _filled(self, columns: Iterable[str]) -> int:
        return max(sum(str(cell) != "[]" for cell in self.cells[name]) for name in columns)

    def _scores(self, name: str) -> list[float] | None:
        """Return a column's scores, those of lists, too; None if other things stand in it."""
        if name not in self._read_scores:  # it is asked for more than once
            self._read_scores[name] = self._read(name, self.cells[name], keep=False)
        return self._read_scores[name]

    def _read(self, name: str, values: Iterable[object], *, keep: bool) -> list[Any] | None:
        rows = [
            {name: None if says_not_applicable(it) else self.named_levels.get(_level(it), it)}
            for it in values
        ]
        cells = Table(self.table.source, (name,), rows)
        cells = cells if keep else one_rating_a_row(cells, (name,), None)
        for scale in (_WIDEST, (0, 1)):  # true and false are scores only on the latter
            read = read_scores(cells, Criterion("guess", "A guess.", scale, human=name))
            if not read.faults:
                return [score for score in read.values if keep or score is not None]
        return None

    def _distance(self, one: str, other: str) -> float:
        """Return how much two columns' scores differ on average."""
        read = [self._read(it, self.table.column(it), keep=True) or () for it in (one, other)]
        pairs = [pair for pair in zip(*read, strict=False) if None not in pair]
        return fmean(abs(first - second) for first, second in pairs) if pairs else 0.0


def _is_empty(cell: object) -> bool:
    return is_nan(cell) or (isinstance(cell, str) and not cell.strip())


def _level(cell: object) -> str:
    return " ".join(str(cell).split()).casefold()


def _is_list(cell: object) -> bool:
    return isinstance(cell, list) or str(cell).lstrip().startswith("[")


def _is_marked(column: str) -> bool:
    """Say whether the name of a column says that people scored something."""
    return bool(
        _words(column) & _HUMAN or NAMED_SCALE.search(column) or _PREFIXED.fullmatch(column)
    )


def _words(column: str) -> set[str]:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", column)
    return {word.rstrip("0123456789") for word in identifier_of(apart).split("_")}


def criterion_name(stem: str) -> str:
    """Name a criterion by its column.

    Example:
        >>> criterion_name("human_tone"), criterion_name("Tone (1-5)")
        ('tone', 'tone')
    """
    words = identifier_of(NAMED_SCALE.sub("", stem)).split("_")
    name = "_".join([word for word in words if word not in _HUMAN] or words)
    name = name if name.isidentifier() else f"criterion_{name}"
    try:
        return Criterion(name, "A guess.").name
    except SetupError:  # a name that means something else
        return f"{name}_score"


def _scale(column: str, low: float, high: float) -> tuple[int, int]:
    """Return the scale that the column names, or the narrowest usual one that holds all scores."""
    if (said := NAMED_SCALE.search(column)) and int(said[1]) <= low <= high <= int(said[2]):
        return int(said[1]), int(said[2])
    fitting = [scale for scale in _SCALES if scale[0] <= low and high <= scale[1]]
    if not fitting:
        return int(low // 1), max(int(-(-high // 1)), int(low // 1) + 1)
    return min(fitting, key=lambda scale: (scale[1] - scale[0], -scale[0]))
