"""People's ratings of texts: a table with a row per text and rater, on disk after each rating."""

from __future__ import annotations

import csv
import io
import json
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mogradjudge.agreement import Undefined, alpha_of_raters, human_ceiling
from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.criteria.applicability import NOT_APPLICABLE
from mogradjudge.data import check_columns, stream_table
from mogradjudge.data.delimited import guarded, has_text, long_fields, unguarded
from mogradjudge.data.faults import Fault, Findings, say_notes
from mogradjudge.data.inputs import read_images
from mogradjudge.data.ratings import RATER
from mogradjudge.data.tables import Table, is_blank
from mogradjudge.errors import SetupError
from mogradjudge.files import write_text
from mogradjudge.hashing import digest
from mogradjudge.lm.images import NamedImage, read_image

_LONGEST_COMMENT = 10_000


@dataclass(frozen=True)
class RaterAgreement:
    """How raters agree on a criterion, over the texts that two or more have rated.

    ``one_rater`` is the agreement of one with the mean of the others, ``alpha`` Krippendorff's, and
    ``equal`` the share of pairs of ratings with the same score.
    """

    criterion: str
    texts: int
    equal: float | None
    one_rater: float | Undefined
    alpha: float | Undefined


class Labels:
    """The texts to rate, and the ratings so far; they are read from and written to one CSV file.

    ``comments`` are the columns of comments, each with the first criterion that names it. A rater's
    name is the same in any case and width, and is kept as it was written first.

    Args:
        texts: Rows that hold the rubric's columns; equal ones are one text.
        rubric: What is rated.
        out: The file, in the long format that ``compile`` reads.

    Raises:
        SetupError: If there is no text, two columns would have one name, or the file holds other
            columns or ratings.
    """

    def __init__(self, texts: Sequence[Mapping[str, Any]], rubric: Rubric, out: Path) -> None:
        self.rubric, self.out = rubric, out
        group = [rubric.group] if isinstance(rubric.group, str) else []
        self.rater = rubric.rater or RATER
        self.columns = tuple(dict.fromkeys((*rubric.columns, *group)))
        self.humans = {criterion.name: criterion.human for criterion in rubric.criteria}
        self.comments: dict[str, str] = {}
        for criterion in filter(lambda it: it.comment, rubric.criteria):
            self.comments.setdefault(str(criterion.comment), criterion.name)
        self._check_columns()
        rows = [{name: _text(row.get(name)) for name in self.columns} for row in texts]
        rows = [row for row in rows if not any(is_blank(row[name]) for name in rubric.columns)]
        self.texts = {_key(row): row for row in rows}
        if not self.texts:
            raise SetupError("There is no text to rate: the inputs are empty in every row.")
        self._lock = threading.Lock()
        self._scores: dict[tuple[str, str], Mapping[str, int | str]] = {}
        self._said: dict[tuple[str, str], Mapping[str, str]] = {}
        self._names: dict[str, str] = {}
        if out.exists():
            self._read()

    @classmethod
    def of(cls, source: str, rubric: Rubric, out: Path) -> Labels:
        """Read the texts of a table, of any kind that `load_examples` reads."""
        group = (rubric.group,) if isinstance(rubric.group, str) else ()
        batches = list(stream_table(source, (*rubric.columns, *group)))
        rows = [row for batch in batches for row in batch.rows]
        columns = batches[0].columns if batches else ()
        table, findings = Table(source, columns, rows), Findings(source)
        check_columns(table, rubric.columns)
        if missing := [name for name in group if name not in columns]:
            note = (
                f"it has no column {missing[0]!r}, the rubric's group; to compile with the ratings"
            )
            say_notes(source, [f"{note}, take `group` out of the rubric"])
            rubric = replace(rubric, group=None)
        images = [image for name in rubric.image_columns for image in read_images(table, name)]
        findings.add(image for image in images if isinstance(image, Fault))
        findings.conclude(len(rows), skip_bad=False)
        if not all(isinstance(row[name], str) for row in rows for name in rubric.image_columns):
            raise SetupError(f"{source} holds images themselves: label shows paths and addresses.")
        if images and out.absolute().parent != Path(source).absolute().parent:
            raise SetupError(f"The ratings name images by paths: put --out beside {source}.")
        return cls(rows, rubric, out)

    def order(self, rater: str) -> list[str]:
        """Return the texts' keys in a rater's own order, so that no text is tired of by all."""
        return sorted(self.texts, key=lambda key: digest([_folded(rater), key]))

    def named(self, rater: str) -> str:
        """Return a rater's name as it was written first."""
        name = " ".join(rater.split())
        return self._names.get(_folded(name), name)

    def shown(self, key: str) -> list[tuple[str, str | NamedImage]]:
        """Return what a rater sees of a text, by column."""
        row, images = self.texts[key], self.rubric.image_columns
        return [
            (name, read_image(row[name], self.out.parent)) if name in images else (name, row[name])
            for name in self.rubric.columns
        ]

    def scores(self, rater: str, key: str) -> Mapping[str, int | str]:
        """Return a rater's scores of a text; empty if there are none."""
        return self._scores.get((self.named(rater), key), {})

    def said(self, rater: str, key: str) -> Mapping[str, str]:
        """Return a rater's comments on a text, by column."""
        return self._said.get((self.named(rater), key), {})

    def done(self, rater: str) -> int:
        """Count the texts that a rater has rated."""
        return sum(bool(self.scores(rater, key)) for key in self.texts)

    def rate(
        self, rater: str, key: str, scores: Mapping[str, Any], said: Mapping[str, Any] | None = None
    ) -> None:
        """Take a rater's scores of a text in place of earlier ones, and write the file.

        Args:
            rater: Who rates.
            key: The text.
            scores: A score on each criterion.
            said: Comments, by column.

        Raises:
            SetupError: If the text is unknown, a score is missing or off its scale, or a comment is
                none.
        """
        if not rater.strip() or key not in self.texts:
            raise SetupError(f"There is no text {key!r}, or the rater has no name.")
        if scores.keys() != self.humans.keys():
            raise SetupError(f"A rating needs a score on each of {', '.join(self.humans)}.")
        for name, score in scores.items():
            if not _is_rating(score, self.rubric[name]):
                raise SetupError(f"The score on {name!r} is not on its scale: {score!r}.")
        said = self._checked(said or {})
        with self._lock:
            self._take(rater, key, dict(scores), said)
            write_text(self.out, self._written())

    def _checked(self, said: Mapping[str, Any]) -> dict[str, str]:
        for column, text in said.items():
            if column not in self.comments or not isinstance(text, str):
                raise SetupError(f"A comment is a text on one of {', '.join(self.comments)}.")
            if len(text) > _LONGEST_COMMENT:
                raise SetupError(f"A comment has at most {_LONGEST_COMMENT} characters.")
        return {column: _text(text).strip() for column, text in said.items()}

    def _take(
        self, rater: str, key: str, scores: Mapping[str, int | str], said: Mapping[str, str]
    ) -> None:
        rater = self.named(rater)
        self._names.setdefault(_folded(rater), rater)
        self._scores[rater, key], self._said[rater, key] = scores, said

    def agreement(self) -> list[RaterAgreement]:
        """Say how the raters agree, by criterion."""
        return [self._agreement(name) for name in self.humans]

    def _agreement(self, name: str) -> RaterAgreement:
        ratings: dict[str, dict[str, int | str]] = {key: {} for key in self.texts}
        # Another rater may save meanwhile.
        for (rater, key), scores in list(self._scores.items()):
            ratings[key][rater] = scores[name]
        shared = [list(scores.values()) for scores in ratings.values() if len(scores) > 1]
        equal = [
            one == other
            for scores in shared
            for place, one in enumerate(scores)
            for other in scores[place + 1 :]
        ]
        share = sum(equal) / len(equal) if equal else None
        numbers = [
            {rater: float(it) for rater, it in scores.items() if isinstance(it, int)}
            for scores in ratings.values()
        ]
        figures = human_ceiling(numbers), alpha_of_raters(numbers)
        return RaterAgreement(name, len(shared), share, *figures)

    def _check_columns(self) -> None:
        """Check that the file's columns have names of their own, and that `compile` reads them."""
        columns = [*self.columns, self.rater, *self.humans.values(), *self.comments]
        if twice := sorted({name for name in columns if columns.count(name) > 1}):
            raise SetupError(
                f"The ratings would have two columns {twice[0]!r}. Rename one of them."
            )

    def _written(self) -> str:
        file = io.StringIO()
        writer = csv.writer(file)
        writer.writerow([*self.columns, self.rater, *self.humans.values(), *self.comments])
        for (rater, key), scores in self._scores.items():
            texts = [self.texts[key][name] for name in self.columns]
            said = self._said[rater, key]
            comments = [said.get(column, "") for column in self.comments]
            levels = [scores[name] for name in self.humans]
            writer.writerow([*map(guarded, [*texts, rater]), *levels, *map(guarded, comments)])
        return file.getvalue()

    def _read(self) -> None:
        names = [*self.columns, self.rater, *self.humans.values()]
        try:
            with long_fields(), self.out.open(encoding="utf-8-sig", newline="") as file:
                header, *rows = list(csv.reader(file, strict=True)) or [[]]
        except (csv.Error, UnicodeDecodeError) as error:
            raise SetupError(f"{self.out} is no CSV file in UTF-8: {error}. Mend it.") from error
        if header not in (names, [*names, *self.comments]):
            raise SetupError(
                f"{self.out} has other columns than {', '.join(names)}. Give another --out."
            )
        for number, row in enumerate(filter(has_text, rows), 1):
            where = f"{self.out}, rating {number}"
            if len(row) != len(header):
                raise SetupError(
                    f"{where} has {len(row)} fields, but the header {len(header)}. Mend the row."
                )
            self._take_row(dict(zip(header, map(unguarded, row), strict=True)), where)

    def _take_row(self, row: Mapping[str, str], where: str) -> None:
        key = _key({name: row[name] for name in self.columns})
        if key not in self.texts:
            raise SetupError(f"{where} is of a text that the table lacks. Give another --out.")
        rater = row[self.rater]
        if is_blank(rater):
            raise SetupError(f"{where} has no rater. Name one in column {self.rater!r}.")
        if (self.named(rater), key) in self._scores:
            raise SetupError(
                f"{where}: {self.named(rater)!r} has rated the text before, and {rater!r} is the "
                "same rater. Remove one of the rows, or give another name."
            )
        scores = {name: self._score(name, row[human], where) for name, human in self.humans.items()}
        self._take(rater, key, scores, {column: row.get(column, "") for column in self.comments})

    def _score(self, name: str, cell: str, where: str) -> int | str:
        """Read a score of the file as `rate` takes it."""
        try:
            score = cell if cell == NOT_APPLICABLE else int(cell)
        except ValueError as error:
            raise SetupError(f"{where} has a score that is no whole number: {error}.") from error
        if not _is_rating(score, self.rubric[name]):
            raise SetupError(f"{where}: the score on {name!r} is not on its scale: {cell!r}.")
        return score


def _is_rating(score: object, criterion: Criterion) -> bool:
    if type(score) is int:
        return score in criterion.scale.values
    return criterion.na and score == NOT_APPLICABLE


def _text(value: object) -> str:
    if isinstance(value, list | dict):  # a conversation
        value = json.dumps(value, ensure_ascii=False, default=str)
    # A carriage return would not come back from a CSV file as it was.
    return "" if value is None else str(value).replace("\r\n", "\n").replace("\r", "\n")


def _folded(rater: str) -> str:
    return unicodedata.normalize("NFKC", " ".join(rater.split())).casefold()


def _key(row: Mapping[str, str]) -> str:
    return digest(dict(row))[:16]
