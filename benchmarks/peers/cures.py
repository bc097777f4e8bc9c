"""Our methods against dilution and interference, each alone and all together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import dspy

from benchmarks.peers.budget import Meter
from benchmarks.peers.method import Found, Method, Task
from benchmarks.peers.ours import DEFAULT, optimize
from mogradjudge import Instructions, Interference, judge_examples, suggest_partition
from mogradjudge.judge.scores import scope_of
from mogradjudge.optimize.difference import difference_between
from mogradjudge.programs.evaluation import Judgement

PROJECT, PARTITION = f"{DEFAULT} + project", f"{DEFAULT} + partition"
_ROUTED = ("SCC", "SCS + routing", "CCS + routing")


def _interference(task: Task, instructions: str) -> Interference:
    """Leave out each new section in turn, and see what that does to the others."""
    new, seed = Instructions.parse(instructions), Instructions.parse(task.seed_prompt)
    names = task.rubric.names
    texts = [*task.training, *task.validation][: task.meter.cap // (len(names) + 1)]

    def judged(sections: Instructions) -> tuple[Judgement, ...]:
        judge = task.judge(sections.render())
        with dspy.context(lm=task.lm):
            return judge_examples(judge, texts, task.objectives, task.num_threads)

    both = judged(new)
    rows = [
        difference_between(judged(new.replace({name: seed.section(name)})), both, task.objectives)
        for name in names
    ]
    nothing = float("nan")
    effects = [[row.values.get(name, nothing) for name in names] for row in rows]
    errors = [[row.errors.get(name) or nothing for name in names] for row in rows]
    return Interference(names, effects, errors)


def _partitioned(settings: Mapping[str, Any], task: Task) -> Found:
    """Draft sections by a step that nothing checks, measure who harms whom, and go on by that.

    A third of the calls, at most, is for the sections, and a third for measuring.
    """
    third = task.meter.cap // 3
    unchecked = {**_within("combined", settings), "steps": 1, "gate": "none", "confirm": "off"}
    draft = optimize(unchecked, replace(task, meter=Meter(third)))
    measuring = replace(task, meter=Meter(third))
    layout = suggest_partition(_interference(measuring, draft.instructions)).layout
    rest = replace(task, layout=layout, meter=Meter(third))
    last = optimize(_within(layout, settings), rest, draft.instructions)
    steps = (draft.steps or 0) + (last.steps or 0)
    return Found(last.instructions, f"{steps} steps, {layout}", steps=steps, layout=layout)


def _within(layout: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Let critic and coach, whose units are routed, speak of the criteria that share a call."""
    if not settings.get("routing"):
        return settings
    scope = scope_of(layout).value
    return {**settings, "mode": f"{scope} > {scope} > S"}


def _row(name: str, *worlds: str, **settings: Any) -> Method:
    return Method(name, partial(optimize, settings), reference=DEFAULT, worlds=worlds)


_CONFLICTS = ("planted", "conflicts")
ROWS = (
    *(_row(name, "planted", mode=name[:3], routing=name.endswith("routing")) for name in _ROUTED),
    _row(PROJECT, *_CONFLICTS, resolve="project"),
    _row(f"{DEFAULT} + prioritize", *_CONFLICTS, resolve="prioritize"),
    Method(PARTITION, partial(_partitioned, {}), reference=DEFAULT, worlds=("families",)),
    Method(
        f"{DEFAULT} + all three",
        partial(_partitioned, {"routing": True, "resolve": "project"}),
        reference=DEFAULT,
        worlds=(*_CONFLICTS, "families"),
    ),
)
"""Rows of the comparison of settings, each where it has something to do, or to spoil."""
