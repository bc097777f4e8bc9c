"""``python -m benchmarks peers`` and ``methods``: the comparison's options, cells and tables."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import click

from benchmarks.harness.grid import Grid
from benchmarks.harness.setting import errors_in_one_line
from benchmarks.harness.tasks import Task as CellTask
from benchmarks.harness.workers import Workers, storage_option, workers_of
from benchmarks.peers import (
    autorubric_method,
    cures,
    dspy_methods,
    hpss,
    opro,
    ours,
    textgrad_methods,
)
from benchmarks.peers.budget import Meter
from benchmarks.peers.figures import TIMED, Row, calls_table, figures_table, summarize
from benchmarks.peers.finding import finding
from benchmarks.peers.measuring import Nearby, Server, measure
from benchmarks.peers.method import Method, Task
from benchmarks.worlds import spoken
from benchmarks.worlds.cues import CUES
from benchmarks.worlds.planted import planted_rubric
from benchmarks.worlds.serve import OPEN, WORLDS
from benchmarks.worlds.server import serving, serving_apart
from mogradjudge import split_by_group
from mogradjudge.hashing import digest

# A name that DSPy's catalogue knows: for others it searches all of it twice a call, 3 ms.
MODEL = "gpt-4o-mini"
_SHARES = (0.4, 0.6)
_WORLDS: Mapping[str, tuple[str, ...]] = {"methods": tuple(OPEN), "peers": ("real",)}
METHODS = (
    *ours.METHODS,
    *dspy_methods.METHODS,
    *textgrad_methods.METHODS,
    *opro.METHODS,
    *hpss.METHODS,
    *autorubric_method.METHODS,
)


@dataclass(frozen=True)
class Rows:
    """What is compared: the cells' benchmark, its rows, and whether all have one gate more."""

    benchmark: str
    methods: Sequence[Method]
    gated: bool


PEERS = Rows("peers", METHODS, gated=True)
TIMES = Rows(TIMED, METHODS, gated=True)
SETTINGS = Rows("methods", (*ours.ROWS, *cures.ROWS), gated=False)


@dataclass(frozen=True)
class Sizes:
    """How large the comparison is.

    The texts are split as `compile` splits a table: 40 % to train on, the rest to choose by and to
    confirm on.
    """

    criteria: tuple[str, ...] = tuple(CUES)
    documents: int = 100
    texts: int = 1
    calls: int = 600
    threads: tuple[int, ...] = (16,)
    seeds: int = 10
    first_seed: int = 100
    latency: float = 0.0
    apart: bool = True

    @contextmanager
    def serving(self, world: str, seed: int, *, is_served: bool) -> Iterator[Server]:
        """Start a fresh model: the world draws its noise by what it was sent before."""
        if not is_served:
            yield Nearby(replace(OPEN[world], seed=seed), self.latency)
        elif self.apart:
            with serving_apart(self.latency, world=world, world_seed=seed) as server:
                yield server
        else:
            with serving(latency=self.latency, world=WORLDS[world](seed)) as server:
                yield server


SMOKE = Sizes(criteria=("coherence", "fluency"), documents=20, calls=40, seeds=1, apart=False)
_TIMING = Sizes(documents=40, calls=100, threads=(1, 16), seeds=1, latency=0.2)


def compare(
    folder: Path,
    rows: Rows,
    sizes: Sizes,
    worlds: Sequence[str] = ("real",),
    workers: Workers | None = None,
) -> dict[str, list[Row]]:
    """Measure each method into a folder of cells, and sum up the cells of these sizes by world."""
    return {
        world: summarize(
            Grid(folder, _setting(world, sizes), workers=workers).measure(
                [
                    _task(rows, method, world, sizes, threads, seed)
                    for seed in range(sizes.first_seed, sizes.first_seed + sizes.seeds)
                    for method in rows.methods
                    if not method.worlds or world in method.worlds
                    for threads in sizes.threads
                ]
            )
        )
        for world in worlds
    }


def _setting(world: str, sizes: Sizes) -> dict[str, Any]:
    return {
        "model": MODEL,
        "world": world,
        "rubric": planted_rubric(*sizes.criteria).to_toml(),
        "data": digest([repr(OPEN[world]), sizes.texts])[:12],
        "documents": sizes.documents,
        "latency": sizes.latency,
    }


def _task(
    rows: Rows, method: Method, world: str, sizes: Sizes, threads: int, seed: int
) -> CellTask:
    cap = round(method.share * sizes.calls)

    def work(*_: object) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
        seeded, rubric = replace(OPEN[world], seed=seed), planted_rubric(*sizes.criteria)
        examples = seeded.texts(rubric, sizes.documents, sizes.texts)
        training, validation = split_by_group(examples, _SHARES, seed=seed)
        with (
            sizes.serving(world, seed, is_served=method.is_served) as server,
            tempfile.TemporaryDirectory() as folder,
        ):
            task = Task(
                *(rubric, training, validation, server.url, MODEL, Meter(cap), Path(folder)),
                num_threads=threads,
                seed=seed,
                layout=method.layout,
                engine=server if isinstance(server, Nearby) else None,
            )
            result = measure(method, task, server, seeded, gated=rows.gated)
        return result, _ledger(result)

    key = {"method": method.name, "threads": threads, "seed": seed, "cap": sizes.calls}
    return CellTask(rows.benchmark, {**key, "reference": method.reference}, work)


def _ledger(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        {"role": role, "criteria": [], "calls": calls, "failed": 0, "cost": None}
        for role, calls in result["calls"].items()
    ]


def _options(rows: Rows) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of a comparison."""
    options = (
        click.option(
            "--method",
            "names",
            type=click.Choice([method.name for method in rows.methods]),
            multiple=True,
            help="Only this one; may be given again.",
        ),
        click.option(
            "--world",
            "worlds",
            type=click.Choice(list(OPEN)),
            multiple=True,
            help=f"May be given again  [default: {', '.join(_WORLDS[rows.benchmark])}]",
        ),
        click.option(
            "--calls",
            type=click.IntRange(SMOKE.calls),
            help="Cap on each method's calls  [default: 600]",
        ),
        click.option("--seeds", type=click.IntRange(1), help="Runs of each  [default: 10]"),
        click.option(
            "--first-seed",
            type=click.IntRange(0),
            help="Of the runs; 0 to 9 have chosen our batch size  [default: 100]",
        ),
        click.option("--documents", type=click.IntRange(SMOKE.documents), help="[default: 100]"),
        click.option("--latency", type=click.FloatRange(0), help="Of a call, in s  [default: 0]"),
        click.option(
            "--threads", type=click.IntRange(1), multiple=True, help="May be given again."
        ),
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            help="A folder: cells that it holds are not measured again.",
        ),
        storage_option,
        click.option("--smoke", is_flag=True, help="All rows, on few texts and calls."),
    )
    return lambda command: reduce(lambda wrapped, option: option(wrapped), options[::-1], command)


@click.command("peers")
@_options(PEERS)
@click.option(
    "--times/--no-times",
    default=None,
    help="Run all once more, small and with 200 ms a call, with 1 thread and with 16  "
    "[default: times, but not with --smoke]",
)
def command(*, times: bool | None, **options: Any) -> None:
    """Our modes beside the seed prompt and other optimizers.

    These are MIPROv2, COPRO, GEPA, TextGrad, OPRO, HPSS and autorubric. All have the same judge,
    texts, model, seed prompt, cap on calls, and gate, in a simulated world. TextGrad and autorubric
    need the extra `peers`.
    """
    _print(PEERS, options, timed=not options["smoke"] if times is None else times)


@click.command("methods")
@_options(SETTINGS)
def methods_command(**options: Any) -> None:
    """Each of our settings on and off: added to the paper's protocol, left out of the default.

    All rows have the same judge, texts, model, seed prompt and cap on calls, in simulated worlds:
    one where nothing helps, the planted one, one like real texts, one where advice undoes other
    advice, and one with two families of criteria. Routing, conflict resolution and partitions are
    rows where they have something to do, or to spoil.
    """
    _print(SETTINGS, options)


def _print(rows: Rows, options: Mapping[str, Any], *, timed: bool = False) -> None:
    sizes, out = _sizes(options), options["out"]
    named = [replace(it, worlds=()) for it in rows.methods if it.name in options["names"]]
    chosen = named or rows.methods
    worlds = options["worlds"] or _WORLDS[rows.benchmark]
    with (
        errors_in_one_line(),
        tempfile.TemporaryDirectory(prefix="mogradjudge-peers-") as scratch,
    ):
        folder, workers = out or Path(scratch), workers_of(options["storage"])
        tables = compare(folder, replace(rows, methods=chosen), sizes, worlds, workers)
        first = worlds[:1] if timed else ()
        again = compare(folder, replace(TIMES, methods=chosen), _TIMING, first, workers)
    times = [row for measured in again.values() for row in measured]
    for world, measured in tables.items():
        finding(rows.benchmark, {"world": world}, sizes.calls, measured, times).print()
        if out is None:
            _print_all(world, sizes, measured, times)
    if out is not None:
        print(f"All rows: python -m benchmarks report {out}")


def _sizes(options: Mapping[str, Any]) -> Sizes:
    names = ("calls", "seeds", "first_seed", "documents", "latency", "threads")
    chosen = {name: options[name] for name in names if options[name] not in (None, ())}
    return replace(SMOKE if options["smoke"] else Sizes(), **chosen)


def _print_all(world: str, sizes: Sizes, rows: Sequence[Row], times: Sequence[Row]) -> None:
    print(
        f"The {spoken(world)} (simulated) world: mean of {len(sizes.criteria)} criteria, "
        f"{sizes.seeds} runs of at most {sizes.calls} calls each"
    )
    for table in (figures_table(rows, times), calls_table(rows)):
        table.print()
