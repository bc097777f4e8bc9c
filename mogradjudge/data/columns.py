"""Guesses what the columns of a table are, from their names and cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from statistics import fmean

from mogradjudge.criteria import Criterion, Group
from mogradjudge.criteria.applicability import says_not_applicable
from mogradjudge.criteria.criterion import identifier_of
from mogradjudge.data.batches import is_nan
from mogradjudge.data.conversations import transcript
from mogradjudge.data.ratings import one_rating_a_row
from mogradjudge.data.scores import read_scores
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
_LABELS |= {"model", "system", "language", "lang", "time"}
_GROUP = {"doc", "document", "article", "group", "thread", "conversation", "dialog", "dialogue"}
_GROUP |= {"topic", "prompt", "question", "source", "passage", "story", "item", "text", "id"}
_RATER = {"rater", "annotator", "worker", "reviewer", "labeler", "labeller", "coder", "grader"}
_RATER |= {"evaluator", "assessor", "participant", "turker", "judge", "raters", "annotators"}
# Levels that people give as words, worst to best.
_LEVELS = (
    *(("fail", "pass"), ("no", "yes"), ("bad", "good"), ("wrong", "right")),
    ("incorrect", "correct"),
    *(("no", "partly", "yes"), ("no", "partially", "yes"), ("bad", "ok", "good")),
    *(("unsafe", "safe"), ("low", "medium", "high"), ("worse", "same", "better")),
    *(("poor", "fair", "good", "excellent"), ("poor", "fair", "good", "very good", "excellent")),
    ("strongly disagree", "disagree", "neutral", "agree", "strongly agree"),
)
_COMMENT = {"comment", "comments", "note", "notes", "reason", "reasons", "rationale", "remark"}
_COMMENT |= {"explanation", "justification", "feedback", "remarks", "why"}
_RATED = {"output", "response", "reply", "answer", "summary", "completion", "generation"}

_OF_RATER = r"(?:rater|annotator|expert|crowd|worker|coder|judge|human|r|a)"
# "fluency_1" and "fluency_rater2"; "rater2_fluency". Questions of a survey are criteria.
_NUMBERED = re.compile(rf"(?P<stem>.+?)[_\W]*(?:[_\W]{_OF_RATER})?[_\W]*\d+", re.IGNORECASE)
_PREFIXED = re.compile(rf"{_OF_RATER}[_\W]*\d+[_\W]+(?P<stem>.+)", re.IGNORECASE)
_QUESTIONS = {"q", "question", "item", "criterion", "c"}
_NAMED_SCALE = re.compile(r"\(?(-?\d+)\s*(?:-|to|\u2013)\s*(\d+)\)?")  # "Tone (1-5)"


class Columns:
    """What the columns of a table look like."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.cells = {
            name: [cell for cell in table.column(name) if not _is_empty(cell)]
            for name in table.columns
        }

    def criteria(self) -> dict[str, list[str]]:
        """Return the columns of scores by criterion."""
        scores = [name for name in self.cells if self._holds_scores(name) or self._levels([name])]
        lists = {name for name in scores if self._holds_lists(name)}
        says_human = any("human" in _words(name) for name in scores)
        criteria: dict[str, list[str]] = {}
        for stem, columns in _by_stem(scores).items():
            if says_human and len(columns) == 1 and not _is_marked(columns[0]):
                continue  # another number
            name = criterion_name(stem)
            if name not in criteria:
                criteria[name] = columns
            elif lists & {*columns} and self._filled(columns) >= self._filled(criteria[name]):
                criteria[name] = columns  # the ratings behind the means
            elif not lists & {*columns, *criteria[name]}:
                criteria[identifier_of(stem)] = columns
        return criteria

    def rater(self, used: Iterable[str]) -> str | None:
        """Return the column that names raters."""
        for name, cells in self.cells.items():
            repeats = len(set(map(str, cells))) < len(cells)
            if name not in used and _words(name) & _RATER and repeats and not self._scores(name):
                return name
        return None

    def comments(self, scores: Mapping[str, Sequence[str]], used: Iterable[str]) -> dict[str, str]:
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
        """Return the column of the finest groups: its values repeat over different texts."""
        texts = len(set(self._rows(inputs)))
        counts = {
            name: len(set(self._rows((name,))))
            for name, cells in self.cells.items()
            if name not in (*inputs, *used)
            and _words(name) & _GROUP
            and not _words(name) & _MACHINE
            and len(cells) == len(self.table.rows)
        }
        fitting = {name: count for name, count in counts.items() if 2 <= count < texts}
        return max(fitting, key=fitting.__getitem__, default=None)

    def criterion(
        self, name: str, columns: Sequence[str], comment: str | None, inputs: Group
    ) -> Criterion:
        """Return a criterion with the scale that its scores seem to have."""
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
        scale = _scale(columns[0], min(values), max(values))
        return Criterion(name, text, scale, comment=comment, na=na, **several)

    def _rows(self, names: Group) -> Iterator[tuple[str, ...]]:
        return zip(*(map(str, self.table.column(name)) for name in names), strict=True)

    def _holds_texts(self, name: str) -> bool:
        cells = [transcript(cell) or cell for cell in self.cells[name]]
        texts = [cell for cell in cells if isinstance(cell, str)]
        if not texts or _words(name) & (_LABELS | _COMMENT | _RATER) or self._scores(name):
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
        """Return the names of levels, if words of one kind stand in the columns."""
        names = {
            str(cell).strip().casefold()
            for name in columns
            for cell in self.cells[name]
            if not says_not_applicable(cell)
        }
        fitting = (levels for levels in _LEVELS if len(names) >= 2 and names <= {*levels})
        return next(fitting, None)

    def _holds_lists(self, name: str) -> bool:
        return any(map(_is_list, self.cells[name]))

    def _filled(self, columns: Iterable[str]) -> int:
        return max(sum(str(cell) != "[]" for cell in self.cells[name]) for name in columns)

    def _scores(self, name: str) -> list[float] | None:
        """Return a column's scores, those of lists, too; None if other things stand in it."""
        rows = [{name: cell} for cell in self.cells[name] if not says_not_applicable(cell)]
        cells = Table(self.table.source, (name,), rows)
        cells = one_rating_a_row(cells, (name,), None)
        for scale in (_WIDEST, (0, 1)):  # true and false are scores only on the latter
            read = read_scores(cells, Criterion("guess", "A guess.", scale, human=name))
            if not read.faults:
                return [score for score in read.values if isinstance(score, float)]
        return None


def _is_empty(cell: object) -> bool:
    return is_nan(cell) or (isinstance(cell, str) and not cell.strip())


def _is_list(cell: object) -> bool:
    return isinstance(cell, list) or str(cell).lstrip().startswith("[")


def _is_marked(column: str) -> bool:
    """Say whether the name of a column says that people scored something."""
    return bool(
        _words(column) & _HUMAN or _NAMED_SCALE.search(column) or _PREFIXED.fullmatch(column)
    )


def _words(column: str) -> set[str]:
    words = identifier_of(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column)).split("_")
    return {word.rstrip("0123456789") for word in words}


def _by_stem(columns: Sequence[str]) -> dict[str, list[str]]:
    """Group the columns that differ in the number of a rater."""
    stems: dict[str, list[str]] = {}
    for column in columns:
        match = _PREFIXED.fullmatch(column) or _NUMBERED.fullmatch(column)
        stem = match["stem"] if match else column
        stems.setdefault(column if stem.lower() in _QUESTIONS else stem, []).append(column)
    return {stem if len(several) > 1 else several[0]: several for stem, several in stems.items()}


def criterion_name(stem: str) -> str:
    """Name a criterion by its column.

    Example:
        >>> criterion_name("human_tone"), criterion_name("Tone (1-5)")
        ('tone', 'tone')
    """
    words = identifier_of(_NAMED_SCALE.sub("", stem)).split("_")
    name = "_".join([word for word in words if word not in _HUMAN] or words)
    name = name if name.isidentifier() else f"criterion_{name}"
    try:
        return Criterion(name, "A guess.").name
    except SetupError:  # a name that means something else
        return f"{name}_score"


def _scale(column: str, low: float, high: float) -> tuple[int, int]:
    """Return the scale that the column names, or the narrowest usual one that holds all scores."""
    if (said := _NAMED_SCALE.search(column)) and int(said[1]) <= low <= high <= int(said[2]):
        return int(said[1]), int(said[2])
    fitting = [scale for scale in _SCALES if scale[0] <= low and high <= scale[1]]
    if not fitting:
        return int(low // 1), max(int(-(-high // 1)), int(low // 1) + 1)
    return min(fitting, key=lambda scale: (scale[1] - scale[0], -scale[0]))
