"""The seed prompt as it is, and our optimizer in its four modes."""

from __future__ import annotations

from functools import partial

import dspy

from benchmarks.peers.method import Found, Method, Task
from benchmarks.peers.tried import instructions_of
from mogradjudge import MODES, Budget, MOGrad


def keep_seed(task: Task) -> Found:
    """Change nothing."""
    return Found(task.seed_prompt)


def optimize(mode: str, task: Task) -> Found:
    """Run our optimizer until its calls are spent."""
    optimizer = MOGrad(
        mode,
        steps=task.meter.cap,  # more than it can pay for
        batch_size=task.batch_size,
        budget=Budget(max_calls=task.meter.cap),
        num_threads=task.num_threads,
        seed=task.seed,
        display_progress=False,
    )
    with dspy.context(lm=task.lm):
        result = optimizer.optimize(task.judge(), trainset=task.training, valset=task.validation)
    return Found(instructions_of(result.program), f"{len(result.steps)} steps")


METHODS = (
    Method("seed prompt", keep_seed),
    *(Method(mode, partial(optimize, mode)) for mode in MODES),
)
