"""Results as tables on stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mogradjudge.terminal import WIDE, console, one_line, say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mogradjudge.estimate import RoleEstimate
    from mogradjudge.scored_table import ScoredTable

_NARROWEST = 12  # columns that a column of text may always have
_BESIDE_TEXT = 3  # columns: the space around a cell, and the line to the next one
# Columns of `evaluate`'s second table: what is shown, and with how many digits.
_BESIDE = {
    "Kendall": ("kendall", 3),
    "Pearson": ("pearson", 3),
    "QWK": ("qwk", 3),
    "alpha": ("alpha", 3),
    "MAE": ("mae", 2),
    "bias": ("bias", 2),
    "coverage": ("coverage", 2),
}
_SUMMED = ("calls", "prompt_tokens", "completion_tokens")


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", keys: int = 1
) -> None:
    """Print rows of text; the first column is left-aligned, all others right-aligned.

    Where a terminal has no room for all columns side by side, the table is parted into several, and
    long texts are folded. In a file or a pipe each row is one line.

    Args:
        columns: Their names.
        rows: A text for each column; control characters are not printed.
        title: What the table is about.
        keys: How many of the first columns it takes to know a row; each part of a table has them.
    """
    from rich.text import Text

    out = console()
    if title:
        out.print(Text(title, style="bold"))
    widest = WIDE if out.width == WIDE else max(_NARROWEST, out.width // 2)
    table = [[one_line(cell) for cell in row] for row in (columns, *rows)]
    for places in _side_by_side(_widths(table, widest), keys, out.width):
        _print(out, _table([[row[place] for place in places] for row in table], widest))


def _table(rows: Sequence[Sequence[str]], widest: int) -> Table:
    from rich import box
    from rich.table import Table as Made
    from rich.text import Text

    table = Made(box=box.SIMPLE_HEAD)
    for place, column in enumerate(rows[0]):
        table.add_column(
            Text(column),  # brackets are no markup
            justify="right" if place else "left",
            overflow="fold",
            max_width=widest,
        )
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    return table


def _print(out: Console, table: Table) -> None:
    if out.width != WIDE:
        out.print(table)
        return
    with out.capture() as printed:
        out.print(table)
    for line in printed.get().splitlines():
        out.file.write(f"{line.rstrip()}\n")  # a file is spared the blanks that fill each line


def _widths(rows: Sequence[Sequence[str]], widest: int) -> list[int]:
    """Say how wide each column is, in columns of the terminal."""
    from rich.cells import cell_len

    return [min(widest, max(map(cell_len, cells))) for cells in zip(*rows, strict=True)]


def _side_by_side(widths: Sequence[int], keys: int, room: int) -> list[list[int]]:
    """Part the columns into tables that fit; each has the keys, and at least one more column."""
    parts = [list(range(keys))]
    for place, width in enumerate(widths[keys:], start=keys):
        used = sum(widths[each] + _BESIDE_TEXT for each in parts[-1])
        if len(parts[-1]) > keys and used + width + _BESIDE_TEXT >= room:
            parts.append(list(range(keys)))
        parts[-1].append(place)
    return parts


def number(value: float | None, digits: int = 3) -> str:
    """Write a number, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def print_run(result: Mapping[str, Any]) -> None:
    """Print what `result.json` holds: agreement before and after, and the ledger."""
    seed, final = result["seed_agreement"], result["final_agreement"]
    test = result.get("test")
    columns = ["criterion", "seed", "final", *(["test seed", "test final"] if test else [])]
    rows = [
        [name, number(seed[name]), number(final[name])]
        + ([number(test["seed"][name]), number(test["final"][name])] if test else [])
        for name in [*(key for key in seed if key != "mean"), "mean"]
    ]
    level = result["config"]["level"]
    print_table(columns, rows, f"Agreement (Spearman, {level}), mode {result['mode']}")
    _print_losses(result)
    print_ledger(result["ledger"])


def _print_losses(result: Mapping[str, Any]) -> None:
    """Say what the figures had to do without, where it is anything."""
    losses = {
        "validation texts without a usable score": result["unscored"],
        "validation texts without a human score": result["missing_human"],
        "expected scores that fell back to the integer": result["fallbacks"],
    }
    for what, counts in losses.items():
        if found := {name: count for name, count in counts.items() if count}:
            say(f"{what}: {', '.join(f'{n} on {name}' for name, n in found.items())}")
    if skipped := sum(step["skipped"] for step in result["steps"]):
        say(f"questions without a usable reply: {skipped}")


def print_ledger(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print calls, tokens and cost by role and criteria."""
    shown = [
        [
            row["role"],
            ", ".join(row["criteria"]),
            *(str(row[key]) for key in ("calls", "cached", "failed")),
            *(str(row[key]) for key in ("prompt_tokens", "completion_tokens")),
            number(row["cost"], 4),
        ]
        for row in rows
    ]
    columns = ("role", "criteria", "calls", "cached", "failed", "tokens in", "tokens out", "US$")
    print_table(columns, shown, "Calls and tokens", keys=2)


def scored_as_dict(scored: ScoredTable) -> dict[str, Any]:
    """Give a table's scoring as `score --json` prints it."""
    return {
        "out": str(scored.out),
        "texts": scored.texts,
        "unscored": dict(scored.unscored),
        "fallbacks": dict(scored.fallbacks),
        "ledger": [row.as_dict() for row in scored.ledger],
    }


def print_scored(scored: ScoredTable) -> None:
    """Print what a table's scoring cost, what went wrong, and where the scores are."""
    print_ledger([row.as_dict() for row in scored.ledger])
    counts = {"unscored": scored.unscored, "fallbacks": scored.fallbacks}
    parts = [
        f"{what}: {', '.join(f'{count} on {name}' for name, count in found.items()) or 'none'}"
        for what, by_name in counts.items()
        for found in [{name: count for name, count in by_name.items() if count}]
    ]
    texts = "1 text" if scored.texts == 1 else f"{scored.texts} texts"
    say(f"{scored.out} holds the scores of {texts}; {'; '.join(parts)}.")


def print_estimate(rows: Sequence[RoleEstimate]) -> None:
    """Print an estimate by role, and its total."""
    from mogradjudge.rehearsal import PARAGRAPH_TOKENS

    costs = [row.cost for row in rows]
    total = None if None in costs else sum(cost for cost in costs if cost is not None)
    shown = [
        [row.role, *(str(getattr(row, key)) for key in _SUMMED), number(row.cost, 4)]
        for row in rows
    ]
    sums = [sum(getattr(row, key) for row in rows) for key in _SUMMED]
    print_table(
        ("role", "calls", "tokens in", "tokens out", "US$"),
        [*shown, ["total", *map(str, sums), number(total, 4)]],
        "If every proposal is accepted and nothing is asked again; what critic, coach and editor "
        f"write is guessed at {PARAGRAPH_TOKENS} tokens per criterion",
    )


def print_evaluation(report: Mapping[str, Any]) -> None:
    """Print what `evaluate --json` prints."""
    rows = [
        [name, number(each["spearman"]), _interval(each["interval"])]
        + [str(each[key]) for key in ("n", "unscored", "missing", "fallbacks")]
        for name, each in report["criteria"].items()
    ]
    mean = ["mean", number(report["mean"]), _interval(report["mean_interval"])]
    rows.append([*mean, "", "", "", ""])
    columns = ("criterion", "Spearman", "95 % interval", "n", "unscored", "no human", "fallbacks")
    documents = report["documents"]
    over = f"{documents} document{'' if documents == 1 else 's'}"
    print_table(columns, rows, f"Agreement ({report['level']}), intervals over {over}")
    for note in report["notes"]:
        say(note)
    print_table(
        ("criterion", *_BESIDE),
        [
            [name, *(number(each[key], digits) for key, digits in _BESIDE.values())]
            for name, each in report["criteria"].items()
        ],
        "Beside rho: MAE and bias are in points of the scale, above 0 the judge is lenient",
    )
    print_ledger(report["ledger"])


def _interval(bounds: Sequence[float] | None) -> str:
    return "-" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
