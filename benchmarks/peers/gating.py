"""The gate that is the same for every method: on the validation texts, and the seed wins ties."""

from __future__ import annotations

import random
from collections.abc import Iterator

import dspy

from benchmarks.peers.method import Task
from mogradjudge import Agreement, NoMeanRegression
from mogradjudge.stages.gate import measures_less


def is_better(current: Agreement, proposed: Agreement) -> bool:
    """Say whether a proposal's mean agreement is higher, on no fewer texts and criteria."""
    if measures_less(current, proposed) or proposed.mean is None:
        return False
    return proposed.mean_over(current) > current.mean_over(current)


class Keeper:
    """Gates proposals as our optimizer does, for a method that has no gate of its own.

    ``current`` is what the next proposal starts from, ``best`` what did best, the earlier on a tie,
    and ``scores`` holds the mean agreement of all that was measured. Every measurement is paid from
    the task's cap.
    """

    def __init__(self, task: Task) -> None:
        self._task, self._gate = task, NoMeanRegression()
        self.best = self.current = task.seed_prompt
        self.scores: dict[str, float] = {}

    def start(self) -> None:
        """Measure the seed prompt."""
        self._best = self._current = self._measured(self.best)

    def offer(self, instructions: str) -> None:
        """Measure a proposal, and keep it if it may be kept."""
        agreement = self._measured(instructions)
        if is_better(self._best, agreement):
            self.best, self._best = instructions, agreement
        if self._gate(self._current, agreement):
            self.current, self._current = instructions, agreement

    def _measured(self, instructions: str) -> Agreement:
        agreement = self._task.measure(instructions)
        self.scores[instructions] = agreement.mean or 0.0
        return agreement


def batches(task: Task) -> Iterator[list[dspy.Example]]:
    """Give batches of the training texts without end, each pass in another order."""
    rng, order, size = random.Random(task.seed), list(task.training), task.batch_size
    while True:
        rng.shuffle(order)
        for start in range(0, max(1, len(order) - size + 1), size):
            yield order[start : start + size]
