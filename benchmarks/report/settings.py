"""On what something was measured: every setting gets a number, and is described once."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

from benchmarks.harness.cells import Cell, Values
from benchmarks.harness.finding import is_simulated
from benchmarks.harness.setting import ROLES
from benchmarks.report.markdown import escape, table
from benchmarks.worlds import spoken
from mogradjudge.display.terminal import number


class Settings:
    """The settings of some cells, numbered in the order in which they were first measured."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._all: list[Values] = []
        self._cells: dict[int, list[Cell]] = {}
        for cell in cells:
            if cell.setting not in self._all:
                self._all.append(cell.setting)
            self._cells.setdefault(self._all.index(cell.setting), []).append(cell)

    def name(self, setting: Values) -> str:
        """Give the name under which a setting is described."""
        return f"setting {self.number(setting)}"

    def number(self, setting: Values) -> int:
        """Give a setting's number."""
        return self._all.index(setting) + 1

    def split(self, cells: Sequence[Cell]) -> list[list[Cell]]:
        """Put cells of one setting together."""
        by_setting: dict[int, list[Cell]] = {}
        for cell in cells:
            by_setting.setdefault(self._all.index(cell.setting), []).append(cell)
        return [by_setting[place] for place in sorted(by_setting)]

    def table(self) -> str:
        """Describe all settings; a dash stands for what one does not say."""
        columns = ("", "judge", "critic, coach, editor", "rater", "criteria", "texts", "data")
        rows = [[self.name(setting), *_described(setting)] for setting in self._all]
        return table(columns, rows)

    def spent(self) -> str:
        """Say what was paid for all cells, by benchmark."""
        totals: dict[str, list[Cell]] = {}
        for cell in (cell for cells in self._cells.values() for cell in cells):
            totals.setdefault(cell.benchmark, []).append(cell)
        rows = [
            [
                *(escape(name), str(len(cells)), f"{sum(cell.calls for cell in cells):,}"),
                *(_sum(cells, column) for column in ("prompt_tokens", "completion_tokens")),
                number(_dollars(cells), 2),
                f"{sum(cell.seconds for cell in cells) / 60:,.1f}",
            ]
            for name, cells in sorted(totals.items())
        ]
        columns = ("benchmark", "cells", "calls", "tokens in", "tokens out", "US$", "minutes")
        return table(columns, rows)

    def cost(self) -> str:
        """Say what all cells took together, in a sentence."""
        cells = [cell for cells in self._cells.values() for cell in cells]
        paid = [cell for cell in cells if not is_simulated(cell.setting)]
        calls = f"{sum(cell.calls for cell in cells):,} calls"
        if not paid:
            return f"{calls} of simulated models, and no money."
        dollars = _dollars(paid)
        return f"{calls}, {'at an unknown price' if dollars is None else f'{dollars:,.2f} US$'}."

    def versions(self) -> str:
        """Say with which versions the cells were measured."""
        cells = (cell for cells in self._cells.values() for cell in cells)
        versions = {
            f"{name} {version}" for cell in cells for name, version in cell.versions.items()
        }
        return escape(", ".join(sorted(versions)))


def model_name(described: Values) -> str:
    """Name a model and how it is asked."""
    rest = {name: value for name, value in described.items() if name != "model"}
    settings = ", ".join(f"{name} {value}" for name, value in rest.items() if value is not None)
    name = str(described.get("model", "?"))
    return escape(f"{name} ({settings})" if settings else name)


def models_of(setting: Values) -> tuple[str, str, str]:
    """Name the models of the judge, of those who write, and of the rater."""
    if "models" not in setting:  # one model for all roles
        world = setting.get("world")
        real = setting.get("model", "?")
        name = escape(real if world is None else f"simulated: the {spoken(world)} world")
        return name, name, name
    models, kind = setting["models"], "simulated: " * is_simulated(setting)
    names = {role: kind + model_name(models[role]) if role in models else "-" for role in ROLES}
    writers = dict.fromkeys(names[role] for role in ("critic", "coach", "editor"))
    return names["judge"], " / ".join(writers), names["rater"]


def _described(setting: Values) -> list[str]:
    criteria = tomllib.loads(setting.get("rubric", "")).get("criteria", [])
    counts = [f"{count} {name}" for name, count in setting.get("texts", {}).items()]
    documents = [f"{setting['documents']} documents"] if "documents" in setting else []
    return [
        *models_of(setting),
        escape(", ".join(criterion["name"] for criterion in criteria)) or "-",
        escape(", ".join([*counts, *documents])) or "-",
        escape(setting.get("data", "")) or "-",
    ]


def _sum(cells: Sequence[Cell], column: str) -> str:
    rows = [row for cell in cells for row in cell.ledger]
    return f"{sum(row[column] for row in rows):,}" if all(column in row for row in rows) else "-"


def _dollars(cells: Sequence[Cell]) -> float | None:
    prices = [row["cost"] for cell in cells for row in cell.ledger]
    return None if None in prices else sum(prices)
