"""People's ratings of texts: a table with a row per text and rater, on disk after each rating."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mogradjudge.agreement import Undefined, human_ceiling
from mogradjudge.criteria import Criterion, Rubric
from mogradjudge.criteria.applicability import NOT_APPLICABLE
from mogradjudge.data import check_columns, stream_table
from mogradjudge.data.conversations import transcript
from mogradjudge.data.faults import Fault, Findings
from mogradjudge.data.inputs import read_images
from mogradjudge.data.tables import Table, is_blank
from mogradjudge.errors import SetupError
from mogradjudge.files import write_text
from mogradjudge.hashing import digest
from mogradjudge.lm.images import NamedImage, read_image

_RATER = "rater"  # the column, where the rubric names none


@dataclass(frozen=True)
class RaterAgreement:
    """How raters agree on a criterion, over the texts that two or more have rated.

    ``one_rater`` is the agreement of one with the mean of the others; ``equal`` the share of pairs
    of ratings with the same score.
    """

    criterion: str
    texts: int
    equal: float | None
    one_rater: float | Undefined


class Labels:
    """The texts to rate, and the ratings so far; they are read from and written to one CSV file.

    Args:
        texts: Rows that hold the rubric's columns; equal ones are one text.
        rubric: What is rated.
        out: The file, in the long format that ``compile`` reads.

    Raises:
        SetupError: If there is no text, or the file holds other columns or ratings.
    """

    def __init__(self, texts: Sequence[Mapping[str, Any]], rubric: Rubric, out: Path) -> None:
        self.rubric, self.out = rubric, out
        group = [rubric.group] if isinstance(rubric.group, str) else []
        self.rater = rubric.rater or _RATER
        self.columns = tuple(dict.fromkeys((*rubric.columns, *group)))
        self.humans = {criterion.name: criterion.human for criterion in rubric.criteria}
        rows = [{name: _text(row.get(name)) for name in self.columns} for row in texts]
        rows = [row for row in rows if not any(is_blank(row[name]) for name in rubric.columns)]
        self.texts = {_key(row): row for row in rows}
        if not self.texts:
            raise SetupError("There is no text to rate: the inputs are empty in every row.")
        self._lock = threading.Lock()
        self._scores: dict[tuple[str, str], Mapping[str, int | str]] = {}
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
        check_columns(table, (*rubric.columns, *group))
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
        return sorted(self.texts, key=lambda key: digest([rater, key]))

    def shown(self, key: str) -> list[tuple[str, str | NamedImage]]:
        """Return what a rater sees of a text, by column."""
        row, images = self.texts[key], self.rubric.image_columns
        return [
            (name, read_image(row[name], self.out.parent))
            if name in images
            else (name, transcript(row[name]) or row[name])
            for name in self.rubric.columns
        ]

    def scores(self, rater: str, key: str) -> Mapping[str, int | str]:
        """Return a rater's scores of a text; empty if there are none."""
        return self._scores.get((rater, key), {})

    def done(self, rater: str) -> int:
        """Count the texts that a rater has rated."""
        return sum(bool(self.scores(rater, key)) for key in self.texts)

    def rate(self, rater: str, key: str, scores: Mapping[str, Any]) -> None:
        """Take a rater's scores of a text in place of earlier ones, and write the file.

        Raises:
            SetupError: If the text is unknown, or a score is missing or off its scale.
        """
        if not rater.strip() or key not in self.texts:
            raise SetupError(f"There is no text {key!r}, or the rater has no name.")
        if scores.keys() != self.humans.keys():
            raise SetupError(f"A rating needs a score on each of {', '.join(self.humans)}.")
        for name, score in scores.items():
            if not _is_rating(score, self.rubric[name]):
                raise SetupError(f"The score on {name!r} is not on its scale: {score!r}.")
        with self._lock:
            self._scores[rater, key] = dict(scores)
            write_text(self.out, self._written())

    def agreement(self) -> list[RaterAgreement]:
        """Say how the raters agree, by criterion."""
        return [self._agreement(name) for name in self.humans]

    def _agreement(self, name: str) -> RaterAgreement:
        ratings: dict[str, dict[str, int | str]] = {key: {} for key in self.texts}
        for (rater, key), scores in self._scores.items():
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
        return RaterAgreement(name, len(shared), share, human_ceiling(numbers))

    def _written(self) -> str:
        file = io.StringIO()
        writer = csv.DictWriter(file, [*self.columns, self.rater, *self.humans.values()])
        writer.writeheader()
        for (rater, key), scores in self._scores.items():
            named = {self.humans[name]: score for name, score in scores.items()}
            writer.writerow({**self.texts[key], self.rater: rater, **named})
        return file.getvalue()

    def _read(self) -> None:
        with self.out.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            names = [*self.columns, self.rater, *self.humans.values()]
            if list(reader.fieldnames or ()) != names:
                raise SetupError(
                    f"{self.out} has other columns than {', '.join(names)}. Give another --out."
                )
            for number, row in enumerate(reader, 2):
                self._take(row, f"{self.out}, rating {number - 1}")

    def _take(self, row: Mapping[str, str], where: str) -> None:
        key = _key({name: row[name] for name in self.columns})
        if key not in self.texts:
            raise SetupError(f"{where} is of a text that the table lacks. Give another --out.")
        try:
            scores = {
                name: cell if (cell := row[human]) == NOT_APPLICABLE else int(cell)
                for name, human in self.humans.items()
            }
        except ValueError as error:
            raise SetupError(f"{where} has a score that is no whole number: {error}.") from error
        self._scores[row[self.rater], key] = scores


def _is_rating(score: object, criterion: Criterion) -> bool:
    if type(score) is int:
        return score in criterion.scale.values
    return criterion.na and score == NOT_APPLICABLE


def _text(value: object) -> str:
    # A carriage return would not come back from a CSV file as it was.
    if isinstance(value, (list, dict)):  # a conversation
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else str(value).replace("\r\n", "\n").replace("\r", "\n")


def _key(row: Mapping[str, str]) -> str:
    return digest(dict(row))[:16]
