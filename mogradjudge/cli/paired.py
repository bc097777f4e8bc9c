"""Two judges, or one at two times, on the same texts: reads, compares and prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mogradjudge.cli.options import FILE
from mogradjudge.cli.tables import interval_cell
from mogradjudge.display.terminal import console, number, print_table, printable, say
from mogradjudge.errors import SetupError
from mogradjudge.files import read_json

if TYPE_CHECKING:
    from mogradjudge.agreement.claims import Claim
    from mogradjudge.programs.judged_text import JudgedText
    from mogradjudge.report.edits import SectionEdit
    from mogradjudge.scoring.evaluate import Evaluation

T = TypeVar("T")
_TESTED = ("difference", "95 % interval", "p", "n", "verdict")
_MENDING = "Give the output of `evaluate --json`."

against_option = click.option(
    "--against",
    type=FILE,
    metavar="FILE",
    help="Compare with the earlier output of `evaluate --json` in FILE, paired where texts are the "
    "same.",
)


@dataclass(frozen=True)
class Earlier:
    """An earlier evaluation: its figures by criterion and for the mean, texts and weights."""

    figures: Mapping[str, Mapping[str, Any]]
    texts: tuple[JudgedText, ...]
    weights: Mapping[str, float] | None


def read_earlier(path: str) -> Earlier:
    """Read the output of ``evaluate --json``.

    Raises:
        SetupError: If the file holds something else.
    """
    from mogradjudge.programs.judged_text import JudgedText

    report = read_json(Path(path), _MENDING)
    try:
        figures = {
            name: {"agreement": it["agreement"], "interval": it["interval"]}
            for name, it in report["criteria"].items()
        }
        mean = {"agreement": report["mean"], "interval": report["mean_interval"]}
        texts = tuple(JudgedText.from_line(line) for line in report["texts"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SetupError(f"{path} is no evaluation with its texts. {_MENDING}") from error
    return Earlier({**figures, "mean": mean}, texts, report.get("weights"))


def against(earlier: Earlier, evaluation: Evaluation, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the earlier figures, and the comparison on the texts of both; None without any."""
    from mogradjudge.scoring.paired import paired, weights_note

    now = evaluation.report["weights"]
    weights = (now if earlier.weights is None else earlier.weights, now)
    sides = ("then", "now")
    pairs = paired(earlier.texts, evaluation.texts, names, evaluation.options, sides, weights)
    return {
        "then": dict(earlier.figures),
        "paired": pairs and pairs.as_dict(),
        "notes": weights_note(names, sides, weights),
    }


def print_edits(edits: Sequence[SectionEdit], where: str) -> None:
    """Print the sections that changed, with the words that were taken out and put in.

    ``where`` is the file that has what is cut.
    """
    from rich.text import Text

    marks = {"removed": ("[-", "-]", "red strike"), "added": ("{+", "+}", "green")}
    for edit in edits:
        if not edit.changed:
            continue
        apart = "\n" if edit.is_whole else ""
        line = Text(f"{edit.title}:{apart or ' '}", style="bold")
        for piece in edit.pieces:
            before, after, style = marks.get(piece.kind, ("", "", "not bold"))
            text = "\n".join(map(printable, piece.text.split("\n")))
            line.append(f"{before}{text}{after}", style)
            line.append(apart)
        if edit.left_out:
            line.append(f" ... ({edit.left_out} further characters: {where})", "not bold")
        line.rstrip()
        console().print(line)


def print_against(against: Mapping[str, Any], report: Mapping[str, Any]) -> None:
    """Print what `evaluate --against` found beside the earlier evaluation."""
    from mogradjudge.agreement.weighted_mean import mean_label

    if (pairs := against["paired"]) is not None:
        print_paired(pairs, ("then", "now"))
        return
    now = {**report["criteria"]}
    now["mean"] = {"agreement": report["mean"], "interval": report["mean_interval"]}
    rows = [
        [
            *(name, number(then["agreement"]), interval_cell(then["interval"])),
            *(number(now[name]["agreement"]), interval_cell(now[name]["interval"])),
        ]
        for name, then in against["then"].items()
        if name in now
    ]
    rows[-1][0] = mean_label(report["weights"])
    if against["notes"]:  # means of other weights are no pair
        rows.pop()
    columns = ("criterion", "then", "95 % interval", "now", "95 % interval")
    print_table(columns, rows, "No text is in both evaluations, so nothing can be paired")
    for line in against["notes"]:
        say(line.replace("the mean is unweighted", "the means are left out"))


def print_paired(pairs: Mapping[str, Any], names: tuple[str, str]) -> None:
    """Print two judges on the same texts, and the test of each difference."""
    from mogradjudge.agreement.weighted_mean import mean_label

    claims = pairs["claims"]
    is_tested = pairs["differing"] > 0 and _can_be_tested(claims)
    rows = [
        [
            *(name, number(pairs["first"][name]), number(pairs["second"][name])),
            *(_tested(claim) if is_tested else ()),
        ]
        for name, claim in _mean_last(claims)
    ]
    rows[-1][0] = mean_label(pairs["weights"])
    adjusted = "; p of single criteria is adjusted for their number (Holm)" if is_tested else ""
    print_table(
        ("criterion", *names, *(_TESTED if is_tested else ())),
        rows,
        f"On {pairs['where']}{adjusted}",
    )
    for line in pairs["notes"]:
        say(line)
    if pairs["equal"]:
        say(pairs["equal"])
        return
    _print_untested(claims)
    better = sum(change["gain"] > 0 for change in pairs["changed"])
    worse = len(pairs["changed"]) - better
    only = f"{better} only {names[1]}, {worse} only {names[0]}"
    say(f"Scores that are people's to half a point: {only}.")


def print_claims(claims: Mapping[str, Claim], title: str, weights: Mapping[str, float]) -> None:
    """Print what is claimed of each criterion and the mean."""
    from mogradjudge.agreement.weighted_mean import mean_label

    plain = {name: claim.as_dict() for name, claim in claims.items()}
    if _can_be_tested(plain):
        names = {"mean": mean_label(weights)}
        rows = [[names.get(name, name), *_tested(claim)] for name, claim in _mean_last(plain)]
        print_table(("criterion", *_TESTED), rows, title)
    _print_untested(plain)


def _can_be_tested(claims: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(claim["estimate"] is not None for claim in claims.values())


def _print_untested(claims: Mapping[str, Mapping[str, Any]]) -> None:
    """Say of which criteria nothing can be tested, and why."""
    reasons: dict[str, list[str]] = {}
    for name, claim in _mean_last(claims):
        if claim["estimate"] is None:
            reasons.setdefault(claim["note"], []).append(name)
    for why, names in reasons.items():
        which = "" if len(names) == len(claims) else f" ({', '.join(names)})"
        say(f"Cannot be tested{which}: {why}.")


def _mean_last(claims: Mapping[str, T]) -> list[tuple[str, T]]:
    return sorted(claims.items(), key=lambda item: item[0] == "mean")


def _tested(claim: Mapping[str, Any]) -> list[str]:
    """Write a claim's cells, whose columns are `_TESTED`."""
    return [
        "-" if claim["estimate"] is None else f"{claim['estimate']:+z.3f}",
        "-" if claim["low"] is None else f"{claim['low']:+z.3f} to {claim['high']:+z.3f}",
        _p_value(claim["p_value"]),
        *("-" if claim["estimate"] is None else str(claim["n"]), claim["verdict"]),
    ]


def _p_value(value: float | None) -> str:
    return "<0.001" if value is not None and value < 0.001 else number(value)
