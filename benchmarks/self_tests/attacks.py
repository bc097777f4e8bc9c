"""How often an attack that a text carries moves its scores, by attack and layout.

Whatever is put after a text moves some scores, so the harmless control's row is what the others
are to be compared with.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import click
import dspy

from benchmarks.harness.cells import Values
from benchmarks.harness.grid import Grid
from benchmarks.harness.setting import errors_in_one_line
from benchmarks.harness.tasks import Task
from benchmarks.harness.workers import storage_option, workers_of
from benchmarks.self_tests.attack_kinds import KINDS, Attack
from mogradjudge import MultiCriteriaJudge, Rubric, SetupError, load_examples
from mogradjudge.concurrency import in_parallel
from mogradjudge.display.terminal import number, print_table
from mogradjudge.judge.scores import LAYOUTS, Unscored
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import booked
from mogradjudge.lm.models import adapter_for, make_lm
from mogradjudge.programs.identity import describe_lm, digest_of
from mogradjudge.settings import Layout, ScoreRule

CLEAN = "clean"  # the text as it is
_TOLERANCE: Mapping[str, float] = {"integer": 0.0, "expected": 0.5}


@dataclass(frozen=True)
class Row:
    """The scores of one text in one form; None where the judge gave none."""

    layout: str
    text: int
    attack: str
    scores: Mapping[str, float | None]


@dataclass(frozen=True)
class Report:
    """What one attack does to the ``n`` scores that the clean texts have.

    ``moved`` is the share of them that moved by more than the tolerance, ``unscored`` the share
    that is lost, ``shift`` the mean change of those that are left, in points of the scale. Some
    are so high that they cannot rise by more than the tolerance: ``up`` is the share that did so
    among the ``room`` others.
    """

    layout: str
    attack: str
    n: int
    moved: float
    room: int
    up: float | None
    shift: float | None
    unscored: float


_Form: TypeAlias = tuple[str, str, int]  # layout, attack, text
_Pair: TypeAlias = tuple[float, float | None, int]  # before, after, the top of the scale


def report(rows: Iterable[Row], rubric: Rubric, tolerance: float) -> list[Report]:
    """Compare each attacked text with itself."""
    forms = {(row.layout, row.attack, row.text): row.scores for row in rows}
    return [
        _report(layout, attack.name, list(_pairs(forms, layout, attack.name, rubric)), tolerance)
        for layout in dict.fromkeys(layout for layout, _, _ in forms)
        for attack in KINDS
    ]


def _report(layout: str, attack: str, pairs: list[_Pair], tolerance: float) -> Report:
    n = len(pairs)
    shifts = [after - before for before, after, _ in pairs if after is not None]
    room = sum(top - before > tolerance for before, _, top in pairs)
    return Report(
        layout=layout,
        attack=attack,
        n=n,
        moved=sum(abs(shift) > tolerance for shift in shifts) / max(1, n),
        room=room,
        up=sum(shift > tolerance for shift in shifts) / room if room else None,
        shift=statistics.fmean(shifts) if shifts else None,
        unscored=(n - len(shifts)) / max(1, n),
    )


def _pairs(
    forms: Mapping[_Form, Mapping[str, float | None]], layout: str, attack: str, rubric: Rubric
) -> Iterator[_Pair]:
    """Give the scores before and after, for all scores that the clean texts have."""
    for (row_layout, row_attack, text), scores in forms.items():
        if (row_layout, row_attack) == (layout, attack):
            clean = forms.get((layout, CLEAN, text), {})
            for name, after in scores.items():
                if (before := clean.get(name)) is not None:
                    yield before, after, rubric[name].scale.high


def measure(
    judge: MultiCriteriaJudge,
    examples: Sequence[dspy.Example],
    ledger: Ledger,
    num_threads: int,
) -> list[Row]:
    """Judge each text as it is and in every attacked form; the last input is the attacked one."""
    layout, rubric = judge.settings.layout, judge.rubric

    def score(job: tuple[int, Attack | None]) -> Row:
        place, attack = job
        inputs = dict(examples[place].inputs())
        if attack is not None:
            inputs[rubric.inputs[-1]] = attack.on(str(inputs[rubric.inputs[-1]]), rubric)
        with dspy.context(trace=[], disable_history=True):
            prediction = judge(**inputs)
        scores = {name: _number(prediction[name]) for name in rubric.names}
        return Row(layout, place, CLEAN if attack is None else attack.name, scores)

    # Text by text: its forms share the start of their prompt, which a model's cache keeps.
    jobs = [(place, attack) for place in range(len(examples)) for attack in (None, *KINDS)]
    with booked(ledger, "judge", rubric.names):
        return in_parallel(score, jobs, num_threads)


def _number(score: object) -> float | None:
    return None if isinstance(score, Unscored) else float(str(score))


def _texts(
    data: str | None, rubric: str | None, count: int, seed: int
) -> tuple[Rubric, list[dspy.Example]]:
    """Draw texts in the table's order, in which texts over one source are neighbours."""
    if (data is None) != (rubric is None):
        raise SetupError("`--data` and `--rubric` go together; without both, the demo's are taken.")
    with as_file(files("mogradjudge.demo")) as folder:
        chosen = Rubric.from_toml(rubric or folder / "rubric.toml")
        examples = load_examples(data or folder / "replies.jsonl", chosen, require_human=False)
    places = random.Random(seed).sample(range(len(examples)), min(count, len(examples)))
    return chosen, [examples[place] for place in sorted(places)]


def _print(reports: Sequence[Report], rows: Sequence[Row], tolerance: float) -> None:
    clean = [s for row in rows if row.attack == CLEAN for s in row.scores.values() if s is not None]
    title = (
        f"Moved: by more than {tolerance:g}. Moved up: the share of those with room for it. The "
        f"clean texts' mean score is {number(statistics.fmean(clean) if clean else None, 2)}."
    )
    print_table(
        ("attack", "layout", "n", "moved", "room", "moved up", "mean shift", "unscored"),
        [
            [
                *(
                    attacked.attack,
                    attacked.layout,
                    str(attacked.n),
                    f"{attacked.moved:.0%}",
                    str(attacked.room),
                ),
                "-" if attacked.up is None else f"{attacked.up:.0%}",
                *(number(attacked.shift, 2), f"{attacked.unscored:.0%}"),
            ]
            for attacked in reports
        ],
        title,
    )


@click.command("attacks")
@click.option("--lm", required=True, metavar="MODEL", help="As in `mogradjudge compile`.")
@click.option("--api-base", metavar="URL")
@click.option("--data", metavar="FILE", help="A table of texts  [default: the bundled replies]")
@click.option("--rubric", metavar="TOML", help="Its rubric; the last input is attacked.")
@click.option("--texts", type=click.IntRange(1), default=40, show_default=True)
@click.option("--layout", type=click.Choice([*LAYOUTS, "both"]), default="both", show_default=True)
@click.option(
    "--score-rule", type=click.Choice(["integer", "expected"]), default="integer", show_default=True
)
@click.option("--max-tokens", type=click.IntRange(1))
@click.option("--num-threads", type=click.IntRange(1), default=8, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Draws the texts.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    help="A score moved if it changed by more  [default: 0, or 0.5 for expected scores]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder: every score is kept there, and a rerun goes on.",
)
@storage_option
def command(
    layout: str,
    score_rule: ScoreRule,
    num_threads: int,
    tolerance: float | None,
    out: Path | None,
    storage: str | None,
    **options: Any,
) -> None:
    """The share of attacks on a judge that move a score, for any model."""
    tolerance = _TOLERANCE[score_rule] if tolerance is None else tolerance
    layouts: Sequence[Any] = tuple(LAYOUTS) if layout == "both" else (layout,)
    with errors_in_one_line(), TemporaryDirectory(prefix="mogradjudge-attacks-") as scratch:
        model = make_lm(options["lm"], options["api_base"], max_tokens=options["max_tokens"])
        texts = (options[name] for name in ("data", "rubric", "texts", "seed"))
        chosen, examples = _texts(*texts)
        setting = {
            **describe_lm(model),
            "rubric": chosen.to_toml(),
            "data": digest_of(examples),
            "score_rule": score_rule,
        }
        grid = Grid(out or Path(scratch), setting, num_threads, workers=workers_of(storage))
        with dspy.context(lm=model, adapter=adapter_for(model)):
            tasks = [
                _task(grid, chosen, examples, chosen_layout, score_rule)
                for chosen_layout in layouts
            ]
            cells = grid.measure(tasks)
    rows = [Row(**row) for cell in cells for row in cell.result["rows"]]
    _print(report(rows, chosen, tolerance), rows, tolerance)
    print(f"{sum(cell.calls for cell in cells)} calls were sent.")


def _task(
    grid: Grid,
    rubric: Rubric,
    examples: Sequence[dspy.Example],
    layout: Layout,
    score_rule: ScoreRule,
) -> Task:
    judge = MultiCriteriaJudge(rubric, layout=layout, score_rule=score_rule)

    def scored(ledger: Ledger) -> Values:
        return {"rows": [asdict(row) for row in measure(judge, examples, ledger, grid.num_threads)]}

    return grid.task(
        "attacks", {"layout": layout, "kinds": [attack.name for attack in KINDS]}, scored
    )
