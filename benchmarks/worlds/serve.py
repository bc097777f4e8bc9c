"""The simulated server's command.

``python -m benchmarks.worlds.serve [PORT [LATENCY]] --faults "429=0.2,500=0.1"`` serves the toy
world until it is interrupted, ``--world planted`` the one with planted effects, ``--world real``
one like real texts and raters, ``--world null`` the same where nothing helps, ``--world conflicts``
one in which advice undoes other advice, ``--world families`` one with two families of criteria,
``--world favoured`` one in which a mode is best, and ``--world steady`` the same with one reply to
each prompt, whoever asks again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

import click

from benchmarks.worlds.fault_plan import FaultPlan
from benchmarks.worlds.foreign import OpenWorld
from benchmarks.worlds.planted import FAVOURED, PlantedEngine, PlantedWorld
from benchmarks.worlds.real import NULL, REAL
from benchmarks.worlds.server import World, serving
from benchmarks.worlds.world import reply

FAMILIES = (("coherence", "relevance"), ("consistency", "fluency"))
OPEN: Mapping[str, PlantedWorld] = {
    "null": NULL,
    "planted": OpenWorld(dilution=0.4, interference=0.2),
    "real": REAL,
    "conflicts": OpenWorld(dilution=0.4, interference=0.2, conflicts=0.3),
    "families": OpenWorld(dilution=0.4, interference=1.2, kinship=0.2, families=FAMILIES),
}
"""The worlds that answer every optimizer, by name."""


def drawing(world: PlantedWorld) -> Callable[..., World]:
    """Make a maker of such worlds, each with a seed."""
    return lambda seed=0: PlantedEngine(replace(world, seed=seed)).answer


WORLDS: Mapping[str, Callable[..., World]] = {
    "toy": lambda seed=0: reply,
    **{name: drawing(world) for name, world in OPEN.items()},
    "favoured": drawing(FAVOURED),
    "steady": lambda seed=0: replace(FAVOURED, seed=seed).reply,
}
"""Makes a fresh world, by its name."""


@click.command()
@click.argument("port", type=int, default=8000)
@click.argument("latency", type=float, default=0.0)
@click.option("--faults", default="", help='Shares by kind, as "429=0.2,500=0.1,cut=0.03".')
@click.option("--seed", default=0, show_default=True, help="Decides which attempts fail.")
@click.option("--retry-after", default=1.0, show_default=True, help="Of a 429, in seconds.")
@click.option("--world", type=click.Choice(list(WORLDS)), default="toy", show_default=True)
@click.option("--world-seed", default=0, show_default=True, help="Decides what the world draws.")
def main(
    port: int,
    latency: float,
    faults: str,
    seed: int,
    retry_after: float,
    world: str,
    world_seed: int,
) -> None:
    """Serve a simulated world at PORT, each call held for LATENCY seconds, until interrupted.

    Toy rates any texts. The other worlds rate only their own, which carry their true scores, as
    "coherence=4, fluency=2", on the criteria that they have cues for.
    """
    try:
        plan = FaultPlan.parse(faults, seed, retry_after)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--faults") from error
    with serving(port, latency, plan, WORLDS[world](world_seed)) as server:
        print(f"serving the {world} world at {server.url}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(server.counts() | {"answers": len(server.answers)})


if __name__ == "__main__":
    main()
