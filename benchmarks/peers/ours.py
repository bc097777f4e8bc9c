"""The seed prompt as it is, and our optimizer: its modes, and its settings on and off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

import dspy

from benchmarks.peers.budget import Meter
from benchmarks.peers.method import OURS, SIDE_BY_SIDE, Found, Method, Printed, Task
from benchmarks.peers.tried import instructions_of
from mogradjudge import MODES, Budget, MOGrad, OptimizationResult
from mogradjudge.errors import RunStopped
from mogradjudge.optimize.state import best_first

PAPER, DEFAULT = "paper", "default"
SEPARATE = f"{DEFAULT} + separate calls"
SWITCHES: Mapping[str, Mapping[str, tuple[Any, Any]]] = MappingProxyType(
    {
        "sampling": {"sampling": ("disagreement", "uniform")},
        "tolerance": {"skip_tolerance": ("data", None)},
        "pool": {"pool": ("batch", "example")},
        "race": {"race": ("blocks", "off")},
        "mix": {"mix": ("race", "off")},
        "confirm": {"confirm": ("report", "off")},
    }
)
"""What the default has and the paper's protocol has not: settings, on and off."""


def keep_seed(task: Task) -> Found:
    """Change nothing."""
    return Found(task.seed_prompt)


def optimize(settings: Mapping[str, Any], task: Task, start: str | None = None) -> Found:
    """Run our optimizer until its calls are spent, from these instructions or the seed prompt.

    Raises:
        RunStopped: If somebody stopped it: a run that was cut short is no measurement.
    """
    options = {"steps": task.meter.cap, **settings}
    optimizer = MOGrad(  # more steps than it can pay for, if it is not told how many
        budget=Budget(max_calls=task.meter.cap),
        num_threads=task.num_threads,
        seed=task.seed,
        display_progress=False,
        **options,
    )
    # It refuses a call after a meter has counted it: the meter must not be first to stop the run.
    roomy = replace(task, meter=Meter(task.meter.cap + task.num_threads))
    with dspy.context(lm=roomy.lm):
        result = optimizer.optimize(
            task.judge(start), trainset=task.training, valset=task.validation
        )
    if result.stop_reason in ("interrupted", "stop_file"):
        raise RunStopped(result.stop_reason)
    steps = len(result.steps)
    printed = _printed(task, result)
    return Found(instructions_of(result.program), f"{steps} steps", printed, steps)


def _printed(task: Task, result: OptimizationResult) -> Printed:
    """Give the gain of the best rewrite where it was confirmed, else that of the selection."""
    confirmation = result.confirmation
    if confirmation.difference is None:
        before, after = result.seed_agreement.mean or 0.0, result.final_agreement.mean or 0.0
        return Printed(after - before, instructions_of(result.program))
    judge = task.judge()
    best = best_first(result.measured)[0].candidate
    instructions = instructions_of(best.written_into(judge))
    return Printed(
        confirmation.difference, instructions, is_confirmed=confirmation.verdict == "confirmed"
    )


def _method(name: str, reference: str, **settings: Any) -> Method:
    return Method(name, partial(optimize, settings), reference=reference)


def _switched(place: int) -> dict[str, Mapping[str, Any]]:
    return {
        name: {key: values[place] for key, values in settings.items()}
        for name, settings in SWITCHES.items()
    }


METHODS = (
    Method("seed prompt", keep_seed),
    *(_method(mode, OURS, mode=mode) for mode in MODES),
    _method(f"{OURS}, {SIDE_BY_SIDE} side by side", OURS, proposals=SIDE_BY_SIDE),
    Method(f"{OURS}, half the calls", partial(optimize, {}), share=0.5),
    _method(f"{OURS}, {PAPER}", OURS, protocol=PAPER),
)
"""Rows of the comparison with peers."""

_WORLDS = ("null", "planted", "real")
ROWS = (
    _method(DEFAULT, DEFAULT),
    *(
        replace(row, worlds=_WORLDS)
        for row in (
            _method(PAPER, PAPER, protocol=PAPER),
            *(
                _method(f"{PAPER} + {name}", PAPER, protocol=PAPER, **on)
                for name, on in _switched(0).items()
            ),
            *(_method(f"{DEFAULT} - {name}", DEFAULT, **it) for name, it in _switched(1).items()),
            _method(f"{DEFAULT} + {SIDE_BY_SIDE} side by side", DEFAULT, proposals=SIDE_BY_SIDE),
            _method(f"{DEFAULT} + pareto parents", DEFAULT, parent="pareto"),
        )
    ),
    Method(
        SEPARATE,
        partial(optimize, {}),
        layout="separate",
        reference=DEFAULT,
        worlds=(*_WORLDS, "families"),
    ),
)
"""Rows of our settings: each added to the paper's protocol alone, and left out of the default."""
