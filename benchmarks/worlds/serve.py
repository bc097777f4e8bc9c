"""The simulated server's command.

``python -m benchmarks.worlds.serve [PORT [LATENCY]] --faults "429=0.2,500=0.1"`` serves the toy
world until it is interrupted, ``--world planted`` the one with planted effects, ``--world
favoured`` one in which a mode is best, and ``--world steady`` the same with one reply to each
prompt, whoever asks again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import click

from benchmarks.worlds.fault_plan import FaultPlan
from benchmarks.worlds.foreign import OpenWorld
from benchmarks.worlds.planted import FAVOURED, PlantedEngine
from benchmarks.worlds.server import World, serving
from benchmarks.worlds.world import reply

WORLDS: Mapping[str, Callable[[], World]] = {
    "toy": lambda: reply,
    "planted": lambda: PlantedEngine(OpenWorld(dilution=0.4, interference=0.2)).answer,
    "favoured": lambda: PlantedEngine(FAVOURED).answer,
    "steady": lambda: FAVOURED.reply,
}
"""Makes a fresh world, by its name."""


@click.command()
@click.argument("port", type=int, default=8000)
@click.argument("latency", type=float, default=0.0)
@click.option("--faults", default="", help='Shares by kind, as "429=0.2,500=0.1,cut=0.03".')
@click.option("--seed", default=0, show_default=True, help="Decides which attempts fail.")
@click.option("--retry-after", default=1.0, show_default=True, help="Of a 429, in seconds.")
@click.option("--world", type=click.Choice(list(WORLDS)), default="toy", show_default=True)
def main(port: int, latency: float, faults: str, seed: int, retry_after: float, world: str) -> None:
    """Serve a simulated world at PORT, each call held for LATENCY seconds, until interrupted.

    Toy rates any texts. The other worlds rate only their own, which carry their true scores, as
    "coherence=4, fluency=2", on the criteria that they have cues for.
    """
    try:
        plan = FaultPlan.parse(faults, seed, retry_after)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--faults") from error
    with serving(port, latency, plan, WORLDS[world]()) as server:
        print(f"serving the {world} world at {server.url}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print(server.counts() | {"answers": len(server.answers)})


if __name__ == "__main__":
    main()
