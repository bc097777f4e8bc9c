"""Results as tables on stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mogradjudge.display.terminal import number, print_table, say

if TYPE_CHECKING:
    from mogradjudge.optimize.estimate import RoleEstimate
    from mogradjudge.scoring.table import ScoredTable


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
    from mogradjudge.optimize.dry_run import PARAGRAPH_TOKENS

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
