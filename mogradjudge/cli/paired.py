"""An earlier evaluation, read and compared with a new one on the texts of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mogradjudge.cli.options import FILE
from mogradjudge.errors import SetupError
from mogradjudge.files import read_json

if TYPE_CHECKING:
    from mogradjudge.programs.judged_text import JudgedText
    from mogradjudge.scoring.evaluate import Evaluation

_MENDING = "Give the output of `evaluate --json`."

against_option = click.option(
    "--against",
    type=FILE,
    metavar="FILE",
    help="Compare with the earlier output of `evaluate --json` in FILE, paired where texts are the "
    "same.",
)


@dataclass(frozen=True)
class Earlier:
    """An earlier evaluation: its figures by criterion and for the mean, and its texts."""

    figures: Mapping[str, Mapping[str, Any]]
    texts: tuple[JudgedText, ...]


def read_earlier(path: str) -> Earlier:
    """Read the output of ``evaluate --json``.

    Raises:
        SetupError: If the file holds something else.
    """
    from mogradjudge.programs.judged_text import JudgedText

    report = read_json(Path(path), _MENDING)
    try:
        figures = {
            name: {"agreement": it["agreement"], "interval": it["interval"]}
            for name, it in report["criteria"].items()
        }
        mean = {"agreement": report["mean"], "interval": report["mean_interval"]}
        texts = tuple(JudgedText.from_line(line) for line in report["texts"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SetupError(f"{path} is no evaluation with its texts. {_MENDING}") from error
    return Earlier({**figures, "mean": mean}, texts)


def against(earlier: Earlier, evaluation: Evaluation, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the earlier figures, and the comparison on the texts of both; None without any."""
    from mogradjudge.scoring.paired import paired

    pairs = paired(earlier.texts, evaluation.texts, names, evaluation.options, ("then", "now"))
    return {"then": dict(earlier.figures), "paired": pairs and pairs.as_dict()}
