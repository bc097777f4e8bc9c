"""The options of ``evaluate`` for continuous integration: minima, JUnit, GitHub's summary."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click

from mogradjudge.cli.options import FILE, together
from mogradjudge.display.terminal import number
from mogradjudge.errors import SetupError
from mogradjudge.files import write_text

_SUMMARY = "GITHUB_STEP_SUMMARY"
_MEAN = "mean"

threshold_options = together(
    click.option(
        "--min",
        "minima",
        multiple=True,
        metavar="NAME=VALUE",
        help="Exit with status 4 if the agreement on this criterion, or the `mean`, is below "
        "VALUE; may be given several times.",
    ),
    click.option(
        "--confident",
        is_flag=True,
        help="Hold the lower end of the 95 % interval against --min, not the value.",
    ),
    click.option("--junit", type=FILE, metavar="FILE", help="Write the outcome as JUnit XML."),
    click.option(
        "--github-summary",
        is_flag=True,
        help=f"Append a table to the file that {_SUMMARY} names, as GitHub's runners set it.",
    ),
)


class BelowMinimum(click.ClickException):
    """An agreement is below its minimum; the results are printed."""

    exit_code = 4


@dataclass(frozen=True)
class Outcome:
    """An agreement against its minimum; the minimum is None where none was set.

    ``gap`` says what a mean leaves out though it counts; such a mean meets no minimum.
    """

    name: str
    value: float | None
    interval: Sequence[float] | None
    minimum: float | None
    confident: bool
    gap: str = ""

    @property
    def fault(self) -> str:
        """Say what is below the minimum; empty if nothing is."""
        if self.minimum is None:
            return ""
        if self.gap:
            return f"{self.name}: {self.gap}, so it does not meet {self.minimum:g}"
        low = None if self.interval is None else self.interval[0]
        shown = low if self.confident else self.value
        if shown is not None and shown >= self.minimum:
            return ""
        what = "the lower end of its interval" if self.confident else "its agreement"
        state = "undefined" if shown is None else number(shown)
        return f"{self.name}: {what} is {state}, below {self.minimum:g}"


def minima_of(words: Iterable[str], names: Sequence[str]) -> dict[str, float]:
    """Read the values of --min.

    Raises:
        SetupError: If one is not NAME=VALUE, or its name is no criterion.

    >>> minima_of(["mean=0.6"], ["tone"])
    {'mean': 0.6}
    """
    minima = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in (*names, _MEAN):
            known = ", ".join((*names, _MEAN))
            raise SetupError(f"`--min` must name one of {known}, got {word!r}.")
        try:
            minima[name] = float(value)
        except ValueError as error:
            raise SetupError(f"`--min` must be NAME=VALUE with a number, got {word!r}.") from error
        if not -1 <= minima[name] <= 1:  # nan is neither
            raise SetupError(f"`--min` must be NAME=VALUE from -1 to 1, got {word!r}.")
    return minima


def check_summary(*, is_wanted: bool) -> None:
    """Check that GitHub's file for the summary is named.

    Raises:
        SetupError: If a summary is wanted, and it is not.
    """
    if is_wanted and not os.environ.get(_SUMMARY):
        raise SetupError(
            f"--github-summary needs the variable {_SUMMARY}. GitHub sets it in a job."
        )


def hold(
    report: Mapping[str, Any], minima: Mapping[str, float], options: Mapping[str, Any]
) -> None:
    """Hold a report against its minima, and write the outcome where it is wanted.

    Raises:
        BelowMinimum: If an agreement is below its minimum.
    """
    measured = {name: (it["agreement"], it["interval"]) for name, it in report["criteria"].items()}
    outcomes = [
        Outcome(name, *values, minima.get(name), options["confident"])
        for name, values in measured.items()
    ]
    outcomes.append(_mean_outcome(report, minima.get(_MEAN), confident=options["confident"]))
    if options["junit"]:
        _write_junit(Path(options["junit"]), outcomes)
    if options["github_summary"]:
        _append_summary(Path(os.environ[_SUMMARY]), outcomes)
    if faults := [outcome.fault for outcome in outcomes if outcome.fault]:
        raise BelowMinimum(f"{'; '.join(faults)}.")


def _mean_outcome(report: Mapping[str, Any], minimum: float | None, *, confident: bool) -> Outcome:
    from mogradjudge.agreement.weighted_mean import mean_label, shares_of

    weights, undefined = report["weights"], report["undefined"]
    counted = [name for name in shares_of(weights, weights) if name in undefined]
    gap = "; ".join(f"{name} is undefined ({undefined[name]})" for name in counted)
    label, interval = mean_label(weights, undefined), report["mean_interval"]
    return Outcome(label, report["mean"], interval, minimum, confident, gap)


def _write_junit(path: Path, outcomes: Sequence[Outcome]) -> None:
    failures = str(sum(bool(outcome.fault) for outcome in outcomes))
    counts = {"tests": str(len(outcomes)), "failures": failures}
    suite = ElementTree.Element("testsuite", {"name": "mogradjudge evaluate", **counts})
    for outcome in outcomes:
        case = {"classname": "agreement", "name": outcome.name}
        element = ElementTree.SubElement(suite, "testcase", case)
        if outcome.fault:
            ElementTree.SubElement(element, "failure", {"message": outcome.fault})
        ElementTree.SubElement(element, "system-out").text = number(outcome.value)
    text = ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)
    _written(path, lambda: write_text(path, f"{text}\n"))


def _append_summary(path: Path, outcomes: Sequence[Outcome]) -> None:
    lines = [
        "### Agreement of the judge with people",
        "",
        "| criterion | agreement | 95 % interval | minimum | result |",
        "|---|---|---|---|---|",
    ]
    for it in outcomes:
        ends = "-" if it.interval is None else " to ".join(map(number, it.interval))
        mark = "" if it.minimum is None else "**below**" if it.fault else "met"
        cells = (it.name, number(it.value), ends, number(it.minimum, 2), mark)
        lines.append(f"| {' | '.join(cells)} |")

    lines += ["", *(f"- {it.fault}" for it in outcomes if it.fault)]

    def append() -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, "", ""]))

    _written(path, append)


def _written(path: Path, write: Any) -> None:
    try:
        write()
    except OSError as error:
        raise SetupError(f"Cannot write {path}: {error.strerror}. Give another file.") from error
