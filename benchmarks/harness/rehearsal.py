"""What a benchmark would send: it is gone through with replies that no model wrote."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import dspy
import pydantic

from benchmarks.harness.cells import Cell
from benchmarks.harness.grid import Grid
from benchmarks.harness.tables import Table
from benchmarks.harness.tasks import Means, Task, Unmeasurable
from benchmarks.worlds.world import parts_of
from mogradjudge.data import example_key
from mogradjudge.display.terminal import say
from mogradjudge.hashing import digest
from mogradjudge.lm.budget import Budget
from mogradjudge.lm.ledger import LedgerRow
from mogradjudge.lm.pricing import TokenCounter, price
from mogradjudge.optimize.dry_run import PARAGRAPH_TOKENS, replying
from mogradjudge.stages.gradient import Unit

_DRAWS = ("seed", "repeat", "run", "instructions", "step")  # what cells of one kind differ in
_FEW = 4  # texts that stand for all in a scoring
_SENTENCE = 15  # words
_BUDGET = re.compile(r"(\d+) words")
_TEXT_WORDS = ("fact", "name", "list", "page", "book", "year", "time", "day", "man", "eye")


@dataclass(frozen=True)
class Used:
    """Calls, tokens and US dollars; ``dollars`` is None where a price is unknown."""

    calls: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    dollars: float | None = 0.0

    def __add__(self, other: Used) -> Used:
        unknown = self.dollars is None or other.dollars is None
        return Used(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            None if unknown else (self.dollars or 0.0) + (other.dollars or 0.0),
        )

    def without(self, paid: Sequence[LedgerRow]) -> Used:
        """Give what is left when some of it is paid."""
        dollars = self.dollars
        if dollars is not None:
            dollars = max(0.0, dollars - sum(row.cost or 0.0 for row in paid))
        return Used(
            max(0.0, self.calls - sum(row.calls for row in paid)),
            max(0.0, self.prompt_tokens - sum(row.prompt_tokens for row in paid)),
            max(0.0, self.completion_tokens - sum(row.completion_tokens for row in paid)),
            dollars,
        )


@dataclass
class Estimate:
    """What benchmarks would use, by name; what one has counted, another one need not pay.

    ``left`` is what the cap on calls leaves; None without a cap.
    """

    used: dict[str, Used] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)
    left: int | None = None

    def print(self) -> None:
        """Write the table, and whether the cap ends it early."""
        self.table().print()
        calls = sum(used.calls for used in self.used.values())
        if self.left is not None and self.left < calls:
            left = f"{max(0, self.left):,} of the {calls:,.0f} calls"
            say(f"--max-calls leaves {left}: it may end before all is measured.")

    def table(self) -> Table:
        """Give a row for each benchmark, and the sum of several."""
        rows = [[name, *_figures(used)] for name, used in self.used.items()]
        if len(rows) > 1:
            rows.append(["all", *_figures(sum(self.used.values(), Used()))])
        return Table(
            ("benchmark", "calls at most", "tokens in", "tokens out", "US$"),
            rows,
            "What is still to be measured, if nothing is asked twice and every rewrite is new; "
            f"critiques, advice and sections of about {PARAGRAPH_TOKENS} tokens on each criterion",
        )


def _figures(used: Used) -> list[str]:
    counts = (used.calls, used.prompt_tokens, used.completion_tokens)
    dollars = "n/a" if used.dollars is None else f"{used.dollars:,.2f}"
    return [*(f"{count:,.0f}" for count in counts), dollars]


class Rehearsal(Grid):
    """Goes through the tasks of a grid that has not measured them, and counts what they send.

    Cells that differ in their draws alone are gone through once, and of the texts of a scoring a
    few stand for all.

    Args:
        name: The benchmark.
        folder: Where the work is done.
        grid: What is rehearsed; its cells are paid.
        estimate: Where the counts go.
    """

    def __init__(self, name: str, folder: Path, grid: Grid, estimate: Estimate) -> None:
        super().__init__(folder, grid.setting, num_threads=1)
        self._cells = {cell.identity: cell for cell in grid.cells} | estimate.cells
        self._paid = grid.cut_short()
        estimate.left = grid.left()
        self._name, self._estimate = name, estimate
        self._kinds: dict[str, tuple[Mapping[str, Any], Used]] = {}
        self._weights: dict[str, float] = {}
        self._task, self._number = Used(), 0
        self._counter = cache(TokenCounter)
        estimate.used[name] = Used()

    def measure(self, tasks: Sequence[Task]) -> list[Cell]:
        """Give invented cells where there are none."""
        cells = []
        for task in tasks:
            name = self._identity(task)
            if name not in self._cells:
                self._cells[name] = self._estimate.cells[name] = self._invented(task)
            cells.append(self._cells[name])
        return cells

    def few(self, texts: Sequence[dspy.Example]) -> Sequence[dspy.Example]:
        """Give some texts in the place of all; each counts for several."""
        unlike = list({example_key(text): text for text in texts}.values())
        some = unlike[:: max(1, len(unlike) // _FEW)][:_FEW]
        self._weights |= {_key(text): len(unlike) / len(some) for text in some}
        return some

    def _invented(self, task: Task) -> Cell:
        kind = {name: value for name, value in task.key.items() if name not in _DRAWS}
        known = digest([task.benchmark, kind])
        if known not in self._kinds:
            self._task = Used()
            place = self.folder / self._identity(task)
            try:
                result, _ = task.work(Means(place, Budget()))
            except Unmeasurable as error:
                result = {"status": str(error)}
            self._kinds[known] = result, self._task
        result, used = self._kinds[known]
        self._estimate.used[self._name] += used.without(self._paid.get(self._identity(task), []))
        return self._cell(task, result, [], 0.0)

    def reply(
        self, lm: dspy.BaseLM, signature: type[dspy.Signature], inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Invent a reply."""
        self._number += 1
        return {
            name: _value(field.annotation, signature, inputs, self._number)
            for name, field in signature.output_fields.items()
        }

    def book(self, model: str, messages: list[Any], reply: str, inputs: Mapping[str, Any]) -> None:
        """Count a call, as often as its text stands for others."""
        counter, known = self._counter(model), price(model)
        sent, received = counter.messages(messages), counter.text(reply)
        cost = None if known is None else known.of(sent, received)
        weight = self._weights.get(_key(inputs), 1.0)
        dollars = None if cost is None else weight * cost
        self._task += Used(weight, weight * sent, weight * received, dollars)


def _key(inputs: Any) -> str:
    return digest(sorted(str(value) for value in _inputs_of(inputs).values()))


def _inputs_of(text: Any) -> Mapping[str, Any]:
    return dict(text.inputs() if isinstance(text, dspy.Example) else text)


@contextmanager
def rehearsing(name: str, grid: Grid, estimate: Estimate) -> Iterator[Rehearsal]:
    """Give a grid that rehearses, and answer all calls of the block."""
    with tempfile.TemporaryDirectory(prefix="mogradjudge-estimate-") as folder:
        rehearsal = Rehearsal(name, Path(folder), grid, estimate)
        adapter = dspy.ChatAdapter(use_json_adapter_fallback=False)
        with dspy.context(adapter=replying(adapter, rehearsal)):
            yield rehearsal


def _value(
    kind: Any, signature: type[dspy.Signature], inputs: Mapping[str, Any], number: int
) -> Any:
    """Invent a value of a type, unlike that of another number."""
    names = list(parts_of(str(inputs["criteria"]))) if "criteria" in inputs else [""]
    if get_args(kind)[:1] == (Unit,):
        return _units(names, signature.instructions, number)
    if get_origin(kind) is Literal:
        return get_args(kind)[number % len(get_args(kind))]
    if get_origin(kind) in (list, tuple):
        return [_value(get_args(kind)[0], signature, inputs, number)]
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        fields = kind.model_fields.items()
        texts = {own.alias or name: _words(PARAGRAPH_TOKENS, number) for name, own in fields}
        return kind.model_validate(texts)
    return _words(PARAGRAPH_TOKENS * len(names), number)


def _units(names: Sequence[str], instructions: str, number: int) -> list[Unit]:
    """Write as many units as fill the words that a coach is told, or one on each criterion."""
    told = _BUDGET.search(instructions)
    words = int(told.group(1)) if told else PARAGRAPH_TOKENS * len(names)
    size = _SENTENCE if told else PARAGRAPH_TOKENS
    return [
        Unit(
            criterion=names[place % len(names)],
            change="add",
            rule=f"{_words(size, 1000 * number + place)}.",
            support=("1",),
        )
        for place in range(max(len(names), words // size))
    ]


def _words(count: int, number: int) -> str:
    word = _TEXT_WORDS[number % len(_TEXT_WORDS)]
    return f"Rule {number}: {' '.join([word] * max(1, count - 3))}"
