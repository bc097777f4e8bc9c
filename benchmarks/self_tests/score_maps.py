"""How `calibrate` changes the error of judges: maps from half of the documents, tried on the rest.

A simulated judge's score is the human mean, drawn towards the middle of the scale, moved by a bias
and noised, then rounded. Human scores are those of the tables given by --data (`doc_id` and
`human_...` columns), or planted ones. Errors are mean absolute errors in shares of the scale's
width, over all criteria; "change" is the mean over random halves, "worst" that of the worst half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import click
import numpy as np

from benchmarks.harness.setting import errors_in_one_line
from benchmarks.worlds.simulated import SYSTEMS, Array, human_scores
from mogradjudge.criteria import Scale
from mogradjudge.display.terminal import print_table
from mogradjudge.scoring.calibration import fitted_map

_SCALES = (Scale(0, 1), Scale(1, 3), Scale(1, 5))
_PLANTED_DOCUMENTS = 60


@dataclass(frozen=True)
class Fault:
    """How a judge errs: bias and the noise's standard deviation in shares of the scale's width."""

    bias: float = 0.0
    slope: float = 1.0
    noise: float = 0.0

    def scores(self, human: Array, scale: Scale, rng: np.random.Generator) -> Array:
        """Draw a judge's scores."""
        middle = (scale.low + scale.high) / 2
        moved = middle + self.slope * (human - middle) + self.bias * scale.width
        noised = moved + self.noise * scale.width * rng.standard_normal(human.size)
        return np.clip(np.rint(noised), scale.low, scale.high)


FAULTS: Mapping[str, Fault] = {
    "no fault": Fault(),
    "noise .1": Fault(noise=0.1),
    "noise .2": Fault(noise=0.2),
    "lenient .15": Fault(bias=0.15, noise=0.1),
    "lenient .3": Fault(bias=0.3, noise=0.1),
    "half the range": Fault(slope=0.5, noise=0.1),
    "strict, narrow, noisy": Fault(bias=-0.15, slope=0.6, noise=0.15),
    "lenient, narrow, noisy": Fault(bias=0.25, slope=0.5, noise=0.2),
}


@dataclass(frozen=True)
class RatedSet:
    """Human scores by criterion, nan where there is none, and the document of each text."""

    documents: Sequence[str]
    human: Mapping[str, Array]

    @classmethod
    def read(cls, path: Path) -> RatedSet:
        """Read a Parquet table."""
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        columns = {
            name: np.array(table[name].to_pylist(), float)
            for name in table.column_names
            if name.startswith("human_")
        }
        return cls([str(value) for value in table["doc_id"].to_pylist()], columns)

    @classmethod
    def planted(cls) -> RatedSet:
        """Make two criteria's scores."""
        scores = {f"planted {n}": human_scores(_PLANTED_DOCUMENTS, n).ravel() for n in (1, 2)}
        return cls([str(n // SYSTEMS) for n in range(_PLANTED_DOCUMENTS * SYSTEMS)], scores)

    def errors(self, fault: Fault, seed: int) -> tuple[float, float, int]:
        """Return the raw and the mapped error on one half of the documents, and the maps kept."""
        rng = np.random.default_rng(seed)
        names = rng.permutation(sorted(set(self.documents)))
        is_fitted = np.isin(self.documents, names[: len(names) // 2])
        raw, mapped, kept = 0.0, 0.0, 0
        for human in self.human.values():
            scale = next(
                it for it in _SCALES if it.covers(np.nanmin(human)) and it.covers(np.nanmax(human))
            )
            judge, is_rated = fault.scores(human, scale, rng), ~np.isnan(human)
            fit, rest = is_fitted & is_rated, ~is_fitted & is_rated
            documents = np.array(self.documents)[fit].tolist()
            score_map = fitted_map(judge[fit], human[fit], documents, scale)
            kept += bool(score_map.knots)
            moved = np.array([score_map(score) for score in judge[rest]])
            raw += float(np.abs(judge - human)[rest].mean()) / scale.width
            mapped += float(np.abs(moved - human[rest]).mean()) / scale.width
        return raw / len(self.human), mapped / len(self.human), kept


def measured(rated: RatedSet, fault: Fault, seeds: int) -> list[str]:
    """Return a row's cells: errors, change, worst change, and the share of criteria with a map."""
    draws = [rated.errors(fault, seed) for seed in range(seeds)]
    changes = [mapped / raw - 1 if raw else 0.0 for raw, mapped, _ in draws]
    raw, mapped, kept = map(fmean, zip(*draws, strict=True))
    share = kept / len(rated.human)
    return [
        *(f"{raw:.3f}", f"{mapped:.3f}", f"{fmean(changes):+z.1%}", f"{max(changes):+z.1%}"),
        f"{share:.0%}",
    ]


@click.command("score-maps", help=__doc__)
@click.option("--data", multiple=True, type=click.Path(path_type=Path), metavar="PARQUET")
@click.option("--seeds", default=20, show_default=True, help="Random halves of the documents.")
@errors_in_one_line()
def command(data: tuple[Path, ...], seeds: int) -> None:
    """Print the table."""
    sets = {path.name.split(".")[0]: RatedSet.read(path) for path in data}
    rows = [
        [name, str(len(set(rated.documents))), judge, *measured(rated, fault, seeds)]
        for name, rated in (sets or {"planted": RatedSet.planted()}).items()
        for judge, fault in FAULTS.items()
    ]
    columns = ("set", "documents", "judge", "raw", "mapped", "change", "worst", "maps kept")
    print_table(columns, rows, "Mean absolute error on held-out documents", keys=3)
